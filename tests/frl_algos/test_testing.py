"""The contract test passes what is sound, and says what is wrong with each kind of fault."""

import dataclasses

import numpy as np
import plugins
import pytest
import torch
from d3rlpy.algos import DiscreteBCConfig, DiscreteCQL, DiscreteCQLConfig, IQLConfig, PRDCConfig, TD3PlusBCConfig
from d3rlpy.logging import NoopAdapterFactory

from benchmarks.sweep.budgets import budget_policy
from frl_algos import FactoredAWRConfig, FactoredIQLConfig
from frl_algos.policies.adapter import ScaledAlgorithm, adapt, modes
from frl_algos.policies.stock import StockAlgorithm
from frl_algos.testing import check_algorithm, made_up_buffer
from frl_env.actions import MEDICAID_ACTIONS, ActionSpace
from frl_env.capacity import Budgeted, Capacity
from frl_env.care_effort import care_effort
from frl_env.errors import UserError
from frl_env.rollout import rollout
from frl_env.worlds import World

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = ActionSpace.from_nvec([3, 2])


@pytest.mark.long
@pytest.mark.parametrize("space", [MEDICAID_ACTIONS, SMALL], ids=["medicaid", "small"])
@pytest.mark.parametrize(
    "offered",
    [
        FactoredAWRConfig,
        plugins.Constant,
        plugins.Draws,
        DiscreteBCConfig(batch_size=16),
        IQLConfig(batch_size=16),
        TD3PlusBCConfig(batch_size=16),
    ],
    ids=["factored_awr", "constant", "draws", "bc", "iql", "td3"],
)  # fmt: skip
def test_sound_algorithms_pass_in_silence(offered, space, capfd):
    check_algorithm(offered, action_space=space)
    assert capfd.readouterr().out == "", "d3rlpy's log"


@dataclasses.dataclass()
class DerivedCQLConfig(DiscreteCQLConfig):
    """What a researcher derives from d3rlpy's own."""

    def create(self, device=False, enable_ddp=False):
        return DerivedCQL(self, device, enable_ddp)

    @staticmethod
    def get_type():
        return "derived_cql"


class DerivedCQL(DiscreteCQL):
    pass


def test_what_is_derived_from_d3rlpys_own_chooses_valid_actions_too():
    check_algorithm(DerivedCQLConfig(batch_size=16))
    buffer = made_up_buffer(MEDICAID_ACTIONS)
    torch.manual_seed(0)
    algorithm = adapt(DerivedCQLConfig(batch_size=16), MEDICAID_ACTIONS)
    algorithm.fit(buffer, n_steps=2, n_steps_per_epoch=2, show_progress=False, logger_adapter=NoopAdapterFactory())
    assert MEDICAID_ACTIONS.valid[algorithm.predict(buffer.observations)].all()
    torch.manual_seed(0)
    stock = adapt(DiscreteCQLConfig(batch_size=16), MEDICAID_ACTIONS)
    buffer.reseed(0)
    stock.fit(buffer, n_steps=2, n_steps_per_epoch=2, show_progress=False, logger_adapter=NoopAdapterFactory())
    np.testing.assert_array_equal(algorithm.predict(buffer.observations), stock.predict(buffer.observations))


@pytest.mark.parametrize("offered", [plugins.Gains, plugins.GainsAlone, plugins.Remembers])
def test_gains_that_pass_spend_a_budget(offered):
    check_algorithm(offered)
    trained = offered()
    trained.fit(made_up_buffer(MEDICAID_ACTIONS), n_steps=1)
    policy, asked = budget_policy(trained, MEDICAID_ACTIONS, modes(trained)[0])
    assert asked == "gains"
    world = World()
    budgeted = Budgeted(policy, care_effort(world.parameters), Capacity(minutes=3.0), by=asked)
    spent = rollout(budgeted, world.parameters, members=50, seed=1, horizon=4)
    assert 1.0 < spent.minutes.sum() / spent.weeks.sum() <= 3.0


@pytest.mark.parametrize(
    ("offered", "says"),
    [
        (plugins.WritesIntoTheBuffer, "changes the arrays of the buffer"),
        (plugins.ChancesOfTheBatch, "predict_probabilities gives other numbers for eight states alone"),
        (plugins.DrawsByItself, "draw gives other actions for the same uniform numbers"),
        (plugins.DrawsAColumn, r"draw gives int64 of shape \(64, 1\) for 64 observations"),
        (plugins.DrawsFloats, "draw gives float64"),
        (plugins.DrawsWhatHasNoChance, "draw gives 64 of 64 actions whose predict_probabilities are 0"),
        (plugins.Levels, r"shape \(64, 4\)"),
        (plugins.Floats, "float64"),
        (plugins.Outside, r"64 joint indices outside 0\.\.1079"),
        (plugins.Invalid, "64 of 64 actions that are not valid"),
        (plugins.Drawing, "the second time"),
        (plugins.BatchStatistics, "alone than in a batch"),
        (plugins.Tensors, r"predict_probabilities gives a torch tensor.*return tensor\.detach\(\)\.cpu\(\)\.numpy\(\)"),
        (plugins.TensorsWithGradients, "predict gives a torch tensor"),
        (plugins.Ragged, "predict gives a list, not a NumPy array"),
        (plugins.ScalesInPlace, "predict changes the arrays it is given"),
        (plugins.SavesAFolder, "save made a folder"),
        (plugins.BatchesByName, "batch_size must be a whole number"),
        (plugins.NotNormalised, "not summing to 1"),
        (plugins.WrongShape, r"shape \(64, 1079\)"),
        (plugins.MassOutside, "not valid; mask them"),
        (plugins.NotReproducible, "different policies"),
        (plugins.NotReproducibleInChances, "different policies"),
        (plugins.NotReproducibleInGains, "different policies"),
        (plugins.EndsPython, "ends Python .SystemExit.; raise an error instead"),
        (plugins.SavesElsewhere, "'model.bin'"),
        (plugins.GainsOfAll, r"gains gives float64 of shape \(64, 1080\), not floating-point numbers of shape"),
        (plugins.WholeGains, "gains gives int64"),
        (plugins.GainsNotNumbers, "NaN or infinity in 3 of 64 members"),
        (plugins.Forgets, "it has start_memory alone"),
        (plugins.NothingInMind, "gains can't be asked with 1 arguments .*'memory'"),
        (plugins.OtherMemory, r"remember gives shape \(64,\) for memories of shape \(64, 2\)"),
        (plugins.OneNumberInMind, r"start_memory\(64\) gives shape \(64,\), not \(64, m\)"),
        (plugins.OneMemoryForAll, r"start_memory\(64\) gives shape \(1, 2\), not \(64, m\)"),
        (plugins.MemoryOfTorch, "start_memory gives a Tensor, not a NumPy array"),
        (plugins.MemoryOfNobody, "start_memory is called with the number of members alone .too many positional"),
        (plugins.ForgetsWhomItContacts, r"remember gives shape \(1, 2\) for memories of shape \(64, 2\)"),
        (plugins.Ranks, "for eight members alone than for all"),
        (plugins.DrawsGains, "for eight members alone than for all"),
        (plugins.FewArguments, "n_steps_per_epoch.*as \\*\\*others"),
        (PRDCConfig(batch_size=16), "can't be used here"),
        (dict, "has no fit and no predict"),
        (lambda: 1 / 0, "can't be made"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)  # fmt: skip
def test_each_fault_is_said(offered, says):
    with pytest.raises(UserError, match=says):
        check_algorithm(offered)


def test_joint_actions_of_high_numbers_are_told_apart():
    with pytest.raises(UserError, match="different policies"):
        check_algorithm(plugins.NextToItself, action_space=ActionSpace.from_nvec([30, 30, 30]))


def test_an_object_is_tried_as_it_is_and_stays_so():
    algorithm = FactoredIQLConfig(batch_size=8).create()
    check_algorithm(algorithm)
    assert algorithm.impl is None


def test_adapting_keeps_what_needs_no_help():
    assert isinstance(adapt(DiscreteBCConfig, MEDICAID_ACTIONS), StockAlgorithm)
    assert isinstance(adapt(TD3PlusBCConfig(), MEDICAID_ACTIONS), ScaledAlgorithm)
    ours = adapt(FactoredAWRConfig(batch_size=7), MEDICAID_ACTIONS)
    assert ours.batch_size == 7
    assert modes(ours) == ("stochastic", "greedy")
    constant = plugins.Constant()
    assert adapt(constant, MEDICAID_ACTIONS) is constant
    assert modes(plugins.Constant()) == ("stochastic", "greedy")
    assert modes(adapt(TD3PlusBCConfig(), SMALL)) == ("greedy",)


def test_a_scaler_of_ones_own_is_kept():
    from d3rlpy.preprocessing import StandardObservationScaler

    own = StandardObservationScaler(mean=np.zeros(7), std=np.full(7, 9.0))
    buffer = made_up_buffer(SMALL)
    for given, expected in ((own, np.full(7, 9.0)), (None, buffer.observations.std(axis=0, dtype=np.float64))):
        torch.manual_seed(0)
        algorithm = adapt(TD3PlusBCConfig(batch_size=16, observation_scaler=given), SMALL)
        algorithm.fit(buffer, n_steps=1, n_steps_per_epoch=1, show_progress=False)
        np.testing.assert_allclose(algorithm.algorithm.config.observation_scaler.std, expected)
    assert dataclasses.is_dataclass(own)

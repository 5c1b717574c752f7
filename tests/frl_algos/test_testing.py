"""The contract test passes what is sound, and says what is wrong with each kind of fault."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from d3rlpy.algos import DiscreteBCConfig, DiscreteCQL, DiscreteCQLConfig, IQLConfig, PRDCConfig, TD3PlusBCConfig
from d3rlpy.logging import NoopAdapterFactory

from benchmarks.sweep.budgets import budget_policy
from frl_algos import FactoredAWRConfig
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


class Constant:
    """The simplest sound algorithm: the most common action of the data, with a softened version of it."""

    def fit(self, buffer, n_steps, **options):
        self.counts = np.bincount(buffer.actions, minlength=buffer.action_space.n_joint).astype(np.float32)

    def predict(self, x):
        return np.full(len(x), self.counts.argmax())

    def predict_probabilities(self, observations):
        return np.tile(self.counts / self.counts.sum(), (len(observations), 1))


@pytest.mark.parametrize("space", [MEDICAID_ACTIONS, SMALL], ids=["medicaid", "small"])
@pytest.mark.parametrize(
    "offered",
    [
        FactoredAWRConfig,
        Constant,
        DiscreteBCConfig(batch_size=16),
        IQLConfig(batch_size=16),
        TD3PlusBCConfig(batch_size=16),
    ],
    ids=["factored_awr", "constant", "bc", "iql", "td3"],
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


class Other(Constant):
    def fit(self, buffer, n_steps, **options):
        super().fit(buffer, n_steps)
        self.space = buffer.action_space


class WritesIntoTheBuffer(Constant):
    def fit(self, buffer, n_steps, **options):
        super().fit(buffer, n_steps)
        buffer.rewards *= 2


class Levels(Constant):
    def predict(self, x):
        return np.zeros((len(x), 4), dtype=np.int64)


class Floats(Constant):
    def predict(self, x):
        return np.zeros(len(x))


class Outside(Constant):
    def predict(self, x):
        return np.full(len(x), 1_080)


class Invalid(Other):
    def predict(self, x):
        return np.full(len(x), np.flatnonzero(~self.space.valid)[0])


class Drawing(Constant):
    def predict(self, x):
        return np.random.default_rng().choice(np.flatnonzero(self.counts), len(x))


class BatchStatistics(Constant):
    def predict(self, x):
        return np.where(x[:, 0] > x[:, 0].mean(), self.counts.argmax(), MEDICAID_ACTIONS.valid_joints[-1])


class Tensors(Constant):
    def predict_probabilities(self, observations):
        return torch.as_tensor(super().predict_probabilities(observations))


class TensorsWithGradients(Constant):
    def predict(self, x):
        return torch.zeros(len(x), requires_grad=True)


class Ragged(Constant):
    def predict(self, x):
        return [[0], *([[0, 0]] * (len(x) - 1))]


class ScalesInPlace(Constant):
    def predict(self, x):
        x -= x[0]
        return super().predict(x)


class SavesAFolder(Constant):
    def save(self, file):
        Path(file).mkdir()


class BatchesByName(Constant):
    batch_size = "all"


class NotNormalised(Constant):
    def predict_probabilities(self, observations):
        return 2 * super().predict_probabilities(observations)


class WrongShape(Constant):
    def predict_probabilities(self, observations):
        return super().predict_probabilities(observations)[:, :-1]


class MassOutside(Other):
    def predict_probabilities(self, observations):
        return np.full((len(observations), len(self.counts)), 1 / len(self.counts), dtype=np.float32)


class NotReproducible(Constant):
    runs = 0

    def fit(self, buffer, n_steps, **options):
        super().fit(buffer, n_steps)
        NotReproducible.runs += 1
        self.counts[MEDICAID_ACTIONS.valid_joints[NotReproducible.runs]] = 1e6


class NotReproducibleInChances(Other):
    def fit(self, buffer, n_steps, **options):
        super().fit(buffer, n_steps)
        self.share = 0.1 + 0.8 * np.random.default_rng().random()

    def predict_probabilities(self, observations):
        return self.share * super().predict_probabilities(observations) + (1 - self.share) * (
            self.space.valid / self.space.valid.sum()
        )


class EndsPython(Constant):
    def fit(self, buffer, n_steps, **options):
        raise SystemExit(0)


class SavesElsewhere(Constant):
    def save(self, file):
        open(file + ".bin", "w").close()


class Gains(Other):
    """Says what contacts gain, from the week's observations alone: nothing is kept in mind."""

    def gains(self, observations):
        gains = np.tile(1 + observations[:, :1], (1, len(self.space.valid_joints)))
        gains[:, 0] = 0  # doing nothing
        return gains


class NotReproducibleInGains(Gains):
    def fit(self, buffer, n_steps, **options):
        super().fit(buffer, n_steps)
        self.scale = 1 + np.random.default_rng().random()

    def gains(self, observations):
        return self.scale * super().gains(observations)


class GainsAlone(Gains):
    """Without probabilities."""

    modes = ("greedy",)


class Remembers(Gains):
    def start_memory(self, members):
        return np.zeros((members, 2))

    def remember(self, memory, observations, joints):
        return memory + joints[:, None]

    def gains(self, observations, memory):
        return super().gains(observations)


class GainsOfAll(Gains):
    def gains(self, observations):
        return np.zeros((len(observations), self.space.n_joint))


class WholeGains(Gains):
    def gains(self, observations):
        return super().gains(observations).astype(int)


class GainsNotNumbers(Gains):
    def gains(self, observations):
        gains = super().gains(observations)
        gains[:3, 5] = np.nan
        return gains


class Forgets(Remembers):
    remember = None


class NothingInMind(Remembers):
    start_memory = remember = None


class OtherMemory(Remembers):
    def remember(self, memory, observations, joints):
        return memory[:, 0]


class OneNumberInMind(Remembers):
    def start_memory(self, members):
        return np.zeros(members)


class OneMemoryForAll(Remembers):
    def start_memory(self, members):
        return np.zeros((1, 2))


class MemoryOfTorch(Remembers):
    def start_memory(self, members):
        return torch.zeros(members, 2)


class MemoryOfNobody(Remembers):
    def start_memory(self):
        return np.zeros((64, 2))


class ForgetsWhomItContacts(Remembers):
    def remember(self, memory, observations, joints):
        return memory[joints == self.space.valid_joints[0]]


class Ranks(Gains):
    """Compares the members it is asked about with each other."""

    def gains(self, observations):
        return super().gains(observations) - observations[:, :1].mean()


class DrawsGains(Gains):
    def gains(self, observations):
        return super().gains(observations) + np.random.default_rng().random((len(observations), 1))


class FewArguments(Constant):
    def fit(self, buffer, n_steps):
        super().fit(buffer, n_steps)


@pytest.mark.parametrize("offered", [Gains, GainsAlone, Remembers])
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
        (WritesIntoTheBuffer, "changes the arrays of the buffer"),
        (Levels, r"shape \(64, 4\)"),
        (Floats, "float64"),
        (Outside, r"64 joint indices outside 0\.\.1079"),
        (Invalid, "64 of 64 actions that are not valid"),
        (Drawing, "the second time"),
        (BatchStatistics, "alone than in a batch"),
        (Tensors, r"predict_probabilities gives a torch tensor.*return tensor\.detach\(\)\.cpu\(\)\.numpy\(\)"),
        (TensorsWithGradients, "predict gives a torch tensor"),
        (Ragged, "predict gives a list, not a NumPy array"),
        (ScalesInPlace, "predict changes the arrays it is given"),
        (SavesAFolder, "save made a folder"),
        (BatchesByName, "batch_size must be a whole number"),
        (NotNormalised, "not summing to 1"),
        (WrongShape, r"shape \(64, 1079\)"),
        (MassOutside, "not valid; mask them"),
        (NotReproducible, "different policies"),
        (NotReproducibleInChances, "different policies"),
        (NotReproducibleInGains, "different policies"),
        (EndsPython, "ends Python .SystemExit.; raise an error instead"),
        (SavesElsewhere, "'model.bin'"),
        (GainsOfAll, r"gains gives float64 of shape \(64, 1080\), not floating-point numbers of shape \(64, 681\)"),
        (WholeGains, "gains gives int64"),
        (GainsNotNumbers, "NaN or infinity in 3 of 64 members"),
        (Forgets, "it has start_memory alone"),
        (NothingInMind, "gains can't be asked with 1 arguments .*'memory'"),
        (OtherMemory, r"remember gives shape \(64,\) for memories of shape \(64, 2\)"),
        (OneNumberInMind, r"start_memory\(64\) gives shape \(64,\), not \(64, m\)"),
        (OneMemoryForAll, r"start_memory\(64\) gives shape \(1, 2\), not \(64, m\)"),
        (MemoryOfTorch, "start_memory gives a Tensor, not a NumPy array"),
        (MemoryOfNobody, "start_memory is called with the number of members alone .too many positional"),
        (ForgetsWhomItContacts, r"remember gives shape \(1, 2\) for memories of shape \(64, 2\)"),
        (Ranks, "for eight members alone than for all"),
        (DrawsGains, "for eight members alone than for all"),
        (FewArguments, "n_steps_per_epoch.*as \\*\\*others"),
        (PRDCConfig(batch_size=16), "can't be used here"),
        (dict, "has no fit and no predict"),
        (lambda: 1 / 0, "can't be made"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)  # fmt: skip
def test_each_fault_is_said(offered, says):
    with pytest.raises(UserError, match=says):
        check_algorithm(offered)


def test_adapting_keeps_what_needs_no_help():
    assert isinstance(adapt(DiscreteBCConfig, MEDICAID_ACTIONS), StockAlgorithm)
    assert isinstance(adapt(TD3PlusBCConfig(), MEDICAID_ACTIONS), ScaledAlgorithm)
    ours = adapt(FactoredAWRConfig(batch_size=7), MEDICAID_ACTIONS)
    assert ours.batch_size == 7
    assert modes(ours) == ("stochastic", "greedy")
    constant = Constant()
    assert adapt(constant, MEDICAID_ACTIONS) is constant
    assert modes(Constant()) == ("stochastic", "greedy")
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

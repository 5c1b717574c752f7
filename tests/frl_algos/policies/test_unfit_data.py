"""Data that an algorithm can't learn from, or be asked about, are one sentence, whichever algorithm it is."""

import numpy as np
import pytest
from d3rlpy.algos import DiscreteCQLConfig
from d3rlpy.logging import NoopAdapterFactory

from frl_algos import (
    AutoregressiveIQLConfig,
    DecoupledCQLConfig,
    FactoredAWRConfig,
    FactoredIQLConfig,
    FactoredReplayBuffer,
)
from frl_algos.policies.adapter import OwnProbabilities, ScaledAlgorithm
from frl_algos.policies.stock import create_stock
from frl_env.actions import ActionSpace, Factor
from frl_env.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")
QUIETLY = {"show_progress": False, "logger_adapter": NoopAdapterFactory()}
SPACE = ActionSpace(
    factors=(Factor(name="a", levels=("NONE", "A")), Factor(name="b", levels=("NONE", "B", "C"))),
    contact_factors=("a", "b"),
)
"""Valid are the joint indices 0, 4 and 5."""

MAKERS = {
    "FactoredAWR": lambda: FactoredAWRConfig(critic="none").create(),
    "factored IQL": lambda: FactoredIQLConfig().create(),
    "autoregressive IQL": lambda: AutoregressiveIQLConfig().create(),
    "decoupled CQL": lambda: DecoupledCQLConfig().create(),
    "stock": lambda: create_stock("discrete_cql", hidden_sizes=(8,)),
    "relaxed": lambda: create_stock("iql", hidden_sizes=(8,)),
    "own": lambda: ScaledAlgorithm(DiscreteCQLConfig().create(), SPACE),
    "own, with probabilities": lambda: OwnProbabilities(DiscreteCQLConfig().create(), SPACE),
}
EVERY = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())


def buffer_of(joints, width=2):
    """Steps of nothing, of one episode each."""
    seen = np.random.default_rng(0).normal(size=(2, len(joints), width))
    return FactoredReplayBuffer(
        observations=seen[0], next_observations=seen[1], actions=SPACE.unravel(np.asarray(joints)),
        rewards=np.zeros(len(joints)), lengths=np.ones(len(joints), int), terminated=np.ones(len(joints), bool),
        action_space=SPACE,
    )  # fmt: skip


@EVERY
def test_logged_actions_that_are_not_valid_are_refused(make):
    with pytest.raises(UserError, match=r"fewer than 11 logged actions are not valid in ActionSpace\(.+\); drop or"):
        make().fit(buffer_of([0, 1, 4, 5, 3]), n_steps=1, **QUIETLY)


@EVERY
def test_it_goes_on_with_as_many_observations_as_before(make):
    algorithm = make()
    algorithm.fit(buffer_of([0, 4, 5] * 8), n_steps=1, **QUIETLY)
    with pytest.raises(UserError, match="made for 2 observations a state, the dataset has 3"):
        algorithm.fit(buffer_of([0, 4, 5] * 8, width=3), n_steps=1, **QUIETLY)


@pytest.mark.parametrize("make", list(MAKERS.values())[:-1], ids=list(MAKERS)[:-1])
def test_states_of_which_a_number_is_missing_are_told(make):
    algorithm = make()
    algorithm.fit(buffer_of([0, 4, 5] * 8), n_steps=1, **QUIETLY)
    for seen, said in [
        (np.full((3, 2), np.nan), "3 of 3 observations hold NaN"),
        (np.zeros((3, 3)), r"observations must have shape \(n, 2\), not \(3, 3\)"),
    ]:
        with pytest.raises(UserError, match=said):
            algorithm.predict(seen)


@pytest.mark.parametrize("name", ["discrete_cql", "iql"])
def test_the_value_of_what_can_not_be_done_is_refused(name):
    algorithm, seen = create_stock(name, hidden_sizes=(8,)), np.zeros((2, 2))
    algorithm.fit(buffer_of([0, 4, 5] * 8), n_steps=1, **QUIETLY)
    assert algorithm.predict_value(seen, np.asarray([[0.0], [4.0]])).shape == (2,)
    for action, said in [
        (np.asarray([-1, 0]), r"1 joint actions lie outside 0\.\.5"),
        (np.asarray([0, 1]), "fewer than 11 actions are not valid; their value is not defined"),
    ]:
        with pytest.raises(UserError, match=said):
            algorithm.predict_value(seen, action)

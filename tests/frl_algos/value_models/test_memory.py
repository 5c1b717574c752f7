"""What valuing holds besides the members' records does not grow with them: only a few numbers a decision do."""

import tracemalloc

import numpy as np
import pytest

from frl_algos import Counterfactual, fitted_q_evaluation
from frl_algos.action_effects.terms import Terms
from frl_algos.logged_data import member_parts
from frl_algos.value_models import responses
from frl_algos.value_models.action_echoes import action_echoes
from frl_algos.value_models.allocations import member_allocations
from frl_algos.value_models.histories import Histories
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.evaluation import LoggedEpisodes

WEEKS = 12
NUMBERS = 60
"""Of eight bytes, that a decision may take: hardly a half of what its history and its actions' terms are."""


def logged(members: int) -> LoggedEpisodes:
    rng = np.random.default_rng(0)
    idle = int(MEDICAID_ACTIONS.ravel(MEDICAID_ACTIONS.null_action))
    valid = MEDICAID_ACTIONS.valid_joints
    observations = rng.poisson(1.0, (members, WEEKS, 7)).astype(np.float32)
    return LoggedEpisodes(
        rewards=-rng.poisson(0.3, (members, WEEKS)).astype(float),
        lengths=np.full(members, WEEKS),
        actions=np.where(rng.random((members, WEEKS)) < 0.5, idle, rng.choice(valid, (members, WEEKS))),
        action_space=MEDICAID_ACTIONS,
        observations=observations,
        simulated=True,
    )


def target(observations):
    chances = np.zeros((len(observations), MEDICAID_ACTIONS.n_joint), dtype=np.float32)
    chances[:, MEDICAID_ACTIONS.valid_joints] = 1 / len(MEDICAID_ACTIONS.valid_joints)
    return chances


def peak(work, members: int) -> int:
    data = logged(members)
    work(data)  # what is imported and kept at the first call is not counted
    tracemalloc.start()
    try:
        work(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def nested(data):
    Counterfactual.fit(data, rng=np.random.default_rng(0), response=0)


def fitted(data):
    fitted_q_evaluation(data, target, rng=np.random.default_rng(0))


def allocated(data):
    member_allocations(target, data, ("HOME_VISIT",))


@pytest.mark.parametrize("work", [nested, fitted, allocated])
def test_a_decision_more_takes_a_few_numbers_more(work, monkeypatch):
    monkeypatch.setattr(member_parts, "VALUES", 100_000)
    monkeypatch.setattr(responses, "ROUNDS", 3)
    few, many = (peak(work, members) for members in (150, 450))
    assert (many - few) / (300 * WEEKS) < 8 * NUMBERS


def test_echoes_of_actions_take_no_columns_a_decision():
    levels = Terms.of_space(MEDICAID_ACTIONS, 7).levels
    rows = {members: Histories.of(logged(members)) for members in (150, 450)}
    taken = {}
    for members, own in rows.items():
        action_echoes(own, levels)
        tracemalloc.start()
        try:
            action_echoes(own, levels)
            taken[members] = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert (taken[450] - taken[150]) / (300 * WEEKS) < 8 * levels.shape[1] / 2

"""Fitted Q evaluation against a small decision process solved by hand."""

import errno

import numpy as np
import pytest

from frl_algos.logged_data import member_parts
from frl_algos.value_models.fitted_q import fitted_q_evaluation
from frl_env.actions import ActionSpace
from frl_env.errors import UserError
from frl_env.evaluation import LoggedEpisodes, direct_method

SPACE = ActionSpace.from_nvec([2, 2])
STEPS = 4


def chain(members: int, seed: int, *, stop: float = 0.0) -> tuple[LoggedEpisodes, np.ndarray]:
    """A coin is tossed each step, heads with 0.8 after an action with first level 1, else with 0.4.

    The reward is 1 for heads on the table plus 0.5 for the second level. The behaviour policy takes any action alike.
    """
    rng = np.random.default_rng(seed)
    heads = rng.random(members) < 0.5
    observations, actions = np.zeros((members, STEPS, 1)), rng.integers(0, 4, (members, STEPS))
    rewards, lengths = np.zeros((members, STEPS)), np.full(members, STEPS)
    alive = np.ones(members, dtype=bool)
    for t in range(STEPS):
        levels = SPACE.unravel(actions[:, t])
        observations[:, t, 0] = heads
        rewards[:, t] = heads + 0.5 * levels[:, 1]
        heads = rng.random(members) < np.where(levels[:, 0] == 1, 0.8, 0.4)
        ends = alive & (rng.random(members) < stop) & (t < STEPS - 1)
        lengths[ends] = t + 1
        alive &= ~ends
    episodes = LoggedEpisodes(
        rewards=rewards,
        lengths=lengths,
        actions=actions,
        action_space=SPACE,
        observations=observations.astype(np.float32),
    )
    return episodes, observations


def policy(first: float, second: float):
    """Independent levels, 1 with these probabilities."""
    table = np.outer([1 - first, first], [1 - second, second]).ravel()
    return lambda observations: np.tile(table, (len(observations), 1))


def solved(first: float, second: float, *, discount: float = 1.0, stay: float = 1.0) -> tuple[float, float]:
    """Q(0, heads, action (1, 1)) and V(0) at the first step, by hand: heads matters for one step only."""
    toss = 0.4 + 0.4 * first
    later = sum((discount * stay) ** k * (toss + 0.5 * second) for k in range(2, STEPS))
    q = 1 + 0.5 + discount * stay * (0.8 + 0.5 * second) + later
    v = 0.5 + 0.5 * second + discount * stay * (toss + 0.5 * second) + later
    return q, v


@pytest.mark.parametrize("target", [(0.5, 0.5), (0.9, 0.1), (0.0, 1.0)])
@pytest.mark.parametrize("discount", [1.0, 0.7])
def test_it_meets_the_hand_solution(target, discount):
    episodes, _ = chain(6_000, seed=1)
    fitted = fitted_q_evaluation(episodes, policy(*target), rng=np.random.default_rng(0), discount=discount)
    q, v = solved(*target, discount=discount)
    assert abs(fitted.estimate.value - v) < 3 * fitted.estimate.standard_error + 0.02
    assert abs(fitted.q(np.ones((1, 1)))[0, 3] - q) < 0.15
    np.testing.assert_allclose(fitted.estimate.value, direct_method(fitted.values).value)
    expected = np.einsum(
        "na,na->n", fitted.q(episodes.observations[:, 0]), policy(*target)(episodes.observations[:, 0])
    )
    np.testing.assert_allclose(expected, fitted.values.policy[:, 0], atol=0.05)


def test_an_episode_that_ends_earns_nothing_more():
    episodes, _ = chain(6_000, seed=2, stop=0.3)
    fitted = fitted_q_evaluation(episodes, policy(0.9, 0.1), rng=np.random.default_rng(0))
    assert abs(fitted.estimate.value - solved(0.9, 0.1, stay=0.7)[1]) < 3 * fitted.estimate.standard_error + 0.05


def test_the_behaviour_policy_is_worth_what_it_got():
    episodes, _ = chain(3_000, seed=3)
    fitted = fitted_q_evaluation(episodes, policy(0.5, 0.5), rng=np.random.default_rng(0))
    assert abs(fitted.estimate.value - episodes.returns().mean()) < 0.03
    chosen = np.take_along_axis(policy(0.5, 0.5)(episodes.actions[:, 0]), episodes.actions[:, :1], axis=1)
    np.testing.assert_allclose(fitted.probabilities[:, :1], chosen)


def test_its_standard_error_is_that_of_replicates():
    found = [
        fitted_q_evaluation(chain(500, seed=10 + seed)[0], policy(0.9, 0.1), rng=np.random.default_rng(0)).estimate
        for seed in range(25)
    ]
    errors = np.mean([estimate.standard_error for estimate in found])
    assert 0.6 < errors / np.std([estimate.value for estimate in found], ddof=1) < 1.6


def test_traces_see_what_no_observation_shows():
    """The first action pays at the end, and nothing in between shows it."""
    rng = np.random.default_rng(5)
    actions = rng.integers(0, 4, (4_000, STEPS))
    rewards = np.zeros(actions.shape)
    rewards[:, -1] = SPACE.unravel(actions[:, 0])[:, 0]
    episodes = LoggedEpisodes(
        rewards=rewards,
        lengths=np.full(len(actions), STEPS),
        actions=actions,
        action_space=SPACE,
        observations=np.zeros((*actions.shape, 1), dtype=np.float32),
    )
    always, never = (
        {
            trace: fitted_q_evaluation(
                episodes, policy(first, 0.5), rng=np.random.default_rng(0), trace=trace
            ).estimate.value
            for trace in (0.0, 1.0)
        }
        for first in (1.0, 0.0)
    )
    assert always[1.0] - never[1.0] > 0.2
    assert abs(always[0.0] - never[0.0]) < 0.1


def test_mistakes_are_said():
    episodes, _ = chain(50, seed=1)
    for settings, words in (({"trace": 2.0}, "trace"), ({"discount": -1.0}, "discount"), ({"folds": 99}, "folds")):
        with pytest.raises(UserError, match=words):
            fitted_q_evaluation(episodes, policy(0.5, 0.5), rng=np.random.default_rng(0), **settings)
    with pytest.raises(UserError, match="don't sum to 1"):
        fitted_q_evaluation(episodes, lambda x: np.ones((len(x), 4)), rng=np.random.default_rng(0))


def test_a_member_has_no_part_in_its_own_values():
    episodes, _ = chain(100, seed=6)
    changed = episodes.rewards.copy()
    changed[7] += 5.0
    other = LoggedEpisodes(
        rewards=changed,
        lengths=episodes.lengths,
        actions=episodes.actions,
        action_space=SPACE,
        observations=episodes.observations,
    )
    before, after = (
        fitted_q_evaluation(data, policy(0.9, 0.1), rng=np.random.default_rng(0)) for data in (episodes, other)
    )
    own = before.fold == before.fold[7]
    np.testing.assert_allclose(before.values.logged[own], after.values.logged[own], rtol=1e-4)
    assert np.abs(before.values.logged[~own] - after.values.logged[~own]).min() > 1e-4


def test_the_target_is_asked_once_in_every_state(monkeypatch):
    """Also where the members are taken some at a time, and to the same numbers."""
    episodes, _ = chain(200, 3, stop=0.2)
    asked = []

    def counting(observations):
        asked.append(len(observations))
        return policy(0.7, 0.2)(observations)

    whole = fitted_q_evaluation(episodes, counting, rng=np.random.default_rng(0))
    assert sum(asked) == episodes.mask.sum()
    monkeypatch.setattr(member_parts, "VALUES", 10_000)
    parts = fitted_q_evaluation(episodes, counting, rng=np.random.default_rng(0))
    assert len(asked) > 3
    np.testing.assert_allclose(parts.values.policy, whole.values.policy, rtol=1e-6)


def test_what_the_target_says_is_shown_once_a_decision():
    episodes, _ = chain(200, 3, stop=0.2)
    target, shown = policy(0.7, 0.2), []
    fitted_q_evaluation(episodes, target, rng=np.random.default_rng(0), shown=shown.append)
    np.testing.assert_array_equal(np.concatenate(shown), target(episodes.observation_rows))


@pytest.mark.parametrize("step", ["write", "seek"])
def test_a_full_disk_is_said(step, monkeypatch):
    class Full:
        def write(self, data):
            self._fail("write")

        def seek(self, place):
            self._fail("seek")

        def close(self):
            self._fail("write")

        def _fail(self, at):
            if at == step:
                raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("frl_algos.logged_data.kept_parts.tempfile.TemporaryFile", Full)
    episodes, _ = chain(200, 3)
    with pytest.raises(UserError, match=r"can't keep a policy's answers in .*No space left.*TMPDIR"):
        fitted_q_evaluation(episodes, policy(0.7, 0.2), rng=np.random.default_rng(0))

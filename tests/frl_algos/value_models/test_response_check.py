"""An observation is a response only when it behaves like one; else the nested model is no headline."""

import numpy as np
import pytest

from benchmarks.worlds.episodes import log_rows
from benchmarks.worlds.linear_bandit import LinearBandit
from frl_algos import Counterfactual
from frl_algos.value_models.fitted_q import fitted_q_evaluation
from frl_algos.value_models.histories import Histories
from frl_algos.value_models.selection import select_policy
from frl_algos.value_models.value_policy import value_policy
from frl_env.actions import ActionSpace, Factor
from frl_env.evaluation import LoggedEpisodes

pytestmark = pytest.mark.usefixtures("one_thread")

RESPONSE, COIN, OUTCOME, ECHO = range(4)
SPACE = ActionSpace(factors=(Factor(name="way", levels=("NONE", "CALL", "TEXT")),), contact_factors=("way",))


def care(members: int = 300, steps: int = 12, *, effect: float = 0.1, direct: float = 0.0) -> LoggedEpisodes:
    """Half of the attempts are answered; an answer is worth `effect`, an attempt itself `direct`."""
    rng = np.random.default_rng(3)
    actions = rng.choice(3, size=(members, steps), p=[0.5, 0.25, 0.25])
    answered = (actions > 0) & (rng.random(actions.shape) < 0.5)
    rewards = effect * answered + direct * (actions > 0) + rng.normal(size=actions.shape)
    seen = np.zeros((members, steps + 1, 4), dtype=np.float32)
    seen[:, 1:, RESPONSE] = answered
    seen[:, :, COIN] = rng.random((members, steps + 1)) < 0.5
    seen[:, 1:, OUTCOME] = np.where(actions > 0, rewards > 0.5, 0)
    seen[:, 1:, ECHO] = actions == 1
    return LoggedEpisodes(
        rewards=rewards,
        lengths=np.full(members, steps),
        actions=actions,
        action_space=SPACE,
        observations=seen[:, :-1],
        propensities=np.where(actions > 0, 0.25, 0.5),
        simulated=True,
    )


def doubt(episodes: LoggedEpisodes, response: int | None) -> str | None:
    return Counterfactual.fit(episodes, rng=np.random.default_rng(0), response=response).response_doubt


def always_call(observations):
    return np.tile([0.0, 1.0, 0.0], (len(observations), 1))


def test_a_response_is_one():
    assert doubt(care(), RESPONSE) is None


@pytest.mark.parametrize(
    ("response", "settings", "why"),
    [
        (None, {}, "no observation shows"),
        (COIN, {}, "of the decisions without an attempt"),
        (OUTCOME, {}, "it is the outcome"),
        (ECHO, {}, "settled by the action"),
        (RESPONSE, {"members": 60}, "fewer than 50 people"),
        (RESPONSE, {"direct": 1.0}, "attempts that were not answered explain"),
    ],
)
def test_what_is_none_is_refused_and_why(response, settings, why):
    assert why in (doubt(care(**settings), response) or "")


def test_the_nested_model_is_the_headline_only_with_a_response():
    for response, name in ((RESPONSE, "SNM"), (COIN, "WDR clip 30")):
        found = value_policy(always_call, care(), response=response)
        assert found.headline_estimator == name
        assert ("SNM is not the headline" in found.sentence) == (response == COIN)


def test_histories_are_made_once_for_both_models(monkeypatch):
    episodes, made, inner = care(), [], Histories.of
    monkeypatch.setattr(Histories, "of", lambda data: made.append(data) or inner(data))
    shared = value_policy(always_call, episodes, response=0)
    assert made == [episodes]
    alone = fitted_q_evaluation(episodes, always_call, rng=np.random.default_rng(0)).estimate
    np.testing.assert_array_equal(shared.results["FQE"].estimate.plain, alone.plain)


def test_a_collapsed_policy_on_a_bandit_is_withheld():
    logged = log_rows(LinearBandit(), rows=20_000, seed=0)
    space = LinearBandit().space
    joint = space.ravel(logged.actions)
    chances = [p / p.sum() for p in LinearBandit().preferences]
    each = np.einsum("a,b,c->abc", *chances).ravel()
    episodes = LoggedEpisodes(
        rewards=logged.rewards.astype(float),
        lengths=logged.lengths,
        actions=joint,
        action_space=space,
        observations=logged.observations[:, :-1],
        propensities=each[joint],
        simulated=True,
    )

    def collapsed(observations):
        return np.tile(np.eye(space.n_joint)[7], (len(observations), 1))

    found = value_policy(collapsed, episodes)
    assert found.headline is None
    assert "members carry the weight" in found.sentence
    assert "SNM is not the headline: no observation shows whether an attempt was answered." in found.sentence
    choice = select_policy({"collapsed": collapsed}, episodes, rng=np.random.default_rng(0))
    assert choice.doubt == "no observation shows whether an attempt was answered"

"""Values of policies by a model of recurring states: right all the way, and states that hide something are seen."""

import numpy as np
import pytest
import torch

from frl_algos.action_effects.logged_steps import LoggedSteps, recurring
from frl_algos.action_effects.model_value import ModelOfSteps
from frl_algos.factored_awr.critic_selection.held_out import bar, mean_and_error
from frl_algos.factored_awr.critic_selection.model_judge import LOWER, ModelJudge
from frl_algos.factored_awr.extraction import TEMPERATURES

PLACES = 5


def _walks(people=4_000, seed=0, remembered=0.0):
    """Five places in a row; action 1 goes on with probability 0.9, action 0 falls out with 0.5; 1 behind the last.

    Logged at random. With `remembered`, each action 1 also costs so much at the end, which no place shows.
    """
    rng = np.random.default_rng(seed)
    before, after, actions, rewards, ended, episodes = [], [], [], [], [], []
    for person in range(people):
        place, owed = 0, 0.0
        while place < PLACES:
            action = int(rng.random() < 0.5)
            on = rng.random() < (0.9 if action else 0.5)
            owed += remembered * action
            over = not on or place == PLACES - 1
            before.append(place)
            after.append(PLACES if over else place + 1)
            actions.append(action)
            rewards.append(float(on and over) - owed * over)
            ended.append(float(over))
            episodes.append(person)
            place = after[-1]
    seen = np.concatenate([np.eye(PLACES), np.zeros((1, PLACES))]).astype(np.float32)
    states = recurring(seen[before], seen[after])
    columns = (np.asarray(column) for column in (actions, rewards, ended, episodes))
    names = ("actions", "rewards", "ended", "episodes")
    return LoggedSteps(states=states, **dict(zip(names, columns, strict=True)), valid=2, gamma=1.0)


def test_a_policy_is_valued_all_the_way():
    """Always going on is worth 0.9^5, the logged policy 0.7^5. To first order the gain is 5 x (0.9/0.7 - 1) 0.7^5."""
    steps = _walks()
    model = ModelOfSteps(steps, np.ones(len(steps.actions), bool))
    policy = np.tile([0.0, 1.0], (len(steps.states.states), 1))
    mean, error = mean_and_error(model.gains(policy))
    assert mean == pytest.approx(0.9**5 - 0.7**5, abs=3 * error)
    assert error < 0.03
    assert mean - 5 * (0.9 / 0.7 - 1) * 0.7**5 > 3 * error


def test_the_logged_policy_gains_nothing():
    steps = _walks(people=500)
    model = ModelOfSteps(steps, np.ones(len(steps.actions), bool))
    counts = np.zeros((len(steps.states.states), 2))
    np.add.at(counts, (steps.states.before, steps.actions), 1.0)
    gains = model.gains(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
    np.testing.assert_allclose(gains, 0.0, atol=1e-9)


@pytest.mark.parametrize(("remembered", "fits"), [(0.0, True), (0.2, False)])
def test_states_that_hide_what_matters_are_seen(remembered, fits):
    steps = _walks(remembered=remembered)
    people = steps.episodes
    assert ModelJudge(steps, people % 2, people).fits(np.eye(2)) is fits


def _judge(people=4_000):
    """Of walks, with half of the people each, and a clone that knows that they were logged at random."""
    steps = _walks(people=people)
    judge = ModelJudge(steps, steps.episodes % 2, steps.episodes)
    judge.take_behaviour(torch.full((len(steps.states.states), 2), float(np.log(0.5))), 0.0)
    return judge, steps


def test_a_lower_temperature_is_chosen_where_it_gains():
    """One place has advantages a hundred times as large, so that elsewhere they show at low temperatures only."""
    judge, steps = _judge()
    first = steps.states.before[0]
    scores = torch.zeros(len(steps.states.states), 2)
    scores[:, 1] = 0.1
    scores[first, 1] = 10.0
    worth = judge.worth([scores, scores])
    assert worth.temperature == min(LOWER)
    assert worth.calmer is None
    assert worth.whole.mean() > judge.worth([scores, scores], min(TEMPERATURES)).whole.mean() + 0.1


def test_of_temperatures_that_gain_alike_the_highest_is_followed(monkeypatch):
    """0.03 gains most; 0.1 is behind it by less than two errors, 0.3 by more."""
    judge, _ = _judge(people=400)
    noise = np.random.default_rng(0).normal(size=400)
    noise -= noise.mean()
    gains = {0.3: np.full(400, -1.0), 0.1: noise - 0.08, 0.03: np.zeros(400), 0.01: np.full(400, -1.0)}
    monkeypatch.setattr(judge, "_gains", lambda halves, temperature: gains.get(temperature, np.zeros(400)))
    worth = judge.worth([])
    assert (worth.temperature, worth.calmer.temperature) == (0.03, 0.1)
    assert {other.temperature for other in worth.passed_over} == {*TEMPERATURES, *LOWER} - {0.03}


def test_without_advantages_a_policy_is_worth_as_much_as_the_clone():
    judge, steps = _judge(people=400)
    none = torch.zeros(len(steps.states.states), 2)
    worth = judge.worth([none, none])
    assert (worth.nearby == 0).all()
    assert (worth.whole != 0).any(), "the clone is not quite what was logged"
    sharp = torch.zeros(len(steps.states.states), 2)
    sharp[:, 1] = 1.0
    mixed = judge.worth([none, sharp])
    assert (mixed.nearby[1::2] == 0).all(), "judged by those whom the other half's scores were not made from"
    assert (mixed.nearby[0::2] != 0).any()


def test_the_more_candidates_the_higher_the_bar():
    """One: 1.96. Twenty that differ: near the 0.975^(1/20) quantile, 3.02. Twenty that are the same: as one."""
    rng = np.random.default_rng(0)
    gains = rng.normal(size=(20, 5_000))
    assert bar([gains[0]]) == pytest.approx(1.96, abs=0.05)
    assert bar(list(gains)) == pytest.approx(3.02, abs=0.08)
    assert bar([gains[0]] * 20) == pytest.approx(1.96, abs=0.05)
    assert bar([np.zeros(10)]) == 0.0

"""Rankings: what they look at, whom they visit, and that the same data give the same list."""

import dataclasses
from collections import Counter

import numpy as np
import pytest

from benchmarks.training import algorithms
from frl_algos.logged_data.replay import FactoredReplayBuffer
from frl_algos.logged_data.signed_logarithm import squash
from frl_algos.member_rankings import VISITS, LoggedVisits, RiskRanking, SpendingRanking, UpliftRanking, Visits, uplift
from frl_algos.member_rankings.records import FADINGS, Record, logged_records
from frl_env.actions import MEDICAID_ACTIONS, ActionSpace
from frl_env.capacity import Budgeted, Capacity, decide_within
from frl_env.care_effort import care_effort
from frl_env.datasets import Recipe, build_dataset
from frl_env.errors import UserError
from frl_env.parameters import preset

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = (
    "num_encounters_last_week", "num_ed_visits_last_week", "num_ip_visits_last_week", "num_calls_last_week",
    "num_texts_last_week", "enrolled_days", "total_paid",
)  # fmt: skip
NOTHING = int(MEDICAID_ACTIONS.ravel(MEDICAID_ACTIONS.null_action))


@pytest.fixture(scope="module")
def buffer():
    from frl_algos import load_replay_buffer

    made = Recipe(dataset_id="tests/peers-v0", description="for tests", members=600, seed=5, horizon=26)
    return load_replay_buffer(build_dataset(made), seed=1)


@pytest.fixture(scope="module", params=algorithms.PEERS)
def peer(request, buffer):
    made = algorithms.create(request.param, NAMES, buffer.action_space)
    made.fit(buffer)
    return made


def test_whoever_gets_a_visit_has_the_highest_score_and_then_rests(peer, buffer):
    few = buffer.observations[:300]
    effort = care_effort(preset())
    memory = peer.start_memory(300)
    scores = peer.scores(few, memory[:, 2:])
    assert (scores > 0).all()
    visit = effort.minutes[peer.joints].max()
    rng = np.random.default_rng(0)
    chosen = decide_within(peer, effort, Capacity(minutes=10 * visit / 300), few, rng, memory=memory).joints
    contacted = chosen != NOTHING
    assert contacted.sum() == 10
    assert scores[contacted].min() >= np.sort(scores)[-10]
    first = int(peer.visits.joints(MEDICAID_ACTIONS)[0])
    assert set(chosen[contacted]) == {first}
    for week in range(VISITS.rest):
        memory = peer.remember(memory, few, chosen)
        gains = peer.gains(few, memory)
        assert np.isneginf(gains[contacted]).all(), week
        assert np.isfinite(gains[~contacted].max(axis=1)).all()
        chosen = np.full(300, NOTHING)
    memory = peer.remember(memory, few, chosen)
    second = int(peer.visits.joints(MEDICAID_ACTIONS)[1])
    assert (peer.joints[peer.gains(few, memory)[contacted].argmax(axis=1)] == second).all(), "the next of three goals"


@pytest.mark.parametrize("name", algorithms.PEERS)
def test_the_same_data_give_the_same_list(name, buffer):
    first, again = (algorithms.create(name, NAMES, buffer.action_space) for _ in range(2))
    few = buffer.observations[:200]
    first.fit(buffer)
    again.fit(buffer)
    memory = first.start_memory(200)
    np.testing.assert_array_equal(again.gains(few, memory), first.gains(few, memory))


def test_it_goes_through_budgeted_and_keeps_its_memory(buffer):
    from frl_env.rollout import rollout

    made = algorithms.create("risk_ranking_history", NAMES, buffer.action_space)
    made.fit(buffer)
    parameters = preset()
    policy = Budgeted(made, care_effort(parameters), Capacity(minutes=3.0))
    attempts = []

    def watch(week, members, before, levels, after, outcome):
        attempts.append(outcome.attempted)

    returns = rollout(policy, parameters, members=200, seed=2, horizon=12, record=watch)
    assert 1.0 < returns.summary()["effort_minutes_per_week"] <= 3.0
    table = np.stack(attempts)
    for week in range(12):
        assert not (table[week] & table[week + 1 : week + 1 + VISITS.rest]).any(), "four weeks of rest"


def test_a_risk_ranking_tells_who_has_events(buffer):
    """Boosted by the record: members at the top have more events in the following weeks than those at the bottom."""
    for history in ((), (1, 2, 6)):
        made = RiskRanking(history=history)
        half = buffer.lengths.cumsum()[299]
        made.fit(buffer)
        logged = logged_records(buffer, made.record, np.random.default_rng(0))
        later = logged.rows >= half
        risk = made._model.predict(logged.columns[later])
        top = risk >= np.quantile(risk, 0.9)
        assert logged.events[later][top].mean() > 2 * logged.events[later][~top].mean()


def test_records_are_what_rollouts_remember(buffer):
    record = Record((1, 6))
    logged = logged_records(buffer, record, np.random.default_rng(0))
    episode = 7
    own = np.flatnonzero(logged.episodes == episode)
    memory = record.start(1)
    for row, columns in zip(logged.rows[own], logged.columns[own], strict=True):
        week = buffer.observations[row : row + 1]
        np.testing.assert_allclose(record.columns(memory, week)[0], columns)
        memory = record.remember(memory, week)
    by_hand = squash(buffer.observations[buffer.starts[episode], [1, 6]].astype(np.float64))
    np.testing.assert_allclose(logged.columns[own[0]][7:9], by_hand)
    assert logged.columns.shape[1] == 7 + 2 * len(FADINGS)


def test_events_ahead_are_those_of_four_weeks_and_known(buffer):
    logged = logged_records(buffer, Record(), np.random.default_rng(0))
    for place in (0, 100, len(logged.rows) - 1):
        row, episode = logged.rows[place], logged.episodes[place]
        end = buffer.starts[episode] + buffer.lengths[episode]
        assert row + 4 <= end or buffer.terminated[episode]
        assert logged.events[place] == pytest.approx(-buffer.rewards[row : min(row + 4, end)].sum())


def test_uplift_finds_those_on_whom_contacts_work():
    """In made-up members whose contacts prevent events where the first observation is positive, and nowhere else."""
    rng = np.random.default_rng(0)
    members, weeks = 1_500, 12
    space = MEDICAID_ACTIONS
    x = np.repeat(rng.choice([-1.0, 1.0], size=members), weeks)
    visit = VISITS.joints(space)[0]
    attempt = rng.random(members * weeks) < 0.5
    answered = attempt & (rng.random(members * weeks) < 0.5)
    events = rng.random(members * weeks) < np.where(answered & (x > 0), 0.05, 0.5)
    observations = np.column_stack([np.zeros(len(x)), x]).astype(np.float32)
    following = np.column_stack([answered, x]).astype(np.float32)
    made = FactoredReplayBuffer(
        observations=observations, actions=space.unravel(np.where(attempt, visit, NOTHING)),
        rewards=-events.astype(np.float32), next_observations=following, lengths=np.full(members, weeks),
        terminated=np.zeros(members, dtype=bool), action_space=space,
    )  # fmt: skip
    for response in (0, None):
        peer = UpliftRanking(response=response)
        peer.fit(made)
        high, low = peer.scores(np.asarray([[0, 1], [0, -1]], dtype=np.float32), peer.start_memory(2)[:, 2:])
        assert high > low + 0.05


def test_uplift_has_all_spells_of_a_person_in_one_half(monkeypatch):
    rng = np.random.default_rng(0)
    people, weeks = 200, 6
    rows = 2 * people * weeks
    who = np.repeat(np.arange(people), 2 * weeks).astype(np.float32)
    visit = VISITS.joints(MEDICAID_ACTIONS)[0]
    made = FactoredReplayBuffer(
        observations=who[:, None], next_observations=who[:, None],
        actions=MEDICAID_ACTIONS.unravel(np.where(rng.random(rows) < 0.5, visit, NOTHING)),
        rewards=-(rng.random(rows) < 0.2).astype(np.float32), lengths=np.full(2 * people, weeks),
        terminated=np.zeros(2 * people, dtype=bool), action_space=MEDICAID_ACTIONS,
        people=np.repeat(np.arange(people), 2),
    )  # fmt: skip
    fitted, regression = [], uplift._regression

    def seen(loss, settings):
        found = regression(loss, settings)
        fit = found.fit
        found.fit = lambda columns, *rest, **more: fitted.append(set(columns[:, 0])) or fit(columns, *rest, **more)
        return found

    monkeypatch.setattr(uplift, "_regression", seen)
    UpliftRanking().fit(made)
    one, other, _ = fitted
    assert not one & other
    assert len(one | other) == people


def test_the_teams_own_contacts_are_those_it_makes_most(buffer):
    space = buffer.action_space
    found = LoggedVisits(among={"modality": "HOME_VISIT"}, turns=2).of(buffer)
    names = space.decode(space.joint_levels[buffer.actions])
    home = names[names[:, 0] == "HOME_VISIT"]
    counts = {goal: int((home[:, 2] == goal).sum()) for goal in space["goal"].levels}
    most = sorted(counts, key=lambda goal: -counts[goal])[:2]
    assert [contact["goal"] for contact in found.contacts] == most
    for contact in found.contacts:
        same = home[home[:, 2] == contact["goal"]]
        often = Counter(map(tuple, same))
        assert often[tuple(contact.values())] == max(often.values())
    nameless = ActionSpace.from_nvec([3, 2])
    assert LoggedVisits(turns=1).of(_logged(nameless, [[0, 0], [1, 1], [1, 1], [2, 0]])).contacts == (
        {"factor_0": "L1", "factor_1": "L1"},
    )
    with pytest.raises(UserError, match="holds no contact"):
        LoggedVisits().of(_logged(nameless, [[0, 0]] * 4))
    with pytest.raises(UserError, match="turns"):
        LoggedVisits(turns=0)


def _logged(space, actions):
    rows = len(actions)
    return FactoredReplayBuffer(
        observations=np.zeros((rows, 1), dtype=np.float32), actions=np.asarray(actions),
        rewards=np.zeros(rows, dtype=np.float32), next_observations=np.zeros((rows, 1), dtype=np.float32),
        lengths=np.asarray([rows]), terminated=np.zeros(1, dtype=bool), action_space=space,
    )  # fmt: skip


def test_what_does_not_fit_is_said(buffer):
    other = ActionSpace.from_nvec([3, 2])
    with pytest.raises(UserError, match="modality"):
        VISITS.joints(other)
    with pytest.raises(UserError, match=r"HOME_VISITS.*did you mean"):
        Visits(contacts=({"modality": "HOME_VISITS"},)).joints(MEDICAID_ACTIONS)
    with pytest.raises(UserError, match="is no contact"):
        Visits(contacts=({"modality": "HOME_VISIT"},)).joints(MEDICAID_ACTIONS)
    with pytest.raises(UserError, match="no contact is named"):
        Visits(contacts=())
    with pytest.raises(UserError, match="rest"):
        dataclasses.replace(VISITS, rest=-1)
    with pytest.raises(UserError, match="observation 9, and there are 7"):
        SpendingRanking(9).fit(buffer)
    with pytest.raises(UserError, match="there are 7"):
        RiskRanking(history=(7,)).fit(buffer)
    with pytest.raises(UserError, match="call fit first"):
        _ = RiskRanking().joints
    with pytest.raises(UserError, match="total_paid"):
        algorithms.create("spending_ranking", ("num_ed_visits_last_week",), MEDICAID_ACTIONS)
    eventless = FactoredReplayBuffer(
        observations=buffer.observations[:20], actions=MEDICAID_ACTIONS.unravel(buffer.actions[:20]),
        rewards=np.zeros(20), next_observations=buffer.next_observations[:20], lengths=np.asarray([20]),
        terminated=np.asarray([False]), action_space=MEDICAID_ACTIONS,
    )  # fmt: skip
    for ranking in (RiskRanking(), UpliftRanking()):
        with pytest.raises(UserError, match="there is no event in the data"):
            ranking.fit(eventless)
    eventless.rewards[-1] = -1.0
    with pytest.raises(UserError, match="both halves"):
        UpliftRanking().fit(eventless)


def test_a_list_that_is_not_fitted_and_a_response_that_does_not_exist_are_one_sentence(tiny_buffer):
    seen, nobody = tiny_buffer.observations[:2], np.zeros((2, 2))
    for call, text in [
        (lambda: RiskRanking().start_memory(2), "RiskRanking has no list yet; call fit first"),
        (lambda: SpendingRanking(0).gains(seen), "SpendingRanking has no list yet"),
        (lambda: UpliftRanking().remember(nobody, seen, np.zeros(2, dtype=np.int64)), "UpliftRanking has no list yet"),
        (lambda: UpliftRanking(response=7).fit(tiny_buffer), "response is observation 7, and there are 7"),
        (lambda: UpliftRanking(response=-1).fit(tiny_buffer), "response is observation -1, and there are 7"),
    ]:
        with pytest.raises(UserError, match=text):
            call()

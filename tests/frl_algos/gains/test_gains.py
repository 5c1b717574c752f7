"""The model of a member: what is remembered, what is estimated, and what FactoredAWR makes of it under a budget."""

import d3rlpy
import numpy as np
import pytest

from frl_algos import FactoredAWRConfig, FactoredReplayBuffer, load_model, save_model
from frl_algos.gains import estimating
from frl_algos.gains.log_linear import fit_logistic, fit_poisson
from frl_algos.gains.member_model import bent
from frl_algos.gains.memory import FADINGS, LONG_AGO, NEED_FADING, MemoryLayout
from frl_algos.gains.shrunk_regression import variational_posterior
from frl_algos.policies.policy import has_gains
from frl_env.actions import ActionSpace, Factor
from frl_env.capacity.capacity import Capacity
from frl_env.capacity.effort import Effort
from frl_env.errors import UserError

SPACE = ActionSpace(
    factors=(
        Factor(name="channel", levels=("NONE", "TEXT", "VISIT"), null="NONE"),
        Factor(name="topic", levels=("NONE", "FOOD", "PILLS"), null="NONE"),
    ),
    contact_factors=("channel", "topic"),
)
EFFORT = Effort.of_levels(SPACE, {"channel": {"TEXT": 2, "VISIT": 60}})
MEMBERS, WEEKS = 3_000, 30


def _program(seed: int = 0, effect: float = 0.6, texts: float = 0.5) -> FactoredReplayBuffer:
    """Members of lasting, unequal risk; answered visits lower it for the six weeks after, texts do nothing.

    Observations: whether the last contact was answered, events of the last week.
    """
    rng = np.random.default_rng(seed)
    risk = rng.gamma(0.7, 0.15 / 0.7, MEMBERS)
    helped = np.zeros(MEMBERS)
    observations = np.zeros((MEMBERS, WEEKS + 1, 2), dtype=np.float32)
    actions = np.zeros((MEMBERS, WEEKS, 2), dtype=np.int64)
    rewards = np.zeros((MEMBERS, WEEKS), dtype=np.float32)
    for week in range(WEEKS):
        acts = rng.random(MEMBERS) < 0.25
        actions[acts, week, 0] = np.where(rng.random(acts.sum()) < texts, 1, 2)
        actions[acts, week, 1] = rng.integers(1, 3, acts.sum())
        answered = acts & (rng.random(MEMBERS) < 0.5)
        helped = np.where(answered & (actions[:, week, 0] == 2), 6, np.maximum(helped - 1, 0))
        events = rng.poisson(risk * np.where(helped > 0, 1 - effect, 1.0))
        rewards[:, week] = -events
        observations[:, week + 1, 0] = answered
        observations[:, week + 1, 1] = events
    rows = MEMBERS * WEEKS
    buffer = FactoredReplayBuffer(
        observations=observations[:, :-1].reshape(rows, 2),
        actions=actions.reshape(rows, 2),
        rewards=rewards.reshape(rows),
        next_observations=observations[:, 1:].reshape(rows, 2),
        lengths=np.full(MEMBERS, WEEKS),
        terminated=np.zeros(MEMBERS, dtype=bool),
        action_space=SPACE,
    )
    buffer.effort = EFFORT
    return buffer


def _fitted(buffer: FactoredReplayBuffer, **settings: object):  # type: ignore[no-untyped-def]
    algorithm = FactoredAWRConfig(response=0, td_lambda=0.8, **settings).create()  # type: ignore[arg-type]
    algorithm.fit(buffer, n_steps=2, show_progress=False, logger_adapter=d3rlpy.logging.NoopAdapterFactory())
    return algorithm


@pytest.fixture(scope="module")
def buffer() -> FactoredReplayBuffer:
    return _program()


@pytest.fixture(scope="module")
def algorithm(buffer):  # type: ignore[no-untyped-def]
    return _fitted(buffer)


def _fold(algorithm, buffer: FactoredReplayBuffer, weeks: int):  # type: ignore[no-untyped-def]
    memory = algorithm.start_memory(MEMBERS)
    observations = buffer.observations.reshape(MEMBERS, WEEKS, 2)
    actions = buffer.actions.reshape(MEMBERS, WEEKS)
    for week in range(weeks):
        memory = algorithm.remember(memory, observations[:, week], actions[:, week])
    return memory, observations[:, weeks]


def test_memory_keeps_fading_sums_and_weeks_since() -> None:
    layout = MemoryLayout(2, response=0, needs=2)
    memory = layout.start(1)
    weeks = [([0.0, 1.0], 0), ([1.0, 0.0], -1), ([0.0, 3.0], 1)]
    for observation, need in weeks:
        memory = layout.remember(memory, np.asarray([observation], dtype=np.float32), np.asarray([need]))
    now = np.asarray([[0.0, 0.0]], dtype=np.float32)
    contacts = layout.contacts(memory, now)[0]
    for number, fading in enumerate(FADINGS):
        assert contacts[number] == pytest.approx(fading**3 + fading, rel=1e-5)
    assert contacts[-2] == 1  # attempted last week
    assert contacts[-1] == 3  # the contact of three weeks ago was answered
    assert layout.met(memory, now)[0] == pytest.approx([NEED_FADING**2, 0.0])  # two weeks ago it was known
    answered = np.asarray([[1.0, 0.0]], dtype=np.float32)
    assert layout.met(memory, answered)[0] == pytest.approx([NEED_FADING**2, 1.0])
    features = layout.features(memory, now, np.zeros(2), np.asarray([False, True]))[0]
    f = FADINGS[0]
    mean = (f**3 * np.log1p(1) + f * np.log1p(3)) / (f**3 + f**2 + f + 1)
    assert features[1] == pytest.approx(mean, rel=1e-5)
    assert layout.contacts(layout.start(1), now)[0, -2:].tolist() == [LONG_AGO, LONG_AGO]


def test_generalised_linear_models_find_their_weights() -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([np.ones(40_000), rng.normal(size=(40_000, 2))])
    weights = np.asarray([-2.0, 0.5, -0.3])
    exposure = rng.uniform(0.5, 4, len(x))
    events = rng.poisson(exposure * np.exp(x @ weights))
    assert fit_poisson(x, events, exposure) == pytest.approx(weights, abs=0.03)
    answers = rng.random(len(x)) < 1 / (1 + np.exp(-(x @ weights)))
    assert fit_logistic(x, answers.astype(float)) == pytest.approx(weights, abs=0.06)


def test_variational_posterior_shrinks_noise_and_keeps_what_is_there() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2_000, 21))
    y = 1.0 * x[:, 0] + rng.normal(size=2_000)
    groups = np.asarray([0] + [1] * 20)
    mean, covariance = variational_posterior(x.T @ x, x.T @ y, groups, np.asarray([0.5, 0.5]), np.zeros(2, dtype=bool))
    least_squares = np.linalg.lstsq(x, y, rcond=None)[0]
    assert mean[0] == pytest.approx(1.0, abs=0.08)
    assert np.abs(mean[1:]).mean() < 0.7 * np.abs(least_squares[1:]).mean()
    assert np.sqrt(covariance[0, 0]) == pytest.approx(1 / np.sqrt(2_000), rel=0.15)


def test_forecast_ranks_members_and_is_calibrated(algorithm, buffer: FactoredReplayBuffer) -> None:  # type: ignore[no-untyped-def]
    memory, now = _fold(algorithm, buffer, 20)
    parts = algorithm.predict_gains(now, memory=memory)
    ahead = -buffer.rewards.reshape(MEMBERS, WEEKS)[:, 20:].sum(axis=1) / 10
    window = 1 / (1 - algorithm.config.gamma * algorithm.config.td_lambda)
    weekly = parts.expected_events / window
    assert weekly.mean() == pytest.approx(ahead.mean(), rel=0.1)
    order = np.argsort(weekly)
    for tenth in np.array_split(order, 4):
        assert weekly[tenth].mean() == pytest.approx(ahead[tenth].mean(), rel=0.3)
    assert ahead[order[-300:]].mean() > 4 * ahead[order[:1500]].mean()


def test_a_forecast_that_says_too_little_of_the_ill_is_bent() -> None:
    """Half the slope on the logarithm: what half of the members show of it is put right for the other half."""
    rng = np.random.default_rng(2)
    score = rng.normal(size=40_000)
    rows = {
        name: np.zeros(len(score), dtype=bool) for name in ("actions", "attempted", "answered", "signs", "contacts")
    }
    sample = estimating._Rows(
        features=score[:, None], events=rng.poisson(np.exp(score - 2)).astype(float), weeks=np.ones(len(score)),
        members=np.arange(len(score)), **rows,
    )  # fmt: skip
    weights = np.tile([-2.0, 0.5], (3, 1))
    knots, coefficients = estimating._bend(sample, np.zeros(1), np.ones(1), weights)
    for low, high in ((-3, -1), (-1, 0), (0, 1), (1, 3)):
        kept = (score >= low) & (score < high)
        forecast = np.exp(bent(-2 + 0.5 * score, knots, coefficients))
        assert forecast[kept].mean() == pytest.approx(np.exp(score[kept] - 2).mean(), rel=0.08)


def test_what_contacts_write_is_no_sign_of_need(algorithm) -> None:  # type: ignore[no-untyped-def]
    """The encounter that a contact makes is left out of the forecast; events stay in."""
    assert algorithm.impl.modules.gains.chosen.tolist() == [False, True]


def test_visits_gain_and_texts_do_not(algorithm, buffer: FactoredReplayBuffer) -> None:  # type: ignore[no-untyped-def]
    memory, now = _fold(algorithm, buffer, 20)
    parts = algorithm.predict_gains(now, memory=memory)
    levels = SPACE.joint_levels[SPACE.valid_joints]
    visit, text = levels[:, 0] == 2, levels[:, 0] == 1
    assert parts.share[0, visit].min() > 0.15
    assert np.abs(parts.share[0, text]).max() < 0.05
    error = parts.standard_error[:, visit] / (parts.expected_events * parts.recovered)[:, None]
    assert 0 < error.max() < 0.2


def test_a_contact_hardly_tried_is_taken_to_do_as_much_as_the_time_it_takes():
    """Texts of 2 minutes, a hundredth of the contacts: nothing is known of them, so they are no visits of 60."""
    parts = _fitted(_program(seed=5, texts=0.01)).predict_gains(np.zeros((1, 2), dtype=np.float32))
    levels = SPACE.joint_levels[SPACE.valid_joints]
    visit, text = parts.share[0, levels[:, 0] == 2].mean(), parts.share[0, levels[:, 0] == 1].mean()
    assert visit > 0.15
    assert abs(text) < visit / 6


def test_what_an_answered_contact_still_does_is_not_to_be_had_again(algorithm):  # type: ignore[no-untyped-def]
    visit = int(SPACE.ravel(np.asarray([2, 1])))
    column = int(np.searchsorted(SPACE.valid_joints, visit))
    quiet, answered = np.zeros((1, 2), dtype=np.float32), np.asarray([[1.0, 0.0]], dtype=np.float32)
    decay = algorithm.config.gamma * algorithm.config.td_lambda
    memory = algorithm.remember(algorithm.start_memory(1), quiet, np.asarray([visit]))
    for seen, expected in ((quiet, 1.0), (answered, 1 - decay)):
        assert algorithm.predict_gains(seen, memory=memory).recovered[0] == pytest.approx(expected, rel=1e-6)
    memory = algorithm.remember(memory, answered, np.asarray([0]))
    for weeks in range(2, 9):
        parts = algorithm.predict_gains(quiet, memory=memory)
        assert parts.recovered[0] == pytest.approx(1 - decay**weeks, rel=1e-6)
        memory = algorithm.remember(memory, quiet, np.asarray([0]))
    product = parts.expected_events * parts.answer_chance[:, column] * parts.share[:, column] * parts.recovered
    assert parts.gains[:, column] == pytest.approx(product, rel=1e-5)


def test_no_member_is_predicted_by_a_fit_to_themselves(buffer, monkeypatch):  # type: ignore[no-untyped-def]
    """Members of even numbers by the fit to odd ones, and the other way round."""
    seen = {}

    def forecasts(sample, center, scale):  # type: ignore[no-untyped-def]
        found = np.zeros((3, sample.features.shape[1] + 1))
        found[1, 0] = np.log(2.0)  # fitted to odd numbers
        return found

    def add(self, part, expected, chance):  # type: ignore[no-untyped-def]
        for parity in (0, 1):
            rows = part.members % 2 == parity
            seen.setdefault(parity, []).append(expected[rows] / part.weeks[rows])

    monkeypatch.setattr(estimating, "_forecasts", forecasts)
    monkeypatch.setattr(estimating, "_bend", lambda *known: (np.zeros(2), np.asarray([0.0, 1.0, 0.0, 0.0])))
    monkeypatch.setattr(estimating._Shares, "add", add)
    _fitted(buffer)
    assert np.concatenate(seen[0]) == pytest.approx(2.0)
    assert np.concatenate(seen[1]) == pytest.approx(1.0)


def test_no_effect_gives_hardly_any_gain() -> None:
    parts = _fitted(_program(seed=3, effect=0.0)).predict_gains(np.zeros((1, 2), dtype=np.float32))
    with_effect = 0.25
    assert np.abs(parts.share).max() < with_effect / 2


def test_history_and_memory_say_the_same(algorithm, buffer: FactoredReplayBuffer) -> None:  # type: ignore[no-untyped-def]
    memory, now = _fold(algorithm, buffer, 5)
    past = buffer.observations.reshape(MEMBERS, WEEKS, 2)[:, :5]
    joints = buffer.actions.reshape(MEMBERS, WEEKS)[:, :5]
    first = algorithm.predict_gains(now, memory=memory).gains
    assert np.array_equal(first, algorithm.predict_gains(now, history=(past, joints)).gains)
    assert np.array_equal(first, algorithm.gains(now, memory))
    with pytest.raises(UserError, match="instead of a memory"):
        algorithm.predict_gains(now, history=(past, joints[:, :4]))


def test_members_rest_after_an_attempt(algorithm) -> None:  # type: ignore[no-untyped-def]
    space = algorithm.action_space
    visit = int(space.ravel(np.asarray([2, 1])))
    now = np.zeros((1, 2), dtype=np.float32)
    memory = algorithm.remember(algorithm.start_memory(1), now, np.asarray([visit]))
    resting = []
    for _ in range(algorithm.config.rest + 1):
        gains = algorithm.gains(now, memory)[0]
        resting.append(bool(np.isneginf(gains[1:]).all()))
        assert gains[0] == 0
        memory = algorithm.remember(memory, now, np.asarray([0]))
    assert resting == [True] * algorithm.config.rest + [False]
    with pytest.raises(UserError, match="1 of 1 actions are not valid"):
        algorithm.remember(memory, now, np.asarray([1]))


def test_a_need_that_was_met_gives_way_to_another(algorithm) -> None:  # type: ignore[no-untyped-def]
    """Every answered contact about it halves what is left, which comes back slowly; one without an answer does not."""
    told = _fitted(_program(), need_factor="topic", rest=0)
    quiet, answered = np.zeros((1, 2), dtype=np.float32), np.ones((1, 2), dtype=np.float32) * [[1.0, 0.0]]
    visit, other = (int(SPACE.ravel(np.asarray(levels))) for levels in ([2, 1], [2, 2]))
    columns = np.searchsorted(SPACE.valid_joints, [visit, other])

    def odds(memory, now):  # type: ignore[no-untyped-def]
        gains = told.gains(now.astype(np.float32), memory)[0, columns]
        return gains[0] / gains[1]

    start = odds(told.start_memory(1), quiet)
    memory = told.remember(told.start_memory(1), quiet, np.asarray([visit]))
    assert odds(memory, quiet) == pytest.approx(start, rel=1e-4)
    assert odds(memory, answered) == pytest.approx(0.5 * start, rel=1e-4)
    memory = told.remember(memory, answered.astype(np.float32), np.asarray([visit]))
    assert odds(memory, answered) == pytest.approx(0.5 ** (1 + NEED_FADING) * start, rel=1e-4)
    memory = told.remember(memory, answered.astype(np.float32), np.asarray([0]))
    for _ in range(200):
        memory = told.remember(memory, quiet, np.asarray([0]))
    assert odds(memory, quiet) == pytest.approx(start, rel=0.02)


def test_a_budget_is_kept_and_goes_to_those_who_need_it(algorithm, buffer: FactoredReplayBuffer) -> None:  # type: ignore[no-untyped-def]
    memory, now = _fold(algorithm, buffer, 20)
    caseload = algorithm.budget(3.0).start(MEMBERS)
    caseload.memory = memory
    decided = caseload.decide(now, np.random.default_rng(0))
    assert decided.minutes <= 3.0 * MEMBERS
    assert decided.minutes > 0.95 * 3.0 * MEMBERS
    chosen = decided.joints != 0
    expected = algorithm.predict_gains(now, memory=memory).expected_events
    assert expected[chosen].mean() > 2 * expected.mean()
    again = caseload.decide(now, np.random.default_rng(0))
    assert not (chosen & (again.joints != 0)).any()  # they rest


def test_named_contacts_are_made_in_turn_and_no_others(algorithm, buffer: FactoredReplayBuffer, tmp_path) -> None:  # type: ignore[no-untyped-def]
    names = [factor.name for factor in SPACE]
    levels = [dict(zip(names, SPACE.decode(np.asarray(each)), strict=True)) for each in ([2, 1], [2, 2])]
    joints = SPACE.ravel(np.asarray([[2, 1], [2, 2]]))
    told = _fitted(buffer, contacts=levels, rest=0)
    memory, now = _fold(algorithm, buffer, 20)
    attempts = (buffer.actions.reshape(MEMBERS, WEEKS)[:, :20] != 0).sum(axis=1)
    gains = told.gains(now, memory)
    turn = np.searchsorted(SPACE.valid_joints, joints)[attempts % 2]
    open_to = np.isfinite(gains)
    assert open_to[:, 0].all()
    assert np.array_equal(open_to[:, 1:].argmax(axis=1) + 1, turn)
    assert (open_to.sum(axis=1) == 2).all()
    parts = told.predict_gains(now, memory=memory)
    assert np.ptp(parts.share) < 1e-6, "they are taken to do equally much"
    caseload = told.budget(3.0).start(MEMBERS)
    caseload.memory = memory
    done = caseload.decide(now, np.random.default_rng(0)).joints
    assert set(np.unique(done)) == {0, *joints.tolist()}
    save_model(told, tmp_path / "model.safetensors")
    assert np.array_equal(load_model(tmp_path / "model.safetensors").gains(now, memory), gains)
    with pytest.raises(UserError, match="contacts: level of factor"):
        _fitted(buffer, contacts=[{SPACE.factors[0].name: "nowhere"}])
    with pytest.raises(UserError, match="need a response"):
        FactoredAWRConfig(contacts=levels)
    with pytest.raises(UserError, match="contacts is empty"):
        FactoredAWRConfig(response=0, contacts=[])


def test_model_files_keep_the_gains(algorithm, buffer: FactoredReplayBuffer, tmp_path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "model.safetensors"
    save_model(algorithm, file)
    memory, now = _fold(algorithm, buffer, 3)
    assert np.array_equal(load_model(file).gains(now, memory), algorithm.gains(now, memory))


def test_same_data_same_gains(algorithm, buffer: FactoredReplayBuffer) -> None:  # type: ignore[no-untyped-def]
    now = buffer.observations[:50]
    assert np.array_equal(_fitted(buffer).gains(now), algorithm.gains(now))


def test_without_minutes_or_response_there_are_no_gains(algorithm, buffer: FactoredReplayBuffer) -> None:  # type: ignore[no-untyped-def]
    untold = FactoredAWRConfig(td_lambda=0.8).create()
    untold.fit(buffer, n_steps=1, show_progress=False, logger_adapter=d3rlpy.logging.NoopAdapterFactory())
    assert not untold.offers_gains
    with pytest.raises(UserError, match="offers no gains"):
        untold.gains(buffer.observations[:1])
    assert not has_gains(untold)
    assert has_gains(algorithm)
    with pytest.raises(UserError):
        algorithm.budget(-1.0)
    assert algorithm.budget(Capacity(minutes=1.0)).capacity.minutes == 1.0


def test_a_caseload_of_another_size_is_refused_and_started_anew(algorithm, buffer: FactoredReplayBuffer) -> None:  # type: ignore[no-untyped-def]
    now, rng = buffer.observations[:20], np.random.default_rng(0)
    policy = algorithm.budget(3.0)
    with pytest.raises(UserError, match="observations must"):
        policy.decide(now[:5, :1], rng)
    policy.decide(now, rng)
    before = policy.memory
    with pytest.raises(UserError, match=r"19 members are to be decided about, and 20 are remembered.*start\(members\)"):
        policy.decide(now[:19], rng)
    assert policy.memory is before
    assert len(policy.start(19).decide(now[:19], rng).joints) == 19
    assert len(policy.decide(now, rng).joints) == 20


def test_what_gains_can_not_be_asked_is_said(algorithm, buffer: FactoredReplayBuffer) -> None:  # type: ignore[no-untyped-def]
    now = buffer.observations[:6]
    kept, idle = algorithm.start_memory(6), np.zeros(6, dtype=np.int64)
    gone = kept.copy()
    gone[2] = np.nan
    past, done = np.zeros((6, 3, 2)), np.zeros((6, 3), dtype=np.int64)
    assert algorithm.predict_gains(now, history=(past, done)).gains.shape == (6, 5)
    for ask, words in (
        (lambda: algorithm.start_memory(-1), "members must be a whole number from 0, not -1"),
        (lambda: algorithm.start_memory(2.5), "members must be a whole number"),
        (lambda: algorithm.gains(now, kept[:4]), "memories have shape"),
        (lambda: algorithm.gains(now, kept[:, :4]), "memories are float32 of shape"),
        (lambda: algorithm.gains(now, gone), "1 of 6 memories hold NaN"),
        (lambda: algorithm.predict_gains(now, memory=kept[:, 0]), "memories are"),
        (lambda: algorithm.remember(kept, now, idle[:4]), "joint index for each of 6 members"),
        (lambda: algorithm.remember(kept, now, np.zeros((6, 2), dtype=np.int64)), "action_space.ravel makes them"),
        (lambda: algorithm.remember(kept, now, idle + 0.5), "joint index for each"),
        (lambda: algorithm.remember(kept[:3], now, idle), "memories have shape"),
        (lambda: algorithm.gains([[1.0, 2.0], [1.0]]), "observations must be numbers"),
        (
            lambda: algorithm.predict_gains(now, history=([[[1.0, 2.0]], [[1.0, 2.0], [0.0, 0.0]]], done)),
            "a history is",
        ),
        (lambda: algorithm.predict_gains(now, history=3), "a history is"),
        (lambda: algorithm.predict_gains(now, history=(past, done[:, :2])), "a history is"),
        (lambda: algorithm.budget("team"), "capacity must be a number of staff minutes"),
        (lambda: algorithm.budget(None), "capacity must be a number of staff minutes"),
        (lambda: algorithm.budget(True), "capacity must be a number of staff minutes"),
    ):
        with pytest.raises(UserError, match=words):
            ask()

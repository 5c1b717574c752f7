"""The model of a member finds what is so: who is at risk, and which contacts help."""

import numpy as np
import pytest
from gains_program import MEMBERS, SPACE, WEEKS, fitted, fold, program

from frl_algos import FactoredReplayBuffer
from frl_algos.gains import estimating
from frl_algos.gains.member_model import bent


def test_forecast_ranks_members_and_is_calibrated(algorithm, buffer: FactoredReplayBuffer) -> None:  # type: ignore[no-untyped-def]
    memory, now = fold(algorithm, buffer, 20)
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
    memory, now = fold(algorithm, buffer, 20)
    parts = algorithm.predict_gains(now, memory=memory)
    levels = SPACE.joint_levels[SPACE.valid_joints]
    visit, text = levels[:, 0] == 2, levels[:, 0] == 1
    assert parts.share[0, visit].min() > 0.15
    assert np.abs(parts.share[0, text]).max() < 0.05
    error = parts.standard_error[:, visit] / (parts.expected_events * parts.recovered)[:, None]
    assert 0 < error.max() < 0.2


def test_what_is_earned_is_gained_where_it_becomes_more():
    """Rewards above 0: visits that raise them gain, and a budget is spent on them."""
    buffer = program(seed=6, sign=1)
    algorithm = fitted(buffer)
    parts = algorithm.predict_gains(np.zeros((1, 2), dtype=np.float32))
    levels = SPACE.joint_levels[SPACE.valid_joints]
    assert parts.share[0, levels[:, 0] == 2].min() > 0.15
    assert np.abs(parts.share[0, levels[:, 0] == 1]).max() < 0.05
    week = algorithm.budget(2.0).decide(buffer.observations.reshape(MEMBERS, WEEKS, 2)[:, 9], np.random.default_rng(0))
    made = SPACE.joint_levels[week.joints][:, 0]
    assert (made == 2).sum() > 90  # of 100 that 6,000 minutes allow


def test_no_half_knows_anything_of_a_person_of_the_other():
    """Two spells of a person are in one half, though every second episode is."""
    people = np.repeat(np.arange(MEMBERS // 2), 2)
    buffer = program(people=people)
    rows = estimating._Source(fitted(buffer).impl.modules.gains.layout, buffer, 0.8).rows(np.arange(6))
    assert rows.members[::WEEKS].tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("neighbours", [True, False])
def test_a_person_in_several_parts_is_one_person(monkeypatch, neighbours: bool) -> None:
    """Where parts are cut says nothing of how much a person's spells go together."""
    people = np.arange(MEMBERS) // 60 if neighbours else np.arange(MEMBERS) % 50
    buffer, errors = program(people=people), []
    for size in (MEMBERS, 250):
        monkeypatch.setattr(estimating, "PART", size)
        gains = fitted(buffer).impl.modules.gains
        errors.append(np.stack([gains.share.numpy(), gains.share_error.numpy()]))
    for found in errors[1:]:
        np.testing.assert_allclose(found, errors[0], rtol=1e-5)


def test_a_contact_hardly_tried_is_taken_to_do_as_much_as_the_time_it_takes():
    """Texts of 2 minutes, a hundredth of the contacts: nothing is known of them, so they are no visits of 60."""
    parts = fitted(program(seed=5, texts=0.01)).predict_gains(np.zeros((1, 2), dtype=np.float32))
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
    fitted(buffer)
    assert np.concatenate(seen[0]) == pytest.approx(2.0)
    assert np.concatenate(seen[1]) == pytest.approx(1.0)


def test_no_effect_gives_hardly_any_gain() -> None:
    parts = fitted(program(seed=3, effect=0.0)).predict_gains(np.zeros((1, 2), dtype=np.float32))
    with_effect = 0.25
    assert np.abs(parts.share).max() < with_effect / 2


def test_same_data_same_gains(algorithm, buffer: FactoredReplayBuffer) -> None:  # type: ignore[no-untyped-def]
    now = buffer.observations[:50]
    assert np.array_equal(fitted(buffer).gains(now), algorithm.gains(now))

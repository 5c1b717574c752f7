"""The model of a member finds what is so: which contacts help, and by how much."""

import numpy as np
import pytest
from d3rlpy.logging import NoopAdapterFactory
from gains_program import MEMBERS, SPACE, WEEKS, fitted, fold, program

from frl_algos import FactoredAWRConfig, FactoredReplayBuffer
from frl_algos.action_effects.terms import Terms
from frl_algos.member_model import estimating, share_regression
from frl_algos.member_model.share_regression import ShareRegression


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


@pytest.mark.long
@pytest.mark.parametrize("neighbours", [True, False])
def test_a_person_in_several_parts_is_one_person(monkeypatch, neighbours: bool) -> None:
    """Where parts are cut says nothing of how much a person's spells go together."""
    people = np.arange(MEMBERS) // 60 if neighbours else np.arange(MEMBERS) % 50
    buffer, errors = program(people=people), []
    for size in (MEMBERS, 250):
        monkeypatch.setattr(estimating, "PART", size)
        gains = fitted(buffer).impl.modules.gains
        errors.append(np.stack([gains.share.numpy(), gains.share_covariance[0].numpy()]))
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


def test_no_effect_gives_hardly_any_gain() -> None:
    parts = fitted(program(seed=3, effect=0.0)).predict_gains(np.zeros((1, 2), dtype=np.float32))
    with_effect = 0.25
    assert np.abs(parts.share).max() < with_effect / 2


def test_same_data_same_gains(algorithm, buffer: FactoredReplayBuffer) -> None:  # type: ignore[no-untyped-def]
    now = buffer.observations[:50]
    assert np.array_equal(fitted(buffer).gains(now), algorithm.gains(now))


def test_numbers_of_people_are_names(algorithm, buffer: FactoredReplayBuffer) -> None:  # type: ignore[no-untyped-def]
    """Even ones alone make no other model: of each person it forecasts by those of the other half."""
    named = fitted(program(people=10 + 2 * np.arange(MEMBERS)))
    for name, found in algorithm.impl.modules.gains.named_buffers():
        np.testing.assert_array_equal(getattr(named.impl.modules.gains, name), found, err_msg=name)


def test_credit_that_does_not_fall_counts_the_weeks_that_are_left() -> None:
    """A week has on average half of the episode ahead, itself included."""
    algorithm = FactoredAWRConfig(response=0, gamma=1.0, td_lambda=1.0).create()
    algorithm.fit(program(), n_steps=2, show_progress=False, logger_adapter=NoopAdapterFactory())
    parts = algorithm.predict_gains(np.zeros((1, 2), dtype=np.float32))
    assert float(algorithm.impl.modules.gains.window) == (WEEKS + 1) / 2
    assert np.isfinite(parts.gains).all()
    assert parts.gains.max() > 0


def test_an_error_is_that_of_the_share_with_its_indication(monkeypatch) -> None:
    """Of the whole linear form, by its covariance."""
    terms = Terms.of_space(SPACE, 2, indications={"FOOD": 1})
    dose = np.linspace(0.5, 1.5, len(SPACE.valid_joints))
    shares = ShareRegression(
        terms, dose, signs_of=(np.zeros(2), np.ones(2)), sign=-1.0, divided=np.zeros(0, dtype=np.int64)
    )
    k, fixed = len(shares.groups), terms.fixed.shape[1]
    root = np.random.default_rng(0).normal(size=(k, k))
    covariance, mean = root @ root.T, np.random.default_rng(1).normal(size=k)
    monkeypatch.setattr(share_regression, "variational_posterior", lambda *_: (mean, covariance, None))
    base, added, known_to = shares.solve(np.zeros(len(terms.scales), dtype=bool))
    met = 0.3  # as much as the observation indicates
    columns = [terms.fixed, np.full((len(dose), 1), met), met * terms.levels]
    form = np.concatenate(columns, axis=1) * dose[:, None]
    assert form.shape[1] == k > fixed
    np.testing.assert_allclose(base + met * added, -form @ mean, rtol=1e-5)
    variance = known_to[0] + 2 * met * known_to[1] + met**2 * known_to[2]
    np.testing.assert_allclose(variance, np.einsum("ac,cd,ad->a", form, covariance, form), rtol=1e-5)

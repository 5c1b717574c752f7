"""What the model of a member is made of: memory, log-linear models, and a regression that shrinks."""

import numpy as np
import pytest

from frl_algos.action_effects.shrinkage import variational_posterior
from frl_algos.member_model.log_linear import fit_logistic, fit_poisson
from frl_algos.member_model.memory import FADINGS, LONG_AGO, NEED_FADING, MemoryLayout
from frl_algos.member_model.model import MemberModel


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
    scales, known = np.asarray([0.5, 0.5]), np.zeros(2, dtype=bool)
    mean, covariance, _ = variational_posterior(x.T @ x, x.T @ y, groups, scales, known)
    least_squares = np.linalg.lstsq(x, y, rcond=None)[0]
    assert mean[0] == pytest.approx(1.0, abs=0.08)
    assert np.abs(mean[1:]).mean() < 0.7 * np.abs(least_squares[1:]).mean()
    assert np.sqrt(covariance[0, 0]) == pytest.approx(1 / np.sqrt(2_000), rel=0.15)


def _one_contact(**found: object) -> MemberModel:
    """A model of one observation that indicates the only contact; 2 events are expected, half of the attempts answered.

    The contact prevents a tenth of them, and a fifth more where the indication is met in full.
    """
    model = MemberModel(2, 2, response=0, leading=2, needs=2, indicated=True)
    model.take(
        nothing=0, need=np.asarray([0, 1]), lead=np.asarray([0, 1]), window=2.0, unit=1.0, decay=0.9,
        scale=np.ones(2 * (1 + 2 * len(FADINGS))), bend=np.asarray([0.0, 1.0, 0.0, 0.0]), high=np.ones(2),
        share=np.asarray([0.0, 0.1]), indicated=np.asarray([[0, 0], [0, 1.0]]),
        indicated_share=np.asarray([[0, 0], [0, 0.2]]),
        share_covariance=np.asarray([[0, 0.0016], [0, -0.0004], [0, 0.0036]]), **found,
    )  # fmt: skip
    return model


def test_a_gain_and_its_error_are_of_the_same_contact() -> None:
    model = _one_contact()
    quiet, met = (np.asarray([[0.0, sign]], dtype=np.float32) for sign in (0.0, 0.5))
    plain, indicated = model.parts(quiet), model.parts(met)
    assert plain.gains[0, 1] == pytest.approx(2 * 0.5 * 0.1)
    assert plain.standard_error[0, 1] == pytest.approx(2 * 0.5 * 0.04)
    assert indicated.gains[0, 1] == pytest.approx(2 * 0.5 * (0.1 + 0.5 * 0.2))
    variance = 0.0016 - 2 * 0.5 * 0.0004 + 0.25 * 0.0036
    assert indicated.standard_error[0, 1] == pytest.approx(2 * 0.5 * np.sqrt(variance))


def test_what_lessens_a_gain_lessens_its_error() -> None:
    """After an answered contact about the need half of both is left; of contacts in turn, the error is theirs."""
    model = _one_contact()
    memory = model.remember(model.start_memory(1), np.zeros((1, 2), dtype=np.float32), np.asarray([1]))
    again = model.parts(np.asarray([[1.0, 0.0]], dtype=np.float32), memory)
    first = model.parts(np.asarray([[1.0, 0.0]], dtype=np.float32))
    same = again.expected_events * again.recovered / (first.expected_events * first.recovered)
    answer = again.answer_chance[0, 1] / first.answer_chance[0, 1]
    assert again.standard_error[0, 1] == pytest.approx(0.5 * same * answer * first.standard_error[0, 1], rel=1e-5)
    turn = model.parts(np.zeros((1, 2), dtype=np.float32), turns=np.asarray([1]))
    assert turn.standard_error[0, 1] == model.parts(np.zeros((1, 2), dtype=np.float32)).standard_error[0, 1]

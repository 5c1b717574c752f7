"""What the model of a member is made of: memory, log-linear models, and a regression that shrinks."""

import numpy as np
import pytest

from frl_algos.member_model.log_linear import fit_logistic, fit_poisson
from frl_algos.member_model.memory import FADINGS, LONG_AGO, NEED_FADING, MemoryLayout
from frl_algos.member_model.shrunk_regression import variational_posterior


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

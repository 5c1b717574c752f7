"""The forecast ranks members and is calibrated, and nobody is forecast by a fit to themselves."""

import numpy as np
import pytest
from gains_program import MEMBERS, WEEKS, fitted, fold, program

from frl_algos import FactoredReplayBuffer
from frl_algos.member_model import cross_fitted_forecast
from frl_algos.member_model.cross_fitted_forecast import bend_of
from frl_algos.member_model.logged_weeks import LoggedWeeks, WeekSource
from frl_algos.member_model.model import bent
from frl_algos.member_model.share_regression import ShareRegression


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
    sample = LoggedWeeks(
        features=score[:, None], events=rng.poisson(np.exp(score - 2)).astype(float), weeks=np.ones(len(score)),
        members=np.arange(len(score)), **rows,
    )  # fmt: skip
    weights = np.tile([-2.0, 0.5], (3, 1))
    knots, coefficients = bend_of(sample, np.zeros(1), np.ones(1), weights)
    for low, high in ((-3, -1), (-1, 0), (0, 1), (1, 3)):
        kept = (score >= low) & (score < high)
        forecast = np.exp(bent(-2 + 0.5 * score, knots, coefficients))
        assert forecast[kept].mean() == pytest.approx(np.exp(score[kept] - 2).mean(), rel=0.08)


def test_what_contacts_write_is_no_sign_of_need(algorithm) -> None:  # type: ignore[no-untyped-def]
    """The encounter that a contact makes is left out of the forecast; events stay in."""
    assert algorithm.impl.modules.gains.chosen.tolist() == [False, True]


def test_no_half_knows_anything_of_a_person_of_the_other():
    """Two spells of a person are in one half, though every second episode is."""
    people = np.repeat(np.arange(MEMBERS // 2), 2)
    buffer = program(people=people)
    rows = WeekSource(fitted(buffer).impl.modules.gains.layout, buffer, 0.8).rows(np.arange(6))
    assert rows.members[::WEEKS].tolist() == [0, 0, 1, 1, 2, 2]


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

    monkeypatch.setattr(cross_fitted_forecast, "forecasts", forecasts)
    monkeypatch.setattr(
        cross_fitted_forecast, "bend_of", lambda *known: (np.zeros(2), np.asarray([0.0, 1.0, 0.0, 0.0]))
    )
    monkeypatch.setattr(ShareRegression, "add", add)
    fitted(buffer)
    assert np.concatenate(seen[0]) == pytest.approx(2.0)
    assert np.concatenate(seen[1]) == pytest.approx(1.0)

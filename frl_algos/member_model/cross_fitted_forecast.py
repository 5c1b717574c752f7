"""Forecast of the events ahead of a member, by members of whom it was not fitted.

A Poisson regression of the credit-weighted events ahead, over the weeks that are left, on the features of `memory`.
Observations that contacts write themselves (calls made, encounters had) are left out: they say how much a member was
contacted, which another policy changes. It is cross-fitted by half of the members. Its logarithm is then bent as the
other half's events ask for (`bent`): linear terms alone say too much of those who are well and too little of those who
are ill.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from frl_algos.logged_data.scaled_rows import mean_and_spread, slices
from frl_algos.member_model.log_linear import fit_poisson
from frl_algos.member_model.logged_weeks import LoggedWeeks
from frl_algos.member_model.model import bends, bent

MOST_ROWS = 2**17
"""Rows whose features are standardised at once."""

KNOTS = (0.5, 0.9)
"""Quantiles of the forecast's logarithm at which it may bend."""


@dataclass(frozen=True, kw_only=True)
class CrossFittedForecast:
    """Weights of both halves of the members and of all, with what they rest on.

    Attributes:
        center, scale: Of the features.
        weights: From the members of even numbers, of odd ones, and of all.
        knots: Where the logarithm bends.
        bend: How, as coefficients of `bent`.
    """

    center: Float[np.ndarray, "feature"]
    scale: Float[np.ndarray, "feature"]
    weights: Float[np.ndarray, "3 feature"]
    knots: Float[np.ndarray, "knot"]
    bend: Float[np.ndarray, "4"]

    @classmethod
    def fit(cls, sample: LoggedWeeks) -> "CrossFittedForecast":
        """Fits both halves, and how much what they say of each other is to be bent."""
        center, scale = mean_and_spread(len(sample.features), sample.features.__getitem__, np.float64)
        scale = np.where(scale < 1e-4, 1.0, scale)
        weights = forecasts(sample, center, scale)
        knots, bend = bend_of(sample, center, scale, weights)
        return cls(center=center, scale=scale, weights=weights, knots=knots, bend=bend)

    def weekly(self, rows: LoggedWeeks) -> Float[np.ndarray, "row"]:
        """Events a week, of each member by the weights that know nothing of them."""
        return np.exp(bent(held_out(rows, self.center, self.scale, self.weights), self.knots, self.bend))


def forecasts(sample: LoggedWeeks, center: np.ndarray, scale: np.ndarray) -> Float[np.ndarray, "3 feature"]:
    """Weights of the forecast from the members of even numbers, of odd ones, and of all."""
    # Credit windows overlap, so that a week counts as a share of one.
    everybody = fit_poisson(_Standardised(sample.features, center, scale), sample.events, sample.weeks)
    found = []
    for half in (0, 1):
        part = np.flatnonzero(sample.members % 2 == half)
        events, weeks = sample.events[part], sample.weeks[part]
        if events.sum() > 0:
            x = _Standardised(sample.features, center, scale, part)
            found.append(fit_poisson(x, events, weeks, start=everybody))
        else:
            found.append(everybody)
    return np.stack([*found, everybody])


def held_out(
    rows: LoggedWeeks, center: np.ndarray, scale: np.ndarray, weights: Float[np.ndarray, "3 feature"]
) -> Float[np.ndarray, "row"]:
    """The forecast's logarithm, of each member by the weights that know nothing of them."""
    found = np.empty(len(rows.features))
    for some in slices(len(found), MOST_ROWS):
        scaled = rows.features[some] - center.astype(np.float32)
        scaled /= scale.astype(np.float32)
        np.clip(scaled, -6, 6, out=scaled)
        by_half = scaled @ weights[:2, 1:].T.astype(np.float32) + weights[:2, 0]
        found[some] = np.where(rows.members[some] % 2 == 0, by_half[:, 1], by_half[:, 0])
    return found


def bend_of(
    sample: LoggedWeeks, center: np.ndarray, scale: np.ndarray, weights: Float[np.ndarray, "3 feature"]
) -> tuple[Float[np.ndarray, "knot"], Float[np.ndarray, "4"]]:
    """Knots and coefficients of `bent`, by the events of members of whom the forecast knew nothing."""
    score = held_out(sample, center, scale, weights)
    knots = np.quantile(score, KNOTS)
    if np.ptp(knots) < 1e-6:
        return knots, np.asarray([0.0, 1.0, 0.0, 0.0])
    found = fit_poisson(bends(score, knots), sample.events, sample.weeks, penalty=1.0)
    return knots, found


class _Standardised:
    """One and the standardised features of some rows, made when they are asked for: a copy of all would be large."""

    def __init__(
        self, features: np.ndarray, center: np.ndarray, scale: np.ndarray, chosen: np.ndarray | None = None
    ) -> None:
        self._features, self._center, self._scale, self._chosen = features, center, scale, chosen
        self.shape = (len(features) if chosen is None else len(chosen), 1 + features.shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, some: slice) -> Float[np.ndarray, "some feature"]:
        x = self._features[some if self._chosen is None else self._chosen[some]] - self._center
        x /= self._scale
        np.clip(x, -6, 6, out=x)
        return np.concatenate([np.ones((len(x), 1)), x], axis=1, dtype=np.float32)

"""Ridge regression with the penalty chosen by generalised cross-validation, and the state features it is used on."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

PENALTIES = 10.0 ** np.arange(-3, 5)
"""Tried in turn, each times the number of rows: from hardly any shrinkage to the mean of the responses alone."""

_FAR = 4.0
"""Standard deviations beyond which a measure is cut, so that no prediction runs away."""

_PAIRS_UP_TO = 10
"""Measures up to which products of two of them are features as well."""


def state_features(
    observations: Float64[np.ndarray, "episode step k"], mask: Bool[np.ndarray, "episode step"]
) -> Float64[np.ndarray, "episode step feature"]:
    """Smooth features of raw observations: logarithms, standardised, with their squares and products.

    Args:
        observations: Raw units.
        mask: Which steps belong to the episode; the others get zeros.
    """
    rows = np.asarray(observations, dtype=np.float64)[mask]
    rows = np.sign(rows) * np.log1p(np.abs(rows))
    spread = rows.std(axis=0)
    rows = (rows[:, spread > 0] - rows.mean(axis=0)[spread > 0]) / spread[spread > 0]
    rows = np.clip(rows, -_FAR, _FAR)
    k = rows.shape[1]
    first, second = np.triu_indices(k) if k <= _PAIRS_UP_TO else (np.arange(k), np.arange(k))
    features = np.zeros((*mask.shape, k + len(first)))
    features[mask] = np.concatenate([rows, rows[:, first] * rows[:, second]], axis=1)
    return features


@dataclass(frozen=True, kw_only=True, eq=False)
class Ridge:
    """Factorised regression on fixed features, for several responses one after the other.

    Attributes:
        mean: Of the features.
        directions: Principal directions of the features.
        variances: Sums of squares along them.
        rows: Number of rows.
    """

    mean: Float64[np.ndarray, "feature"]
    directions: Float64[np.ndarray, "feature direction"]
    variances: Float64[np.ndarray, "direction"]
    rows: int

    @classmethod
    def of(cls, features: Float64[np.ndarray, "row feature"]) -> "Ridge":
        """Prepares regressions on these features; an intercept is added and not shrunk."""
        mean = features.mean(axis=0)
        centred = features - mean
        variances, directions = np.linalg.eigh(centred.T @ centred)
        kept = variances > 1e-9 * max(float(variances.max(initial=0.0)), 1e-300)
        return cls(mean=mean, directions=directions[:, kept], variances=variances[kept], rows=len(features))

    def coefficients(
        self, features: Float64[np.ndarray, "row feature"], responses: Float64[np.ndarray, "row"]
    ) -> tuple[float, Float64[np.ndarray, "feature"]]:
        """Intercept and coefficients, at the penalty with the smallest generalised cross-validation error.

        Args:
            features: The same rows that the regression was prepared on.
            responses: One a row.
        """
        level = float(responses.mean())
        deviation = responses - level
        products = self.directions.T @ (features.T @ deviation - self.mean * deviation.sum())
        total = float(deviation @ deviation)
        best, chosen = np.inf, np.zeros(len(products))
        for penalty in PENALTIES * self.rows:
            shrunk = products / (self.variances + penalty)
            freedom = 1 + float((self.variances / (self.variances + penalty)).sum())
            left = total - 2 * float(products @ shrunk) + float(self.variances @ shrunk**2)
            error = left / max(self.rows - freedom, 1e-9) ** 2
            if error < best:
                best, chosen = error, shrunk
        slopes = self.directions @ chosen
        return level - float(self.mean @ slopes), slopes

"""Ridge regression with the penalty chosen by generalised cross-validation, and the state features it is used on."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

PENALTIES = 10.0 ** np.arange(-3, 5)
"""Tried in turn, multiplied by the number of rows: from hardly any shrinkage to the mean of the responses alone."""

_FAR = 4.0
"""Standard deviations beyond which a measure is cut, so that no prediction runs away."""

_PAIRS_UP_TO = 10
"""Measures up to which products of two of them are features as well."""

_AT_ONCE = 1_000
"""Members whose features are made at once."""


def state_features(
    observations: Float64[np.ndarray, "episode step k"],
    mask: Bool[np.ndarray, "episode step"],
    *,
    products: bool = True,
) -> Float64[np.ndarray, "episode step feature"]:
    """Smooth features of raw observations: logarithms, standardised, with their squares and products.

    Args:
        observations: Raw units.
        mask: Which steps belong to the episode; the others get zeros.
        products: Whether squares and products are features too; products of two up to 10 measures only.
    """
    rows = np.asarray(observations, dtype=np.float64)[mask]
    rows = np.sign(rows) * np.log1p(np.abs(rows))
    spread = rows.std(axis=0)
    varies = spread > 1e-9 * (1 + np.abs(rows).max(axis=0))
    rows = (rows[:, varies] - rows.mean(axis=0)[varies]) / spread[varies]
    rows = np.clip(rows, -_FAR, _FAR)
    k = rows.shape[1]
    pairs = np.triu_indices(k) if k <= _PAIRS_UP_TO else (np.arange(k), np.arange(k))
    first, second = pairs if products else (np.zeros(0, dtype=np.int64),) * 2
    features, done = np.zeros((*mask.shape, k + len(first))), 0
    # Some members at a time: of many, all features take more memory than all else, and so would each copy of them.
    for start in range(0, len(mask), _AT_ONCE):
        here = mask[start : start + _AT_ONCE]
        own = rows[done : done + here.sum()]
        features[start : start + _AT_ONCE][here] = np.concatenate([own, own[:, first] * own[:, second]], axis=1)
        done += len(own)
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

    def penalty(self, features: Float64[np.ndarray, "row feature"], responses: Float64[np.ndarray, "row"]) -> float:
        """The one of `PENALTIES` with the smallest generalised cross-validation error.

        Args:
            features: The same rows that the regression was prepared on.
            responses: One a row.
        """
        deviation = responses - responses.mean()
        products = self._products(features, deviation)
        total = float(deviation @ deviation)
        errors = []
        for penalty in PENALTIES * self.rows:
            shrunk = products / (self.variances + penalty)
            freedom = 1 + float((self.variances / (self.variances + penalty)).sum())
            left = total - 2 * float(products @ shrunk) + float(self.variances @ shrunk**2)
            errors.append(left / max(self.rows - freedom, 1e-9) ** 2)
        return float(PENALTIES[int(np.argmin(errors))])

    def coefficients(
        self, features: Float64[np.ndarray, "row feature"], responses: Float64[np.ndarray, "row"], penalty: float
    ) -> tuple[float, Float64[np.ndarray, "feature"]]:
        """Intercept and coefficients; features, responses and penalty as in `penalty`."""
        level = float(responses.mean())
        products = self._products(features, responses - level)
        slopes = self.directions @ (products / (self.variances + penalty * self.rows))
        return level - float(self.mean @ slopes), slopes

    def smooth(
        self, features: Float64[np.ndarray, "row feature"], responses: Float64[np.ndarray, "row"], penalty: float
    ) -> Float64[np.ndarray, "row"]:
        """Predictions on the rows themselves: a symmetric linear map of the responses for a given penalty."""
        intercept, slopes = self.coefficients(features, responses, penalty)
        return intercept + features @ slopes

    def _products(self, features: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        """Principal components of the features times the responses, summed over rows."""
        return self.directions.T @ (features.T @ deviation - self.mean * deviation.sum())

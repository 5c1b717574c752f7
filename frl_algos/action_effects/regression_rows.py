"""Rows of the regression of effects: states, predicted amounts and weights, made for some rows at a time.

Where rewards count events, the variance of what is left of a return grows with the predicted amount, as for counts.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from frl_algos.action_effects.targets import Targets
from frl_algos.logged_data.scaled_rows import Rows, mean_and_spread, slices
from frl_algos.logged_data.signed_logarithm import squash

CHUNK = 20_000
"""Rows of which all that is computed is held at once, at most."""

FLOOR = 0.2
"""The predicted amount and variance are not let below this share of their mean."""


@dataclass(frozen=True)
class Variance:
    """Variance of the residuals as a quadratic in the predicted amount, fitted with weights against its own spread.

    Attributes:
        coefficients: Of 1, the amount, and its square; None where the amount is the same everywhere.
        mean: Mean squared residual.
    """

    coefficients: np.ndarray | None
    mean: float

    @classmethod
    def fit(cls, targets: Targets, unit: float) -> "Variance":
        """Fits it to the squared residuals of all rows, a part at a time."""
        rows = len(targets.history)
        mean = float(mean_and_spread(rows, lambda some: targets.of(some).residuals ** 2)[0])
        if targets.sign == 0 or _amount_range(targets, unit) == 0:
            return cls(None, mean)
        squares, products = np.zeros((3, 3)), np.zeros(3)
        for some in slices(rows, CHUNK):
            part = targets.of(some)
            amount = _amount(part, unit)
            # Divided by the amount: squares of rows with a large one vary most, and would rule the fit.
            powers = _powers(amount) / amount[:, None]
            squares += powers.T @ powers
            products += powers.T @ (part.residuals**2 / amount)
        return cls(np.linalg.lstsq(squares, products, rcond=None)[0], mean)

    def of(self, amount: np.ndarray) -> np.ndarray:
        """The variance at such amounts."""
        if self.coefficients is None:
            return np.full(len(amount), self.mean or 1.0)
        return np.maximum(_powers(amount) @ self.coefficients, FLOOR * self.mean * np.minimum(amount, 1.0))


class RegressionRows:
    """The rows of a regression; what it needs of them is made for some of them at a time.

    Args:
        observations: Scaled, of all rows.
        targets: Of all rows.
        chosen: Numbers of those that are in the regression; None for all.
        unit: Of amounts.
        variance: Of residuals.
        low, high: Of the observations, to make signs of them.
    """

    def __init__(
        self,
        observations: Rows,
        targets: Targets,
        chosen: np.ndarray | None,
        *,
        unit: float,
        variance: Variance,
        low: np.ndarray,
        high: np.ndarray,
    ) -> None:
        """Finds mean and spread of the states, by which they are standardised."""
        self._observations, self.chosen = observations, chosen
        self.targets = targets if chosen is None else targets.of(chosen)
        self._unit, self._variance, self._low, self._high = unit, variance, low, high
        self.center, spread = mean_and_spread(len(self), lambda some: squash(self._observed(some)))
        # Rounding gives a column that never changes a spread of about 1e-8: to divide by it makes noise a feature.
        self.spread = np.where(spread < 1e-4, np.ones_like(spread), spread)

    def __len__(self) -> int:
        return len(self.targets.history)

    def _observed(self, some: slice | np.ndarray) -> np.ndarray:
        return self._observations[some if self.chosen is None else self.chosen[some]]

    def states(self, some: slice | np.ndarray) -> Float32[np.ndarray, "some k"]:
        """Standardised observations."""
        return ((squash(self._observed(some)) - self.center) / self.spread).clip(-4, 4)

    def signs(self, some: slice | np.ndarray) -> Float32[np.ndarray, "some k"]:
        """Observations as shares of the way from `low` to `high`."""
        low, high = self._low, self._high
        return (self._observed(some) - low) / np.where(high > low, high - low, 1.0)

    def size_and_precision(self, some: slice | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What effects are shares of, and the inverse of the residual's variance."""
        amount = _amount(self.targets.of(some), self._unit)
        return amount * self._unit, 1 / self._variance.of(amount)


def _amount(targets: Targets, unit: float) -> np.ndarray:
    """The predicted amount of each row, in units; 1 where effects are not relative."""
    if targets.sign == 0:
        return np.ones(len(targets.history))
    return np.maximum(targets.sign * targets.history / unit, FLOOR)


def _amount_range(targets: Targets, unit: float) -> float:
    """How far amounts lie apart; they grow with what is predicted."""
    least, most = np.sort(targets.sign * np.asarray([targets.history.min(), targets.history.max()]))
    return max(float(most) / unit, FLOOR) - max(float(least) / unit, FLOOR)


def _powers(amount: np.ndarray) -> np.ndarray:
    return np.stack([np.ones_like(amount), amount, amount**2], axis=1)

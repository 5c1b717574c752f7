"""Is whatever is done followed by worse than doing nothing? Then help goes to those about to need it.

    residual  ~  theta (d - E[d | s]),      d = 1 where anything is done

with the residual of `frl_algos.action_effects.targets`: what came beyond what the history predicts (Robinson, 1988).
Somebody who decides well does not harm on average. So where theta is below 0 by more than chance, the decisions
followed something that the observations don't show: *confounding by indication*. Effects of single actions, estimated
from the same decisions, then carry it as well, the more the better an action is aimed. An observed response is a way
out (`frl_algos.action_effects.estimate`); without one nothing tells effects from reasons.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from frl_algos.action_effects.targets import Targets, ridge_weights, value_features
from frl_algos.logged_data.member_parts import parts

CLEARLY = 2.0
"""Standard errors below 0 that are not chance."""


@dataclass(frozen=True, kw_only=True)
class Acting:
    """What doing anything is followed by, against doing nothing.

    Attributes:
        effect: theta, in units of reward; credit-weighted.
        error: Its standard error, over people.
    """

    effect: float
    error: float

    @property
    def harms(self) -> bool:
        """Whether it is worse, beyond chance."""
        return self.effect < -CLEARLY * self.error


def effect_of_acting(scaled_observations: Float32[np.ndarray, "row k"], targets: Targets) -> Acting | None:
    """Estimates theta by residuals on residuals.

    Args:
        scaled_observations: As the networks see them.
        targets: Of the same rows.

    Returns:
        None where something is done always, or never.
    """
    done = targets.attempted.astype(np.float64)
    if not 0 < done.mean() < 1:
        return None
    size = value_features(scaled_observations[:1]).shape[1]
    squares, products = np.zeros((size, size)), np.zeros(size)
    lengths = np.bincount(targets.episodes)
    for rows, _ in parts(lengths, size):
        x = value_features(scaled_observations[rows]).astype(np.float64)
        squares += x.T @ x
        products += x.T @ done[rows]
    # Surplus: acting, less its linear prediction from the state.
    weights = ridge_weights(squares, products)
    surplus = np.empty(len(done))
    for rows, _ in parts(lengths, size):
        surplus[rows] = done[rows] - value_features(scaled_observations[rows]) @ weights
    residuals = targets.residuals - targets.residuals.mean()
    spread = float((surplus**2).sum())
    effect = float((surplus * residuals).sum()) / spread
    # Summed by person: the standard error holds though a person's rows go together.
    by_person = np.bincount(targets.people[targets.episodes], weights=surplus * (residuals - effect * surplus))
    return Acting(effect=effect, error=float(np.sqrt((by_person**2).sum())) / spread)

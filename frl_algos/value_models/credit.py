"""Rewards that a decision gets credit for, what the history predicts of them, and how much they vary by chance.

    y_t = sum_k kappa^k r_{t+k},     m_t = sum_k kappa^k E[r_{t+k}],     M_t = sum_k kappa^2k E[r_{t+k}]

An effect that is a share of the rewards expected, and of which kappa^k is left after k steps, changes the return by m_t
and y_t by M_t, each multiplied by its size now. Expectations are linear in the history, and in the history multiplied
by the time left.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from frl_algos.action_effects.targets import ridge_weights
from frl_algos.value_models.histories import Histories

FLOOR = 0.2
"""An expected amount or variance is not let below this share of its mean."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CreditedRewards:
    """Credit-weighted rewards of every decision, and what is expected of them; by row.

    Attributes:
        sign: Of the rewards, which are counts; 1 where they are not.
        credit: y_t, of the rewards without their sign.
        weeks: Steps left, each weighted by what is left of an effect, over their mean: with the history and the history
            times this it is predicted (`baseline`).
        felt: M_t.
        amount: m_t.
        precision: Inverse of the variance of y_t.
    """

    sign: int
    credit: Float[np.ndarray, "row"]
    weeks: Float[np.ndarray, "row"]
    felt: Float[np.ndarray, "row"]
    amount: Float[np.ndarray, "row"]
    precision: Float[np.ndarray, "row"]

    @classmethod
    def of(cls, rows: Histories, kappa: float) -> "CreditedRewards":
        """Credit-weighted rewards of logged decisions, with what is expected of them.

        Args:
            rows: The decisions.
            kappa: What is left of an effect after a step.
        """
        rewards = rows.episodes.rewards
        sign = int(bool(rewards.any())) * (int(bool((rewards >= 0).all())) - int(bool((rewards <= 0).all())))
        left = rows.episodes.steps - rows.step
        weeks, squared = (_geometric(decay, left) for decay in (kappa, kappa**2))
        scaled = weeks / weeks.mean()
        credit = _credit(rows, rewards * (sign or 1), kappa)
        other = _credit(rows, rewards * sign, kappa**2)
        fitted, other = _predicted(rows, scaled, np.stack([credit, other], axis=1)).T
        residual = credit - fitted
        if sign == 0:
            # No counts: an effect is felt alike in every week, in standard deviations of a reward.
            unit = float(rewards[rows.episodes.mask].std()) or 1.0
            felt, amount = unit * squared, unit * weeks
            variance = np.full(len(credit), float((residual**2).mean()) or 1.0)
        else:
            amount = np.maximum(fitted, FLOOR * float(credit.mean()) * scaled)
            felt = np.maximum(other, FLOOR * float(other.mean()) * squared / squared.mean())
            variance = _variance(amount, residual)
        return cls(sign=sign or 1, credit=credit, weeks=scaled, felt=felt, amount=amount, precision=1 / variance)


def baseline(
    history: Float[np.ndarray, "row feature"], weeks: Float[np.ndarray, "row"]
) -> Float[np.ndarray, "row twice"]:
    """The history, and the history times the weeks left."""
    return np.concatenate([history, history * weeks[:, None]], axis=1)


def _predicted(
    rows: Histories, weeks: Float[np.ndarray, "row"], targets: Float[np.ndarray, "row target"]
) -> Float[np.ndarray, "row target"]:
    """What the baseline predicts of the targets, by ridge regressions on columns of mean square 1."""
    size = 2 * rows.features
    squares, products = np.zeros((size, size)), np.zeros((size, targets.shape[1]))
    for part, history in rows.parts(size):
        x = baseline(history, weeks[part])
        squares += x.T @ x
        products += x.T @ targets[part]
    # Scaled to mean square 1, so that one ridge penalty is the same for all columns.
    scale = np.sqrt(np.diagonal(squares) / len(targets))
    scale = np.where(scale < 1e-12, 1.0, scale)
    weights = ridge_weights(squares / np.outer(scale, scale), products / scale[:, None]) / scale[:, None]
    predicted = np.empty(targets.shape)
    for part, history in rows.parts(size):
        predicted[part] = baseline(history, weeks[part]) @ weights
    return predicted


def _credit(rows: Histories, rewards: np.ndarray, decay: float) -> np.ndarray:
    """Sum over the rest of the episode of decay ** k times the reward k steps ahead; by row."""
    total = np.zeros(rewards.shape)
    following = np.zeros(len(rewards))
    for t in range(rewards.shape[1] - 1, -1, -1):
        following = rewards[:, t] + decay * following
        total[:, t] = following
    return total[rows.episodes.mask]


def _geometric(decay: float, terms: np.ndarray) -> np.ndarray:
    """1 + decay + ... , so many terms."""
    return terms.astype(float) if decay == 1 else (1 - decay**terms) / (1 - decay)


def _variance(amount: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Variance of the residuals as a quadratic in the expected amount, as for counts that vary more than Poisson."""
    if np.ptp(amount) == 0:
        return np.full(len(residual), float((residual**2).mean()) or 1.0)
    # Divided by the amount: squares of rows with a large one vary most, and would rule the fit.
    powers = np.stack([np.ones_like(amount), amount, amount**2], axis=1) / amount[:, None]
    coefficients = np.linalg.lstsq(powers, residual**2 / amount, rcond=None)[0]
    least = FLOOR * float((residual**2).mean()) * np.minimum(amount / amount.mean(), 1.0)
    return np.maximum((powers @ coefficients) * amount, np.maximum(least, 1e-12))

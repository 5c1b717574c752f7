"""Point estimators of a policy's value: pure functions over padded arrays `(episode, step)`.

Notation, for a member's decision at step t:

    rho_t = pi(a_t | s_t) / pi_b(a_t | s_t)      one-week ratio of target to behaviour
    w_t   = rho_0 * ... * rho_t                  cumulative weight, w_-1 = 1
    d_t   = density of s_t under the target over that under behaviour; 1 for t <= 0
    mu_t  = d_j * rho_j * ... * rho_t, j = t-k+1 marginal weight with a window of k weeks
    Q_t   = Q(s_t, a_t), V_t = sum_a pi(a | s_t) Q(s_t, a), 0 after the end
    e_t   = r_t + g V_t+1 - Q_t                  what the values did not foresee; g is the discount

The direct term is always V, the expectation under the target: with Q(s, a_logged) in its place every policy looks
like the behaviour policy. Padding: log ratios, rewards and values are 0 after the end. A weight stays what it was when
the episode ended, and an ended episode goes on counting in the normalisation: it is in an absorbing state.

A cut-off `clip` replaces each weight w by min(w, clip): less variance, for a bias toward the values.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Int64

from frl_env.errors import UserError, check_whole
from frl_env.evaluation.estimating.estimate import Estimate
from frl_env.evaluation.privacy.suppression import among

Grid = Float64[np.ndarray, "episode step"]
Lengths = Int64[np.ndarray, "episode"]

CEILING = 300.0
"""Largest natural logarithm of a weight that is computed with: its square is still a number."""

CUMULATIVE, MARGINAL = "cumulative", "marginal"
"""Kinds of weights."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ActionValues:
    """What a model expects to follow, at every logged decision; zero after the end.

    Attributes:
        logged: Q(s_t, a_t), of the logged action, under the target from the next step on.
        policy: V(s_t) = sum_a pi(a | s_t) Q(s_t, a).
    """

    logged: Grid
    policy: Grid


def direct_method(values: ActionValues) -> Estimate:
    """What the model expects at the start: the mean of V(s_0).

    As good as the model, and no better: no data corrects it. Its terms decompose, but their spread knows nothing of
    the model's own error, so neither does the interval.
    """
    _check(values.policy, values=values)
    return Estimate(name="DM", plain=values.policy[:, 0].copy())


def per_decision_importance_sampling(
    rewards: Grid, log_ratios: Grid, *, discount: float = 1.0, clip: float | None = None
) -> Estimate:
    """Mean of sum_t g^t w_t r_t.

    Unbiased with true propensities, also under hidden confounding; the variance grows exponentially with the steps.
    Decomposes.

    Args:
        rewards: Zero after the end.
        log_ratios: ln rho_t; zero after the end.
        discount: In [0, 1].
        clip: Cut-off of the weights, None for none.

    Raises:
        UserError: If shapes disagree or a number is not one.

    Source: Precup et al. (2000).
    """
    _check(rewards, log_ratios=log_ratios)
    plain = (_weights(log_ratios, clip) * rewards) @ _discounts(rewards, discount)
    return Estimate(name="PDIS", weights=CUMULATIVE, plain=plain)


def weighted_importance_sampling(
    rewards: Grid, log_ratios: Grid, *, discount: float = 1.0, clip: float | None = None
) -> Estimate:
    """Sum_t g^t sum_i w_it r_it / sum_i w_it: per-decision importance sampling, self-normalised at each step.

    Consistent, bounded by the rewards, biased toward the behaviour policy when few members carry the weight. Does not
    decompose. Arguments and errors as in `per_decision_importance_sampling`.

    Source: Precup et al. (2000); Thomas (2015).
    """
    _check(rewards, log_ratios=log_ratios)
    weights = _scaled(_cumulative(log_ratios), clip)
    return Estimate(
        name="WIS",
        weights=CUMULATIVE,
        plain=np.zeros(len(rewards)),
        weighted=rewards * _discounts(rewards, discount),
        denominators=weights,
    )


def doubly_robust(
    rewards: Grid, log_ratios: Grid, values: ActionValues, *, discount: float = 1.0, clip: float | None = None
) -> Estimate:
    """Mean of V_0 + sum_t g^t w_t e_t, which is the same as sum_t g^t (w_t (r_t - Q_t) + w_t-1 V_t).

    Unbiased when the propensities or the values are right, without a cut-off. Decomposes.

    Args:
        rewards: Zero after the end.
        log_ratios: ln rho_t; zero after the end.
        values: Of the target, fitted on other members.
        discount: In [0, 1].
        clip: Cut-off of the weights, None for none.

    Raises:
        UserError: If shapes disagree or a number is not one.

    Source: Jiang & Li (2016).
    """
    _check(rewards, log_ratios=log_ratios, values=values)
    unforeseen = _unforeseen(rewards, values, discount)
    plain = values.policy[:, 0] + (_weights(log_ratios, clip) * unforeseen) @ _discounts(rewards, discount)
    return Estimate(name="DR", weights=CUMULATIVE, plain=plain)


def weighted_doubly_robust(
    rewards: Grid, log_ratios: Grid, values: ActionValues, *, discount: float = 1.0, clip: float | None = None
) -> Estimate:
    """Mean of V_0, plus sum_t g^t sum_i w_it e_it / sum_i w_it: doubly robust, self-normalised at each step.

    Consistent when the propensities or the values are right. Does not decompose. Arguments and errors as in
    `doubly_robust`.

    Source: Thomas & Brunskill (2016).
    """
    _check(rewards, log_ratios=log_ratios, values=values)
    weights = _scaled(_cumulative(log_ratios), clip)
    unforeseen = _unforeseen(rewards, values, discount)
    return Estimate(
        name="WDR",
        weights=CUMULATIVE,
        plain=values.policy[:, 0].copy(),
        weighted=unforeseen * _discounts(rewards, discount),
        denominators=weights,
    )


def marginalised_importance_sampling(
    rewards: Grid,
    log_ratios: Grid,
    state_ratios: Grid,
    *,
    lengths: Lengths | None = None,
    window: int = 1,
    discount: float = 1.0,
    normalise: bool = True,
) -> Estimate:
    """Sum_t g^t sum_i mu_it r_it / sum_i mu_it: `marginalised_doubly_robust` without values, its arguments and errors.

    Source: Xie et al. (2019).
    """
    nothing = np.zeros_like(rewards)
    estimate = marginalised_doubly_robust(
        rewards,
        log_ratios,
        state_ratios,
        ActionValues(logged=nothing, policy=nothing),
        lengths=lengths,
        window=window,
        discount=discount,
        normalise=normalise,
    )
    return replace(estimate, name="MIS")


def marginalised_doubly_robust(
    rewards: Grid,
    log_ratios: Grid,
    state_ratios: Grid,
    values: ActionValues,
    *,
    lengths: Lengths | None = None,
    window: int = 1,
    discount: float = 1.0,
    normalise: bool = True,
) -> Estimate:
    """Mean of V_0, plus sum_t g^t sum_i mu_it e_it / sum_i mu_it, with time-indexed density ratios.

    The variance grows with the square of the steps, no longer exponentially. The price is an assumption: the
    observation of `window` weeks ago has to hold all of the past that still matters. Where it does, the estimate is
    consistent when either the values or (propensities and density ratios) are right, and efficient when both are.
    Where it does not (needs that no record shows, effects that last longer than the window) it is biased, and its
    interval does not say so. A window of all weeks is `weighted_doubly_robust`, without the assumption.

    Args:
        rewards: Zero after the end.
        log_ratios: ln rho_t; zero after the end.
        state_ratios: d_t(s_t), from `state_density_ratios`.
        values: Of the target, fitted on other members.
        lengths: Steps of each episode; all of them unless given.
        window: Weeks whose ratios are multiplied as they are.
        discount: In [0, 1].
        normalise: Whether the weights of a step sum to 1. Otherwise their mean is taken as it is, and the estimate
            decomposes.

    Raises:
        UserError: If shapes disagree or a number is not one.

    Source: Kallus & Uehara (2020), Double Reinforcement Learning; the ratios by regression after Xie et al. (2019);
    windows, Yuan et al. (2021).
    """
    _check(rewards, log_ratios=log_ratios, values=values, state_ratios=state_ratios)
    logs = marginal_log_weights(log_ratios, state_ratios, lengths=lengths, window=window)
    unforeseen = _unforeseen(rewards, values, discount) * _discounts(rewards, discount)
    plain = values.policy[:, 0].copy()
    if not normalise:
        plain += (_exp(logs, None) * unforeseen).sum(axis=1)
        return Estimate(name="MDR", weights=MARGINAL, plain=plain)
    weights = _scaled(logs, None)
    return Estimate(name="MDR", weights=MARGINAL, plain=plain, weighted=unforeseen, denominators=weights)


def cumulative_weights(log_ratios: Grid, clip: float | None = None) -> Grid:
    """w_t, at most e^300; after the end what it was at the end.

    Raises:
        UserError: If a log ratio is not a number or is infinite; minus infinity, a ratio of 0, is fine.
    """
    _check(np.zeros_like(log_ratios), log_ratios=log_ratios)
    return _weights(log_ratios, clip)


def marginal_weights(log_ratios: Grid, state_ratios: Grid, *, lengths: Lengths | None = None, window: int = 1) -> Grid:
    """Weights mu_t, at most e^300; after the end what they were at the end.

    Arguments and errors as in `marginalised_doubly_robust`.
    """
    return _exp(marginal_log_weights(log_ratios, state_ratios, lengths=lengths, window=window), None)


def marginal_log_weights(
    log_ratios: Grid, state_ratios: Grid, *, lengths: Lengths | None = None, window: int = 1
) -> Grid:
    """Logarithm of mu_t: the density ratio of the state `window` decisions ago, times the ratios of these decisions."""
    check_whole("window", window, low=1, high=2**31)
    if (state_ratios < 0).any():
        raise UserError(f"density ratios are negative in {_members(state_ratios < 0)}")
    members, steps = log_ratios.shape
    logs = np.zeros((members, steps))
    for lag in range(min(window, steps)):  # a difference of cumulative sums would be NaN after a ratio of 0
        logs[:, lag:] += log_ratios[:, : steps - lag]
    if window < steps:
        with np.errstate(divide="ignore"):
            logs[:, window - 1 :] += np.log(state_ratios[:, : steps - window + 1])
    if lengths is not None:
        # After its end a member keeps its last weight.
        last = np.asarray(lengths)[:, None] - 1
        logs = np.where(np.arange(steps) > last, np.take_along_axis(logs, last, axis=1), logs)
    return logs


def _cumulative(log_ratios: Grid) -> Grid:
    """Logarithm of the product of all ratios up to each step."""
    return np.cumsum(log_ratios, axis=1)


def _weights(log_ratios: Grid, clip: float | None) -> Grid:
    return _exp(_cumulative(log_ratios), clip)


def _exp(logs: Grid, clip: float | None) -> Grid:
    return np.exp(np.minimum(logs, _ceiling(clip)))


def _scaled(logs: Grid, clip: float | None) -> Grid:
    """Weights over the largest of their step, so that a self-normalised estimate never overflows."""
    logs = logs if clip is None else np.minimum(logs, _ceiling(clip))
    largest = logs.max(axis=0)
    return np.exp(logs - np.where(np.isfinite(largest), largest, 0.0))


def _ceiling(clip: float | None) -> float:
    """Logarithm of the largest weight: of the cut-off, or so large that only overflow is prevented."""
    if clip is None:
        return CEILING
    if not clip > 0:
        raise UserError(f"clip must be a positive cut-off of the weights or None, not {clip}")
    return min(float(np.log(clip)), CEILING)


def _discounts(rewards: Grid, discount: float) -> Float64[np.ndarray, "step"]:
    if not 0 <= discount <= 1:
        raise UserError(f"discount must be a number in 0..1, not {discount}")
    return discount ** np.arange(rewards.shape[1])


def _unforeseen(rewards: Grid, values: ActionValues, discount: float) -> Grid:
    """What the values did not foresee of each step: r + discount V(s') - Q(s, a)."""
    following = np.zeros_like(values.policy)
    following[:, :-1] = values.policy[:, 1:]
    return rewards + discount * following - values.logged


def _check(like: Grid, values: ActionValues | None = None, **arrays: Grid) -> None:
    arrays = {"rewards": like} | arrays
    if values is not None:
        arrays |= {"values of the logged actions": values.logged, "values of the policy": values.policy}
    for name, array in arrays.items():
        if np.ndim(array) != 2 or array.shape != like.shape:
            raise UserError(f"{name} have shape {np.shape(array)}; the rewards have {like.shape} (members, steps)")
        bad = np.isnan(array) | (array == np.inf) | ((array == -np.inf) & (name != "log_ratios"))
        if bad.any():
            raise UserError(f"{name} are not finite in {_members(bad)}")


def _members(bad: np.ndarray) -> str:
    return among(int(bad.any(axis=1).sum()), len(bad), simulated=False)

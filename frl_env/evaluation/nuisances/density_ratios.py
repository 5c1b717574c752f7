"""Ratios of the densities of the state under target and behaviour, week by week, by regression.

With rho the one-week ratio, the density ratio of the state obeys

    d_0 = 1,    d_t(s) = E_b[ d_t-1(s_t-1) * rho_t-1 | s_t = s ]

so d_t is the regression of last week's marginal weight on this week's state. Here it is a ridge regression on smooth
features of the observation, one a week, its penalty chosen by generalised cross-validation, so that it shrinks to the
mean weight when the data shows no difference; predictions are cut at 0 and keep the mean weight. It is fitted on the
other folds' members (cross-fitting): a member's own luck is not in its own weight.

Sources: the recursion, Xie et al. (2019); its use with a doubly robust estimator, Kallus & Uehara (2020).
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int64

from frl_env.evaluation.nuisances.ridge import Ridge

LARGEST = 1e100
"""Weights are cut here: such a one says nothing any more, but its square is still a number."""

Grid = Float64[np.ndarray, "episode step"]


def state_density_ratios(
    features: Float64[np.ndarray, "episode step feature"],
    log_ratios: Grid,
    mask: Bool[np.ndarray, "episode step"],
    *,
    folds: Sequence[Int64[np.ndarray, "member"]],
) -> Grid:
    """d_t(s_t) of every decision; 1 after the end.

    Args:
        features: Of the state, for instance from `state_features`; it should hold all of the past that matters.
        log_ratios: ln rho_t, zero after the end.
        mask: Which steps belong to the episode.
        folds: Members of each fold, every member once; see `split_members`.
    """
    members = len(mask)
    ratios = np.ones(mask.shape)
    one_week = np.exp(np.minimum(log_ratios, np.log(LARGEST)))
    for fold in folds:
        train = np.ones(members, dtype=bool)
        train[fold] = False
        fitted = _recursion(features, one_week, mask, train)
        ratios[fold] = fitted[fold]
    return ratios


def _recursion(features: np.ndarray, one_week: Grid, mask: np.ndarray, train: np.ndarray) -> Grid:
    """d_t(s_t) of every decision by the recursion above, fitted on the members of `train`."""
    ratios = np.ones(mask.shape)
    for step in range(1, mask.shape[1]):
        weights = np.minimum(ratios[:, step - 1] * one_week[:, step - 1], LARGEST)
        here = mask[:, step]
        rows = features[here & train, step]
        if not len(rows):
            continue
        responses = weights[here & train]
        ridge = Ridge.of(rows)
        intercept, slopes = ridge.coefficients(rows, responses, ridge.penalty(rows, responses))
        # Cut at 0, and scaled back to the mean weight that the cut has moved.
        predicted = np.maximum(intercept + features[here, step] @ slopes, 0.0)
        fitted = np.maximum(intercept + rows @ slopes, 0.0).mean()
        ratios[here, step] = predicted * (responses.mean() / fitted if fitted > 0 else 0.0)
    return ratios

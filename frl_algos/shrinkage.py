"""Bayesian linear regression whose groups of coefficients each learn how large they are.

    y = X w + noise,    w_j ~ N(0, tau_g^2) in group g,    tau_g ~ half-Cauchy(scale_g)

The half-Cauchy lets a group that the data supports grow and shrinks the others towards 0 (Gelman, 2006). Sampled by
Gibbs' method with the inverse-gamma mixture of the half-Cauchy (Makalic and Schmidt, 2016); only X'X and X'y are
needed, so the rows may be many.
"""

from collections.abc import Iterator

import numpy as np
import scipy.linalg
from jaxtyping import Float, Int

FLAT = 1e-4
"""Prior precision of coefficients that belong to no group."""


def posterior_mean(
    precision: Float[np.ndarray, "column column"],
    shift: Float[np.ndarray, "column"],
    groups: Int[np.ndarray, "column"],
    scales: Float[np.ndarray, "group"],
    rng: np.random.Generator,
    *,
    sweeps: int = 400,
    warm_up: int = 100,
) -> Float[np.ndarray, "column"]:
    """Mean of the coefficients over the posterior, the sizes of the groups included.

    Args:
        precision: X'X over the variance of the noise.
        shift: X'y over the same.
        groups: Group of each column; -1 leaves it (almost) free.
        scales: Half-Cauchy scale of each group's standard deviation.
        rng: Source of the draws.
        sweeps: Draws, after `warm_up` more.
        warm_up: Draws to forget.
    """
    total = np.zeros(len(shift))
    for sweep, (mean, _) in enumerate(_sweeps(precision, shift, groups, scales, rng, warm_up + sweeps)):
        if sweep >= warm_up:
            total += mean
    return total / sweeps


def prior_precisions(
    precision: Float[np.ndarray, "column column"],
    shift: Float[np.ndarray, "column"],
    groups: Int[np.ndarray, "column"],
    scales: Float[np.ndarray, "group"],
    rng: np.random.Generator,
    *,
    sweeps: int = 150,
    warm_up: int = 50,
) -> Float[np.ndarray, "column"]:
    """One prior precision a column, from what the data says of the size of its group.

    With them the coefficients are a ridge regression, linear in the data: its influence on an estimate can be written
    down. A group's precision is the inverse of the geometric mean of its variance over the posterior.

    Args:
        precision: X'X over the variance of the noise.
        shift: X'y over the same.
        groups: Group of each column.
        scales: Half-Cauchy scale of each group's standard deviation.
        rng: Source of the draws.
        sweeps: Draws, after `warm_up` more.
        warm_up: Draws to forget.
    """
    total = np.zeros(len(scales))
    draws = _sweeps(precision, shift, groups, scales, rng, warm_up + sweeps)
    for sweep, (_, variance) in enumerate(draws):
        if sweep >= warm_up:
            total += np.log(variance)
    return np.exp(-total / sweeps)[groups]


def _sweeps(
    precision: np.ndarray,
    shift: np.ndarray,
    groups: np.ndarray,
    scales: np.ndarray,
    rng: np.random.Generator,
    sweeps: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Mean of the coefficients given the variances of the groups, and the variances drawn after it, sweep by sweep."""
    members = [np.flatnonzero(groups == g) for g in range(len(scales))]
    variance = np.asarray(scales, dtype=np.float64) ** 2
    prior = np.full(len(shift), FLAT)
    diagonal = np.diag_indices(len(shift))
    for _ in range(sweeps):
        for columns, value in zip(members, variance, strict=True):
            prior[columns] = 1 / value
        full = precision.copy()
        full[diagonal] += prior
        factor = scipy.linalg.cholesky(full, lower=True, overwrite_a=True, check_finite=False)
        mean = scipy.linalg.cho_solve((factor, True), shift, check_finite=False)
        noise = rng.standard_normal(len(shift))
        drawn = mean + scipy.linalg.solve_triangular(factor.T, noise, lower=False, check_finite=False)
        for g, columns in enumerate(members):
            # 1 / xi given the variance, then the variance given 1 / xi and the coefficients.
            mixing = rng.gamma(1.0) / (1 / scales[g] ** 2 + 1 / variance[g])
            rate = mixing + float(drawn[columns] @ drawn[columns]) / 2
            variance[g] = rate / rng.gamma((len(columns) + 1) / 2)
        yield mean, variance

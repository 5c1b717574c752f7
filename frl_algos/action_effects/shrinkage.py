"""Bayesian linear regression whose groups of coefficients each learn how large they are.

    y = X w + noise,    w_j ~ N(0, tau_g^2) in group g,    tau_g ~ half-Cauchy(scale_g)

Two ways to the coefficients: `posterior_mean` averages over what the sizes may be, by sampling; `variational_posterior`
settles on the likeliest sizes in a few solves: enough to compare models, to solve again on part of the data, and for
the posterior's spread.

The half-Cauchy lets a group that the data supports grow and shrinks the others towards 0 (Gelman, 2006). Sampled by
Gibbs' method with the inverse-gamma mixture of the half-Cauchy (Makalic and Schmidt, 2016); only X'X and X'y are
needed, so the rows may be many.
"""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import lapack

FLAT = 1e-4
"""Prior precision of coefficients that belong to no group."""


def posterior_mean(
    precision: Float[np.ndarray, "column column"],
    shift: Float[np.ndarray, "column"],
    groups: Int[np.ndarray, "column"],
    scales: Float[np.ndarray, "group"],
    rng: np.random.Generator,
    *,
    known: Bool[np.ndarray, "group"] | None = None,
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
        known: Groups whose tau is known to be the scale, and not learned; None where all are learned.
        sweeps: Draws, after `warm_up` more.
        warm_up: Draws to forget.

    Raises:
        numpy.linalg.LinAlgError: If the precision is not that of any data.
    """
    if not len(shift):
        return np.zeros(0)
    members = [np.flatnonzero(groups == g) for g in range(len(scales))]
    learned = [(g, columns) for g, columns in enumerate(members) if known is None or not known[g]]
    variance = np.asarray(scales, dtype=np.float64) ** 2
    total = np.zeros(len(shift))
    prior = np.full(len(shift), FLAT)
    diagonal = np.diag_indices(len(shift))
    for sweep in range(warm_up + sweeps):
        for columns, value in zip(members, variance, strict=True):
            prior[columns] = 1 / value
        full = precision.copy(order="F")
        full[diagonal] += prior
        # LAPACK itself: of these small systems, what SciPy's own functions check takes as long as solving them.
        factor, failed = lapack.dpotrf(full, lower=1, clean=0, overwrite_a=1)
        if failed:
            raise np.linalg.LinAlgError("X'X with the prior is not positive definite")
        mean, _ = lapack.dpotrs(factor, shift, lower=1)
        noise = rng.standard_normal(len(shift))
        drawn = mean + lapack.dtrtrs(factor, noise, lower=1, trans=1)[0]
        if sweep >= warm_up:
            total += mean
        for g, columns in learned:
            # 1 / xi given the variance, then the variance given 1 / xi and the coefficients.
            mixing = rng.gamma(1.0) / (1 / scales[g] ** 2 + 1 / variance[g])
            rate = mixing + float(drawn[columns] @ drawn[columns]) / 2
            variance[g] = rate / rng.gamma((len(columns) + 1) / 2)
    return total / sweeps


def variational_posterior(
    precision: Float[np.ndarray, "column column"],
    shift: Float[np.ndarray, "column"],
    groups: Int[np.ndarray, "column"],
    scales: Float[np.ndarray, "group"],
    known: Bool[np.ndarray, "group"],
    *,
    solves: int = 60,
    mean_within: float = 1e-7,
    sizes_within: float = 0.0,
) -> tuple[Float[np.ndarray, "column"], Float[np.ndarray, "column column"], Float[np.ndarray, "column"]]:
    """Mean and covariance of the coefficients, and the prior precision of each, by mean-field variational inference.

    Args:
        precision: X'X over the variance of the noise.
        shift: X'y over the same.
        groups: Group of each column; -1 leaves it (almost) free.
        scales: Half-Cauchy scale of each group's standard deviation.
        known: Groups whose tau is known to be the scale, and not learned.
        solves: At most.
        mean_within: They end where no coefficient changes by so much,
        sizes_within: or no logarithm of a tau squared by so much.

    Source: Neville, Ormerod and Wand (2014), mean field variational Bayes for continuous sparse signal shrinkage.
    """
    members = [np.flatnonzero(groups == g) for g in range(len(scales))]
    inverse = 1 / np.asarray(scales, dtype=np.float64) ** 2
    prior = np.full(len(shift), FLAT)
    mean, covariance = np.zeros(len(shift)), np.zeros_like(precision)
    for _ in range(solves):
        for columns, value in zip(members, inverse, strict=True):
            prior[columns] = value
        covariance = np.linalg.inv(precision + np.diag(prior))
        mean_before, mean = mean, covariance @ shift
        spread = mean**2 + np.diagonal(covariance)
        before = inverse.copy()
        for g, columns in enumerate(members):
            if not known[g] and len(columns):
                # A half-Cauchy is a mixture of inverse gammas; the mixing scale and the precision take turns.
                mixing = 1 / (1 / scales[g] ** 2 + inverse[g])
                inverse[g] = ((len(columns) + 1) / 2) / (mixing + float(spread[columns].sum()) / 2)
        if np.abs(mean - mean_before).max(initial=0.0) < mean_within:
            break
        if np.abs(np.log(inverse / before)).max(initial=0.0) < sizes_within:
            break
    return mean, covariance, prior

"""What actions do to the rewards of the weeks that follow: a structural nested mean model with fading effects.

One contact changes a year's events by about a hundredth, against a chance variation of several events; a value function
fitted to returns sees little else than that chance, and who gets contacted depends on how ill he is. So effects are
asked for directly, week by week, and only by what chance decided:

    reward_t = what would have come anyway + m_t E_t . w + noise,      E_t = kappa E_{t-1} + d_t phi(a_t)

- phi(a): terms of the action (`frl_algos.terms`): overall, levels, indications met. m_t: events expected in the week by
  the history, so that effects are shares of them; where rewards are no counts, a constant.
- d_t is what can't be foreseen of the treatment, so that nothing known about the member explains it. With a *response*:
  whether the attempt was answered, less the chance of it (`frl_algos.responses`): why the team attempted is the same
  among the answered and the others. Without: phi(a_t) less its expectation given the history (the R-learner).
- kappa: what is left of an effect after a week. It is not known; each value of a grid has the weight that the data
  gives it, and the estimate is the mean over the grid.
- w: ridge regression, the penalty of each group of terms learned from the data (`frl_algos.shrinkage`), for each fold
  of members from the members of the other folds.

Source: Robins (1994), structural nested mean models; Nie and Wager (2021) for the residuals.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int64

from frl_algos.histories import Histories
from frl_algos.replay import to_grid
from frl_algos.responses import Responses
from frl_algos.shrinkage import FLAT, prior_precisions
from frl_algos.targets import ridge
from frl_algos.terms import Terms
from frl_env.evaluation import split_members

FADINGS = (0.7, 0.8, 0.87, 0.92, 0.96, 0.98)
"""Half of an effect is gone after 2, 3, 5, 8, 17 or 34 steps."""

CHUNK = 4_000
"""Members whose columns are held at once."""

FLOOR = 0.2
"""The amount expected is not let below this share of its mean."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Fading:
    """The model for one value of kappa.

    Attributes:
        kappa: What is left of an effect after a step.
        probability: Of this value, given the data.
        weights: w by fold of members, each from the other folds; `(fold, column)`.
        scores: Influence of each member on w, in units of w: a change of the weights of all when it counts once more.
        shrinkage: Covariance of w that stems from the prior, where the data says little.
    """

    kappa: float
    probability: float
    weights: Float[np.ndarray, "fold column"]
    scores: Float[np.ndarray, "episode column"]
    shrinkage: Float[np.ndarray, "column column"]


@dataclass(frozen=True, kw_only=True, eq=False)
class NestedModel:
    """Fitted effects.

    Attributes:
        rows: The logged decisions.
        terms: Columns of the actions.
        responses: Chances of a response; None without one.
        amount: Reward that an effect of 1 is worth, with its sign; by row.
        signs: Observations from 0 to 1, for the indications; by row.
        expected: Terms of the logged action, as far as an effect of them could be foreseen; by row.
        fold: Fold of each member.
        fadings: One model for each kappa.
    """

    rows: Histories
    terms: Terms
    responses: Responses | None
    amount: Float[np.ndarray, "row"]
    signs: Float[np.ndarray, "row k"]
    expected: Float[np.ndarray, "row column"]
    fold: Int64[np.ndarray, "episode"]
    fadings: Sequence[Fading]

    @classmethod
    def fit(
        cls, rows: Histories, terms: Terms, *, response: int | None, folds: int, rng: np.random.Generator
    ) -> "NestedModel":
        """Estimates the effects.

        Args:
            rows: The logged decisions.
            terms: Columns of the actions.
            response: Index of the observation whose next value is positive when an action got a response; None
                without one.
            folds: Folds of members.
            rng: Source of the folds and of the draws from the posterior.

        Raises:
            UserError: If there are too few members for the folds, or too few responses.
        """
        terms = plain_terms(terms)
        episodes = rows.episodes
        fold = np.zeros(len(episodes), dtype=np.int64)
        for number, members in enumerate(split_members(len(episodes), folds, rng)):
            fold[members] = number
        low, high = rows.observations.min(axis=0), rows.observations.max(axis=0)
        signs = ((rows.observations - low) / np.where(high > low, high - low, 1.0)).astype(np.float32)
        rewards = episodes.rewards[episodes.mask]
        sign, amount = _amount(rows, rewards)
        columns = terms.columns(signs, signs, rows.actions)
        responses = None
        if response is None:
            expected = columns
            deviation = columns - rows.history @ _projection(rows.history, columns)
            nuisance = np.zeros((len(columns), 0))
        else:
            responses = Responses.fit(rows, terms, response)
            expected = columns * responses.chance[:, None].astype(np.float32)
            deviation = columns * (responses.reached - responses.chance)[:, None].astype(np.float32)
            nuisance = np.column_stack([terms.levels[rows.actions], responses.called - responses.chance_unprompted])
        deviation, nuisance = deviation.astype(np.float32), nuisance.astype(np.float32)
        start = rows.history[rows.rows[:, 0]]
        fitted = []
        for kappa in FADINGS:
            pieces = _pieces(rows, sign * rewards, amount, deviation, nuisance, start, kappa)
            fitted.append(_solve(pieces, fold, folds, terms, columns.shape[1], rng))
        evidence = np.asarray([one[0] for one in fitted])
        probability = np.exp(evidence - evidence.max())
        probability /= probability.sum()
        return cls(
            rows=rows,
            terms=terms,
            responses=responses,
            amount=sign * amount,
            signs=signs,
            expected=expected.astype(np.float32),
            fold=fold,
            fadings=[
                Fading(kappa=kappa, probability=float(chance), weights=one[1], scores=one[2], shrinkage=one[3])
                for kappa, chance, one in zip(FADINGS, probability, fitted, strict=True)
            ],
        )


def plain_terms(terms: Terms) -> Terms:
    """The terms without pairs of levels and without those of the state.

    Pairs are most of the columns, and what they add to the variance of a value is more than what they explain.
    """
    simple = 1 + terms.levels.shape[1]
    kept = np.zeros(len(terms.groups), dtype=bool)
    kept[:simple] = True
    if terms.indicated.any():
        kept[-1 - terms.levels.shape[1] :] = True
    groups, numbers = np.unique(terms.groups[kept], return_inverse=True)
    return replace(
        terms,
        fixed=terms.fixed[:, :simple],
        crossed=False,
        groups=numbers,
        scales=terms.scales[groups],
        optional=terms.optional[groups],
    )


def faded(values: Float[np.ndarray, "episode step column"], kappa: float) -> Float[np.ndarray, "episode step column"]:
    """Fading sum over the steps so far, this one included."""
    total = np.zeros_like(values)
    running = np.zeros_like(values[:, 0])
    for t in range(values.shape[1]):
        running = kappa * running + values[:, t]
        total[:, t] = running
    return total


def _amount(rows: Histories, rewards: np.ndarray) -> tuple[int, np.ndarray]:
    """Sign of the rewards and the amount expected of each, by the history; a constant where they are no counts."""
    sign = int(bool(rewards.any())) * (int(bool((rewards >= 0).all())) - int(bool((rewards <= 0).all())))
    if sign == 0:
        return 1, np.full(len(rewards), float(rewards.std()) or 1.0)
    features = np.concatenate([rows.history, rows.history[:, 1:] ** 2], axis=1)
    fitted = ridge(features, sign * rewards)[1]
    return sign, np.maximum(fitted, FLOOR * float(fitted.mean()))


def _projection(history: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Weights of the terms expected given the history."""
    return np.linalg.solve(history.T @ history + 10.0 * np.eye(history.shape[1]), history.T @ columns)


def _pieces(
    rows: Histories,
    outcome: np.ndarray,
    amount: np.ndarray,
    deviation: np.ndarray,
    nuisance: np.ndarray,
    start: np.ndarray,
    kappa: float,
) -> "Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]":
    """Weighted columns (effects, then free ones), weighted outcomes and member of each row, some members at a time."""
    lengths = rows.episodes.lengths
    ends = np.cumsum(lengths)
    for first in range(0, len(lengths), CHUNK):
        last = min(first + CHUNK, len(lengths))
        part = slice(int(ends[first] - lengths[first]), int(ends[last - 1]))
        own = lengths[first:last]
        treated = np.concatenate([deviation[part], nuisance[part]], axis=1)
        grid, mask = to_grid(treated, np.zeros_like(own), own)
        size = amount[part]
        member = rows.member[part]
        time = rows.step[part, None] / rows.episodes.steps
        free = np.concatenate([start[member], time, time**2], axis=1)
        columns = np.concatenate([faded(grid, kappa)[mask] * size[:, None], free], axis=1)
        # Counts: the variance of a week's events grows as their expectation.
        root = 1 / np.sqrt(size)
        yield columns * root[:, None], outcome[part] * root, member


def _solve(
    pieces: "Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]",
    fold: np.ndarray,
    folds: int,
    terms: Terms,
    effects: int,
    rng: np.random.Generator,
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Log evidence, weights by fold, scores by member, and covariance from the prior, for one kappa."""
    kept = list(pieces)
    total = kept[0][0].shape[1]
    squares, products = np.zeros((folds, total, total)), np.zeros((folds, total))
    for columns, outcome, member in kept:
        for number in range(folds):
            own = fold[member] == number
            squares[number] += columns[own].T @ columns[own]
            products[number] += columns[own].T @ outcome[own]
    free = slice(effects, total)
    all_squares, all_products = squares.sum(axis=0), products.sum(axis=0)
    rough = np.linalg.solve(all_squares + 1e-3 * np.eye(total), all_products)
    error = sum(float(((outcome - columns @ rough) ** 2).sum()) for columns, outcome, _ in kept)
    noise = error / sum(len(outcome) for _, outcome, _ in kept) or 1.0

    def reduced(squares: np.ndarray, products: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """X'X and X'y of the effects with the free columns taken out, over the noise."""
        out = np.linalg.solve(squares[free, free] + FLAT * np.eye(total - effects), squares[free, :effects])
        matrix = (squares[:effects, :effects] - squares[:effects, free] @ out) / noise
        return (matrix + matrix.T) / 2, (products[:effects] - out.T @ products[free]) / noise, out

    matrix, shift, out = reduced(all_squares, all_products)
    prior = prior_precisions(matrix, shift, terms.groups, terms.scales, rng)
    full = matrix + np.diag(prior)
    inverse = np.linalg.inv(full)
    evidence = 0.5 * float(shift @ inverse @ shift) - 0.5 * float(np.linalg.slogdet(full)[1] - np.log(prior).sum())
    weights = np.empty((folds, effects))
    scores = np.zeros((len(fold), effects))
    for number in range(folds):
        some, other, _ = reduced(all_squares - squares[number], all_products - products[number])
        weights[number] = np.linalg.solve(some + np.diag(prior), other)
    rest = np.linalg.solve(all_squares[free, free] + FLAT * np.eye(total - effects), all_products[free])
    for columns, outcome, member in kept:
        left = outcome - columns[:, free] @ rest
        clean = columns[:, :effects] - columns[:, free] @ out
        left -= np.einsum("nc,nc->n", clean, weights[fold[member]])
        np.add.at(scores, member, clean * left[:, None] / noise)
    return evidence, weights, scores @ inverse, inverse @ np.diag(prior) @ inverse

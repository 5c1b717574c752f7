"""What actions do to the rewards that follow: a structural nested mean model with fading effects.

One contact changes a year's events by about a hundredth, against a chance variation of several events; a value function
fitted to returns sees little else than that chance, and who is contacted depends on how ill they are. So effects are
estimated directly, and only from what chance decided of the treatment:

    y_t = sum_k kappa^k r_{t+k} = what the history predicts + M_t d_t phi(a_t) . w + nuisance + noise

- phi(a): terms of the action (`frl_algos.action_effects.terms`): overall, levels, indications met.
- d_t: what can't be foreseen of the treatment, so that nothing known of the member explains it. With a *response*:
  whether the attempt was answered, less the chance of it (`frl_algos.value_models.responses`); why the team attempted
  is the same among the answered and the others. Without: phi(a_t) less its expectation given the history (the
  R-learner).
- An effect is a share of the reward expected of the week in which it is felt, and fades: kappa^k of it is left after k
  weeks. M_t = sum_k kappa^2k E[r_{t+k}] is what an effect of 1 changes in y_t, and m_t = sum_k kappa^k E[r_{t+k}] what
  it changes in the return, to the horizon. Weighting the rewards as the effect fades is the filter matched to it.
- What the effect of an earlier attempt still does can't be done again. So d_t is multiplied by the share that is left,
  which is smaller the stronger the earlier actions were.
- w: Bayesian linear regression, rows weighted by the inverse of their variance, with the prior scales of
  `frl_algos.action_effects.terms`, but narrow ones for the levels of all factors except the leading one; for each fold
  of members from the members of the other folds. The chance of an answer and what the history predicts have few
  parameters and are fitted to all members.
- phi has no pairs of levels: they are most of the columns, and to estimate them costs more than they explain. An action
  may still do more or less than its levels add up to. What that could move a value by, with the prior scale of pairs,
  belongs to the error of the value (`NestedModel.beside_levels`).

Source: Robins (1994), structural nested mean models; Nie and Wager (2021) for the residuals.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int64
from scipy import sparse

from frl_algos.action_effects.shrinkage import FLAT
from frl_algos.action_effects.targets import ridge_weights
from frl_algos.action_effects.terms import Terms
from frl_algos.logged_data.member_parts import parts
from frl_algos.value_models.credit import CreditedRewards, baseline
from frl_algos.value_models.histories import Histories
from frl_algos.value_models.responses import Responses
from frl_env.errors import unknown_name
from frl_env.evaluation import split_members

KAPPA = 0.9
"""What is left of an effect after a step, when nothing else is known: half is gone after 6.6 weeks."""

LEADING = "modality"
"""Factor whose levels are expected to differ most in effect, in a space that has it: trials differ by whether members
were seen or called (`docs/environment.md`); of goals, providers and urgencies nothing of the kind is known."""

FOLLOWING = 0.1
"""Prior scale of the levels of the other factors, as a share of the leading one's."""

Treatment = Callable[[slice, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From rows and their history to what can't be foreseen of the treatment, d_t phi(a_t), and the nuisance's columns."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NestedModel:
    """Fitted effects.

    Attributes:
        rows: The logged decisions.
        terms: Columns of the actions.
        response: Index of the observation that shows a response; None without one.
        responses: Chances of a response; None without one.
        low, high: Of the observations, for the indications.
        kappa: What is left of an effect after a step.
        strength: Effect of each valid action as a share of the largest; 0 without a response.
        amount: m_t with the sign of the rewards; by row.
        foreseen: Share of the logged action's effect that could be foreseen; by row.
        fold: Fold of each member.
        weights: w by fold, each from the other folds.
        scores: Influence of each member on w: what w changes by when the member counts once more.
        prior: Covariance of w that stems from the prior, where the data says little, as if the levels of any factor
            could differ as much as those of the leading one: what was believed makes no interval narrower.
        pairs: Pairs of levels of each valid action, times their prior scale; no columns without pairs.
        taken: What w takes up, by column, of an effect that a valid action has beside those of its levels.
    """

    rows: Histories
    terms: Terms
    response: int | None
    responses: Responses | None
    low: Float[np.ndarray, "k"]
    high: Float[np.ndarray, "k"]
    kappa: float
    strength: Float[np.ndarray, "valid"]
    amount: Float[np.ndarray, "row"]
    foreseen: Float[np.ndarray, "row"]
    fold: Int64[np.ndarray, "episode"]
    weights: Float[np.ndarray, "fold column"]
    scores: Float[np.ndarray, "episode column"]
    prior: Float[np.ndarray, "column column"]
    pairs: Float[np.ndarray, "valid pair"]
    taken: Float[np.ndarray, "valid column"]

    @classmethod
    def fit(
        cls,
        rows: Histories,
        terms: Terms,
        *,
        rng: np.random.Generator,
        response: int | None = None,
        leading: str | None = None,
        kappa: float = KAPPA,
        folds: int = 5,
    ) -> "NestedModel":
        """Estimates the effects.

        Args:
            rows: The logged decisions.
            terms: Columns of the actions.
            rng: Source of the folds.
            response: Index of the observation whose next value is positive when an action got a response; None
                without one.
            leading: Name of the factor whose levels are expected to differ most; None for `LEADING`, or for none in a
                space without it.
            kappa: What is left of an effect after a step.
            folds: Folds of members.

        Raises:
            UserError: If there are too few members for the folds, or too few responses, or there is no such factor.
        """
        pairs = _pairs(terms)
        terms = plain_terms(terms)
        episodes = rows.episodes
        believed = _believed(terms, [factor.name for factor in episodes.action_space], leading)
        fold = np.zeros(len(episodes), dtype=np.int64)
        for number, members in enumerate(split_members(len(episodes), folds, rng)):
            fold[members] = number
        low, high = rows.observations.min(axis=0), rows.observations.max(axis=0)
        outcome = CreditedRewards.of(rows, kappa)
        responses = None

        def columns(part: slice) -> np.ndarray:
            signs = _signs(rows.observations[part], low, high)
            return terms.columns(signs, signs, rows.actions[part])

        strength = np.zeros(len(terms.fixed))
        if response is None:
            foreseen = np.ones(len(rows.actions))
            projection = _projection(rows, columns)

            def unforeseen(part: slice, history: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
                return columns(part) - history @ projection, history

            weights, scores, prior, taken = _solve(
                rows, outcome, unforeseen, np.ones(len(foreseen)), fold, folds, terms, believed
            )
        else:
            responses = Responses.fit(rows, terms, response)
            calls = responses.called - responses.chance_unprompted
            surprise = responses.reached - responses.chance
            room = np.ones(len(surprise))

            def answered(part: slice, history: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
                nuisance = np.concatenate([terms.levels[rows.actions[part]], calls[part, None]], axis=1)
                return columns(part) * surprise[part, None] * room[part, None], nuisance

            # First as if effects added up, to learn which actions have one; then with what is left of earlier ones.
            weights, *_ = _solve(rows, outcome, answered, surprise, fold, folds, terms, believed, scored=False)
            total = np.zeros(len(low))
            for part, _ in parts(episodes.lengths, len(low)):
                total += _signs(rows.observations[part], low, high).sum(axis=0, dtype=np.float64)
            strength = _strength(terms, weights.mean(axis=0), total / len(surprise))
            room = 1 - _cover(rows, responses.reached * strength[rows.actions], kappa)
            foreseen = room * responses.chance
            weights, scores, prior, taken = _solve(
                rows, outcome, answered, surprise * room, fold, folds, terms, believed
            )
        return cls(
            rows=rows,
            terms=terms,
            response=response,
            responses=responses,
            low=low,
            high=high,
            kappa=kappa,
            strength=strength,
            amount=outcome.sign * outcome.amount,
            foreseen=foreseen,
            fold=fold,
            weights=weights,
            scores=scores,
            prior=prior,
            pairs=pairs,
            taken=taken,
        )

    def beside_levels(self, exposure: Float[np.ndarray, "valid"], total: Float[np.ndarray, "column"]) -> float:
        """Variance of a value that stems from what pairs of levels may do, which no column shows.

        Args:
            exposure: By valid action, how much more of its effect a member gets than on record: sum of m_t.
            total: The same by column of the effects.
        """
        open_to = exposure - self.taken @ total
        return float(((open_to @ self.pairs) ** 2).sum())

    def signs(self, rows: Int64[np.ndarray, "n"]) -> Float[np.ndarray, "n k"]:
        """Observations of some decisions from 0 to 1."""
        return _signs(self.rows.observations[rows], self.low, self.high)

    def expected(self, rows: Int64[np.ndarray, "n"]) -> Float[np.ndarray, "n column"]:
        """Terms of the logged actions of some decisions, as far as an effect of them could be foreseen."""
        signs = self.signs(rows)
        columns = self.terms.columns(signs, signs, self.rows.actions[rows])
        return (columns * self.foreseen[rows, None]).astype(np.float32)


def _signs(observations: np.ndarray, low: np.ndarray, high: np.ndarray) -> Float[np.ndarray, "n k"]:
    return ((observations - low) / np.where(high > low, high - low, 1.0)).astype(np.float32)


def plain_terms(terms: Terms) -> Terms:
    """The terms without pairs of levels and without those of the state."""
    simple = 1 + terms.levels.shape[1]
    kept = np.zeros(len(terms.groups), dtype=bool)
    kept[:simple] = True
    if terms.indicated.any():
        kept[-1 - terms.levels.shape[1] :] = True
    groups, numbers = np.unique(terms.groups[kept], return_inverse=True)
    return replace(
        terms,
        fixed=terms.fixed[:, :simple],
        crossing=terms.crossing[:, :0],
        groups=numbers,
        scales=terms.scales[groups],
        kinds=tuple(terms.kinds[group] for group in groups),
        factors=tuple(terms.factors[group] for group in groups),
    )


def _pairs(terms: Terms) -> Float[np.ndarray, "valid pair"]:
    """Indicators of the pairs of levels, times their prior scale."""
    of_pairs = np.asarray([kind == "pairs" for kind in terms.kinds])[terms.groups]
    columns = np.flatnonzero(of_pairs[: terms.fixed.shape[1]])
    return terms.fixed[:, columns] * terms.scales[terms.groups[columns]]


def _believed(terms: Terms, factors: Sequence[str], leading: str | None) -> Float[np.ndarray, "column"]:
    """Prior scale of each column."""
    if leading is not None and leading not in factors:
        raise unknown_name("factor", leading, factors)
    first = leading or LEADING
    if first not in factors:
        return terms.scales[terms.groups]
    following = terms.told_apart(set(factors) - {first})
    return (terms.scales * np.where(following, FOLLOWING, 1.0))[terms.groups]


def _strength(terms: Terms, weights: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Effect of each valid action as a share of the largest."""
    states = np.concatenate([[1.0], np.zeros(len(signs) * bool(terms.indicated.any())), signs])
    joint = terms.joint_weights(weights)
    effects = np.abs(states[: len(joint)] @ joint)
    return effects / max(float(effects.max()), 1e-12)


def _cover(rows: Histories, felt: np.ndarray, kappa: float) -> np.ndarray:
    """What earlier answered attempts have left, before each decision, as a share of a full effect."""
    mask = rows.episodes.mask
    grid = np.zeros(mask.shape)
    grid[mask] = felt
    cover = np.zeros(mask.shape)
    for t in range(1, mask.shape[1]):
        cover[:, t] = kappa * (cover[:, t - 1] + (1 - cover[:, t - 1]) * grid[:, t - 1])
    return cover[mask]


def _projection(rows: Histories, columns: Callable[[slice], np.ndarray]) -> np.ndarray:
    """Weights of the terms expected given the history."""
    size = columns(slice(0, 1)).shape[1]
    squares, products = np.zeros((rows.features, rows.features)), np.zeros((rows.features, size))
    for part, history in rows.parts(2 * size):
        squares += history.T @ history
        products += history.T @ columns(part)
    return ridge_weights(squares, products)


def _solve(
    rows: Histories,
    outcome: CreditedRewards,
    treatment: Treatment,
    treated: Float[np.ndarray, "row"],
    fold: np.ndarray,
    folds: int,
    terms: Terms,
    believed: Float[np.ndarray, "column"],
    *,
    scored: bool = True,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Weights by fold, scores by member (zeros unless asked for), covariance from the prior, and what weights take up.

    `treated` is how much of the logged action is treatment, d_t. The free columns (nuisance, baseline) have no prior to
    speak of and are taken out of the effects' columns first.
    """
    effects = len(terms.groups)
    free_of = 2 * rows.features
    root = np.sqrt(outcome.precision)

    def pieces() -> Iterator[tuple[np.ndarray, np.ndarray, slice]]:
        """Weighted columns, weighted credit and rows of some members."""
        for part, history in rows.parts(3 * (effects + free_of)):
            effective = np.concatenate(treatment(part, history), axis=1) * outcome.felt[part, None]
            columns = np.concatenate([effective, baseline(history, outcome.weeks[part])], axis=1) * root[part, None]
            yield columns, outcome.credit[part] * root[part], part

    squares, products, length = None, None, 0.0
    for columns, credit, part in pieces():
        if squares is None or products is None:
            total = columns.shape[1]
            squares, products = np.zeros((folds, total, total)), np.zeros((folds, total))
        own = fold[rows.member[part]]
        for number in range(folds):
            some = np.flatnonzero(own == number)
            x, y = columns[some], credit[some]
            squares[number] += x.T @ x
            products[number] += x.T @ y
        length += float(credit @ credit)
    assert squares is not None
    assert products is not None
    total = squares.shape[1]
    whole, target = squares.sum(axis=0), products.sum(axis=0)
    free = FLAT * np.eye(total - effects)

    def reduced(squares: np.ndarray, products: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """X'X and X'y of the effects without the free columns, and what was taken out."""
        out = np.linalg.solve(squares[effects:, effects:] + free, squares[effects:, :effects])
        matrix = squares[:effects, :effects] - squares[:effects, effects:] @ out
        return (matrix + matrix.T) / 2, products[:effects] - out.T @ products[effects:], out

    matrix, _, out = reduced(whole, target)
    rest = np.linalg.solve(whole[effects:, effects:] + free, target[effects:])
    # The effects explain next to nothing of the variance, so the residual of the free columns is the noise.
    noise = max((length - float(rest @ target[effects:])) / len(rows.actions), 1e-12)
    prior = np.diag(1 / believed**2)
    # Covariance of the weights given the data; a fold's own weights come from the members of the other folds.
    inverse = np.linalg.inv(matrix / noise + prior)
    weights = np.empty((folds, effects))
    scores = np.zeros((len(rows.episodes), effects))
    along = np.zeros((len(terms.fixed), effects))
    for number in range(folds):
        some, other, _ = reduced(whole - squares[number], target - products[number])
        weights[number] = np.linalg.solve(some / noise + prior, other / noise)
    for columns, credit, part in pieces() if scored else ():
        member = rows.member[part]
        clean = columns[:, :effects] - columns[:, effects:] @ out
        left = credit - columns[:, effects:] @ rest - np.einsum("rc,rc->r", clean, weights[fold[member]])
        # How far each action moves the weights where it does more than its levels add up to; for `beside_levels`.
        amount = treated[part] * outcome.felt[part] * root[part]
        along += (
            sparse.csr_array((amount, (rows.actions[part], np.arange(len(amount)))), (len(along), len(amount))) @ clean
        )
        # Scores: each member's part of the gradient of the log-likelihood, for the error of a value.
        clean *= (left / noise)[:, None]
        scores[member[0] : member[-1] + 1] = np.add.reduceat(clean, np.flatnonzero(np.diff(member, prepend=-1)), axis=0)
    # The prior pulls the weights towards 0; so far off they are if effects are as large as `terms.scales` says.
    shrinkage = inverse @ prior
    covariance = shrinkage @ np.diag(terms.scales[terms.groups] ** 2) @ shrinkage.T
    return weights, scores @ inverse, covariance, along @ inverse / noise

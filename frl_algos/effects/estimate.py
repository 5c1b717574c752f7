"""What actions do to the return, estimated in closed form before training starts.

Sparse rewards drown in noise what one contact changes, and a care team contacts those who are about to fall ill. So:

1. Returns are credit-weighted, sum_k decay^k r_{t+k}, and taken relative to what the whole history predicts.
2. Where rewards count events (all of one sign), effects are shares of the predicted amount m(s), and rows are weighted
   by the inverse of a variance that grows with it, as for counts.
3. With an observed *response* (a contact that reached the member), attempts that got none are the control group:
   residual ~ m (r - p(s)) phi(s, a) . w + nuisance, among attempts. What made the team attempt the contact is the
   same in both groups. A(s, a) = P(r | s, a) m(s) phi(s, a) . w, and 0 for doing nothing.
   Without one, actions are taken relative to what the state predicts (the R-learner of Nie and Wager, 2021):
   residual ~ m (phi(s, a) - E[phi | s]) . w, and A(s, a) = m(s) phi(s, a) . w.
4. The coefficients w are shrunk, group by group, as far as the data asks for (`frl_algos.effects.shrinkage`), and so
   are those of P(r | s, a), whose noise in a pair of levels would be picked along with A. How effects differ by state
   is most of all columns. Whether these come in can be decided by held-out people
   (`frl_algos.factored_awr.critic_selection.held_out`).

The same is done on two halves of the people: what one half recommends can be valued by the other. Whom else an action
suits than those it was chosen for is asked of the choices themselves (`frl_algos.effects.suitability`), of all of them
for both halves. Levels that the choices tell apart are taken to do the same for those who need them but for a known,
small spread: their outcomes, few and noisy, would be multiplied with the needs. The chances of a response, of which
choices say nothing, keep their priors.
"""

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int

from frl_algos.effects.moments import ROWS_AT_ONCE, ProductColumns, add_by_action
from frl_algos.effects.shrinkage import learned_precision, posterior_mean
from frl_algos.effects.suitability import Suitability
from frl_algos.effects.targets import Targets, ridge_weights, value_features
from frl_algos.effects.terms import Terms
from frl_algos.logged.scaled_rows import Rows, lowest_and_highest, mean_and_spread, numbers_of, slices

ROWS_A_COLUMN = 200
"""Unless it is said whether the state has terms, it has where there are so many rows for each column."""

CHUNK = 20_000
"""Rows whose columns are held at once, at most."""

CHUNK_NUMBERS = 2**22
"""Numbers in those columns, at most."""

FLOOR = 0.2
"""The predicted amount and variance are not let below this share of their mean."""

SCORED_COLUMNS = 40
"""First columns (overall, levels) on which the correlation of a member's rows is measured."""


@dataclass(frozen=True, kw_only=True)
class Effects:
    """Estimated effects, as weights of `[1, states, signs]`; see `Terms.joint_weights`.

    Attributes:
        weights: `(state_term, valid)`, effects as shares of the predicted amount (or of the return's spread).
        halves: The same from each half of the people.
        response: `(state_term, valid)`, probability of a response; None without one.
        amount: Weights of the predicted amount on `value_features`; None where effects are not relative.
        unit: Reward that an effect of 1 is worth at an amount of 1.
        center, spread: Of the squashed observations, to make states of them.
        low, high: Of the observations, to make signs of them.
    """

    weights: Float32[np.ndarray, "state_term valid"]
    halves: tuple[np.ndarray, np.ndarray]
    response: Float32[np.ndarray, "state_term valid"] | None
    amount: np.ndarray | None
    unit: float
    center: np.ndarray
    spread: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def suited(self, found: Suitability) -> "Effects":
        """Effects on whom it may be, from those on whom the actions were chosen for.

        An indication shows the need itself: what an action does beyond, where it meets one, depends on skill only. And
        where few need it there is less to gain, but no less harm: what harms on average stays as it is.
        """
        shown = 1 + len(self.center)
        # On average over states, which are centred, without an indication; and what meeting one adds.
        gains = np.repeat(self.weights[:1] > 0, len(self.weights), axis=0)
        gains[shown:] = self.weights[shown:] > 0
        factors = np.repeat(found.skills[None], len(self.weights), axis=0)
        factors[:shown] *= found.needs
        factors = np.where(gains, factors, 1.0).astype(np.float32)
        first, second = self.halves
        return dataclasses.replace(self, weights=self.weights * factors, halves=(first * factors, second * factors))


class EffectRegression:
    """The regression of all effects: its sums, made once, and the effects with some of its terms or all.

    Args:
        terms: Columns of the model.
        targets: Of every row of the dataset.
        observations: Scaled as the networks see them.
        respond: Whether the targets' responses are to be used.
        seed: Of the posterior draws.
        some: Which rows to learn from; None for all.
    """

    def __init__(
        self,
        terms: Terms,
        targets: Targets,
        observations: Rows,
        *,
        respond: bool,
        seed: int,
        some: Bool[np.ndarray, "row"] | None = None,
    ) -> None:
        """Sums over the rows."""
        low, high = lowest_and_highest(observations)
        relative = targets.sign != 0
        mean, sd = mean_and_spread(len(targets.returns), lambda some: _absolute(targets.returns[some], relative))
        unit = float(mean if relative else sd) or 1.0
        variance = _Variance.fit(targets, unit)
        wanted = [which for which in (targets.attempted if respond else None, some) if which is not None]
        chosen = numbers_of(np.logical_and.reduce(wanted)) if wanted else None
        rows = _Rows(observations, targets, chosen, unit=unit, variance=variance, low=low, high=high)
        self.terms = terms
        self._rng = np.random.default_rng(seed)
        problem = _Regression(terms, rows, respond, self._rng)
        self._halves = [problem.moments(half) for half in (0, 1)]
        self._groups, self._noise, self._rows = problem.groups, problem.noise(), len(rows)
        self._known = {
            "response": problem.response,
            "amount": targets.value_weights * targets.sign / unit if relative else None,
            "unit": unit,
            "center": rows.center,
            "spread": rows.spread,
            "low": low,
            "high": high,
        }

    def many_rows(self) -> str:
        """Whether the state has terms if nothing else decides it; one of `STATES`."""
        crossed = self.terms.states != "none" and self._rows >= ROWS_A_COLUMN * self._wanted("levels").sum()
        return "levels" if crossed else "none"

    def sampled(self, states: str, *, told: Collection[str] = ()) -> Effects:
        """Effects by sampling, the sizes of all groups averaged over.

        Args:
            states: Which terms of the state are used, one of `STATES`.
            told: Factors whose levels choices tell apart: the spread of their effects is known.
        """
        wanted, known = self._wanted(states), self.terms.told_apart(told)
        # Every group draws, so that one without columns would change what the others draw.
        drawing, groups = _drawing(self.terms, self._groups[wanted], pairs=states == "pairs")

        def solved(moments: tuple[np.ndarray, np.ndarray], sweeps: int = 200) -> np.ndarray:
            squares, products = (moment / self._noise for moment in moments)
            found = np.zeros(len(wanted))
            # A column of zeros (a level never tried) has nothing but its prior.
            found[wanted] = posterior_mean(
                squares[np.ix_(wanted, wanted)],
                products[wanted],
                groups,
                self.terms.scales[drawing],
                self._rng,
                known=known[drawing],
                sweeps=sweeps,
            )
            return self.terms.joint_weights(found[: len(self.terms.groups)])

        return Effects(
            weights=solved(self._both, sweeps=400),
            halves=(solved(self._halves[0]), solved(self._halves[1])),
            **self._known,
        )

    def settled(self, states: str, *, scales: Mapping[str, float], told: Collection[str] = ()) -> Effects:
        """Effects with the likeliest sizes of all groups, which are learned from all rows also for the halves.

        Args:
            states: Which terms of the state are used, one of `STATES`.
            scales: Prior scale of each kind of term.
            told: Factors whose levels choices tell apart: the spread of their effects is known.
        """
        wanted = np.flatnonzero(self._wanted(states))
        block = np.ix_(wanted, wanted)
        squares, products = (moment / self._noise for moment in self._both)
        prior = learned_precision(
            squares[block],
            products[wanted],
            self._groups[wanted],
            np.asarray([scales[kind] for kind in self.terms.kinds]),
            known=self.terms.told_apart(told),
        )

        def solved(moments: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
            squares, products = (moment / self._noise for moment in moments)
            found = np.zeros(len(self._groups))
            found[wanted] = np.linalg.solve(squares[block] + np.diag(prior), products[wanted])
            return self.terms.joint_weights(found[: len(self.terms.groups)])

        return Effects(
            weights=solved(self._both), halves=(solved(self._halves[0]), solved(self._halves[1])), **self._known
        )

    @property
    def _both(self) -> tuple[np.ndarray, np.ndarray]:
        (first, one), (second, two) = self._halves
        return first + second, one + two

    def _wanted(self, states: str) -> np.ndarray:
        left_out = {"none": ("state", "state_pairs"), "levels": ("state_pairs",), "pairs": ()}[states]
        # Columns of no group, -1, are always used.
        used = np.asarray([kind not in left_out for kind in self.terms.kinds])
        return np.append(used, True)[self._groups]


def squash(x: Float32[np.ndarray, "row k"]) -> Float32[np.ndarray, "row k"]:
    """Signed logarithm, which tames heavy tails."""
    return np.sign(x) * np.log1p(np.abs(x))


def _absolute(values: np.ndarray, relative: bool) -> np.ndarray:
    return np.abs(values) if relative else values


def _amount(targets: Targets, unit: float) -> np.ndarray:
    """The predicted amount of each row, in units; 1 where effects are not relative."""
    if targets.sign == 0:
        return np.ones(len(targets.history))
    return np.maximum(targets.sign * targets.history / unit, FLOOR)


def _amount_range(targets: Targets, unit: float) -> float:
    """How far amounts lie apart; they grow with what is predicted."""
    least, most = np.sort(targets.sign * np.asarray([targets.history.min(), targets.history.max()]))
    return max(float(most) / unit, FLOOR) - max(float(least) / unit, FLOOR)


@dataclass(frozen=True)
class _Variance:
    """Variance of the residuals as a quadratic in the predicted amount, fitted with weights against its own spread.

    Attributes:
        coefficients: Of 1, the amount, and its square; None where the amount is the same everywhere.
        mean: Mean squared residual.
    """

    coefficients: np.ndarray | None
    mean: float

    @classmethod
    def fit(cls, targets: Targets, unit: float) -> "_Variance":
        """Fitted on all rows, a part at a time."""
        rows = len(targets.history)
        mean = float(mean_and_spread(rows, lambda some: targets.of(some).residuals ** 2)[0])
        if targets.sign == 0 or _amount_range(targets, unit) == 0:
            return cls(None, mean)
        squares, products = np.zeros((3, 3)), np.zeros(3)
        for some in slices(rows, CHUNK):
            part = targets.of(some)
            amount = _amount(part, unit)
            powers = _powers(amount) / amount[:, None]
            squares += powers.T @ powers
            products += powers.T @ (part.residuals**2 / amount)
        return cls(np.linalg.lstsq(squares, products, rcond=None)[0], mean)

    def of(self, amount: np.ndarray) -> np.ndarray:
        """The variance at such amounts."""
        if self.coefficients is None:
            return np.full(len(amount), self.mean or 1.0)
        return np.maximum(_powers(amount) @ self.coefficients, FLOOR * self.mean * np.minimum(amount, 1.0))


def _powers(amount: np.ndarray) -> np.ndarray:
    return np.stack([np.ones_like(amount), amount, amount**2], axis=1)


class _Rows:
    """The rows of a regression; what it needs of them is made for some of them at a time.

    Args:
        observations: Scaled, of all rows.
        targets: Of all rows.
        chosen: Numbers of those that are in the regression; None for all.
        unit: Of amounts.
        variance: Of residuals.
        low, high: Of the observations.
    """

    def __init__(
        self,
        observations: Rows,
        targets: Targets,
        chosen: np.ndarray | None,
        *,
        unit: float,
        variance: _Variance,
        low: np.ndarray,
        high: np.ndarray,
    ) -> None:
        """Measures the states."""
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
        """Observations from 0 to 1."""
        low, high = self._low, self._high
        return (self._observed(some) - low) / np.where(high > low, high - low, 1.0)

    def size_and_precision(self, some: slice | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What effects are shares of, and the inverse of the residual's variance."""
        amount = _amount(self.targets.of(some), self._unit)
        return amount * self._unit, 1 / self._variance.of(amount)


class _Regression:
    """Rows, columns and weights of the regression, made chunk by chunk."""

    def __init__(self, terms: Terms, rows: _Rows, respond: bool, generator: np.random.Generator) -> None:
        self.terms, self.rows, self.targets = terms, rows, rows.targets
        size = len(rows.center)
        # Pairs by state are left to the effects: responses and noise are measured without them.
        self.simple = np.flatnonzero([terms.kinds[group] != "state_pairs" for group in terms.groups])
        self.respond = respond
        products = None if respond else ProductColumns.of_terms(terms, size)
        self.products = products if products is not None and products.fits(3 * size + 1) else None
        self.response = None
        self.expected = np.zeros((0, 0))
        if respond:
            self._chances = self._fit_chances()
            self.response = self._response(generator)
        else:
            self.expected = self._expected()
        nuisance = terms.levels.shape[1] if respond else 0
        self.groups = np.concatenate([terms.groups, np.full(1 + nuisance + size, -1)])
        self._scored = self.simple[:SCORED_COLUMNS]
        self._scores = np.zeros((int(self.targets.episodes.max()) + 1, len(self._scored)))
        self._squares = 0.0
        self._error = 0.0

    @property
    def _chunk(self) -> int:
        """Rows whose columns are held at once."""
        return max(min(CHUNK, CHUNK_NUMBERS // len(self.terms.groups)), 1)

    def chunks(self, half: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Columns and residuals scaled by the root of the precision, and rows, of one half of the people."""
        rows = numbers_of(self.targets.halves == half)
        for some in slices(len(rows), self._chunk):
            part = rows[some]
            states, own = self.rows.states(part), self.targets.of(part)
            columns = self._columns(part, states)
            size, precision = self.rows.size_and_precision(part)
            free = [np.ones((len(part), 1)), states]
            # Columns are made in place: there may be hundreds, in double precision.
            x = np.empty((len(part), len(self.groups)))
            effects = x[:, : columns.shape[1]]
            if self.respond:
                np.multiply(columns, (own.responses - self._chances[part])[:, None], out=effects)
                free.insert(1, self.terms.levels[own.actions])
            else:
                np.subtract(columns, _features(states) @ self.expected, out=effects)
            np.concatenate(free, axis=1, out=x[:, columns.shape[1] :])
            root = np.sqrt(precision)
            x *= (size * root)[:, None]
            yield x, own.residuals * root, part

    def moments(self, half: int) -> tuple[np.ndarray, np.ndarray]:
        """X'X and X'y of one half of the people, rows weighted."""
        if self.products is not None:
            return self._moments_by_action(self.products, half)
        total = len(self.groups)
        squares, products = np.zeros((total, total)), np.zeros(total)
        for columns, weighted, part in self.chunks(half):
            squares += columns.T @ columns
            products += columns.T @ weighted
            self.watch(columns[:, self._scored], weighted, part)
        return squares, products

    def _moments_by_action(self, columns: ProductColumns, half: int) -> tuple[np.ndarray, np.ndarray]:
        """The same, the rows gone through once whatever the number of columns; see `frl_algos.effects.moments`."""
        rows = numbers_of(self.targets.halves == half)
        free, features = self._places()
        shape = (len(self.terms.fixed), 3 * len(self.rows.center) + 1)
        sums, with_residuals = np.zeros((*shape, shape[1])), np.zeros((*shape, 1))
        for some in slices(len(rows), ROWS_AT_ONCE):
            part = rows[some]
            z, own = self._known(self.rows.states(part)), self.targets.of(part)
            size, precision = self.rows.size_and_precision(part)
            add_by_action(sums, z, size**2 * precision, own.actions)
            add_by_action(with_residuals, z, size * precision, own.actions, own.residuals)
        own, known, alone = columns.with_themselves(sums), columns.with_known(sums), sums.sum(axis=0)
        centred = known[:, features] @ self.expected
        squares = own - centred - centred.T + self.expected.T @ alone[np.ix_(features, features)] @ self.expected
        across = known[:, free] - self.expected.T @ alone[np.ix_(features, free)]
        squares = np.block([[squares, across], [across.T, alone[np.ix_(free, free)]]])
        alone = with_residuals.sum(axis=0)[:, 0]
        products = columns.with_known(with_residuals)[:, 0] - self.expected.T @ alone[features]
        for some in slices(len(rows), CHUNK):
            part = rows[some]
            states, mine = self.rows.states(part), self.targets.of(part)
            size, precision = self.rows.size_and_precision(part)
            root = np.sqrt(precision)
            scored = columns.columns(states, mine.actions, self._scored)
            scored -= _features(states) @ self.expected[:, self._scored]
            self.watch(scored * (size * root)[:, None], mine.residuals * root, part)
        return squares, np.concatenate([products, alone[free]])

    @staticmethod
    def _known(states: Float32[np.ndarray, "some k"]) -> np.ndarray:
        """What of a row depends on the state alone: one, the state, and the features that columns are centred by."""
        features = _features(states)
        return np.concatenate([features[:, :1], states, features[:, 1:]], axis=1)

    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        """Where in that the free columns and the features are."""
        size = len(self.rows.center)
        return np.arange(1 + size), np.concatenate([[0], np.arange(1 + size, 1 + 3 * size)])

    def watch(self, scored: np.ndarray, weighted: np.ndarray, part: np.ndarray) -> None:
        """Keeps what `noise` needs."""
        scores = scored * weighted[:, None]
        np.add.at(self._scores, self.targets.episodes[part], scores)
        self._squares += float((scores**2).sum())
        self._error += float((weighted**2).sum())

    def noise(self) -> float:
        """Variance of the weighted residuals, times how much the overlap of a member's returns inflates it."""
        overlap = float((self._scores**2).sum()) / max(self._squares, 1e-12)
        noise = self._error / max(len(self.rows), 1) * max(overlap, 1.0)
        # Without any (no reward was ever logged) nothing is learned; a tiny number would overwhelm the prior.
        return noise if noise > 1e-12 else 1.0

    def _columns(self, rows: slice | np.ndarray, states: np.ndarray) -> np.ndarray:
        # Without indications nothing is made of the signs.
        signs = self.rows.signs(rows) if self.terms.indicated.any() else states
        return self.terms.columns(states, signs, self.targets.actions[rows])

    def _fit_chances(self) -> Float32[np.ndarray, "row"]:
        """Probability of a response in each row by a linear model of the state."""
        size = len(self.rows.center) + 1
        scale, squares, products = np.zeros(size), np.zeros((size, size)), np.zeros(size)
        everything = list(slices(len(self.rows)))

        def columns(some: slice) -> np.ndarray:
            return np.concatenate([np.ones((some.stop - some.start, 1)), self.rows.states(some)], axis=1)

        for some in everything:
            scale += (columns(some) ** 2).mean(axis=0) * (some.stop - some.start)
        scale = np.sqrt(scale / len(self.rows))
        scale[scale < 1e-12] = 1.0
        for some in everything:
            x = columns(some) / scale
            squares += x.T @ x
            products += x.T @ self.targets.responses[some]
        weights = ridge_weights(squares, products) / scale
        found = [weights[0] + self.rows.states(some) @ weights[1:] for some in everything]
        return np.clip(np.concatenate(found), 0.02, 0.98)

    def _response(self, generator: np.random.Generator) -> np.ndarray:
        """Probability of a response as a linear model of the same columns; only its mean over all actions is free."""
        simple, total = self.simple, len(self.terms.groups)
        squares, products = np.zeros((len(simple), len(simple))), np.zeros(len(simple))
        for part in slices(len(self.rows), CHUNK):
            columns = np.empty((part.stop - part.start, len(simple)), dtype=np.float32)
            for few in slices(len(columns), self._chunk):
                some = slice(part.start + few.start, part.start + few.stop)
                columns[few] = self._columns(some, self.rows.states(some))[:, simple]
            squares += columns.T @ columns
            products += columns.T @ self.targets.responses[part]
        groups = np.where(self.terms.groups == 0, -1, self.terms.groups)[simple]
        drawing, groups = _drawing(self.terms, groups, pairs=False)
        noise = float(self.targets.responses.var()) or 1.0
        found = np.zeros(total)
        found[simple] = posterior_mean(
            squares / noise,
            products / noise,
            groups,
            self.terms.scales[drawing],
            generator,
            sweeps=100,
            warm_up=50,
        )
        return self.terms.joint_weights(found)

    def _expected(self) -> np.ndarray:
        """Columns expected in a state, as a linear model of its features."""
        if self.products is not None:
            _, features = self._places()
            known = 3 * len(self.rows.center) + 1
            sums = np.zeros((len(self.terms.fixed), known, known))
            for part in slices(len(self.rows), ROWS_AT_ONCE):
                z = self._known(self.rows.states(part))
                add_by_action(sums, z, np.ones(len(z)), self.targets.actions[part])
            of_features = sums[:, :, features]
            return ridge_weights(of_features.sum(axis=0)[features], self.products.with_known(of_features).T)
        features, total = 2 * len(self.rows.center) + 1, len(self.terms.groups)
        squares, products = np.zeros((features, features)), np.zeros((features, total))
        for part in slices(len(self.rows), self._chunk):
            states = self.rows.states(part)
            known = _features(states)
            squares += known.T @ known
            products += known.T @ self._columns(part, states)
        return ridge_weights(squares, products)


def _features(states: Float32[np.ndarray, "some k"]) -> Float32[np.ndarray, "some feature"]:
    return value_features(states).astype(np.float32)


def _drawing(
    terms: Terms, groups: Int[np.ndarray, "column"], *, pairs: bool
) -> tuple[Int[np.ndarray, "used"], Int[np.ndarray, "column"]]:
    """Groups that are sampled, all or all but the pairs by state, and the groups of the columns among them."""
    used = np.flatnonzero([pairs or kind != "state_pairs" for kind in terms.kinds])
    return used, np.where(groups < 0, -1, np.searchsorted(used, groups))

"""Sums of the regression of effects over its rows, X'X and X'y, for each half of the people, and its noise."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32, Int

from frl_algos.action_effects.moments import ROWS_AT_ONCE, ProductColumns, add_by_action
from frl_algos.action_effects.regression_rows import CHUNK, RegressionRows
from frl_algos.action_effects.shrinkage import posterior_mean
from frl_algos.action_effects.targets import ridge_weights, value_features
from frl_algos.action_effects.terms import Terms
from frl_algos.logged_data.scaled_rows import numbers_of, slices
from frl_env.evaluation.threads import one_ahead

CHUNK_NUMBERS = 2**22
"""Numbers in the columns of a chunk of rows, at most."""

SCORED_COLUMNS = 40
"""First columns (overall, levels) on which the correlation of a member's rows is measured."""


class RegressionSums:
    """Sums over rows, columns and weights that are made chunk by chunk.

    Args:
        terms: Columns of the model.
        rows: Rows of the regression.
        respond: Whether attempts without a response are the control group; else a state's other actions are.
        generator: Of the posterior draws.
    """

    def __init__(self, terms: Terms, rows: RegressionRows, respond: bool, generator: np.random.Generator) -> None:
        """Fits what columns are compared with: chances of a response, or what is expected in a state."""
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
        # Scores by episode, their squares and squared residuals, for the noise; see `noise`.
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
        for columns, weighted, part in one_ahead(self.chunks(half)):
            squares += columns.T @ columns
            products += columns.T @ weighted
            self.watch(columns[:, self._scored], weighted, part)
        return squares, products

    def _moments_by_action(self, columns: ProductColumns, half: int) -> tuple[np.ndarray, np.ndarray]:
        """`moments` from one pass over the rows, however many columns; see `frl_algos.action_effects.moments`."""
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
        # X'X and X'y of columns less what the state's features predict of them, from sums alone.
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
        """Places of the free columns (1 and the states), and of the features, among the known columns."""
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

        def chunks() -> Iterator[tuple[slice, np.ndarray]]:
            for part in slices(len(self.rows), CHUNK):
                columns = np.empty((part.stop - part.start, len(simple)), dtype=np.float32)
                for few in slices(len(columns), self._chunk):
                    some = slice(part.start + few.start, part.start + few.stop)
                    columns[few] = self._columns(some, self.rows.states(some))[:, simple]
                yield part, columns

        for part, columns in one_ahead(chunks()):
            squares += columns.T @ columns
            products += columns.T @ self.targets.responses[part]
        groups = np.where(self.terms.groups == 0, -1, self.terms.groups)[simple]
        drawing, groups = drawn_groups(self.terms, groups, pairs=False)
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


def drawn_groups(
    terms: Terms, groups: Int[np.ndarray, "column"], *, pairs: bool
) -> tuple[Int[np.ndarray, "used"], Int[np.ndarray, "column"]]:
    """Groups that are sampled, all or all but the pairs by state, and the groups of the columns among them."""
    used = np.flatnonzero([pairs or kind != "state_pairs" for kind in terms.kinds])
    return used, np.where(groups < 0, -1, np.searchsorted(used, groups))

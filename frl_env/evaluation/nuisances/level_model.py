"""Which level a factor took, given the state and the levels of the factors before it: logistic, with chosen products.

What the logit is linear in is made of *parts*: a measure of the state (itself, and whether it lies above its median),
or the levels of a factor before. A *block* is a part, or the product of two. Most blocks say nothing of a factor, and
weights of columns that say nothing are noise, which calibration can only take out by shrinking what is right as well.
So blocks are chosen by a score test before anything is fitted with them:

    chi2 = trace((Z'Z)^-1 M diag(1 / p) M'),   M = Z' (Y - P),   df = rank(Z) (levels - 1)

Z are the block's columns, less what the columns already chosen explain of them; Y is what was logged, P what is
expected so far, p its mean. A block enters if chi2 > 2 df + 2 ln(candidates): Akaike's criterion, under which
predictions of other members get better, and about what the largest of so many reaches by chance. Parts are chosen
first, then products given these. A team whose choice of one factor depends on another and on the state at once
(neither alone) is seen that way.

Source: score tests, Rao (1948); the criterion, Akaike (1974).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

ROWS = 40_000
"""Decisions that a factor's model is fitted on at most, drawn at random."""

COLUMNS = 200
"""Of all chosen products together, at most; those that say most come first."""

_CHUNK = 50_000
"""Rows whose columns are held at once when a model is asked."""

Block = tuple[int, ...]
"""Numbers of the parts that are multiplied: one or two."""


class LevelModel:
    """Multinomial logistic regression on blocks that a score test chose.

    Args:
        rng: Draws the rows to fit on, where there are more than `ROWS`.
        widths: Columns of each part, in order.
    """

    def __init__(self, rng: np.random.Generator, widths: Sequence[int]) -> None:
        self.rng = rng
        ends = np.cumsum(widths)
        self.parts = [slice(int(end) - width, int(end)) for end, width in zip(ends, widths, strict=True)]
        self.blocks: list[Block] = []
        # What a model says that was never fitted, because only one level was frequent.
        self.mean, self.spread = np.zeros(sum(widths)), np.ones(sum(widths))
        self.share = np.ones(1)
        self.model: Any = None
        self._chi2, self._freedom = 0.0, 0

    @property
    def shrinkage(self) -> float:
        """What held-out log odds are stretched by because weights were estimated, and for no other reason.

        Source: van Houwelingen & le Cessie (1990).
        """
        return (self._chi2 - self._freedom) / self._chi2 if self._chi2 > 0 else 1.0

    def fit(self, inputs: Float64[np.ndarray, "row input"], levels: Int64[np.ndarray, "row"]) -> Any:
        """Chooses blocks and fits their weights; returns itself."""
        from sklearn.linear_model import LogisticRegression  # here: a second that few evaluations need

        if len(levels) > ROWS:
            kept = self.rng.choice(len(levels), ROWS, replace=False)
            inputs, levels = inputs[kept], levels[kept]
        self.mean, self.spread = inputs.mean(axis=0), np.maximum(inputs.std(axis=0), 1e-9)
        standard = self._standard(inputs)
        seen, place = np.unique(levels, return_inverse=True)
        self.share = np.bincount(place) / len(place)
        logged = np.eye(len(seen))[place]
        expected = np.tile(self.share, (len(place), 1))
        # Single parts first, then all products of two; each round explains what is left.
        for candidates in ([(part,) for part in range(len(self.parts))], _pairs(len(self.parts))):
            chosen = self._chosen(standard, candidates, logged - expected)
            if chosen:
                self.blocks += chosen
                self.model = LogisticRegression(C=1.0, max_iter=200, tol=1e-3)
                columns = self._columns(standard, self.blocks)
                expected = self.model.fit(columns, levels).predict_proba(columns)
        return self

    def predict_proba(self, asked: Float64[np.ndarray, "row input"]) -> Float64[np.ndarray, "row level"]:
        """Probabilities of the levels seen, in their order."""
        found = np.tile(self.share, (len(asked), 1))
        if self.model is not None:
            for start in range(0, len(asked), _CHUNK):
                part = slice(start, start + _CHUNK)
                found[part] = self.model.predict_proba(self._columns(self._standard(asked[part]), self.blocks))
        return found

    def columns(self, inputs: Float64[np.ndarray, "row input"]) -> Float64[np.ndarray, "row column"]:
        """What the logits are linear in: 1, then the columns of the blocks, the most telling parts first."""
        return np.concatenate([np.ones((len(inputs), 1)), self._columns(self._standard(inputs), self.blocks)], axis=1)

    def _standard(self, inputs: np.ndarray) -> np.ndarray:
        return (inputs - self.mean) / self.spread

    def _columns(self, standard: np.ndarray, blocks: Sequence[Block]) -> np.ndarray:
        return np.concatenate([standard[:, :0], *(self._block(standard, block) for block in blocks)], axis=1)

    def _block(self, standard: np.ndarray, block: Block) -> np.ndarray:
        """Columns of a block: those of one part of the input, or all products of two parts'."""
        first = standard[:, self.parts[block[0]]]
        if len(block) == 1:
            return first
        return (first[:, :, None] * standard[:, None, self.parts[block[1]]]).reshape(len(standard), -1)

    def _chosen(self, standard: np.ndarray, candidates: Sequence[Block], left: np.ndarray) -> list[Block]:
        """Candidates that lower Akaike's criterion, by a score test, the most telling first."""
        base = np.concatenate([np.ones((len(standard), 1)), self._columns(standard, self.blocks)], axis=1)
        inverse = np.linalg.pinv(base.T @ base, rcond=1e-10, hermitian=True)
        gains = []
        for block in candidates:
            columns = self._block(standard, block)
            # Only what the columns already in do not explain.
            columns = columns - base @ (inverse @ (base.T @ columns))
            chi2, freedom, width = _score(columns, left, self.share)
            # Akaike asks for 2 a degree of freedom; the logarithm pays for looking at many candidates.
            if chi2 > 2 * freedom + 2 * np.log(len(candidates)):
                gains.append((chi2, freedom, width, block))
        found, used = [], 0
        for chi2, freedom, width, block in sorted(gains, key=lambda each: each[1] - each[0]):
            if len(block) == 1 or used + width <= COLUMNS:
                found.append(block)
                used += width
                self._chi2 += chi2
                self._freedom += freedom
        return found


def _pairs(parts: int) -> list[Block]:
    return [(first, second) for first in range(parts) for second in range(first + 1, parts)]


def _score(columns: np.ndarray, left: np.ndarray, share: np.ndarray) -> tuple[float, int, int]:
    """Chi2 of a block, its degrees of freedom, and how many columns it adds."""
    # In principal directions; those that other columns explain (values near 0) count for nothing.
    values, directions = np.linalg.eigh(columns.T @ columns)
    kept = values > 1e-6 * max(len(columns), 1)
    along = directions[:, kept].T @ (columns.T @ left)
    chi2 = float((along**2 / values[kept, None] / share).sum())
    rank = int(kept.sum())
    return chi2, rank * (len(share) - 1), rank

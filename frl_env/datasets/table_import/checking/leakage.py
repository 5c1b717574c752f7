"""Columns of the state that already hold the outcome: a policy trained on them looks superb and knows nothing.

Three things give them away: a state that equals an outcome wherever either is not zero, one that equals the reward, and
a reward that equals minus the events of the week *before* the decision, which stand in the state (a row too late).
"""

from collections.abc import Iterator, Mapping

import numpy as np

from frl_env.datasets.table_import.schema.columns import EVENTS, OUTCOMES, REWARD
from frl_env.datasets.table_import.schema.layout import Layout

FEWEST = 20
"""Rows in which one of the two is not zero, before anything is said."""

SHARE = 0.999
"""Of those rows, the share in which both are the same."""


class Leakage:
    """Counts, over a whole table, where states and outcomes agree.

    Args:
        layout: The columns.
    """

    def __init__(self, layout: Layout) -> None:
        """Starts with nothing seen."""
        self.layout = layout
        self.either: dict[tuple[str, str], int] = {}
        self.equal: dict[tuple[str, str], int] = {}

    def look(self, numbers: Mapping[str, np.ndarray], good: np.ndarray) -> None:
        """Counts over one batch, in the rows that nothing is wrong with."""
        for pair, first, second in self._pairs(numbers):
            some = good & ~np.isnan(second) & ((first != 0) | (second != 0))
            self.either[pair] = self.either.get(pair, 0) + int(some.sum())
            self.equal[pair] = self.equal.get(pair, 0) + int((some & (first == second)).sum())

    def found(self) -> list[list[str]]:
        """Column and kind of each leak."""
        sure = [pair for pair, rows in self.either.items() if rows >= FEWEST and self.equal[pair] >= SHARE * rows]
        late = [[REWARD, "reward of the week before"] for pair in sure if pair == (REWARD, "events")]
        copies = dict.fromkeys(state for state, outcome in sure if state != REWARD)
        return late + [[state, "copy of an outcome"] for state in copies]

    def _pairs(self, numbers: Mapping[str, np.ndarray]) -> Iterator[tuple[tuple[str, str], np.ndarray, np.ndarray]]:
        """States beside each outcome that they must not hold already, with both columns; signs don't matter."""
        for outcome in self.layout.of(REWARD, *OUTCOMES):
            later = np.abs(numbers[outcome])
            for state in self.layout.map.states:
                yield (state, outcome), np.abs(numbers[state]), later
        if self.layout.has(REWARD, *EVENTS):
            yield (REWARD, "events"), numbers[EVENTS[0]] + numbers[EVENTS[1]], -numbers[REWARD]

"""Planned values: dynamic programming over what followed each action in each state, where states recur.

The decision process is estimated from the rows (`logged_steps`), and solved:

    q(s, a) = (n_sa m_sa + k m_s) / (n_sa + k)  -  c sigma / sqrt(n_sa + k),     m = mean of r + gamma v(s') over rows,
    v(s) = max over logged a of q(s, a)

n_sa counts the rows of an action in a state, m_sa is their mean, m_s the mean of all rows of the state, and sigma^2 the
variance of rows of one action in one state. What is known of few rows is shrunk to what the state is worth whatever is
done, and held to be worth c standard errors less: of many actions of which little is known, the best by chance looks
good, and a plan would go where little is known. The advantage is A(s, a) = q(s, a) less the mean of q over the
decisions that were logged in the state, and 0 in states that were never seen.

Source of the shrinkage: Efron and Morris (1975), with a fixed k; of the maximum over logged actions: Fujimoto, Meger
and Precup (2019); of the caution: Rashidinejad et al. (2021), lower confidence bounds in value iteration.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from frl_algos.action_effects.logged_steps import LoggedSteps, StepTable, settled

CAUTION = 0.5
"""c: standard errors that are taken off."""

ROUNDS = 2
"""Times that sigma is estimated, each with the values that those before gave."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """Advantages of the valid actions in each state that was seen, in units of reward.

    Attributes:
        states: Scaled observations.
        advantages: From all rows.
        halves: From each half of the people.
    """

    states: Float32[np.ndarray, "state k"]
    advantages: Float32[np.ndarray, "state valid"]
    halves: tuple[np.ndarray, np.ndarray]

    def only(self, states: Bool[np.ndarray, "state"]) -> "Planned":
        """The advantages of some states, and of each half of the people in these."""
        first, second = self.halves
        return Planned(
            states=self.states[states], advantages=self.advantages[states], halves=(first[states], second[states])
        )


def plan(steps: LoggedSteps, halves: Int[np.ndarray, "row"], caution: float = CAUTION) -> Planned:
    """Advantages by planning, from all rows and from each half of the people.

    Args:
        steps: The rows.
        halves: Half of the people, 0 or 1.
        caution: Standard errors that are taken off, c; 0 for none.
    """

    def of(mine: np.ndarray) -> Float32[np.ndarray, "state valid"]:
        if not mine.any():
            return np.zeros((len(steps.states.states), steps.valid), dtype=np.float32)
        return _advantages(StepTable(steps, mine), caution)

    return Planned(states=steps.states.states, advantages=of(halves >= 0), halves=(of(halves == 0), of(halves == 1)))


def _advantages(table: StepTable, caution: float) -> Float32[np.ndarray, "state valid"]:
    """A(s, a) by value iteration on the rows of `table`, with `caution` for c; see the head of this file."""
    values = settled(lambda values: table.filled(table.logged_mean(table.means(values))), np.zeros(len(table.visits)))
    for _ in range(ROUNDS if caution else 1):
        less = caution * np.sqrt(table.variance(values) / table.certain)

        def best(values: Float[np.ndarray, "state"], less: np.ndarray = less) -> Float[np.ndarray, "state"]:
            return table.filled(np.where(table.count > 0, table.shrunk(values) - less, -np.inf).max(axis=1))

        values = settled(best, values)
    q = table.shrunk(values) - less
    return np.where(table.seen[:, None], q - table.logged_mean(q)[:, None], 0.0).astype(np.float32)

"""Whether claimed gains can be true: no policy gains more of what is to come than an episode has left to pay.

A first-order gain (`held_out`) adds up what each decision would change by itself. Where every logged episode was
decided by one of several unseen deciders, a good decision is followed by other good ones of the same decider, so that
each is given credit for all of them and the sum counts the same gain once a step. The same happens far from the
behaviour policy, where one good decision leaves less for the next to gain. The part of the claim that comes after the
step itself,

    later = E[ (pi / pi_b - 1) (psi_whole - psi_step) ],

is then larger than what a person's episodes are short of the largest return that was logged. What each step pays at
once adds up as it is, and is left out, unless decisions end episodes: who arrives can't arrive again, and of those who
linger before the end each step is said to have paid it. Then the whole claim is compared.

If a claim is too large, either a candidate with credit for the step alone gains at once half of what there is, which
nothing that claims more can do twice as well (`pays_at_once`; where no decision ends an episode). Or only smaller steps
are believed: `MILD` temperatures, the lowest at which no candidate claims too much.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from frl_algos.factored_awr.critic_selection.held_out import Worth, mean_and_error

MILD = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Temperatures for claims that are too large at `extraction.TEMPERATURES`."""

ERRORS = 2.0
"""Standard errors by which a claim must be too large."""


def room(
    rewards: Float[np.ndarray, "row"],
    lengths: Int[np.ndarray, "episode"],
    people: Int[np.ndarray, "episode"],
    attempted: Bool[np.ndarray, "row"],
) -> float:
    """What the episodes of a person are short of the largest return logged, on average over people who were acted on.

    Claims are means over these people, as others have no decision to judge by.

    Args:
        rewards: Of each step; rows of an episode follow each other.
        lengths: Rows of each episode.
        people: Person of each episode.
        attempted: Whether anything was done; of some row at least.
    """
    starts = np.cumsum(lengths) - lengths
    returns = np.add.reduceat(rewards.astype(np.float64), starts)
    acted_on = np.unique(people[np.logical_or.reduceat(attempted, starts)])
    short = (returns.max() - returns)[np.isin(people, acted_on)]
    return float(short.sum() / len(acted_on))


def plausible(worths: Sequence[Worth], most: float, *, ends: bool) -> bool:
    """Whether no candidate claims to gain more than there is, beyond chance.

    Args:
        worths: Of the candidates.
        most: `room`.
        ends: Whether decisions end episodes, so that what a step pays at once counts as well.
    """
    claims = (mean_and_error(worth.whole if ends else worth.later) for worth in worths)
    return all(mean <= most + ERRORS * error for mean, error in claims)


def pays_at_once(worth: Worth, most: float) -> bool:
    """Whether what the steps pay at once is half of what there is, and nothing is lost after them, beyond chance.

    Args:
        worth: Of a candidate with credit for the step alone.
        most: `room`.
    """
    now, error = mean_and_error(worth.whole - worth.later)
    later, later_error = mean_and_error(worth.later)
    return now - ERRORS * error >= most / 2 and later >= -ERRORS * later_error

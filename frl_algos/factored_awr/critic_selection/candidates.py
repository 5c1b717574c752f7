"""Critics that compete, and which of them is taken."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from frl_algos.action_effects.estimate import Effects
from frl_algos.action_effects.planning import Planned
from frl_algos.action_effects.targets import Targets
from frl_algos.factored_awr.critic_selection.held_out import CLEARLY, Worth, mean_and_error


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A critic with its credit, as estimated from the halves of the people.

    Attributes:
        label: In words.
        critic, td_lambda, states: As in `Choice`.
        targets: With its credit.
        effects: The estimate; None where the critic is another.
        worth: What its policy is worth to people it was not estimated from; None until it is judged.
        planned: Planned values, where the critic is these.
        halves: Advantages by each half of the people, where they are no effects.
    """

    label: str
    critic: str
    td_lambda: float
    states: str
    targets: Targets
    effects: Effects | None
    worth: Worth | None = None
    planned: Planned | None = None
    halves: Sequence[Tensor] = ()


def own_gains(worth: Worth) -> Float[np.ndarray, "person"]:
    """Gain of a candidate's policy by the credit that its advantages were estimated with."""
    return worth.own


def nearby_gains(worth: Worth) -> Float[np.ndarray, "person"]:
    """Gain, by the whole return, of a small step from the behaviour policy along the candidate's advantages."""
    return worth.nearby


def reaches(candidate: Candidate, least: float, gains: Callable[[Worth], np.ndarray] = own_gains) -> bool:
    """Whether a candidate's mean gain is at least `least` standard errors.

    Where nobody gains anything, both are 0: that reaches a `least` below 0 only.
    """
    assert candidate.worth is not None
    gain, error = mean_and_error(gains(candidate.worth))
    return gain >= least * error and (gain > 0 or error > 0 or least < 0)


def loses(candidate: Candidate) -> bool:
    """Whether a policy loses more by the whole return, or by a small step, than chance explains."""
    assert candidate.worth is not None
    whole, nearby = mean_and_error(candidate.worth.whole), mean_and_error(candidate.worth.nearby)
    return whole[0] < -whole[1] or nearby[0] < -CLEARLY * nearby[1]


def first_of_best(
    candidates: Sequence[Candidate], gains: Callable[[Any], np.ndarray], errors: float = 1.0
) -> Candidate:
    """The first candidate whose gain is within `errors` standard errors of the best's, compared by person."""
    best = max(candidates, key=lambda candidate: gains(candidate.worth).mean())
    for candidate in candidates:
        behind, error = mean_and_error(gains(best.worth) - gains(candidate.worth))
        if behind <= errors * error:
            return candidate
    return best

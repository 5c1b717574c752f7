"""What a policy is worth to people it was not estimated from.

Advantages that one half of the people recommend make a policy pi; the other half's logged decisions judge it:

    gain = E[ (pi(a | s, act) / pi_b(a | s, act) - 1) psi ],     ratio = exp(A / alpha) / E_b[exp(A / alpha)]

where psi is what came of the logged decision beyond what was expected: its return less what the history predicts. That
is the first-order gain of pi over the behaviour policy (Kakade and Langford, 2002), from data alone: no model of values
is asked about its own policy. It is doubly robust: right if pi_b is, or if the prediction is. With a response, attempts
without one are the control group, and psi = (return - prediction) (r - P(r)) / (1 - P(r)).

Errors are over people: a person's decisions go with each other.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from frl_algos.action_effects.targets import Targets
from frl_algos.factored_awr.extraction import best_temperature, supported
from frl_algos.logged_data.scaled_rows import slices
from frl_algos.networks.effect_critic import LazyScores

MOST_SCORES = 2**24
"""Scores of joint actions in all judged rows, at most. Where there are more, people are drawn; where too few would be
left, as each has a long record, decisions of everybody are."""

SCORED_AT_ONCE = 4_000
"""Judged rows whose scores of all actions are held at once, several times."""

TEMPERATURE_ROWS = 2_000
"""Rows over which a temperature is chosen."""

SMALL_STEP = 3.0
"""Temperature of a policy so near the behaviour policy that what it gains says which way, and hardly how far."""

FEWEST_PEOPLE = 20
"""In each half; nothing is judged by fewer."""

CHANCE = 0.025
"""Of a gain being shown where there is none: that of two standard errors, whatever the number of candidates."""

CLEARLY = 2.0
"""Standard errors by which one must lead what comes before it, where several try by returns that vary much."""

DRAWS = 20_000
"""Of the largest gain by chance."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Worth:
    """Gains of a policy over the behaviour policy, one a judged person, in units of reward.

    Judged are people with at least one decision to judge, drawn or not; who was never given any action is not among
    them. With a response, `own`, `whole` and `nearby` have the one credit that is tried, and `later` is 0.

    Attributes:
        own: With the credit that its advantages were estimated with.
        whole: With the whole discounted return.
        later: The part of `whole` that comes after the step itself.
        nearby: As `whole`, of the policy that follows the same advantages at `SMALL_STEP`. Its ratios are near 1, so
            that it varies far less, and shows whether the advantages hold anything true.
        temperature: At which the policy was judged.
        calmer: The same at the highest temperature that is not clearly worse; None where it is this one.
        passed_over: The same at the other temperatures, where this is the best of several.
    """

    own: Float[np.ndarray, "person"]
    whole: Float[np.ndarray, "person"]
    later: Float[np.ndarray, "person"]
    nearby: Float[np.ndarray, "person"]
    temperature: float
    calmer: "Worth | None" = None
    passed_over: "Sequence[Worth]" = ()


class HeldOut:
    """Logged decisions that judge policies, each those of the other half.

    Args:
        targets: Of the dataset.
        people: Person of each row, numbered from 0.
        valid: Number of valid actions.
        seed: Of the draw of people.
    """

    def __init__(self, targets: Targets, people: Int[np.ndarray, "row"], *, valid: int, seed: int) -> None:
        """Takes all attempts, or, where scores would be too many, those of people drawn at random."""
        every = np.flatnonzero(targets.attempted)
        rows, most = every, MOST_SCORES // valid
        self._share = 1.0
        """Of the decisions of judged people, those that are judged."""
        judged = people[every]
        if len(rows) > most:
            rng = np.random.default_rng(seed)
            count = np.bincount(people[rows])
            order = rng.permutation(len(count))
            drawn = order[np.cumsum(count[order]) <= most]
            rows = rows[np.isin(people[rows], drawn)]
            if _enough(people[rows], targets.halves[rows]):
                judged = people[rows]
            else:
                rows = np.sort(rng.choice(every, most, replace=False))
                self._share = most / len(every)
        self.rows = rows
        self.actions = targets.actions[rows].astype(np.int64)
        self.halves = targets.halves[rows]
        persons = np.unique(judged)
        self._judged = len(persons)
        self._person = np.searchsorted(persons, people[rows])
        self._log_what = torch.zeros(0, valid)

    @property
    def enough(self) -> bool:
        """Whether each half has people enough to judge by."""
        return _enough(self._person, self.halves)

    def take_behaviour(self, log_what: Float[Tensor, "judged valid"], threshold: float) -> None:
        """Takes the behaviour policy's log-probabilities, given that something is done, and drops unsupported ones."""
        self._log_what = log_what
        for few in slices(len(log_what), SCORED_AT_ONCE):
            log_what[few] = supported(log_what[few], threshold)

    def worth(
        self,
        halves: Sequence[Tensor | LazyScores],
        own: Float[np.ndarray, "judged"],
        whole: Float[np.ndarray, "judged"],
        step: Float[np.ndarray, "judged"],
        temperature: float | None = None,
    ) -> Worth:
        """What the policies of two halves are worth to each other.

        Args:
            halves: Advantages in the judged rows, from each half; `(judged, valid)`.
            own: psi with the credit of these advantages.
            whole: psi with the whole return.
            step: psi with what the step itself pays.
            temperature: None for the better of `extraction.TEMPERATURES`.
        """
        weight = torch.ones(len(self.rows))
        some = slice(0, len(self.rows), max(len(self.rows) // TEMPERATURE_ROWS, 1))
        if temperature is None:
            temperature = best_temperature(self._log_what[some], weight[some], [half[some] for half in halves])
        ratios = self._ratios(halves, temperature, some)
        return Worth(
            own=self._by_person((ratios - 1) * own),
            whole=self._by_person((ratios - 1) * whole),
            later=self._by_person((ratios - 1) * (whole - step)),
            nearby=self._by_person((self._ratios(halves, SMALL_STEP, some) - 1) * whole),
            temperature=temperature,
        )

    def _ratios(
        self, halves: Sequence[Tensor | LazyScores], temperature: float, some: slice
    ) -> Float[np.ndarray, "judged"]:
        """Ratios pi / pi_b of the logged decisions, by the policy of the other half; 1 on average in each half."""
        ratios = np.ones(len(self.rows))
        for half in (0, 1):
            judges = np.flatnonzero(self.halves == 1 - half)
            chances, mine = self._log_what[some].exp(), halves[half][some]
            mean = (chances * mine).sum(dim=1, keepdim=True)
            spread = float((chances * (mine - mean) ** 2).sum(dim=1).mean().sqrt())
            if spread < 1e-12:
                continue
            ratio = np.empty(len(judges))
            for few in slices(len(judges), SCORED_AT_ONCE):
                judged = judges[few]
                scores = halves[half][judged] / (temperature * spread)
                tilted = torch.logsumexp(self._log_what[judged] + scores, dim=1)
                logged = scores.gather(1, torch.as_tensor(self.actions[judged])[:, None])[:, 0]
                ratio[few] = (logged - tilted).exp().numpy()
            ratios[judges] = ratio / max(float(ratio.mean()), 1e-12)
        return ratios

    def _by_person(self, gains: Float[np.ndarray, "judged"]) -> Float[np.ndarray, "person"]:
        """Summed gain of each judged person, scaled up where only a share of the decisions was drawn."""
        return np.bincount(self._person, weights=gains, minlength=self._judged) / self._share


def _enough(people: Int[np.ndarray, "row"], halves: Int[np.ndarray, "row"]) -> bool:
    return all(len(np.unique(people[halves == half])) >= FEWEST_PEOPLE for half in (0, 1))


def surprise(
    targets: Targets, rows: Int[np.ndarray, "judged"], chance: Float[np.ndarray, "judged"] | None
) -> Float[np.ndarray, "judged"]:
    """psi: what came of the logged decisions beyond what was expected.

    Args:
        targets: With the credit wanted.
        rows: The decisions.
        chance: Of a response; None where none is observed.
    """
    residuals = targets.residuals[rows]
    if chance is None:
        return residuals
    return (residuals - residuals.mean()) * (targets.responses[rows] - chance) / (1 - chance)


def bar(gains: Sequence[Float[np.ndarray, "person"]]) -> float:
    """Standard errors that the largest of several gains stays below, but for `CHANCE`, where none is a gain.

    The more candidates try, the likelier one of them looks good by luck alone; candidates that do much the same count
    less. The largest of correlated normal numbers (White, 2000, "A reality check for data snooping"; Romano and Wolf,
    2005).

    Args:
        gains: Of each candidate, one a person, the same people.
    """
    spread = [each - each.mean() for each in gains if each.std() > 0]
    if not spread:
        return 0.0
    standard = np.stack([each / np.sqrt((each**2).sum()) for each in spread])
    half = np.linalg.qr(standard.T, mode="r")
    drawn = np.random.default_rng(0).standard_normal((DRAWS, len(half))) @ half
    return float(np.quantile(drawn.max(axis=1), 1 - CHANCE))


def mean_and_error(gains: Float32[np.ndarray, "person"] | Float[np.ndarray, "person"]) -> tuple[float, float]:
    """Mean over people and its standard error."""
    return float(gains.mean()), float(gains.std() / np.sqrt(max(len(gains), 1)))

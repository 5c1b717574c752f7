"""What is remembered of each member from week to week, and the features that are made of it.

A memory is one row of numbers a member, updated once a week, so that nobody has to keep whole histories:

    fading sums     S_f = f S_f + x,   W_f = f W_f + 1        of the squashed observations x, for several f
    contacts        A_f = f (A_f + attempted)                 how much a member was contacted lately
    answers         attempts, answers, weeks since the last of each
    needs           answered contacts about each need, fading; what the last contact was about

The sums over their weights W are fading means; their logarithm, shrunk towards everybody's mean by a few weeks' worth
of it, is a log rate: what a Poisson model of rare events asks for. `remember` runs after a week's decisions;
`features` and `contacts` are read before them, with the week's observations.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from frl_algos.logged_data.signed_logarithm import squash

FADINGS = (0.7, 0.9, 0.97)
"""What is kept of a sum from one week to the next: half-lives of 2, 7 and 23 weeks."""

LONG_AGO = 52.0
"""Weeks since an attempt or an answer, at most; also where there was none."""

NEED_FADING = FADINGS[1]
"""What is kept a week of what was done about a need: about as much as of its effect, and needs come back."""

PRIOR_WEEKS = 4.0
"""Weeks of everybody's mean in a member's log rate."""


@dataclass(frozen=True)
class MemoryLayout:
    """Where each number stands in a memory.

    Args:
        size: Number of observations, k.
        response: Index of the observation that is positive when a contact was answered.
        needs: Levels of the need that contacts are about.
    """

    size: int
    response: int
    needs: int = 1

    @property
    def width(self) -> int:
        """Numbers a member."""
        return self._needs.stop + 5

    def start(self, members: int) -> Float32[np.ndarray, "member m"]:
        """Memories of members of whom nothing is known."""
        memory = np.zeros((members, self.width), dtype=np.float32)
        memory[:, -2:] = LONG_AGO
        return memory

    def remember(
        self, memory: Float32[np.ndarray, "member m"], observations: np.ndarray, needs: Int[np.ndarray, "member"]
    ) -> Float32[np.ndarray, "member m"]:
        """The memory after a week.

        Args:
            memory: Before the week.
            observations: Seen before the week's decision, raw units.
            needs: Level of the need that a contact was about, from 0; -1 where nothing was done.
        """
        seen = self._with(memory, observations)
        attempted = needs >= 0
        seen[:, self._needs] *= NEED_FADING
        for number, fading in enumerate(FADINGS):
            column = self._contact(number)
            seen[:, column] = fading * (seen[:, column] + attempted)
        seen[:, -5] = needs + 1
        seen[:, -4] += attempted
        seen[:, -2] = np.where(attempted, 1.0, np.minimum(seen[:, -2] + 1, LONG_AGO))
        return seen

    def features(
        self,
        memory: Float32[np.ndarray, "member m"],
        observations: np.ndarray,
        usual: Float[np.ndarray, "k"],
        chosen: Bool[np.ndarray, "k"],
    ) -> Float32[np.ndarray, "member feature"]:
        """Features for a forecast: the observations now, their fading means and log rates.

        Args:
            memory: Before the week.
            observations: Of the week, raw units.
            usual: Mean of each squashed observation over the data; 0 where it has no log rate.
            chosen: Which observations are looked at.
        """
        seen = self._with(memory, observations)
        parts = [squash(observations[:, chosen])]
        rated = chosen & (usual > 0)
        for number in range(len(FADINGS)):
            weight = seen[:, self._weight(number), None]
            sums = seen[:, self._sums(number)]
            parts.append(sums[:, chosen] / weight)
            floor = PRIOR_WEEKS * usual[rated]
            parts.append(np.log((np.maximum(sums[:, rated], 0.0) + floor) / (weight + PRIOR_WEEKS)))
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def met(
        self, memory: Float32[np.ndarray, "member m"], observations: np.ndarray
    ) -> Float32[np.ndarray, "member need"]:
        """Answered contacts about each need, fading."""
        return self._with(memory, observations)[:, self._needs]

    def attempts(self, memory: Float32[np.ndarray, "member m"]) -> Int[np.ndarray, "member"]:
        """Attempts so far."""
        return np.asarray(memory)[:, -4].astype(np.int64)

    def contacts(
        self, memory: Float32[np.ndarray, "member m"], observations: np.ndarray
    ) -> Float32[np.ndarray, "member 6"]:
        """What is known of a member's contacts.

        Returns:
            How much a member was contacted lately, one number a fading; the log odds of answers so far; weeks since the
            last attempt, and since the last answer.
        """
        seen = self._with(memory, observations)
        loads = seen[:, [self._contact(number) for number in range(len(FADINGS))]]
        attempts, answers, since_attempt, since_answer = seen[:, -4:].T
        odds = np.log((answers + 0.6) / (attempts - answers + 1.4))
        return np.column_stack([loads, odds, since_attempt, since_answer]).astype(np.float32)

    def _with(self, memory: np.ndarray, observations: np.ndarray) -> np.ndarray:
        """The memory with this week's observations in it."""
        seen = np.array(memory, dtype=np.float32)
        x = squash(observations)
        for number, fading in enumerate(FADINGS):
            sums, weight = self._sums(number), self._weight(number)
            seen[:, sums] = fading * seen[:, sums] + x
            seen[:, weight] = fading * seen[:, weight] + 1
        answered = (seen[:, -5] > 0) & (np.asarray(observations)[:, self.response] > 0)
        seen[:, -3] += answered
        rows = np.flatnonzero(answered)
        seen[rows, self._needs.start + seen[rows, -5].astype(np.int64) - 1] += 1
        seen[:, -1] = np.where(answered, 1.0, np.minimum(seen[:, -1] + 1, LONG_AGO))
        return seen

    @property
    def _needs(self) -> slice:
        start = len(FADINGS) * (self.size + 2)
        return slice(start, start + self.needs)

    def _sums(self, number: int) -> slice:
        """Where the faded sums of the observations stand, for the fading of this number."""
        start = number * (self.size + 2)
        return slice(start, start + self.size)

    def _weight(self, number: int) -> int:
        """Where the faded number of weeks stands, by which `_sums` become means."""
        return number * (self.size + 2) + self.size

    def _contact(self, number: int) -> int:
        """Where the faded number of attempts stands."""
        return number * (self.size + 2) + self.size + 1

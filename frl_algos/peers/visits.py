"""The rule by which a ranking becomes contacts: fixed contacts in turn, and weeks of rest."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int64

from frl_env.actions import ActionSpace
from frl_env.errors import UserError, check_whole, unknown_name

LONG_AGO = 10_000.0
"""Weeks since a contact where there was none."""

SINCE, DONE = 0, 1
"""Columns of a memory: weeks since the last contact, and how many there were."""


@dataclass(frozen=True, kw_only=True)
class Visits:
    """What is done with whoever is at the top of a list.

    Args:
        contacts: Each a mapping of factor to level; a member gets them in turn. A factor that is not named has its
            first level, if that can be part of a contact.
        rest: Weeks after a contact in which a member gets none.
    """

    contacts: tuple[Mapping[str, str], ...]
    rest: int = 4

    def __post_init__(self) -> None:
        """Checks what can be checked without the actions."""
        if not self.contacts:
            raise UserError("visits: no contact is named; give at least one, as factor to level")
        check_whole("visits: rest", self.rest, low=0, high=int(LONG_AGO))

    def joints(self, space: ActionSpace) -> Int64[np.ndarray, "turn"]:
        """Joint index of each contact, in turn.

        Raises:
            UserError: If a factor or level does not exist, or the levels are no contact.
        """
        found = []
        for contact in self.contacts:
            for name in contact:
                space[name]  # says so when there is no such factor
            levels = []
            for factor in space:
                level = contact.get(factor.name, factor.levels[0])
                if level not in factor.levels:
                    raise unknown_name(f"visits: level of factor {factor.name!r}:", level, factor.levels)
                levels.append(level)
            joint = int(space.ravel(space.encode(levels)))
            if not space.valid[joint] or joint == int(space.ravel(space.null_action)):
                raise UserError(f"visits: {', '.join(map(str, levels))} is no contact; name a level of every factor")
            found.append(joint)
        return np.asarray(found, dtype=np.int64)

    def start(self, members: int) -> Float64[np.ndarray, "member 2"]:
        """Memories of members who had no contact yet."""
        memory = np.zeros((members, 2))
        memory[:, SINCE] = LONG_AGO
        return memory

    def remember(
        self, memory: Float64[np.ndarray, "member 2"], contacted: np.ndarray
    ) -> Float64[np.ndarray, "member 2"]:
        """The memories after a week in which some were contacted."""
        after = np.array(memory, dtype=np.float64)
        after[:, SINCE] = np.where(contacted, 1.0, np.minimum(after[:, SINCE] + 1, LONG_AGO))
        after[:, DONE] += contacted
        return after

    def gains(
        self, scores: Float[np.ndarray, "member"], memory: Float64[np.ndarray, "member 2"], columns: np.ndarray
    ) -> Float64[np.ndarray, "member action"]:
        """The score in the column of the contact whose turn it is; minus infinity elsewhere, and while one rests.

        Args:
            scores: Positive.
            memory: Before the week.
            columns: Column of each contact.
        """
        gains = np.full((len(scores), int(columns.max()) + 1), -np.inf)
        awake = np.flatnonzero(memory[:, SINCE] > self.rest)
        turn = memory[awake, DONE].astype(np.int64) % len(columns)
        gains[awake, columns[turn]] = scores[awake]
        return gains


VISITS = Visits(
    contacts=(
        {"modality": "HOME_VISIT", "provider": "PHARMACIST", "goal": "MEDICATION_ADHERENCE"},
        {"modality": "HOME_VISIT", "provider": "PHARMACIST", "goal": "HYPERTENSION"},
        {"modality": "HOME_VISIT", "provider": "THERAPIST", "goal": "DEPRESSION"},
    )
)
"""Home visits about the three needs that are most common and most dangerous in published cohorts."""

"""The rule by which a ranking becomes contacts: fixed contacts in turn, and weeks of rest."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Float64, Int64

from frl_algos.logged_data.replay import FactoredReplayBuffer
from frl_env.actions import ActionSpace
from frl_env.errors import UserError, check_whole, make_plain, unknown_name

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
        make_plain(self, "rest")

    def joints(self, space: ActionSpace) -> Int64[np.ndarray, "turn"]:
        """Joint index of each contact, in turn.

        Raises:
            UserError: If a factor or level does not exist, or the levels are no contact.
        """
        found = [space.contact(each, what="visits") for each in self.contacts]
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


@dataclass(frozen=True, kw_only=True)
class LoggedVisits:
    """The contacts that the data's own team makes most, in place of named ones.

    Args:
        among: Levels that they must have, by factor; none for any contact. A factor that the actions lack is passed
            over.
        turns: How many contacts; each is about another level of the factors but the leading one that varies most.
        rest: As in `Visits`.
    """

    among: Mapping[str, str] = field(default_factory=dict)
    turns: int = 3
    rest: int = 4

    def __post_init__(self) -> None:
        """Checks what can be checked without the data."""
        check_whole("visits: turns", self.turns, low=1, high=1_000)
        check_whole("visits: rest", self.rest, low=0, high=int(LONG_AGO))
        make_plain(self, "turns", "rest")

    def of(self, buffer: FactoredReplayBuffer) -> Visits:
        """The contacts, the most frequent first: of each topic (say, goal) the one that is logged most.

        The topic is the factor after the leading one with the most levels.

        Args:
            buffer: The data.

        Raises:
            UserError: If the data holds no such contact.
        """
        space = buffer.action_space
        null = int(space.ravel(space.null_action))
        joints, counts = np.unique(buffer.actions, return_counts=True)
        levels = space.joint_levels[joints]
        kept = joints != null
        names = [factor.name for factor in space]
        for name, level in self.among.items():
            if name in names:
                if level not in space[name].levels:
                    raise unknown_name(f"visits: level of factor {name!r}:", level, space[name].levels)
                kept &= levels[:, names.index(name)] == space[name].levels.index(level)
        if not kept.any():
            raise UserError(f"visits: the data holds no contact with {dict(self.among)}")
        topic = int(np.argmax(space.nvec[1:])) + 1 if len(names) > 1 else 0
        totals = np.bincount(levels[kept, topic], weights=counts[kept], minlength=int(space.nvec[topic]))
        contacts = []
        for about in np.argsort(-totals, kind="stable")[: self.turns]:
            rows = np.flatnonzero(kept & (levels[:, topic] == about))
            if len(rows):
                most = rows[np.argmax(counts[rows])]
                contacts.append(dict(zip(names, space.decode(levels[most][None])[0], strict=True)))
        return Visits(contacts=tuple(contacts), rest=self.rest)


VISITS = Visits(
    contacts=(
        {"modality": "HOME_VISIT", "provider": "PHARMACIST", "goal": "MEDICATION_ADHERENCE"},
        {"modality": "HOME_VISIT", "provider": "PHARMACIST", "goal": "HYPERTENSION"},
        {"modality": "HOME_VISIT", "provider": "THERAPIST", "goal": "DEPRESSION"},
    )
)
"""Home visits about the three needs that are most common and most dangerous in published cohorts."""

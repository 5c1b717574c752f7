"""Which person each stored episode is of, so that nobody is counted twice.

An imported record with weeks missing is several episodes, *spells*, of one person. People are what is counted, drawn
into folds and resampled, so everything that values or counts joins the spells of a person first:

    stored episodes     A: w1 w2 w3     B: w1 w2     A: w6 w7
    one row a person    A: w1 w2 w3 | w6 w7          B: w1 w2

The bar is a *resumption*: the observation of w6 does not show what came of the decision of w3. Where one spell goes on
in the very week and state in which the one before ended, there is none, and the row is that of an unbroken record.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from frl_env.errors import UserError
from frl_env.evaluation.dataset_reading.minari_reading import read_arrays
from frl_env.evaluation.privacy.suppression import people as number_of_people

MEMBER, WEEK = "member", "week"
"""Keys of the infos: number of the person, and of the week or its first day."""


@dataclass(frozen=True, kw_only=True, eq=False)
class People:
    """The persons behind episodes.

    Attributes:
        person: Number of the person of each episode, from 0, in the order in which they are met.
        order: The episodes, person by person, each person's by time.
        resumed: Whether each episode of `order` comes after missing weeks of the same person.
    """

    person: Int64[np.ndarray, "episode"]
    order: Int64[np.ndarray, "episode"]
    resumed: Bool[np.ndarray, "episode"]

    @property
    def first(self) -> Int64[np.ndarray, "person"]:
        """First episode of each person."""
        return self.order[np.diff(self.person[self.order], prepend=-1) != 0]

    def __len__(self) -> int:
        """Number of persons."""
        return int(self.person.max()) + 1 if len(self.person) else 0

    @classmethod
    def alone(cls, episodes: int) -> "People":
        """Every episode of a person of its own."""
        return cls(person=np.arange(episodes), order=np.arange(episodes), resumed=np.zeros(episodes, dtype=bool))

    @classmethod
    def of(
        cls,
        identity: np.ndarray,
        *,
        starts: np.ndarray | None = None,
        ends: np.ndarray | None = None,
        first_states: np.ndarray | None = None,
        last_states: np.ndarray | None = None,
    ) -> "People":
        """Persons of episodes.

        Args:
            identity: `(episode,)` or `(episode, k)`, the same for episodes of one person.
            starts: Week in which each begins; without, episodes of a person follow each other as they stand.
            ends: Week after the last of each; without, the states say whether a record goes on.
            first_states: `(episode, k)`, first observation.
            last_states: `(episode, k)`, observation after the last decision.

        Raises:
            UserError: If episodes of a person overlap in time.
        """
        keys = np.asarray(identity).reshape(len(identity), -1)
        _, met, group = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        rank = np.empty(len(met), dtype=np.int64)
        rank[np.argsort(met)] = np.arange(len(met))
        person = rank[group.reshape(-1)]
        time = np.arange(len(person)) if starts is None else starts
        order = np.lexsort((time, person))
        again = np.diff(person[order], prepend=-1) == 0
        resumed = again.copy()
        before, now = order[:-1], order[1:]
        if starts is not None and ends is not None:
            overlap = again[1:] & (starts[now] < ends[before])
            if overlap.any():
                who = number_of_people(len(np.unique(person[now[overlap]])), simulated=False)
                raise UserError(
                    f"episodes of the same member overlap in time, for {who} of {len(met):,} members: weeks are in the "
                    "dataset twice, or different members have one number; import them under different numbers"
                )
            resumed[1:] &= starts[now] != ends[before]
        if first_states is not None and last_states is not None:
            equal = first_states[now] == last_states[before]
            same = equal.all(axis=tuple(range(1, equal.ndim)))
            resumed[1:] = again[1:] & ~same if ends is None else resumed[1:] | (again[1:] & ~same)
        return cls(person=person, order=order, resumed=resumed)

    def join(
        self, lengths: Int64[np.ndarray, "episode"]
    ) -> tuple[Int64[np.ndarray, "row"], Int64[np.ndarray, "person"], Bool[np.ndarray, "row"]]:
        """How flat rows, episode after episode, become rows person after person.

        Args:
            lengths: Rows of each episode.

        Returns:
            The old row of each new one; rows of each person; whether weeks are missing before each new row.
        """
        lengths = np.asarray(lengths, dtype=np.int64)
        starts = np.cumsum(lengths) - lengths
        own = lengths[self.order]
        ahead = np.cumsum(own) - own
        rows = np.repeat(starts[self.order] - ahead, own) + np.arange(own.sum())
        resumed = np.zeros(len(rows), dtype=bool)
        resumed[ahead[self.resumed]] = True
        return rows, np.bincount(self.person, weights=lengths, minlength=len(self)).astype(np.int64), resumed


def people_of(dataset: Any, columns: Mapping[str, Sequence[np.ndarray]]) -> People:
    """Persons of a Minari dataset's episodes, from what was read of these.

    Args:
        dataset: A `minari.MinariDataset`.
        columns: One array an episode: "infos/member" and "infos/week" where the dataset has them, and "observations"
            where spells are to be told apart by these, too.

    Raises:
        UserError: If episodes of a member overlap in time.
    """
    members = columns.get(f"infos/{MEMBER}", ())
    if len(members) != dataset.total_episodes:
        return People.alone(dataset.total_episodes)
    number = np.asarray([values.reshape(-1)[0] for values in members])
    # By place among the numbers: beside signed ones, large unsigned numbers would be rounded to floats and meet.
    place = np.unique(number, return_inverse=True, equal_nan=False)[1].reshape(-1)
    identity = np.stack([_part(dataset, number), place], axis=1)
    weeks, states = columns.get(f"infos/{WEEK}", ()), columns.get("observations", ())
    known = len(weeks) == len(number)
    seen = len(states) == len(number)
    return People.of(
        identity,
        starts=np.asarray([values.reshape(-1)[0] for values in weeks]) if known else None,
        ends=np.asarray([values.reshape(-1)[-1] for values in weeks]) if known else None,
        first_states=np.stack([values[0] for values in states]) if seen else None,
        last_states=np.stack([values[-1] for values in states]) if seen else None,
    )


def _part(dataset: Any, number: np.ndarray) -> np.ndarray:
    """Which of the combined datasets each episode is of: each of them numbers its members upwards from 0."""
    if "combined_datasets" not in dataset.storage.metadata:
        return np.zeros(len(number), dtype=np.int64)
    every = read_arrays(dataset, [f"infos/{MEMBER}"], everything=True)
    stored = np.asarray([arrays[f"infos/{MEMBER}"].reshape(-1)[0] for arrays in every])
    # Compared, not subtracted: the difference of unsigned numbers is never below 0.
    falls = stored[1:] < stored[:-1]
    return np.cumsum(np.append([False], falls))[dataset.episode_indices]

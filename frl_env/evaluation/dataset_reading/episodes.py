"""Logged decisions as arrays: the one form in which every estimator takes its data.

One row a member, padded with zeros to the longest. A record with weeks missing is one row all the same, its spells one
after the other (`people`):

    step           0     1     2     3
    observations  o_0   o_1   o_2    .       what was seen before the decision
    actions       a_0   a_1   a_2    .       joint indices
    rewards       r_0   r_1   r_2    .       what followed
    propensities  p_0   p_1   p_2    1       probability of the logged decision when it was made

An episode ends by itself (death, disenrolment) or with the follow-up; either way nothing is earned after its end.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from frl_env.actions import ActionSpace
from frl_env.errors import UserError, check_whole
from frl_env.evaluation.dataset_reading.people import People
from frl_env.evaluation.fairness.audited_members import label_missing
from frl_env.evaluation.privacy.suppression import among


@dataclass(frozen=True, kw_only=True, eq=False)
class LoggedEpisodes:
    """Episodes of unequal length, checked and padded.

    Attributes:
        rewards: Zero after the end.
        lengths: Steps of each episode, at least 1.
        actions: Joint indices; zero after the end.
        action_space: Names and validity of the actions.
        observations: Raw units; zero after the end. None when the target's probabilities and all values are arrays.
        propensities: Probability of each logged action when it was taken, one after the end; None when not logged.
        known: Decisions whose propensity was logged, where it was not for all: the others' are estimated. None where
            all were, or none.
        groups: Labels by attribute, one a member, for effective sample sizes and values by subgroup; None and NaN are
            labelled `NOT_RECORDED`.
        reward_parts: Parts of the reward by name, for instance ED visits and hospital stays, each with its sign.
        resumed: Whether weeks are missing before a step, so that its observation does not show what came of the
            decision before; None where no record has a gap.
        simulated: Whether nobody real stands behind the members. Else what is told of them in words and files leaves
            out small numbers of people; see `frl_env.evaluation.privacy.suppression`.

    Raises:
        UserError: If a shape is wrong, a number is not finite, an action does not exist, or a propensity is not in
            (0, 1]. Says in how many members.
    """

    rewards: Float64[np.ndarray, "episode step"]
    lengths: Int64[np.ndarray, "episode"]
    actions: Int64[np.ndarray, "episode step"]
    action_space: ActionSpace
    observations: Float32[np.ndarray, "episode step k"] | None = None
    propensities: Float64[np.ndarray, "episode step"] | None = None
    known: Bool[np.ndarray, "episode step"] | None = None
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)
    reward_parts: Mapping[str, Float64[np.ndarray, "episode step"]] = field(default_factory=dict)
    resumed: Bool[np.ndarray, "episode step"] | None = None
    simulated: bool = False

    def __post_init__(self) -> None:
        """Checks everything once, so that no estimator has to."""
        shape = np.shape(self.rewards)
        if len(shape) != 2 or 0 in shape:
            raise UserError(f"rewards have shape {shape}; (members, steps) with at least one of each is needed")
        lengths = np.asarray(self.lengths)
        if lengths.shape != shape[:1] or not np.issubdtype(lengths.dtype, np.integer):
            raise UserError(
                f"lengths must be {shape[0]} whole numbers, one a member, not {lengths.dtype}{lengths.shape}"
            )
        self._refuse((lengths < 1) | (lengths > shape[1]), f"lengths are not in 1..{shape[1]}")
        object.__setattr__(self, "lengths", lengths.astype(np.int64))
        for name, kind, end in (("rewards", np.float64, 0), ("observations", np.float32, 0)):
            self._keep(name, kind, end)
        self._keep("actions", np.int64, 0)
        self._refuse(
            (self.actions < 0) | (self.actions >= self.action_space.n_joint),
            f"actions are not joint indices in 0..{self.action_space.n_joint - 1}",
        )
        self._keep("resumed", np.bool_, 0)
        self._keep("known", np.bool_, 0)
        self._keep("propensities", np.float64, 1)
        if self.propensities is not None:
            self._refuse(self.propensities == 0, "the propensity of a logged action is 0, which can't be")
            self._refuse((self.propensities < 0) | (self.propensities > 1), "propensities are not in (0, 1]")
        parts = {name: self.padded(f"reward part {name!r}", part) for name, part in self.reward_parts.items()}
        object.__setattr__(self, "reward_parts", parts)
        labels = {}
        for name, group in self.groups.items():
            given = np.asarray(group)
            if given.shape != shape[:1]:
                raise UserError(f"group {name!r} has shape {given.shape}; one label for each of {shape[0]} members")
            labels[name] = given if given.dtype.kind in "biuU" else label_missing(given)  # text has ""
        object.__setattr__(self, "groups", labels)

    def __len__(self) -> int:
        """Number of members."""
        return len(self.lengths)

    @property
    def steps(self) -> int:
        """Steps of the longest episode."""
        return self.rewards.shape[1]

    @cached_property
    def mask(self) -> Bool[np.ndarray, "episode step"]:
        """Which steps belong to the episode; rows of flat arrays in this order."""
        return np.arange(self.steps) < self.lengths[:, None]

    @property
    def observation_rows(self) -> Float32[np.ndarray, "row k"]:
        """Observations of all decisions, one after the other.

        Raises:
            UserError: If there are none.
        """
        if self.observations is None:
            raise UserError(
                "the episodes hold no observations; give them, or pass the target's probabilities as an array"
            )
        return self.observations[self.mask]

    def returns(self, discount: float = 1.0) -> Float64[np.ndarray, "episode"]:
        """Discounted return of each member, as logged."""
        return self.rewards @ discount ** np.arange(self.steps)

    def subset(self, members: np.ndarray) -> "LoggedEpisodes":
        """The episodes of some members, by index or mask; the number of steps stays."""
        return replace(
            self,
            rewards=self.rewards[members],
            lengths=self.lengths[members],
            actions=self.actions[members],
            observations=None if self.observations is None else self.observations[members],
            propensities=None if self.propensities is None else self.propensities[members],
            groups={name: group[members] for name, group in self.groups.items()},
            reward_parts={name: part[members] for name, part in self.reward_parts.items()},
            resumed=None if self.resumed is None else self.resumed[members],
            known=None if self.known is None else self.known[members],
        )

    def padded(self, name: str, values: np.ndarray, end: float = 0.0) -> Float64[np.ndarray, "episode step"]:
        """Values of every step, checked, with `end` after each end.

        Args:
            name: What they are, for the error.
            values: `(episode, step)`, or flat with one entry a decision.
            end: Value after the end.

        Raises:
            UserError: If the shape is wrong or a number is not finite.
        """
        values = np.asarray(values, dtype=np.float64)
        if values.ndim == 1 and len(values) == self.mask.sum():
            grid = np.full(self.mask.shape, float(end))
            grid[self.mask] = values
        elif values.shape == self.mask.shape:
            grid = np.where(self.mask, values, end)
        else:
            raise UserError(
                f"{name} have shape {values.shape}; {self.mask.shape} (members, steps) "
                f"or ({int(self.mask.sum())},) decisions is needed"
            )
        self._refuse(~np.isfinite(grid), f"{name} are not finite")
        return grid

    @classmethod
    def from_rows(
        cls,
        *,
        rewards: np.ndarray,
        actions: np.ndarray,
        lengths: np.ndarray,
        action_space: ActionSpace,
        observations: np.ndarray | None = None,
        propensities: np.ndarray | None = None,
        weeks: np.ndarray | None = None,
        groups: Mapping[str, np.ndarray] | None = None,
        reward_parts: Mapping[str, np.ndarray] | None = None,
        people: People | None = None,
        simulated: bool = False,
    ) -> "LoggedEpisodes":
        """Episodes from flat rows, one a decision, members one after the other; what a replay buffer holds.

        Args:
            rewards: `(row,)`.
            actions: `(row,)` joint indices, or `(row, factor)` levels.
            lengths: Rows of each member, in order; their sum is the number of rows.
            action_space: Names and validity of the actions.
            observations: `(row, k)`.
            propensities: `(row,)`.
            weeks: `(row,)` number of each week, if there is one: it has to go up by 1 within a member.
            groups: Labels by attribute, one a member.
            reward_parts: `(row,)` each.
            people: Where `lengths` and `groups` are of spells, whose they are; what comes back has one row a person,
                with the labels of the first spell. `weeks` then go up within a spell.
            simulated: Whether nobody real stands behind them.

        Raises:
            UserError: If the rows don't fit the lengths, weeks are missing, or as the class says.
        """
        lengths = np.asarray(lengths)
        if lengths.ndim != 1 or not len(lengths) or not np.issubdtype(lengths.dtype, np.integer):
            raise UserError(f"lengths must be whole numbers, one a member, not {lengths.dtype}{lengths.shape}")
        if (lengths < 1).any():
            who = among(int((lengths < 1).sum()), len(lengths), simulated=simulated)
            raise UserError(f"there is no decision of {who}; leave them out")
        levels = np.asarray(actions)
        joint = action_space.ravel(levels) if levels.ndim == 2 else levels
        total, spells = int(lengths.sum()), lengths
        rows, resumed = np.arange(total), np.zeros(0, dtype=bool)
        labels = {name: np.asarray(column) for name, column in (groups or {}).items()}
        if people is not None:
            if len(people.person) != len(spells):
                raise UserError(f"people are named for {len(people.person):,} of {len(spells):,} episodes; name all")
            rows, lengths, resumed = people.join(spells)
            labels = {name: column[people.first] for name, column in labels.items()}
        in_order = bool((rows[1:] > rows[:-1]).all())
        mask = np.arange(int(lengths.max())) < lengths[:, None]

        def grid(name: str, values: np.ndarray | None, end: float = 0.0) -> np.ndarray | None:
            if values is None:
                return None
            array = np.asarray(values)
            if len(array) != total:
                raise UserError(
                    f"{name} have {len(array)} rows, but the lengths of {len(spells)} members sum to {total}"
                )
            array = array if in_order else array[rows]
            padded = np.full((*mask.shape, *array.shape[1:]), end, dtype=array.dtype)
            padded[mask] = array
            return padded

        if weeks is not None:
            numbers = np.asarray(grid("weeks", weeks))
            begins = np.zeros(total, dtype=bool)
            begins[np.cumsum(spells) - spells] = True
            gaps = (np.diff(numbers, axis=1) != 1) & mask[:, 1:] & ~np.asarray(grid("weeks", begins))[:, 1:]
            if gaps.any():
                who = among(int(gaps.any(axis=1).sum()), len(lengths), simulated=simulated)
                raise UserError(
                    f"weeks are missing, repeated or out of order in {who}; a member's weeks have to follow one another"
                )
        return cls(
            rewards=np.asarray(grid("rewards", rewards)),
            actions=np.asarray(grid("actions", joint)),
            lengths=lengths,
            action_space=action_space,
            observations=grid("observations", observations),
            propensities=grid("propensities", propensities, 1.0),
            groups=labels,
            reward_parts={name: np.asarray(grid(name, part)) for name, part in (reward_parts or {}).items()},
            resumed=_on_grid(mask, resumed) if resumed.any() else None,
            simulated=simulated,
        )

    def _keep(self, name: str, kind: type, end: float) -> None:
        values = getattr(self, name)
        if values is None:
            return
        values, mask = np.asarray(values), self.mask
        dimensions = 3 if name == "observations" else 2
        if values.ndim != dimensions or values.shape[:2] != mask.shape:
            wanted = "(members, steps, measures)" if dimensions == 3 else "(members, steps)"
            raise UserError(f"{name} have shape {values.shape}; {wanted} with {mask.shape} like the rewards is needed")
        if kind is np.int64 and not np.issubdtype(values.dtype, np.integer):
            raise UserError(f"{name} must be whole numbers (joint indices), not {values.dtype}")
        inside = mask.reshape(*mask.shape, *[1] * (dimensions - 2))
        kept = np.where(inside, values, end).astype(kind, copy=False)
        unfit = ~np.isfinite(kept)
        self._refuse(unfit if dimensions == 2 else np.any(unfit, axis=2, keepdims=True), f"{name} are not finite")
        object.__setattr__(self, name, kept)

    def _refuse(self, bad: np.ndarray, problem: str) -> None:
        """Says in how many members something is wrong."""
        if not bad.any():
            return
        members = int(bad.reshape(len(bad), -1).any(axis=1).sum())
        who = among(members, len(bad), simulated=self.simulated)
        raise UserError(f"{problem}, in {who}; correct or drop these")


def _on_grid(mask: np.ndarray, rows: np.ndarray) -> np.ndarray:
    grid = np.zeros(mask.shape, dtype=rows.dtype)
    grid[mask] = rows
    return grid


def split_members(members: int, folds: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Members at random in folds of nearly equal size, for cross-fitting; a member is never in two.

    Raises:
        UserError: If there are fewer than two folds, or more folds than members.
    """
    check_folds(members, folds)
    return [np.sort(part) for part in np.array_split(rng.permutation(members), folds)]


def check_folds(members: int, folds: int) -> None:
    """Says that members can't be put into folds.

    Raises:
        UserError: If there are fewer than two folds, or more folds than members, or no whole number of them.
    """
    check_whole("folds", folds, low=0, high=10**9)
    if folds < 2:
        raise UserError("cross-fitting folds need two members and two folds at least; take more of them")
    if folds > members:
        # How many there are is not told: they may be real, and few.
        raise UserError(f"{folds} folds need as many members at least; take more members")

"""Minari episodes to a d3rlpy replay buffer, aligned, complete and sampled without a Python loop.

d3rlpy's own Minari loader shifts every episode after the first and drops the last step of truncated ones; its sampler
loops over transitions. This buffer keeps flat arrays instead:

    episode      |----- first -----|-- second --|
    flat row      0   1   2   3   4   5   6   7
    observation  o0  o1  o2  o3  o4  o0' o1' o2'
    next         o1  o2  o3  o4  o5  o1' o2' o3'

so that row t of any array belongs to the same decision. Stock d3rlpy algorithms train from it as well. An imported
dataset brings these arrays along, and they are read by memory map (`frl_algos.logged.memory_map`).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import gymnasium
import numpy as np
from d3rlpy.constants import ActionSpace as ActionKind
from d3rlpy.dataset import (
    EpisodeBase,
    InfiniteBuffer,
    PartialTrajectory,
    ReplayBuffer,
    Signature,
    Transition,
    TransitionMiniBatch,
)
from jaxtyping import Bool, Float32, Float64, Int64

from frl_algos.logged.d3rlpy_episodes import EpisodesView
from frl_algos.logged.memory_map import FlatArrays, map_arrays
from frl_env.actions import ActionSpace
from frl_env.capacity.effort import Effort, effort_of
from frl_env.errors import UserError
from frl_env.evaluation.fairness.audited_members import label_missing
from frl_env.evaluation.records.dataset_facts import action_space_of, is_simulated, multi_discrete
from frl_env.evaluation.records.member_records import load_members
from frl_env.evaluation.records.minari_reading import read_arrays
from frl_env.evaluation.records.people import MEMBER, WEEK, people_of
from frl_env.files.integrity import check_intact, check_limits

CORE = ("observations", "actions", "rewards", "terminations")
"""Arrays of an episode that a learner needs."""


@dataclasses.dataclass(frozen=True)
class IndexedMiniBatch(TransitionMiniBatch):
    """A d3rlpy mini-batch that also says which rows of the buffer it holds."""

    indices: Int64[np.ndarray, "batch"] = dataclasses.field(default_factory=lambda: np.zeros(0, dtype=np.int64))


class FactoredReplayBuffer(ReplayBuffer):
    """A fixed offline buffer over flat arrays; actions are joint indices.

    Args:
        observations: `(rows, k)`, seen before the action; raw units.
        actions: `(rows, factors)`, levels.
        rewards: `(rows,)`.
        next_observations: `(rows, k)`, seen after it.
        lengths: Rows of each episode, in order; their sum is the number of rows.
        terminated: Whether each episode ended for good rather than at the horizon.
        action_space: Names and validity of the actions.
        seed: Seed of the sampling.
        groups: Labels by attribute, one an episode; a learner that is told to be fair looks at them, no policy does.
        need: Of the member of each episode; likewise.
        people: Number of the person of each episode, so that no model that values policies counts anybody twice; by
            default each of another.
        since: Week in which each episode begins; by default those of a person follow each other as they stand.
        simulated: Whether nobody real stands behind them.

    Raises:
        UserError: If shapes disagree, a number is not finite, or an action does not exist.
    """

    effort: Effort | None = None
    """Staff minutes of each action, where the dataset says them."""

    def __init__(
        self,
        *,
        observations: Float32[np.ndarray, "row k"],
        actions: Int64[np.ndarray, "row factor"],
        rewards: Float32[np.ndarray, "row"],
        next_observations: Float32[np.ndarray, "row k"],
        lengths: Int64[np.ndarray, "episode"],
        terminated: np.ndarray,
        action_space: ActionSpace,
        seed: int = 0,
        groups: Mapping[str, np.ndarray] | None = None,
        need: np.ndarray | None = None,
        people: np.ndarray | None = None,
        since: np.ndarray | None = None,
        simulated: bool = False,
    ) -> None:
        """Checks the arrays and keeps them."""
        rows = int(np.sum(lengths))
        if rows == 0:
            raise UserError("the dataset has no steps; at least one episode with one step is needed")
        for name, array in (
            ("observations", observations),
            ("actions", actions),
            ("rewards", rewards),
            ("next_observations", next_observations),
        ):
            if len(array) != rows:
                raise UserError(f"{name} have {len(array)} rows, but the episodes have {rows} steps")
            bad = ~np.isfinite(array).reshape(rows, -1).all(axis=1)
            if bad.any():
                raise UserError(f"{name} are not finite in {int(bad.sum())} of {rows} rows; fill or drop them")
        lengths = np.asarray(lengths, dtype=np.int64)
        terminated = np.asarray(terminated, dtype=bool)
        last = np.cumsum(lengths) - 1
        joints = action_space.ravel(actions)
        following = np.roll(joints, -1)
        following[last] = 0
        terminals = np.zeros(rows, dtype=np.float32)
        terminals[last[terminated]] = 1.0
        arrays = FlatArrays(
            observations=np.ascontiguousarray(observations, dtype=np.float32),
            next_observations=np.ascontiguousarray(next_observations, dtype=np.float32),
            actions=joints,
            next_actions=following,
            rewards=np.ascontiguousarray(rewards, dtype=np.float32),
            terminals=terminals,
            lengths=lengths,
            terminated=terminated,
        )
        self._keep(arrays, action_space, seed, groups, need, people, since, simulated)

    @classmethod
    def from_arrays(
        cls,
        arrays: FlatArrays,
        action_space: ActionSpace,
        seed: int = 0,
        *,
        groups: Mapping[str, np.ndarray] | None = None,
        need: np.ndarray | None = None,
        people: np.ndarray | None = None,
        since: np.ndarray | None = None,
        simulated: bool = False,
    ) -> "FactoredReplayBuffer":
        """A buffer over arrays that were checked when they were written, without a copy."""
        buffer = cls.__new__(cls)
        buffer._keep(arrays, action_space, seed, groups, need, people, since, simulated)
        return buffer

    def _keep(
        self,
        arrays: FlatArrays,
        action_space: ActionSpace,
        seed: int,
        groups: Mapping[str, np.ndarray] | None,
        need: np.ndarray | None,
        people: np.ndarray | None,
        since: np.ndarray | None,
        simulated: bool,
    ) -> None:
        self.simulated = simulated
        self.people = np.arange(len(arrays.lengths)) if people is None else np.asarray(people, dtype=np.int64)
        self.since = np.arange(len(arrays.lengths)) if since is None else np.asarray(since)
        self.groups = {name: np.asarray(labels).astype(str) for name, labels in (groups or {}).items()}
        self.need = None if need is None else np.asarray(need, dtype=np.float64)
        needs = [] if self.need is None else [("need", self.need)]
        for name, array in [*self.groups.items(), *needs, ("people", self.people), ("since", self.since)]:
            if array.shape != arrays.lengths.shape:
                raise UserError(
                    f"{name!r} has shape {array.shape}; one entry for each of {len(arrays.lengths)} episodes"
                )
        self.action_space = action_space
        self.observations = arrays.observations
        self.next_observations = arrays.next_observations
        self.actions = arrays.actions
        self.next_actions = arrays.next_actions
        self.rewards = arrays.rewards
        self.terminals = arrays.terminals
        self.lengths = arrays.lengths
        self.terminated = arrays.terminated
        self.starts = np.cumsum(self.lengths) - self.lengths
        self.reseed(seed)
        self._episodes_view = EpisodesView(arrays)
        super().__init__(
            InfiniteBuffer(),
            observation_signature=Signature(dtype=[np.dtype(np.float32)], shape=[self.observations.shape[1:]]),
            action_signature=Signature(dtype=[np.dtype(np.int64)], shape=[(1,)]),
            reward_signature=Signature(dtype=[np.dtype(np.float32)], shape=[(1,)]),
            action_space=ActionKind.DISCRETE,
            action_size=action_space.n_joint,
        )

    @classmethod
    def from_replay_buffer(
        cls, buffer: ReplayBuffer, action_space: ActionSpace, seed: int = 0
    ) -> "FactoredReplayBuffer":
        """The same episodes as a factored buffer.

        d3rlpy episodes have no observation after the last action; zeros stand in for it, as in d3rlpy.
        """
        episodes = buffer.episodes
        observations = [np.asarray(episode.observations, dtype=np.float32) for episode in episodes]
        following = [np.concatenate([o[1:], np.zeros_like(o[:1])]) for o in observations]
        joints = np.concatenate([np.asarray(episode.actions).reshape(-1).astype(np.int64) for episode in episodes])
        return cls(
            observations=np.concatenate(observations),
            actions=action_space.unravel(joints),
            rewards=np.concatenate([np.asarray(e.rewards, dtype=np.float32).reshape(-1) for e in episodes]),
            next_observations=np.concatenate(following),
            lengths=np.asarray([len(o) for o in observations]),
            terminated=np.asarray([episode.terminated for episode in episodes]),
            action_space=action_space,
            seed=seed,
        )

    @property
    def episodes(self) -> Sequence[EpisodeBase]:
        """All episodes, as d3rlpy's views on the arrays."""
        return self._episodes_view

    @property
    def transition_count(self) -> int:
        """Number of rows."""
        return len(self.actions)

    def size(self) -> int:
        """Number of episodes."""
        return len(self.lengths)

    def reseed(self, seed: int) -> None:
        """Starts the sampling anew from a seed."""
        self.seed = seed
        self._rng = np.random.default_rng(seed)

    def split(self, part: int, parts: int) -> None:
        """Goes on with one of several independent streams of rows, for training in several processes."""
        self._rng = self._rng.spawn(parts)[part]

    def sample_transition(self) -> Transition:
        """One random transition, as d3rlpy's own type."""
        row = int(self._rng.integers(self.transition_count))
        episode = int(np.searchsorted(self.starts, row, side="right")) - 1
        end = int(self.starts[episode] + self.lengths[episode])
        return Transition(
            observation=self.observations[row],
            action=self.actions[row : row + 1],
            reward=self.rewards[row : row + 1],
            next_observation=self.next_observations[row],
            next_action=self.next_actions[row : row + 1],
            terminal=float(self.terminals[row]),
            interval=1,
            rewards_to_go=self.rewards[row:end, None],
        )

    def sample_transition_batch(self, batch_size: int) -> IndexedMiniBatch:
        """A random mini-batch, rows drawn with replacement."""
        return self.batch_of(self._rng.integers(self.transition_count, size=batch_size))

    def sample_trajectory(self, length: int) -> PartialTrajectory:
        """A random piece of an episode, as d3rlpy's own type, for its Decision Transformers."""
        row = int(self._rng.integers(self.transition_count))
        episode = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self._trajectory_slicer(self._episodes_view.episode(episode), row - int(self.starts[episode]), length)

    def batch_of(self, rows: Int64[np.ndarray, "batch"]) -> IndexedMiniBatch:
        """The mini-batch of the given rows."""
        return IndexedMiniBatch(
            observations=self.observations[rows],
            actions=self.actions[rows, None].astype(np.float32),
            rewards=self.rewards[rows, None],
            next_observations=self.next_observations[rows],
            next_actions=self.next_actions[rows, None].astype(np.float32),
            terminals=self.terminals[rows, None],
            intervals=np.ones((len(rows), 1), dtype=np.float32),
            transitions=[],
            indices=rows,
        )

    def append(self, *args: Any, **kwargs: Any) -> None:
        """Refuses: the buffer is fixed."""
        raise UserError("this replay buffer is a fixed offline dataset; build a new one to add steps")

    append_episode = append
    clip_episode = append

    def dump(self, f: BinaryIO) -> None:
        """Refuses: the data has its home in Minari."""
        raise UserError("this replay buffer is not dumped; the Minari dataset it came from is the file to keep")


def plain_episodes(way_out: str) -> UserError:
    """Error for episodes that don't say what their actions are.

    Args:
        way_out: How the caller can say it.
    """
    return UserError(
        "a plain d3rlpy buffer does not say which factors and levels its actions have; fit to "
        f"load_replay_buffer(dataset), or {way_out}"
    )


def load_replay_buffer(
    dataset: Any,
    *,
    action_space: ActionSpace | None = None,
    seed: int = 0,
    groups: Sequence[str] = (),
    need: str | None = None,
) -> FactoredReplayBuffer:
    """Reads a Minari dataset with a `MultiDiscrete` action space and a one-dimensional `Box` observation space.

    Args:
        dataset: A `minari.MinariDataset`.
        action_space: Names and validity of the actions; by default what the dataset or its environment says
            (`action_space_of`), else nameless levels that are all valid.
        seed: Seed of the sampling.
        groups: Keys of the infos with an attribute of the member, for a learner that is told to be fair.
        need: Key of the infos with the member's need, likewise; of several numbers the sum.

    Returns:
        A buffer that holds every step of every episode; after a termination another begins.

    Raises:
        UserError: If the spaces don't fit, an action lies outside them, a number is not finite or impossible, a key
            is missing, or a file is damaged.
    """
    observation_space = dataset.spec.observation_space
    if not isinstance(observation_space, gymnasium.spaces.Box) or len(observation_space.shape) != 1:
        raise UserError(
            f"dataset {dataset.spec.dataset_id!r} has observations {observation_space}; a flat Box is needed"
        )
    space = multi_discrete(dataset)
    if action_space is None:
        action_space = action_space_of(dataset)
    if action_space.nvec != tuple(int(n) for n in space.nvec):
        raise UserError(f"action space {action_space} does not fit the dataset's {space}")
    check_intact(dataset)
    mapped = map_arrays(dataset)
    if mapped is not None:
        arrays, people = mapped
        check_limits(dataset, arrays.observations, arrays.rewards)
        labels, needs = _members(dataset, groups, need, arrays.lengths)
        buffer = FactoredReplayBuffer.from_arrays(
            arrays, action_space, seed, groups=labels, need=needs, people=people, simulated=is_simulated(dataset)
        )
        buffer.effort = effort_of(dataset, action_space)
        return buffer
    observations, actions, rewards, lengths, terminated, pieces = [], [], [], [], [], []
    columns: dict[str, list[np.ndarray]] = {}
    for episode in read_arrays(dataset, CORE, [f"infos/{MEMBER}", f"infos/{WEEK}"]):
        observations.append(episode["observations"])
        actions.append(episode["actions"])
        rewards.append(episode["rewards"])
        ends = np.flatnonzero(episode["terminations"][:-1]) + 1
        pieces.append(len(ends) + 1)
        lengths += np.diff(ends, prepend=0, append=len(episode["rewards"])).tolist()
        terminated += [True] * len(ends) + [bool(episode["terminations"][-1])]
        for key in episode.keys() - set(CORE):
            columns.setdefault(key, []).append(episode[key])
    if not observations:
        raise UserError(f"dataset {dataset.spec.dataset_id!r} has no episodes")
    check_limits(dataset, np.concatenate(observations), np.concatenate(rewards))
    labels, needs = _members(dataset, groups, need, np.asarray(lengths))
    weeks, since = columns.pop(f"infos/{WEEK}", []), None
    person = people_of(dataset, columns).person
    if len(weeks) == len(pieces):
        begins = np.asarray([own.reshape(-1)[0] for own in weeks])
        if not np.array_equal(np.lexsort((begins, person)), np.argsort(person, kind="stable")):
            since = np.repeat(begins, pieces)  # only a dataset in another order than it was stored in
    buffer = FactoredReplayBuffer(
        observations=np.concatenate([o[:-1] for o in observations]),
        actions=np.concatenate(actions) - space.start,
        rewards=np.concatenate(rewards).astype(np.float32),
        next_observations=np.concatenate([o[1:] for o in observations]),
        lengths=np.asarray(lengths),
        terminated=np.asarray(terminated),
        action_space=action_space,
        seed=seed,
        groups=labels,
        need=needs,
        people=np.repeat(person, pieces),
        since=since,
        simulated=is_simulated(dataset),
    )
    buffer.effort = effort_of(dataset, action_space)
    return buffer


def _members(
    dataset: Any, groups: Sequence[str], need: str | None, lengths: Int64[np.ndarray, "episode"]
) -> tuple[dict[str, np.ndarray], Float64[np.ndarray, "episode"] | None]:
    """Labels and need of the member of each episode, as far as they are asked for.

    One episode of the dataset is several to a learner where it terminates in between.
    """
    if not groups and need is None:
        return {}, None
    found = load_members(dataset, attributes=groups, needs=[] if need is None else [need])
    steps = [facts["total_steps"] for facts in dataset.storage.get_episode_metadata(dataset.episode_indices)]
    owner = np.searchsorted(np.cumsum(steps), np.cumsum(lengths) - lengths, side="right")
    labels = {key: label_missing(found.labels[key])[owner] for key in groups}
    return labels, None if need is None else found.needs[need][owner]


def to_grid(
    values: np.ndarray, starts: np.ndarray, lengths: np.ndarray
) -> tuple[np.ndarray, Bool[np.ndarray, "episode step"]]:
    """Flat rows as one row an episode, zero after its end, and the mask that flattens it back."""
    mask = np.arange(int(lengths.max())) < np.asarray(lengths)[:, None]
    grid = np.zeros((*mask.shape, *values.shape[1:]), dtype=values.dtype)
    grid[mask] = values
    return grid, mask

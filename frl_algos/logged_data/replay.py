"""A d3rlpy replay buffer over flat arrays: aligned, complete and sampled without a Python loop.

d3rlpy's own buffer holds episodes, and its sampler loops over transitions. This one keeps flat arrays instead:

    episode      |----- first -----|-- second --|
    flat row      0   1   2   3   4   5   6   7
    observation  o0  o1  o2  o3  o4  o0' o1' o2'
    next         o1  o2  o3  o4  o5  o1' o2' o3'

so that row t of any array belongs to the same decision. Stock d3rlpy algorithms train from it as well.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
from d3rlpy.constants import ActionSpace as ActionKind
from d3rlpy.dataset import (
    EpisodeBase,
    InfiniteBuffer,
    PartialTrajectory,
    ReplayBuffer,
    ReplayBufferBase,
    Signature,
    Transition,
    TransitionMiniBatch,
)
from jaxtyping import Float32, Int64

from frl_algos.logged_data.d3rlpy_episodes import EpisodesView
from frl_algos.logged_data.memory_map import FlatArrays, release
from frl_env.actions import ActionSpace
from frl_env.capacity.effort import Effort
from frl_env.errors import UserError
from frl_env.evaluation.privacy.suppression import people as number_of_people


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

    state_names: tuple[str, ...] = ()
    """Names of the observations, in order, where the dataset says them."""

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
        lengths = _checked_lengths(lengths)
        rows = int(lengths.sum())
        with np.errstate(over="ignore"):  # too large for single precision is infinite there, which is refused
            observations, next_observations, rewards = (
                np.ascontiguousarray(array, dtype=np.float32) for array in (observations, next_observations, rewards)
            )
        for name, array, axes in (
            ("observations", observations, 2),
            ("actions", np.asarray(actions), None),
            ("rewards", rewards, 1),
            ("next_observations", next_observations, 2),
        ):
            if len(array) != rows:
                raise UserError(f"{name} have {len(array)} rows, but the episodes have {rows} steps")
            if axes is not None and array.ndim != axes:
                needed = "(rows,)" if axes == 1 else "(rows, numbers)"
                raise UserError(f"{name} have shape {array.shape}; {needed} is needed")
            bad = ~np.isfinite(array).reshape(rows, -1).all(axis=1)
            if bad.any():
                raise UserError(f"{name} are not finite in {int(bad.sum())} of {rows} rows; fill or drop them")
        if observations.shape[1] == 0:
            raise UserError("observations hold no numbers; give them at least one, which may be constant")
        if next_observations.shape != observations.shape:
            raise UserError(
                f"next_observations have shape {next_observations.shape}, observations {observations.shape}; "
                "they hold the same numbers, after the action and before it"
            )
        if np.shape(terminated) != lengths.shape:
            raise UserError(
                f"terminated has shape {np.shape(terminated)}; one entry for each of {len(lengths)} episodes is needed"
            )
        terminated = np.asarray(terminated, dtype=bool)
        last = np.cumsum(lengths) - 1
        joints = action_space.ravel(actions)
        following = np.roll(joints, -1)
        following[last] = 0
        terminals = np.zeros(rows, dtype=np.float32)
        terminals[last[terminated]] = 1.0
        arrays = FlatArrays(
            observations=observations,
            next_observations=next_observations,
            actions=joints,
            next_actions=following,
            rewards=rewards,
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
        simulated: bool = False,
    ) -> "FactoredReplayBuffer":
        """A buffer over arrays that were checked when they were written, without a copy."""
        buffer = cls.__new__(cls)
        buffer._keep(arrays, action_space, seed, groups, need, people, None, simulated)
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
        """A factored buffer with the transitions of a d3rlpy buffer.

        d3rlpy episodes have no observation after the last action. Where an episode ended for good, zeros stand in for
        it, as in d3rlpy, and a response to that action is never seen. Where it was cut, what followed matters and is
        not known: the last step is left out, as d3rlpy does, too.

        Raises:
            UserError: If there are no transitions, or as a buffer's own arrays do.
        """
        episodes = [episode for episode in buffer.episodes if episode.transition_count]
        if not episodes:
            raise UserError("the replay buffer has no transitions; at least one is needed")
        lengths = np.asarray([episode.transition_count for episode in episodes])
        seen = [np.asarray(episode.observations, dtype=np.float32) for episode in episodes]
        following = [np.concatenate([o[1:], np.zeros_like(o[:1])]) for o in seen]

        def joined(arrays: Iterable[Any]) -> np.ndarray:
            return np.concatenate([array[:length] for array, length in zip(arrays, lengths, strict=True)])

        joints = joined(np.asarray(episode.actions).reshape(-1).astype(np.int64) for episode in episodes)
        return cls(
            observations=joined(seen),
            actions=action_space.unravel(joints),
            rewards=joined(np.asarray(episode.rewards, dtype=np.float32).reshape(-1) for episode in episodes),
            next_observations=joined(following),
            lengths=lengths,
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


def _checked_lengths(lengths: Any) -> Int64[np.ndarray, "episode"]:
    """Rows of each episode; says so where they are none.

    An episode without rows has no last one to end at, and would end the episode before it.
    """
    lengths = np.asarray(lengths)
    if lengths.ndim != 1 or (lengths.size and not np.issubdtype(lengths.dtype, np.integer)):
        raise UserError(f"lengths must be one whole number an episode, not {lengths.dtype} of shape {lengths.shape}")
    if lengths.sum() == 0:
        raise UserError("the dataset has no steps; at least one episode with one step is needed")
    if (lengths < 1).any():
        raise UserError(f"{int((lengths < 1).sum())} of {len(lengths)} episodes have no steps; drop them")
    return lengths.astype(np.int64)


def factored_buffer(dataset: Any, space: ActionSpace | None, way_out: str, impl: Any = None) -> FactoredReplayBuffer:
    """What an algorithm of factored actions is fitted to, from what it was given.

    Args:
        dataset: A factored buffer, or one of d3rlpy's with joint indices.
        space: Actions the algorithm was made for; None where it takes those of the buffer.
        way_out: How to say what the actions of d3rlpy's buffer are.
        impl: What was built for other data before, if anything; it goes on with as many observations.

    Raises:
        UserError: If it is no buffer, nothing says what its actions are, they are others, an action of it is not
            valid, or it has more or fewer observations than before.
    """
    if isinstance(dataset, FactoredReplayBuffer):
        if space is not None and space.to_json() != dataset.action_space.to_json():
            raise UserError(f"the algorithm was made for {space}, the dataset has {dataset.action_space}")
        buffer = dataset
    elif not isinstance(dataset, ReplayBufferBase):
        raise UserError(f"a {type(dataset).__name__} is no replay buffer; fit to load_replay_buffer(dataset)")
    elif space is None:
        raise plain_episodes(way_out)
    else:
        buffer = FactoredReplayBuffer.from_replay_buffer(dataset, space)
    invalid = int(np.count_nonzero(~buffer.action_space.valid[buffer.actions]))
    release(buffer.actions)
    if invalid:
        number = number_of_people(invalid, simulated=buffer.simulated)
        raise UserError(f"{number} logged actions are not valid in {buffer.action_space}; drop or recode them")
    width = buffer.observations.shape[1]
    if impl is not None and (before := int(np.prod(impl.observation_shape))) != width:
        raise UserError(f"the algorithm was made for {before} observations a state, the dataset has {width}")
    return buffer


def plain_episodes(way_out: str) -> UserError:
    """Error for episodes that don't say what their actions are.

    Args:
        way_out: How the caller can say it.
    """
    return UserError(
        "a plain d3rlpy buffer does not say which factors and levels its actions have; fit to "
        f"load_replay_buffer(dataset), or {way_out}"
    )

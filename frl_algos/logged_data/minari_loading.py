"""A Minari dataset into a replay buffer: every step of every episode, with its person and its week.

d3rlpy's own Minari loader shifts every episode after the first and drops the last step of truncated ones. An imported
dataset brings the buffer's flat arrays along, and they are read by memory map (`frl_algos.logged_data.memory_map`).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from frl_algos.logged_data.memory_map import map_arrays
from frl_algos.logged_data.replay import FactoredReplayBuffer
from frl_env.actions import ActionSpace
from frl_env.capacity.effort import effort_of
from frl_env.errors import UserError
from frl_env.evaluation.dataset_reading.dataset_facts import (
    check_flat_observations,
    fitting_actions,
    is_simulated,
    multi_discrete,
    state_names_of,
)
from frl_env.evaluation.dataset_reading.member_records import load_members
from frl_env.evaluation.dataset_reading.minari_reading import read_arrays
from frl_env.evaluation.dataset_reading.people import MEMBER, WEEK, people_of
from frl_env.evaluation.fairness.audited_members import label_missing
from frl_env.files.integrity import check_intact, check_limits
from frl_env.kinds import check_kind

CORE = ("observations", "actions", "rewards", "terminations")
"""Arrays of an episode that a learner needs."""


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
    check_kind("seed", seed, int)
    check_kind("groups", groups, tuple | None)
    check_flat_observations(dataset)
    action_space = fitting_actions(dataset, action_space)
    check_intact(dataset)
    buffer = _mapped(dataset, action_space, seed, groups, need)
    if buffer is None:
        buffer = _read(dataset, action_space, seed, groups, need)
    buffer.effort = effort_of(dataset, action_space)
    buffer.state_names = tuple(state_names_of(dataset))
    return buffer


def _mapped(
    dataset: Any, action_space: ActionSpace, seed: int, groups: Sequence[str], need: str | None
) -> FactoredReplayBuffer | None:
    """The buffer over flat arrays that lie with the dataset; None where there are none."""
    mapped = map_arrays(dataset)
    if mapped is None:
        return None
    arrays, people = mapped
    check_limits(dataset, arrays.observations, arrays.rewards)
    labels, needs = _members(dataset, groups, need, arrays.lengths)
    return FactoredReplayBuffer.from_arrays(
        arrays, action_space, seed, groups=labels, need=needs, people=people, simulated=is_simulated(dataset)
    )


def _read(
    dataset: Any, action_space: ActionSpace, seed: int, groups: Sequence[str], need: str | None
) -> FactoredReplayBuffer:
    """The buffer over what episodes hold; one that terminates in between is several."""
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
    return FactoredReplayBuffer(
        observations=np.concatenate([o[:-1] for o in observations]),
        actions=np.concatenate(actions) - multi_discrete(dataset).start,
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

"""Logged episodes from a Minari dataset, read member by member."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float64

from frl_env.actions import ActionSpace
from frl_env.errors import UserError
from frl_env.evaluation.dataset_reading.dataset_facts import (
    REPORTS,
    check_flat_observations,
    facts_of,
    fitting_actions,
    is_simulated,
    multi_discrete,
    propensities_are_logged,
)
from frl_env.evaluation.dataset_reading.episodes import LoggedEpisodes
from frl_env.evaluation.dataset_reading.member_records import read_labels
from frl_env.evaluation.dataset_reading.minari_reading import read_arrays
from frl_env.evaluation.dataset_reading.people import MEMBER, WEEK, people_of
from frl_env.evaluation.nuisances.propensities import estimate_propensities
from frl_env.files.integrity import check_intact, check_limits

FEWEST = 30
"""Members that propensities are estimated from, at least."""

AT_ONCE = 1_000
"""Episodes whose levels become joint actions at once."""

COUNTED = {"ed_visits": -1.0, "ip_stays": -1.0}
"""Infos that count what the reward counts, and their signs."""

SEED = 0
"""Of the folds of that estimate: the same dataset is the same episodes."""


def load_episodes(
    dataset: Any,
    *,
    action_space: ActionSpace | None = None,
    propensity: str | None = "propensity",
    groups: Sequence[str] = (),
    reward_parts: Mapping[str, float] | None = None,
) -> LoggedEpisodes:
    """Reads a Minari dataset with a flat `MultiDiscrete` action space and a flat `Box` observation space.

    One row a person: spells of one `infos["member"]` are joined (`frl_env.evaluation.dataset_reading.people`).
    Propensities that only some episodes have, or that an environment reports of another policy than was recorded, are
    not used, and a warning says so. Where some decisions have no number (NaN: staff did otherwise than a worklist
    said), theirs are estimated, and a warning says how many.

    Args:
        dataset: A `minari.MinariDataset`.
        action_space: Names and validity of the actions; by default what the dataset or its environment says
            (`dataset_facts.action_space_of`), else nameless levels that are all valid.
        propensity: Key of the infos with the propensity of the action that led there; the episodes have none when
            the dataset does not have the key, or with None.
        groups: Keys of the infos with an attribute of the member, taken at the start.
        reward_parts: Keys of the infos with parts of the reward, and what each is multiplied with; for the simulator
            `{"ed_visits": -1.0, "ip_stays": -1.0}`.

    Raises:
        UserError: If the spaces don't fit, a key is missing, or the data is not what `LoggedEpisodes` takes.
    """
    check_flat_observations(dataset)
    action_space = fitting_actions(dataset, action_space)
    check_intact(dataset)
    name, space = dataset.spec.dataset_id, multi_discrete(dataset)
    parts = dict(reward_parts or {})
    columns: dict[str, list[np.ndarray]] = {}
    keys = ["observations", "actions", "rewards", *(f"infos/{key}" for key in (*groups, *parts))]
    optional = [f"infos/{key}" for key in (propensity, MEMBER, WEEK) if key is not None]
    ends = {f"infos/{key}" for key in (*groups, MEMBER, WEEK)} - {f"infos/{key}" for key in (*parts, propensity)}
    for arrays in read_arrays(dataset, keys, optional):
        for key, values in arrays.items():
            # What is asked of the first and the last week only is not kept of those between.
            columns.setdefault(key, []).append(values[[0, -1]] if key in ends else values)
    if not columns:
        raise UserError(f"dataset {name!r} has no episodes")

    def after(key: str) -> np.ndarray:
        """What an info says of the action that led there; row 0 comes before any action."""
        return np.concatenate([values[1:].reshape(-1) for values in columns.pop(f"infos/{key}")])

    start = {key: [values[0].reshape(-1)[0] for values in columns[f"infos/{key}"]] for key in groups}
    lengths = np.asarray([len(values) for values in columns["rewards"]])
    rewards = np.concatenate(columns.pop("rewards"))
    check_limits(dataset, np.concatenate(columns["observations"]), rewards)
    propensities = after(propensity) if propensity and _logged(dataset, propensity, columns) else None
    unknown = None if propensities is None else np.isnan(propensities)
    whose = people_of(dataset, columns)
    levels = columns.pop("actions")
    episodes = LoggedEpisodes.from_rows(
        observations=np.concatenate([values[:-1] for values in columns.pop("observations")]),
        actions=np.concatenate(
            [
                action_space.ravel(np.concatenate(levels[start : start + AT_ONCE]) - space.start)
                for start in range(0, len(levels), AT_ONCE)
            ]
        ),
        rewards=rewards,
        lengths=lengths,
        action_space=action_space,
        propensities=None if unknown is None or unknown.any() else propensities,
        groups=read_labels(dataset, start),
        reward_parts={key: scale * after(key) for key, scale in parts.items()},
        people=whose,
        simulated=is_simulated(dataset),
    )
    if propensities is None or unknown is None or not unknown.any():
        return episodes
    return _with_estimates(episodes, propensities[whose.join(lengths)[0]], name)


def load_with_parts(dataset: Any) -> LoggedEpisodes:
    """`load_episodes`, with the events that the reward counts; without them where they do not sum to the reward."""
    infos = next(iter(dataset.iterate_episodes(dataset.episode_indices[:1]))).infos or {}
    episodes = load_episodes(dataset, reward_parts=COUNTED if set(COUNTED) <= set(infos) else None)
    parts = sum(episodes.reward_parts.values(), np.zeros(episodes.mask.shape))
    return episodes if np.allclose(parts, episodes.rewards) else replace(episodes, reward_parts={})


def _with_estimates(episodes: LoggedEpisodes, logged: Float64[np.ndarray, "row"], name: str) -> LoggedEpisodes:
    """The episodes with logged propensities where there are some, and estimated ones elsewhere.

    Args:
        episodes: Without propensities.
        logged: A number a decision, in the order of the episodes; NaN where it is not known.
        name: Of the dataset.
    """
    known = np.isfinite(logged)
    if not known.any():
        return episodes
    if len(episodes) < FEWEST:
        warnings.warn(
            f"dataset {name!r} knows the propensities of some decisions only, and has too few members to estimate the "
            "others; none are used",
            stacklevel=3,
        )
        return episodes
    estimated = estimate_propensities(episodes, rng=np.random.default_rng(SEED)).logged[episodes.mask]
    warnings.warn(
        f"dataset {name!r} knows the propensities of {known.mean():.1%} of its decisions; the others are estimated "
        "from the record, and estimates that use them are no longer exact",
        stacklevel=3,
    )
    return replace(
        episodes,
        propensities=episodes.padded("propensities", np.where(known, logged, estimated), 1.0),
        known=episodes.padded("known", known.astype(np.float64)) > 0,
    )


def load_actions(dataset: Any, action_space: ActionSpace) -> tuple[np.ndarray, np.ndarray]:
    """Joint indices of all logged actions, episodes one after the other, and the number of each episode's.

    Reads nothing else, so that it is quick for large datasets.
    """
    levels = [arrays["actions"] for arrays in read_arrays(dataset, ["actions"])]
    if not levels:
        raise UserError(f"dataset {dataset.spec.dataset_id!r} has no episodes")
    joints = action_space.ravel(np.concatenate(levels) - dataset.spec.action_space.start)
    return joints, np.asarray([len(each) for each in levels])


def _logged(dataset: Any, propensity: str, columns: Mapping[str, Sequence[np.ndarray]]) -> bool:
    """Whether the propensities are there and are of the policy that was recorded; says why not."""
    having, name = len(columns.get(f"infos/{propensity}", ())), dataset.spec.dataset_id
    if not having:
        return False
    if having < dataset.total_episodes:
        warnings.warn(
            f"dataset {name!r} has propensities in {having:,} of {dataset.total_episodes:,} episodes only, so that "
            "none are used; leave out the other episodes, or let propensities be estimated",
            stacklevel=3,
        )
        return False
    if not propensities_are_logged(dataset):
        warnings.warn(
            f"the infos of dataset {name!r} say how probable its actions were to {facts_of(dataset)[REPORTS]}, which "
            "need not be who was recorded, so that these propensities are not used; pass the recorded policy's own to "
            "`evaluate`, or let them be estimated",
            stacklevel=3,
        )
        return False
    return True

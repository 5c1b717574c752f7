"""The members on whom a trained policy is looked at: logged, and not those it was trained on.

On the simulator they are drawn anew, so that what no record shows (open needs, true propensities) is known. Elsewhere
they are those of the validation dataset, a row a person.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from benchmarks.policy_scoring.true_values import Evaluation, has_simulator
from benchmarks.policy_scoring.validation_members import attributes_of, kept_while_unchanged, propensities_of
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.datasets import ensure_dataset
from frl_env.datasets.collect import collect
from frl_env.evaluation import LoggedEpisodes, load_episodes
from frl_env.evaluation.dataset_reading.dataset_facts import facts_of
from frl_env.evaluation.dataset_reading.member_records import load_members, load_people
from frl_env.evaluation.privacy.suppression import hidden_groups, part_of, people
from frl_env.parameters import AGE_BANDS, GENDERS, NEED_NAMES, RACES

SEED = 619
"""Of members and chances; neither a dataset nor an evaluation is drawn with it."""

MOST = 1_000
"""Simulated members at most; a look costs about as much as a second of training."""

MOST_RECORDED = 5_000
"""Members of an imported dataset at most."""

UNSAID = ""
"""Label of members of whose group nothing must be said, or nothing is known."""

RECORDED = {"num_ed_visits_last_week": "ED visit last week", "num_ip_visits_last_week": "hospital stay last week"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """Logged members, and in which states their policy is looked at.

    Attributes:
        source: Where they come from, in words.
        simulated: Whether no real person stands behind them.
        episodes: What was logged; groups that must not be shown are labelled `UNSAID`.
        propensities: Of the logged actions; None where they are not known.
        states: Decisions of each kind of state, by its name, in the order of `LoggedEpisodes.observation_rows`.
        state_kind: What these states are states of.
        whole: Whether these are all members of their dataset; of a part, sizes of groups would tell, beside those of
            the whole, who is not in it.
    """

    source: str
    simulated: bool
    episodes: LoggedEpisodes
    propensities: Float64[np.ndarray, "episode step"] | None
    states: Mapping[str, Bool[np.ndarray, "decision"]]
    state_kind: str
    whole: bool = True

    @property
    def person(self) -> Int64[np.ndarray, "decision"]:
        """Number of the person of each decision."""
        return np.repeat(np.arange(len(self.episodes)), self.episodes.lengths)


def panel_of(dataset: Any, *, members: int, validation: str) -> Panel | None:
    """The members on whom policies trained on a dataset are looked at; None where there are none.

    Args:
        dataset: What is trained on.
        members: Of an evaluation rollout; no more are drawn.
        validation: Dataset of other members; empty for none.
    """
    if has_simulator(dataset):
        world = Evaluation.of_dataset(dataset, members=members)
        return _simulated(world.world, min(members, MOST), world.horizon)
    return _recorded(validation) if validation else None


@lru_cache(maxsize=1)
def _simulated(world: Any, members: int, horizon: int) -> Panel:
    """A panel of members who are simulated and followed under the care team."""
    collected = collect(world.parameters, members=members, seed=SEED, horizon=horizon)
    mask, known = collected.mask, collected.information
    vocabularies = {"race_ethnicity": RACES, "gender": GENDERS, "age_band": AGE_BANDS}
    episodes = LoggedEpisodes(
        observations=collected.observations[:, :-1],
        actions=MEDICAID_ACTIONS.ravel(collected.actions),
        rewards=collected.rewards,
        lengths=collected.lengths,
        action_space=MEDICAID_ACTIONS,
        propensities=known["propensity"][:, 1:, 0],
        simulated=True,
        groups={name: np.asarray(words)[known[name][:, 0, 0]] for name, words in vocabularies.items()},
    )
    needs = known["open_needs"][:, :-1][mask] > 0
    return Panel(
        source=f"{members:,} simulated members of the same world, none of whom was trained on",
        simulated=True,
        episodes=episodes,
        propensities=episodes.propensities,
        states={name: needs[:, column] for column, name in enumerate(NEED_NAMES)},
        state_kind="open need",
    )


@kept_while_unchanged
def _recorded(validation: str) -> Panel:
    """A panel of members of the validation dataset, at most `MOST_RECORDED` of them."""
    data = ensure_dataset(validation)
    metadata = facts_of(data)
    attributes = [name for name in attributes_of(data) if name in metadata.get("frl_vocabularies", {})]
    whole = load_episodes(data)
    labels = load_members(data, attributes=attributes).of(load_people(data)).labels if attributes else {}
    chosen = np.sort(np.random.default_rng(SEED).permutation(len(whole))[: part_of(len(whole), MOST_RECORDED)])
    groups = {name: np.where(each == None, UNSAID, each).astype(str)[chosen] for name, each in labels.items()}  # noqa: E711
    episodes = replace(whole.subset(chosen), groups=groups if whole.simulated else _shown(groups))
    estimated = propensities_of(validation)
    return Panel(
        source=f"{people(len(chosen), simulated=whole.simulated)} members of {validation}, none of whom was trained on",
        simulated=whole.simulated,
        episodes=episodes,
        propensities=episodes.propensities if isinstance(estimated, str) else estimated.logged[chosen],
        states=_recorded_states(episodes, metadata.get("frl_observation_names", [])),
        state_kind="record",
        whole=len(chosen) == len(whole),
    )


def _shown(groups: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Groups without those that must not be shown."""
    hidden = hidden_groups(groups)
    return {name: np.where(np.isin(each, [*hidden[(name,)]]), UNSAID, each) for name, each in groups.items()}


def _recorded_states(episodes: LoggedEpisodes, names: Sequence[str]) -> dict[str, Bool[np.ndarray, "decision"]]:
    """States by what the record of the last week says, where observations have names that are known."""
    rows = episodes.observation_rows
    found = {said: rows[:, list(names).index(name)] > 0 for name, said in RECORDED.items() if name in names}
    if found:
        found["neither"] = ~np.any(list(found.values()), axis=0)
    for column, name in enumerate(names):
        if name.startswith("screened_"):
            found[f"screened: {name.removeprefix('screened_')}"] = rows[:, column] > 0
    return found

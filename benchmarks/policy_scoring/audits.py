"""The scorecard's `fairness`: what each group of members gets from a policy, and how far groups lie apart.

Simulated members are those of the rollout that gave the true value: what they got in it, what they need, how they
fared. Members without a simulator are the logged ones that value the policy: its probabilities in their logged states,
and off-policy values; whatever could name few people is suppressed (`frl_env.evaluation.privacy.suppression`).
Intervals and no tests, so that it takes seconds; `frl_algos.audit_fairness` tests.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64

from benchmarks.policy_scoring.member_table import audited
from benchmarks.policy_scoring.validation_members import attributes_of, kept_while_unchanged
from frl_algos.value_models.allocations import member_allocations, recorded_use
from frl_env.datasets import ensure_dataset
from frl_env.errors import UserError
from frl_env.evaluation import LoggedEpisodes
from frl_env.evaluation.dataset_reading.dataset_facts import state_names_of
from frl_env.evaluation.dataset_reading.member_records import MemberRecords, load_members, load_people
from frl_env.evaluation.fairness.allocations import HIGH_TOUCH
from frl_env.evaluation.fairness.audit import AuditedMembers, audit

RESAMPLES = 200
"""Of the members, for intervals."""

KEPT = ("contact", "digital", "modality", "provider")
"""Allocations that are kept, by how their names start."""


def of_rollout(table: pd.DataFrame, behaviour: pd.DataFrame) -> dict[str, Any]:
    """Audit of a rollout of the simulator.

    Args:
        table: Of `MemberWatch`, under the policy.
        behaviour: The same members under the care team, with the same chances.
    """
    return _told(lambda: audited(table, behaviour))


def of_logged(
    target: Callable[[np.ndarray], np.ndarray],
    episodes: LoggedEpisodes,
    dataset_id: str,
    values: Float64[np.ndarray, "member"],
    returns: Float64[np.ndarray, "member"],
    *,
    high_touch: Sequence[str] = HIGH_TOUCH,
) -> dict[str, Any]:
    """Audit on logged members.

    Args:
        target: Probabilities of the policy.
        episodes: The members.
        dataset_id: Where their attributes are.
        values: Off-policy estimate of each member's value.
        returns: As logged.
        high_touch: Levels that take a person's presence.
    """

    def members() -> AuditedMembers:
        if not high_touch:
            raise UserError("nothing says which levels are high touch; name them with --high-touch")
        records, names = _records(dataset_id)
        allocations, _ = member_allocations(target, episodes, high_touch)
        return AuditedMembers(
            high_touch=allocations.pop("high_touch"),
            attributes=records.labels,
            needs=records.needs | recorded_use(episodes, names),
            allocations=allocations,
            values=values,
            behaviour_values=returns,
            weeks=episodes.lengths.astype(np.float64),
            simulated=records.simulated,
            value_source="off-policy estimates; the change is against the returns as logged",
        )

    return _told(members)


def _told(members: Callable[[], AuditedMembers]) -> dict[str, Any]:
    """The audit, JSON-able; instead a sentence where nothing can be compared. `docs/fairness.md` has its fields."""
    try:
        everything = members()
        kept = {name: share for name, share in everything.allocations.items() if name.startswith(KEPT)}
        looked_at = dataclasses.replace(everything, allocations=kept)
        found = audit(looked_at, rng=np.random.default_rng(0), intersections=(), resamples=RESAMPLES, permutations=0)
    except UserError as problem:
        return {"sentence": f"Not audited: {problem}."}
    return {
        "members": found.members,
        "simulated": found.simulated,
        "privacy": found.privacy,
        "need": found.need,
        "value_source": found.value_source,
        "groups": [
            {"attribute": group.attribute, "group": group.name, "members": group.members, "measure": name}
            | {"value": measured.value, "low": measured.low, "high": measured.high}
            for group in found.groups
            for name, measured in group.measures.items()
        ],
        "withheld": [
            {"attribute": group.attribute, "group": group.name, "why": group.withheld}
            for group in found.groups
            if group.withheld
        ],
        "gaps": [
            {"attribute": pair.attribute, "measure": pair.score, "first": pair.first, "second": pair.second}
            | {"difference": pair.difference, "low": pair.low, "high": pair.high}
            for pair in found.contrasts
        ],
    }


@kept_while_unchanged
def _records(dataset_id: str) -> tuple[MemberRecords, list[str]]:
    """Attributes that have something to compare, needs, and names of the observations."""
    data = ensure_dataset(dataset_id)
    records = load_members(data, attributes=attributes_of(data)).of(load_people(data))
    several = {name: labels for name, labels in records.labels.items() if len(set(labels) - {None}) > 1}
    names = state_names_of(data)
    return MemberRecords(labels=several, needs=records.needs, simulated=records.simulated), names

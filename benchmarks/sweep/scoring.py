"""True values of a run's policy: rolled out on evaluation members, in each mode and within each budget.

The results are named by slots; see `benchmarks.sweep.budgets`.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float32

from benchmarks.policy_scoring import audits
from benchmarks.policy_scoring.contacted import GROUP_LABELS, ContactWatch
from benchmarks.policy_scoring.member_table import MemberWatch, roll_out
from benchmarks.policy_scoring.true_values import Evaluation, paired_difference
from benchmarks.sweep.budgets import ALLOCATED, TEAM, budget_policy, slot
from benchmarks.sweep.jobs import Tell
from frl_algos.policies.adapter import modes
from frl_algos.policies.policy import MODES, LearnedPolicy
from frl_env.actions import MEDICAID_ACTIONS, ActionSpace
from frl_env.budget_references import budget_policies
from frl_env.capacity import Budgeted, Capacity
from frl_env.care_effort import care_effort
from frl_env.evaluation.fairness.allocations import HIGH_TOUCH, allocation_table
from frl_env.reference_returns import FLOOR, reference_policies
from frl_env.references import ObservationPolicy
from frl_env.rollout import Returns

REFERENCE = "reference"
"""Mode of the runs that are reference policies."""


@dataclasses.dataclass(kw_only=True)
class Scored:
    """What rollouts gave, each by slot.

    Attributes:
        summaries: What `frl_env.rollout.Returns.summary` says.
        values: The true value of each evaluation member.
        seconds: What the rollout took.
        fairness: Its audit, of modes without a limit.
        allocated: How the policy keeps within a budget, in words.
        contacted: Who is contacted within the care team's budget.
    """

    summaries: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    values: dict[str, Float32[np.ndarray, "member"]] = dataclasses.field(default_factory=dict)
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    fairness: dict[str, Any] = dataclasses.field(default_factory=dict)
    allocated: dict[str, str] = dataclasses.field(default_factory=dict)
    contacted: dict[str, Any] = dataclasses.field(default_factory=dict)

    def add(self, name: str, returns: Returns, seconds: float) -> None:
        """Keeps a rollout."""
        self.summaries[name] = returns.summary()
        self.values[name] = returns.value.astype(np.float32)
        self.seconds[name] = seconds


def score(
    algorithm: Any, space: ActionSpace, evaluation: Evaluation, budgets: Mapping[str, Capacity], tell: Tell
) -> Scored:
    """Rolls out a trained algorithm in every mode, without a limit and within each budget."""
    scored, world = Scored(), evaluation.world
    effort = care_effort(world.parameters)
    for mode in modes(algorithm):
        started, watch = time.perf_counter(), MemberWatch()
        policy: Any = (
            ObservationPolicy(LearnedPolicy(algorithm, space, mode), **world.seen)
            if mode in MODES
            else Budgeted(algorithm, effort, Capacity(), **world.seen)
        )
        returns = evaluation.score(policy, _telling(tell, mode), watch)
        scored.add(mode, returns, time.perf_counter() - started)
        scored.fairness[mode] = audits.of_rollout(watch.table(returns), _care_team(evaluation))
        asked = budget_policy(algorithm, space, mode)
        for budget, capacity in budgets.items() if asked else ():
            name, started, contacts = slot(mode, budget), time.perf_counter(), ContactWatch()
            budgeted = Budgeted(asked[0], effort, capacity, by=asked[1], vocabularies=GROUP_LABELS, **world.seen)
            returns = evaluation.score(budgeted, _telling(tell, name), contacts if budget == TEAM else None)
            scored.add(name, returns, time.perf_counter() - started)
            scored.allocated[name] = ALLOCATED[asked[1]]
            if budget == TEAM:
                scored.contacted[name] = contacts.summary()
    return scored


def score_reference(algo: str, evaluation: Evaluation, budgets: Mapping[str, Capacity], tell: Tell) -> Scored:
    """Rolls out a reference policy, without a limit where it has no budget of its own, and within each budget."""
    scored = Scored()
    policy = reference_policies(evaluation.world).get(algo)
    if policy is not None:
        watch = MemberWatch()
        contacts = ContactWatch()

        def both(*week: Any) -> None:
            watch(*week)
            contacts(*week)

        returns = evaluation.score(policy, _telling(tell, algo), both)
        scored.add(REFERENCE, returns, 0.0)
        scored.fairness[REFERENCE] = audits.of_rollout(watch.table(returns), _care_team(evaluation))
        # No program spends nothing, whatever the budget; the care team's own budget is what it spends.
        as_is = {FLOOR: [*budgets], "behaviour": [TEAM]}.get(algo, [])
        for budget in as_is:
            if budget in budgets:
                scored.add(slot(REFERENCE, budget), returns, 0.0)
                scored.contacted[slot(REFERENCE, budget)] = contacts.summary()
    for budget, capacity in budgets.items():
        within = budget_policies(evaluation.world, capacity).get(algo)
        if within is None or algo == FLOOR:
            continue
        name, contacts = slot(REFERENCE, budget), ContactWatch()
        scored.add(name, evaluation.score(within, _telling(tell, f"{algo}, {budget}"), contacts), 0.0)
        scored.allocated[name] = ALLOCATED[within.kind]
        if budget == TEAM:
            scored.contacted[name] = contacts.summary()
    return scored


def curve_score(algorithm: Any, space: ActionSpace, evaluation: Evaluation) -> Callable[[], dict[str, float]]:
    """Scores an algorithm as it is whenever called, for a learning curve: the difference to the care team's value."""
    team = evaluation.score(reference_policies(evaluation.world)["behaviour"])
    policy = LearnedPolicy(algorithm, space, modes(algorithm)[0])

    def now() -> dict[str, float]:
        difference, error = paired_difference(evaluation.score_decisions(policy), team)
        return {"difference": difference, "se": error, "members": evaluation.members}

    return now


def _telling(tell: Tell, name: str) -> Callable[[int, int], None]:
    """Progress of one rollout, by week, as progress of the whole run."""
    return lambda week, total: tell(f"scoring {name}", week, total)


@lru_cache(maxsize=1)
def _care_team(evaluation: Evaluation) -> pd.DataFrame:
    """How the evaluation members fare without any learned policy."""
    return roll_out(evaluation, None, allocation_table(MEDICAID_ACTIONS, HIGH_TOUCH))

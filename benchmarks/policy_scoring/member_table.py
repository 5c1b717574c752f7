"""One row a member of a rollout: who it is, how much it needs, what it got, how it fared. What fairness is measured on.

Need is the number of open needs before the first week, so it is the same under every policy.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float32

from benchmarks.policy_scoring.true_values import Evaluation
from frl_algos.policies.policy import CHUNK, draw_from
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.evaluation.dataset_reading.member_records import ATTRIBUTES, LATENT_NEED
from frl_env.evaluation.fairness.allocations import HIGH_TOUCH, allocation_table
from frl_env.evaluation.fairness.audit import AuditedMembers
from frl_env.parameters import AGE_BANDS, GENDERS, RACES
from frl_env.rollout import Returns
from frl_env.simulator.behaviour import BehaviourPolicy
from frl_env.simulator.population import Members
from frl_env.simulator.state import Outcome, State, need_flags

EVENTS, SPENDING = "recorded events", "recorded spending"
"""Means over the member's weeks; dollars are those of the 13 weeks before."""

Probabilities = Callable[[np.ndarray], np.ndarray]
"""Observations `(n, k)`, raw units, to probabilities of all joint actions `(n, n_joint)`."""


class MemberWatch:
    """Watches a rollout, as its `record`.

    Args:
        columns: Allocations by name: which joint actions count (`frl_env.evaluation.fairness.allocations`).
    """

    def __init__(self, columns: Mapping[str, Float32[np.ndarray, "joint"]] | None = None) -> None:
        """Starts with nothing seen."""
        self.columns = dict(columns or allocation_table(MEDICAID_ACTIONS, HIGH_TOUCH))
        self.chances: np.ndarray | None = None  # of this week's allocations, when the policy tells; else what was drawn
        self._matrix = np.stack(list(self.columns.values()), axis=1)
        self._members: Members | None = None
        self._sums: dict[str, Any] = {}

    def __call__(
        self, week: int, members: Members, before: State, levels: np.ndarray, after: State, outcome: Outcome
    ) -> None:
        """Adds a week."""
        if self._members is None:
            self._members, n = members, len(members)
            self._sums = {"weeks": np.zeros(n), EVENTS: np.zeros(n), SPENDING: np.zeros(n)}
            self._sums["allocations"] = np.zeros((n, self._matrix.shape[1]))
        now = before.active
        drawn = self._matrix[MEDICAID_ACTIONS.ravel(levels)] if self.chances is None else self.chances
        self._sums["allocations"][now] += drawn[now]
        self._sums["weeks"] += now
        self._sums[EVENTS] += outcome.ed + outcome.ip
        self._sums[SPENDING][now] += before.total_paid[now]

    def decide(self, probabilities: Probabilities) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
        """A policy that draws from these probabilities and tells what they were."""

        def draw(observations: np.ndarray, rng: np.random.Generator) -> np.ndarray:
            uniform = rng.random(len(observations), dtype=np.float32)
            joints, chances = [], []
            for start in range(0, len(observations), CHUNK):
                part = slice(start, start + CHUNK)
                table = probabilities(observations[part])
                chances.append(table @ self._matrix)
                joints.append(draw_from(table, uniform[part]))
            self.chances = np.concatenate(chances)
            return MEDICAID_ACTIONS.unravel(np.concatenate(joints))

        return draw

    def table(self, returns: Returns) -> pd.DataFrame:
        """One row a member: attributes, need, recorded use, allocations as means over its weeks, value, weeks."""
        members = self._members
        assert members is not None
        weeks = np.maximum(self._sums["weeks"], 1)
        columns = {
            "race_ethnicity": np.asarray(RACES)[members.race],
            "gender": np.asarray(GENDERS)[members.gender],
            "age_band": np.asarray(AGE_BANDS)[members.age_band],
            LATENT_NEED: need_flags(members.open_needs).sum(axis=1).astype(np.float64),
            EVENTS: self._sums[EVENTS] / weeks,
            SPENDING: self._sums[SPENDING] / weeks,
        }
        shares = np.minimum(self._sums["allocations"] / weeks[:, None], 1.0)
        columns |= {name: shares[:, i] for i, name in enumerate(self.columns)}
        return pd.DataFrame(columns | {"value": returns.value, "weeks": weeks})


def roll_out(
    evaluation: Evaluation,
    probabilities: Probabilities | None,
    columns: Mapping[str, np.ndarray],
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """The evaluation members under a policy; the care team's own when there are no probabilities.

    Args:
        evaluation: World and members.
        probabilities: Of the policy.
        columns: Allocations to keep.
        progress: Called with (weeks done, weeks in all).
    """
    watch = MemberWatch(columns)
    if probabilities is None:
        returns = evaluation.score(BehaviourPolicy(evaluation.world.parameters), progress, watch=watch)
    else:
        returns = evaluation.score_decisions(watch.decide(probabilities), progress, watch=watch)
    return watch.table(returns)


def audited(table: pd.DataFrame, behaviour: pd.DataFrame) -> AuditedMembers:
    """Members with true values, for an audit.

    Args:
        table: Under the policy.
        behaviour: The same members under the care team, with the same chances.
    """
    facts = [*ATTRIBUTES, LATENT_NEED, EVENTS, SPENDING, "high_touch", "value", "weeks"]
    return AuditedMembers(
        high_touch=table["high_touch"].to_numpy(),
        attributes={name: table[name].to_numpy() for name in ATTRIBUTES},
        needs={name: table[name].to_numpy() for name in (LATENT_NEED, EVENTS, SPENDING)},
        allocations={str(name): table[name].to_numpy() for name in table.columns if name not in facts},
        values=table["value"].to_numpy(),
        behaviour_values=behaviour["value"].to_numpy(),
        weeks=table["weeks"].to_numpy(),
        simulated=True,
        value_source="true returns on the simulator; the change is against the care team, under the same chances",
    )

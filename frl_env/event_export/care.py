"""A recipe's members, simulated again, with what their dataset has no column for: payments, gaps, exits."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from frl_env.datasets.recipes import Recipe
from frl_env.parameters import WEEKS_PER_WINDOW
from frl_env.rollout import rollout
from frl_env.simulator.behaviour import BehaviourPolicy
from frl_env.simulator.population import Members
from frl_env.simulator.state import Outcome, State

BEFORE = WEEKS_PER_WINDOW
"""Weeks before the first decision of which payments are known."""


@dataclass(frozen=True, kw_only=True)
class Care:
    """What happened to some members.

    Columns of `paid`, `ed`, `ip`, `inbound` start `BEFORE` weeks before the first decision.

    Attributes:
        first_member: Number of the first of them within the dataset.
        members: Who they are.
        levels: Decisions.
        attempted, reached: What came of them.
        covered: Whether a week was covered.
        observed: Whether a week has a row in the dataset.
        paid: Whole US dollars.
        ed, ip: Events; before the first decision known of the last week only.
        inbound: Contacts by the member; likewise.
        died, left: Week at whose end the member died or left for good; -1 if it did not.
    """

    first_member: int
    members: Members
    levels: Int64[np.ndarray, "member week 4"]
    attempted: Bool[np.ndarray, "member week"]
    reached: Bool[np.ndarray, "member week"]
    covered: Bool[np.ndarray, "member week"]
    observed: Bool[np.ndarray, "member week"]
    paid: Float64[np.ndarray, "member week"]
    ed: Int64[np.ndarray, "member week"]
    ip: Int64[np.ndarray, "member week"]
    inbound: Int64[np.ndarray, "member week"]
    died: Int64[np.ndarray, "member"]
    left: Int64[np.ndarray, "member"]

    def __len__(self) -> int:
        """Number of members."""
        return len(self.died)


def simulate(recipe: Recipe, shard: int, first_member: int) -> Care:
    """One shard of a recipe's members.

    Args:
        recipe: Which members, chances and decisions.
        shard: Its number.
        first_member: Members of the shards before it.
    """
    members, horizon = recipe.shards[shard], recipe.horizon
    seed = recipe.seed if len(recipe.shards) == 1 else (recipe.seed, shard + 1)
    counts = {name: np.zeros((members, BEFORE + horizon), dtype=np.int64) for name in ("ed", "ip", "inbound")}
    flags = {name: np.zeros((members, horizon), bool) for name in ("attempted", "reached", "covered", "observed")}
    paid = np.zeros((members, BEFORE + horizon))
    levels_ = np.zeros((members, horizon, 4), dtype=np.int64)
    ends = {name: np.full(members, -1) for name in ("died", "left")}
    drawn: list[Members] = []

    def record(week: int, who: Members, before: State, levels: np.ndarray, after: State, outcome: Outcome) -> None:
        if week == 0:
            drawn.append(who)
            paid[:, :BEFORE] = np.stack(before.paid, axis=1)
            for name, amount in (("ed", before.ed), ("ip", before.ip), ("inbound", before.encounters)):
                counts[name][:, BEFORE - 1] = amount
        paid[:, BEFORE + week] = after.paid[-1]
        counts["ed"][:, BEFORE + week], counts["ip"][:, BEFORE + week] = outcome.ed, outcome.ip
        counts["inbound"][:, BEFORE + week] = after.encounters - outcome.reached
        flags["attempted"][:, week], flags["reached"][:, week] = outcome.attempted, outcome.reached
        flags["covered"][:, week], flags["observed"][:, week] = before.active & ~before.gap, before.active
        levels_[:, week] = levels
        ends["died"][outcome.died] = week
        ends["left"][outcome.terminated & ~outcome.died] = week

    parameters = recipe.parameters
    rollout(BehaviourPolicy(parameters), parameters, members=members, seed=seed, horizon=horizon, record=record)
    return Care(first_member=first_member, members=drawn[0], levels=levels_, paid=paid, **flags, **counts, **ends)

"""The list itself: a row a chosen member, and a summary that says what it uses, whom it serves and what it rests on."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from frl_env.actions import DECISIONS_AT_ONCE
from frl_env.capacity.capacity import Capacity, as_capacity
from frl_env.capacity.effort import Effort, null_joint
from frl_env.errors import UserError, check_whole
from frl_env.worklist.below import below_line
from frl_env.worklist.caseload import Caseload
from frl_env.worklist.choosing import Choice, choose
from frl_env.worklist.reasons import reasons
from frl_env.worklist.summary import Kinds, Use, summarise, uses

PER = 1_000
"""Contacts that expected gains are told for."""

NORMAL = 1.96
"""Standard errors on either side of a 95 % interval."""

NEXT = 10
"""Members just below the line who are named."""

OWN = (
    "rank", "member_id", "minutes", "gain_per_1000", "gain_low", "gain_high", "reason", "drawn", "propensity",
)  # fmt: skip
"""Columns of the list that are of no factor."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Worklist:
    """What was decided for one week.

    Attributes:
        rows: A row a listed member, the largest gain a minute first. Columns: rank, member_id, one a factor (see
            `column_of`), minutes, gain_per_1000 with gain_low and gain_high (events prevented by 1,000 such contacts,
            in the unit of the reward, 95 % interval), reason, drawn, propensity.
        below: The same columns without rank, drawn and propensity, for those just below the line.
        chances: A row a member of the caseload, those who must not be contacted included: member_id, week, levels,
            propensity; for the data to come.
        use: Of each limit, exactly; for who holds the list.
        factors: Names, in order.
        role: Factor that says who goes: the page has a section for each of its levels.
        summary: JSON-able; nothing in it is, or tells, a number of 1 to 10 people.
    """

    rows: pd.DataFrame
    below: pd.DataFrame
    chances: pd.DataFrame
    use: tuple[Use, ...]
    factors: tuple[str, ...]
    role: str
    summary: dict[str, Any]


def column_of(factor: str) -> str:
    """Column of a factor in a list: its name, or as in the table where the list's own column has that name."""
    return f"action_{factor}" if factor in OWN else factor


def make_worklist(
    caseload: Caseload,
    policy: Any,
    effort: Effort,
    capacity: Capacity | float,
    rng: np.random.Generator,
    *,
    explore: float = 0.0,
    least_weeks: int = 0,
    leave_alone: frozenset[str] = frozenset(),
) -> Worklist:
    """Decides who is contacted.

    Args:
        caseload: Of the week.
        policy: Offers `gains(observations, memory)`; if it also has `predict_gains`, rows say what gains are made of.
        effort: Minutes of each action.
        capacity: Of the week, or staff minutes a member-week.
        rng: For draws and ties.
        explore: Share of the capacity that is drawn instead of picked.
        least_weeks: Weeks from one contact of a member to the next, at least.
        leave_alone: Identifiers of members who must not be contacted.

    Raises:
        UserError: If nobody is left, or an option makes no sense.
    """
    check_whole("least weeks from one contact to the next", least_weeks, low=0, high=10_000)
    capacity = as_capacity(capacity)
    alone = np.asarray([str(each) in leave_alone for each in caseload.identifiers], dtype=bool)
    everybody = caseload
    caseload = caseload.keep(~alone, "they are on the do-not-contact list")
    if not len(caseload):
        raise UserError("nobody is left to list: every member of the week is on the do-not-contact list")
    recent = (caseload.since_contact >= 0) & (caseload.since_contact < least_weeks)
    space = effort.action_space
    gains, expected = _ask(caseload, policy, len(space.valid_joints))
    nothing = int(space.ravel(space.null_action))
    contacts = space.valid_joints != nothing
    gains[np.ix_(recent, contacts)] = -np.inf
    choice = choose(gains, effort, capacity, rng, explore=explore)
    closed = ~recent & ~np.isfinite(choice.offers.gains).any(axis=1)
    listed = _listed(effort, choice, gains)
    left = np.flatnonzero((choice.joints == nothing) & ~choice.drawn)
    prices = np.asarray([*choice.allocation.prices.values()])
    below, instead, waiting = below_line(choice.offers, prices, left, NEXT)
    tell = _Telling(caseload=caseload, policy=policy, effort=effort, gains=gains, expected=expected)
    rows, errors = tell.rows(listed, choice.joints[listed], choice.drawn)
    rows.insert(0, "rank", np.arange(1, len(listed) + 1))
    rows["drawn"], rows["propensity"] = choice.drawn[listed], choice.propensities[listed]
    use = uses(effort, capacity, choice.joints[listed], len(caseload))
    return Worklist(
        rows=rows,
        below=tell.rows(below, instead, np.zeros(len(caseload), dtype=bool))[0],
        chances=_chances(everybody, ~alone, effort, choice),
        use=use,
        factors=tuple(factor.name for factor in space),
        role=_role(policy, [factor.name for factor in space]),
        summary=summarise(
            caseload,
            listed,
            choice,
            use,
            Kinds.of(effort, capacity, choice.joints[listed], len(caseload)),
            events=together(rows["gain_per_1000"].to_numpy() / PER, errors),
            need=expected,
            recent=recent,
            closed=closed,
            explore=explore,
            waiting=waiting,
            never_made=_never_made(caseload, effort, capacity),
        ),
    )


def _role(policy: Any, factors: list[str]) -> str:
    """Factor that says who goes: whose skills a contact takes, by the policy's settings; else the provider."""
    skilled = getattr(getattr(policy, "config", None), "skill_factor", None)
    return next((name for name in (skilled, "provider") if name in factors), factors[0])


def _never_made(caseload: Caseload, effort: Effort, capacity: Capacity) -> list[str]:
    """Levels that no contact on record has and the list may have, as "provider THERAPIST"; none without any contact."""
    limits, space = capacity.limits(effort, len(caseload)), effort.action_space
    allowed = limits.allowed & (limits.use <= limits.room[:, None]).all(axis=0) & space.valid
    allowed[null_joint(space)] = False
    made = caseload.made[caseload.made != null_joint(space)]
    if not len(made):
        return []
    return [
        f"{factor.name} {factor.levels[level]}"
        for number, factor in enumerate(space)
        for level in np.setdiff1d(space.joint_levels[allowed, number], space.joint_levels[made, number])
    ]


def _listed(effort: Effort, choice: Choice, gains: np.ndarray) -> np.ndarray:
    """Rows of the caseload that are on the list, the largest gain a minute first."""
    space = effort.action_space
    nothing = int(space.ravel(space.null_action))
    listed = np.flatnonzero(choice.joints != nothing)
    worth = gains[listed, np.searchsorted(space.valid_joints, choice.joints[listed])].astype(np.float64)
    minutes = np.maximum(effort.minutes[choice.joints[listed]], 1e-9)
    return listed[np.lexsort((listed, -worth / minutes))]


def together(gains: np.ndarray, errors: np.ndarray) -> tuple[float, float, float] | None:
    """Sum of the gains with a 95 % interval.

    The errors of all contacts come from the same estimates, so they are taken to go together, which is the widest that
    the interval can be.

    Args:
        gains: Of the contacts.
        errors: Standard errors; NaN where they are not known.

    Returns:
        Sum, lower and upper end; None where a gain or an error is not known, or there is no contact.
    """
    if not (len(gains) and np.isfinite(gains).all() and np.isfinite(errors).all()):
        return None
    total, half = float(gains.sum()), NORMAL * float(errors.sum())
    return total, total - half, total + half


@dataclass(frozen=True, kw_only=True, eq=False)
class _Telling:
    """Rows of people and their contacts, in words and numbers.

    Attributes:
        caseload: Of the week.
        policy: That knows the gains, and perhaps what they are made of.
        effort: Minutes of each action.
        gains: Of the valid actions.
        expected: Events of each member; NaN where not known.
    """

    caseload: Caseload
    policy: Any
    effort: Effort
    gains: np.ndarray
    expected: np.ndarray

    def rows(self, members: np.ndarray, joints: np.ndarray, drawn: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
        """A table of some members, each with a contact, and the standard errors of the gains."""
        space = self.effort.action_space
        position = np.searchsorted(space.valid_joints, joints)
        worth = self.gains[members, position].astype(np.float64)
        similar, error = None, np.full(len(members), np.nan)
        told = callable(getattr(self.policy, "predict_gains", None))
        for start in range(0, len(members) if told else 0, DECISIONS_AT_ONCE):
            some = slice(start, start + DECISIONS_AT_ONCE)
            seen, memory = self.caseload.observations[members[some]], self.caseload.memory[members[some]]
            parts = self.policy.predict_gains(seen, memory=memory)
            error[some] = parts.standard_error[np.arange(len(seen)), position[some]]
            similar = parts.similar_contacts[position]
        names = space.decode(space.unravel(joints))
        table = pd.DataFrame({"member_id": self.caseload.identifiers[members]})
        for number, factor in enumerate(space):
            table[column_of(factor.name)] = names[:, number] if len(members) else []
        table["minutes"] = self.effort.minutes[joints]
        table["gain_per_1000"] = PER * worth
        table["gain_low"], table["gain_high"] = PER * (worth - NORMAL * error), PER * (worth + NORMAL * error)
        relative = self.expected / max(float(self.expected.mean()), 1e-12)
        table["reason"] = reasons(
            self.caseload, members.tolist(), relative=relative, drawn=drawn, worth=worth, similar=similar
        )
        return table, error


def _ask(caseload: Caseload, policy: Any, valid: int) -> tuple[np.ndarray, np.ndarray]:
    """Gains of the valid actions and expected events (NaN where the policy does not know), a chunk at a time."""
    gains = np.empty((len(caseload), valid), dtype=np.float32)
    expected = np.full(len(caseload), np.nan)
    for start in range(0, len(caseload), DECISIONS_AT_ONCE):
        some = slice(start, start + DECISIONS_AT_ONCE)
        seen, memory = caseload.observations[some], caseload.memory[some]
        if callable(getattr(policy, "predict_gains", None)):
            parts = policy.predict_gains(seen, memory=memory)
            gains[some], expected[some] = parts.gains, parts.expected_events
        else:
            gains[some] = policy.gains(seen, memory)
    return gains, expected


def _chances(caseload: Caseload, asked: np.ndarray, effort: Effort, choice: Choice) -> pd.DataFrame:
    """Decisions and chances of all members; who was not asked for gets nothing, for certain."""
    space = effort.action_space
    table = pd.DataFrame({"member_id": caseload.identifiers, "week": caseload.week})
    joints, chances = np.full(len(caseload), int(space.ravel(space.null_action))), np.ones(len(caseload))
    joints[asked], chances[asked] = choice.joints, choice.propensities
    names = space.decode(space.unravel(joints))
    for number, factor in enumerate(space):
        table[f"action_{factor.name}"] = names[:, number]
    table["propensity"] = chances
    return table

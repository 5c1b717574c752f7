"""The list itself: a row a chosen member, and a summary that says what it uses, whom it serves and what it rests on."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from frl_env.capacity.capacity import Capacity
from frl_env.capacity.effort import Effort
from frl_env.errors import UserError, check_whole
from frl_env.worklist.caseload import Caseload
from frl_env.worklist.choosing import Choice, choose
from frl_env.worklist.reasons import reasons
from frl_env.worklist.summary import Use, summarise, uses

PER = 1_000
"""Contacts that expected gains are told for."""

NORMAL = 1.96
"""Standard errors on either side of a 95 % interval."""

CHUNK = 4_096


@dataclass(frozen=True, kw_only=True, eq=False)
class Worklist:
    """What was decided for one week.

    Attributes:
        rows: A row a listed member, the largest gain a minute first. Columns: rank, member_id, one a factor, minutes,
            gain_per_1000 with gain_low and gain_high (events prevented by 1,000 such contacts, 95 % interval), reason,
            drawn, propensity.
        chances: A row a member of the caseload, those who must not be contacted included: member_id, week, levels,
            propensity; for the data to come.
        use: Of each limit, exactly; for who holds the list.
        summary: JSON-able; nothing in it is, or tells, a number of 1 to 10 people.
    """

    rows: pd.DataFrame
    chances: pd.DataFrame
    use: tuple[Use, ...]
    summary: dict[str, Any]


def make_worklist(
    caseload: Caseload,
    policy: Any,
    effort: Effort,
    capacity: Capacity,
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
        capacity: Of the week.
        rng: For draws and ties.
        explore: Share of the capacity that is drawn instead of picked.
        least_weeks: Weeks that must lie between two contacts of a member.
        leave_alone: Identifiers of members who must not be contacted.

    Raises:
        UserError: If nobody is left, or an option makes no sense.
    """
    check_whole("least weeks between contacts", least_weeks, low=0, high=10_000)
    alone = np.asarray([str(each) in leave_alone for each in caseload.identifiers], dtype=bool)
    everybody = caseload
    caseload = caseload.keep(~alone, "they are on the do-not-contact list")
    if not len(caseload):
        raise UserError("nobody is left to list: every member of the week is on the do-not-contact list")
    recent = (caseload.since_contact >= 0) & (caseload.since_contact < least_weeks)
    gains = np.concatenate(
        [
            policy.gains(caseload.observations[start : start + CHUNK], caseload.memory[start : start + CHUNK])
            for start in range(0, len(caseload), CHUNK)
        ]
    )
    space = effort.action_space
    nothing = int(space.ravel(space.null_action))
    contacts = space.valid_joints != nothing
    gains[np.ix_(recent, contacts)] = -np.inf
    choice = choose(gains, effort, capacity, rng, explore=explore)
    listed = _listed(effort, choice, gains)
    worth = gains[listed, np.searchsorted(space.valid_joints, choice.joints[listed])].astype(np.float64)
    use = uses(effort, capacity, choice.joints[listed], len(caseload))
    gain = float(worth[np.isfinite(worth)].sum())
    return Worklist(
        rows=_rows(caseload, policy, effort, listed, worth, choice),
        chances=_chances(everybody, ~alone, effort, choice),
        use=use,
        summary=summarise(caseload, listed, choice, use, gain=gain, recent=recent, explore=explore),
    )


def _listed(effort: Effort, choice: Choice, gains: np.ndarray) -> np.ndarray:
    """Rows of the caseload that are on the list, the largest gain a minute first."""
    space = effort.action_space
    nothing = int(space.ravel(space.null_action))
    listed = np.flatnonzero(choice.joints != nothing)
    worth = gains[listed, np.searchsorted(space.valid_joints, choice.joints[listed])].astype(np.float64)
    minutes = np.maximum(effort.minutes[choice.joints[listed]], 1e-9)
    return listed[np.lexsort((listed, -worth / minutes))]


def _rows(
    caseload: Caseload, policy: Any, effort: Effort, listed: np.ndarray, worth: np.ndarray, choice: Choice
) -> pd.DataFrame:
    space = effort.action_space
    position = np.searchsorted(space.valid_joints, choice.joints[listed])
    relative, similar, error = np.full(len(caseload), np.nan), None, np.full(len(listed), np.nan)
    if callable(getattr(policy, "predict_gains", None)) and len(listed):
        expected = _expected(caseload, policy)
        relative = expected / max(float(expected.mean()), 1e-12)
        parts = policy.predict_gains(caseload.observations[listed], memory=caseload.memory[listed])
        error = parts.standard_error[np.arange(len(listed)), position].astype(np.float64)
        similar = parts.similar_contacts[position]
    names = space.decode(space.unravel(choice.joints[listed]))
    table = pd.DataFrame({"rank": np.arange(1, len(listed) + 1), "member_id": caseload.identifiers[listed]})
    for number, factor in enumerate(space):
        table[factor.name] = names[:, number] if len(listed) else []
    table["minutes"] = effort.minutes[choice.joints[listed]]
    table["gain_per_1000"] = PER * worth
    table["gain_low"], table["gain_high"] = PER * (worth - NORMAL * error), PER * (worth + NORMAL * error)
    table["reason"] = reasons(caseload, listed.tolist(), relative=relative, drawn=choice.drawn, similar=similar)
    table["drawn"] = choice.drawn[listed]
    table["propensity"] = choice.propensities[listed]
    return table


def _expected(caseload: Caseload, policy: Any) -> np.ndarray:
    """Expected events of every member, a chunk at a time."""
    return np.concatenate(
        [
            policy.predict_gains(
                caseload.observations[start : start + CHUNK], memory=caseload.memory[start : start + CHUNK]
            ).expected_events
            for start in range(0, len(caseload), CHUNK)
        ]
    )


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

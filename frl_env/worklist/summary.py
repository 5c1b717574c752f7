"""What may be told of a list beside the list itself: sums, from which no number of 1 to 10 people follows.

The list and its file of chances hold identifiers, and who has them may read everything. The summary goes to terminals
and logs. So each number of people in it is looked at beside the others that are told and beside their sum:

              listed   not listed     all                of the list   of the caseload
    White         14           21      35      White         -             35            else 3 and 7 follow from 14
    Black         12           10      22      Black         -             22            and 12 of the totals

Minutes and the number of contacts are equations in how many there are of each kind: 30 contacts of 15 or 75 minutes
that take 690 are 26 and 4. No number is below 0, which tells as well: 40 contacts of 2, 15 or 75 minutes that take 132
are texts but for 1 to 4. So uses are left out until no number of 1 to 10 people follows from those that are told.

The next week has a summary, too, and who left is the difference of two caseloads. So the caseload, who is new to it and
who can't be listed are told to the nearest 20, shares with two decimals, and a limit that grows with the caseload is
that of the number told.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from scipy.optimize import linprog

from frl_env.capacity.capacity import Capacity
from frl_env.capacity.effort import Effort, null_joint
from frl_env.evaluation.privacy.suppression import COARSE, SECRET, SMALLEST, hidden_cells, hide, rough, roughly
from frl_env.worklist.caseload import Caseload, Rule
from frl_env.worklist.choosing import Choice


@dataclass(frozen=True, kw_only=True)
class Use:
    """What a list takes of one limit.

    Attributes:
        what: Name of the limit.
        used, of: Minutes or contacts.
        about: The limit as it may be told beside other weeks' limits.
        people: Members whose contact takes something of it.
        factor: Factor whose level is limited; empty where the limit is on all contacts.
    """

    what: str
    used: float
    of: float
    about: float
    people: int
    factor: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Kinds:
    """Contacts that may be made, sorted by what they take of the limits; and how many of each kind are listed.

    Attributes:
        takes: What a contact of each kind takes of each limit.
        people: Members who are listed for one.
    """

    takes: Float64[np.ndarray, "limit kind"]
    people: Int64[np.ndarray, "kind"]

    @classmethod
    def of(cls, effort: Effort, capacity: Capacity, joints: np.ndarray, members: int) -> "Kinds":
        """Kinds of the contacts allowed, and how many people of the list get each; arguments as in `uses`."""
        limits, space = capacity.limits(effort, members), effort.action_space
        contacts = space.valid_joints[limits.allowed[space.valid_joints]]
        contacts = contacts[contacts != null_joint(space)]
        if not len(limits.names):
            return cls(takes=np.zeros((0, 1)), people=np.asarray([len(joints)]))
        # Contacts of a kind take the same of every limit.
        takes, kind = np.unique(limits.use[:, contacts], axis=1, return_inverse=True)
        listed = kind.ravel()[np.searchsorted(contacts, joints)]
        return cls(takes=takes, people=np.bincount(listed, minlength=takes.shape[1]))


def uses(effort: Effort, capacity: Capacity, joints: np.ndarray, members: int) -> tuple[Use, ...]:
    """What contacts take of every limit.

    Args:
        effort: Minutes of each action.
        capacity: Of the week.
        joints: Of the contacts listed.
        members: On the caseload.
    """
    limits = capacity.limits(effort, members)
    about = capacity.limits(effort, max(rough(members, simulated=False), COARSE)).room
    # Limits come in this order: all minutes (of no factor), minutes by level, contacts by level.
    factors = [] if capacity.minutes is None else [""]
    for table in (capacity.weekly_minutes, capacity.weekly_contacts):
        factors += [factor for factor, levels in table.items() for _ in levels]
    taken = limits.use[:, joints]
    return tuple(
        Use(
            what=name,
            used=float(row.sum()),
            of=float(room),
            about=float(told),
            people=int((row > 0).sum()),
            factor=factor,
        )
        for name, row, room, told, factor in zip(limits.names, taken, limits.room, about, factors, strict=True)
    )


def summarise(
    caseload: Caseload,
    listed: np.ndarray,
    choice: Choice,
    use: tuple[Use, ...],
    kinds: Kinds,
    *,
    events: tuple[float, float, float] | None,
    need: np.ndarray,
    recent: np.ndarray,
    closed: np.ndarray,
    explore: float,
    waiting: int,
    never_made: list[str],
) -> dict[str, Any]:
    """The summary, JSON-able; a number that would tell of 1 to 10 people is None or in words.

    Args:
        caseload: Those who could be listed.
        listed: Rows of those who are.
        choice: What was decided.
        use: Of each limit.
        kinds: Of contacts.
        events: Expected to be avoided, with the ends of an interval; None where not known.
        need: Events expected of each member; NaN where not known.
        recent: Whose last contact is too recent.
        closed: To whom no contact is open for other reasons.
        explore: Share of the capacity that was drawn.
        waiting: Members below the line: a contact would gain something, and there is no time for it.
        never_made: Levels that no contact on record has, and the list may have.
    """
    n, drawn = len(caseload), int(choice.drawn[listed].sum())
    new = int((caseload.weeks_known == 0).sum())
    left_out = list(caseload.left_out)
    if recent.any():
        left_out.append(Rule(why="their last contact is too recent", members=int(recent.sum())))
    if closed.any():
        why = "the policy has no contact for them that may be made this week, as in the weeks after one"
        left_out.append(Rule(why=why, members=int(closed.sum())))
    open_list = not hidden_cells({"listed": len(listed), "others": n - len(listed)})
    hidden = _hidden_uses(use, len(listed))
    hidden |= _solvable(use, kinds, hidden)
    return {
        "week": caseload.week,
        "caseload": roughly(n),
        "listed": _beside(len(listed), n),
        "drawn": _beside(drawn, len(listed)) if open_list else SECRET,
        "explore": explore,
        "capacity": [
            {
                "what": each.what,
                "used": round(each.used, 1) if open_list and each.what not in hidden else None,
                "of": round(each.about, 1),
            }
            for each in use
        ],
        "events_avoided": [round(each, 2) for each in events] if open_list and events is not None else None,
        "below_the_line": roughly(waiting),
        "new_members": roughly(new),
        "never_made": never_made,
        "left_out": [{"why": rule.why, "members": roughly(rule.members)} for rule in left_out],
        "groups": {name: _rounded(_shares(labels, listed, need)) for name, labels in caseload.groups.items()}
        if n >= SMALLEST and len(listed)
        else {},
    }


def _beside(part: int, whole: int) -> str:
    """A number of people beside the number of all, which is told; in words where it or the rest is small."""
    if not hidden_cells({"part": part, "rest": whole - part}):
        return f"{part:,}"
    return SECRET if part < SMALLEST else "all but a few"


def _hidden_uses(use: tuple[Use, ...], listed: int) -> set[str]:
    """Limits whose use would tell of few people, alone or beside the others of their factor and the sum."""
    hidden = {each.what for each in use if 0 < each.people < SMALLEST}
    for factor in {each.factor for each in use if each.factor}:
        # Minutes and contacts of one level are of the same people, and told together or not at all.
        levels = {each.what.partition(" of ")[2]: each.people for each in use if each.factor == factor}
        rest = {"": max(listed - sum(levels.values()), 0)}
        hidden |= {f"{kind} of {level}" for level in hidden_cells(levels | rest) for kind in ("minutes", "contacts")}
    return hidden


def _solvable(use: tuple[Use, ...], kinds: Kinds, hidden: set[str]) -> set[str]:
    """More limits whose use must not be told, since from all that are and the length of the list small ones follow.

    The sum over all limits goes first, then the use that tells of the fewest people.
    """
    small = (kinds.people > 0) & (kinds.people < SMALLEST)
    secrets = [*np.eye(len(small))[small]]
    rest = kinds.people.sum() - kinds.people
    secrets += [*(1 - np.eye(len(small)))[(rest > 0) & (rest < SMALLEST)]]
    of_few = [row for row, each in zip(kinds.takes, use, strict=True) if 0 < each.people < SMALLEST]
    secrets += [*of_few, *(np.sign(row) for row in of_few)]
    more: set[str] = set()
    while secrets:
        told = [at for at, each in enumerate(use) if each.what not in hidden | more]
        nobody = kinds.takes[[at for at in told if not use[at].people]].any(axis=0)  # of these kinds there are none
        known = np.vstack([np.ones(len(small)), kinds.takes[told]])[:, ~nobody]
        values = np.asarray([kinds.people.sum(), *(use[at].used for at in told)])
        open_ = [use[at] for at in told if use[at].people]
        if not open_ or not any(_follows(secret[~nobody], known, values) for secret in secrets):
            break
        more.add(min(open_, key=lambda each: (each.factor != "", each.people, each.what)).what)
    return more


def _follows(
    secret: Float64[np.ndarray, "kind"], known: Float64[np.ndarray, "told kind"], values: Float64[np.ndarray, "told"]
) -> bool:
    """Whether sums that are told say of a number of people what it is, or that it is one of 1 to 10.

    Args:
        secret: What a contact of each kind adds to the number.
        known: What it adds to each of the sums.
        values: Of the sums.
    """
    if np.allclose(np.linalg.lstsq(known.T, secret, rcond=None)[0] @ known, secret, atol=1e-7):
        return True
    least, most = (linprog(sign * secret, A_eq=known, b_eq=values) for sign in (1, -1))
    if not (least.success and most.success):
        return True
    return least.fun > 1e-6 and -most.fun < SMALLEST - 1e-6


def _rounded(shares: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Shares with two decimals: exact ones are fractions, whose denominator is the number of all."""
    return [{key: round(each, 2) if isinstance(each, float) else each for key, each in row.items()} for row in shares]


def _shares(labels: np.ndarray, listed: np.ndarray, need: np.ndarray) -> list[dict[str, Any]]:
    """Share of the list beside the shares of caseload and need, by group; None where few people would follow.

    The need, of events expected by the model, is told of groups of which the number of people is told.
    """
    names = sorted(set(labels.tolist()), key=str)
    chosen = np.asarray([int((labels[listed] == name).sum()) for name in names])
    everybody = np.asarray([int((labels == name).sum()) for name in names])
    small = hidden_cells({str(name): int(count) for name, count in zip(names, everybody, strict=True)})
    shown = np.asarray([str(name) not in small for name in names])
    hidden = hide(
        np.stack((chosen, everybody - chosen), axis=1),
        row_totals=shown,
        column_totals=np.ones(2, dtype=bool),
        of_hidden_total=True,
    )
    return [
        {
            "group": str(name),
            "of_caseload": float(everybody[row] / max(len(labels), 1)),
            "of_need": round(float(need[labels == name].sum() / need.sum()), 2) if need.sum() > 0 else None,
            "of_list": None if hidden[row].any() else float(chosen[row] / max(len(listed), 1)),
        }
        for row, name in enumerate(names)
        if shown[row]
    ]

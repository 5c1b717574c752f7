"""Coverage, events and contacts to member-weeks: facts are put into the cells of their weeks.

Each fact counts twice: in its own week, where it is what came of the decision, and in the week after, where it is part
of the state. Payments enter the state in one week and leave it in another, so that a running sum over a member's
cells gives the window of 13 weeks.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import ibis.expr.types as ir
import numpy as np
from jaxtyping import Bool, Int

from frl_env.events_to_weeks.facts.cells import Cells, Spells, cells_of, columns_of
from frl_env.events_to_weeks.facts.contacts import PLACES, UNDECIDED, LoggedContacts
from frl_env.events_to_weeks.facts.events import Events, weekly
from frl_env.events_to_weeks.rules import Rules

STATES = ("encounters", "ed_last", "ip_last", "calls", "texts", "enrolled", "paid")
"""Our states in the order of the contract's: encounters, ED visits, stays, calls, texts, enrolled days, total paid."""

COLUMNS = {
    **dict.fromkeys(("ed", "ip", "known_ed", "known_ip"), ("who", "week")),
    "log": ("who", "week", "action", "encounters", "calls", "texts"),
    "paid": ("who", "enters", "leaves", "cents"),
}
"""Of the tables of facts."""


_LATER = np.iinfo(np.int64).max
"""Behind every packed action."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is put into cells.

    Attributes:
        events: What happened.
        known: Events that were known in time to be part of a state.
        contacts: What was done.
        paid: Of `claims.payments`.
    """

    events: Events
    known: Events
    contacts: LoggedContacts
    paid: ir.Table

    def queries(self, engine: Any) -> dict[str, str]:
        """Compiled: `ed`, `ip`, `known_ed`, `known_ip`, `log`, `paid`; known events only where they differ."""
        tables = dict(zip(("ed", "ip"), weekly(self.events), strict=True))
        if self.known is not self.events:
            tables |= zip(("known_ed", "known_ip"), weekly(self.known), strict=True)
        tables |= {"log": self.contacts.log, "paid": self.paid}
        return {name: engine.compile(table) for name, table in tables.items()}


class Weeks:
    """Member-weeks of some members, in the order of members and weeks.

    Args:
        engine: That has computed the facts.
        cells: Of these members.
        queries: Of `Facts.queries`.
        nothing: Joint index of no contact.
    """

    def __init__(self, engine: Any, cells: Cells, queries: Mapping[str, str], nothing: int) -> None:
        """Puts facts into cells, but for payments."""
        self._engine, self._cells, self._queries = engine, cells, queries
        ed, ip = self._of_members("ed"), self._of_members("ip")
        self._ed, self._ip = self._counts(ed, 0), self._counts(ip, 0)
        known_ed = self._of_members("known_ed") if "known_ed" in queries else ed
        known_ip = self._of_members("known_ip") if "known_ip" in queries else ip
        self._states = {"ed_last": self._counts(known_ed, 1), "ip_last": self._counts(known_ip, 1)}
        log = self._of_members("log")
        found, place = cells.at(log["who"], log["week"])
        inside = np.zeros(len(found), dtype=bool)
        inside[found] = cells.is_row[place]
        tried = log["action"] != UNDECIDED
        self.outside = len(np.unique(log["who"][tried & ~inside]))
        """Members with decisions in weeks that are no row."""
        self.left_out_by_age = cells.who[cells.left_out_by_age]
        """Members of weeks that are no row for the member's age, once a week."""
        # An action is packed as rank x PLACES + joint index, so that the smallest is what counts in its week.
        packed = np.full(len(cells), _LATER, np.int64)
        np.minimum.at(packed, place[tried[found]], log["action"][found & tried])
        found, place = cells.at(log["who"], log["week"] + 1)
        for name in ("encounters", "calls", "texts"):
            counted = log[name][found] != 0
            self._states[name] = np.bincount(place[counted], minlength=len(cells)).astype(np.int32)
        self.rows = np.flatnonzero(cells.is_row)
        packed = packed[self.rows]
        self.decided = packed != _LATER
        self.joint = np.where(self.decided, packed % PLACES, nothing)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.rows)

    @property
    def who(self) -> Int[np.ndarray, "row"]:
        """Member of each row."""
        return self._cells.who[self.rows]

    @property
    def start(self) -> Int[np.ndarray, "row"]:
        """First day of each."""
        return self._cells.start[self.rows]

    @property
    def age(self) -> Int[np.ndarray, "row"]:
        """Completed years."""
        return self._cells.age[self.rows]

    @property
    def terminated(self) -> Bool[np.ndarray, "row"]:
        """Whether the record ends for good."""
        return self._cells.terminated[self.rows]

    @property
    def ed(self) -> Int[np.ndarray, "row"]:
        """ED visits of each week."""
        return self._ed[self.rows]

    @property
    def ip(self) -> Int[np.ndarray, "row"]:
        """Stays that start in each week."""
        return self._ip[self.rows]

    def state(self, name: str, *, after: bool = False) -> Int[np.ndarray, "row"]:
        """A state (one of `STATES`) before the decision of each row, or after it."""
        values = self._cells.enrolled if name == "enrolled" else self._states[name]
        return values[self.rows + 1 if after else self.rows]

    def add_payments(self) -> None:
        """Puts payments into cells: the state `paid`, in cents."""
        cells = self._cells
        paid = self._of_members("paid")
        sums = np.zeros(len(cells))
        for week, sign in ((paid["enters"], 1.0), (paid["leaves"], -1.0)):
            found, place = cells.since(paid["who"], week)
            # Sums of floats are exact here: cents are whole numbers far below 2 to the 53rd.
            sums += np.bincount(place, sign * paid["cents"][found], minlength=len(cells))
        self._states["paid"] = np.maximum(cells.running(sums.astype(np.int64)), 0)

    def _counts(self, facts: Mapping[str, np.ndarray], later: int) -> Int[np.ndarray, "cell"]:
        """How many facts there are in each cell, so many weeks later."""
        _, place = self._cells.at(facts["who"], facts["week"] + later)
        return np.bincount(place, minlength=len(self._cells)).astype(np.int32)

    def _of_members(self, name: str) -> dict[str, np.ndarray]:
        found = self._engine.of_members(self._queries[name], self._cells.low, self._cells.high)
        return columns_of(found, COLUMNS[name])


def member_weeks(engine: Any, spells: Spells, facts: Facts, rules: Rules, nothing: int) -> Iterator[Weeks]:
    """All member-weeks, some members at a time.

    Args:
        engine: That has computed the facts.
        spells: Of all members.
        facts: Of all members.
        rules: How is counted.
        nothing: Joint index of no contact.
    """
    queries = facts.queries(engine)
    for cells in cells_of(spells, rules):
        yield Weeks(engine, cells, queries, nothing)

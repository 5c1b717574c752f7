"""Cells: the weeks of members as flat arrays, and the places of facts in them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("ibis")
pytest.importorskip("duckdb")

import ibis

from frl_env.events_to_weeks.facts import cell_parsing
from frl_env.events_to_weeks.facts.cells import NEVER, UNKNOWN_AGE, Spells, calendar, cells_of
from frl_env.events_to_weeks.facts.events import spellings
from frl_env.events_to_weeks.rules import Rules

# member, first and last week that is a row: one after the other, a week apart, and far apart
SPELLS = [(3, 5, 9), (4, 0, 1), (4, 3, 3), (4, 4, 6), (6, 2, 2), (6, 8, 9), (7, 1, 1), (9, 0, 3)]


def spells() -> Spells:
    who, low, high = np.array(SPELLS).T
    first, last = 7 * low, 7 * high + 3
    before = np.array(
        [sum(7 * until + 4 - 7 * start for w, start, until in SPELLS[:i] if w == who[i]) for i in range(len(SPELLS))]
    )
    nobody = np.full(len(who), NEVER)
    return Spells(
        who=who, anchor=0 * who, first=first, last=last, before=before, birth=np.where(who == 3, -366, NEVER),
        entry=first, end_day=nobody, low=low, high=high,
    )  # fmt: skip


@pytest.mark.parametrize("at_a_time", [1, 8, 1000])
def test_facts_find_the_cells_of_their_weeks(at_a_time):
    laid = sorted({(who, week) for who, low, high in SPELLS for week in range(low, high + 2)})
    rows = {(who, week) for who, low, high in SPELLS for week in range(low, high + 1)}
    found, wanted, since = [], [], []
    for cells in cells_of(spells(), Rules(), at_a_time):
        found += list(zip(cells.who.tolist(), cells.week.tolist(), cells.is_row.tolist(), strict=True))
        facts = [(who, week) for who in range(cells.low, cells.high + 1) for week in range(-3, 14)]
        who, week = np.array(facts).T
        mask, place = cells.at(who, week)
        wanted += [facts[i] for i in np.flatnonzero(mask)]
        assert [(cells.who[p], cells.week[p]) for p in place] == [facts[i] for i in np.flatnonzero(mask)]
        mask, place = cells.since(who, week)
        since += [
            (facts[i], (int(cells.who[p]), int(cells.week[p])))
            for i, p in zip(np.flatnonzero(mask), place, strict=True)
        ]
        sums = cells.running(np.ones(len(cells), np.int64))
        for member in set(cells.who.tolist()):
            assert sums[cells.who == member].tolist() == list(range(1, 1 + np.count_nonzero(cells.who == member)))
    assert [cell[:2] for cell in found] == laid
    assert {cell[:2] for cell in found if cell[2]} == rows
    assert wanted == laid
    for fact, cell in since:
        assert cell == min(other for other in laid if other[0] == fact[0] and other[1] >= fact[1])
    reachable = {(who, week) for who, last in laid for week in range(-3, last + 1)}
    assert {fact for fact, _ in since} == reachable


def test_days_enrolled_leave_gaps_out_and_ages_are_completed_years():
    [cells] = cells_of(spells(), Rules())
    of_four = cells.who == 4
    assert cells.week[of_four].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert cells.enrolled[of_four].tolist() == [0, 7, 11, 11, 15, 22, 29, 33]
    assert cells.age[cells.who == 3].tolist() == [1] * 6, "born on the last day of 1968"
    assert set(cells.age[of_four].tolist()) == {UNKNOWN_AGE}


def test_text_is_trimmed_whatever_space_surrounds_it():
    said = ["a", " a", "a ", "\ta", "a\n", "\r a \f", "\va", "", "  ", None, "\u00e9", "a\u00a0b"]
    connection = ibis.duckdb.connect()
    connection.con.register("cells", pa.table({"place": range(len(said)), "said": said}))
    table = connection.table("cells")
    made = table.select(
        "place", cell_parsing.text(table.said), cell_parsing.capitals(table.said), cell_parsing.blank(table.said)
    )
    rows = connection.con.sql(connection.compile(made.order_by("place"))).fetchall()
    _, text, capitals, blank = (list(column) for column in zip(*rows, strict=True))
    assert text == [*["a"] * 7, None, None, None, "\u00e9", "a\u00a0b"]
    assert capitals == [*["A"] * 7, "", "", None, "\u00c9", "A\u00a0B"]
    assert blank == [*[False] * 7, True, True, True, False, False]


def test_codes_that_lost_leading_zeros_are_spelled_out():
    assert spellings("revenue", ["0450", "0001", "0000"]) == [
        "0450",
        "0001",
        "0000",
        "450",
        "001",
        "01",
        "1",
        "000",
        "00",
        "0",
    ]
    assert spellings("place", ["23", "02"]) == ["23", "02", "2"]
    assert spellings("hcpcs", ["00100"]) == ["00100"], "procedure codes keep theirs"


def test_months_and_days_are_those_of_the_calendar():
    days = np.arange(cell_parsing.FIRST_DAY, cell_parsing.LAST_DAY + 1)
    connection = ibis.duckdb.connect()
    connection.con.register("days", pa.table({"day": days}))
    made = connection.table("days")
    made = made.select("day", **dict(zip(("month", "of_month"), cell_parsing.month_and_day(made.day), strict=True)))
    found = np.array(connection.con.sql(connection.compile(made.order_by("day"))).fetchall())
    digits = calendar()[: len(days)]
    assert (found[:, 1] == digits // 10_000 * 12 + digits // 100 % 100 - 1).all()
    assert (found[:, 2] == digits % 100).all()


@pytest.mark.parametrize(
    "zone", ["America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kolkata", "UTC"]
)
def test_points_in_time_become_local_time(zone):
    _, changes = cell_parsing.zone_changes(zone)
    seconds = [before + later for before, _ in changes[:-1] for later in (-1, 0, 1)] + list(
        range(0, 2_500_000_000, 9_999_991)
    )
    connection = ibis.duckdb.connect()
    connection.con.register("times", pa.table({"second": pa.array(seconds, pa.timestamp("s", "UTC"))}))
    made = connection.table("times")
    made = made.select("second", local=cell_parsing.moment(made.second, "iso", zone).value)
    found = connection.con.sql(f"SELECT epoch(second)::BIGINT, local FROM ({connection.compile(made)})").fetchall()
    assert len(found) == len(seconds)
    for second, local in found:
        offset = datetime.fromtimestamp(second, UTC).astimezone(ZoneInfo(zone)).utcoffset()
        assert local - second == offset.total_seconds(), (zone, second)

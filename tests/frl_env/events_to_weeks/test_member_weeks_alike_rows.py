"""Rows that are alike, as spans given twice, are one spell and one stay, however many members there are."""

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("ibis")
pytest.importorskip("duckdb")
from frl_env.events_to_weeks.engine import open_engine
from frl_env.events_to_weeks.facts.coverage import make_coverage
from frl_env.events_to_weeks.facts.events import _joined_stays
from frl_env.events_to_weeks.rules import Rules

MEMBERS, ALIKE = 2_000, 60


@pytest.fixture
def opened(tmp_path):
    """An engine, and who has which days: two pieces of time a member, each `ALIKE` times, in no order."""
    engine = open_engine("duckdb", tmp_path / "stages")
    who = np.repeat(np.arange(MEMBERS), 2 * ALIKE)
    first = np.tile(np.repeat([0, 100], ALIKE), MEMBERS)
    order = np.random.default_rng(0).permutation(len(who))

    def table(name: str, **columns):
        engine._raw.register(f"arrow_{name}", pa.table(columns))
        engine._raw.execute(f"CREATE TABLE {name} AS FROM arrow_{name}").fetchall()
        return engine._connection.table(name)

    yield engine, table, who[order], first[order]
    engine.close()


def _of_members(engine, table, **sums):
    of_each = table.group_by("who").aggregate(rows=table.count(), **sums)
    return engine.rows(of_each.group_by(["rows", *sums]).aggregate(members=of_each.count()))


def test_spans_that_are_given_several_times_are_one_spell(opened):
    engine, table, who, first = opened
    names = who.astype(str)
    spans = table("spans", member=names, start=first, end=first + 50, dual=np.zeros(len(who), bool))
    numbers = table("whose", member=np.arange(MEMBERS).astype(str), who=np.arange(MEMBERS))
    coverage = make_coverage(engine, spans, numbers, None, frozenset(), Rules(), 10_000)
    assert _of_members(engine, coverage.spells) == [{"rows": 2, "members": MEMBERS}]


def test_stays_that_are_alike_are_one_and_all_their_parts_count(opened):
    engine, table, who, first = opened
    nobody = pa.nulls(len(who), pa.uint64())
    lines = table("lines", who=who, anchor=0 * who, key=nobody, start=first, end=first + 50, transfer=who < 0)
    stays = engine.keep("stays", _joined_stays(lines, Rules().events))
    assert _of_members(engine, stays, parts=stays.parts.min()) == [{"rows": 2, "parts": ALIKE, "members": MEMBERS}]

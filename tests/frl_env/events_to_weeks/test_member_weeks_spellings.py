"""What a cell means is worked out once a spelling, and rows get the same as if each were looked at."""

import pyarrow as pa
import pytest

pytest.importorskip("ibis")
pytest.importorskip("duckdb")
import pyarrow.parquet as pq

from frl_env.errors import UserError
from frl_env.events_to_weeks import EventTablesError, Spec, weeks
from frl_env.events_to_weeks.engine import open_engine
from frl_env.events_to_weeks.event_tables.spec import TableSpec
from frl_env.events_to_weeks.event_tables.spellings import FEW, spellings_of, with_meanings
from frl_env.events_to_weeks.facts import cell_parsing


@pytest.fixture
def opened(tmp_path):
    engine = open_engine("duckdb", tmp_path / "stages")

    def open_(**columns):
        pq.write_table(pa.table(columns), tmp_path / "raw.parquet")
        return engine, engine.open("raw", TableSpec(path=tmp_path / "raw.parquet"))

    yield open_
    engine.close()


def meanings(engine, raw, of):
    found = spellings_of(engine, "raw", raw, "code", lambda t: t.select("spelling", meaning=of(t.spelling)))
    rows = engine.rows(with_meanings(raw, {"it": found}).order_by("place"))
    return found, [row["it"] for row in rows]


@pytest.mark.parametrize("many", [1, FEW + 1])
def test_every_spelling_and_empty_cells_get_their_meaning(opened, many):
    wanted = [f"{number:04d}" for number in range(450, 450 + many)]
    cells = [*wanted, f" {wanted[0]} ", None, "", "x", "y", *(f"z{i}" for i in range(2 * FEW)), wanted[0]]
    engine, raw = opened(place=range(len(cells)), code=cells)

    def of(cell):
        text = cell_parsing.capitals(cell)
        return text.isin(wanted).ifelse(2, 0).fill_null(0).cast("int16") + cell.isnull().cast("int16")

    found, meant = meanings(engine, raw, of)
    assert (found.others is None) == (many > FEW), "more are joined"
    assert meant == [{None: 1}.get(cell, 2 * ((cell or "").strip() in wanted)) for cell in cells]


def test_numbers_with_fractions_are_joined_nan_too(opened):
    engine, raw = opened(place=range(4), code=[1.5, float("nan"), None, -0.0])
    found, meant = meanings(engine, raw, lambda cell: (cell == 1.5).fill_null(False).cast("int16") + 1)
    assert found.others is None
    assert meant == [2, 1, 1, 1]


def test_a_table_without_rows_has_no_spellings(opened):
    engine, raw = opened(place=pa.array([], pa.int64()), code=pa.array([], pa.string()))
    assert meanings(engine, raw, lambda cell: cell.notnull().cast("int16"))[1] == []


def test_keys_are_equal_where_trimmed_identifiers_are(opened):
    engine, raw = opened(place=range(5), code=["C1", " C1", "C1\t", "C2", "c1"])
    rows = engine.rows(raw.select("place", key=cell_parsing.trimmed(raw.code, engine.key)).order_by("place"))
    keys = [row["key"] for row in rows]
    assert keys[0] == keys[1] == keys[2]
    assert len(set(keys)) == 3


def test_a_code_that_is_none_stops_the_conversion(tmp_path):
    """Codes are looked at by their spellings alone; a fault there must still be counted by rows."""
    for name, columns in {
        "enrolment": {"m": ["a"], "s": ["2024-01-01"], "e": [""]},
        "claims": {"m": ["a"] * 3, "c": ["1", "2", "3"], "s": ["2024-01-02"] * 3, "r": [450.0, 450.5, 450.5]},
        "contacts": {"m": ["a"], "t": ["2024-01-02"], "o": ["reached"]},
    }.items():
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    (tmp_path / "spec.toml").write_text(
        """
[tables.enrolment]
path = "enrolment.parquet"
member = "m"
start = "s"
end = "e"
[tables.claims]
path = "claims.parquet"
member = "m"
claim = "c"
start = "s"
revenue = "r"
[tables.contacts]
path = "contacts.parquet"
member = "m"
time = "t"
outcome = "o"
"""
    )
    with pytest.raises(EventTablesError) as problem:
        weeks(Spec.read(tmp_path / "spec.toml"), check_only=True)
    assert isinstance(problem.value, UserError)
    assert [(fault.column, fault.rows) for fault in problem.value.faults if fault.table == "claims"] == [("revenue", 2)]

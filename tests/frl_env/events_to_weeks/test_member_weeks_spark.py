"""On Spark the same expressions give the same bytes. Skipped where PySpark or Java is missing."""

import importlib.util
import json
import shutil
import subprocess
import sys
import warnings

import pandas as pd
import pytest

pytest.importorskip("ibis")
pytest.importorskip("duckdb")

import ibis
import test_member_weeks_histories as histories

from frl_env.events_to_weeks import weeks
from frl_env.events_to_weeks.facts import cell_parsing
from frl_env.events_to_weeks.facts.coverage import week_of

WITHOUT = importlib.util.find_spec("pyspark") is None or shutil.which("java") is None

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1_800),
    pytest.mark.skipif(WITHOUT, reason="needs PySpark and Java: pip install pyspark, Java 17"),
    pytest.mark.filterwarnings("ignore"),  # PySpark's own
]


@pytest.fixture(scope="module")
def session():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pyspark.sql import SparkSession

        builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
        builder = builder.config("spark.sql.shuffle.partitions", "2").config("spark.log.level", "ERROR")
        started = builder.config("spark.sql.session.timeZone", "America/Chicago").getOrCreate()
    yield started
    started.stop()


def test_every_history_is_in_a_group_that_runs_here():
    assert sorted(one.name for group in histories.GROUPS.values() for one in group) == sorted(
        one.name for one in histories.HISTORIES
    )


@pytest.mark.parametrize("rules", histories.GROUPS)
def test_histories_give_the_right_member_weeks_and_the_same_bytes(rules, session, tmp_path):
    spec = histories.write_histories(tmp_path, histories.GROUPS[rules], json.loads(rules))
    weeks(spec, tmp_path / "duckdb.parquet")
    weeks(spec, tmp_path / "spark.parquet", engine="spark", master="local[2]")
    assert (tmp_path / "spark.parquet").read_bytes() == (tmp_path / "duckdb.parquet").read_bytes()
    table = pd.read_parquet(tmp_path / "spark.parquet")
    for history in histories.GROUPS[rules]:
        assert histories.shown(table[table["member_id"] == history.name]) == histories.right(history), history.name
    assert session.conf.get("spark.sql.session.timeZone") == "America/Chicago", "the caller's zone is as it was"


CELLS = {
    "days of text, whatever the zone of the session": (
        ["2024-02-29", "2024-02-30", "2024-1-5", "2024-03-10T00:30:00-05:00", "x", ""],
        lambda column: cell_parsing.day(column, "iso").value,
    ),
    "American dates": (
        ["1/31/2024", "12/1/2024", "31/1/2024", "2024-01-31"],
        lambda c: cell_parsing.day(c, "us").value,
    ),
    "points in time with and without a zone": (
        ["2024-03-10T06:59:59Z", "2024-03-10 07:00:00+00:00", "2024-03-09T23:59:59", "2024-07-01T00:30:00.9-0500"],
        lambda column: cell_parsing.moment(column, "iso", "America/Chicago").value,
    ),
    "midnights, not whole days: weeks of a time": (
        ["2024-01-01 23:59", "2024-01-07 18:59", "2024-01-08 00:00", "1969-12-28 10:00"],
        lambda column: week_of(cell_parsing.moment(column, "iso", "").value // 86_400, -3),
    ),
    "halves of cents, and numbers that are none": (
        ["2.345", "-2.345", "1e3", ".5", "1,000", "nan", "Infinity", "7."],
        lambda column: cell_parsing.amount(column).value,
    ),
    "whole-number division below zero": (["-1", "-7", "-8", "6"], lambda column: week_of(column.cast("int64"), 0)),
    "identifiers keep their zeros, and lose space at their ends": (
        ["02139", " 2139 ", "", "39\t", "39\v", "39\f", "39\r\n", "39\u00a0"],
        lambda column: cell_parsing.identifier(column).value,
    ),
    "flags": (["Y", "no", "1", "maybe"], lambda column: cell_parsing.flag(column).value),
    "calendar of days, before 1970 as well": (
        ["-25567", "-1", "0", "11016", "19782"],
        lambda column: cell_parsing.month_and_day(column.cast("int64"))[0],
    ),
    "a sum of a group without values is not zero by itself": (
        ["", "1"],
        lambda column: cell_parsing.amount(column).value.fill_null(0),
    ),
}


@pytest.mark.parametrize("name", CELLS)
def test_an_expression_gives_the_same_on_both(name, session):
    cells, expression = CELLS[name]
    frame = pd.DataFrame({"place": range(len(cells)), "cell": cells})
    session.conf.set("spark.sql.session.timeZone", "UTC")
    session.createDataFrame(list(frame.itertuples(index=False, name=None)), ["place", "cell"]).createOrReplaceTempView(
        "cells"
    )
    duckdb = ibis.duckdb.connect()
    duckdb.con.register("cells", frame)
    found = []
    for connection in (duckdb, ibis.pyspark.connect(session)):
        table = connection.table("cells")
        made = table.select("place", value=expression(table.cell)).order_by("place")
        if connection is duckdb:
            found.append([row[1] for row in connection.con.sql(connection.compile(made)).fetchall()])
        else:
            found.append([row["value"] for row in session.sql(connection.compile(made)).collect()])
    assert found[0] == found[1]
    assert any(value is not None for value in found[0])


def test_without_pyspark_one_line_says_what_to_install(tmp_path):
    script = (
        "import sys; sys.modules['pyspark'] = None\n"
        "from pathlib import Path\nfrom frl_env.events_to_weeks.engine import open_engine\n"
        "open_engine('spark', Path(sys.argv[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)
    assert "UserError: --engine spark needs PySpark and Java 17; install them with" in done.stderr

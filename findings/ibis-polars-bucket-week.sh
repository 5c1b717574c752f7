#!/usr/bin/env bash
# Ibis 12.0.0 with DuckDB 2.0.1 and Polars 2.1.0: `bucket(weeks=1)` makes weeks from Thursday on DuckDB, as the page of
# `bucket` says (from the Unix epoch, a Thursday), and weeks from Monday on Polars. `bucket(days=7)` makes weeks from
# Thursday on both. DuckDB's own `time_bucket` of a week starts on Monday, as does `truncate("W")` everywhere.
#
# Seen:      events of Monday to Sunday, 1 to 7 January 2024, a day each:
#            weeks=1: DuckDB 3 + 4, Polars 7; days=7: DuckDB 3 + 4, Polars 3 + 4; DuckDB's own time_bucket 7
# For us:    weeks are whole days since a member's first day, divided by 7; nothing is bucketed
#            (`week_of` in frl_env/events_to_weeks/facts/coverage.py).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'ibis-framework[duckdb,polars]==12.0.0' duckdb==2.0.1 \
  polars==2.1.0 pyarrow==26.0.1 numpy==2.4.6 pandas==3.1.1 sqlglot==30.30.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
from datetime import datetime

import duckdb
import ibis
import polars as pl

events = pl.DataFrame({"moment": [datetime(2024, 1, day, 12) for day in range(1, 8)]})
engines = {"DuckDB": ibis.duckdb.connect(), "Polars": ibis.polars.connect()}
table = ibis.memtable(events)


def counts(engine, start):
    """Weekday of the weeks' start, and events a week."""
    weeks = table.select(week=start).group_by("week").agg(events=ibis._.count()).order_by("week")
    weeks = engines[engine].execute(weeks)
    (weekday,) = set(weeks["week"].dt.day_name())
    return weekday, [int(count) for count in weeks["events"]]


found = {
    (name, engine): counts(engine, start)
    for name, start in (
        ("weeks=1", table["moment"].bucket(weeks=1)), ("days=7", table["moment"].bucket(days=7)),
        ("truncate", table["moment"].truncate("W")),
    )
    for engine in engines
}
own = [
    (start.strftime("%A"), count) for start, count in duckdb.sql(
        "select time_bucket(interval 1 week, moment) as week, count(*) from events group by week order by week"
    ).fetchall()
]
for (name, engine), (weekday, events_a_week) in found.items():
    print(f"{name} on {engine}: from {weekday}, {' + '.join(map(str, events_a_week))} events")
print(f"DuckDB's own time_bucket: from {own[0][0]}, {' + '.join(str(count) for _, count in own)} events")
thursday, monday = ("Thursday", [3, 4]), ("Monday", [7])
expected = {
    ("weeks=1", "DuckDB"): thursday, ("weeks=1", "Polars"): monday, ("days=7", "DuckDB"): thursday,
    ("days=7", "Polars"): thursday, ("truncate", "DuckDB"): monday, ("truncate", "Polars"): monday,
}
raise SystemExit(0 if found == expected and own == [("Monday", 7)] else 1)
PYTHON

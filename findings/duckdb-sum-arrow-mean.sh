#!/usr/bin/env bash
# DuckDB 2.0.1 with pyarrow 26.0.1: a sum of whole numbers leaves DuckDB as a decimal without places, and Arrow's mean of
# decimals keeps their places. So the mean of counts is a whole number, also grouped and in pandas 3.1.1 with Arrow
# types; DuckDB's own is a fraction.
#
# Seen:      events of four members 0, 0, 0, 1 as decimal128(38, 0); mean in DuckDB 0.25, Arrow 0, pandas 0
#            of two 0, 1: Arrow 1
# For us:    sums become int64 before anything is computed of them (`frl_env/events_to_weeks/facts/cells.py`).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.1 pyarrow==26.0.1 pandas==3.1.1 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import duckdb
import pandas as pd
import pyarrow.compute as pc

con = duckdb.connect()
con.execute("create table weeks as select * from (values (1, 0), (2, 0), (3, 0), (4, 1), (4, 0)) weeks(member, events)")
counts = con.sql("select member, sum(events) as events from weeks group by member order by member")
table = counts.to_arrow_table()
events, kind = [int(count) for count in table["events"].to_pylist()], str(table.schema.field("events").type)
(own,) = con.execute(f"select avg(events) from ({counts.sql_query()})").fetchone()
arrow = pc.mean(table["events"]).as_py()
grouped = table.group_by([]).aggregate([("events", "mean")])["events_mean"][0].as_py()
pandas = table.to_pandas(types_mapper=pd.ArrowDtype)["events"].mean()
pair = pc.mean(table["events"][2:]).as_py()
print(f"events of four members {', '.join(map(str, events))} as {kind}; mean in DuckDB {own}, Arrow {arrow}, pandas {pandas}")
print(f"of two {events[2]}, {events[3]}: Arrow {pair}")
raise SystemExit(0 if (events, own, arrow, grouped, pandas, pair) == ([0, 0, 0, 1], 0.25, 0, 0, 0, 1) else 1)
PYTHON

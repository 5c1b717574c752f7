#!/usr/bin/env bash
# ibis 12.0.0: `first(include_null=True)` over a window is null where the first row has no value, on DuckDB 2.0.1. For
# PySpark 4.3.0 the SQL says IGNORE NULLS all the same, and the first value that is there comes: what the newest row has
# emptied, an older one brings back. Needs Java 17.
#
# Seen:      duckdb: None, None; SQL FIRST_VALUE("t0"."content")
#            pyspark: stay, stay; SQL IGNORE NULLS
# For us:    the last adjustment of a claim is found by its rank and a join (`frl_env/events_to_weeks/facts/claims.py`); with
#            the window, events that were voided came back on Spark (tests/frl_env/events_to_weeks/
#            test_member_weeks_histories.py on both engines, slow).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'ibis-framework[duckdb]==12.0.0' duckdb==2.0.1 pyspark==4.3.0 pandas==3.1.1 pyarrow==26.0.1 sqlglot==30.30.0
cd "$work"
"$work/venv/bin/python" - 2> "$work/log" <<'PYTHON' || { cat "$work/log"; exit 1; }
import ibis
import pyarrow as pa
from pyspark.sql import SparkSession

lines = [(1, "stay"), (2, None)]
session = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
session.createDataFrame(lines, "turn int, content string").createOrReplaceTempView("lines")
duckdb = ibis.duckdb.connect()
duckdb.con.register("lines", pa.table({"turn": [1, 2], "content": ["stay", None]}))
seen = {}
for name, engine in (("duckdb", duckdb), ("pyspark", ibis.pyspark.connect(session))):
    table = engine.table("lines")
    newest = ibis.window(order_by=ibis.desc("turn"))
    asked = table.select("turn", last=table.content.first(include_null=True).over(newest)).order_by("turn")
    seen[name] = [row["last"] for row in asked.to_pyarrow().to_pylist()]
    sql = " ".join(ibis.to_sql(asked, dialect=name).split())
    kept = "IGNORE NULLS" if "IGNORE NULLS" in sql else "FIRST" + sql.partition("FIRST")[2].partition(" OVER")[0]
    print(f"{name}: {', '.join(map(str, seen[name]))}; SQL {kept}")
raise SystemExit(0 if seen == {"duckdb": [None, None], "pyspark": ["stay", "stay"]} else 1)
PYTHON

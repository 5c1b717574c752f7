#!/usr/bin/env bash
# ibis 12.0.0 on DuckDB 2.0.1: `create_table(name, rows, overwrite=True)` fails with a parser error also where no table
# of that name is there: its "DROP TABLE IF EXISTS" comes without a name. Without `overwrite` the table is made.
#
# Seen:      without: [1, 2]; with overwrite: ParserException at "EXISTS"
# For us:    stages of `frl weeks` are made by SQL of our own (`frl_env/events_to_weeks/engine.py`).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'ibis-framework[duckdb]==12.0.0' duckdb==2.0.1 pyarrow==26.0.1 sqlglot==30.30.0
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import duckdb
import ibis

con = ibis.duckdb.connect()
rows = ibis.memtable({"a": [1, 2]})
made = con.create_table("first", rows).to_pyarrow()["a"].to_pylist()
try:
    con.create_table("second", rows, overwrite=True)
    told = "made"
except duckdb.ParserException as problem:
    told = f'ParserException at "{str(problem).split(chr(34))[1]}"'
print(f"without: {made}; with overwrite: {told}")
raise SystemExit(0 if (made, told) == ([1, 2], 'ParserException at "EXISTS"') else 1)
PYTHON

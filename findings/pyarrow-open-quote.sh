#!/usr/bin/env bash
# pyarrow 26.0.1 reads a CSV file with a quote that is never closed without a word: with values over several lines
# allowed, all lines after it become one value of one row.
#
# Seen:      rows 2 of 5, the last value holds 4 lines
# For us:    `frl import` counts lines itself and names the line in which such a quote opens.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1
"$work/venv/bin/python" - <<'PYTHON'
import io

import pyarrow.csv as csv

text = 'member,note\na,"fine"\nb,"left open\nc,fine\nd,fine\ne,fine\n'
options = csv.ParseOptions(newlines_in_values=True)
table = csv.read_csv(io.BytesIO(text.encode()), parse_options=options)
last = table.column("note").to_pylist()[-1]
print(f"rows {len(table)} of 5, the last value holds {last.count(chr(10)) + (not last.endswith(chr(10)))} lines")
raise SystemExit(0 if len(table) == 2 and "e,fine" in last else 1)
PYTHON

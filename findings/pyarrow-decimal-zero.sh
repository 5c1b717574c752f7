#!/usr/bin/env bash
# pyarrow 26.0.1 writes a decimal zero of many places as "0E-10" when it is cast to text, where other decimals of the same
# column keep their places: codes that a warehouse exports as decimals change their form for one value only.
#
# Seen:      ['1.0000000000', '0E-10']
# For us:    `frl import` reads levels from decimals as numbers, never as their text.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1
"$work/venv/bin/python" - <<'PYTHON'
from decimal import Decimal

import pyarrow as pa

codes = pa.array([Decimal(1), Decimal(0)], type=pa.decimal128(38, 10))
said = codes.cast(pa.string()).to_pylist()
print(said)
raise SystemExit(0 if said == ["1.0000000000", "0E-10"] else 1)
PYTHON

#!/usr/bin/env bash
# pyarrow 26.0.1 casts a timestamp with a zone to one without by its time in UTC, not by the clock of the zone, so that
# midnight in Berlin becomes the day before. `pyarrow.compute.local_timestamp` keeps the clock.
#
# Seen:      cast 2026-12-06 23:00:00, local_timestamp 2026-12-07 00:00:00
# For us:    weeks of a table with zones are taken by the clock (`frl import`), so that no member's week slips.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1 tzdata==2026.6
"$work/venv/bin/python" - <<'PYTHON'
import datetime
import zoneinfo

import pyarrow as pa
import pyarrow.compute as pc

berlin = datetime.datetime(2026, 12, 7, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
stamps = pa.array([berlin], type=pa.timestamp("s", tz="Europe/Berlin"))
cast = stamps.cast(pa.timestamp("s"))[0].as_py()
local = pc.local_timestamp(stamps)[0].as_py()
print(f"cast {cast}, local_timestamp {local}")
raise SystemExit(0 if (cast.day, cast.hour, local.day, local.hour) == (6, 23, 7, 0) else 1)
PYTHON

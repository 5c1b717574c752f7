#!/usr/bin/env bash
# pandas 3.1.1: `read_sas` reads a 0 of a SAS transport file (.xpt) as 5.4e-79. Sums and means don't show it. But it is
# above 0, and is no 0: every week had an event, and none had none. Public health surveys come as such files.
# pyreadstat 1.3.7 reads the same file right.
#
# Seen:      events of four weeks 0, 1, 0, 2: read as 5.397605346934028e-79, 1.0, 5.397605346934028e-79, 2.0
#            share of weeks with an event 1.0; of weeks without 0.0; mean 0.75; read by pyreadstat 0.5, 0.5, 0.75
# Read:      github.com/pandas-dev/pandas/issues/50670, open
# For us:    tables are CSV and Parquet. One that was made of such a file is refused: its counts are no whole numbers
#            (`frl_env/datasets/table_import/checking/reader.py`).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pandas==3.1.1 pyreadstat==1.3.7 numpy==2.4.6 \
  narwhals==2.29.0
cd "$work"
"$work/venv/bin/python" -W error - <<'PYTHON'
import pandas as pd
import pyreadstat

weeks = pd.DataFrame({"events": [0.0, 1.0, 0.0, 2.0]})
pyreadstat.write_xport(weeks, "weeks.xpt", file_format_version=5, table_name="WEEKS")
found = {"pandas": pd.read_sas("weeks.xpt")["events"], "pyreadstat": pyreadstat.read_xport("weeks.xpt")[0]["events"]}
shares = {}
for reader, events in found.items():
    shares[reader] = float((events > 0).mean()), float((events == 0).mean()), float(events.mean())
    print(f"{reader}: {', '.join(map(str, events.tolist()))}; with an event {shares[reader][0]}, "
          f"without {shares[reader][1]}, mean {shares[reader][2]}")
raise SystemExit(0 if shares == {"pandas": (1.0, 0.0, 0.75), "pyreadstat": (0.5, 0.5, 0.75)} else 1)
PYTHON

#!/usr/bin/env bash
# pyreadstat 1.3.7 with pandas 3.1.1: days are read as Python dates, which `pandas.to_datetime` turns into
# `datetime64[s]`. NumPy's days become that in a table, too. pyreadstat writes every day of such a column as 1970-01-01
# to SAS, SPSS and Stata files, without a word. The same days as `datetime64[us]`, which `pandas.to_datetime` makes of
# text, are written right.
#
# Seen:      weeks of 2024-01-01, unknown, 2024-01-15: as Python dates right; as datetime64[s] 1970-01-01, NaT,
#            1970-01-01; as datetime64[us] right; in all three formats
# For us:    tables are CSV and Parquet, and no day of ours leaves through pyreadstat.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pyreadstat==1.3.7 pandas==3.1.1 numpy==2.4.6 \
  narwhals==2.29.0
cd "$work"
"$work/venv/bin/python" -W error - <<'PYTHON'
import datetime

import pandas as pd
import pyreadstat

formats = {
    "weeks.xpt": (pyreadstat.write_xport, pyreadstat.read_xport),
    "weeks.sav": (pyreadstat.write_sav, pyreadstat.read_sav),
    "weeks.dta": (pyreadstat.write_dta, pyreadstat.read_dta),
}
days, seen = pd.Series([datetime.date(2024, 1, 1), None, datetime.date(2024, 1, 15)], name="week"), True
for file, (write, read) in formats.items():

    def back(column, file=file, write=write, read=read):
        write(column.to_frame(), file)
        return read(file)[0]["week"]

    def said(column):
        return [str(day)[:10] for day in pd.to_datetime(column)]

    dates = back(days)
    stamps = pd.to_datetime(dates)
    fine = stamps.astype("datetime64[us]")
    again, other = said(back(stamps)), said(back(fine))
    print(f"{file}: {', '.join(said(dates))}; written again as {stamps.dtype} {', '.join(again)}; "
          f"as {fine.dtype} {', '.join(other)}")
    seen &= str(stamps.dtype) == "datetime64[s]" and again == ["1970-01-01", "NaT", "1970-01-01"]
    seen &= said(dates) == other == ["2024-01-01", "NaT", "2024-01-15"]
raise SystemExit(0 if seen else 1)
PYTHON

#!/usr/bin/env bash
# es-aces 0.7.3 (ACES, which cuts cohorts and labels from MEDS): `end: start -> admission` is a window until the next
# admission. Its guide says that with `start_inclusive: False` the admission at the start is not taken for the end, too.
# It is, unless `end_inclusive` is false. With the start out and the end in, as in its sample tasks, each window ends
# where it starts: nothing is in it, and all labels are 0. With both out it is the window that was meant.
#
# Seen:      admissions on days 1, 20 and 40, an emergency visit on day 5; from an admission to the next
#            start out, end in: 1 to 1, 20 to 20, 40 to 40; visits 0, 0, 0
#            start out, end out: 1 to 20, 20 to 40; visits 1, 0; and a row of the last, with nothing in it
#            with the start in, the same
# Read:      docs/source/configuration.md of github.com/justin13601/ACES, on `start_inclusive` and `end_inclusive`
# For us:    weeks are of seven days and end at no event; what ends a stay of MEDS is a discharge, by a rule of our own
#            (frl_env/events_to_weeks/readers/meds.py).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check es-aces==0.7.3 meds==0.4.1 polars==1.44.2 \
  pyarrow==26.0.1 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - 2>/dev/null <<'PYTHON'
from datetime import datetime, timedelta

import polars as pl
from aces.config import EventConfig, PlainPredicateConfig, TaskExtractorConfig, WindowConfig
from aces.query import query

days = {1: "admission", 5: "visit", 20: "admission", 40: "admission"}
events = pl.DataFrame(
    {
        "subject_id": [1] * len(days), "timestamp": [datetime(2024, 1, 1) + timedelta(days=day - 1) for day in days],
        "admission": [int(code == "admission") for code in days.values()],
        "visit": [int(code == "visit") for code in days.values()], "_ANY_EVENT": [1] * len(days),
    }
)


def day(time):
    return (time - datetime(2024, 1, 1)).days + 1


def windows(start_inclusive, end_inclusive):
    """First day, last day and label of each window; rows without a window."""
    task = TaskExtractorConfig(
        predicates={name: PlainPredicateConfig(name) for name in ("admission", "visit")},
        trigger=EventConfig("admission"),
        windows={
            "target": WindowConfig(
                start="trigger", end="start -> admission", start_inclusive=start_inclusive,
                end_inclusive=end_inclusive, label="visit",
            )
        },
    )
    found = query(task, events)
    empty = found["trigger"].null_count()  # rows of admissions that no other follows
    found = found.drop_nulls("trigger").sort("trigger")
    ends = found["target.end_summary"].struct.field("timestamp_at_end")
    return [(day(low), day(high), label) for low, high, label in zip(found["trigger"], ends, found["label"])], empty


def said(found, empty):
    days = ", ".join(f"{low} to {high}" for low, high, _ in found)
    return f"{days}; visits {', '.join(str(visits) for _, _, visits in found)}; empty rows {empty}"


at_once, meant = ([(1, 1, 0), (20, 20, 0), (40, 40, 0)], 0), ([(1, 20, 1), (20, 40, 0)], 1)
seen = {(start, end): windows(start, end) for start in (False, True) for end in (False, True)}
for (start, end), found in seen.items():
    print(f"start {'in' if start else 'out'}, end {'in' if end else 'out'}: {said(*found)}")
raise SystemExit(0 if all(found == (at_once if end else meant) for (_, end), found in seen.items()) else 1)
PYTHON

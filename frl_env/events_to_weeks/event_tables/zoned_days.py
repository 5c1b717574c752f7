"""Days of claims and spans that have a time of day and a zone: it is said which day counts, as it may be the wrong one.

    2024-01-31T20:00:00-05:00    text: the day that is written, 2024-01-31
                                 a point in time: its day in UTC, 2024-02-01

Of midnights nothing is said: they mostly stand for a day.
"""

from collections.abc import Mapping
from typing import Any

import ibis
import ibis.expr.types as ir

from frl_env.events_to_weeks.event_tables.contract import DAY, TABLES

LOOKED_AT = 1_000
"""Rows of a table that are looked at: whoever writes a zone writes it in every row."""

_ZONE = r"\d:\d{2}(:\d{2}([.]\d+)?)?\s?([AaPp][Mm])?\s*([Zz]|[+-]\d{2}(:?\d{2})?)\s*$"
_MIDNIGHT = r"[T ]0?0:00(:00([.]0+)?)?\s*([Zz]|[+-]\d{2}(:?\d{2})?)\s*$"


def zoned_days(engine: Any, raws: Mapping[str, ir.Table]) -> list[str]:
    """A sentence for each table and kind of column of which days have a time of day and a zone.

    Args:
        engine: Where.
        raws: Raw tables with our column names, by label.
    """
    said = []
    for label, raw in raws.items():
        days = [item.name for item in TABLES[label] if item.kind == DAY and item.name in raw.columns]
        typed = [name for name in days if raw[name].type().is_timestamp() and raw[name].type().timezone is not None]
        text = [name for name in days if raw[name].type().is_string()]
        if not typed and not text:
            continue
        some = raw.select(*typed, *text).limit(LOOKED_AT)
        masks = {
            name: (some[name].hour() * 3600 + some[name].minute() * 60 + some[name].second()) > 0 for name in typed
        }
        masks |= {name: some[name].re_search(_ZONE) & ~some[name].re_search(_MIDNIGHT) for name in text}
        counts = {name: ibis.ifelse(mask, 1, 0).sum().fill_null(0) for name, mask in masks.items()}
        found = engine.row(some.aggregate(**counts))
        for columns, which in (
            (typed, "they count as their day in UTC, and an evening may be the next day there"),
            (text, "the day that is written counts, whatever the zone"),
        ):
            zoned = [name for name in columns if found[name]]
            if zoned:
                said.append(
                    f"table {label} has times of day with a time zone in {' and '.join(zoned)}, where days are meant: "
                    f"{which}; write days of the plan's zone if these are others"
                )
    return said

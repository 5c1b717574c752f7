"""Words of a source that have no target yet, as far as they may be told.

A word that many members share can be about none of them. Others are counted and not shown.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import ibis
import ibis.expr.types as ir

from frl_env.evaluation.privacy.suppression import SMALLEST
from frl_env.events_to_weeks.event_tables.reading import UNKNOWN, word_code
from frl_env.events_to_weeks.event_tables.spec import Spec
from frl_env.events_to_weeks.facts import cell_parsing
from frl_env.events_to_weeks.faults import Fault

MOST_WORDS = 50
"""Words that are listed, of each column."""

EMPTY = ""
"""In place of a word, where the cell is empty."""


def common_words(engine: Any, said: ir.Table) -> list[tuple[str, int]]:
    """Words that many members share, with the number of rows; the most frequent first.

    Of words that differ in capitals alone the most frequent stands for all, as one target does for them.

    Args:
        engine: Where.
        said: `word` (null for an empty cell) and `member`, a row each time that a word without a target was said.
    """
    counted = said.group_by(word=said.word.fill_null(EMPTY)).aggregate(rows=said.count(), people=said.member.nunique())
    counted = counted.filter((counted.people >= SMALLEST) & (counted.rows >= SMALLEST))
    rows = engine.rows(counted.order_by([ibis.desc("rows"), "word"]).limit(MOST_WORDS))
    joined: dict[str, tuple[str, int]] = {}
    for row in rows:
        word, so_far = joined.get(str(row["word"]).upper(), (str(row["word"]), 0))
        joined[word.upper()] = word, so_far + int(row["rows"])
    return sorted(joined.values(), key=lambda each: -each[1])


def words_of_faults(
    engine: Any, raws: Mapping[str, ir.Table], faults: Iterable[Fault], spec: Spec
) -> list[tuple[str, str, int]]:
    """Column, word and rows of the words that made a table's cells unknown; those of the contact log are known already.

    Args:
        engine: Where.
        raws: Tables as they were read, by label.
        faults: What is wrong.
        spec: For the crosswalks.
    """
    found = []
    for fault in faults:
        if fault.kind != "unknown word" or fault.table == "contacts":
            continue
        raw = raws[fault.table]
        cell = cell_parsing.text(raw[fault.column])
        member = cell_parsing.identifier(raw.member)
        if member is None:
            continue
        code = word_code(cell.upper(), spec.crosswalk[fault.column])
        said = raw.select(word=cell, member=member.value, code=code)
        found += [(fault.column, word, rows) for word, rows in common_words(engine, said.filter(said.code == UNKNOWN))]
    return found

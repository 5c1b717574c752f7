"""Where a conclusion turns: at which settings of what data can't settle another one would be drawn.

A *conclusion* is what an interval of the difference to behaviour says: the policy is better (above 0), worse (below 0),
or neither. Rows that use another estimator, because a Q is of the whole reward, are compared with their own first row,
whose conclusion may be another one than that of the whole: the sentence says so.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

BASE = "as evaluated"
CONFOUNDING = "hidden confounding"
OWN_BASE = ((CONFOUNDING,), ("run-out", "reward"))
"""Kinds of rows by an estimator of their own, those with the same together; the first row of them is as evaluated."""

ROUNDING = 1e-9
"""Limits so near to 0 are 0: the behaviour policy itself has no difference, but its sums differ by such numbers."""


def conclusion(low: float, high: float) -> str:
    """What an interval of the difference says: "better", "worse" or "undecided"."""
    return "better" if low > ROUNDING else "worse" if high < -ROUNDING else "undecided"


def turning_points(table: pd.DataFrame, own: Sequence[Sequence[str]] = OWN_BASE) -> dict[str, list[str]]:
    """By what is varied, the settings at which the conclusion is another one; none where there is none.

    Args:
        table: Of `frl_env.evaluation.Sensitivity`.
        own: Kinds of rows by estimators of their own, as in `OWN_BASE`.
    """
    rows = _concluded(table)
    base = next(found for what, _, found in rows if what == BASE)
    bases = {kind: found for kinds, (_, _, found) in _own_first(rows, own) for kind in kinds}
    turned: dict[str, list[str]] = {what: [] for what, _, _ in rows if what != BASE}
    for what, setting, found in rows:
        if what != BASE and found != bases.get(what, base):
            turned[what].append(setting)
    return turned


def turning_sentence(
    table: pd.DataFrame, turned: Mapping[str, list[str]], own: Sequence[Sequence[str]] = OWN_BASE
) -> str:
    """The conclusion, and where it turns, in words.

    Args:
        table: Of `frl_env.evaluation.Sensitivity`.
        turned: Of `turning_points`.
        own: As there.
    """
    first = table[table["what"] == BASE].iloc[0]
    found = conclusion(first["low"], first["high"])
    said = {
        "better": "the policy is better than what was done",
        "worse": "the policy is worse than what was done",
        "undecided": "the interval holds 0, so that nothing is decided",
    }
    told = f"By {first['setting']}, {said[found]} ({_shown(first['difference'])}, "
    told += f"{_shown(first['low'])} to {_shown(first['high'])})"
    unlike = [
        f"{said[other]} ({what}: {setting})"
        for _, (what, setting, other) in _own_first(_concluded(table), own)
        if other != found
    ]
    if unlike:
        told += f". By estimators of their own, before anything is varied, {'; '.join(unlike)}"
    turns = [
        f"{what} ({'from ' + at[0] if what == CONFOUNDING else ', '.join(at)})" for what, at in turned.items() if at
    ]
    holds = [what for what, at in turned.items() if not at]
    if not turns and unlike:
        return f"{told}. No setting that was tried draws another conclusion than the row that it varies."
    if not turns:
        return f"{told}; no setting that was tried says otherwise."
    kept = f", and not with {', '.join(holds)}" if holds else ""
    return f"{told}. Compared with the row that it varies, another conclusion is drawn with {'; '.join(turns)}{kept}."


def _concluded(table: pd.DataFrame) -> list[tuple[str, str, str]]:
    """What is varied, the setting, and the conclusion, of every row."""
    said = [conclusion(low, high) for low, high in zip(table["low"], table["high"], strict=True)]
    return list(zip(table["what"], table["setting"], said, strict=True))


def _own_first(
    rows: Sequence[tuple[str, str, str]], own: Sequence[Sequence[str]]
) -> list[tuple[Sequence[str], tuple[str, str, str]]]:
    """For kinds of rows by an estimator of their own, where there are any: the first of these rows."""
    found = [(kinds, next((row for row in rows if row[0] in kinds), None)) for kinds in own]
    return [(kinds, first) for kinds, first in found if first is not None]


def _shown(number: float) -> str:
    """A number with its sign; what is rounding is 0."""
    return f"{0.0 if abs(number) <= ROUNDING else number:+.4g}"

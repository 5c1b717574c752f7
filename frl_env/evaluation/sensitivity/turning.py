"""Where a conclusion turns: at which settings of what data can't settle another one would be drawn.

A *conclusion* is what an interval of the difference to behaviour says: the policy is better (above 0), worse (below 0),
or neither. Rows that use another estimator, because a Q is of the whole reward, are compared with their own first row,
whose conclusion may be another one than that of the whole.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

BASE = "as evaluated"
CONFOUNDING = "hidden confounding"
OWN_BASE = ((CONFOUNDING,), ("run-out", "reward"))
"""Kinds of rows by an estimator of their own, those with the same together; the first row of them is as evaluated."""


def conclusion(low: float, high: float) -> str:
    """What an interval of the difference says: "better", "worse" or "undecided"."""
    return "better" if low > 0 else "worse" if high < 0 else "undecided"


def turning_points(table: pd.DataFrame, own: Sequence[Sequence[str]] = OWN_BASE) -> dict[str, list[str]]:
    """By what is varied, the settings at which the conclusion is another one; none where there is none.

    Args:
        table: Of `frl_env.evaluation.Sensitivity`.
        own: Kinds of rows by estimators of their own, as in `OWN_BASE`.
    """
    said = [conclusion(low, high) for low, high in zip(table["low"], table["high"], strict=True)]
    rows = list(zip(table["what"], table["setting"], said, strict=True))
    base = next(found for what, _, found in rows if what == BASE)
    bases = {}
    for kinds in own:
        first = next((found for what, _, found in rows if what in kinds), base)
        bases |= dict.fromkeys(kinds, first)
    turned: dict[str, list[str]] = {what: [] for what, _, _ in rows if what != BASE}
    for what, setting, found in rows:
        if what != BASE and found != bases.get(what, base):
            turned[what].append(setting)
    return turned


def turning_sentence(table: pd.DataFrame, turned: Mapping[str, list[str]]) -> str:
    """The conclusion, and where it turns, in words.

    Args:
        table: Of `frl_env.evaluation.Sensitivity`.
        turned: Of `turning_points`.
    """
    first = table[table["what"] == BASE].iloc[0]
    found = conclusion(first["low"], first["high"])
    said = {
        "better": "the policy is better than what was done",
        "worse": "the policy is worse than what was done",
        "undecided": "the interval holds 0, so that nothing is decided",
    }[found]
    told = f"By {first['setting']}, {said} ({first['difference']:+.4g}, {first['low']:+.4g} to {first['high']:+.4g})"
    turns = [
        f"{what} ({'from ' + at[0] if what == CONFOUNDING else ', '.join(at)})" for what, at in turned.items() if at
    ]
    holds = [what for what, at in turned.items() if not at]
    if not turns:
        return f"{told}; no setting that was tried says otherwise."
    kept = f", and not with {', '.join(holds)}" if holds else ""
    return f"{told}. Compared with the row that it varies, another conclusion is drawn with {'; '.join(turns)}{kept}."

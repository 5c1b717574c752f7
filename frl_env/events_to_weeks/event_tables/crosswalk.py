"""Crosswalks: the words of a source to the words of the contract.

A crosswalk of the spec adds to the built-in one. Words are compared trimmed and in capitals; a level's own name always
means itself, and the empty word stands for an empty cell.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from frl_env.actions import ActionSpace
from frl_env.errors import UserError, unknown_name

IGNORE = "ignore"
"""For contacts that are none: mailings to everybody, chart reviews, notes."""

TARGETS: dict[str, tuple[str, ...]] = {
    "frequency": ("original", "replacement", "void"),
    "status": ("paid", "denied", "reversed"),
    "kind": ("other", "ed", "stay", "ed_stay", "observation", IGNORE),
    "outcome": ("attempted", "reached", "planned", IGNORE),
    "direction": ("outbound", "inbound", IGNORE),
}
"""What the words of these columns may become; codes are places in the list."""

BUILT_IN: dict[str, dict[str, str]] = {
    # Interim bills (2 to 4) stand beside each other; their stays are joined where they touch.
    "frequency": {"": "original", **dict.fromkeys("1234", "original"), "7": "replacement", "8": "void"},
    "status": {"": "paid", "P": "paid", "D": "denied", "R": "reversed"},
    "kind": {},
    "outcome": {},
    "direction": {"": "outbound"},
    "gender": {"F": "FEMALE", "M": "MALE"},
}

OF_SOURCE: dict[str, dict[str, dict[str, str]]] = {
    "omop": {
        "kind": {"9201": "stay", "9203": "ed", "262": "ed_stay", "*": "other"},
        "gender": {"8507": "MALE", "8532": "FEMALE"},
        "race_ethnicity": {"8527": "WHITE", "8516": "BLACK", "38003563": "HISPANIC", "*": "OTHER"},
    },
    "synthea": {
        "kind": {"INPATIENT": "stay", "EMERGENCY": "ed", "*": "other"},
        "race_ethnicity": {"WHITE": "WHITE", "BLACK": "BLACK", "HISPANIC": "HISPANIC", "*": "OTHER"},
    },
    "meds": {"race_ethnicity": {}},
    "tuva": {
        "kind": {
            "ACUTE INPATIENT": "stay", "ACUTE INPATIENT ED": "ed_stay", "EMERGENCY DEPARTMENT": "ed",
            "OBSERVATION": "observation", "*": "other",
        },
    },
}  # fmt: skip
"""Words that a format brings along; ANY stands for every other word."""

ANY = "*"

GROUPS = ("gender", "race_ethnicity")
"""Words of groups may become anything; unmapped ones stay as they are."""


@dataclass(frozen=True, kw_only=True)
class Crosswalk:
    """Words of one column.

    Args:
        column: Its name in the contract.
        targets: What a word may become; empty for groups.
        words: Trimmed, in capitals, to a target.
    """

    column: str
    targets: tuple[str, ...]
    words: Mapping[str, str]

    def codes(self) -> dict[str, int]:
        """Words to places in `targets`."""
        return {word: self.targets.index(target) for word, target in self.words.items()}


def crosswalks(
    said: Mapping[str, Mapping[str, str]], actions: ActionSpace, source: str = "flat"
) -> dict[str, Crosswalk]:
    """The crosswalk of every column that has one.

    Args:
        said: Of the spec: column to word to target.
        actions: Factors and their levels.
        source: Of the tables; a format has words of its own.

    Raises:
        UserError: If a column or a target is unknown, or a word has two targets.
    """
    targets = TARGETS | {factor.name: (*factor.levels, IGNORE) for factor in actions}
    for column in said:
        if column not in (*targets, *GROUPS):
            raise unknown_name("crosswalk", column, (*targets, *GROUPS))
    made = {}
    for column, known in targets.items():
        built_in = BUILT_IN.get(column)
        if built_in is None:
            built_in = {alias: level for alias, level in actions[column].aliases.items()}
        words = {target.upper().replace("_", between): target for target in known for between in " -_"} | {
            _plain(word): to for word, to in built_in.items()
        }
        words |= OF_SOURCE.get(source, {}).get(column, {})
        made[column] = Crosswalk(column=column, targets=known, words=words | _checked(column, said, known))
    for column in GROUPS:
        words = BUILT_IN.get(column, {}) | OF_SOURCE.get(source, {}).get(column, {})
        made[column] = Crosswalk(column=column, targets=(), words=words | _checked(column, said, ()))
    return made


def _checked(column: str, said: Mapping[str, Mapping[str, str]], known: tuple[str, ...]) -> dict[str, str]:
    words: dict[str, str] = {}
    for word, target in said.get(column, {}).items():
        if known and target not in known:
            raise unknown_name(f"target in [crosswalk.{column}]:", target, known)
        if words.get(_plain(word), target) != target:
            raise UserError(f"[crosswalk.{column}] gives one word two targets; capitals and spaces make no difference")
        words[_plain(word)] = target
    return words


def _plain(word: str) -> str:
    return word.strip().upper()

"""What people write for a level of the decision: its name in any letters, an alias, their own word, or a code."""

import re
from collections.abc import Mapping
from functools import lru_cache

from frl_env.actions import Factor
from frl_env.datasets.table_import.cells.convert import BLANK_WORDS, NULL_WORDS

UNKNOWN, NO_LEVEL = -1, -2
"""Codes that stand for no level: one that is not known, and nothing at all."""


def has_own_codes(spellings: Mapping[str, str]) -> bool:
    """Whether a map gives numbers of the table's own; one that it leaves out is then no code of ours either."""
    return any(re.fullmatch(r"[+-]?\d+(\.0+)?", word.strip()) for word in spellings)


def codes_of(factor: Factor, spellings: Mapping[str, str]) -> dict[str, int]:
    """Everything that means a level, and its code."""
    codes = {} if has_own_codes(spellings) else {str(code): code for code in range(len(factor))}
    codes |= {level: code for code, level in enumerate(factor.levels)}
    codes |= {alias: factor.levels.index(level) for alias, level in factor.aliases.items()}
    return codes | {word: factor.levels.index(level) for word, level in spellings.items()}


def code_of(word: str | None, known: Mapping[str, int], loose: Mapping[str, int]) -> int:
    """Code of a word; in other letters, or with a point behind a code, only if it is no level as it stands."""
    if word is None:
        return NO_LEVEL
    if word in known:
        return known[word]
    whole = re.sub(r"^(\d+)\.0+$", r"\1", word)
    if word in NULL_WORDS or (word in BLANK_WORDS and normal(word) not in loose):
        return NO_LEVEL
    return known.get(whole, loose.get(normal(word), UNKNOWN))


@lru_cache(maxsize=1 << 12)
def normal(word: str) -> str:
    """A level's name without regard to letters' case, and to what stands between its words."""
    return re.sub(r"[\s_-]+", "_", word.strip()).casefold()

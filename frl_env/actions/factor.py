"""One dimension of an action: its levels, their codes, and other spellings of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Int

from frl_env.errors import UserError, unknown_name
from frl_env.kinds import check_kind


@dataclass(frozen=True, kw_only=True)
class Factor:
    """One dimension of an action.

    Args:
        name: Lower-case name, for instance "modality".
        levels: Names of the levels, in the order of their codes.
        aliases: Other spellings that mean an existing level.
        null: The level that means "nothing"; the first one unless said otherwise.

    Raises:
        UserError: If a level occurs twice, an alias points nowhere, or the null level does not exist.
    """

    name: str
    levels: tuple[str, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)
    null: str | None = None

    def __post_init__(self) -> None:
        """Checks the vocabulary."""
        check_kind("the name of a factor", self.name, str)
        if isinstance(self.levels, str) or not isinstance(self.levels, Sequence):
            raise UserError(f"factor {self.name!r}: levels must be the names of the levels, one each, in a tuple")
        if not self.levels:
            raise UserError(f"factor {self.name!r} has no levels; give at least one")
        if len(set(self.levels)) != len(self.levels):
            raise UserError(f"factor {self.name!r} names a level twice; every level needs a name of its own")
        check_kind(f"factor {self.name!r}: aliases", self.aliases, dict)
        check_kind(f"factor {self.name!r}: null", self.null, str | None)
        for alias, level in self.aliases.items():
            if level not in self.levels:
                raise UserError(f"factor {self.name!r}: alias {alias!r} points to {level!r}, which is not a level")
            if alias in self.levels:
                raise UserError(f"factor {self.name!r}: {alias!r} is a level already and can't be an alias too")
        if self.null is not None and self.null not in self.levels:
            raise UserError(f"factor {self.name!r}: null level {self.null!r} is not one of its levels")
        # Written in another way, the same factor is the same.
        object.__setattr__(self, "levels", tuple(self.levels))
        object.__setattr__(self, "null", self.levels[0] if self.null is None else self.null)

    def __len__(self) -> int:
        """Number of levels."""
        return len(self.levels)

    @property
    def null_level(self) -> int:
        """Code of the null level."""
        return self.levels.index(self.null or "")

    @cached_property
    def _index(self) -> tuple[pd.Index, np.ndarray]:
        names = pd.Index([*self.levels, *self.aliases])
        codes = [*range(len(self.levels)), *(self.levels.index(level) for level in self.aliases.values())]
        return names, np.asarray(codes, dtype=np.int64)

    def encode(self, names: Sequence[str] | np.ndarray | pd.Series) -> Int[np.ndarray, "n"]:
        """Codes of many level names.

        Args:
            names: Level names or aliases.

        Returns:
            One code a name.

        Raises:
            UserError: If a name is unknown; says how many and the nearest known one.
        """
        values = pd.Series(names, dtype=object)
        index, codes = self._index
        positions = index.get_indexer(pd.Index(values))
        unknown = positions < 0
        if unknown.any():
            missing = values.isna() & unknown
            if missing.any():
                raise UserError(
                    f"factor {self.name!r}: {int(missing.sum())} missing values; every action needs a level"
                )
            strange = str(np.asarray(values, dtype=object)[unknown][0])
            if len(values) == 1:
                raise unknown_name(f"level of factor {self.name!r}:", strange, index)
            # A table may hold a member's data where a level should be: say the nearest level, not the value.
            near = get_close_matches(strange, list(index), n=1, cutoff=0.4)
            hint = f"the nearest to the first is {near[0]}" if near else f"known: {', '.join(index)}"
            raise UserError(
                f"factor {self.name!r}: {int(unknown.sum())} of {len(values)} rows hold an unknown level; {hint}"
            )
        return codes[positions]

    def decode(self, codes: Int[np.ndarray, "n"]) -> np.ndarray:
        """Names of many codes, as an object array."""
        return np.asarray(self.levels, dtype=object)[codes]

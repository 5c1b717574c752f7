"""All factors of an action together, and the rule that says which joint actions are valid.

A factored action is a tuple of levels, one a factor. It has three forms, and `ActionSpace` turns each into the others:

    names    ("PHONE_CALL", "CHW", "FOOD_INSECURITY", "ROUTINE")     what people read and tables hold
    levels   array([1, 1, 8, 0])                                     what `MultiDiscrete` environments take
    joint    232                                                     the C-order index, `np.ravel_multi_index`
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gymnasium
import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from frl_env.actions.factor import Factor
from frl_env.errors import UserError, check_whole, unknown_name
from frl_env.kinds import check_kind, shown

MOST_JOINTS = 2**15
"""Joint actions that are listed one by one, at most: a score of each, in each of a batch of states, is held at once."""

DECISIONS_AT_ONCE = 4_096
"""Decisions of which a number for every joint action is held at once: 1,080 of them take 18 MB."""


@dataclass(frozen=True, kw_only=True)
class ActionSpace:
    """A set of factors and the rule that says which joint actions make sense.

    A joint action is *valid* when every factor is at its null level ("do nothing"), or when none of the
    `contact_factors` is at its null level. Without contact factors every joint action is valid.

    Args:
        factors: At least one.
        contact_factors: Names of the factors that are all null or all not null.

    Raises:
        UserError: If two factors share a name or a contact factor does not exist.

    Examples:
        >>> from frl_env.actions import MEDICAID_ACTIONS
        >>> MEDICAID_ACTIONS
        ActionSpace(modality[6] x provider[5] x goal[18] x urgency[2]: 1080 joint actions, 681 valid)
        >>> MEDICAID_ACTIONS.encode(("PHONE_CALL", "CHW", "FOOD_INSECURITY", "ROUTINE"))
        array([1, 1, 8, 0])
    """

    factors: tuple[Factor, ...]
    contact_factors: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks the factor names."""
        if not isinstance(self.factors, Iterable):
            raise UserError(f"factors must be several Factor(name=..., levels=(...)), not {shown(self.factors)}")
        object.__setattr__(self, "factors", tuple(self.factors))
        wrong = next((each for each in self.factors if not isinstance(each, Factor)), None)
        if wrong is not None:
            raise UserError(f"factors must be Factor(name=..., levels=(...)) each, not a {type(wrong).__name__}")
        if isinstance(self.contact_factors, str):
            raise UserError(f"contact_factors must be several names, not one text: ({self.contact_factors!r},)")
        check_kind("contact_factors", self.contact_factors, tuple)
        names = [factor.name for factor in self.factors]
        if not names:
            raise UserError("an action space needs at least one factor")
        if len(set(names)) != len(names):
            raise UserError(f"two factors share a name: {', '.join(names)}")
        for name in self.contact_factors:
            if name not in names:
                raise unknown_name("contact factor", name, names)

    def __repr__(self) -> str:
        """One readable line."""
        shape = " x ".join(f"{factor.name}[{len(factor)}]" for factor in self.factors)
        return f"ActionSpace({shape}: {self.n_joint} joint actions, {self.n_valid} valid)"

    def __iter__(self) -> Iterator[Factor]:
        """Iterates over the factors."""
        return iter(self.factors)

    def __getitem__(self, name: str) -> Factor:
        """The factor of that name."""
        for factor in self.factors:
            if factor.name == name:
                return factor
        raise unknown_name("factor", name, (factor.name for factor in self.factors))

    @cached_property
    def nvec(self) -> tuple[int, ...]:
        """Number of levels of each factor."""
        return tuple(len(factor) for factor in self.factors)

    @property
    def n_joint(self) -> int:
        """Number of joint actions, valid or not."""
        return math.prod(self.nvec)

    @property
    def n_valid(self) -> int:
        """Number of valid joint actions; counted without a list of them."""
        if not self.contact_factors:
            return self.n_joint
        # All null, or no contact factor null: the two exclude each other.
        return 1 + math.prod(len(f) - (f.name in self.contact_factors) for f in self.factors)

    @cached_property
    def null_action(self) -> Int[np.ndarray, "factor"]:
        """Levels of "do nothing"."""
        return np.asarray([factor.null_level for factor in self.factors], dtype=np.int64)

    def check_listable(self) -> None:
        """Refuses more joint actions than can be listed one by one, before memory is taken for them.

        Raises:
            UserError: If there are more than `MOST_JOINTS`.
        """
        if self.n_joint > MOST_JOINTS:
            raise UserError(
                f"{self.n_joint:,} joint actions ({' x '.join(map(str, self.nvec))} levels) are more than can be "
                f"listed one by one, {MOST_JOINTS:,}; merge levels or leave out a factor"
            )

    @cached_property
    def joint_levels(self) -> Int[np.ndarray, "joint factor"]:
        """Levels of every joint action, in joint order.

        Raises:
            UserError: As `check_listable`.
        """
        self.check_listable()
        return np.stack(np.unravel_index(np.arange(self.n_joint), self.nvec), axis=-1).astype(np.int64)

    @cached_property
    def valid(self) -> Bool[np.ndarray, "joint"]:
        """Which joint actions are valid."""
        return self._valid_rule(self.joint_levels)

    @cached_property
    def valid_joints(self) -> Int[np.ndarray, "valid"]:
        """Joint indices of the valid actions, ascending."""
        return np.flatnonzero(self.valid)

    @cached_property
    def contacts(self) -> Bool[np.ndarray, "joint"]:
        """Which joint actions do something: the valid ones but the null action; without contact factors all."""
        if not self.contact_factors:
            return self.valid
        return self.valid & (self.joint_levels != self.null_action).any(axis=1)

    def gym_space(self) -> gymnasium.spaces.MultiDiscrete:
        """The matching gymnasium space."""
        return gymnasium.spaces.MultiDiscrete(list(self.nvec), dtype=np.int64)

    def is_valid(self, levels: Int[np.ndarray, "*batch factor"]) -> Bool[np.ndarray, "*batch"]:
        """Whether each action is valid.

        Raises:
            UserError: If the shape or a level is out of range.
        """
        return self._valid_rule(self.check(levels))

    def ravel(self, levels: Int[np.ndarray, "*batch factor"]) -> Int[np.ndarray, "*batch"]:
        """Joint indices of actions given by levels.

        Raises:
            UserError: If the shape or a level is out of range.
        """
        checked = self.check(levels)
        return np.asarray(np.ravel_multi_index(tuple(np.moveaxis(checked, -1, 0)), self.nvec), dtype=np.int64)

    def unravel(self, joints: Int[np.ndarray, "*batch"]) -> Int[np.ndarray, "*batch factor"]:
        """Levels of actions given by joint indices.

        Raises:
            UserError: If an index is out of range.
        """
        indices = np.asarray(joints)
        if not np.issubdtype(indices.dtype, np.integer):
            raise UserError(f"joint actions must be integers, not {indices.dtype}")
        outside = (indices < 0) | (indices >= self.n_joint)
        if outside.any():
            raise UserError(f"{int(outside.sum())} joint actions lie outside 0..{self.n_joint - 1}")
        return np.stack(np.unravel_index(indices, self.nvec), axis=-1).astype(np.int64)

    def encode(self, names: Sequence[Any] | np.ndarray | pd.DataFrame) -> Int[np.ndarray, "*batch factor"]:
        """Levels of actions given by names: one tuple of names, or a table of them.

        Args:
            names: `(factor,)` for one action or `(n, factor)` for many.

        Raises:
            UserError: If the number of columns is wrong or a name is unknown.
        """
        table = np.asarray(names, dtype=object)
        single = table.ndim == 1
        table = np.atleast_2d(table)
        if table.ndim != 2 or table.shape[1] != len(self.factors):
            raise UserError(
                f"actions by name need {len(self.factors)} columns {self._names()}, not shape {table.shape}"
            )
        levels = np.stack([factor.encode(table[:, i]) for i, factor in enumerate(self.factors)], axis=-1)
        return levels[0] if single else levels

    def decode(self, levels: Int[np.ndarray, "*batch factor"]) -> Any:
        """Names of actions given by levels: a tuple for one action, an `(n, factor)` object array for many.

        Raises:
            UserError: If the shape or a level is out of range.
        """
        checked = self.check(levels)
        columns = [factor.decode(checked[..., i]) for i, factor in enumerate(self.factors)]
        return tuple(str(name) for name in columns) if checked.ndim == 1 else np.stack(columns, axis=-1)

    def contact(self, levels: Mapping[str, str], *, what: str = "contact") -> int:
        """Joint index of a contact given by some of its levels.

        Args:
            levels: Factor to level. A factor that is not named has its first level, if that can be part of a contact.
            what: Names it in errors.

        Raises:
            UserError: If a factor or level does not exist, or the levels are no contact.
        """
        for name in levels:
            self[name]  # says so when there is no such factor
        named = []
        for factor in self:
            level = levels.get(factor.name, factor.levels[0])
            if level not in factor.levels:
                raise unknown_name(f"{what}: level of factor {factor.name!r}:", level, factor.levels)
            named.append(level)
        joint = int(self.ravel(self.encode(named)))
        if not self.valid[joint] or joint == int(self.ravel(self.null_action)):
            raise UserError(f"{what}: {', '.join(map(str, named))} is no contact; name a level of every factor")
        return joint

    def check(self, levels: Any) -> Int[np.ndarray, "*batch factor"]:
        """Levels as an int64 array, once they are known to be whole, in range, and one a factor.

        Raises:
            UserError: If the last axis is not one level a factor, a value is not whole, or a level does not exist.
        """
        try:
            array = np.asarray(levels)
        except ValueError:
            raise UserError(f"actions need {len(self.factors)} levels each, the same number in every row") from None
        if array.ndim < 1 or array.shape[-1] != len(self.factors):
            raise UserError(
                f"an action needs {len(self.factors)} levels {self._names()} on its last axis, not shape {array.shape}"
            )
        whole = np.issubdtype(array.dtype, np.integer) or (
            np.issubdtype(array.dtype, np.floating)
            and bool(np.isfinite(array).all())
            and np.array_equal(array, np.floor(array))
        )
        if not whole:
            raise UserError(f"action levels must be whole numbers, not {array.dtype} values; encode names first")
        array = array.astype(np.int64, copy=False)
        outside = (array < 0) | (array >= np.asarray(self.nvec))
        if outside.any():
            worst = int(np.argmax(outside.reshape(-1, len(self.factors)).sum(axis=0)))
            factor = self.factors[worst]
            raise UserError(
                f"{int(outside.any(axis=-1).sum())} actions out of range: factor {factor.name!r} "
                f"takes 0..{len(factor) - 1}"
            )
        return array

    def to_json(self) -> str:
        """The action space as JSON text, for dataset metadata and schema files."""
        factors = [
            {"name": f.name, "levels": list(f.levels), "aliases": dict(f.aliases), "null": f.levels[f.null_level]}
            for f in self.factors
        ]
        return json.dumps({"factors": factors, "contact_factors": list(self.contact_factors)})

    @classmethod
    def from_json(cls, text: str) -> "ActionSpace":
        """Reads what `to_json` wrote.

        Raises:
            UserError: If the text is not such JSON.
        """
        try:
            data = json.loads(text)
            factors = tuple(
                Factor(
                    name=item["name"],
                    levels=tuple(item["levels"]),
                    aliases=dict(item.get("aliases", {})),
                    null=item.get("null"),
                )
                for item in data["factors"]
            )
            return cls(factors=factors, contact_factors=tuple(data.get("contact_factors", ())))
        except (KeyError, TypeError, AttributeError, RecursionError, json.JSONDecodeError) as problem:
            raise UserError(
                "not an action schema: JSON with 'factors' (name, levels) and 'contact_factors' is needed"
            ) from problem

    @classmethod
    def from_nvec(cls, nvec: Sequence[int]) -> "ActionSpace":
        """Nameless factors for any `MultiDiscrete`; every joint action is valid.

        Raises:
            UserError: If they are no numbers of levels.
        """
        if np.ndim(nvec) != 1:
            raise UserError(f"nvec must be a number of levels for each factor, not {shown(nvec)}")
        for n in nvec:
            check_whole("levels of a factor", n, low=1, high=2**31 - 1)
        return cls(
            factors=tuple(
                Factor(name=f"factor_{i}", levels=tuple(f"L{level}" for level in range(int(n))))
                for i, n in enumerate(nvec)
            )
        )

    def _valid_rule(self, levels: Int[np.ndarray, "*batch factor"]) -> Bool[np.ndarray, "*batch"]:
        if not self.contact_factors:
            return np.ones(levels.shape[:-1], dtype=bool)
        null = levels == self.null_action
        contact = [i for i, factor in enumerate(self.factors) if factor.name in self.contact_factors]
        return null.all(axis=-1) | ~null[..., contact].any(axis=-1)

    def _names(self) -> str:
        return "(" + ", ".join(factor.name for factor in self.factors) + ")"

"""Effort: the staff minutes that each action takes, as data beside the action space.

Minutes are given by level. The minutes of an action are the sum over its levels:

    minutes(PHONE_CALL, PHARMACIST, ...) = minutes of PHONE_CALL + minutes of PHARMACIST

Doing nothing takes none, and so does an action that is not valid, because nobody carries it out.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float64

from frl_env.actions import ActionSpace
from frl_env.errors import UserError, check_number, shorten, unknown_name

METADATA = "frl_effort"
"""Entry of a dataset's metadata that holds `Effort.to_json`."""

MOST = 10_080.0
"""Minutes of a week: no contact takes longer."""


@dataclass(frozen=True, eq=False)
class Effort:
    """Staff minutes of every joint action.

    Args:
        action_space: Names and validity of the actions.
        levels: Factor name to level name to minutes; levels that are not named take none.

    Raises:
        UserError: If a factor or level does not exist, or a number is not in 0 to 10,080 (a week).

    Examples:
        >>> from frl_env.actions import MEDICAID_ACTIONS
        >>> effort = Effort(MEDICAID_ACTIONS, {"modality": {"PHONE_CALL": 15}, "provider": {"PHARMACIST": 5}})
        >>> call = MEDICAID_ACTIONS.ravel(MEDICAID_ACTIONS.encode(("PHONE_CALL", "PHARMACIST", "CARE", "ROUTINE")))
        >>> float(effort.minutes[call])
        20.0
    """

    action_space: ActionSpace
    levels: Mapping[str, Mapping[str, float]]

    def __post_init__(self) -> None:
        """Checks names and numbers."""
        if not isinstance(self.levels, Mapping):
            raise UserError(f"effort must be a table of factor to level to minutes, not {shorten(repr(self.levels))}")
        kept = {}
        for name, table in self.levels.items():
            factor = self.action_space[name]
            if not isinstance(table, Mapping):
                raise UserError(f"effort of {name!r} must be a table of level = minutes, not {table!r}")
            for level, minutes in table.items():
                if level not in factor.levels:
                    raise unknown_name(f"level of factor {name!r}:", level, factor.levels)
                check_number(f"effort: minutes of {level}", minutes, low=0, high=MOST)
                if level == factor.levels[factor.null_level] and minutes > 0 and name in self._contact_factors:
                    raise UserError(f"effort: {name} {level} means no contact, so that it takes no minutes")
            kept[name] = MappingProxyType({level: float(minutes) for level, minutes in table.items()})
        object.__setattr__(self, "levels", MappingProxyType(kept))

    def __eq__(self, other: object) -> bool:
        """Whether every action takes the same minutes."""
        if not isinstance(other, Effort):
            return NotImplemented
        return self.action_space.nvec == other.action_space.nvec and np.array_equal(self.minutes, other.minutes)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        """Made anew from plain tables, since views that can't be written to are neither copied nor pickled."""
        return type(self), (self.action_space, {name: dict(table) for name, table in self.levels.items()})

    @classmethod
    def of_levels(cls, action_space: ActionSpace, levels: Mapping[str, Mapping[str, float]]) -> "Effort":
        """Makes an `Effort`; reads better than the class where minutes are written down by hand."""
        return cls(action_space, levels)

    @cached_property
    def minutes(self) -> Float64[np.ndarray, "joint"]:
        """Minutes of every joint action; 0 for doing nothing and for actions that are not valid."""
        space = self.action_space
        total = np.zeros(space.n_joint)
        for number, factor in enumerate(space):
            own = self.levels.get(factor.name, {})
            total += np.asarray([own.get(level, 0.0) for level in factor.levels])[space.joint_levels[:, number]]
        total[~space.valid] = 0.0
        total[null_joint(space)] = 0.0
        total.flags.writeable = False
        return total

    @property
    def unsaid(self) -> tuple[str, ...]:
        """Levels whose contacts may take no minutes because none were said; a 0 that was said is meant.

        Of the factors that have minutes, the one that leaves the fewest levels out is looked at: where channels have
        minutes, those of a provider come on top.
        """
        free = self.action_space.valid & (self.minutes == 0)
        free[null_joint(self.action_space)] = False
        left_out = []
        for number, factor in enumerate(self.action_space):
            if said := self.levels.get(factor.name):
                levels = np.unique(self.action_space.joint_levels[free, number])
                left_out.append(tuple(factor.levels[level] for level in levels if factor.levels[level] not in said))
        return min(left_out, key=len, default=())

    def to_json(self) -> dict[str, dict[str, float]]:
        """Minutes by factor and level, JSON-able."""
        return {name: dict(table) for name, table in self.levels.items()}

    @classmethod
    def from_json(cls, said: Any, action_space: ActionSpace) -> "Effort":
        """Reads what `to_json` wrote, as an object or as JSON text.

        Raises:
            UserError: If it is something else.
        """
        try:
            table = json.loads(said) if isinstance(said, str) else said
        except json.JSONDecodeError:
            raise UserError("effort is not JSON; a table of factor to level to minutes is needed") from None
        if not isinstance(table, Mapping):
            raise UserError("effort must be a table of factor to level to minutes")
        return cls(action_space, table)

    @property
    def _contact_factors(self) -> tuple[str, ...]:
        return self.action_space.contact_factors


def null_joint(space: ActionSpace) -> int:
    """Joint index of doing nothing."""
    return int(space.ravel(space.null_action))


def check_effort(effort: object) -> None:
    """Says so where something else is given for the minutes of actions.

    Raises:
        UserError: If so.
    """
    if not isinstance(effort, Effort):
        raise UserError(f"effort must be an Effort(action_space, levels), not {shorten(repr(effort))}")


def effort_of(dataset: Any, action_space: ActionSpace) -> Effort | None:
    """The minutes that a Minari dataset's metadata hold, or None when they hold none.

    Args:
        dataset: A `minari.MinariDataset`.
        action_space: Its actions.

    Raises:
        UserError: If the entry can't be read.
    """
    said = dataset.storage.metadata.get(METADATA)
    if said is None:
        return None
    try:
        return Effort.from_json(said, action_space)
    except UserError as problem:
        raise UserError(f"dataset {dataset.spec.dataset_id!r}: {problem}; build or import it again") from None

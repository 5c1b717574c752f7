"""Settings of the wrong kind, such as `gamma="1"`: said in one line, by what their fields declare."""

from collections.abc import Mapping
from dataclasses import fields
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from frl_env.errors import UserError, shorten

KINDS: Mapping[Any, tuple[type | tuple[type, ...], str]] = {
    bool: ((bool, np.bool_), "True or False"),
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    str: (str, "text"),
    list: ((list, tuple), "a list"),
    tuple: ((list, tuple), "a tuple"),
    dict: (Mapping, "a dictionary"),
}
"""By what a field declares: what it takes, and what that is called."""


def check_kinds(settings: Any) -> None:
    """Says which field of a dataclass is not of the kind that it declares; NumPy's numbers are numbers.

    Args:
        settings: The dataclass. What a list or dictionary holds is not looked at.

    Raises:
        UserError: If one is not.
    """
    hints = get_type_hints(type(settings))
    for field in fields(settings):
        check_kind(field.name, getattr(settings, field.name), hints[field.name])


def check_kind(name: str, value: object, declared: Any) -> None:
    """Checks that one value is of its declared kind.

    Args:
        name: Of it, for the message.
        value: What was given.
        declared: `float`, `str | None`, `list[str]`, a class and the like; what is none of these takes anything.

    Raises:
        UserError: If the value is of another kind.
    """
    options = get_args(declared) if get_origin(declared) in (Union, UnionType) else (declared,)
    kinds = [get_origin(each) or each for each in options]
    if value is None and NoneType in kinds:
        return
    wanted = [KINDS.get(kind, (kind, _a(kind))) for kind in kinds if kind is not NoneType]
    if not all(isinstance(kind, type) for kind in kinds):
        return
    truth = isinstance(value, bool | np.bool_) and bool not in kinds  # which Python counts as a number
    if truth or not any(isinstance(value, taken) for taken, _ in wanted):
        words = " or ".join([*(said for _, said in wanted), *(["None"] if NoneType in kinds else [])])
        raise UserError(f"{name} must be {words}, not {shown(value)}")


def shown(value: object) -> str:
    """What was given, in a few letters: a number or a text itself, of anything else what it is."""
    if isinstance(value, str | Real | NoneType):
        return shorten(repr(value))
    return f"the class {value.__name__}" if isinstance(value, type) else _a(type(value))


def _a(kind: Any) -> str:
    name = getattr(kind, "__name__", str(kind))
    return f"an {name}" if name[:1] in "AEIOUaeiou" else f"a {name}"

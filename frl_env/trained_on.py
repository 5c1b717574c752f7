"""Whether data have the actions and states that a policy was trained on: numbers alone don't tell.

A model asks for the fourth state and decides for the second level. Data whose map names the same columns in another
order have as many of both, and get an answer to another question. Staff minutes are the policy's own, too: what a map
says of them later changes no list.
"""

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from frl_env.actions import ActionSpace, Factor
from frl_env.capacity.effort import Effort
from frl_env.errors import UserError, shorten

SAID = 3
"""Levels of a factor that one line names."""

_WAY_OUT = "use the map that the training data were imported with"


def check_actions(policy: Path | str, trained: ActionSpace, data: ActionSpace) -> None:
    """Refuses data of other actions.

    Args:
        policy: Its file, or other words for it.
        trained: Actions of the policy.
        data: Actions of the data; other spellings of a level are the same.

    Raises:
        UserError: If a number has another meaning; it says the first one.
    """
    if differs := _first_difference(trained, data):
        raise UserError(
            f"{policy} was trained on other actions ({differs[0]}) than the data have ({differs[1]}); {_WAY_OUT}"
        )


def check_states(policy: Path | str, trained: Sequence[str], data: Sequence[str]) -> None:
    """Refuses data of other states, or of the same in another order.

    Args:
        policy: Its file, or other words for it.
        trained: Names of its states, in order; none where its training data had no names.
        data: Names of theirs.

    Raises:
        UserError: If they are not the same; it says the first one.
    """
    if not trained or not data:
        return
    for place, (one, other) in enumerate(zip_longest(trained, data), start=1):
        if one != other:
            raise UserError(
                f"{policy} was trained on {len(trained)} states and the data have {len(data)}; number {place} is "
                f"{_name(one)} there and {_name(other)} here; {_WAY_OUT}"
            )


def check_minutes(policy: Path | str, trained: Effort, data: Effort) -> None:
    """Refuses data whose contacts take other staff minutes.

    Args:
        policy: Its file, or other words for it.
        trained: Minutes of the policy.
        data: Minutes of the data, of the same actions.

    Raises:
        UserError: If a contact takes other minutes; it says the first level of which others are said.
    """
    if trained == data:
        return
    for factor in trained.action_space:
        for level in factor.levels:
            own, other = (each.levels.get(factor.name, {}).get(level, 0.0) for each in (trained, data))
            if own != other:
                raise UserError(
                    f"{policy} was trained with {own:g} staff minutes for {factor.name} {level} and the data have "
                    f"{other:g}; {_WAY_OUT}, or train again"
                )


def _name(state: str | None) -> str:
    return "none" if state is None else shorten(state)


def _first_difference(trained: ActionSpace, data: ActionSpace) -> tuple[str, str] | None:
    """The first place where two spaces give a code another meaning, as each has it; other spellings are none."""
    for one, other in zip_longest(trained, data):
        if one is None or other is None or one.name != other.name:
            return _levels(one), _levels(other)
        if one.levels != other.levels:
            at = next(n for n, (a, b) in enumerate(zip_longest(one.levels, other.levels)) if a != b)
            return _levels(one, at), _levels(other, at)
    rules = [
        f"nothing is {', '.join(f'{factor.name} {factor.null}' for factor in space)}; contact_factors "
        f"{', '.join(space.contact_factors) or 'none'}"
        for space in (trained, data)
    ]
    return (rules[0], rules[1]) if rules[0] != rules[1] else None


def _levels(factor: Factor | None, start: int = 0) -> str:
    """A factor and some of its levels, from one on."""
    if factor is None:
        return "no more factors"
    some = factor.levels[start : start + SAID]
    more = ", ..." if len(factor.levels) > start + SAID else ""
    return f"{factor.name}: {'..., ' if start else ''}{', '.join(some) or 'no more levels'}{more}"

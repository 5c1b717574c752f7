"""What columns mean: said on screen, kept in the dataset, never guessed later from a name.

The contract's own columns have the meanings below. Of other states and factors the map says what they are:

    [meaning]
    response = "answered_calls"          the state that shows next week whether a contact reached the member
    need_factor = "topic"                the factor that says which need a contact is about
    skill_factor = "staff"               the factor that says whose skills it takes
    high_touch = ["HOME", "OFFICE"]      levels, of any factor, that take a person's presence
    indications = {FOOD = "screen_food"} level that answers to a state: the screening that asks for it
    spending = "paid"                    the state that holds what was paid
    contact_counts = ["calls"]           states that count what the team did, and not how the member is

    [definitions]
    answered_calls = "calls that the member answered; count; 7 days before the week"
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from frl_env.actions import ActionSpace
from frl_env.errors import UserError, unknown_name

METADATA = "frl_meaning"
"""Entry of a dataset's metadata that holds `Meaning.to_json` and the definitions of the columns."""

PAID_WEEKS = 13
"""Weeks over which `total_paid` adds up what was paid: in the simulator, in `frl weeks`, in what is said of a table."""

RESPONSE = "num_encounters_last_week"
NEED_FACTOR, SKILL_FACTOR = "goal", "provider"
HIGH_TOUCH = ("VIDEO_VISIT", "HOME_VISIT")
SPENDING = "total_paid"
CONTACT_COUNTS = ("num_encounters_last_week", "num_calls_last_week", "num_texts_last_week")
SCREENED = "screened_"
"""Begins the name of a state that indicates the level of the rest of its name."""

KEYS = ("response", "need_factor", "skill_factor", "high_touch", "indications", "spending", "contact_counts")


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What learners and audits take from the columns.

    Args:
        response: State that shows a week later whether a contact reached the member; None if none does.
        need_factor: Factor that says which need a contact is about; None if none does.
        skill_factor: Factor that says whose skills it takes; None if none does.
        high_touch: Levels that take a person's presence.
        indications: Level to the state that asks for it (a screening result for the goal of that need).
        spending: State that holds what was paid; None if none does.
        contact_counts: States that count what the team did, and not how the member is.
    """

    response: str | None = None
    need_factor: str | None = None
    skill_factor: str | None = None
    high_touch: tuple[str, ...] = ()
    indications: Mapping[str, str] = field(default_factory=dict)
    spending: str | None = None
    contact_counts: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, said: Mapping[str, Any], states: Sequence[str], actions: ActionSpace, *, where: str = "[meaning]"
    ) -> "Meaning":
        """What was said; where nothing was, what the contract's own names mean.

        Args:
            said: Entries of `[meaning]`; "" for none.
            states: Names of the states.
            actions: Factors and levels.
            where: Who says it, for messages.

        Raises:
            UserError: If a state, factor or level does not exist.
        """
        factors = tuple(factor.name for factor in actions)
        levels = tuple(dict.fromkeys(level for factor in actions for level in factor.levels))
        for key in said:
            if key not in KEYS:
                raise unknown_name(f"entry in {where}:", key, KEYS)
        found: dict[str, Any] = {}
        for key, known, usual in (
            ("response", states, RESPONSE),
            ("need_factor", factors, NEED_FACTOR),
            ("skill_factor", factors, SKILL_FACTOR),
            ("spending", states, SPENDING),
        ):
            name = said.get(key, usual if usual in known else "")
            if name and name not in known:
                raise unknown_name(f"{where} {key}:", str(name), known)
            found[key] = name or None
        for key, kind, known, usual in (
            ("high_touch", "level", levels, HIGH_TOUCH),
            ("contact_counts", "state", states, CONTACT_COUNTS),
        ):
            found[key] = _several(f"{where} {key}", kind, said.get(key), known, usual)
        return cls(**found, indications=_indications(where, said.get("indications"), states, levels))

    def to_json(self) -> dict[str, Any]:
        """All of it, JSON-able."""
        return {
            "response": self.response,
            "need_factor": self.need_factor,
            "skill_factor": self.skill_factor,
            "high_touch": list(self.high_touch),
            "indications": dict(self.indications),
            "spending": self.spending,
            "contact_counts": list(self.contact_counts),
        }

    def __str__(self) -> str:
        """One line."""
        asked = f"; indications: {', '.join(self.indications)}" if self.indications else ""
        return (
            f"a member's answer shows in {self.response or 'no state'}; need: {self.need_factor or 'no factor'}; "
            f"skill: {self.skill_factor or 'no factor'}; high touch: {', '.join(self.high_touch) or 'no level'}{asked}"
        )


def _several(what: str, kind: str, chosen: Any, known: Collection[str], usual: Sequence[str]) -> tuple[str, ...]:
    """Names that were said, or of the usual ones those that exist.

    Raises:
        UserError: If it is no list, or a name does not exist.
    """
    if chosen is None:
        return tuple(name for name in usual if name in known)
    if chosen != "" and not isinstance(chosen, list | tuple):
        raise UserError(f'{what} must be a list of {kind}s, like ["{usual[-1]}"]')
    for name in chosen:
        if name not in known:
            raise unknown_name(f"{kind} in {what}:", str(name), known)
    return tuple(chosen)


def _indications(where: str, said: Any, states: Sequence[str], levels: Sequence[str]) -> dict[str, str]:
    """Level to state, as said, or by the names of screening results.

    Raises:
        UserError: If it is no table, or a level or state does not exist.
    """
    if said is None:
        asked = {level: f"{SCREENED}{level.lower()}" for level in levels}
        return {level: state for level, state in asked.items() if state in states}
    if said == "":
        return {}
    if not isinstance(said, Mapping):
        raise UserError(f'{where} indications must be a table of level to state, like {{FOOD = "screen_food"}}')
    for level, state in said.items():
        if level not in levels:
            raise unknown_name(f"level in {where} indications:", str(level), levels)
        if state not in states:
            raise unknown_name(f"state in {where} indications:", str(state), states)
    return dict(said)


def said_of(dataset: Any) -> dict[str, Any]:
    """What the metadata of a dataset say of its columns, as `Meaning.of` takes it; empty where they say nothing.

    Args:
        dataset: A `minari.MinariDataset`.

    Raises:
        UserError: If the entry can't be read.
    """
    said = dataset.storage.metadata.get(METADATA, {})
    if not isinstance(said, Mapping):
        raise UserError(f"dataset {dataset.spec.dataset_id!r}: {METADATA} can't be read; import it again")
    return {key: "" if value is None else value for key, value in said.items() if key in KEYS}


def meaning_of(dataset: Any, states: Sequence[str], actions: ActionSpace) -> Meaning:
    """What the columns of a dataset mean, as its metadata say; else what the contract's own names mean.

    Args:
        dataset: A `minari.MinariDataset`.
        states: Names of its observations.
        actions: Its factors and levels.

    Raises:
        UserError: If the entry can't be read.
    """
    return Meaning.of(said_of(dataset), states, actions)

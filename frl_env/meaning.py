"""What columns mean: said on screen, kept in the dataset, never guessed later from a name.

The contract's own columns have the meanings below. Of other states and factors the map says what they are:

    [meaning]
    response = "answered_calls"          the state that shows next week whether a contact reached the member
    need_factor = "topic"                the factor that says which need a contact is about
    skill_factor = "staff"               the factor that says whose skills it takes
    high_touch = ["HOME", "OFFICE"]      levels, of any factor, that take a person's presence

    [definitions]
    answered_calls = "calls that the member answered; count; 7 days before the week"
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from frl_env.actions import ActionSpace
from frl_env.errors import UserError, unknown_name

METADATA = "frl_meaning"
"""Entry of a dataset's metadata that holds `Meaning.to_json` and the definitions of the columns."""

DEFINITIONS = {
    "num_encounters_last_week": "completed contacts of the care program; count; 7 days before the week",
    "num_ed_visits_last_week": "emergency department visits; count; 7 days before the week",
    "num_ip_visits_last_week": "hospital stays that began; count; 7 days before the week",
    "num_calls_last_week": "calls to or from the member, answered or not; count; 7 days before the week",
    "num_texts_last_week": "text messages to or from the member; count; 7 days before the week",
    "enrolled_days": "days in the program; days; since enrolment",
    "total_paid": "paid claims; US dollars; 90 days (about 13 weeks) before the week",
    "reward": "minus (emergency department visits + hospital stays); count; the week after the decision",
    "future_ed_30d": "emergency department visits; count; 30 days after the decision",
    "future_ip_30d": "hospital stays; count; 30 days after the decision",
    "terminated": "died or left for good; yes or no; in the week after the decision",
}
"""What the contract's columns hold; unit; window."""

RESPONSE = "num_encounters_last_week"
NEED_FACTOR, SKILL_FACTOR = "goal", "provider"
HIGH_TOUCH = ("VIDEO_VISIT", "HOME_VISIT")
KEYS = ("response", "need_factor", "skill_factor", "high_touch")


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What learners and audits take from the columns.

    Args:
        response: State that shows a week later whether a contact reached the member; None if none does.
        need_factor: Factor that says which need a contact is about; None if none does.
        skill_factor: Factor that says whose skills it takes; None if none does.
        high_touch: Levels that take a person's presence.
    """

    response: str | None = None
    need_factor: str | None = None
    skill_factor: str | None = None
    high_touch: tuple[str, ...] = ()

    @classmethod
    def of(cls, said: Mapping[str, Any], states: tuple[str, ...], actions: ActionSpace) -> "Meaning":
        """What was said; where nothing was, what the contract's own names mean.

        Args:
            said: Entries of `[meaning]`; "" for none.
            states: Names of the states.
            actions: Factors and levels.

        Raises:
            UserError: If a state, factor or level does not exist.
        """
        factors = tuple(factor.name for factor in actions)
        levels = tuple(dict.fromkeys(level for factor in actions for level in factor.levels))
        for key in said:
            if key not in KEYS:
                raise unknown_name("entry in [meaning]:", key, KEYS)
        found: dict[str, Any] = {}
        for key, known, usual in (
            ("response", states, RESPONSE),
            ("need_factor", factors, NEED_FACTOR),
            ("skill_factor", factors, SKILL_FACTOR),
        ):
            name = said.get(key, usual if usual in known else "")
            if name and name not in known:
                raise unknown_name(f"[meaning] {key}:", name, known)
            found[key] = name or None
        chosen = said.get("high_touch", [level for level in HIGH_TOUCH if level in levels])
        if isinstance(chosen, str):
            raise UserError('[meaning] high_touch must be a list of levels, like ["HOME_VISIT"]')
        for level in chosen:
            if level not in levels:
                raise unknown_name("level in [meaning] high_touch:", level, levels)
        return cls(**found, high_touch=tuple(chosen))

    def to_json(self) -> dict[str, Any]:
        """All of it, JSON-able."""
        return {
            "response": self.response,
            "need_factor": self.need_factor,
            "skill_factor": self.skill_factor,
            "high_touch": list(self.high_touch),
        }

    def __str__(self) -> str:
        """One line."""
        return (
            f"a member's answer shows in {self.response or 'no state'}; need: {self.need_factor or 'no factor'}; "
            f"skill: {self.skill_factor or 'no factor'}; high touch: {', '.join(self.high_touch) or 'no level'}"
        )


def meaning_of(dataset: Any, states: tuple[str, ...], actions: ActionSpace) -> Meaning:
    """What the columns of a dataset mean, as its metadata say; else what the contract's own names mean.

    Args:
        dataset: A `minari.MinariDataset`.
        states: Names of its observations.
        actions: Its factors and levels.

    Raises:
        UserError: If the entry can't be read.
    """
    said = dataset.storage.metadata.get(METADATA, {})
    if not isinstance(said, Mapping):
        raise UserError(f"dataset {dataset.spec.dataset_id!r}: {METADATA} can't be read; import it again")
    told = {key: "" if value is None else value for key, value in said.items() if key in KEYS}
    return Meaning.of(told, states, actions)

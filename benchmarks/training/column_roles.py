"""What a sweep is told of a dataset's columns, and what it assumes where nobody says it.

Told is, each before the next: by an option of the command line (`--response answered`), by the dataset (`[meaning]` of
the map it was imported with), by the usual column names. All of it is said before any training, and kept in the
scorecard.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from frl_env.actions import ActionSpace
from frl_env.errors import UserError, shorten
from frl_env.evaluation.dataset_reading.dataset_facts import action_space_of, state_names_of
from frl_env.meaning import Meaning, said_of

NONE = "none"
"""Word of an option that says that there is none."""

USUAL = "the usual column names"
"""Who says what a column means where nobody does."""

OPTION = "option --"
"""Begins who says it where an option does."""

LABELS = {
    "response": "a member's answer shows in",
    "need_factor": "need is said by",
    "skill_factor": "skill is said by",
    "high_touch": "high touch",
    "indications": "indications",
    "spending": "spending",
    "contact_counts": "counts of the team's own contacts",
}

NO_RESPONSE = (
    "Nothing says which state shows that a member answered: FactoredAWR compares actions given the record alone, which "
    "confounding can bias, and no estimate that rests on answers (SNM) is a headline; name the state with --response, "
    "or with response under [meaning] in the map of the import."
)


@dataclass(frozen=True, kw_only=True)
class Told:
    """What is known of the columns of a dataset.

    Attributes:
        states: Names of its observations.
        meaning: What they mean.
        sources: By entry of the meaning, who said it.
    """

    states: tuple[str, ...]
    meaning: Meaning
    sources: Mapping[str, str]

    @property
    def of_care(self) -> bool:
        """Whether these are data of care: the dataset says what columns mean, or a usual name is among them."""
        meaning = self.meaning.to_json()
        return any(
            bool(meaning[key]) if source == USUAL else not source.startswith(OPTION)
            for key, source in self.sources.items()
        )

    @property
    def response(self) -> int | None:
        """Index of the state that shows a response."""
        return None if self.meaning.response is None else self.states.index(self.meaning.response)

    @property
    def indications(self) -> dict[str, int]:
        """Level to the index of the state that asks for it."""
        return {level: self.states.index(state) for level, state in self.meaning.indications.items()}

    @property
    def history(self) -> tuple[int, ...]:
        """States that tell how a member is; counts of contacts tell what the team did."""
        return tuple(index for index, name in enumerate(self.states) if name not in self.meaning.contact_counts)

    def rows(self) -> list[tuple[str, str, str]]:
        """What is asked, what it was taken for, and who said so; of data that are not of care what options say."""
        said, care = self.meaning.to_json(), self.of_care
        return [
            (LABELS[key], _words(said[key]), source)
            for key, source in self.sources.items()
            if care or source.startswith(OPTION)
        ]

    def lines(self) -> list[str]:
        """One line for each of `rows`; of data of care, a last one says what it costs if no response is known."""
        lines = [f"{label}: {words} ({source})" for label, words, source in self.rows()]
        if self.of_care and self.meaning.response is None:
            lines.append(NO_RESPONSE)
        return lines or ["nothing"]

    def to_json(self) -> dict[str, Any]:
        """All of it, JSON-able."""
        return {
            "meaning": self.meaning.to_json(),
            "sources": dict(self.sources),
            "rows": [*map(list, self.rows())],
            "of_care": self.of_care,
        }


def told_of(dataset: Any, said: str = "{}") -> Told:
    """What is known of the columns of a dataset.

    Args:
        dataset: A `minari.MinariDataset`.
        said: By options, from `options_said`.

    Raises:
        UserError: If a state, factor or level does not exist.
    """
    names = state_names_of(dataset)
    return told(names, action_space_of(dataset), kept=said_of(dataset), said=json.loads(said))


def told(
    states: Sequence[str],
    space: ActionSpace,
    *,
    kept: Mapping[str, Any] | None = None,
    said: Mapping[str, Any] | None = None,
) -> Told:
    """The same from names alone.

    Args:
        states: Names of the observations.
        space: The actions.
        kept: What the dataset says.
        said: What options say.

    Raises:
        UserError: If a state, factor or level does not exist.
    """
    kept, said = kept or {}, said or {}
    meaning = Meaning.of({**kept, **said}, states, space, where="option or [meaning]" if said else "[meaning]")
    if said.get("skill_factor") and meaning.need_factor is None:
        raise UserError(f"--skill-factor {meaning.skill_factor!r} needs a need factor; name it with --need-factor")
    sources = {
        key: f"{OPTION}{key.replace('_', '-')}" if key in said
        else ("the dataset says so" if kept[key] else "the dataset names none") if key in kept
        else USUAL
        for key in LABELS
    }  # fmt: skip
    return Told(states=tuple(states), meaning=meaning, sources=sources)


def add_options(parser: Any) -> None:
    """Adds the options by which a user says what columns mean."""
    group = parser.add_argument_group(
        "what the columns mean",
        f"by default what the dataset says, else {USUAL} (docs/own_data.md); {NONE}: there is none",
    )
    group.add_argument("--response", metavar="STATE", help="state that shows a week later that a contact was answered")
    group.add_argument(
        "--indications", metavar="LEVEL=STATE,...", help="levels, each with the state that asks for it (a screening)"
    )
    group.add_argument("--need-factor", metavar="FACTOR", help="factor that says which need a contact is about")
    group.add_argument("--skill-factor", metavar="FACTOR", help="factor that says whose skills a contact takes")
    group.add_argument("--high-touch", metavar="LEVEL,...", help="levels that take a person's presence")


def options_said(options: Any) -> str:
    """JSON of what the options of `add_options` say.

    Raises:
        UserError: If indications are not of the form LEVEL=STATE, or name a level twice.
    """
    said: dict[str, Any] = {}
    for key in ("response", "need_factor", "skill_factor"):
        given = getattr(options, key)
        if given is not None:
            said[key] = "" if given == NONE else given
    if options.high_touch is not None:
        said["high_touch"] = [] if options.high_touch == NONE else options.high_touch.split(",")
    if options.indications is not None:
        pairs = [] if options.indications == NONE else [_pair(part) for part in options.indications.split(",")]
        said["indications"] = dict(pairs)
        if len(said["indications"]) < len(pairs):
            raise UserError("--indications names one level twice; a level has one state that asks for it")
    return json.dumps(said, sort_keys=True)


def _pair(text: str) -> tuple[str, str]:
    level, equals, state = text.partition("=")
    if not (level and equals and state):
        raise UserError(f"--indications names {shorten(text)!r}; LEVEL=STATE is needed, several by comma, or {NONE}")
    return level, state


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        value = [f"{level} by {state}" for level, state in value.items()]
    if isinstance(value, list):
        value = ", ".join(value)
    return value or NONE

"""The rules that turn events into member-weeks, each with a name, a default and a check.

A rule decides what is counted, so each one is written into the metadata of the table that `frl weeks` makes, and from
there into the dataset's. `docs/event_tables.md` says in a sentence what each is for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from frl_env.errors import UserError, check_whole, unknown_name
from frl_env.meaning import PAID_WEEKS

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _choice(default: str, *others: str) -> Any:
    return field(default=default, metadata={"choices": (default, *others)})


def _days(default: int, low: int, high: int) -> Any:
    return field(default=default, metadata={"range": (low, high)})


def _codes(*defaults: str) -> Any:
    return field(default=defaults, metadata={"codes": True})


_DAY = {"day": True}
"""Marks a rule that is a date."""


@dataclass(frozen=True, kw_only=True)
class _Rules:
    """Checks every rule of a group by what its field says."""

    def __post_init__(self) -> None:
        """Checks them."""
        group = type(self).__name__.removesuffix("Rules").lower()
        for item in fields(self):
            name, value = f"rules.{group}.{item.name}", getattr(self, item.name)
            if "choices" in item.metadata and value not in item.metadata["choices"]:
                raise unknown_name(f"value of {name}:", value, item.metadata["choices"])
            if "range" in item.metadata:
                low, high = item.metadata["range"]
                check_whole(name, value, low=low, high=high)
            if "codes" in item.metadata and (
                not isinstance(value, list | tuple) or not all(isinstance(code, str) and code for code in value)
            ):
                raise UserError(f"{name} must be a list of codes, each in quotes")
            if "day" in item.metadata and not (value is None or type(value) is date):
                raise UserError(f"{name} must be a date, without quotes, like 2024-01-31")


@dataclass(frozen=True, kw_only=True)
class WeeksRules(_Rules):
    """Which weeks there are.

    Args:
        starts: The weekday on which every week starts; "member": at each member's first day.
        first_day: No week starts before it.
        last_day: No week ends after it.
    """

    starts: str = _choice("monday", *WEEKDAYS[1:], "member")
    first_day: date | None = field(default=None, metadata=_DAY)
    last_day: date | None = field(default=None, metadata=_DAY)

    def __post_init__(self) -> None:
        """Checks them, and their order."""
        super().__post_init__()
        if self.first_day is not None and self.last_day is not None and self.last_day < self.first_day:
            raise UserError("rules.weeks.last_day is before rules.weeks.first_day; no week lies between them")


@dataclass(frozen=True, kw_only=True)
class EnrolmentRules(_Rules):
    """Who is observed, and when it ends.

    Args:
        bridge_days: Gaps of up to so many days count as covered.
        gaps: "left_out": weeks that start in a gap are not observed; "kept": they are rows without events.
        gone_after_days: Who is not back after so many days has left for good; not used where the source says who left.
        min_age, max_age: Completed years at the start of a week; other weeks are left out, and counted.
        dual: Whether spans with Medicare are kept.
    """

    bridge_days: int = _days(0, 0, 366)
    gaps: str = _choice("left_out", "kept")
    gone_after_days: int = _days(90, 1, 3660)
    min_age: int = _days(0, 0, 120)
    max_age: int = _days(120, 0, 120)
    dual: str = _choice("kept", "left_out")

    def __post_init__(self) -> None:
        """Checks them, and their order."""
        super().__post_init__()
        if self.max_age < self.min_age:
            raise UserError("rules.enrolment.max_age is below rules.enrolment.min_age; nobody is left")


@dataclass(frozen=True, kw_only=True)
class ClaimsRules(_Rules):
    """Which claims count, from when on, and until when they are complete.

    Args:
        adjustments: "net": replacements, voids and reversals take back what they adjust; "ignored": every row
            counts but denied ones.
        as_of: Claims received later are not used.
        complete_through: Weeks that end later are left out; None: `run_out_days` before the newest claim.
        run_out_days: Days that claims take until nearly all are there.
        known: "when_received": a state counts only claims received before its week starts; "at_service": all.
        outside_coverage: Whether services on days without coverage are kept.
    """

    adjustments: str = _choice("net", "ignored")
    as_of: date | None = field(default=None, metadata=_DAY)
    complete_through: date | None = field(default=None, metadata=_DAY)
    run_out_days: int = _days(91, 0, 3660)
    known: str = _choice("when_received", "at_service")
    outside_coverage: str = _choice("left_out", "kept")

    def __post_init__(self) -> None:
        """Checks them, and their order."""
        super().__post_init__()
        if self.as_of is not None and self.complete_through is not None and self.as_of < self.complete_through:
            raise UserError(
                "rules.claims.complete_through is after rules.claims.as_of: claims received later are not used, so "
                "weeks after as_of can't be complete; correct one of the two"
            )


@dataclass(frozen=True, kw_only=True)
class EventsRules(_Rules):
    """What an ED visit is, and what a stay.

    Args:
        ed_revenue, ed_hcpcs, ed_places: Codes of which one makes a claim line an ED visit.
        ed_days: "one": one ED visit a member and day; "each_claim": every claim is one.
        stay_bill_types: First two digits of the bill types of stays.
        stay_gap_days: Stays that start up to so many days after another ended are one; -1: only those that overlap.
        transfer_codes: Discharge codes of a transfer to another hospital.
        transfer_days: The same as `stay_gap_days`, after a transfer.
        observation_revenue: Codes of observation.
        observation: "apart": neither a stay nor an ED visit; "stay"; "ed".
        ed_to_stay: "stay": an ED visit that ends in a stay is one event, the stay; "both": it is two.
        ed_to_stay_days: An ED visit up to so many days before the admission, or during the stay, belongs to it.
    """

    ed_revenue: Sequence[str] = _codes("0450", "0451", "0452", "0459", "0981")
    ed_hcpcs: Sequence[str] = _codes(
        "99281", "99282", "99283", "99284", "99285", "G0380", "G0381", "G0382", "G0383", "G0384"
    )
    ed_places: Sequence[str] = _codes("23")
    ed_days: str = _choice("one", "each_claim")
    stay_bill_types: Sequence[str] = _codes("11", "12")
    stay_gap_days: int = _days(1, -1, 30)
    transfer_codes: Sequence[str] = _codes("02", "05", "43", "65", "66", "82", "85", "88", "93", "94")
    transfer_days: int = _days(1, -1, 30)
    observation_revenue: Sequence[str] = _codes("0762")
    observation: str = _choice("apart", "stay", "ed")
    ed_to_stay: str = _choice("stay", "both")
    ed_to_stay_days: int = _days(1, 0, 7)

    def __post_init__(self) -> None:
        """Checks them, and that bill types are given by two digits."""
        super().__post_init__()
        if not all(len(code) == 2 and code.isdecimal() for code in self.stay_bill_types):
            raise UserError(
                'rules.events.stay_bill_types must be the first two digits of bill types, like "11" for 0111 to 0118'
            )


@dataclass(frozen=True, kw_only=True)
class ContactsRules(_Rules):
    """What the care program did.

    Args:
        several: Which of several attempts in a week is the decision, and which of several topics that of an attempt.
        intensity: Levels of the first factor, most intensive first, for "most_intensive".
        repeats: "one_a_day": attempts of the same kind on one day are one; "each": every row is one.
        unmapped: "fail", or "left_out": contacts of which a word has no level are left out, and counted.
        time_zone: Of the plan, like America/New_York; points in time are turned into its days.
        calls, texts: Levels that the states count as calls and as texts.
    """

    several: str = _choice("first", "last", "most_intensive", "reached_first")
    intensity: Sequence[str] = _codes("HOME_VISIT", "VIDEO_VISIT", "PHONE_CALL", "EHR_COMMUNICATION", "SMS_TEXT")
    repeats: str = _choice("one_a_day", "each")
    unmapped: str = _choice("fail", "left_out")
    time_zone: str = ""
    calls: Sequence[str] = _codes("PHONE_CALL")
    texts: Sequence[str] = _codes("SMS_TEXT")

    def __post_init__(self) -> None:
        """Checks them, and that there is such a zone."""
        super().__post_init__()
        try:
            ZoneInfo(self.time_zone or "UTC")
        except (KeyError, ValueError, OSError, TypeError):
            raise UserError(
                f"rules.contacts.time_zone: there is no zone {self.time_zone!r}; write it like America/New_York"
            ) from None


@dataclass(frozen=True, kw_only=True)
class StateRules(_Rules):
    """What the state before a decision holds, beside the counts of the week before.

    Args:
        paid_weeks: Weeks of service that `total_paid` adds up.
        enrolled_days: "covered": covered days before the week, gaps left out; "since_first": all since the first.
    """

    paid_weeks: int = _days(PAID_WEEKS, 1, 104)
    enrolled_days: str = _choice("covered", "since_first")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """All rules of a conversion."""

    weeks: WeeksRules = WeeksRules()
    enrolment: EnrolmentRules = EnrolmentRules()
    claims: ClaimsRules = ClaimsRules()
    events: EventsRules = EventsRules()
    contacts: ContactsRules = ContactsRules()
    state: StateRules = StateRules()

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> "Rules":
        """Rules from the tables of a spec; what it doesn't say is as by default.

        Raises:
            UserError: If a group, a rule or a value is unknown.
        """
        groups = {item.name: type(item.default) for item in fields(cls)}
        made = {}
        for group, values in said.items():
            if group not in groups:
                raise unknown_name("group of rules", group, groups)
            if not isinstance(values, Mapping):
                raise UserError(f"[rules.{group}] must be a table of name = value")
            known = [item.name for item in fields(groups[group])]
            for name in values:
                if name not in known:
                    raise unknown_name(f"rule in [rules.{group}]:", name, known)
            made[group] = groups[group](
                **{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
            )
        return cls(**made)

    def facts(self) -> dict[str, Any]:
        """All of them, JSON-able."""
        return {
            group: {
                name: value.isoformat()
                if isinstance(value, date)
                else list(value)
                if isinstance(value, tuple)
                else value
                for name, value in rules.items()
            }
            for group, rules in asdict(self).items()
        }

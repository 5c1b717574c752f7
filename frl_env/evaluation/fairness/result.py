"""What a fairness audit found, as types that hold nothing of a single member nor of a group that must not be shown."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from frl_env.errors import UserError, unknown_name
from frl_env.evaluation.fairness.contrasts import Contrast

PROBABILITIES = ("high_touch", "beyond_need", "high_touch_given_need")
"""Scores that are differences of probabilities, said in points of a percent."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A number with its interval over resamples of the members, where it has one."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Group:
    """One group of an attribute, or the joint group of two.

    Attributes:
        attribute, name: Of what, and which.
        members: How many; None when that must not be said.
        withheld: Why it has no measures; empty when it has.
        measures: By name; without those that too few of its members have.
    """

    attribute: str
    name: str
    members: int | None
    withheld: str
    measures: Mapping[str, Measured]


@dataclass(frozen=True, kw_only=True)
class Gap:
    """How far the groups of an attribute lie apart in one measure.

    Attributes:
        attribute, measure: Of what, in what.
        difference: Largest less smallest.
        ratio: Smallest over largest; None where that says nothing.
        by_chance: What the difference is on average when members are dealt out to the groups at random; None where that
            was not asked. A gap is never negative, so it is compared with this and not with 0.
    """

    attribute: str
    measure: str
    difference: float
    ratio: float | None
    by_chance: float | None


@dataclass(frozen=True, kw_only=True)
class CalibrationPoint:
    """Mean need of the members of a group with about the same high-touch probability."""

    attribute: str
    group: str
    bin: int
    high_touch: float
    need: float
    need_of_all: float


@dataclass(frozen=True, kw_only=True)
class FairnessAudit:
    """What an audit found; holds nothing of a single member, nor of a group that must not be shown.

    Attributes:
        members: How many were looked at.
        simulated: Whether they are simulated.
        privacy: What was suppressed, in words.
        attributes: Names of the attributes that were looked at.
        need: Name of the need that counts.
        needs: Names of all measures of need.
        high_need: Members with at least this much of it, and any, are in high need.
        value_source: Where values come from, in words; empty without.
        overall: Measures of all members.
        groups: All groups.
        gaps: By attribute and measure.
        contrasts: Differences between groups, with intervals and tests.
        calibration: Need by high-touch probability and group.
        settings: Minimum group size, level, resamples, permutations.
    """

    members: int
    simulated: bool
    privacy: str
    attributes: tuple[str, ...]
    need: str
    needs: tuple[str, ...]
    high_need: float
    value_source: str
    overall: Mapping[str, Measured]
    groups: tuple[Group, ...]
    gaps: tuple[Gap, ...]
    contrasts: tuple[Contrast, ...]
    calibration: tuple[CalibrationPoint, ...]
    settings: Mapping[str, float]

    def of(self, attribute: str) -> tuple[Group, ...]:
        """The groups of an attribute, or of two joined by `JOIN`.

        Raises:
            UserError: If the audit did not look at it.
        """
        found = tuple(group for group in self.groups if group.attribute == attribute)
        if not found:
            raise unknown_name("attribute", attribute, {group.attribute for group in self.groups})
        return found

    def gap(self, attribute: str, measure: str = "high_touch") -> Gap:
        """How far the groups of an attribute lie apart.

        Raises:
            UserError: If fewer than two of its groups have that measure, or there is no such thing.
        """
        for gap in self.gaps:
            if (gap.attribute, gap.measure) == (attribute, measure):
                return gap
        raise UserError(f"the audit has no gap of {measure!r} between groups of {attribute!r}")

    @property
    def found(self) -> tuple[Contrast, ...]:
        """Contrasts that are more than chance."""
        return tuple(contrast for contrast in self.contrasts if contrast.found)

    @property
    def sentences(self) -> list[str]:
        """The result in words: every difference that is more than chance, or that there is none."""
        if not self.settings["permutations"]:
            return ["Differences between groups were not tested.", self.privacy]
        tests = f"{len(self.contrasts)} contrasts, family-wise level {1 - self.settings['level']:.0%}"
        if not self.found:
            return [f"No difference between groups that is more than chance ({tests}).", self.privacy]
        said = [f"{len(self.found)} differences between groups are more than chance ({tests}):"]
        for c in self.found:
            scale, unit = (100, " points") if c.score in PROBABILITIES else (1, "")
            low, value, high = (f"{scale * number:+.2f}" for number in (c.low, c.difference, c.high))
            said.append(f"{c.attribute}, {c.first} less {c.second}: {c.score} {value}{unit} ({low} to {high})")
        return [*said, self.privacy]

    def table(self) -> pd.DataFrame:
        """One row a group and measure; one row without a measure for a withheld group."""
        rows = []
        for group in self.groups:
            facts = {"attribute": group.attribute, "group": group.name, "members": group.members}
            for name, measured in group.measures.items() or [("", Measured(value=float("nan")))]:
                rows.append(facts | {"measure": name, **asdict(measured), "withheld": group.withheld})
        return pd.DataFrame(rows).astype({"members": "Int64"})

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {"sentences": self.sentences, **asdict(self)}

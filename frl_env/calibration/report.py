"""A verdict on every anchor, and the report that people read."""

from collections.abc import Mapping
from typing import NamedTuple

from frl_env.calibration.anchors import ANCHORS, NOT_TESTED, Anchor
from frl_env.parameters import VERSION


class Verdict(NamedTuple):
    """An anchor and what the simulation gave."""

    section: str
    anchor: Anchor
    simulated: float

    @property
    def met(self) -> bool:
        """Whether the simulation falls into the range; NaN never does."""
        return self.anchor.low <= self.simulated <= self.anchor.high


def judge(measured: Mapping[str, float]) -> list[Verdict]:
    """A verdict on every anchor.

    Raises:
        KeyError: If an anchor was not measured.
    """
    return [Verdict(section, anchor, measured[anchor.key]) for section, group in ANCHORS.items() for anchor in group]


def markdown(verdicts: list[Verdict], measured: Mapping[str, float], *, command: str) -> str:
    """The report as a Markdown page.

    Args:
        verdicts: Of `judge`.
        measured: Of `measure`; figures without a verdict are taken from it.
        command: That writes the report.

    Raises:
        KeyError: If a figure was not measured.
    """
    missed = sum(not verdict.met for verdict in verdicts)
    lines = [
        "# Calibration of the simulator",
        "",
        f"Written by `{command}`; don't edit.",
        f"Parameters {VERSION}. {len(verdicts) - missed} of {len(verdicts)} anchors met.",
        "",
        "Base rates are those of members without any program. Certainty: H read in the source's abstract or",
        "table, M read with a caveat, D derived, A assumption. The range is the source's own interval where",
        "it has one.",
    ]
    section = ""
    for verdict in verdicts:
        if verdict.section != section:
            section = verdict.section
            lines += [
                "",
                f"## {section}",
                "",
                "| what | published | range | simulated | verdict | certainty | source |",
            ]
            lines.append("|---|---|---|---|---|---|---|")
        anchor = verdict.anchor
        source = anchor.source + (f"; {anchor.note}" if anchor.note else "")
        lines.append(
            f"| {anchor.what} | {show(anchor.target)} | {show(anchor.low)} to {show(anchor.high)} "
            f"| {show(verdict.simulated)} | {'met' if verdict.met else '**missed**'} | {anchor.certainty} | {source} |"
        )
    lines += ["", "## Measured, not tested", "", "| figure | simulated | why it is not an anchor |", "|---|---|---|"]
    for published, reason, key in NOT_TESTED:
        lines.append(f"| {published} | {'-' if key is None else show(measured[key])} | {reason} |")
    return "\n".join(lines) + "\n"


def show(number: float) -> str:
    """Three digits, or whole numbers from 100 up."""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"

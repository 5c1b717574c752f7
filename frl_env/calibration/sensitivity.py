"""What becomes of effects and order when an assumption is wrong: one at a time, the rest as it is."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from frl_env.parameters import VERSION, Parameters, preset
from frl_env.references import Heuristic, NoProgram, Oracle
from frl_env.rollout import rollout, standard_error
from frl_env.simulator.behaviour import BehaviourPolicy

SEED = 2
Change = Callable[[Parameters], Parameters]


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What one change does.

    Attributes:
        what: The change, in words.
        ed, ip: Rate ratios, care team against no program.
        heuristic: Heuristic above the care team, in value, and its standard error.
        ordered: Whether oracle > heuristic > care team > no program, each by two standard errors.
    """

    what: str
    ed: float
    ip: float
    heuristic: tuple[float, float]
    ordered: bool

    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        gain = f"{self.heuristic[0]:+.3f} ({self.heuristic[1]:.3f})"
        return self.what, f"{self.ed:.3f}", f"{self.ip:.3f}", gain, "yes" if self.ordered else "no"


def sweep(*, members: int, progress: Callable[[int, int], None] | None = None) -> list[Swept]:
    """Every change in turn, on the same members and chances.

    Args:
        members: Members of each rollout.
        progress: Called with (changes done, changes in all).
    """
    rows = []
    for done, (what, change) in enumerate(CHANGES.items(), start=1):
        rows.append(_measure(what, change(preset("rct")), members))
        if progress is not None:
            progress(done, len(CHANGES))
    return rows


def sweep_markdown(rows: list[Swept], *, members: int, report: str) -> str:
    """The table as a Markdown page.

    Args:
        rows: Of `sweep`.
        members: Members of each rollout.
        report: Where the page goes, for the command that it names.
    """
    lines = [
        "# How much hangs on the assumptions",
        "",
        f"Written by `frl sensitivity --members {members} --report {report}`; don't edit.",
        f"Parameters {VERSION}, preset rct, {members:,} members, common random numbers.",
        "One assumption moved at a time, the rest as it is.",
        "The anchors of the trial are ED 0.91 to 1.00 and stays 0.81 to 0.98.",
        "",
        "| assumption | ED ratio | stays ratio | heuristic over team (SE) | order kept |",
        "|---|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(row.cells())} |" for row in rows]
    lines += ["", "Order: oracle > heuristic > care team > no program, each by two standard errors."]
    return "\n".join(lines) + "\n"


def _measure(what: str, world: Parameters, members: int) -> Swept:
    """Effects of the team, and the order of the reference policies, in one changed world."""
    nothing, team, heuristic, oracle = (
        rollout(policy, world, members=members, seed=SEED)
        for policy in (NoProgram(), BehaviourPolicy(world), Heuristic(), Oracle(world))
    )
    steps = [high.value - low.value for low, high in ((nothing, team), (team, heuristic), (heuristic, oracle))]
    ed, ip = (
        (getattr(team, kind).sum() / team.weeks.sum()) / (getattr(nothing, kind).sum() / nothing.weeks.sum())
        for kind in ("ed", "ip")
    )
    return Swept(
        what=what,
        ed=float(ed),
        ip=float(ip),
        heuristic=(float(steps[1].mean()), standard_error(steps[1])),
        ordered=all(step.mean() > 2 * standard_error(step) for step in steps),
    )


def _reach(modality: int, shift: float) -> Change:
    """A change that adds to the chance of being reached over one modality."""

    def change(world: Parameters) -> Parameters:
        reach = np.asarray(world.outreach.reach)
        reach[modality] += shift
        return replace(world, outreach=replace(world.outreach, reach=tuple(reach.tolist())))

    return change


def _effects(**values: object) -> Change:
    return lambda world: replace(world, effects=replace(world.effects, **values))  # type: ignore[arg-type]


def _resolve(ratio: float) -> Change:
    """A change of every chance that a contact closes its need, by a ratio."""
    return lambda world: _effects(resolve=tuple(ratio * value for value in world.effects.resolve))(world)


def _outreach(**values: object) -> Change:
    return lambda world: replace(world, outreach=replace(world.outreach, **values))  # type: ignore[arg-type]


def _hazards(**values: object) -> Change:
    return lambda world: replace(world, hazards=replace(world.hazards, **values))  # type: ignore[arg-type]


CHANGES: dict[str, Change] = {
    "as it is": lambda world: world,
    "video reach 0.15 lower": _reach(3, -0.15),
    "video reach 0.15 higher": _reach(3, 0.15),
    "home reach 0.15 lower": _reach(4, -0.15),
    "home reach 0.15 higher": _reach(4, 0.15),
    "contact fatigue half (0.20)": _outreach(fatigue_reach=0.20),
    "contact fatigue half again (0.60)": _outreach(fatigue_reach=0.60),
    "resolution half": _resolve(0.5),
    "resolution double": _resolve(2.0),
    "unmatched contacts give no support": _effects(unmatched=0.0),
    "unmatched contacts give as much support as matched ones": _effects(unmatched=1.0),
    "telephone gives half the support of a home visit": _effects(engagement=(0.0, 0.50, 0.03, 0.50, 1.00, 0.05)),
    "support lasts half as long (4 weeks)": _effects(support_half_life=4.0),
    "support lasts twice as long (16 weeks)": _effects(support_half_life=16.0),
    "no week-to-week acuity": _hazards(acuity_sd=0.0),
    "twice the acuity": _hazards(acuity_sd=0.8),
    "needs turn over three times as fast": _hazards(need_turnover=0.018),
}
"""Changes of assumptions, by what they are called in the report."""

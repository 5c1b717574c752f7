"""Does the fairness audit get known answers right? Three checks on the simulator, where the answers are known.

    python benchmarks/studies/fairness_checks.py disparity    the team under-serves two groups by design: is it found?
    python benchmarks/studies/fairness_checks.py level        groups that differ in nothing: how often is one found?
    python benchmarks/studies/fairness_checks.py utilisation  a rule that takes spending for need: is it seen through?

`disparity` and `level` audit the care team's logged decisions in many replicates, each with members of its own. In the
world of `level` no parameter depends on race, so labels are dealt out at random and every finding is a false one.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.command_line import Parser, check_at_least, check_writable
from benchmarks.sweep.results import write_bytes
from benchmarks.truth.member_table import SPENDING, MemberWatch
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.behaviour import BehaviourPolicy
from frl_env.evaluation.fairness.allocations import joints_with
from frl_env.evaluation.fairness.audit import AuditedMembers, FairnessAudit, audit
from frl_env.evaluation.member_records import LATENT_NEED
from frl_env.parameters import MEASURES, RACES, Parameters
from frl_env.population import Members
from frl_env.references import Policy
from frl_env.rollout import rollout
from frl_env.state import State, need_flags, observe
from frl_env.terminal import progress_bar, run_or_say

SEED = 977
RACE = "race_ethnicity"
CAPACITY = 0.25
"""Share of the members whom the rules of `utilisation` visit in a week."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one check and shows it."""
    options = _parser().parse_args(arguments)
    check_at_least(options, replicates=2, members=200)
    if options.out:
        check_writable(Path(options.out))
    found = utilisation(options.members) if options.check == "utilisation" else replicates(options)
    if options.out:
        content = json.dumps({"check": options.check, **found}, indent=2, allow_nan=False) + "\n"
        write_bytes(Path(options.out) / f"{options.check}.json", content.encode())


def without_disparity(world: Parameters) -> Parameters:
    """The same world with nothing in it that depends on race."""
    alike, nothing = (1.0,) * len(RACES), (0.0,) * len(RACES)
    changes = {"race_social_odds": alike, "race_clinical_odds": alike, "race_ed_residual": alike}
    return dataclasses.replace(
        world,
        population=dataclasses.replace(world.population, **changes),
        outreach=dataclasses.replace(world.outreach, race_reach=world.outreach.race_reach[:1] * len(RACES)),
        team=dataclasses.replace(world.team, race_contact=nothing, race_home=alike),
    )


def replicates(options: argparse.Namespace) -> dict[str, Any]:
    """Audits of the care team's home visits in many replicates, against the truth of as many members as all of them."""
    world = Parameters() if options.check == "disparity" else without_disparity(Parameters())
    totals, counts = dict.fromkeys(RACES, 0.0), dict.fromkeys(RACES, 0)
    audits: list[FairnessAudit] = []
    with progress_bar() as tell:
        for number in range(options.replicates):
            table = _care_team(world, options.members, 2 * number)
            audits.append(_audit(table, np.random.default_rng([SEED, number]), permutations=10))
            others = _care_team(world, options.members, 2 * number + 1)
            labels, visits = others[RACE].to_numpy(), others["high_touch"].to_numpy(dtype=np.float64)
            for race in RACES:
                totals[race] += float(visits[labels == race].sum())
                counts[race] += int((labels == race).sum())
            tell(options.check, number + 1, options.replicates)
    means = {race: totals[race] / counts[race] for race in RACES}
    pairs = []
    for first, second in dict.fromkeys((c.first, c.second) for c in audits[0].contrasts):
        true = means[first] - means[second]
        own = [c for a in audits for c in a.contrasts if (c.first, c.second, c.score) == (first, second, "high_touch")]
        pairs.append(
            {
                "first": first,
                "second": second,
                "true": true,
                "mean": float(np.mean([c.difference for c in own])),
                "covered": float(np.mean([c.low <= true <= c.high for c in own])),
                "found": float(np.mean([c.found for c in own])),
            }
        )
    any_found = float(np.mean([bool(a.found) for a in audits]))
    settings = {"replicates": options.replicates, "members": options.members, "contrasts": len(audits[0].contrasts)}
    _show_replicates(options.check, pairs, any_found, settings)
    return {**settings, "pairs": pairs, "any_found": any_found}


def utilisation(members: int) -> dict[str, Any]:
    """Home visits by recorded spending and by latent need, each to the same share of the members a week."""
    rows, world = [], Parameters()
    rules: dict[str, Policy] = {"by spending": Visits(_spending), "by open needs": Visits(_open_needs)}
    for name, policy in {"as logged": BehaviourPolicy(world), **rules}.items():
        found = _audit(_table(policy, world, members, 0), np.random.default_rng(SEED), permutations=0)
        for group in found.of(RACE):
            numbers = {key: dataclasses.asdict(value) for key, value in group.measures.items()}
            rows.append({"rule": name, "group": group.name, "members": group.members, "measures": numbers})
    _show_utilisation(rows, members)
    return {"members": members, "rows": rows}


@dataclasses.dataclass(frozen=True)
class Visits:
    """A home visit each week to the members that come first; ties by lot.

    Attributes:
        score: Of members and state; high comes first.
    """

    score: Any

    def act(self, members: Members, state: State, rng: np.random.Generator) -> np.ndarray:
        """Visits `CAPACITY` of the members."""
        order = np.lexsort((rng.random(len(members)), -np.where(state.active, self.score(members, state), -np.inf)))
        levels = np.tile(MEDICAID_ACTIONS.null_action, (len(members), 1))
        chosen = order[: round(CAPACITY * int(np.sum(state.active)))]
        levels[chosen] = MEDICAID_ACTIONS.encode([("HOME_VISIT", "CARE_COORDINATOR", "CARE", "ROUTINE")])[0]
        return levels


def _spending(_: Members, state: State) -> np.ndarray:
    return observe(state)[:, MEASURES.index("total_paid")]


def _open_needs(members: Members, _: State) -> np.ndarray:
    return need_flags(members.open_needs).sum(axis=1)


def _care_team(world: Parameters, members: int, number: int) -> pd.DataFrame:
    return _table(BehaviourPolicy(world), world, members, number)


def _table(policy: Policy, world: Parameters, members: int, number: int) -> pd.DataFrame:
    watch = MemberWatch({"high_touch": joints_with(MEDICAID_ACTIONS, ["HOME_VISIT"]).astype(np.float32)})
    return watch.table(rollout(policy, world, members=members, seed=(SEED, number), record=watch))


def _audit(table: pd.DataFrame, rng: np.random.Generator, permutations: int) -> FairnessAudit:
    """Race alone, since other attributes do make a difference; `audit` raises the permutations to what a test needs."""
    members = AuditedMembers(
        high_touch=table["high_touch"].to_numpy(),
        attributes={RACE: table[RACE].to_numpy()},
        needs={name: table[name].to_numpy() for name in (LATENT_NEED, SPENDING)},
        values=table["value"].to_numpy(),
        simulated=True,
    )
    return audit(members, rng=rng, resamples=400, permutations=permutations)


def _show_replicates(check: str, pairs: Sequence[dict[str, Any]], any_found: float, settings: dict[str, int]) -> None:
    title = f"{check}: {settings['replicates']} audits of {settings['members']:,} members, home visits of the care team"
    table = Table(title=title, title_justify="left")
    for name in ("groups", "true, points", "mean of audits", "95 % interval covers", "found"):
        table.add_column(name, justify="left" if name == "groups" else "right", no_wrap=True)
    for pair in pairs:
        table.add_row(
            f"{pair['first']} less {pair['second']}",
            f"{100 * pair['true']:+.3f}",
            f"{100 * pair['mean']:+.3f}",
            f"{pair['covered']:.1%}",
            f"{pair['found']:.1%}",
        )
    console = _console()
    console.print(table)
    error = np.sqrt(any_found * (1 - any_found) / settings["replicates"])
    console.print(
        f"Audits that found any difference, of {settings['contrasts']} contrasts at a family-wise level of 5 %: "
        f"{any_found:.1%} (standard error {error:.1%})."
    )


def _show_utilisation(rows: Sequence[dict[str, Any]], members: int) -> None:
    table = Table(title=f"home visits to a quarter of {members:,} simulated members a week", title_justify="left")
    columns = {
        "high_touch": "visits a week",
        f"need_ratio ({SPENDING})": "against spending",
        f"need_ratio ({LATENT_NEED})": "against open needs",
        "need_given_high_touch": "needs at equal visits",
    }
    for name in ("rule", "group", *columns.values()):
        table.add_column(name, justify="left" if name in ("rule", "group") else "right", no_wrap=True)
    for before, row in zip([{"rule": ""}, *rows], rows, strict=False):
        cells = []
        for measure in columns:
            number = row["measures"][measure]
            cells.append(f"{number['value']:.3f} [{number['low']:.3f}, {number['high']:.3f}]")
        table.add_row(row["rule"] if row["rule"] != before["rule"] else "", row["group"], *cells)
    console = _console()
    console.print(table)
    console.print(
        "against: share of visits over share of spending, or of open needs; 1 is in proportion.\n"
        "needs at equal visits: open needs beyond those of others who get as many visits."
    )


def _console() -> Console:
    console = Console()
    if not console.is_terminal:
        console.width = 150
    return console


def _parser() -> argparse.ArgumentParser:
    parser = Parser(description="Known answers for the fairness audit.")
    parser.add_argument("check", choices=("disparity", "level", "utilisation"))
    parser.add_argument("--replicates", type=int, default=200, help="audits of disparity and level (default 200)")
    parser.add_argument("--members", type=int, default=3_000, help="members of each audit (default 3000)")
    parser.add_argument("--out", help="folder for the numbers as JSON")
    return parser


if __name__ == "__main__":
    run_or_say(main)

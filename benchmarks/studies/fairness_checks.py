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
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.policy_scoring.member_table import SPENDING, MemberWatch
from benchmarks.result_records.kept_results import Kept
from benchmarks.result_records.study import Study, Unit
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.evaluation.dataset_reading.member_records import LATENT_NEED
from frl_env.evaluation.fairness.allocations import joints_with
from frl_env.evaluation.fairness.audit import AuditedMembers, FairnessAudit, audit
from frl_env.parameters import MEASURES, RACES, Parameters
from frl_env.references import Policy
from frl_env.rollout import rollout
from frl_env.simulator.behaviour import BehaviourPolicy
from frl_env.simulator.population import Members
from frl_env.simulator.state import State, need_flags, observe
from frl_env.terminal import run_or_say

SEED = 977
RACE = "race_ethnicity"
RESULTS = Kept("benchmarks.studies.fairness_checks")
BY_PAIR = {
    "groups": "{groups}",
    "true difference, points a week": "{true:+.3f}",
    "mean of the audits": "{mean:+.3f}",
    "95 % interval covers it": "{covered:.1f} %",
    "found": "{found:.1f} %",
}
MEASURED = {
    "visits": "high_touch",
    "spending": f"need_ratio ({SPENDING})",
    "needs": f"need_ratio ({LATENT_NEED})",
    "beyond": "need_given_high_touch",
}
"""Measures of `utilisation` by their field."""

BY_RULE = {
    "rule": "{rule}",
    "group": "{group}",
    "visits a week": "{visits:.3f} [{visits_low:.3f}, {visits_high:.3f}]",
    "against spending": "{spending:.3f} [{spending_low:.3f}, {spending_high:.3f}]",
    "against open needs": "{needs:.3f} [{needs_low:.3f}, {needs_high:.3f}]",
    "needs at equal visits": "{beyond:.3f} [{beyond_low:.3f}, {beyond_high:.3f}]",
}
BY_RULE_CAPTION = (
    "against: share of visits over share of spending, or of open needs; 1 is in proportion.\n"
    "needs at equal visits: open needs beyond those of others who get as many visits."
)
CAPACITY = 0.25
"""Share of the members whom the rules of `utilisation` visit in a week."""


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("check", choices=("disparity", "level", "utilisation"))


STUDY = Study(
    RESULTS,
    "Known answers for the fairness audit.",
    {
        "replicates": (200, 2, "audits of disparity and level"),
        "members": (3_000, 200, "members of each audit"),
    },
    _more,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one check and shows it."""
    options = STUDY.options(arguments)
    if options.check == "utilisation":
        unit = Unit("utilisation", partial(utilisation, options.members), {"members": options.members, "seed": SEED})
        (rows,) = STUDY.each([unit], options, options.check)
        columns, caption = BY_RULE, BY_RULE_CAPTION
        title = f"home visits to a quarter of {options.members:,} simulated members a week"
    else:
        rows = replicates(options)
        columns, caption = BY_PAIR, f"Family-wise level: 5 % over {rows[-1]['contrasts']} contrasts of an audit."
        title = f"{options.check}: {options.replicates} audits of {options.members:,} members"
    STUDY.tell(rows, columns, options, part=options.check, title=title, caption=caption)


def without_disparity(world: Parameters) -> Parameters:
    """The world with every parameter that depends on race made equal for all."""
    alike, nothing = (1.0,) * len(RACES), (0.0,) * len(RACES)
    changes = {"race_social_odds": alike, "race_clinical_odds": alike, "race_ed_residual": alike}
    return dataclasses.replace(
        world,
        population=dataclasses.replace(world.population, **changes),
        outreach=dataclasses.replace(world.outreach, race_reach=world.outreach.race_reach[:1] * len(RACES)),
        team=dataclasses.replace(world.team, race_contact=nothing, race_home=alike),
    )


def replicates(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Audits of the care team's home visits in many replicates, against the truth of as many members as all of them."""
    world = Parameters() if options.check == "disparity" else without_disparity(Parameters())
    units = [
        Unit(
            f"{options.check}-{number:04d}",
            partial(_replicate, world, options.members, number),
            {"check": options.check, "members": options.members, "seed": (SEED, number)},
        )
        for number in range(options.replicates)
    ]
    audits = STUDY.each(units, options, options.check)
    means = {race: sum(a["visits"][race] for a in audits) / sum(a["of"][race] for a in audits) for race in RACES}
    rows: list[dict[str, Any]] = []
    for first, second in dict.fromkeys((c["first"], c["second"]) for c in audits[0]["pairs"]):
        true = means[first] - means[second]
        own = [c for a in audits for c in a["pairs"] if (c["first"], c["second"]) == (first, second)]
        rows.append({
            "groups": f"{first} less {second}",
            "true": 100 * true,
            "mean": 100 * float(np.mean([c["difference"] for c in own])),
            "covered": 100 * float(np.mean([c["low"] <= true <= c["high"] for c in own])),
            "found": 100 * float(np.mean([c["found"] for c in own])),
        })  # fmt: skip
    any_found = float(np.mean([audit["any_found"] for audit in audits]))
    return [*rows, {
        "groups": "any", "true": None, "mean": None, "covered": None, "found": 100 * any_found,
        "found_error": 100 * float(np.sqrt(any_found * (1 - any_found) / len(audits))),
        "contrasts": audits[0]["contrasts"],
        "least_covered": min(row["covered"] for row in rows), "most_covered": max(row["covered"] for row in rows),
    }]  # fmt: skip


def _replicate(world: Parameters, members: int, number: int) -> dict[str, Any]:
    """One audit, and sums of visits over as many other members."""
    found = _audit(_care_team(world, members, 2 * number), np.random.default_rng([SEED, number]), permutations=10)
    others = _care_team(world, members, 2 * number + 1)
    labels, visits = others[RACE].to_numpy(), others["high_touch"].to_numpy(dtype=np.float64)
    names = ("first", "second", "difference", "low", "high", "found")
    own = [contrast for contrast in found.contrasts if contrast.score == "high_touch"]
    return {
        "pairs": [{name: _plain(getattr(contrast, name)) for name in names} for contrast in own],
        "contrasts": len(found.contrasts),
        "any_found": bool(found.found),
        "visits": {race: float(visits[labels == race].sum()) for race in RACES},
        "of": {race: int((labels == race).sum()) for race in RACES},
    }


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def utilisation(members: int) -> list[dict[str, Any]]:
    """Home visits by recorded spending and by latent need, each to the same share of the members a week."""
    rows, world = [], Parameters()
    rules: dict[str, Policy] = {"by spending": Visits(_spending), "by open needs": Visits(_open_needs)}
    for name, policy in {"as logged": BehaviourPolicy(world), **rules}.items():
        found = _audit(_table(policy, world, members, 0), np.random.default_rng(SEED), permutations=0)
        for group in found.of(RACE):
            row = {"name": f"{name}, {group.name}", "rule": name, "group": group.name, "members": group.members}
            for short, measure in MEASURED.items():
                told = group.measures[measure]
                row |= {short: _plain(told.value), f"{short}_low": _plain(told.low), f"{short}_high": _plain(told.high)}
            rows.append(row)
    return rows


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
    """One row a member of a rollout of the policy, with its chance of a home visit."""
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


if __name__ == "__main__":
    run_or_say(main)

"""The leaderboard: its sweeps, the page, and the figure from which other pages take its numbers.

    python benchmarks/docs_pages/leaderboard.py --figure         runs what is missing of its sweeps: hours; it resumes
    python benchmarks/docs_pages/leaderboard.py results-v0 ...   from scorecards that are there

It computes nothing: every number on the page stands in a scorecard. Sections of datasets that are not given stay as
they are. Where code has changed since, they say so.

What each line gains within each budget goes with the page into `benchmarks/figures/leaderboard.json`, from which README
and other pages take it. A row is named by dataset, policy and mode, with the number of seeds where there are several:
`v0 factored_awr stochastic`, `v0x5 factored_awr stochastic`.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

import json
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.command_line import Parser
from benchmarks.docs_pages.leaderboard_page import MARK, line_of, page
from benchmarks.result_records.code_key import ROOT
from benchmarks.result_records.figures import FOLDER, figure_text, read_figure
from benchmarks.sweep.budgets import NONE, TEAM
from benchmarks.sweep.curves import point_at
from benchmarks.sweep.jobs import code_hash
from frl_env.errors import UserError
from frl_env.evaluation.files import write_together
from frl_env.files.output_paths import check_new
from frl_env.terminal import run_or_say

PAGE = Path(__file__).resolve().parents[1] / "LEADERBOARD.md"

FIGURE = f"{FOLDER.name}/leaderboard.json"
"""Beside the page."""

OTHER_CODE = "other code than today's"
"""In place of a hash of code, which nobody knows of scorecards of an earlier day."""

SWEEPS = {
    "v0": "--algo all --budget 1.0,team,7.0,none --seeds 5",
    "large-v0": "--dataset frl/medicaid-synthetic-large-v0 --algo risk_ranking,risk_ranking_history,"
    "risk_ranking_team_contacts,spending_ranking,uplift,factored_awr,factored_awr_same_contacts,discrete_bc,cql,iql "
    "--budget 1.0,team,7.0,none --seeds 1",
    "screened-v0": "--dataset frl/medicaid-synthetic-screened-v0 --algo all --budget 1.0,team,7.0,none --seeds 1",
    "null-v0": "--dataset frl/medicaid-synthetic-null-v0 --algo all --budget 1.0,team,7.0,none --seeds 1",
}
"""Options of `benchmarks/run.py`, by the folder of their results: the sections of the page."""

NOT_USED = (
    "benchmarks.policy_scoring.logged_values",
    "benchmarks.policy_scoring.audits",
    "benchmarks.policy_scoring.panel",
    "benchmarks.policy_scoring.policy_behaviour",
    "frl_env.evaluation.fairness",
)
"""What a run makes beside what this page shows: values by logged weeks (`--ope`, which no sweep asks for), audits, and
what the report draws."""

SWEPT = ROOT / "results" / "leaderboard"
"""Where these folders are."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the scorecards and writes the page."""
    parser = Parser(description="Write the leaderboard from the scorecards of finished sweeps.")
    parser.add_argument(
        "results", nargs="*", type=Path, help="results folders of benchmarks/run.py, one a dataset and number of seeds"
    )
    parser.add_argument("-o", "--out", type=Path, default=PAGE, help="the page (default benchmarks/LEADERBOARD.md)")
    parser.add_argument("--force", action="store_true", help="replace a file of that name that is no leaderboard")
    parser.add_argument("--figure", action="store_true", help="run the page's own sweeps first; hours, and it resumes")
    options = parser.parse_args(arguments)
    if bool(options.results) == options.figure:
        raise UserError("name the results folders of finished sweeps, or write --figure alone to run those of the page")
    check_new(options.out, force=options.force, mark=MARK)
    cards = [_read(folder) for folder in (swept() if options.figure else options.results)]
    figure = options.out.parent / FIGURE
    changed = not (figure.exists() and read_figure(figure.stem, figure.parent).current)
    text = page(cards, before=options.out.read_text() if options.out.exists() else "", changed=changed)
    contents = {options.out.name: text.encode()}
    if options.out.resolve() == PAGE:
        contents[FIGURE] = kept_figures(cards, figure).encode()
    for file in write_together(options.out.parent, contents):
        print(f"leaderboard: {file}")


def swept() -> list[Path]:
    """The results folders of `SWEEPS`, after what is missing in them was run.

    Raises:
        UserError: If a sweep fails; what it has finished is kept.
    """
    for name, options in SWEEPS.items():
        command = [sys.executable, "benchmarks/run.py", *shlex.split(options), "--out", str(SWEPT / name)]
        status = subprocess.run(command, cwd=ROOT, check=False).returncode
        if status:
            raise UserError(f"the sweep {name} has not ended (status {status}); the same command goes on where it was")
    return [SWEPT / name for name in SWEEPS]


def figure_rows(card: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each line of one dataset gains over the care team, by budget.

    Returns:
        A row a policy and mode: `name`; `gain`, `low` and `high` at the team's own minutes, the same with the budget
        before them for others (`at_7_gain`, `none_gain`), None where it was not scored; `minutes`, the team's own;
        `seconds` and `megabytes` of a training, where there was one without a budget.
    """
    short = card["dataset"].rpartition("/")[2].removeprefix("medicaid-synthetic-")
    seeds = card["summary"][0]["seeds"]
    short += f"x{seeds}" if seeds > 1 else ""
    team = card["references"]["behaviour"]["effort_minutes_per_week"]
    budgets = dict.fromkeys(point["budget"] for entry in card["curves"] for point in entry["points"])
    trained = {(row["algo"], row["mode"]): row for row in card["summary"]}
    rows = []
    for entry in card["curves"]:
        mode = "" if entry["kind"] in ("reference", "bound") else f" {entry['mode']}"
        row = {"name": f"{short} {entry['policy']}{mode}", "label": line_of(entry), "seeds": entry["seeds"]}
        for budget in budgets:
            before = {TEAM: "", NONE: "none_"}.get(budget, f"at_{budget:g}_" if isinstance(budget, float) else None)
            if before is not None:
                point = point_at(entry, budget)
                low, high = (None, None) if point is None or point["interval"] is None else point["interval"]
                gain = None if point is None else point["gain"]
                row |= {f"{before}gain": gain, f"{before}low": low, f"{before}high": high}
        run = trained.get((entry["policy"], entry["mode"]), {})
        rows.append(row | {"minutes": team, "seconds": run.get("wall_s"), "megabytes": run.get("peak_rss_mb")})
    return rows


def kept_figures(cards: Sequence[Mapping[str, Any]], file: Path) -> str:
    """The file of figures: rows of these datasets anew, of others as they were; then it is as old as the oldest.

    Scorecards may be of other code than today's, too: their folders are named by whoever types the command.
    """
    rows = [row for card in cards for row in figure_rows(card)]
    new = {row["name"].split()[0] for row in rows}
    data = {card["dataset"]: str(card["dataset_sha256"]) for card in cards}
    code, measured_at, confirmed = None, None, None
    if file.exists():
        before = read_figure(file.stem, file.parent)
        kept = [dict(row) for row in before.rows if str(row["name"]).split()[0] not in new]
        rows += kept
        data = dict(before.data) | data
        if kept:
            code, measured_at, confirmed = before.code, before.commit, before.confirmed
    for card in cards:
        if _is_of_other_code(card):
            code, measured_at, confirmed = OTHER_CODE, str(card.get("commit") or ""), None
    return figure_text(
        file.stem,
        rows,
        columns={"policy": "{label}", "gain at the team's own minutes [95 %]": "{gain:+.3f} [{low:+.3f}, {high:+.3f}]"},
        command="python benchmarks/docs_pages/leaderboard.py --figure",
        programs=["benchmarks.run"],
        without=NOT_USED,
        data=data,
        code=code,
        measured_at=measured_at,
        confirmed=confirmed,
    )


def _is_of_other_code(card: Mapping[str, Any]) -> bool:
    """Whether a run of a scorecard was trained or scored by other code than today's; each keeps the hash of its own."""
    codes = {(row["algo"], row.get("code")) for row in card["runs"]}
    return any(code != code_hash(algo, bool(card.get("ope"))) for algo, code in codes)


def _read(folder: Path) -> dict[str, Any]:
    file = folder / "scorecard.json"
    try:
        card = json.loads(file.read_text())
    except OSError as problem:
        raise UserError(
            f"can't read {file} ({problem.strerror}); run benchmarks/run.py --out {folder} first"
        ) from problem
    except (ValueError, RecursionError) as problem:
        raise UserError(f"{file} is damaged; run benchmarks/run.py --out {folder} again") from problem
    if not isinstance(card, dict) or not card.get("summary"):
        raise UserError(f"{file} holds no trained algorithm; run benchmarks/run.py --algo all --out {folder}")
    return card


if __name__ == "__main__":
    run_or_say(main)

"""The leaderboard page in Markdown: one table of all datasets, how to read it, and a section a dataset."""

import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.sweep.budgets import NONE, TEAM
from benchmarks.sweep.curves import point_at
from benchmarks.sweep.scorecard_tables import contact_shares, spread, unlimited
from benchmarks.sweep.statistics import PROFILE
from benchmarks.training import algorithms, stock_lines
from frl_env.errors import UserError

MARK = "Written by `python benchmarks/docs_pages/leaderboard.py"
"""By which a page is known that may be written anew."""

WRITTEN = f"{MARK} --figure`; don't edit.\nEach section has its command."

MEASURED = "<!-- measured: leaderboard --><!-- end -->"
"""`make pages` writes what is known of the code behind the page."""

SHORT = (
    "Events avoided a member and year, more than the care team avoids, in the team's own staff minutes.",
    "Intervals are 95 %, over the members on whom policies are tried. With several seeds they are over",
    "draws of the data, too. The last column is the difference of the first two, in pairs.",
)

COMPARED = {
    "FactoredAWR": ("factored_awr",),
    "best risk ranking, told its contacts": ("risk_ranking", "risk_ranking_history"),
    "risk ranking of the team's own contacts": ("risk_ranking_team_contacts",),
    "best of d3rlpy's own": tuple(stock_lines.LINES),
    "best rule found by search": ("best_record_and_contacts",),
}
"""Columns of the first table, and the lines of which the best by true values stands in it."""

_SHORT_HEAD = (
    f"| dataset | {' | '.join(COMPARED)} | FactoredAWR less that ranking |",
    f"|---|{'---|' * (len(COMPARED) + 1)}",
)

READING = (
    "- Seed k is training seed k on data replicate k (other members of the same world), for all",
    "  algorithms alike.",
    "- **Q(B)**: each policy within B staff minutes a member-week. *team* is what the care team itself",
    "  spends, and the order of the table. A policy that offers gains is allocated by gain a minute.",
    "  One with probabilities gets a price a minute. Contacts of one that only acts are dropped at",
    "  random (`frl_env.capacity`).",
    "- **FactoredAWR less this**: at the team's minutes, in pairs of the same seed and members.",
    "- **upper_bound**: its interval is 1.96 standard errors to either side.",
    "- Who is contacted is kept of seed 0, and shown of it.",
    "- **area**: mean gain over *no program* from 0 minutes to the largest budget.",
    "- *best* in the first table: the line with the highest true value at the team's own minutes.",
    "- **tried**: policies among which a line's settings were chosen: off-policy by other members",
    "  (without truth), and by true values (with truth). A ranking that makes the visits of another",
    "  has settings that were tried there. Told nothing, FactoredAWR has the rules and scales that it",
    "  has elsewhere: its 0 counts what was tried for this line alone.",
    "- **vs behaviour**: events of a member in a year, fewer than under the team whose data it is.",
    "  Interquartile mean over seeds, with a 95 % bootstrap interval over seeds and members.",
    "- **score**: 0 is no program, 100 the best policy on the observations that search found on the",
    "  simulator.",
    "- **behind the first**: difference to the first line, in pairs (same seed, same members). **P**:",
    "  chance that a run of the first beats a run of this one, which one seed does not tell.",
    "- *Told the ranking's contacts*: within a budget. Without a limit that line is FactoredAWR.",
    "- *stochastic*: actions are drawn from the policy; *greedy*: its best action. Q-learning has the",
    "  latter only.",
    "- Same data, scaling of observations and number of updates for all; settings by the same rule,",
    "  below.",
    "- FactoredAWR is told which observation shows a response and that goals answer to needs. Its rules",
    "  and prior scales were chosen by true values on other members of this world",
    "  ([factored_awr.md](../docs/factored_awr.md#what-it-learns)).",
    "- Wall time and updates/s: medians, one thread a run, with whatever else the machine did then.",
)

INDENT = "    "
"""Of a block of code in Markdown."""

OLDER = "† Trained and scored by earlier code than this commit's, and taken as it is (`--older`)."

KEPT = "*Kept from an earlier page: measured at the commit above, and what has changed since does not show.*"


def page(cards: Sequence[Mapping[str, Any]], before: str = "", *, changed: bool = True) -> str:
    """The page in Markdown.

    Args:
        cards: Scorecards, one a dataset.
        before: The page as it was, from which the sections of other datasets are taken.
        changed: Whether those were measured by other code than today's; then they say that they are kept.

    Raises:
        UserError: If two scorecards are of the same dataset and number of seeds.
    """
    headings = [_heading(card) for card in cards]
    for heading in headings:
        if headings.count(heading) > 1:
            raise UserError(f"two folders hold {heading}: name one of them")
    sections = {heading: _kept(lines) if changed else lines for heading, lines in _sections(before).items()}
    sections |= {_heading(card): _dataset(card) for card in cards}
    short = _short_rows(before) | {_heading(card): _short_row(card) for card in cards}
    lines = [
        *("# Leaderboard", "", WRITTEN, "", "True values on the simulator: nothing is estimated. Not to guide care."),
        *("", MEASURED),
        *("", "## In short", "", *SHORT, "", *_SHORT_HEAD, *short.values(), "", "## How to read it", "", *READING),
    ]
    for section in sections.values():
        lines += section
    return "\n".join([*lines, *tuning()]) + "\n"


def _sections(text: str) -> dict[str, list[str]]:
    """The lines of each section that is of a dataset, by its heading."""
    parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    headed = [(re.match(r"## (`.+`.*)\n", part), part) for part in parts]
    return {match[1]: ["", *part.rstrip("\n").split("\n")] for match, part in headed if match}


def _short_rows(text: str) -> dict[str, str]:
    """The rows of the first table, by the heading of their section."""
    table = text.partition("## In short")[2].partition("\n## ")[0]
    rows = [line for line in table.split("\n") if line.startswith("| `")]
    return {row.split(" | ")[0].removeprefix("| "): row for row in rows}


def _short_row(card: Mapping[str, Any]) -> str:
    """What the main lines gain at the team's own minutes."""
    cells, ranking = [], None
    for column, names in COMPARED.items():
        scored = [(entry, point_at(entry)) for entry in card.get("curves") or () if entry["policy"] in names]
        found = max(((p["gain"], e, p) for e, p in scored if p is not None), key=lambda each: each[0], default=None)
        cells.append("-" if found is None else spread(found[2]["gain"], found[2]["interval"], ".3f"))
        if found is not None and "told its contacts" in column:
            ranking = found[1]
    leads = "-" if ranking is None or ranking.get("main_leads") is None else _leads(ranking, ".3f")
    return f"| {_heading(card)} | {' | '.join(cells)} | {leads} |"


def _leads(entry: Mapping[str, Any], digits: str = ".4f") -> str:
    """What FactoredAWR gains more than this line."""
    leads = entry.get("main_leads")
    return "-" if leads is None else spread(leads, entry["main_interval"], digits)


def _command(text: str, width: int = 96) -> list[str]:
    """A command as a block; where a line would be too long it goes on at the next, as a shell reads it."""
    lines = [INDENT]
    for part in re.findall(r"[^ ,]+,?| ", text):
        if len(lines[-1]) + len(part) > width:
            lines[-1] += "\\"
            lines.append(INDENT)
        lines[-1] += part
    return lines


def _kept(section: Sequence[str]) -> list[str]:
    """A section from an earlier page, which says that it is."""
    if KEPT in section:
        return list(section)
    table = next((at for at, line in enumerate(section) if line.startswith("|")), len(section))
    return [*section[:table], KEPT, "", *section[table:]]


def _heading(card: Mapping[str, Any]) -> str:
    seeds = card["summary"][0]["seeds"]
    return f"`{card['dataset']}`, {seeds} {'seed' if seeds == 1 else 'seeds'}"


def _dataset(card: Mapping[str, Any]) -> list[str]:
    """The section of one dataset: command, curves, all policies without a limit, references, profile."""
    summary = card["summary"]
    updates = sorted({row["steps"] for row in card["runs"]})
    lines = [
        "",
        f"## {_heading(card)}",
        "",
        f"{', '.join(f'{count:,}' for count in updates)} updates, "
        f"{card['eval_members']:,} evaluation members; parameters {card['parameters_version']}, "
        f"data `{str(card['dataset_sha256'])[:12]}`, commit `{str(card['commit'])[:12]}`.",
        "",
        *_command(f"{card['command']} --out FOLDER"),
        "",
        *([OLDER, ""] if card.get("older") else []),
        *_curves(card),
        "Without a limit:",
        "",
        "| # | algorithm | policy | vs behaviour [95 %] | score | behind the first [95 %] | P | wall s | updates/s "
        "| peak MB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    older = card.get("older", [])
    for place, row in enumerate(summary, start=1):
        mark = " †" if row["algo"] in older else ""
        lines.append(
            f"| {place} | {row['label']}{mark} | {row['mode']} "
            f"| {spread(row['difference_to_behaviour'], row['interval'])} "
            f"| {_number(row['normalized_score'], '.1f')} | {spread(row['lead_of_first'], row['lead_interval'])} "
            f"| {_number(row['probability_that_first_is_better'] if row['seeds'] > 1 else None, '.2f')} "
            f"| {row['wall_s']:.0f} | {row['updates_per_s']:.0f} "
            f"| {row['peak_rss_mb']:,.0f} |"
        )
    lines += ["", "References:", "", "| policy | vs behaviour (SE) | score |", "|---|---|---|"]
    for name, row in unlimited(card["references"]).items():
        lines.append(
            f"| {name} | {row['difference_to_behaviour']:+.4f} ({row['difference_se']:.4f}) "
            f"| {_number(row['normalized_score'], '.1f')} |"
        )
    profiled = [row for row in summary if row["profile"] and row["seeds"] > 1]
    if profiled:
        lines += ["", "Performance profile: share of the seeds that score above"]
        lines += ["", f"| algorithm | policy | {' | '.join(str(score) for score in PROFILE)} |"]
        lines += [f"|---|---|{'---|' * len(PROFILE)}"]
        for row in profiled:
            lines.append(f"| {row['label']} | {row['mode']} | {' | '.join(f'{s:.1f}' for s in row['profile'])} |")
    if card["failed"]:
        lines += ["", f"{len(card['failed'])} runs failed: {'; '.join(card['failed'])}"]
    return lines


def _curves(card: Mapping[str, Any]) -> list[str]:
    """Q(B) of every policy, and who is contacted at the team's own minutes."""
    entries = card.get("curves") or []
    if not entries:
        return []
    team = card["references"]["behaviour"]["effort_minutes_per_week"]
    budgets = [*dict.fromkeys(point["budget"] for entry in entries for point in entry["points"])]
    numbers = sorted(budget for budget in budgets if not isinstance(budget, str))
    files = [budget for budget in budgets if isinstance(budget, str) and budget not in (TEAM, NONE)]
    others = [*numbers, *files, NONE]
    lines = [
        "Gain over the care team within a budget of staff minutes a member-week, with 95 % intervals.",
        f"The team spends {team:.2f}:",
        "",
        f"| # | policy | contacts are | team | {' | '.join('no limit' if b == NONE else str(b) for b in others)} "
        "| FactoredAWR less this | area [95 %] "
        "| tried without truth | with truth |",
        f"|---|---|---|---|{'---|' * len(others)}---|---|---|---|",
    ]
    for place, entry in enumerate(entries, start=1):
        cells = [_point(point_at(entry, budget)) for budget in (TEAM, *others)]
        tried = entry["tried"] or {"without_truth": "", "with_truth": ""}
        area = "-" if entry["area"] is None else f"{entry['area']:+.4f}"
        if entry["area_interval"] is not None:
            area = spread(entry["area"], entry["area_interval"])
        mark = " †" if entry["policy"] in card.get("older", []) else ""
        lines.append(
            f"| {place} | {line_of(entry)}{mark} | {entry['allocated'] or '-'} | {' | '.join(cells)} | {_leads(entry)} "
            f"| {area} | {tried['without_truth']} | {tried['with_truth']} |"
        )
    return [*lines, "", *_contacted(entries)]


def line_of(entry: Mapping[str, Any]) -> str:
    """What to call a line; references in italics."""
    if entry["kind"] in ("reference", "bound"):
        return f"*{entry['label']}*"
    return entry["label"] if entry["kind"] == "peer" else f"{entry['label']}, {entry['mode']}"


def _point(point: Mapping[str, Any] | None) -> str:
    return "-" if point is None else spread(point["gain"], point["interval"])


def _contacted(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Who gets the contacts at the team's own minutes: need, risk and race, one line a policy."""
    known = [entry for entry in entries if entry["contacted"] and entry["policy"] != "no_program"]
    if not known:
        return []
    races = [*known[0]["contacted"]["race_ethnicity"]]
    lines = [
        "Who is contacted at the team's own minutes. Contacts are a member-week's; beside them is the share",
        "that goes to members with an open need, or at high risk. Then come contacts by race and ethnicity.",
        "",
        f"| policy | contacts | with open need, % | high risk, % | {' | '.join(race.lower() for race in races)} |",
        f"|---|---|---|---|{'---|' * len(races)}",
    ]
    for entry in known:
        told = entry["contacted"]
        rate, *shares = contact_shares(told)
        needy, risk = ("-" if share is None else f"{100 * share:.0f}" for share in shares)
        by_race = " | ".join(f"{told['race_ethnicity'][race]['contacts_per_week']:.3f}" for race in races)
        lines.append(f"| {line_of(entry)} | {rate:.3f} | {needy} | {risk} | {by_race} |")
    return [*lines, ""]


def tuning() -> list[str]:
    """What was tried for each algorithm, from `tuned.json`."""
    if not algorithms.TUNED.exists():
        return ["", "## Settings", "", "Each algorithm's own defaults; nothing was tuned."]
    tuned = json.loads(algorithms.TUNED.read_text())
    lines = [
        "",
        "## Settings",
        "",
        *textwrap.wrap(tuned["rule"], 100, break_on_hyphens=False),
        "",
        *_command(tuned["command"]),
        "",
        "| algorithm | settings tried | estimate | chosen |",
        "|---|---|---|---|",
    ]
    for name, entry in tuned["algorithms"].items():
        for tried in entry["tried"]:
            settings = ", ".join(f"{key} {value}" for key, value in tried["settings"].items()) or "defaults"
            chosen = "yes" if tried["settings"] == entry["chosen"] else ""
            lines.append(f"| {algorithms.label(name)} | {settings} | {_number(tried['estimate'], '+.4f')} | {chosen} |")
    return lines


def _number(value: float | None, how: str) -> str:
    return "-" if value is None else format(value, how)

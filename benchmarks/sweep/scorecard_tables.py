"""A scorecard as tables on the screen, and the sentences about it that other pages say, too."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.sweep.budgets import NONE, TEAM
from benchmarks.sweep.curves import point_at
from benchmarks.sweep.scoring import REFERENCE
from benchmarks.training.algorithms import PEERS
from frl_env.datasets import RECIPES
from frl_env.member_months import span
from frl_env.reference_returns import ceiling

NAME = 16
"""Letters of a policy's name that stay in one line, however narrow the screen is."""

NOT_SCORED = (
    "-: not scored. A policy that says how much each contact gains is scored once within a budget: its forms "
    "(stochastic, greedy) choose the same contacts there."
)
"""Below a table of budgets that has empty cells."""


def show(card: Mapping[str, Any], console: Console | None = None) -> None:
    """Prints the scorecard: run by run for one seed, summed up for several."""
    out = console or Console()
    if not out.is_terminal:
        out.width = 120
    care = is_of_care(card)
    if card["references"]:
        _show_truth(card, out)
    else:
        estimated = (
            "what the care team did with other members. Value against staff minutes, Q(B), takes a simulator, too."
            if care
            else "other logged episodes."
        )
        out.print(
            f"{card['dataset']} has no simulator: [bold]there is no true value[/]. What follows is estimated from "
            f"{estimated}",
            highlight=False,
        )
    if "logged" in card:  # older scorecards have none
        out.print(logged_sentence(card["logged"], of_care=care), highlight=False, markup=False)
    if card["ope"]:
        _show_estimates(card, out)
    if card["fairness"]:
        _show_fairness(card, out)
    if card["runs"]:
        _show_training(card, out)
    if card["older"]:
        out.print(f"trained by earlier code than this (--older): {', '.join(card['older'])}", highlight=False)


def is_of_care(card: Mapping[str, Any]) -> bool:
    """Whether a scorecard is of data of care; older ones do not say so, and count as if they were."""
    return bool(card.get("told", {}).get("of_care", True))


def logged_sentence(logged: Mapping[str, Any], *, of_care: bool = True) -> str:
    """A sentence on what the policy that made the data spent.

    Args:
        logged: Of a scorecard.
        of_care: Whether it was spent by a care team; of others there is no staff, and an action is no contact.
    """
    minutes = logged["effort_minutes_per_week"]
    contacts = logged["contacts_per_week"]
    if minutes is None and not of_care:
        if contacts is None:
            return "Logged: so few episodes in which something was done that nothing is told of them."
        return f"In {100 * contacts:.1f} % of the logged steps something was done."
    if contacts is None:
        return "Logged: contacts with so few people that nothing is told of them."
    made = f"In the logged weeks the care team made {contacts:.3f} contacts a member-week"
    if minutes is None:
        return (
            f"{made}. Staff minutes are not known, so there is no worklist: give [effort.FACTOR] in the map of the "
            "import, or in the spec of frl weeks."
        )
    return f"{made}, which took {minutes:.2f} staff minutes."


def _show_truth(card: Mapping[str, Any], out: Console) -> None:
    several = len({row["seed"] for row in card["runs"]}) > 1
    headings = ("policy", "value", "SE", "score", "vs behaviour", "rate", "ED", "IP", "contacts", "minutes")
    rows: list[tuple[str, ...] | None] = [
        (name, *_cells(row, against=False)) for name, row in unlimited(card["references"]).items()
    ]
    if not several:
        rows.append(None)
        rows += [
            (f"{row['algo']} {row['mode']}, seed {row['seed']}", *_cells(row))
            for row in card["runs"]
            if row["budget"] == NONE
        ]
    title = f"{card['dataset']}: true values on {card['eval_members']:,} members"
    print_table(out, title, headings, rows, broken=("vs behaviour",), spare=("SE", "ED", "IP", "contacts", "rate"))
    best = "the oracle" if ceiling(card["references"]) == "oracle" else "best observation-only"
    out.print(
        f"value: mean return of a member (minus ED visits and hospital stays){_followed(card)}.\n"
        f"score: 0 no program, 100 {best}.\n"
        "vs behaviour: paired difference (its standard error). rate: the same per 1,000 member-months, as ED and IP.\n"
        "contacts: attempts a week. minutes: staff minutes a week. Simulated members; not to guide care."
    )
    if several:
        _show_summary(card, out)
    if card["curves"]:
        _show_curves(card, out)


def _show_curves(card: Mapping[str, Any], out: Console) -> None:
    """Gains within each budget, those at the team's own minutes first: what a program with this staff can have."""
    team = card["references"]["behaviour"]["effort_minutes_per_week"]
    budgets = sorted({point["budget"] for entry in card["curves"] for point in entry["points"]}, key=_budget_order)
    headings = ["team [95 %]" if each == TEAM else "no limit" if each == NONE else str(each) for each in budgets]
    rows: list[tuple[str, ...] | None] = []
    bold: list[int] = []
    for entry in card["curves"]:
        points = [point_at(entry, budget) for budget in budgets]
        said = [
            "-" if point is None
            else spread(point["gain"], point["interval"]) if budget == TEAM
            else f"{point['gain']:+.4f}"
            for budget, point in zip(budgets, points, strict=True)
        ]  # fmt: skip
        mode = "" if entry["kind"] in ("reference", "bound", "peer") else f" {entry['mode']}"
        if entry["kind"] in ("algorithm", "peer"):
            bold.append(len(rows))
        rows.append((f"{entry['policy']}{mode}", *said, entry["allocated"]))
    title = f"gain over the care team by staff minutes a member-week; the team's own: {team:.1f}"
    how = "contacts are"
    headings = ["policy", *headings, how]
    print_table(out, title, headings, rows, broken=(how,), spare=(how,), left=(how,), bold=bold)
    if any("-" in row for row in rows if row):
        out.print(NOT_SCORED, highlight=False)
    best = next((entry for entry in card["curves"] if entry["kind"] == "algorithm" and point_at(entry)), None)
    if best is not None:
        point = point_at(best)
        assert point is not None
        out.print(
            f"[bold]At the team's own {team:.1f} minutes[/] {best['label']} gains "
            f"{spread(point['gain'], point['interval'])} events a member over the team; what is gained with more staff "
            "is no gain of the policy alone.",
            highlight=False,
        )


def _followed(card: Mapping[str, Any]) -> str:
    """How long members are followed, as words to append; empty where it was not kept."""
    weeks = card["references"]["behaviour"].get("weeks_per_member")
    return "" if weeks is None else f", {span(weeks)}"


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def _budget_order(budget: str | float) -> tuple[int, float]:
    """The team's first, then numbers, then files, then no limit."""
    if isinstance(budget, str):
        return {TEAM: 0, NONE: 3}.get(budget, 2), 0.0
    return 1, budget


def _show_estimates(card: Mapping[str, Any], out: Console) -> None:
    """Off-policy estimates, the reason why there is none beside them, and the truth where there is one."""
    true = {
        (row["algo"], row["seed"], row["mode"]): row.get("difference_to_behaviour")
        for row in card["runs"]
        if row["budget"] == NONE
    }
    weeks = next((entry["weeks"] for entry in card["ope"] if entry.get("weeks")), None)
    over = "" if weeks is None else f", {span(weeks)}"
    headings = ("policy", "estimator", "vs behaviour [95 %]", "per 1,000 member-months", "true")
    rows: list[tuple[str, ...] | None] = []
    said = []
    for entry in card["ope"]:
        name = f"{entry['algo']} {entry['mode']}, seed {entry['seed']}"
        headline, truth = entry.get("headline"), true.get((entry["algo"], entry["seed"], entry["mode"]))
        if headline is None:
            said.append(f"{name}: {entry['sentence']}")
        ends = (headline["difference_interval"]["low"], headline["difference_interval"]["high"]) if headline else None
        rows.append(
            (
                name,
                entry.get("headline_estimator", "-"),
                spread(headline["difference"], ends) if headline and ends else "withheld",
                rate_of(headline),
                "-" if truth is None else f"{truth:+.4f}",
            )
        )
    title = f"estimated from other members' logged weeks{over}"
    print_table(out, title, headings, rows, broken=("estimator",), spare=("per 1,000 member-months",))
    for sentence in said:
        out.print(sentence, highlight=False)
    out.print("All estimators, their diagnostics and subgroups: `ope` in scorecard.json; docs/evaluation.md.")


def rate_of(headline: Mapping[str, Any] | None) -> str:
    """A headline's difference and its interval, per 1,000 member-months."""
    rates = (headline or {}).get("per_1000_member_months")
    if rates is None:
        return "-"
    return f"{rates['difference']:+.2f} [{rates['difference_low']:+.2f}, {rates['difference_high']:+.2f}]"


def _show_fairness(card: Mapping[str, Any], out: Console) -> None:
    """The pair of groups of each attribute that a policy treats most differently in high touch, of its first seed."""
    headings = ("policy", "attribute", "groups", "difference, points [95 %]")
    rows: list[tuple[str, ...] | None] = []
    said: dict[str, list[str]] = {}
    seeds: dict[str, int] = {}
    for entry in card["fairness"]:  # a run of the first seed may have failed: then it is of the first that there is
        seeds[entry["algo"]] = min(entry["seed"], seeds.get(entry["algo"], entry["seed"]))
    for entry in card["fairness"]:
        if entry["seed"] != seeds[entry["algo"]] or (entry["mode"] == REFERENCE and entry["algo"] != "behaviour"):
            continue
        which = f", seed {entry['seed']}" if entry["seed"] else ""
        name = f"{entry['algo']} {entry['mode']}{which}"
        if "sentence" in entry:
            said.setdefault(entry["sentence"], []).append(name)
            continue
        pairs = [pair for pair in entry["gaps"] if pair["measure"] == "high_touch"]
        for attribute in dict.fromkeys(pair["attribute"] for pair in pairs):
            own = [pair for pair in pairs if pair["attribute"] == attribute]
            widest = max(own, key=lambda pair: abs(pair["difference"]))
            difference, low, high = (100 * widest[key] for key in ("difference", "low", "high"))
            groups = f"{widest['first']} less {widest['second']}"
            rows.append((name, attribute, groups, f"{difference:+.2f} [{low:+.2f}, {high:+.2f}]"))
            name = ""
    if rows:
        several = any(entry["seed"] != 0 for entry in card["fairness"])
        title = f"high-touch contact by group{', of seed 0' if several else ''}: the pair that lies furthest apart"
        print_table(out, title, headings, rows, broken=("groups",), left=("attribute", "groups"))
    for sentence, policies in said.items():
        out.print(f"{', '.join(policies)}: {sentence}", highlight=False)
    out.print("All groups, measures and pairs: `fairness` in scorecard.json; docs/fairness.md.")


def _show_summary(card: Mapping[str, Any], out: Console) -> None:
    seeds = card["summary"][0]["seeds"] if card["summary"] else 0
    headings = ("policy", "vs behaviour [95 %]", "score", "behind the first [95 %]", "P")
    rows: list[tuple[str, ...] | None] = []
    for row in card["summary"]:
        score = row["normalized_score"]
        rows.append(
            (
                f"{row['algo']} {row['mode']}",
                spread(row["difference_to_behaviour"], row["interval"]),
                "-" if score is None else f"{score:.1f}",
                spread(row["lead_of_first"], row["lead_interval"]),
                f"{row['probability_that_first_is_better']:.2f}",
            )
        )
    title = f"over {seeds} seeds{', each on its own draw of the data' if card['dataset'] in RECIPES else ''}"
    print_table(out, title, headings, rows, spare=("behind the first [95 %]", "P"))
    out.print(
        "Interquartile mean over seeds; intervals by bootstrap over seeds and members, in pairs.\n"
        "P: chance that a run of the first beats a run of this one."
    )


def spread(value: float, ends: Sequence[float], digits: str = ".4f") -> str:
    """An estimate and its interval, with so many digits."""
    return f"{value:+{digits}} [{ends[0]:+{digits}}, {ends[1]:+{digits}}]"


def _show_training(card: Mapping[str, Any], out: Console) -> None:
    trained = {(row["algo"], row["seed"]): row for row in card["runs"]}
    headings = ("run", "updates", "updates/s", "samples/s", "wall s", "peak MB")
    rows: list[tuple[str, ...] | None] = []
    for (algo, seed), row in trained.items():
        rows.append(
            (
                f"{algo}, seed {seed}",
                "-" if algo in PEERS else f"{row['steps']:,}",
                "-" if algo in PEERS else f"{row['updates_per_s']:.0f}",
                "-" if row["samples_per_s"] is None else f"{row['samples_per_s']:,.0f}",
                f"{row['wall_s']:.0f}",
                f"{row['peak_rss_mb']:,.0f}",
            )
        )
    print_table(out, "training", headings, rows)


def print_table(
    out: Console,
    title: str,
    headings: Sequence[str],
    rows: Sequence[tuple[str, ...] | None],
    *,
    broken: Sequence[str] = (),
    spare: Sequence[str] = (),
    left: Sequence[str] = (),
    bold: Sequence[int] = (),
) -> None:
    """Prints a table in which no number is cut off, however narrow the screen or long a name.

    Args:
        out: The screen.
        title: Above it.
        headings: Of the columns; the first holds names, which go on in the next line where they don't fit.
        rows: A cell a column; None is a line between the rows.
        broken: Headings of columns that may break between words.
        spare: Headings of columns to leave out where the screen is too narrow, the first of them first.
        left: Headings of columns that are not flush right.
        bold: Which rows are.
    """
    lines = [row for row in rows if row is not None]
    columns = {name: [name, *(row[at] for row in lines)] for at, name in enumerate(headings)}
    least = {name: max(map(len, cells)) for name, cells in columns.items()}
    least |= {name: max(len(word) for cell in columns[name] for word in cell.split()) for name in broken}
    least[headings[0]] = min(NAME, least[headings[0]])
    shown, hidden = list(headings), []
    while sum(least[name] + 3 for name in shown) + 1 > out.width and len(hidden) < len(spare):
        hidden.append(spare[len(hidden)])
        shown.remove(hidden[-1])
    table = Table(title=title, title_justify="left")
    for name in shown:
        flush = "left" if name in (headings[0], *left) else "right"
        table.add_column(name, justify=flush, overflow="fold")
    for at, row in enumerate(rows):
        if row is None:
            table.add_section()
        else:
            table.add_row(*(row[headings.index(name)] for name in shown), style="bold" if at in bold else None)
    out.print(table)
    if hidden:
        out.print(f"columns left out on this narrow screen: {', '.join(hidden)}", highlight=False)


def _cells(row: Mapping[str, Any], *, against: bool = True) -> tuple[str, ...]:
    score = row["normalized_score"]
    return (
        f"{row['value']:.3f}",
        f"{row['se']:.3f}",
        "-" if score is None else f"{score:.1f}",
        f"{row['difference_to_behaviour']:+.4f} ({row['difference_se']:.4f})" if against else "",
        _rate(row.get("difference_per_1000_member_months")) if against else "",
        f"{row['ed_per_1000_member_months']:.1f}",
        f"{row['ip_per_1000_member_months']:.1f}",
        f"{row['contacts_per_week']:.3f}",
        f"{row['effort_minutes_per_week']:.1f}",
    )


def contact_shares(contacted: Mapping[str, Any]) -> tuple[float, float | None, float | None]:
    """Whom a policy contacts, in three numbers.

    Args:
        contacted: Of a curve of the scorecard: by kind of group and group.

    Returns:
        Contacts a member-week, the share of them that goes to members with an open need, and that to members at high
        risk. Where there are no contacts the shares are None.
    """
    rate = sum(each["contacts_per_week"] * each["share_of_weeks"] for each in contacted["gender"].values())
    if rate <= 0:
        return rate, None, None
    needy = 1 - contacted["open needs"]["no open need"]["share_of_contacts"]
    return rate, needy, sum(contacted["risk tier"][tier]["share_of_contacts"] for tier in ("HIGH", "SUPER"))


def unlimited(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The rows of reference policies that no budget limits."""
    return {name: row for name, row in rows.items() if row.get("budget", NONE) == NONE}

"""Values with intervals and truth, learning curves, and the performance profile."""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from benchmarks.charts.forest import Row, forest
from benchmarks.charts.line_plots import Axes, Series, lines, panels
from benchmarks.sweep.statistics import PROFILE
from benchmarks.sweep_report.document import Column, Figure, Section, Table, columns_of
from benchmarks.sweep_report.sentence_templates import words
from benchmarks.sweep_report.summary import horizon
from benchmarks.sweep_report.sweep_results import OLD, SweepResults
from frl_env.evaluation.privacy.suppression import SECRET
from frl_env.member_months import per_1000_member_months

REFERENCES = {
    "no_program": "no program",
    "random": "random valid actions",
    "heuristic": "hand-written rule",
    "best_observation_only": "best known on observations",
    "oracle": "oracle, sees open needs",
}


def values(results: SweepResults) -> Section:
    """True values, estimates, or both."""
    parts = []
    if results.has_truth and results.card["summary"]:
        parts.append(_true_values(results))
    if results.card["ope"]:
        parts.append(_estimates(results))
    missing = ""
    if results.has_truth and not results.card["ope"]:
        missing = words("values", "no_estimates")
    elif not parts:
        missing = words("values", "no_values")
    return Section(
        anchor="values",
        title="What it is worth, without a limit on staff" if results.has_truth else "What it is worth, as estimated",
        parts=tuple(parts),
        missing=missing,
    )


def _true_values(results: SweepResults) -> Figure:
    """Figure of each policy's true difference to behaviour, with interval and a point a seed."""
    card = results.card
    team = card["references"]["behaviour"]["difference_to_behaviour"]
    rows = [Row(label="Trained policies")]
    table: list[tuple[Any, ...]] = []
    for entry in card["summary"]:
        policy = (entry["algo"], entry["mode"])
        points = tuple(row["difference_to_behaviour"] for seed in results.seeds if (row := results.run(policy, seed)))
        low, high = entry["interval"]
        rows.append(
            Row(
                label=results.name(policy),
                value=entry["difference_to_behaviour"],
                low=low,
                high=high,
                points=points if len(points) > 1 else (),
                said=_spread(entry["difference_to_behaviour"], low, high),
            )
        )
        gain = entry["difference_to_behaviour"]
        table.append((results.name(policy), gain, low, high, _true_rate(results, gain), *_by_seed(results, policy)))
    rows.append(Row(label="References"))
    seeds = {"seeds": len(results.seeds), "compared": results.seeds_compared}
    for name, label in REFERENCES.items():
        if name in card["references"]:
            value = card["references"][name]["difference_to_behaviour"]
            rows.append(Row(label=label, value=value, mark="diamond", colour=8, said=_signed(value)))
            table.append((label, value, None, None, _true_rate(results, value), *([None] * len(results.seeds))))
    return Figure(
        title=words("values", "true_title", over=horizon(results)),
        description=words("values", "true_description", first=rows[1].label, said=rows[1].said, rows=len(table)),
        draw=forest(rows, axis="ED visits and hospital stays avoided a member", lines=[(team, "the care team")]),
        table=Table(
            name="true_values",
            caption=words("values", "true_caption"),
            columns=(
                *columns_of("policy | difference:+.4f | low:+.4f | high:+.4f"),
                Column("per 1,000 member-months", "+.2f"),
                *(Column(f"seed {seed}", "+.4f") for seed in results.seeds),
            ),
            rows=table,
        ),
        notes=(words("values", "true_note", members=card["eval_members"], **seeds),),
    )


def _true_rate(results: SweepResults, gain: float) -> float | None:
    """A true difference per 1,000 member-months, by the weeks that the care team's members were followed."""
    weeks = results.card["references"]["behaviour"].get("weeks_per_member")
    return None if weeks is None else per_1000_member_months(gain, weeks)


def _by_seed(results: SweepResults, policy: tuple[str, str]) -> list[float | None]:
    return [results.run(policy, seed).get("difference_to_behaviour") for seed in results.seeds]


def _estimates(results: SweepResults) -> Figure:
    """Headline estimates, and beside each the truth where there is one; what is withheld says so."""
    truth = results.has_truth
    rows: list[Row] = []
    table = []
    several = len(results.seeds) > 1
    for policy in results.policies:
        entries = [entry for entry in results.card["ope"] if (entry["algo"], entry["mode"]) == policy]
        if several and entries:
            rows.append(Row(label=results.name(policy)))
        for entry in entries:
            headline: Mapping[str, Any] = entry.get("headline") or {}
            true = results.run(policy, entry["seed"]).get("difference_to_behaviour") if truth else None
            low, high = (headline.get("difference_interval", {}).get(end) for end in ("low", "high"))
            value = headline.get("difference")
            said = "withheld" if value is None or low is None or high is None else _spread(value, low, high)
            label = f"seed {entry['seed']}" if several else results.name(policy)
            rows.append(Row(label=label, value=value, low=low, high=high, truth=true, said=said))
            rates = headline.get("per_1000_member_months", {})
            cells = (results.name(policy), entry["seed"], entry.get("headline_estimator"), value, low, high)
            cells += (entry.get("weeks"), rates.get("difference"))
            reason = "" if headline else _reason(entry.get("sentence", "no estimate"), truth)
            table.append((*cells, *([true] if truth else []), reason))
    known = columns_of("policy | seed:d | estimator | difference:+.4f | low:+.4f | high:+.4f | weeks:.1f")
    known = (*known, Column("per 1,000 member-months", "+.2f"))
    return Figure(
        title=words("values", "estimated_title", truth=truth),
        description=words(
            "values",
            "estimated_description",
            behaviour=results.behaviour,
            rows=len(table),
            withheld=sum(row[3] is None for row in table),
        ),
        draw=forest(rows, axis=f"estimated {results.gained}", lines=[(0.0, results.behaviour)]),
        table=Table(
            name="estimated_values",
            caption=words("values", "estimated_caption", behaviour=results.behaviour),
            columns=(*known, *([Column("truth", "+.4f")] if truth else []), Column("why it is withheld")),
            rows=table,
        ),
        notes=(words("values", "estimated_note", truth=truth),),
    )


def _reason(sentence: str, simulated: bool) -> str:
    """Why there is no estimate; of real people few effective members are not said."""
    return (
        sentence
        if simulated
        else re.sub(r"(?<![\d.,])(?:10|\d)(?:\.\d+)? of (?=[\d,]+ members)", f"{SECRET} of ", sentence)
    )


def curves(results: SweepResults) -> Section:
    """Learning curves, seed by seed."""
    section = partial(Section, anchor="learning", title="Learning curves")
    with_curve = [entry for entry in results.details if entry.get("curve")]
    if not with_curve:
        why = f"{OLD}." if not results.details else words("values", "silent")
        return section(missing=words("values", "no_curve", why=why))
    watched = [entry for entry in with_curve if any(point["watched"] for point in entry["curve"])]
    logging = [entry for entry in with_curve if _loss_names(entry)]
    if not watched and not logging:
        return section(missing=words("values", "no_curve", why=words("values", "silent")))
    return section(parts=(_watched(results, watched) if watched else _losses(logging),))


def _loss_names(entry: dict[str, Any]) -> list[str]:
    return sorted(name for name in entry["curve"][-1]["metrics"] if name.endswith("loss"))


def _watched(results: SweepResults, entries: list[dict[str, Any]]) -> Figure:
    """Figure of the true difference to behaviour while training, a line a seed."""
    each: dict[str, list[Series]] = {}
    rows, members = [], 0
    for entry in entries:
        points = [(p["step"], p["watched"]) for p in entry["curve"] if p["watched"]]
        # Of an algorithm with several modes the first is watched.
        mode = next((row["mode"] for row in results.card["runs"] if row["algo"] == entry["algo"]), "")
        each.setdefault(f"{entry['label']}, {mode}", []).append(
            Series(
                label=f"seed {entry['seed']}",
                xs=[step for step, _ in points],
                ys=[seen["difference"] for _, seen in points],
                style=list(results.labels).index(entry["algo"]) if entry["algo"] in results.labels else 0,
                dash=entry["seed"],
                marks=True,
            )
        )
        members = max(members, *(seen["members"] for _, seen in points))
        rows += [(entry["label"], entry["seed"], step, seen["difference"], seen["se"]) for step, seen in points]
    return Figure(
        title="True difference to the care team while training",
        description=words("values", "watched_description", algorithms=", ".join(each)),
        draw=panels(list(each.items()), Axes(x="updates", y="events avoided", lines=[(0.0, "")])),
        table=Table(
            name="learning_curves",
            caption="True difference to the care team along the way.",
            columns=columns_of("algorithm | seed:d | updates:,d | difference:+.4f | standard error:.4f"),
            rows=rows,
        ),
        notes=(words("values", "watched_note", members=members),),
    )


def _losses(entries: list[dict[str, Any]]) -> Figure:
    """Figure of the first loss that each algorithm logs, for data without true values."""
    each: dict[str, list[Series]] = {}
    rows = []
    for entry in entries:
        logged = _loss_names(entry)
        points = [(point["step"], point["metrics"].get(logged[0])) for point in entry["curve"]]
        line = Series(label="", xs=[x for x, _ in points], ys=[y for _, y in points], dash=entry["seed"], marks=True)
        each.setdefault(f"{entry['label']}: {logged[0]}", []).append(line)
        rows += [(entry["label"], entry["seed"], logged[0], *point) for point in points]
    return Figure(
        title="Loss while training",
        description=words("values", "loss_description"),
        draw=panels(list(each.items()), Axes(x="updates", y=""), shared=False),
        table=Table(
            name="learning_curves",
            caption="Training loss along the way.",
            columns=columns_of("algorithm | seed:d | what | updates:,d | loss:.4g"),
            rows=rows,
        ),
        notes=(words("values", "loss_note"),),
    )


def profile(results: SweepResults) -> Section:
    """Share of the seeds that score above each score."""
    section = partial(Section, anchor="profile", title="Performance profile")
    profiled = [entry for entry in results.card["summary"] if entry.get("profile")]
    if not profiled:
        return section(missing=words("values", "no_score"))
    if results.seeds_compared < 2:
        return section(missing=words("values", "one_score"))
    series = [
        Series(
            label=results.name((entry["algo"], entry["mode"])),
            xs=list(PROFILE),
            ys=entry["profile"],
            style=results.style((entry["algo"], entry["mode"]))[0],
            dash=results.style((entry["algo"], entry["mode"]))[1],
            strong=number == 0,
            marks=True,
        )
        for number, entry in enumerate(profiled)
    ]
    figure = Figure(
        title="Share of the seeds that score above",
        description=words("values", "profile_description", first=series[0].label),
        draw=lines(series, Axes(x="normalised score", y="share of the seeds", y_range=(-0.03, 1.03), y_percent=True)),
        table=Table(
            name="performance_profile",
            caption="Share of the seeds that score above.",
            columns=(Column("policy"), *(Column(str(score), ".2f") for score in PROFILE)),
            rows=[(line.label, *line.ys) for line in series],
        ),
        notes=(words("values", "profile_note", seeds=results.seeds_compared, searched=results.searched),),
    )
    return section(parts=(figure,))


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")


def _spread(value: float, low: float, high: float) -> str:
    return f"{_signed(value)} [{_signed(low)}, {_signed(high)}]"

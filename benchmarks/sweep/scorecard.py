"""The scorecard: what the runs of a sweep gave, summed up, as JSON and as tables."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.record.circumstances import commit, versions
from benchmarks.sweep.budgets import NONE, TEAM, amount, mode_and_budget, slot
from benchmarks.sweep.curves import curves, point_at
from benchmarks.sweep.runs import REFERENCE, Outcome
from benchmarks.sweep.statistics import (
    PROFILE,
    bootstrap_means,
    interquartile_mean,
    interval,
    performance_profile,
    probability_of_improvement,
)
from benchmarks.training.algorithms import PEERS, REFERENCES
from benchmarks.truth.true_values import SEED, Evaluation
from frl_env.care_effort import dataset_logged_effort
from frl_env.evaluation.dataset_facts import action_space_of
from frl_env.member_months import per_1000_member_months, span
from frl_env.parameters import VERSION
from frl_env.reference_returns import FLOOR, ceiling
from frl_env.rollout import standard_error

NO_DIFFERENCE = 1e-9


def assemble(
    dataset: Any,
    outcomes: Sequence[Outcome],
    *,
    command: str,
    failures: Sequence[str] = (),
    older: Collection[str] = (),
) -> dict[str, Any]:
    """Everything that was measured, JSON-able.

    `value` is the mean undiscounted return of a member; `normalized_score` is 0 for no program and 100 for the best
    policy on the observations that search found; `difference_to_behaviour` is paired over members, under common random
    numbers. `summary` has one entry an algorithm and mode, over all its runs without a budget; `curves` one with the
    gain within each budget, by what it is at the care team's own minutes (`benchmarks.sweep.curves`). Rows of `runs`
    and `references` say their `budget`: "none", "team", a number of minutes, or a capacity file. `older` names the
    algorithms with a run by earlier code.
    """
    references = {outcome.job.algo: outcome for outcome in outcomes if outcome.job.algo in REFERENCES}
    values = {name: outcome.values[REFERENCE] for name, outcome in references.items() if REFERENCE in outcome.values}
    trained = [outcome for outcome in outcomes if outcome.job.algo not in references]
    environment = dataset.spec.env_spec
    spent = dataset_logged_effort(dataset, action_space_of(dataset)).to_dict()
    return {
        "dataset": dataset.spec.dataset_id,
        "environment": environment.to_json() if environment is not None else None,
        "dataset_sha256": dataset.storage.metadata.get("frl_content_sha256"),
        "parameters_version": VERSION if values else None,
        "logged": spent,
        "eval_members": len(values["behaviour"]) if values else 0,
        "eval_seed": SEED,
        "command": command,
        "versions": versions(),
        "commit": commit(),
        "references": _references(references, values),
        "runs": [row for outcome in trained for row in _rows(outcome, values)],
        "summary": _summary(trained, values) if values else [],
        "curves": _curves(dataset, outcomes, values),
        "ope": [
            {"algo": outcome.job.algo, "seed": outcome.job.seed, "mode": mode} | estimates
            for outcome in trained
            for mode, estimates in outcome.facts.get("ope", {}).items()
        ],
        "fairness": [
            {"algo": outcome.job.algo, "seed": outcome.job.seed, "mode": mode} | section
            for outcome in outcomes
            for mode, section in outcome.facts.get("fairness", {}).items()
        ],
        "older": sorted(set(older)),
        "failed": list(failures),
    }


def _references(references: Mapping[str, Outcome], values: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """One entry a reference policy and budget: "heuristic", "heuristic @ team"."""
    rows = {}
    for name, outcome in references.items():
        for each, value in outcome.values.items():
            budget = mode_and_budget(each)[1]
            row: dict[str, Any] = {"policy": name, "budget": amount(budget)}
            rows[slot(name, budget)] = row | outcome.summaries[each] | _against(value, values, _weeks(outcome, each))
    return dict(sorted(rows.items(), key=lambda item: item[1]["budget"] != NONE))


def unlimited(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Those of `references` that are without a budget."""
    return {name: row for name, row in rows.items() if row.get("budget", NONE) == NONE}


def _curves(dataset: Any, outcomes: Sequence[Outcome], values: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Q(B), where anything was scored within a budget."""
    if not values or outcomes[0].job.budgets == "{}":
        return []
    evaluation = Evaluation.of_dataset(dataset, members=len(values["behaviour"]))
    return curves(outcomes, values, evaluation.world, evaluation.horizon)


def details(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """What `benchmarks/report.py` draws besides the scorecard, one entry a run: its curve and `portrait`."""
    return [
        {"algo": outcome.job.algo, "seed": outcome.job.seed, "label": outcome.facts["label"]} | outcome.facts["details"]
        for outcome in outcomes
        if "details" in outcome.facts
    ]


def normalized_score(value: float, references: Mapping[str, np.ndarray]) -> float | None:
    """0 is no program, 100 the best policy on the observations (or the oracle); None where the two don't differ."""
    low, high = (float(references[name].mean(dtype=np.float64)) for name in (FLOOR, ceiling(references)))
    return 100 * (value - low) / (high - low) if abs(high - low) > NO_DIFFERENCE else None


def _against(value: np.ndarray, references: Mapping[str, np.ndarray], weeks: float | None) -> dict[str, float | None]:
    difference = value.astype(np.float64) - references["behaviour"]
    found = {
        "normalized_score": normalized_score(float(value.mean(dtype=np.float64)), references),
        "difference_to_behaviour": float(difference.mean()),
        "difference_se": standard_error(difference),
    }
    if weeks is not None:
        found["difference_per_1000_member_months"] = per_1000_member_months(float(difference.mean()), weeks)
    return found


def _weeks(outcome: Outcome, slot_name: str) -> float | None:
    """Mean number of weeks that a member was followed; runs of earlier code did not keep it."""
    return outcome.summaries[slot_name].get("weeks_per_member")


def _rows(outcome: Outcome, references: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """One row a mode; without a simulator nothing in it is a true value."""
    job, facts = outcome.job, dict(outcome.facts)
    modes = facts.get("details", {}).get("modes", {})
    scoring, estimates, allocated, *_ = (
        facts.pop(name, {}) for name in ("scoring_s", "ope", "allocated", "contacted", "fairness", "details")
    )
    identity = {"algo": job.algo, "label": facts.pop("label"), "seed": job.seed, "steps": facts.pop("updates")}
    rest = {"settings": json.loads(job.settings), "data_sha256": job.data, "model": job.model, "key": job.key}
    rest |= {"code": job.code}
    rows = []
    # Without a limit first: that is what a policy is asked for where no budget is named.
    for each in sorted(outcome.values or estimates, key=lambda name: mode_and_budget(name)[1] != NONE):
        mode, budget = mode_and_budget(each)
        row = identity | {"mode": mode, "budget": amount(budget)} | facts | rest
        if each not in outcome.values and (spent := modes.get(mode, {}).get("spent")):
            row |= {"contacts_per_week": spent["contacts_per_week"]}
            row |= {"effort_minutes_per_week": spent["effort_minutes_per_week"], "spent_by_level": spent["by_level"]}
        if each in outcome.values:
            row |= {"allocated": allocated.get(each, "")}
            row |= {"scoring_s": scoring[each]} | outcome.summaries[each]
            row |= _against(outcome.values[each], references, _weeks(outcome, each))
        rows.append(row)
    return rows


def _summary(outcomes: Sequence[Outcome], references: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """One entry an algorithm and mode, best first; rankings act within a budget only, so that they are in `curves`.

    The lead is what the first one's interquartile mean is above the entry's, resampled in pairs.
    """
    behaviour = references["behaviour"]
    gains: dict[tuple[str, str], dict[int, np.ndarray]] = {}
    for outcome in outcomes:
        for mode, value in outcome.values.items():
            if mode_and_budget(mode)[1] != NONE or outcome.job.algo in PEERS:
                continue
            gains.setdefault((outcome.job.algo, mode), {})[outcome.job.seed] = value - behaviour
    if not gains:
        return []
    # Only seeds that every algorithm has: pairs need both.
    seeds = sorted(set.intersection(*({*by_seed} for by_seed in gains.values())))
    if not seeds:
        return []
    names = list(gains)
    arrays = [np.stack([gains[name][seed] for seed in seeds]) for name in names]
    means = np.stack([array.mean(axis=1, dtype=np.float64) for array in arrays])
    estimates = interquartile_mean(means)
    resampled = bootstrap_means(arrays, np.random.default_rng(0))
    resampled_means = interquartile_mean(resampled)
    best = int(np.argmax(estimates))
    level = float(behaviour.mean(dtype=np.float64))
    entries = []
    for index in np.argsort(-estimates, kind="stable"):
        (algo, mode), each = names[index], means[index]
        rows = [outcome for outcome in outcomes if outcome.job.algo == algo and outcome.job.seed in seeds]
        scores = [normalized_score(level + gain, references) for gain in each]
        lead = resampled_means[best] - resampled_means[index]
        improvement = probability_of_improvement(means[best], each)
        entries.append(
            {
                "algo": algo,
                "label": rows[0].facts["label"],
                "mode": mode,
                "seeds": len(seeds),
                "difference_to_behaviour": float(estimates[index]),
                "interval": interval(resampled_means[index]),
                "lead_of_first": float(estimates[best] - estimates[index]),
                "lead_interval": interval(lead),
                "probability_that_first_is_better": float(improvement),
                "normalized_score": normalized_score(level + float(estimates[index]), references),
                "scores": scores,
                "profile": None
                if None in scores
                else performance_profile(np.asarray(scores), np.asarray(PROFILE)).tolist(),
                "wall_s": float(np.median([row.facts["wall_s"] for row in rows])),
                "updates_per_s": float(np.median([row.facts["updates_per_s"] for row in rows])),
                "peak_rss_mb": float(max(row.facts["peak_rss_mb"] for row in rows)),
                "settings": json.loads(rows[0].job.settings),
            }
        )
    return entries


def show(card: Mapping[str, Any], console: Console | None = None) -> None:
    """Prints the scorecard: run by run for one seed, summed up for several."""
    out = console or Console()
    if not out.is_terminal:
        out.width = 120
    if card["references"]:
        _show_truth(card, out)
    else:
        out.print(
            f"{card['dataset']} has no simulator: [bold]there is no true value[/]. What follows is estimated from what "
            "the care team did with other members. Value against staff minutes, Q(B), takes a simulator, too.",
            highlight=False,
        )
    if "logged" in card:  # cards of before have none
        out.print(logged_sentence(card["logged"]), highlight=False, markup=False)
    if card["ope"]:
        _show_estimates(card, out)
    if card["fairness"]:
        _show_fairness(card, out)
    if card["runs"]:
        out.print(_training_table(card))
    if card["older"]:
        out.print(f"trained by earlier code than this (--older): {', '.join(card['older'])}", highlight=False)


def logged_sentence(logged: Mapping[str, Any]) -> str:
    """In words: what the policy that made the data spent."""
    minutes = logged["effort_minutes_per_week"]
    spent = (
        "staff minutes are not known (no [effort] in the map of the import)"
        if minutes is None
        else f"{minutes:.2f} staff minutes"
    )
    contacts = logged["contacts_per_week"]
    if contacts is None:
        return "Logged: contacts with so few people that nothing is told of them."
    return f"Logged a member-week: {spent}, {contacts:.3f} contacts."


def _show_truth(card: Mapping[str, Any], out: Console) -> None:
    several = len({row["seed"] for row in card["runs"]}) > 1
    table = Table(title=f"{card['dataset']}: true values on {card['eval_members']:,} members", title_justify="left")
    table.add_column("policy", no_wrap=True)
    for name in ("value", "SE", "score", "vs behaviour", "rate", "ED", "IP", "contacts", "minutes"):
        table.add_column(name, justify="right")
    for name, row in unlimited(card["references"]).items():
        table.add_row(name, *_cells(row, against=False))
    if not several:
        table.add_section()
        for row in card["runs"]:
            if row["budget"] != NONE:
                continue
            table.add_row(f"{row['algo']} {row['mode']}, seed {row['seed']}", *_cells(row))
    out.print(table)
    out.print(
        f"value: mean return of a member (minus ED visits and hospital stays){_followed(card)}.\n"
        "score: 0 no program, 100 best observation-only.\n"
        "vs behaviour: paired difference (its standard error). rate: the same per 1,000 member-months, as ED and IP.\n"
        "contacts: attempts a week. minutes: staff minutes a week. Simulated members; not to guide care."
    )
    if several:
        out.print(_summary_table(card))
    if card["curves"]:
        _show_curves(card, out)


def _show_curves(card: Mapping[str, Any], out: Console) -> None:
    """Gains within each budget, those at the team's own minutes first: what a program with this staff can have."""
    team = card["references"]["behaviour"]["effort_minutes_per_week"]
    budgets = sorted({point["budget"] for entry in card["curves"] for point in entry["points"]}, key=_budget_order)
    table = Table(
        title=f"gain over the care team by staff minutes a member-week; the team's own: {team:.1f}",
        title_justify="left",
    )
    table.add_column("policy", no_wrap=True)
    for budget in budgets:
        heading = "team [95 %]" if budget == TEAM else "no limit" if budget == NONE else str(budget)
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("contacts are", no_wrap=True)
    for entry in card["curves"]:
        points = [point_at(entry, budget) for budget in budgets]
        said = [
            "-" if point is None
            else spread(point["gain"], point["interval"]) if budget == TEAM
            else f"{point['gain']:+.4f}"
            for budget, point in zip(budgets, points, strict=True)
        ]  # fmt: skip
        mode = "" if entry["kind"] in ("reference", "bound", "peer") else f" {entry['mode']}"
        style = "bold" if entry["kind"] in ("algorithm", "peer") else None
        table.add_row(f"{entry['policy']}{mode}", *said, entry["allocated"], style=style)
    out.print(table)
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
    """For how long members are followed, where that was kept."""
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
    table = Table(title=f"estimated from other members' logged weeks{over}", title_justify="left")
    for name in ("policy", "estimator", "vs behaviour [95 %]", "per 1,000 member-months", "true"):
        table.add_column(name, justify="left" if name == "policy" else "right", no_wrap=True)
    said = []
    for entry in card["ope"]:
        name = f"{entry['algo']} {entry['mode']}, seed {entry['seed']}"
        headline, truth = entry.get("headline"), true.get((entry["algo"], entry["seed"], entry["mode"]))
        if headline is None:
            said.append(f"{name}: {entry['sentence']}")
        ends = (headline["difference_interval"]["low"], headline["difference_interval"]["high"]) if headline else None
        table.add_row(
            name,
            entry.get("headline_estimator", "-"),
            spread(headline["difference"], ends) if headline and ends else "withheld",
            rate_of(headline),
            "-" if truth is None else f"{truth:+.4f}",
        )
    out.print(table)
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
    """The pair of groups of each attribute that a policy of the first seed treats most differently in high touch."""
    table = Table(title="high-touch contact by group: the pair that lies furthest apart", title_justify="left")
    for name in ("policy", "attribute", "groups", "difference, points [95 %]"):
        table.add_column(name, justify="right" if name.startswith("difference") else "left", no_wrap=True)
    said = []
    for entry in card["fairness"]:
        if entry["seed"] != 0 or (entry["mode"] == REFERENCE and entry["algo"] != "behaviour"):
            continue
        name = f"{entry['algo']} {entry['mode']}"
        if "sentence" in entry:
            said.append(f"{name}: {entry['sentence']}")
            continue
        pairs = [pair for pair in entry["gaps"] if pair["measure"] == "high_touch"]
        for attribute in dict.fromkeys(pair["attribute"] for pair in pairs):
            own = [pair for pair in pairs if pair["attribute"] == attribute]
            widest = max(own, key=lambda pair: abs(pair["difference"]))
            difference, low, high = (100 * widest[key] for key in ("difference", "low", "high"))
            groups = f"{widest['first']} less {widest['second']}"
            table.add_row(name, attribute, groups, f"{difference:+.2f} [{low:+.2f}, {high:+.2f}]")
            name = ""
    if table.row_count:
        out.print(table)
    for sentence in said:
        out.print(sentence, highlight=False)
    out.print("All groups, measures and pairs: `fairness` in scorecard.json; docs/fairness.md.")


def _summary_table(card: Mapping[str, Any]) -> Table:
    seeds = card["summary"][0]["seeds"] if card["summary"] else 0
    table = Table(title=f"over {seeds} seeds, each on its own draw of the data", title_justify="left")
    table.add_column("policy", no_wrap=True)
    for name in ("vs behaviour [95 %]", "score", "behind the first [95 %]", "P"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in card["summary"]:
        score = row["normalized_score"]
        table.add_row(
            f"{row['algo']} {row['mode']}",
            spread(row["difference_to_behaviour"], row["interval"]),
            "-" if score is None else f"{score:.1f}",
            spread(row["lead_of_first"], row["lead_interval"]),
            f"{row['probability_that_first_is_better']:.2f}",
        )
    table.caption = (
        "Interquartile mean over seeds; intervals by bootstrap over seeds and members, in pairs.\n"
        "P: chance that a run of the first beats a run of this one."
    )
    return table


def spread(value: float, ends: Sequence[float]) -> str:
    """An estimate and its interval."""
    return f"{value:+.4f} [{ends[0]:+.4f}, {ends[1]:+.4f}]"


def _training_table(card: Mapping[str, Any]) -> Table:
    trained = {(row["algo"], row["seed"]): row for row in card["runs"]}
    speed = Table(title="training", title_justify="left")
    for name in ("run", "updates", "updates/s", "samples/s", "wall s", "peak MB"):
        speed.add_column(name, justify="left" if name == "run" else "right")
    for (algo, seed), row in trained.items():
        speed.add_row(
            f"{algo}, seed {seed}",
            "-" if algo in PEERS else f"{row['steps']:,}",
            "-" if algo in PEERS else f"{row['updates_per_s']:.0f}",
            "-" if row["samples_per_s"] is None else f"{row['samples_per_s']:,.0f}",
            f"{row['wall_s']:.0f}",
            f"{row['peak_rss_mb']:,.0f}",
        )
    return speed


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

"""Why not to trust this: what no number of the report can show, and which of them rest on few members."""

from functools import partial
from typing import Any

from benchmarks.sweep_report.document import Section, Table, attribute_name, columns_of
from benchmarks.sweep_report.sentence_templates import named, words
from benchmarks.sweep_report.sweep_results import Policy, SweepResults

FEW_SEEDS = 5

SIMULATED = ("nobody_real", "events_only", "chosen")
RECORDED = ("no_truth", "record_holds_all", "propensities_fit", "like_the_record", "small_groups")
"""Blocks of `templates/doubts.txt` that are said of every sweep with a truth, and of every one without."""


def doubts(results: SweepResults) -> Section:
    """What the summary refers to."""
    weights = weights_of(results, results.leading)
    blocks = SIMULATED if results.has_truth else RECORDED
    points = [named("doubts", block, behaviour=results.behaviour) for block in blocks]
    if results.seeds_compared < FEW_SEEDS:
        points.append(named("doubts", "few_seeds", seeds=results.seeds_compared))
    points += _of_seeds(results) + _of_weights(results, weights) + _of_the_runs(results)
    without = words("doubts", "not_exact", policy=results.name(results.leading))
    parts = [table for table in (_diagnostics(results), _groups(results, weights)) if table.rows]
    return Section(
        anchor="doubts",
        title="Why not to trust this",
        text=(words("doubts", "before"),),
        points=tuple(points),
        parts=tuple(parts),
        missing="" if weights else words("doubts", "unknown", why=results.why_missing(without)),
    )


def _of_seeds(results: SweepResults) -> list[tuple[str, str]]:
    """That means are over fewer seeds than were run."""
    within = [entry["seeds"] for entry in results.card.get("curves") or [] if entry["kind"] in ("algorithm", "peer")]
    least = min(within, default=None)
    if min([results.seeds_compared, *within]) == len(results.seeds):
        return []
    facts = {"seeds": len(results.seeds), "compared": results.seeds_compared, "within": least}
    return [named("doubts", "fewer_seeds", **facts)]


def _of_weights(results: SweepResults, weights: Any) -> list[tuple[str, str]]:
    """Doubts that follow from the importance weights: few members carry them, or they are cut off."""
    if not weights:
        return []
    seed, found = weights
    limits, policy = found["limits"], f"{results.name(results.leading)} (seed {seed})"
    say = partial(named, "doubts", policy=policy, limits=limits)
    said = [
        say(
            "few_carry", source=found["panel"]["source"], members=_said(found["members"]),
            worst=_part(found["worst_week"]), heaviest=_part(found["max_share"]),
        ),
        say("cut_off", clipped=found["clipped"]),
    ]  # fmt: skip
    if found["unsupported"] is not None:
        said.append(say("unsupported", unsupported=found["unsupported"]))
    small = [
        group
        for group in found["groups"]
        if isinstance(group["effective"], str) or (group["effective"] or 0.0) < limits["group_members"]
    ]
    if small:
        said.append(say("thin_groups", groups=", ".join(f"{g['group']} ({_said(g['effective'])})" for g in small)))
    return [*said, say("records_would_not_show")] if results.has_truth else said


def _said(members: float | str | None) -> str:
    """Effective members in a sentence; the run may have withheld how few they are."""
    return members if isinstance(members, str) else "0" if members is None else f"{members:,.0f}"


def _part(share: float | None) -> str:
    """A share in a sentence; the run may have withheld it."""
    return words("doubts", "withheld_part") if share is None else f"{share:.1%}"


def _of_the_runs(results: SweepResults) -> list[tuple[str, str]]:
    card = results.card
    said = [named("doubts", "failed", failed=card["failed"])] if card["failed"] else []
    if card.get("older"):
        labels = ", ".join(results.labels.get(name, name) for name in card["older"])
        said.append(named("doubts", "older", algorithms=labels))
    commit = str(card.get("commit") or "")
    block = "no_commit" if not commit else "changed" if commit.endswith("+") else ""
    return [*said, named("doubts", block)] if block else said


def weights_of(results: SweepResults, policy: Policy) -> tuple[int, dict[str, Any]] | None:
    """Seed and diagnostics of a policy's weights, with the members they are of as `panel`; None where none are kept."""
    found = results.look(policy, "weights")
    if found is None:
        return None
    seed, weights = found
    return seed, weights | {"panel": results.panel(policy, seed)}


def _diagnostics(results: SweepResults) -> Table:
    rows = []
    for policy in results.policies:
        found = weights_of(results, policy)
        if found:
            seed, w = found
            rows.append(
                (
                    results.name(policy),
                    seed,
                    w["members"],
                    w["worst_week"],
                    w["max_share"],
                    w["clipped"],
                    w["unsupported"],
                    w["mean_ratio"],
                    {None: "not estimated", True: "yes", False: "no"}[results.withheld(policy, seed)],
                )
            )
    return Table(
        name="diagnostics",
        caption=words("doubts", "diagnostics"),
        columns=columns_of(
            "policy | seed:d | effective:,.0f | worst week:.1% | heaviest:.1%"
            " | cut off:.1% | off support:.1% | mean ratio:.2f | withheld"
        ),
        rows=rows,
    )


def _groups(results: SweepResults, weights: Any) -> Table:
    seed, found = weights or (0, {"groups": [], "limits": {"group_members": 0}})
    return Table(
        name="effective_members_by_group",
        caption=words("doubts", "by_group", policy=results.name(results.leading), seed=seed),
        columns=columns_of("attribute | group | members:,d | effective members:,.0f"),
        rows=[
            (
                attribute_name(group["attribute"]),
                str(group["group"]),
                group["members"],
                group["effective"],
            )
            for group in found["groups"]
        ],
    )

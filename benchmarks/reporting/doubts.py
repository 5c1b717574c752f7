"""Why not to trust this: what stands in the way of every number, before any number."""

from typing import Any

from benchmarks.reporting.document import Section, Table, attribute_name, columns_of
from benchmarks.reporting.sweep_results import Policy, SweepResults

FEW_SEEDS = 5


def doubts(results: SweepResults) -> Section:
    """The second section."""
    weights = _leading_weights(results)
    points = [*(_simulated(results) if results.has_truth else _recorded(results)), *_of_weights(results, weights)]
    points += _of_the_runs(results)
    without = f"{results.name(results.leading)} has no probabilities of its actions, or no propensities are known."
    parts = [table for table in (_diagnostics(results), _groups(results, weights)) if table.rows]
    return Section(
        anchor="doubts",
        title="Why not to trust this",
        text=("Read this before any number, the summary's too.",),
        points=tuple(points),
        parts=tuple(parts),
        missing=""
        if weights
        else f"Effective sample sizes, clipped mass and mass off support are not known. {results.why_missing(without)}",
    )


def _simulated(results: SweepResults) -> list[tuple[str, str]]:
    return [
        (
            "Nobody in here is real",
            "The members are drawn by a simulator whose numbers come from publications where there are any, and are "
            "assumptions where there are none. A method that is best here need not be best anywhere else.",
        ),
        (
            "The value counts events only",
            "Minus the ED visits and hospital stays, all alike. What contacts cost, what they mean to members, and "
            "how bad "
            "an event is, is not in it.",
        ),
        (
            "The first place was chosen by these very numbers",
            "The policy that is first is first partly by luck; the more that were compared, the more so. Its "
            "interval does "
            "not take the choice into account.",
        ),
        *_few_seeds(results),
    ]


def _few_seeds(results: SweepResults) -> list[tuple[str, str]]:
    seeds = len(results.seeds)
    if seeds >= FEW_SEEDS:
        return []
    one = (
        "One seed says nothing about how results vary with the draw of the data"
        if seeds == 1
        else (f"{seeds} seeds are a coarse picture of how results vary with the draw of the data")
    )
    return [("Few seeds", f"{one}; intervals over so few are too narrow rather than too wide.")]


def _recorded(results: SweepResults) -> list[tuple[str, str]]:
    return [
        (
            "There is no true value",
            "These members were recorded, not simulated. Every value below is an estimate from what the care team "
            "did with "
            "other members, and none of them can be checked. The page shows no truth column because there is none.",
        ),
        (
            "It assumes that the record holds all that mattered",
            "Whatever moved the team to act and also moved the outcome has to be in the record. What the team saw "
            "and did "
            "not write down is confounding, and no number here can rule it out.",
        ),
        (
            "It assumes propensities that fit",
            "Where the probabilities with which the team acted were not logged, they are estimated, and their errors "
            "multiply over the weeks.",
        ),
        (
            "It assumes that tomorrow is like the record",
            "Other members, another team or other services give other values.",
        ),
        (
            "Small groups are not shown",
            "No number about 1 to 10 people is on this page or in its files, nor one from which it would follow. A "
            "cross "
            "in a table of colour, a dash in a table and a missing group or week may be such a number.",
        ),
        *_few_seeds(results),
    ]


def _of_weights(results: SweepResults, weights: Any) -> list[tuple[str, str]]:
    if not weights:
        return []
    seed, found = weights
    limits, name = found["limits"], f"{results.name(results.leading)} (seed {seed})"
    said = [
        (
            "Few members carry the weight",
            f"Of {found['panel']['source']}, {_said(found['members'])} carry the weight of an off-policy estimate for "
            f"{name} "
            f"with weights cut off at 30 (at least {limits['members']:.0f} are asked for). In the worst week it is "
            f"{_part(found['worst_week'])} of those still followed (at least {limits['week_share']:.0%}); the heaviest "
            "has "
            f"{_part(found['max_share'])} of all weight (at most {limits['max_share']:.0%}).",
        ),
        (
            "Weight that was cut off",
            f"The cut-off takes {found['clipped']:.1%} of the weight away (at most {limits['clipped']:.0%}). "
            "What it takes is bias that no interval shows.",
        ),
    ]
    if found["unsupported"] is not None:
        said.append(
            (
                "Actions that the data hardly holds",
                f"{found['unsupported']:.1%} of what {name} does are joint actions that fewer than "
                f"{limits['support_members']} of these members ever got (at most {limits['unsupported']:.0%}). "
                "Nothing in the data speaks about them.",
            )
        )
    small = [
        group
        for group in found["groups"]
        if isinstance(group["effective"], str) or (group["effective"] or 0.0) < limits["group_members"]
    ]
    if small:
        names = ", ".join(f"{group['group']} ({_said(group['effective'])})" for group in small)
        said.append(
            (
                "Groups with too little evidence",
                f"Effective members below {limits['group_members']:.0f} in: {names}. A value of such a group is not "
                "to be "
                "quoted.",
            )
        )
    if results.has_truth:
        said.append(
            (
                "What the simulator knows, records would not show",
                "The points on weights and support above are what an analyst with records alone would face. "
                "True values do not depend on "
                "them; any off-policy estimate on this page does.",
            )
        )
    return said


def _said(members: float | str | None) -> str:
    """Effective members in a sentence; the run may have withheld how few they are."""
    return members if isinstance(members, str) else "0" if members is None else f"{members:,.0f}"


def _part(share: float | None) -> str:
    """A share in a sentence; the run may have withheld it."""
    return "a part that must not be told" if share is None else f"{share:.1%}"


def _of_the_runs(results: SweepResults) -> list[tuple[str, str]]:
    said, card = [], results.card
    if card["failed"]:
        said.append(("Runs failed", f"{len(card['failed'])} of the runs are not in here: {'; '.join(card['failed'])}."))
    commit = card.get("commit")
    if not commit:
        said.append(("Code of unknown version", "The runs were not made from a checkout, so that no commit is known."))
    elif str(commit).endswith("+"):
        said.append(("Code that was changed", "The code differed from its commit when the scorecard was written."))
    return said


def _leading_weights(results: SweepResults) -> tuple[int, dict[str, Any]] | None:
    """Diagnostics of the leading policy, or of the first one that has any, with whom they are about."""
    return weights_of(results, results.leading)


def weights_of(results: SweepResults, policy: Policy) -> tuple[int, dict[str, Any]] | None:
    """Diagnostics of a policy's weights, with the members they are of."""
    found = results.look(policy, "weights")
    if found is None:
        return None
    seed, weights = found
    panel = next(e["panel"] for e in results.details if (e["algo"], e["seed"]) == (policy[0], seed))
    return seed, weights | {"panel": panel}


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
        caption="How far logged weeks speak about each policy (weighted importance sampling, weights cut off at 30). "
        "Effective: members that carry the weight; worst week: of those followed; heaviest: weight of one member; "
        "withheld: whether the value that was estimated of it (under Values) is refused, by whatever estimator.",
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
        caption=f"Effective members by group, {results.name(results.leading)}, seed {seed}.",
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

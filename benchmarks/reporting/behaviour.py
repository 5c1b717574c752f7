"""What the policies do: by factor, by need, and how the trained embeddings of actions lie."""

from functools import partial
from typing import Any

from benchmarks.drawing.maps import Pair, Place, heatmap, pairs, plane
from benchmarks.reporting.document import Column, Figure, Section, Table, columns_of, readable
from benchmarks.reporting.sweep_results import Policy, SweepResults
from benchmarks.sweep.scorecard import logged_sentence


def by_factor(results: SweepResults) -> Section:
    """Policy against behaviour, level by level."""
    section = partial(Section, anchor="factors", title="What the policy does, by factor")
    policy = results.leading
    found = results.look(policy, "by_factor")
    if not found:
        return section(missing=results.why_missing("No members to look at the policies on were given."))
    seed, rows = found
    shown: dict[str, list[Pair]] = {}
    hidden = []  # what stands for doing nothing is most of the weeks, and would leave no room for the others
    for row in rows:
        factor = row["factor"].replace("_", " ").capitalize()
        if row.get("nothing"):
            hidden.append(
                f"{factor.lower()} {row['level']} {_percent(row['policy'])} against {_percent(row['behaviour'])}"
            )
        else:
            pair = Pair(readable(row["level"]), row["policy"], row["behaviour"])
            shown.setdefault(factor, []).append(pair)
    nothing = f" Not drawn, since doing nothing is most of it: {'; '.join(hidden)}." if hidden else ""
    figure = Figure(
        title=f"{results.name(policy)}, seed {seed}, against the care team",
        description=f"For every level of {', '.join(shown).lower()}: the share of weeks in which policy and care team "
        "use it, in the same states. All shares are in the table below.",
        draw=pairs(list(shown.items()), first="the policy", second="the care team", axis="share of the weeks"),
        table=Table(
            name="policy_by_factor",
            caption="Share of the weeks.",
            columns=columns_of("factor | level | policy:.2% | care team:.2%"),
            rows=[(row["factor"], row["level"], row["policy"], row["behaviour"]) for row in rows],
        ),
        notes=(f"In the states that the care team met, on {_source(results, policy, seed)}.{nothing}",),
    )
    return section(parts=(figure, _all_factors(results), *_logged(results)))


def _logged(results: SweepResults) -> tuple[Table, ...]:
    """What the care team spent, level by level; scorecards of before don't tell."""
    logged = results.card.get("logged")
    if logged is None:
        return ()
    rows = [
        (factor, level, entry["contacts_per_week"], entry["minutes_per_week"])
        for factor, levels in logged["by_level"].items()
        for level, entry in levels.items()
    ]
    table = Table(
        name="logged_effort",
        caption=f"{logged_sentence(logged)} Levels that 1 to 10 real people got are left out.",
        columns=columns_of("factor | level | contacts a member-week:.4f | minutes a member-week:.3f"),
        rows=rows,
    )
    return (table,)


def _percent(value: float | None) -> str:
    return "what must not be shown" if value is None else f"{100 * value:.1f} %"


def _all_factors(results: SweepResults) -> Table:
    rows = [
        (
            results.name((entry["algo"], mode)),
            entry["seed"],
            row["factor"],
            row["level"],
            row["policy"],
            row["behaviour"],
        )
        for entry in results.details
        for mode, parts in entry.get("modes", {}).items()
        for row in parts["by_factor"]
        if entry["algo"] in results.labels
    ]
    columns = columns_of("policy | seed:d | factor | level | share:.2% | care team:.2%")
    return Table(
        name="all_policies_by_factor", caption="All policies and seeds.", columns=columns, rows=rows, shown=False
    )


def by_state(results: SweepResults) -> Section:
    """Need by action."""
    section = partial(Section, anchor="needs", title="Need by action")
    policy = results.leading
    found = results.look(policy, "by_state")
    if not found:
        why = "The observations have no names that say what was recorded of a member's needs."
        return section(missing=results.why_missing(why))
    seed, table = found
    panel = _panel(results, policy, seed)
    rows, columns = [readable(row) for row in table["rows"]], [readable(column) for column in table["columns"]]
    kind, factor = panel["state_kind"], table["factor"].replace("_", " ")
    latent = (
        "Open needs are what only the simulator knows: no policy sees them."
        if kind == "open need"
        else "Rows are what the record says of the week before: which needs are behind it is not known."
    )
    left_out = f" {table['hidden_rows']} rows are not shown: too few people." if table["hidden_rows"] else ""
    crosses = "" if panel["simulated"] else " A cross stands for a share that is about too few people to be shown."
    figure = Figure(
        title=f"{kind.capitalize()} by {factor}: {results.name(policy)}, seed {seed}, and the care team",
        description=f"Two tables of colour with {len(rows)} rows ({kind}) and {len(columns)} columns ({factor}): share "
        "of the weeks in such a state with such a contact. All shares are in the table below.",
        draw=heatmap(
            [("The policy", table["policy"]), ("The care team", table["behaviour"])], rows=rows, columns=columns
        ),
        table=Table(
            name="need_by_action",
            caption="Share of the weeks in such a state.",
            columns=(Column(kind), Column(factor), Column("policy", ".2%"), Column("care team", ".2%")),
            rows=[
                (table["rows"][i], table["columns"][k], table["policy"][i][k], table["behaviour"][i][k])
                for i in range(len(rows))
                for k in range(len(columns))
            ],
        ),
        notes=(
            f"Share of the weeks in which such a member gets such a contact, in percent, on {panel['source']}. "
            "Shades grow "
            f"with the square root, so that small shares can be seen. {latent}{left_out}{crosses}",
        ),
    )
    return section(parts=(figure,))


def embeddings(results: SweepResults) -> Section:
    """Trained embeddings of the levels."""
    section = partial(Section, anchor="embeddings", title="Trained action embeddings")
    entries = [entry for entry in results.details if entry.get("embeddings")]
    if not entries:
        return section(missing=results.why_missing("No trained algorithm embeds its actions."))
    entry = min(
        entries, key=lambda e: (e["algo"] != results.leading[0], list(results.labels).index(e["algo"]), e["seed"])
    )
    found = entry["embeddings"]
    places = [Place(readable(p["level"]), p["factor"].replace("_", " "), p["x"], p["y"]) for p in found["points"]]
    shares = [f"{100 * (share or 0):.0f} %" for share in found["explained"]]
    figure = Figure(
        title=f"{entry['label']}, seed {entry['seed']}: one point a level",
        description=f"{len(places)} points in a plane, coloured and marked by factor "
        f"({', '.join(dict.fromkeys(place.kind for place in places))}). Coordinates are in the table below.",
        draw=plane(places, x=f"along: {shares[0]} of the variance", y=f"up: {shares[1]}"),
        table=Table(
            name="embeddings",
            caption="First two principal components.",
            columns=columns_of("algorithm | seed:d | factor | level | x:+.3f | y:+.3f"),
            rows=[
                (each["label"], each["seed"], p["factor"], p["level"], p["x"], p["y"])
                for each in [entry, *(e for e in entries if e is not entry)]
                for p in each["embeddings"]["points"]
            ],
        ),
        notes=(
            f"The {found['size']} dimensions of the policy's embeddings of levels, turned so that the first two show "
            "most: "
            f"{shares[0]} and {shares[1]} of the variance; the rest is not to be seen here. Names without room are "
            "in the "
            "table only. Distances in a picture like this suggest and prove nothing.",
        ),
    )
    return section(parts=(figure,))


def _panel(results: SweepResults, policy: Policy, seed: int) -> dict[str, Any]:
    return next(e["panel"] for e in results.details if (e["algo"], e["seed"]) == (policy[0], seed))


def _source(results: SweepResults, policy: Policy, seed: int) -> str:
    return _panel(results, policy, seed)["source"]

"""What the policies do: by factor, by need, and how the trained embeddings of actions lie."""

from functools import partial

from benchmarks.charts.maps import Pair, Place, heatmap, pairs, plane
from benchmarks.sweep_report.document import Column, Figure, Section, Table, columns_of, readable
from benchmarks.sweep_report.sentence_templates import words
from benchmarks.sweep_report.sweep_results import SweepResults


def by_factor(results: SweepResults) -> Section:
    """Policy against behaviour, level by level."""
    section = partial(Section, anchor="factors", title="What the policy does, by factor")
    policy = results.leading
    found = results.look(policy, "by_factor")
    if not found:
        return section(missing=results.why_missing(words("behaviour", "no_members")))
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
    if not shown:
        return section(missing=words("behaviour", "few_got"), parts=(_all_factors(results),))
    figure = Figure(
        title=words("behaviour", "factors_title", policy=results.name(policy), seed=seed, behaviour=results.behaviour),
        description=words(
            "behaviour", "factors_description", factors=", ".join(shown).lower(), behaviour=results.behaviour
        ),
        draw=pairs(list(shown.items()), first="the policy", second=results.behaviour, axis="share of the weeks"),
        table=Table(
            name="policy_by_factor",
            caption="Share of the weeks.",
            columns=columns_of(f"factor | level | policy:.2% | {results.behaviour_column}:.2%"),
            rows=[(row["factor"], row["level"], row["policy"], row["behaviour"]) for row in rows],
        ),
        notes=(
            words(
                "behaviour",
                "factors_note",
                behaviour=results.behaviour,
                source=results.panel(policy, seed)["source"],
                hidden=hidden,
            ),
        ),
    )
    return section(parts=(figure, _all_factors(results)))


def _percent(value: float | None) -> str:
    return words("behaviour", "not_shown") if value is None else f"{100 * value:.1f} %"


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
    columns = columns_of(f"policy | seed:d | factor | level | share:.2% | {results.behaviour_column}:.2%")
    return Table(
        name="all_policies_by_factor", caption="All policies and seeds.", columns=columns, rows=rows, shown=False
    )


def by_state(results: SweepResults) -> Section:
    """Need by action."""
    section = partial(Section, anchor="needs", title="Need by action")
    policy = results.leading
    found = results.look(policy, "by_state")
    if not found:
        return section(missing=results.why_missing(words("behaviour", "no_names")))
    seed, table = found
    if not table["rows"]:
        return section(missing=words("behaviour", "few_in_states"))
    panel = results.panel(policy, seed)
    rows, columns = [readable(row) for row in table["rows"]], [readable(column) for column in table["columns"]]
    kind, factor = panel["state_kind"], table["factor"].replace("_", " ")
    facts = {"kind": kind, "factor": factor, "policy": results.name(policy), "seed": seed}
    facts["behaviour"] = results.behaviour
    figure = Figure(
        title=words("behaviour", "needs_title", **facts),
        description=words("behaviour", "needs_description", rows=len(rows), columns=len(columns), **facts),
        draw=heatmap(
            [("The policy", table["policy"]), (results.behaviour.capitalize(), table["behaviour"])],
            rows=rows,
            columns=columns,
        ),
        table=Table(
            name="need_by_action",
            caption="Share of the weeks in such a state.",
            columns=(Column(kind), Column(factor), Column("policy", ".2%"), Column(results.behaviour_column, ".2%")),
            rows=[
                (table["rows"][i], table["columns"][k], table["policy"][i][k], table["behaviour"][i][k])
                for i in range(len(rows))
                for k in range(len(columns))
            ],
        ),
        notes=(
            words(
                "behaviour",
                "needs_note",
                kind=kind,
                source=panel["source"],
                hidden=table["hidden_rows"],
                simulated=panel["simulated"],
            ),
        ),
    )
    return section(parts=(figure,))


def embeddings(results: SweepResults) -> Section:
    """Trained embeddings of the levels."""
    section = partial(Section, anchor="embeddings", title="Trained action embeddings")
    entries = [entry for entry in results.details if entry.get("embeddings")]
    if not entries:
        return section(missing=results.why_missing(words("behaviour", "no_embeddings")))
    entry = min(
        entries, key=lambda e: (e["algo"] != results.leading[0], list(results.labels).index(e["algo"]), e["seed"])
    )
    found = entry["embeddings"]
    places = [Place(readable(p["level"]), p["factor"].replace("_", " "), p["x"], p["y"]) for p in found["points"]]
    shares = [f"{100 * (share or 0):.0f} %" for share in found["explained"]]
    figure = Figure(
        title=f"{entry['label']}, seed {entry['seed']}: one point a level",
        description=words(
            "behaviour",
            "embeddings_description",
            points=len(places),
            factors=", ".join(dict.fromkeys(place.kind for place in places)),
        ),
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
        notes=(words("behaviour", "embeddings_note", size=found["size"], shares=shares[:2]),),
    )
    return section(parts=(figure,))

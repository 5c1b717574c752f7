"""Where the numbers come from: data, seeds, code, versions, commands, and what each run took."""

from benchmarks.sweep.scorecard_tables import is_of_care
from benchmarks.sweep_report.document import Section, Table, columns_of
from benchmarks.sweep_report.sentence_templates import words
from benchmarks.sweep_report.sweep_results import SweepResults
from benchmarks.training.algorithms import PEERS
from benchmarks.training.column_roles import NO_RESPONSE


def assumed(results: SweepResults) -> Section:
    """What the sweep was told of the columns, and by whom."""
    told = results.card.get("told")
    if told is None:
        return Section(
            anchor="assumed", title="What the columns were taken for", missing=words("contents", "not_assumed")
        )
    rows = [tuple(row) for row in told["rows"]]
    if told.get("action_rate") is not None:
        rows.append(
            ("share of member-weeks that FactoredAWR acts in", f"{told['action_rate']:g}", "option --action-rate")
        )
    text = (NO_RESPONSE,) if told["meaning"]["response"] is None and is_of_care(results.card) else ()
    if not rows:
        return Section(anchor="assumed", title="What the columns were taken for", missing=words("contents", "nothing"))
    return Section(
        anchor="assumed",
        title="What the columns were taken for",
        text=(*text, *(f"{sentence}." for sentence in results.card.get("left_out", ()))),
        parts=(
            Table(
                name="assumed",
                caption=words("contents", "assumed"),
                columns=columns_of("what | taken for | who says so"),
                rows=rows,
            ),
        ),
    )


def provenance(results: SweepResults, command: str) -> Section:
    """The last section.

    Args:
        results: Of the sweep.
        command: That makes the report.
    """
    card = results.card
    facts = {
        "command of the sweep": card.get("command"),
        "command of this report": command,
        "dataset": card["dataset"],
        "data SHA-256": card.get("dataset_sha256"),
        "simulator parameters": card.get("parameters_version"),
        "seeds": ", ".join(map(str, results.seeds)),
        "evaluation members": f"{card['eval_members']:,}" if card.get("eval_members") else None,
        "evaluation seed": card.get("eval_seed") if results.has_truth else None,
        "commit": card.get("commit"),
        **{f"version of {name}": version for name, version in card["versions"].items()},
    }
    runs = {(row["algo"], row["seed"]): row for row in card["runs"]}
    return Section(
        anchor="provenance",
        title="Provenance",
        text=(words("contents", "same_again"),),
        parts=(
            Table(
                name="provenance",
                caption="Of the whole sweep.",
                columns=columns_of("what | value"),
                rows=[(name, str(value)) for name, value in facts.items() if value is not None],
            ),
            Table(
                name="runs",
                caption="Of each training.",
                columns=columns_of(
                    "algorithm | seed:d | updates:,d | wall s:,.0f | updates/s:,.0f"
                    " | peak MB:,.0f | settings | data SHA-256 | model file"
                ),
                rows=[
                    (
                        row["label"],
                        row["seed"],
                        None if row["algo"] in PEERS else row.get("steps"),
                        row.get("wall_s"),
                        None if row["algo"] in PEERS else row.get("updates_per_s"),
                        row.get("peak_rss_mb"),
                        ", ".join(f"{k} {v}" for k, v in row.get("settings", {}).items()) or "defaults",
                        str(row.get("data_sha256", ""))[:12],
                        row.get("model", ""),
                    )
                    for row in runs.values()
                ],
            ),
        ),
    )

"""Where the numbers come from: data, seeds, code, versions, commands, and what each run took."""

from benchmarks.reporting.document import Section, Table, columns_of
from benchmarks.reporting.sweep_results import SweepResults


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
        text=(
            "The same command on the same commit and versions gives the same values on one kind of processor. Seed k "
            "trains "
            "on data replicate k, where the dataset has a recipe.",
        ),
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
                        row.get("steps"),
                        row.get("wall_s"),
                        row.get("updates_per_s"),
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

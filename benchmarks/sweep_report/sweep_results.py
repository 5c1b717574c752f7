"""A results folder as the report reads it: the scorecard, the details beside it, the frontier of a fairness penalty."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.sweep.results import CHECKSUMS
from benchmarks.sweep.scorecard_tables import is_of_care
from frl_env.errors import UserError
from frl_env.files import atomic
from frl_env.files.integrity import sha256
from frl_env.reference_returns import ceiling

OLD = "These results were written before runs kept it; run the same command again into a new folder"

Policy = tuple[str, str]
"""Algorithm and mode."""


@dataclass(frozen=True, kw_only=True)
class SweepResults:
    """What a sweep left behind.

    Attributes:
        card: `scorecard.json`.
        details: `details.json`; empty for older results.
        frontier: `frontier.json` of `benchmarks/studies/fairness_frontier.py`; empty without.
    """

    card: Mapping[str, Any]
    details: list[dict[str, Any]] = field(default_factory=list)
    frontier: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_truth(self) -> bool:
        """Whether policies were rolled out on the simulator."""
        return bool(self.card["references"])

    @property
    def gained(self) -> str:
        """What a difference to the care team is, on an axis: only of the simulator's reward it is known what it counts.

        Returns:
            Words for a member's gain.
        """
        return "events avoided a member" if self.has_truth else "gain a member, in the unit of the reward"

    @property
    def behaviour(self) -> str:
        """What to call whoever made the logged decisions: only where data are of care, a care team."""
        return "the care team" if is_of_care(self.card) else "the behaviour policy"

    @property
    def behaviour_column(self) -> str:
        """The same as the heading of a column."""
        return self.behaviour.removeprefix("the ")

    @cached_property
    def labels(self) -> dict[str, str]:
        """What to call each algorithm, in the order of the runs."""
        return {row["algo"]: row["label"] for row in self.card["runs"]}

    @cached_property
    def policies(self) -> list[Policy]:
        """Every algorithm and mode: as ranked where there is a truth, else as they were run."""
        ranked = [(row["algo"], row["mode"]) for row in self.card["summary"]]
        return list(dict.fromkeys([*ranked, *((row["algo"], row["mode"]) for row in self.card["runs"])]))

    @cached_property
    def leading(self) -> Policy:
        """The policy that is shown where only one is: first by true value, else by estimate, else as run."""
        if self.card["summary"]:
            return self.policies[0]
        valued = [entry for entry in self.card["ope"] if entry.get("headline")]
        if not valued:
            return self.policies[0]
        best = max(valued, key=lambda entry: entry["headline"]["difference"])
        return best["algo"], best["mode"]

    @cached_property
    def seeds(self) -> list[int]:
        """All seeds."""
        return sorted({row["seed"] for row in self.card["runs"]})

    @property
    def seeds_compared(self) -> int:
        """How many seeds the compared values are over: those that every algorithm has; all where none were compared."""
        return self.card["summary"][0]["seeds"] if self.card["summary"] else len(self.seeds)

    @property
    def searched(self) -> bool:
        """Whether a score of 100 is the best policy that search found on the observations, and not the oracle."""
        return ceiling(self.card["references"]) != "oracle"

    def name(self, policy: Policy) -> str:
        """What to call a policy."""
        return f"{self.labels[policy[0]]}, {policy[1]}"

    def style(self, policy: Policy) -> tuple[int, int]:
        """Numbers of its colour, one an algorithm, and of its dash, one a mode."""
        return list(self.labels).index(policy[0]), int(policy[1] == "greedy")

    def run(self, policy: Policy, seed: int) -> Mapping[str, Any]:
        """The row of a run; empty when there is none."""
        for row in self.card["runs"]:
            if (row["algo"], row["mode"], row["seed"]) == (*policy, seed):
                return row
        return {}

    def withheld(self, policy: Policy, seed: int) -> bool | None:
        """Whether a policy's off-policy value is withheld, as its headline has it; None if none was estimated."""
        for entry in self.card["ope"]:
            if (entry["algo"], entry["mode"], entry["seed"]) == (*policy, seed):
                return not entry.get("headline")
        return None

    def why_missing(self, otherwise: str) -> str:
        """Why something from the details is not there: no details at all, or the reason given."""
        return otherwise if self.details else f"{OLD}."

    def look(self, policy: Policy, part: str) -> tuple[int, Any] | None:
        """A part of the details of a policy, of the lowest seed that has it, and that seed."""
        for entry in sorted(self.details, key=lambda each: each["seed"]):
            found = entry.get("modes", {}).get(policy[1], {}).get(part) if entry["algo"] == policy[0] else None
            if found is not None:
                return entry["seed"], found
        return None

    def panel(self, policy: Policy, seed: int) -> dict[str, Any]:
        """Whom the details of a run are about: `source`, `simulated`, `state_kind`."""
        return next(each["panel"] for each in self.details if (each["algo"], each["seed"]) == (policy[0], seed))


def read_results(folder: Path, fairness: Path | None = None) -> SweepResults:
    """Reads a results folder.

    Args:
        folder: Of `benchmarks/run.py`.
        fairness: Folder of `benchmarks/studies/fairness_frontier.py`; by default `fairness` in the results folder, if
            it is there.

    Raises:
        UserError: If there is no scorecard, a file is damaged, or nothing was trained.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; name the --out folder of benchmarks/run.py")
    file = folder / "scorecard.json"
    if not file.exists():
        raise UserError(f"{folder} holds no scorecard.json; run benchmarks/run.py --out {folder} to its end first")
    _check(folder)
    card = _json(file)
    damage = UserError(f"{file} is no scorecard of benchmarks/run.py, or damaged; run it again with --out {folder}")
    if not isinstance(card, dict) or not isinstance(card.get("runs"), list) or "dataset" not in card:
        raise damage
    if not all(isinstance(row, dict) and {"algo", "label", "mode", "seed"} <= set(row) for row in card["runs"]):
        raise damage
    if not card["runs"]:
        raise UserError(f"{file} holds no trained policy; run benchmarks/run.py --algo factored_awr --out {folder}")
    card = {"references": {}, "summary": [], "ope": [], "failed": [], "versions": {}} | card
    beside = folder / "details.json"
    details = _json(beside) if beside.exists() else []
    if not isinstance(details, list) or not all(isinstance(e, dict) and {"algo", "seed"} <= set(e) for e in details):
        raise UserError(f"{beside} is damaged; run benchmarks/run.py --out {folder} again")
    file = (fairness or folder / "fairness") / "frontier.json"
    if fairness is not None and not file.exists():
        raise UserError(f"there is no {file}; name the --out folder of benchmarks/studies/fairness_frontier.py")
    frontier = _json(file) if file.exists() else {}
    if not isinstance(frontier, dict) or not isinstance(frontier.get("points", []), list):
        raise UserError(f"{file} is damaged; run benchmarks/studies/fairness_frontier.py again")
    return SweepResults(**_told_apart(card, details), frontier=frontier)


def _told_apart(card: dict[str, Any], details: list[dict[str, Any]]) -> dict[str, Any]:
    """Scorecard and details in which no two algorithms have the same label: those that did have their names, too.

    An algorithm says itself what it is called, and two settings of one call themselves the same.
    """
    labels = {row["algo"]: row["label"] for row in card["runs"]}
    often = Counter(labels.values())
    unlike = {algo: f"{label} ({algo})" for algo, label in labels.items() if often[label] > 1}

    def told(rows: Any, key: str) -> Any:
        return [row | {"label": unlike[row[key]]} if row.get(key) in unlike else row for row in rows or ()]

    card = card | {"runs": told(card["runs"], "algo"), "curves": told(card.get("curves"), "policy")}
    return {"card": card, "details": told(details, "algo")}


def _check(folder: Path) -> None:
    """Says so when a file is not of the sweep that the others are of, or was changed since.

    Raises:
        UserError: If so.
    """
    for journal in atomic.journals(folder):
        raise UserError(
            f"{folder} is being written ({journal.name}); wait, or run benchmarks/run.py --out {folder} again"
        )
    if not (folder / CHECKSUMS).exists():
        return
    kept = _json(folder / CHECKSUMS)
    for name, digest in kept.items() if isinstance(kept, dict) else [(CHECKSUMS, None)]:
        if not (folder / name).exists() or sha256(folder / name) != digest:
            raise UserError(
                f"{folder / name} is damaged: it was changed since it was written; "
                f"run benchmarks/run.py --out {folder} again"
            )


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as problem:
        raise UserError(f"can't read {file} ({problem.strerror})") from problem
    except (ValueError, RecursionError) as problem:
        raise UserError(
            f"{file} is damaged (no whole JSON); run benchmarks/run.py --out {file.parent} again"
        ) from problem

"""What a trained policy would do on logged members, and what it is worth there: the published `evaluate_policy`.

    evaluate_policy("policy.safetensors", "evaluation_data.parquet", "evaluation")

    summary.json        everything below, and every estimator's value with intervals and diagnostics
    actions.csv         share of each level of each factor: drawn from the policy, its best action, as logged
    joint_actions.csv   the joint actions that the policy takes most
    values.csv          one row an estimator
    sensitivity.csv     one row a setting of what the data can't settle, and the figure of it; of 100 members or more
    embeddings.csv      the policy's *trained* level embeddings in two dimensions
    *.svg               figures of these

Of members who may be real no number of 1 to 10 people is written, nor one from which such a number follows.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from frl_algos.model_files.policy_files import load_policy, told_by
from frl_algos.policies.policy import LearnedPolicy, Probabilities
from frl_algos.policy_reports.embedding_map import EmbeddingMap, embedding_map
from frl_algos.policy_reports.evaluation_plots import evaluation_figures
from frl_algos.value_models.policy_sensitivity import policy_sensitivity
from frl_algos.value_models.selection import default_mode
from frl_algos.value_models.value_policy import value_policy
from frl_env.actions import DECISIONS_AT_ONCE
from frl_env.evaluation import Evaluation, LoggedEpisodes, Sensitivity, load_with_parts
from frl_env.evaluation.dataset_reading.dataset_facts import action_space_of, state_names_of
from frl_env.evaluation.files import write_together
from frl_env.evaluation.privacy.hidden_actions import hidden_actions
from frl_env.evaluation.privacy.suppression import people as number_of_people
from frl_env.evaluation.privacy.suppression import rough_share
from frl_env.evaluation.sensitivity.sensitivity_plot import sensitivity_figure
from frl_env.files.spreadsheets import plain_cells
from frl_env.members import ColumnMap, ImportOptions, open_members

TINY = np.float32(1e-38)
"""Stands for a probability of 0 where it is multiplied with its logarithm."""

TOP = 20
"""Joint actions that are listed."""

OPTIONAL = tuple(f"{name}.{ending}" for name in ("values", "sensitivity", "embeddings") for ending in ("csv", "svg"))
"""Files that not every evaluation has."""

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, done, in all)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PolicyEvaluation:
    """What was found.

    Attributes:
        simulated: Whether the members are simulated.
        members: Number of members, "fewer than 11" where it must not be said.
        decisions: Number of logged decisions.
        mode: "stochastic": the policy is drawn from; "greedy": it has no probabilities, and its best action is taken.
        actions: Columns factor, level, policy, greedy, logged: mean shares over the decisions; greedy are those of the
            algorithm's own best action (`predict`), which need not be its likeliest; logged is missing where it must
            not be said.
        joint_actions: The `TOP` joint actions: their levels, and the policy's mean probability.
        entropy: Mean of the policy's entropy over the decisions, in nats.
        value: Off-policy estimates with diagnostics; None when not asked for.
        sensitivity: What the doubly robust estimate hangs on; None when not asked for, of few members, and where no
            value may be told.
        embeddings: Of the levels, where they are learned.
    """

    simulated: bool
    members: str
    decisions: int
    mode: str
    actions: pd.DataFrame
    joint_actions: pd.DataFrame
    entropy: float
    value: Evaluation | None
    sensitivity: Sensitivity | None
    embeddings: EmbeddingMap | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "simulated": self.simulated,
            "members": self.members,
            "decisions": self.decisions,
            "mode": self.mode,
            "entropy": self.entropy,
            "sentence": None if self.value is None else self.value.sentence,
            "sensitivity": None if self.sensitivity is None else self.sensitivity.to_dict(),
            "true_value": "none: it is known in a simulator only",
            "actions": _records(self.actions),
            "joint_actions": _records(self.joint_actions),
            "embeddings": None
            if self.embeddings is None
            else {"explained": self.embeddings.explained, "levels": _records(self.embeddings.table)},
            "value": None if self.value is None else self.value.to_dict(),
        }


def evaluate_policy(
    policy_path: str | os.PathLike[str],
    data_path: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    *,
    columns: ColumnMap | None = None,
    options: ImportOptions | None = None,
    value: bool = True,
    sensitivity: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> PolicyEvaluation:
    """Evaluates a policy on logged members, and writes tables, JSON and figures.

    Args:
        policy_path: A `.safetensors` file of `frl_algos.save_model`, or d3rlpy's `.d3`, which is a pickle: open one
            only if you trust where it comes from.
        data_path: A Parquet, CSV or Arrow table of members on whom the policy was not trained, or a folder of them, in
            the schema of `docs/own_data.md`; or the id of a Minari dataset.
        output_dir: Where the files go.
        columns: What the table's columns mean, where they have other names.
        options: What to do about the table's problems.
        value: Whether to value the policy off-policy, which takes longer than all else.
        sensitivity: Whether to look, with the value, at what it hangs on
            (`frl_algos.value_models.policy_sensitivity`).
        seed: Of folds, draws and resamples.
        progress: Told how far it is.

    Returns:
        What was written, as a typed result.

    Raises:
        UserError: If a file or dataset is missing or does not fit.
    """
    tell = progress or _silent
    with open_members(data_path, columns=columns, options=options, progress=progress) as dataset:
        tell("reading", 0, 1)
        space = action_space_of(dataset)
        algorithm = load_policy(policy_path, space, state_names_of(dataset))
        episodes = load_with_parts(dataset)
        response, indications = told_by(algorithm, dataset)
        tell("reading", 1, 1)
    policy = LearnedPolicy(algorithm, space, default_mode(algorithm))
    found, moves = None, None
    decided = _Decided(space.n_joint, int(episodes.lengths.sum()), tell)
    if value:
        tell("valuing", 0, 1)
        found = value_policy(
            policy.probabilities,
            episodes,
            seed=seed,
            response=response,
            indications=indications,
            shown=decided.add,
        )
        if sensitivity and found.told:
            moves = policy_sensitivity(policy.probabilities, episodes, seed=seed, indications=indications)
        if moves is not None and not episodes.simulated:
            moves = replace(moves, table=moves.table.drop(columns="members"))  # effective ones may be few
        tell("valuing", 1, 1)
    else:
        decided.ask(policy.probabilities, episodes.observation_rows)
    decided.choose(LearnedPolicy(algorithm, space, "greedy"), episodes.observation_rows)
    actions, joints = _actions(policy, episodes, decided)
    evaluation = PolicyEvaluation(
        simulated=episodes.simulated,
        members=number_of_people(len(episodes), simulated=episodes.simulated),
        decisions=int(episodes.lengths.sum()),
        mode=policy.mode,
        actions=actions,
        joint_actions=joints,
        entropy=decided.entropy / decided.rows,
        value=found,
        sensitivity=moves,
        embeddings=embedding_map(algorithm),
    )
    write_evaluation(evaluation, output_dir)
    return evaluation


def write_evaluation(evaluation: PolicyEvaluation, folder: str | os.PathLike[str]) -> list[Path]:
    """Writes all files; each is whole or as it was before.

    Raises:
        UserError: If the folder can't be made or written.
    """
    tables = {"actions.csv": evaluation.actions, "joint_actions.csv": evaluation.joint_actions}
    if evaluation.value is not None and evaluation.value.told:
        tables["values.csv"] = evaluation.value.table().rename_axis("estimator").reset_index()
    moves = evaluation.sensitivity
    if moves is not None:
        tables["sensitivity.csv"] = moves.table
    if evaluation.embeddings is not None:
        tables["embeddings.csv"] = evaluation.embeddings.table
    contents = {name: plain_cells(table).to_csv(index=False).encode() for name, table in tables.items()}
    contents["summary.json"] = (json.dumps(evaluation.to_dict(), indent=1, allow_nan=False) + "\n").encode()
    note = "Simulated members; not to guide care" if evaluation.simulated else "Small numbers of people are left out"
    contents |= evaluation_figures(evaluation.actions, tables.get("values.csv"), evaluation.embeddings, note=note)
    if moves is not None:
        contents["sensitivity.svg"] = sensitivity_figure(moves, note=note)
    return write_together(folder, contents, optional=OPTIONAL)


class _Decided:
    """Sums over the logged decisions of what the policy would do; each decision is added, and chosen for, once.

    Args:
        joints: Joint actions.
        rows: Decisions in all.
        tell: Told how far it is.
    """

    def __init__(self, joints: int, rows: int, tell: Progress) -> None:
        self.mass, self.best, self.entropy = np.zeros(joints), np.zeros(joints), 0.0
        self.rows, self._tell, self._done = rows, tell, 0

    def add(self, chances: np.ndarray) -> None:
        """Adds the probabilities of all joint actions in some decisions."""
        self.mass += chances.sum(axis=0, dtype=np.float64)
        logarithms = np.maximum(chances, TINY)
        np.log(logarithms, out=logarithms)
        self.entropy -= float(np.einsum("ra,ra->r", chances, logarithms).sum(dtype=np.float64))
        self._done += len(chances)
        self._tell("asking the policy", self._done, self.rows)

    def ask(self, target: Probabilities, observations: np.ndarray) -> None:
        """Asks a policy that nobody else asks."""
        for start in range(0, len(observations), DECISIONS_AT_ONCE):
            self.add(np.asarray(target(observations[start : start + DECISIONS_AT_ONCE])))

    def choose(self, greedy: LearnedPolicy, observations: np.ndarray) -> None:
        """Counts the best actions, which an algorithm finds in its own way: not the likeliest of all joint actions."""
        rng = np.random.default_rng(0)  # asked for, and not drawn from
        for start in range(0, len(observations), DECISIONS_AT_ONCE):
            joints = greedy.action_space.ravel(greedy(observations[start : start + DECISIONS_AT_ONCE], rng))
            self.best += np.bincount(joints, minlength=len(self.best))


def _actions(policy: LearnedPolicy, episodes: LoggedEpisodes, decided: _Decided) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Shares of levels, and the most frequent joint actions."""
    space = episodes.action_space
    logged = episodes.actions[episodes.mask]
    mean, best = decided.mass / decided.rows, decided.best / decided.rows
    taken = np.bincount(logged, minlength=space.n_joint) / len(logged)
    levels = space.joint_levels
    person = None if episodes.simulated else np.repeat(np.arange(len(episodes)), episodes.lengths)
    rows, n = [], len(logged)
    for position, factor in enumerate(space.factors):
        own = levels[:, position]
        secret = None if person is None else hidden_actions(person, logged, space, position)
        shares = [np.bincount(own, weights=each, minlength=len(factor)) for each in (mean, best, taken)]
        for counted in (1,) if policy.mode == "stochastic" else (0, 1):
            shares[counted] = np.asarray([rough_share(s, n, simulated=episodes.simulated) for s in shares[counted]])
        rows += [
            (
                factor.name,
                level,
                *(float(share[k]) for share in shares[:2]),
                None if secret is not None and secret[k] else shares[2][k],
            )
            for k, level in enumerate(factor.levels)
        ]
    actions = pd.DataFrame(rows, columns=["factor", "level", "policy", "greedy", "logged"])
    actions["logged"] = actions["logged"].astype(float)
    top = np.argsort(-mean, kind="stable")[: min(TOP, int(space.valid.sum()))]
    joints = pd.DataFrame(space.decode(levels[top]), columns=[factor.name for factor in space.factors])
    own = (
        mean[top]
        if policy.mode == "stochastic"
        else [rough_share(s, n, simulated=episodes.simulated) for s in mean[top]]
    )
    return actions, joints.assign(policy=own)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON has them: null for what is missing."""
    return json.loads(str(table.to_json(orient="records", double_precision=15)))


def _silent(what: str, done: int, total: int) -> None:
    """Progress that nobody looks at."""

"""What a trained policy does, beyond what it is worth: the numbers that `benchmarks/report.py` draws.

Everything is computed here, once, with the run, and kept with it; the report computes nothing. Means over many members'
decisions and diagnostics of weights only. Where real people may stand behind the members, no cell of 1 to 10 of them is
in it, nor what would let one be worked out.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64

from benchmarks.policy_scoring.panel import UNSAID, Panel
from frl_algos.policies.policy import LearnedPolicy, has_probabilities
from frl_algos.policy_reports.embedding_map import embedding_map
from frl_env.actions import DECISIONS_AT_ONCE, ActionSpace, Factor
from frl_env.capacity.effort import Effort
from frl_env.evaluation import evaluate
from frl_env.evaluation.diagnostics import Thresholds
from frl_env.evaluation.estimating.estimators import CUMULATIVE, MARGINAL
from frl_env.evaluation.inputs import CLIP, CLIPS
from frl_env.evaluation.privacy.hidden_actions import hidden_actions
from frl_env.evaluation.privacy.suppression import (
    SECRET,
    SMALLEST,
    count,
    hidden_levels,
    hide,
    rough_amount,
    rough_share,
)

SEED = 733
"""Of draws and resamples."""

FOLLOWED = 0.1
"""Weeks are shown while at least this share of the members is followed."""

DRAWN = (CUMULATIVE, f"{CUMULATIVE}, clip {CLIP:g}", MARGINAL)
"""Kinds of weights whose effective members are kept week by week."""

MOST_LEVELS = 40
"""Of a factor, to be the columns of a table."""

MINUTES = "minutes_per_week"

Table = Float64[np.ndarray, "state joint"]


def portrait(algorithm: Any, modes: Sequence[str], panel: Panel, *, effort: Effort | None = None) -> dict[str, Any]:
    """What a report shows of a trained policy, JSON-able.

    Args:
        algorithm: Trained, on other members.
        modes: Of `frl_algos.policies.policy.LearnedPolicy`.
        panel: The members.
        effort: Staff minutes of each action; None where they are not known.
    """
    space = panel.episodes.action_space
    return {
        "panel": {
            "source": panel.source,
            "simulated": panel.simulated,
            "members": count(len(panel.episodes), simulated=panel.simulated),
            "decisions": int(panel.episodes.lengths.sum()),
            "state_kind": panel.state_kind,
        },
        "modes": {mode: _of_mode(algorithm, mode, panel, effort) for mode in modes},
        "embeddings": embeddings(algorithm, space),
    }


def _of_mode(algorithm: Any, mode: str, panel: Panel, effort: Effort | None) -> dict[str, Any]:
    """What a policy does in one mode: by factor and by state, minutes spent, and weights off-policy."""
    policy = LearnedPolicy(algorithm, panel.episodes.action_space, mode)
    exact = mode == "greedy" or has_probabilities(algorithm)
    target = policy.probabilities if exact else _drawn(policy)
    masses = _masses(target, panel)
    # Choices that leave nothing to chance are counts of decisions of real people.
    counted = not panel.simulated and (mode == "greedy" or not exact)
    return {
        "by_factor": _by_factor(masses[0], panel, counted),
        "spent": _spent(masses[0], panel, effort, counted),
        "by_state": _by_state(masses[1:], panel, counted),
        "weights": _weights(target, panel, counted) if exact else None,
    }


def _drawn(policy: LearnedPolicy) -> Callable[[np.ndarray], np.ndarray]:
    """One draw a decision, as if it had probability 1: enough for means over many decisions."""
    rng = np.random.default_rng(SEED)

    def target(observations: np.ndarray) -> np.ndarray:
        joints = policy.action_space.ravel(policy(observations, rng))
        return np.eye(policy.action_space.n_joint, dtype=np.float32)[joints]

    return target


def _masses(target: Callable[[np.ndarray], np.ndarray], panel: Panel) -> Table:
    """Mean probabilities of the joint actions: over all decisions, then over those of each kind of state."""
    rows = panel.episodes.observation_rows
    states = np.stack([np.ones(len(rows)), *panel.states.values()]).astype(np.float64)
    total = np.zeros((len(states), panel.episodes.action_space.n_joint))
    for start in range(0, len(rows), DECISIONS_AT_ONCE):
        part = slice(start, start + DECISIONS_AT_ONCE)
        total += states[:, part] @ target(rows[part])
    return total / np.maximum(states.sum(axis=1, keepdims=True), 1)


def _spent(mass: np.ndarray, panel: Panel, effort: Effort | None, counted: bool) -> dict[str, Any]:
    """Contacts and staff minutes a member-week that the policy asks for, in all and by level; minutes where known."""
    space, weeks = panel.episodes.action_space, int(panel.episodes.lengths.sum())

    contact = space.contacts.astype(np.float64)

    def told(contacts: float, minutes: float | None, kind: np.ndarray) -> dict[str, float | None]:
        said = rough_share(contacts, weeks, simulated=not counted)
        if minutes is not None and effort is not None and counted:
            usual = float(effort.minutes @ kind) / max(float(kind.sum()), 1.0)
            minutes = rough_amount(minutes * weeks, usual, simulated=False) / weeks
        return {"contacts_per_week": said, MINUTES: minutes}

    minutes = None if effort is None else mass * effort.minutes
    levels: dict[str, dict[str, Any]] = {}
    for number, factor in enumerate(space):
        if len(factor) > MOST_LEVELS:
            continue
        of_level = _levels(space, number)
        contacts = (mass * contact) @ of_level
        spent = [None] * len(factor) if minutes is None else (minutes @ of_level).tolist()
        levels[factor.name] = {
            level: told(float(contacts[code]), spent[code], contact * of_level[:, code])
            for code, level in enumerate(factor.levels)
            if not _is_nothing(space, factor, code)
        }
    whole = told(float(mass @ contact), None if minutes is None else float(minutes.sum()), contact)
    return {
        "contacts_per_week": whole["contacts_per_week"],
        "effort_minutes_per_week": whole[MINUTES],
        "by_level": levels,
    }


def _by_factor(mass: np.ndarray, panel: Panel, counted: bool) -> list[dict[str, Any]]:
    """Share of the decisions with each level, by the policy and as logged."""
    space, rows, weeks = panel.episodes.action_space, [], int(panel.episodes.lengths.sum())
    for number, factor in enumerate(space):
        if len(factor) > MOST_LEVELS:
            continue
        policy, behaviour = mass @ _levels(space, number), _logged(panel, number)[0]
        for code, level in enumerate(factor.levels):
            rows.append(
                {
                    "factor": factor.name,
                    "level": level,
                    "nothing": bool(space.contact_factors) and code == factor.null_level,
                    "policy": _round(rough_share(policy[code], weeks, simulated=not counted)),
                    "behaviour": behaviour[code],
                }
            )
    return rows


def _by_state(masses: Table, panel: Panel, counted: bool) -> dict[str, Any] | None:
    """Share of the decisions with each level of the factor that has most, by kind of state; no states, no table."""
    space = panel.episodes.action_space
    numbered = [(len(factor), number) for number, factor in enumerate(space) if len(factor) <= MOST_LEVELS]
    if not panel.states or not numbered:
        return None
    number = max(numbered)[1]
    factor = list(space)[number]
    shown = [code for code in range(len(factor)) if not _is_nothing(space, factor, code)]
    logged = _logged(panel, number, list(panel.states.values()))[1:]
    enough = [panel.simulated or _people(panel, state) >= SMALLEST for state in panel.states.values()]
    weeks = [float(state.sum()) for state in panel.states.values()]
    policy = [
        [rough_share(share, of, simulated=not counted) for share in shares]
        for shares, of in zip(masses @ _levels(space, number), weeks, strict=True)
    ]
    return {
        "factor": factor.name,
        "columns": [factor.levels[code] for code in shown],
        "rows": [name for name, keep in zip(panel.states, enough, strict=True) if keep],
        "hidden_rows": sum(not keep for keep in enough),
        "policy": [[_round(policy[i][code]) for code in shown] for i, keep in enumerate(enough) if keep],
        "behaviour": [[logged[i][code] for code in shown] for i, keep in enumerate(enough) if keep],
    }


def _levels(space: ActionSpace, number: int) -> np.ndarray:
    """Which joint actions have each level of a factor, `(joint, level)`."""
    return np.eye(space.nvec[number])[space.joint_levels[:, number]]


def _is_nothing(space: ActionSpace, factor: Factor, code: int) -> bool:
    return factor.name in space.contact_factors and code == factor.null_level


def _people(panel: Panel, decisions: np.ndarray) -> int:
    return len(np.unique(panel.person[decisions]))


def _logged(panel: Panel, number: int, states: Sequence[np.ndarray] = ()) -> list[list[float | None]]:
    """Share of logged decisions with each level of a factor: of all, then by state; None for what would name few."""
    space = panel.episodes.action_space
    level = space.joint_levels[panel.episodes.actions[panel.episodes.mask], number]
    chosen = [np.ones(len(level), dtype=bool), *states]
    counts = np.stack([np.bincount(level[state], minlength=space.nvec[number]) for state in chosen])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    hidden = np.zeros(counts.shape, dtype=bool)
    if not panel.simulated:
        cells = [[_people(panel, state & (level == code)) for code in range(counts.shape[1])] for state in chosen]
        people = np.asarray(cells)
        hidden[0] = hidden_actions(panel.person, panel.episodes.actions[panel.episodes.mask], space, number)
        if states:  # the shares of all decisions are the totals of the columns
            rows = np.ones(len(states), dtype=bool)
            hidden[1:] = hide(people[1:], row_totals=rows, column_totals=~hidden[0])
            for i, state in enumerate(states, start=1):
                also = np.flatnonzero(hidden[i])
                hidden[i] = hidden_levels(panel.person[state], level[state], counts.shape[1], also=also)
    return [
        [None if gone else _round(share) for share, gone in zip(row, missing, strict=True)]
        for row, missing in zip(shares, hidden, strict=True)
    ]


def _weights(target: Callable[[np.ndarray], np.ndarray], panel: Panel, counted: bool) -> dict[str, Any] | None:
    """How far the logged weeks speak about the policy, and what the cut-off of the weights does to its estimate."""
    if panel.propensities is None:
        return None
    found = evaluate(
        panel.episodes,
        target,
        rng=np.random.default_rng(SEED),
        propensities=panel.propensities,
        resamples=200,
        windows=(),
    )
    if not found.told:
        return None
    diagnostics = found.diagnostics
    kind = found.results[found.headline_estimator].estimate.weights or ""
    headline, said = diagnostics.weights[kind], diagnostics.to_dict()["weights"]
    unsupported, decisions = diagnostics.unsupported, int(panel.episodes.lengths.sum())
    if unsupported is not None:  # of a policy that leaves nothing to chance, it is a count of decisions
        unsupported = rough_share(unsupported, decisions, simulated=not counted)
    told = said[kind]
    people = [_people(panel, _at_week(panel, week)) for week in range(panel.episodes.steps)]
    least = max(FOLLOWED * people[0], 1 if panel.simulated else SMALLEST)
    weeks = [week for week, followed in enumerate(people) if followed >= least]
    return {
        "estimator": found.headline_estimator,
        "reasons": found.reasons,
        "limits": dataclasses.asdict(Thresholds()),
        "members": _effective(headline.members, panel),
        "worst_week": None if told["worst_week"] is None else _round(told["worst_week"]),
        "max_share": None if told["max_share"] is None else _round(told["max_share"]),
        "clipped": _round(headline.clipped),
        "unsupported": None if unsupported is None else _round(unsupported),
        "mean_ratio": _round(diagnostics.mean_ratio),
        "weeks": [week + 1 for week in weeks],
        "by_week": {
            kind: [
                _round(weights.by_week[week] / diagnostics.followed[week])
                if panel.simulated
                else said[kind]["by_week"][week]
                for week in weeks
            ]
            for kind, weights in diagnostics.weights.items()
            if kind in DRAWN
        },
        "groups": [
            {
                "attribute": name,
                "group": label,
                "effective": _effective(effective, panel),
                "members": _in_group(panel, name, label) if panel.whole else None,
            }
            for name, each in headline.by_group.items()
            for label, effective in each.items()
            if label != UNSAID
        ],
        "clips": [_clip(found, clip, panel) for clip in (*CLIPS, None)],
    }


def _effective(members: float, panel: Panel) -> float | str | None:
    """Effective members; few of real people are not said, though they are no count, since they look like one."""
    return _round(members) if panel.simulated or members >= SMALLEST else SECRET


def _at_week(panel: Panel, week: int) -> np.ndarray:
    """Decisions of one week, of flat decisions."""
    return np.broadcast_to(np.arange(panel.episodes.steps) == week, panel.episodes.mask.shape)[panel.episodes.mask]


def _in_group(panel: Panel, name: str, label: str) -> int:
    return int((panel.episodes.groups[name] == label).sum())


def _clip(found: Any, clip: float | None, panel: Panel) -> dict[str, Any]:
    result = found.results["WIS" if clip is None else f"WIS clip {clip:g}"]
    weights = found.diagnostics.weights[result.estimate.weights]
    return {
        "clip": clip,
        "difference": _round(result.difference.value),
        "low": _round(result.difference_interval.low),
        "high": _round(result.difference_interval.high),
        "members": _effective(weights.members, panel),
        "clipped": _round(weights.clipped),
    }


def embeddings(algorithm: Any, space: ActionSpace) -> dict[str, Any] | None:
    """Trained embeddings of the levels in the two directions in which they differ most; None where there are none."""
    found = embedding_map(algorithm)
    if found is None or len(found.table) != sum(space.nvec):
        return None
    return {
        "size": found.size,
        "explained": [_round(share) for share in found.explained],
        "points": [
            {"factor": factor, "level": level, "x": _round(x), "y": _round(y)}
            for factor, level, x, y in found.table.itertuples(index=False)
        ],
    }


def _round(number: Any) -> float | None:
    """Five significant digits: more than a figure shows; None for what is not finite."""
    value = float(number)
    return float(f"{value:.5g}") if np.isfinite(value) else None

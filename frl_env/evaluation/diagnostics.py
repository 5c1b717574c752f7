"""Diagnostics of the weights, and the thresholds below which a headline is refused.

An importance-weighted estimate of 5,000 members can rest on three of them, and nothing in the estimate says so. Here
is what says so. A member's weight is the mean of its weights over the weeks of its episode; then

    effective members = (sum of weights)^2 / sum of squared weights

which is the number of members when all weigh alike, and 1 when one has it all.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from frl_env.errors import check_number, make_plain
from frl_env.evaluation.dataset_reading.episodes import LoggedEpisodes
from frl_env.evaluation.privacy.suppression import SECRET, SMALLEST, coarse_steps, count, effective, hidden_cells, share

Grid = Float64[np.ndarray, "episode step"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Weights:
    """One kind of weights.

    Attributes:
        grid: Before any cut-off; what it is after the end does not matter.
        clip: Cut-off, None for none.
    """

    grid: Grid
    clip: float | None = None


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """What an estimate has to meet to be a headline. `docs/evaluation.md` says why these.

    Args:
        members: Effective members, at least.
        week_share: Effective members as a share of those still followed, at least, in any week in which a tenth of
            the members is.
        group_members: Effective members of a subgroup, at least; else the value of that subgroup is withheld.
        max_share: Weight of the heaviest member, at most, as a share of all.
        tail: Tail index of the members' weights, at most: from 0.5 on their variance is infinite.
        clipped: Weight cut off, at most, as a share of all.
        unsupported: Mass that the target puts on actions that the data hardly holds, at most.
        mean_ratio: Distance of the mean one-week ratio from 1, at most; it is 1 with right propensities and support.
        support_members: An action is supported when at least so many members got it.
    """

    members: float = 100.0
    week_share: float = 0.25
    group_members: float = 30.0
    max_share: float = 0.05
    tail: float = 0.7
    clipped: float = 0.1
    unsupported: float = 0.05
    mean_ratio: float = 0.1
    support_members: int = 11

    def __post_init__(self) -> None:
        """Checks the ranges."""
        for name in ("members", "group_members", "tail", "support_members"):
            check_number(name, getattr(self, name), low=0, high=1e12)
        for name in ("week_share", "max_share", "clipped", "unsupported", "mean_ratio"):
            check_number(name, getattr(self, name), low=0, high=1)
        make_plain(self, *(each.name for each in fields(self)))


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightDiagnostics:
    """How evenly one kind of weights is spread over the members.

    Attributes:
        members: Effective members.
        by_week: Effective members among those still followed.
        worst_week: Least share that they are of those followed, while a tenth of the members is.
        by_group: Effective members by attribute and label.
        max_share: Share of the heaviest member.
        tail: Hill's tail index of the members' weights.
        clipped: Share of the weight that a cut-off takes away.
    """

    members: float
    by_week: Float64[np.ndarray, "step"]
    worst_week: float
    by_group: dict[str, dict[str, float]]
    max_share: float
    tail: float
    clipped: float

    def to_dict(
        self, hidden: Mapping[str, set[str]], followed: Int64[np.ndarray, "step"], *, simulated: bool
    ) -> dict[str, Any]:
        """JSON-able.

        Args:
            hidden: Groups that are left out, by attribute.
            followed: Members still followed, by week.
            simulated: Whether nobody real stands behind the members.
        """
        tail = self.tail if np.isfinite(self.tail) else None
        by_group = {
            name: {label: effective(n, simulated=simulated) for label, n in groups.items() if label not in hidden[name]}
            for name, groups in self.by_group.items()
        }
        told = asdict(self) | {"by_group": by_group, "tail": tail}
        if simulated:
            return told | {"by_week": self.by_week.tolist()}
        # The quotient of effective members and shares would be the number followed: shares alone are told.
        weeks = self.by_week / np.maximum(followed, 1)
        shown = [share(float(week), int(n), simulated=False) for week, n in zip(weeks, followed, strict=True)]
        known = self.members >= SMALLEST
        counted = followed >= 0.1 * followed[0]
        return told | {
            "members": effective(self.members, simulated=False),
            "by_week": [week for week, n in zip(shown, followed, strict=True) if n >= SMALLEST],
            "worst_week": round(self.worst_week, 3) if (self.by_week[counted] >= SMALLEST).all() else None,
            "max_share": self.max_share if known else None,
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Diagnostics:
    """Of one evaluation.

    Attributes:
        weights: By kind: "cumulative" for PDIS, WIS, DR and WDR, "marginal" for MIS and MDR, and these with cut-offs
            and longer windows.
        followed: Members still followed, by week.
        mean_ratio: Mean one-week ratio over all decisions.
        mean_ratio_error: Its standard error, by members.
        mean_ratio_by_week: The same by week.
        unsupported: Mass of the target on actions that the data hardly holds; None when only its probabilities of the
            logged actions are known.
        groups: Members by attribute and label.
        simulated: Whether nobody real stands behind the members.
    """

    weights: dict[str, WeightDiagnostics]
    followed: np.ndarray
    mean_ratio: float
    mean_ratio_error: float
    mean_ratio_by_week: Float64[np.ndarray, "step"]
    unsupported: float | None
    groups: dict[str, dict[str, int]] = field(default_factory=dict)
    simulated: bool = False

    @property
    def hidden(self) -> dict[str, set[str]]:
        """Groups of which nothing is told, by attribute."""
        return {name: set() if self.simulated else hidden_cells(groups) for name, groups in self.groups.items()}

    def to_dict(self) -> dict[str, Any]:
        """JSON-able.

        Of real members no number of 1 to 10 is told, nor one that could be worked out: small groups and the weeks at
        the end in which fewer are followed are left out, `followed` falls in steps of at least 11, and effective
        members are told by week as shares of those followed, with two decimals, and mass with three.
        """
        simulated, hidden = self.simulated, self.hidden
        followed = self.followed if simulated else coarse_steps(self.followed)
        weeks = int((self.followed >= (1 if simulated else SMALLEST)).sum())
        ratios = self.mean_ratio_by_week[:weeks]
        return {
            "weights": {
                kind: weights.to_dict(hidden, self.followed, simulated=simulated)
                for kind, weights in self.weights.items()
            },
            "followed": followed[:weeks].tolist(),
            "mean_ratio": self.mean_ratio,
            "mean_ratio_error": self.mean_ratio_error,
            "mean_ratio_by_week": ratios.tolist() if simulated else np.round(ratios, 2).tolist(),
            "unsupported": self.unsupported if simulated or self.unsupported is None else round(self.unsupported, 3),
            "groups": {
                name: {label: n for label, n in groups.items() if label not in hidden[name]}
                for name, groups in self.groups.items()
            },
        }

    def reasons(self, kind: str | None, thresholds: Thresholds) -> list[str]:
        """Why an estimate with such weights is no headline, in words; empty when it is one.

        Args:
            kind: Of its weights, None when it has none.
            thresholds: What it has to meet.
        """
        found = []
        if self.unsupported is not None and self.unsupported > thresholds.unsupported:
            found.append(
                f"the target puts {self.unsupported:.1%} of its mass on actions that fewer than "
                f"{thresholds.support_members} members got (at most {thresholds.unsupported:.1%})"
            )
        if kind is None:
            if int(self.followed[0]) < thresholds.members:
                size = count(int(self.followed[0]), simulated=self.simulated)
                found.append(f"it rests on {size} members (at least {thresholds.members:g})")
            return found
        weights = self.weights[kind]
        told = weights.to_dict(self.hidden, self.followed, simulated=self.simulated)
        if weights.members < thresholds.members:
            members = effective(weights.members, simulated=self.simulated)
            of = count(int(self.followed[0]), simulated=self.simulated)
            found.append(
                f"{SECRET if members is None else f'{members:.1f}'} of "
                f"{of if isinstance(of, str) else f'{of:,}'} members carry the weight (at least {thresholds.members:g})"
            )
        if weights.worst_week < thresholds.week_share:
            worst, least = told["worst_week"], f"at least {thresholds.week_share:.0%}"
            how_many = "too small a share" if worst is None else f"{worst:.1%}"
            found.append(f"{how_many} of the members still followed carry the weight of the worst week ({least})")
        if weights.max_share > thresholds.max_share:
            heaviest = told["max_share"]
            has = "too much" if heaviest is None else f"{heaviest:.1%}"
            found.append(f"one member has {has} of all weight (at most {thresholds.max_share:.1%})")
        if weights.tail > thresholds.tail:
            found.append(f"the tail index of the weights is {weights.tail:.2f} (at most {thresholds.tail:g})")
        if weights.clipped > thresholds.clipped:
            found.append(f"the cut-off takes {weights.clipped:.1%} of the weight (at most {thresholds.clipped:.1%})")
        if abs(self.mean_ratio - 1) > thresholds.mean_ratio:
            found.append(
                f"the mean one-week ratio is {self.mean_ratio:.3f} (within {thresholds.mean_ratio:g} of 1): "
                f"propensities or support are wrong"
            )
        return found


def diagnose(
    episodes: LoggedEpisodes,
    log_ratios: Grid,
    weights: Mapping[str, Weights],
    *,
    unsupported: Grid | None = None,
) -> Diagnostics:
    """Diagnostics of the weights of one evaluation.

    Args:
        episodes: The logged decisions.
        log_ratios: One-week, zero after the end.
        weights: By kind.
        unsupported: Mass off the data's support, by decision.
    """
    mask = episodes.mask
    one_week = np.where(mask, np.exp(log_ratios), 0.0)
    mean = float(one_week.sum() / mask.sum())
    influence = (one_week.sum(axis=1) - mean * episodes.lengths) / episodes.lengths.mean()
    labels = {name: np.unique(group, return_counts=True) for name, group in episodes.groups.items()}
    return Diagnostics(
        weights={kind: _spread(episodes, own) for kind, own in weights.items()},
        followed=mask.sum(axis=0),
        mean_ratio=mean,
        mean_ratio_error=float(np.std(influence) / np.sqrt(len(mask))),
        mean_ratio_by_week=one_week.sum(axis=0) / np.maximum(mask.sum(axis=0), 1),
        unsupported=None if unsupported is None else float(unsupported.sum() / mask.sum()),
        groups={
            name: {str(label): int(count) for label, count in zip(*found, strict=True)}
            for name, found in labels.items()
        },
        simulated=episodes.simulated,
    )


def effective_members(weights: Float64[np.ndarray, "member *week"]) -> Float64[np.ndarray, "*week"]:
    """Squared sum over sum of squares, along the members; 0 where there is no weight."""
    largest = weights.max(axis=0, initial=0.0)
    scaled = np.divide(weights, largest, out=np.zeros_like(weights), where=largest > 0)
    squares = (scaled**2).sum(axis=0)
    return np.divide(scaled.sum(axis=0) ** 2, squares, out=np.zeros_like(squares), where=squares > 0)


def tail_index(weights: Float64[np.ndarray, "member"]) -> float:
    """Hill's estimate from the largest weights, as many as Vehtari et al. (2024) use for smoothing.

    0 for equal weights, 1 / a for weights with a Pareto tail of exponent a; infinite when fewer than 5 are positive.
    """
    positive = np.sort(weights[weights > 0])[::-1]
    count = int(min(0.2 * len(weights), 3 * np.sqrt(len(weights)), len(positive) - 1))
    if len(positive) < 5:
        return float("inf")
    return float(np.log(positive[: max(count, 4)] / positive[max(count, 4)]).mean())


def _spread(episodes: LoggedEpisodes, weights: Weights) -> WeightDiagnostics:
    """How concentrated weights of one kind are on few members: overall, by week, by group."""
    mask = episodes.mask
    inside = np.where(mask, weights.grid, 0.0)
    kept = inside if weights.clip is None else np.minimum(inside, weights.clip)
    # Over the largest, so that squares of huge weights are numbers.
    member = kept.sum(axis=1) / episodes.lengths / max(float(kept.max()), 1e-300)
    by_week = effective_members(kept)
    count = mask.sum(axis=0)
    followed = count >= 0.1 * len(mask)
    total = float(member.sum())
    return WeightDiagnostics(
        members=float(effective_members(member)),
        by_week=by_week,
        worst_week=float((by_week[followed] / count[followed]).min()),
        by_group={
            name: {str(label): float(effective_members(member[group == label])) for label in np.unique(group)}
            for name, group in episodes.groups.items()
        },
        max_share=float(member.max() / total) if total > 0 else 1.0,
        tail=tail_index(member),
        clipped=float(1 - kept.sum() / inside.sum()) if inside.sum() > 0 else 0.0,
    )

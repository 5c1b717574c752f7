"""What a fairness audit measures in a group: quotients of sums over members, so that resamples of them are cheap.

Definitions stand in `frl_env.evaluation.fairness.audit`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame
from jaxtyping import Float64, Int64

from frl_env.evaluation.diagnostics import effective_members
from frl_env.evaluation.fairness.audited_members import AuditedMembers
from frl_env.evaluation.fairness.contrasts import Grouping, group_sums, resample_counts
from frl_env.evaluation.privacy.suppression import rests_on_few
from frl_env.member_months import per_1000_member_months

RATE = "_per_1000_member_months"
"""Ends the name of a value that is a rate, beside the same value of a member."""

EFFECTIVE = "effective_members"
"""The one measure that is no such quotient: it has no interval and no gap."""

BINS = 5
"""Bins of about equally many members by high-touch probability, in which need is compared."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Measure:
    """A quotient of two sums over members; perhaps relative to the same quotient of all members.

    Attributes:
        numerator, denominator: Terms of the sums; 0 for members whom the measure does not speak of.
        relative: Whether it is relative to all members.
    """

    numerator: Float64[np.ndarray, "member"]
    denominator: Float64[np.ndarray, "member"]
    relative: bool = False

    @classmethod
    def mean(cls, score: Float64[np.ndarray, "member"]) -> "Measure":
        """Mean of a score over the members who have one (not NaN)."""
        counted = ~np.isnan(score)
        return cls(numerator=np.where(counted, score, 0.0), denominator=counted.astype(np.float64))

    @property
    def overall(self) -> float:
        """The measure over all members; 1 by definition where it is relative to them."""
        return 1.0 if self.relative else float(_quotient(self.numerator.sum(), self.denominator.sum()))

    def of(self, rows: np.ndarray, least: int) -> float:
        """The measure over some members; NaN where it rests on fewer than `least`, or all members have none."""
        if (self.denominator[rows] != 0).sum() < least:
            return float("nan")
        quotient = _quotient(self.numerator[rows].sum(), self.denominator[rows].sum())
        if not self.relative:
            return float(quotient)
        return float(_relative(quotient, _quotient(self.numerator.sum(), self.denominator.sum())))


def member_scores(
    members: AuditedMembers, need: np.ndarray, threshold: float, bins: Int64[np.ndarray, "member"]
) -> dict[str, Float64[np.ndarray, "member"]]:
    """What groups are compared in: one number a member, NaN for members whom it does not speak of."""
    p, known = members.high_touch, ~np.isnan(need)
    share = np.where(known, need, 0.0) * (p[known].sum() / need[known].sum())
    expected = np.full(len(p), np.nan)
    for each in np.unique(bins):
        expected[bins == each] = need[(bins == each) & known].mean() if ((bins == each) & known).any() else np.nan
    scores = {
        "high_touch": p,
        "beyond_need": np.where(known, p - share, np.nan),
        "high_touch_given_need": np.where(known & (need >= threshold) & (need > 0), p, np.nan),
        "need_given_high_touch": need - expected,
    }
    if members.values is not None and members.behaviour_values is not None:
        scores["value_change"] = members.values - members.behaviour_values
    return scores


def group_measures(members: AuditedMembers, scores: Mapping[str, np.ndarray]) -> dict[str, Measure]:
    """All that is measured in each group."""
    found = {"high_touch": Measure.mean(scores["high_touch"])}
    for name, need in members.needs.items():
        known = ~np.isnan(need)
        found[f"need_ratio ({name})"] = Measure(
            numerator=np.where(known, members.high_touch, 0.0), denominator=np.where(known, need, 0.0), relative=True
        )
    found |= {name: Measure.mean(score) for name, score in scores.items() if name not in found}
    if members.values is not None:
        found["value"] = Measure.mean(members.values)
    if members.weeks is not None:
        whole = {"value": members.values, "value_change": scores.get("value_change")}
        found |= {
            f"{name}{RATE}": Measure(numerator=per_1000_member_months(1.0, 1.0) * value, denominator=members.weeks)
            for name, value in whole.items()
            if value is not None
        }
    return found | {name: Measure.mean(share) for name, share in members.allocations.items()}


def untold(grouping: Grouping, measure: Measure, least: int) -> set[str]:
    """Groups of real people whose measure would tell of 1 to 10 of them, because all others have nothing.

    The number of all members is told as well, and beside joint groups that of each attribute's groups. What is left of
    such a total without the groups that are told must not speak of so few either, nor be one secret group alone; else
    the smallest group that is told becomes secret, too.

    Args:
        grouping: Of all members.
        measure: What is told of each group.
        least: Members of whom it has to speak to be told at all.
    """
    spoken = measure.denominator != 0

    def few(rows: np.ndarray) -> bool:
        parts = [measure.numerator[rows & spoken]]
        if measure.relative:
            parts.append(measure.denominator[rows & spoken])
        return any(rests_on_few(part) for part in parts)

    everyone = np.ones(len(spoken), dtype=bool)
    if few(everyone):
        return {*grouping.names}
    inside = {name: grouping.labels == name for name in grouping.names}
    size = {name: int((rows & spoken).sum()) for name, rows in inside.items()}
    secret = {name for name, rows in inside.items() if few(rows) or (grouping.joint and few(~rows))}
    totals = [everyone, *(part == name for part in grouping.parts for name in np.unique(part))]
    told = {name for name in grouping.names if size[name] >= least} - secret
    while (follows := _follows(grouping, totals, told, secret, few)) is not None:
        name = min(sorted(follows), key=size.__getitem__)
        told.remove(name)
        secret.add(name)
    return secret


def _follows(
    grouping: Grouping,
    totals: Sequence[np.ndarray],
    told: set[str],
    secret: set[str],
    few: Callable[[np.ndarray], bool],
) -> set[str] | None:
    """Told groups of a total from which follows what must not be told, one of which has to be secret; None of none."""
    for total in totals:
        shown = {str(name) for name in np.unique(grouping.labels[total])} & told
        rest = total & ~np.isin(grouping.labels, [*shown])
        left = {str(name) for name in np.unique(grouping.labels[rest])}
        if shown and left and (few(rest) or (len(left) == 1 and left <= secret)):
            return shown
    return None


def rests_on_few_of_all(measure: Measure) -> bool:
    """Whether the mean of all members tells of 1 to 10 of them."""
    return rests_on_few(measure.numerator[measure.denominator != 0])


def by_group(
    grouping: Grouping,
    measures: Mapping[str, Measure],
    weights: np.ndarray | None,
    least: int,
    smallest: float,
    secret: Mapping[str, set[str]],
) -> pd.DataFrame:
    """Every measure in every group that is large enough; NaN where it speaks of fewer than `least` members.

    So it is in groups that are `secret`, by measure. Effective members are NaN where they are fewer than `smallest`.

    The one metric gets the numbers of the rows in the place of labels and predictions, so that it may look at any
    column; one metric for each measure would take a hundred times as long.
    """
    rows = np.flatnonzero(np.isin(grouping.labels, grouping.names))
    names = [*measures, *([] if weights is None else [EFFECTIVE])]

    def metric(chosen: np.ndarray, _: np.ndarray) -> np.ndarray:
        found = [measure.of(chosen, least) for measure in measures.values()]
        if weights is not None:
            effective = float(effective_members(weights[chosen]))
            found.append(effective if effective >= smallest else float("nan"))
        return np.asarray(found)

    if not len(rows):
        return pd.DataFrame(columns=names, dtype=float)
    frame = MetricFrame(metrics=metric, y_true=rows, y_pred=rows, sensitive_features=grouping.labels[rows])
    table = pd.DataFrame(dict(frame.by_group), index=names).T
    for name, groups in secret.items():
        table.loc[[*groups], name] = np.nan
    return table


def group_intervals(
    groupings: Sequence[Grouping],
    measures: Mapping[str, Measure],
    rng: np.random.Generator,
    resamples: int,
    level: float,
) -> dict[tuple[str, str, str], tuple[float, float]]:
    """Percentile limits by attribute, group and measure."""
    columns = np.stack([m.numerator for m in measures.values()] + [m.denominator for m in measures.values()], axis=1)
    relative = np.asarray([measure.relative for measure in measures.values()])
    drawn = [np.empty((resamples, len(grouping.names), len(measures))) for grouping in groupings]
    for rows, counts in resample_counts(len(columns), rng, resamples):
        everyone = np.where(relative, _quotient(*np.split(counts @ columns, 2, axis=1)), 1.0)
        for at, grouping in enumerate(groupings):
            sums = group_sums(grouping, columns, counts)
            drawn[at][rows] = _relative(_quotient(*np.split(sums, 2, axis=2)), everyone[:, None])
    tails = [(1 - level) / 2, (1 + level) / 2]
    limits = {}
    for grouping, each in zip(groupings, drawn, strict=True):
        low, high = np.quantile(each, tails, axis=0)
        for i, group in enumerate(grouping.names):
            for j, measure in enumerate(measures):
                if not np.isnan(low[i, j]):
                    limits[grouping.attribute, group, measure] = (float(low[i, j]), float(high[i, j]))
    return limits


def bins_of(high_touch: Float64[np.ndarray, "member"]) -> Int64[np.ndarray, "member"]:
    """Bin of each member by high-touch probability; members with the same probability share one."""
    edges = np.unique(np.quantile(high_touch, np.arange(1, BINS) / BINS))
    return np.searchsorted(edges, high_touch, side="left")


def _relative(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """NaN where the whole is 0: nobody gets anything, so no group gets more of it than another."""
    return np.divide(part, whole, out=np.full(np.broadcast(part, whole).shape, np.nan), where=whole != 0)


def _quotient(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """0 where there is nothing to divide by."""
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    return np.divide(above, below, out=np.zeros(np.broadcast(above, below).shape), where=below != 0)

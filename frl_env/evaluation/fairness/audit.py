"""Fairness audit: who gets how much of a policy's high-touch care, against how much they need it.

A policy gives each member a probability of high-touch contact (a home or video visit) each week; p is its mean over the
member's weeks, N the member's need, g a group. For each group of each attribute, and of pairs of attributes:

    high_touch              E[p | g]                               its spread over groups: demographic parity gap
    need_ratio (N)          (E[p | g] / E[N | g]) / (E[p] / E[N])  1 where high-touch care goes by need
    beyond_need             E[p - N E[p] / E[N] | g]               the same as a difference: below 0 is too little
    high_touch_given_need   E[p | g, N at least its upper          equal opportunity given need: equal for all groups
                            quartile, and not 0]
    need_given_high_touch   E[N - E[N | p] | g]                    calibration: 0; above 0, members of g are in greater
                                                                   need than others who get as much
    value, value_change     E[value | g], and its change against the behaviour policy; per 1,000 member-months, too,
                            where it is known how long members are followed
    effective_members       (sum of weights)^2 / sum of squared weights, of off-policy weights

Need is not utilisation. Whoever has worse access uses less care at the same need, so that a policy which follows what
is recorded may look fair by the record and not be fair (Obermeyer et al., 2019). So `need_ratio` is reported for every
measure of need, one beside the other; the first one counts in all else.

Groups are made by fairlearn's `MetricFrame`. Arrays in, numbers out: no policy, no data set, no figures here.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from frl_env.errors import UserError, check_generator, check_number, check_whole, unknown_name
from frl_env.evaluation.fairness.audited_members import NOT_RECORDED, AuditedMembers
from frl_env.evaluation.fairness.contrasts import (
    LEAST_PERMUTATIONS,
    Contrast,
    Grouping,
    compare_groups,
)
from frl_env.evaluation.fairness.measures import (
    EFFECTIVE,
    RATE,
    Measure,
    bins_of,
    by_group,
    group_intervals,
    group_measures,
    member_scores,
    rests_on_few_of_all,
    untold,
)
from frl_env.evaluation.fairness.result import CalibrationPoint, FairnessAudit, Gap, Group, Measured
from frl_env.evaluation.privacy.suppression import JOINED, SMALLEST, hidden_groups, hide, rests_on_few
from frl_env.member_months import of_a_group

__all__ = [
    "NOT_RECORDED",
    "AuditedMembers",
    "CalibrationPoint",
    "Contrast",
    "FairnessAudit",
    "Gap",
    "Group",
    "Measured",
    "audit",
]

JOIN = " & "
"""Between the two attributes of joint groups."""

SIMULATED = "Simulated members: no real person, so nothing is suppressed. Not to guide care."
IMPORTED = (
    f"Groups of 1 to {SMALLEST - 1} people are suppressed everywhere, and others from which their size would follow; "
    f"where all groups of an attribute would be, it is left out."
)
SUPPRESSED = "suppressed: a group of 1 to 10 people, or one from which the size of such a group would follow"


def audit(
    members: AuditedMembers,
    *,
    rng: np.random.Generator,
    intersections: Sequence[tuple[str, str]] | None = None,
    minimum: int = 30,
    high_need: float = 0.75,
    level: float = 0.95,
    resamples: int = 1_000,
    permutations: int = LEAST_PERMUTATIONS,
) -> FairnessAudit:
    """Measures and compares all groups.

    Args:
        members: Whom to look at.
        rng: Source of resamples and permutations.
        intersections: Pairs of attributes whose joint groups are looked at as well; all pairs by default.
        minimum: Members that a group needs to be measured, at least 2 (11 on imported data).
        high_need: Quantile of the need from which a member is in high need; whoever has none never is.
        level: Of all intervals; 1 less the family-wise level of all tests.
        resamples: Of the members, for intervals.
        permutations: Of the members, for tests, at least; 0 for intervals only, which is much faster.

    Raises:
        UserError: If a setting is out of range, or no attribute has two groups that are large enough and may be told.
    """
    check_generator(rng)
    check_whole("minimum", minimum, low=2 if members.simulated else SMALLEST, high=10**9)
    check_whole("resamples", resamples, low=10, high=10**6)
    if permutations:
        check_whole("permutations", permutations, low=10, high=10**9)
    check_number("high_need", high_need, low=0.01, high=0.99)
    check_number("level", level, low=0.5, high=0.999)
    pairs = list(combinations(members.attributes, 2)) if intersections is None else list(intersections)
    for name in {name for pair in pairs for name in pair} - members.attributes.keys():
        raise unknown_name("attribute of an intersection", name, members.attributes)
    hidden = {} if members.simulated else hidden_groups(members.attributes, pairs)
    looked_at = [*((attribute,) for attribute in members.attributes), *map(tuple, pairs)]
    everything = [_grouping(members, names, hidden, minimum) for names in looked_at]
    groupings = [each for each in everything if each is not None]
    suppressed = [hidden.get(own, set()) for own, each in zip(looked_at, everything, strict=True) if each is not None]
    if not any(len(grouping.names) > 1 for grouping in groupings):
        raise UserError(_why_nothing_compares(members.attributes, minimum))
    need = next(iter(members.needs))
    threshold = float(np.nanquantile(members.needs[need], high_need))
    bins = bins_of(members.high_touch)
    scores = member_scores(members, members.needs[need], threshold, bins)
    measures = group_measures(members, scores)
    smallest = 0 if members.simulated else SMALLEST
    # Groups of each measure that are not told of real people, since few of them stand behind it.
    secret: list[dict[str, set[str]]] = [
        {} if members.simulated else {name: untold(grouping, measure, minimum) for name, measure in measures.items()}
        for grouping in groupings
    ]
    tables = [
        by_group(grouping, measures, members.weights, minimum, smallest, own)
        for grouping, own in zip(groupings, secret, strict=True)
    ]
    for table in tables:
        for name in [name for name in table if str(name).endswith(RATE)]:
            table[name] = [of_a_group(rate, simulated=members.simulated) for rate in table[name]]
    intervals = group_intervals(groupings, measures, rng, resamples, level)
    comparison = compare_groups(
        scores, groupings, rng=rng, least=minimum, level=level, resamples=resamples, permutations=permutations
    )
    untold_groups = {
        (grouping.attribute, name, measure)
        for grouping, own in zip(groupings, secret, strict=True)
        for measure, groups in own.items()
        for name in groups
    }
    few_of_all = {name for name, measure in measures.items() if not members.simulated and rests_on_few_of_all(measure)}
    return FairnessAudit(
        members=len(members),
        simulated=members.simulated,
        privacy=SIMULATED if members.simulated else IMPORTED,
        attributes=tuple(grouping.attribute for grouping in groupings if not grouping.joint),
        need=need,
        needs=tuple(members.needs),
        high_need=threshold,
        value_source=members.value_source,
        overall={name: Measured(value=m.overall) for name, m in measures.items() if name not in few_of_all},
        groups=tuple(
            group
            for grouping, table, own in zip(groupings, tables, suppressed, strict=True)
            for group in _described(grouping, table, intervals, own, minimum)
        ),
        gaps=tuple(
            gap
            for grouping, table in zip(groupings, tables, strict=True)
            for gap in _gaps(grouping, table, comparison.chance_gaps)
        ),
        contrasts=tuple(
            each
            for each in comparison.contrasts
            if not {(each.attribute, side, each.score) for side in (each.first, each.second)} & untold_groups
        ),
        calibration=tuple(
            point
            for grouping in groupings
            if not grouping.joint
            for point in _calibration(grouping, members, members.needs[need], bins, minimum)
        ),
        settings={"minimum": minimum, "level": level, "resamples": resamples, "permutations": permutations},
    )


def _grouping(
    members: AuditedMembers, names: tuple[str, ...], hidden: Mapping[tuple[str, ...], set[str]], minimum: int
) -> Grouping | None:
    """Groups of an attribute or of a pair; None when none of them may even be named."""
    labels = members.attributes[names[0]]
    for name in names[1:]:
        labels = np.char.add(np.char.add(labels, JOINED), members.attributes[name])
    found, counts = np.unique(labels, return_counts=True)
    secret = hidden.get(names, set())
    if len(secret) == len(found):
        return None
    kept = tuple(str(name) for name, count in zip(found, counts, strict=True) if count >= minimum)
    return Grouping(
        attribute=JOIN.join(names),
        labels=labels,
        names=tuple(name for name in kept if name not in secret),
        joint=len(names) > 1,
        parts=tuple(members.attributes[name] for name in names) if len(names) > 1 else (),
    )


def _why_nothing_compares(attributes: Mapping[str, np.ndarray], minimum: int) -> str:
    """Why no two groups can be compared: they are too small, or others that are small hide them."""
    large = [
        name for name, labels in attributes.items() if (np.unique(labels, return_counts=True)[1] >= minimum).sum() > 1
    ]
    if not large:
        return f"no attribute has two groups of at least {minimum} members; audit more members"
    return (
        f"{', '.join(large)}: two groups of at least {minimum} members, but no two that may be compared, since groups "
        f"of 1 to {SMALLEST - 1} people are suppressed, and others from which their size would follow; join small "
        "groups to one, or leave these members out"
    )


def _described(
    grouping: Grouping,
    table: pd.DataFrame,
    limits: Mapping[tuple[str, str, str], tuple[float, float]],
    secret: set[str],
    minimum: int,
) -> list[Group]:
    """All groups of a grouping, those without measures, too."""
    described = []
    for name, count in zip(*np.unique(grouping.labels, return_counts=True), strict=True):
        found: dict[str, Measured] = {}
        withheld = SUPPRESSED if name in secret else ""
        if not withheld and count < minimum:
            withheld = f"fewer than {minimum} members"
        if not withheld:
            for measure, value in table.loc[name].items():
                if not np.isnan(value):
                    low, high = limits.get((grouping.attribute, str(name), str(measure)), (None, None))
                    found[str(measure)] = Measured(value=float(value), low=low, high=high)
        described.append(
            Group(
                attribute=grouping.attribute,
                name=str(name),
                members=None if name in secret else int(count),
                withheld=withheld,
                measures=found,
            )
        )
    return described


def _gaps(grouping: Grouping, table: pd.DataFrame, chance: Mapping[tuple[str, str], float]) -> list[Gap]:
    """Largest less smallest group, and smallest over largest where no value is negative."""
    found = []
    for measure, column in table.items():
        low, high = float(column.min()), float(column.max())
        if measure != EFFECTIVE and column.notna().sum() > 1:
            found.append(
                Gap(
                    attribute=grouping.attribute,
                    measure=str(measure),
                    difference=high - low,
                    ratio=low / high if low >= 0 and high > 0 else None,
                    by_chance=chance.get((grouping.attribute, str(measure))),
                )
            )
    return found


def _calibration(
    grouping: Grouping, members: AuditedMembers, need: np.ndarray, bins: np.ndarray, least: int
) -> list[CalibrationPoint]:
    """Need by bin, where a group has enough members in it and, of real people, no small number follows.

    Means of whole numbers tell how many they are of. So a bin of a group is a cell, between the bin and the group.
    """
    points, known = [], ~np.isnan(need)
    names, group = np.unique(grouping.labels, return_inverse=True)
    found, number = np.unique(bins, return_inverse=True)
    counts = np.zeros((len(found), len(names)), dtype=np.int64)
    np.add.at(counts, (number[known], group[known]), 1)
    hidden = np.zeros(counts.shape, dtype=bool)
    if not members.simulated:
        hidden = hide(counts, row_totals=np.ones(len(found), dtype=bool), column_totals=np.ones(len(names), dtype=bool))
    for each in range(len(found)):
        inside = (number == each) & known
        secret = {*names[hidden[each]]}
        if not members.simulated:
            secret |= untold(grouping, Measure.mean(np.where(inside, need, np.nan)), least)
            secret |= {*names} if rests_on_few(members.high_touch[inside]) else set()
        for name in grouping.names:
            own = inside & (grouping.labels == name)
            if own.sum() >= least and name not in secret:
                points.append(
                    CalibrationPoint(
                        attribute=grouping.attribute,
                        group=name,
                        bin=each + 1,
                        high_touch=float(members.high_touch[inside].mean()),
                        need=float(need[own].mean()),
                        need_of_all=float(need[inside].mean()),
                    )
                )
    return points

"""Are the events that FactoredAWR expects of a member those that happen, for the well and the ill and in every group?

    python benchmarks/studies/forecast.py

A budget is spent on expected events, so they have to be right by size and not by order alone. The forecast is fitted to
some members and judged by others: events that happened over events expected, credit-weighted, by tenth of the forecast
and by group. Standard errors are over members. And how well it ranks (AUC of any event in the next four weeks), beside
scikit-learn's gradient boosting on the same columns and rows.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from benchmarks.result_records.kept_results import Kept
from benchmarks.result_records.study import Study, Unit
from benchmarks.training.simulated import buffer_of
from frl_algos.member_model import MemberModel, estimate_member_model
from frl_algos.member_rankings.ranking import BOOSTING
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.care_effort import care_effort
from frl_env.datasets.collect import Episodes, collect
from frl_env.parameters import AGE_BANDS, GENDERS, MEASURES, RACES, preset
from frl_env.terminal import run_or_say

RESULTS = Kept("benchmarks.studies.forecast")
SEED, JUDGES_SEED = 1_801, 1_901
"""Of the first members to learn from, and of the first judges; no dataset of `frl list` is collected with them."""

DECAY = 0.9 * 0.99
"""Credit a week: FactoredAWR's default."""

AHEAD = 4
"""Weeks in which an event counts for the ranking."""

GROUPS = {"race_ethnicity": RACES, "gender": GENDERS, "age_band": AGE_BANDS}
COLUMNS = {
    "Members": "{name}",
    "Events a member-week": "{rate:.4f}",
    "Happened over expected": "{ratio:.3f}",
    "Standard error": "{error:.3f}",
}
RANKING = {"Forecast": "{name}", "AUC": "{auc:.4f}", "Standard error of the lead": "{error:.4f}"}
STUDY = Study(
    RESULTS,
    "Is FactoredAWR's forecast of events calibrated, and how well does it rank?",
    {
        "draws": (6, 1, "draws of the members to learn from and of the judges"),
        "members": (5_000, 20, "members to learn from, of each draw"),
        "judges": (10_000, 20, "other members, of each draw"),
    },
)


@dataclass(frozen=True)
class Weeks:
    """Logged weeks, a row each, of members in the order of `Episodes`.

    Attributes:
        columns: What the forecast looks at.
        expected: Events a week.
        events: Credit-weighted events ahead.
        weeks: Credit-weighted weeks ahead.
        soon: Whether there is an event within `AHEAD` weeks.
        known: Whether these weeks were all seen.
        members: Whose row it is.
    """

    columns: Float[np.ndarray, "row column"]
    expected: Float[np.ndarray, "row"]
    events: Float[np.ndarray, "row"]
    weeks: Float[np.ndarray, "row"]
    soon: Bool[np.ndarray, "row"]
    known: Bool[np.ndarray, "row"]
    members: Int[np.ndarray, "row"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Fits, judges, and prints both tables."""
    options = STUDY.options(arguments)
    units = [
        Unit(
            f"draw{draw}", partial(judged, draw, options.members, options.judges),
            {"draw": draw, "members": options.members, "judges": options.judges},
        )
        for draw in range(options.draws)
    ]  # fmt: skip
    found = STUDY.each(units, options, "drawn")
    rows = over_draws([each["calibration"] for each in found])
    STUDY.tell(rows, COLUMNS, options, part="calibration", title=f"mean of {options.draws} draws")
    ours, theirs = (np.asarray([each[name] for each in found]) for name in ("auc", "boosting"))
    lead = float((ours - theirs).std(ddof=1) / np.sqrt(len(ours))) if len(ours) > 1 else None
    ranking = [
        {"name": "FactoredAWR's", "auc": float(ours.mean()), "error": lead},
        {"name": "gradient boosting (scikit-learn), same columns", "auc": float(theirs.mean()), "error": None},
    ]
    STUDY.tell(ranking, RANKING, options, part="ranking", title=f"any event in the next {AHEAD} weeks")


def over_draws(found: Sequence[Sequence[dict[str, object]]]) -> list[dict[str, object]]:
    """Mean of each row over the draws; without a group that some draw has nobody of."""
    drawn = [{row["name"]: row for row in rows} for rows in found]
    means: list[dict[str, object]] = []
    for name in [name for name in drawn[0] if all(name in rows for rows in drawn)]:
        ratios = np.asarray([rows[name]["ratio"] for rows in drawn])
        errors = np.asarray([rows[name]["error"] for rows in drawn])
        rates = [rows[name]["rate"] for rows in drawn]
        # Over draws of the members to learn from, too, where there are several; else over judges alone.
        error = ratios.std(ddof=1) if len(ratios) > 1 else errors[0]
        error = float(error / np.sqrt(len(ratios)))
        means.append({"name": name, "rate": float(np.mean(rates)), "ratio": float(ratios.mean()), "error": error})
    return means


def judged(draw: int, members: int, judges: int) -> dict[str, object]:
    """One forecast, judged by other members.

    Args:
        draw: Which members.
        members: To learn from.
        judges: Others.
    """
    learned, others = (
        collect(preset(), members=number, seed=(seed + draw, 1))
        for number, seed in ((members, SEED), (judges, JUDGES_SEED))
    )
    model = fitted(learned)
    own, weeks = walked(model, learned), walked(model, others)
    boosting = HistGradientBoostingClassifier(random_state=0, **BOOSTING)
    boosting.fit(own.columns[own.known], own.soon[own.known])
    known = weeks.known
    score = boosting.predict_proba(weeks.columns[known])[:, 1]
    return {
        "calibration": calibration(weeks, others),
        "auc": float(roc_auc_score(weeks.soon[known], weeks.expected[known])),
        "boosting": float(roc_auc_score(weeks.soon[known], score)),
    }


def calibration(weeks: Weeks, episodes: Episodes) -> list[dict[str, object]]:
    """Events that happened over those expected, by tenth and by group."""
    tenth = np.searchsorted(np.quantile(weeks.expected, np.arange(0.1, 1, 0.1)), weeks.expected)
    rows = [_ratio("all", weeks, np.ones(len(tenth), dtype=bool))]
    rows += [_ratio(f"{_ordinal(number + 1)} tenth", weeks, tenth == number) for number in range(10)]
    for name, labels in GROUPS.items():
        own = np.asarray(episodes.information[name])[:, 0].reshape(len(episodes.lengths))[weeks.members]
        rows += [_ratio(f"{name} {label}", weeks, own == place) for place, label in enumerate(labels)]
    return [row for row in rows if row]


def walked(model: MemberModel, episodes: Episodes) -> Weeks:
    """What the forecast says in every logged week, and what came of it."""
    mask, observations = episodes.mask, np.asarray(episodes.observations, dtype=np.float32)
    done = np.searchsorted(MEDICAID_ACTIONS.valid_joints, MEDICAID_ACTIONS.ravel(np.asarray(episodes.actions)))
    memory = model.start_memory(len(mask))
    columns, expected = [], []
    for week in range(mask.shape[1]):
        now = observations[:, week]
        columns.append(model.layout.features(memory, now, model.usual.numpy(), model.chosen.numpy()))
        expected.append(model.expected(memory, now) / float(model.window))
        memory = model.remember(memory, now, done[:, week])
    lost = np.where(mask, -episodes.rewards, 0.0).astype(np.float64)
    ahead, left, soon = np.zeros(mask.shape), np.zeros(mask.shape), np.zeros(mask.shape)
    events, weeks = np.zeros(len(mask)), np.zeros(len(mask))
    for week in range(mask.shape[1])[::-1]:
        events = ahead[:, week] = lost[:, week] + DECAY * events
        weeks = left[:, week] = mask[:, week] + DECAY * weeks
        soon[:, week] = lost[:, week : week + AHEAD].sum(axis=1)
    # Whoever leaves for good has no events afterwards; whoever is no longer followed may have some.
    last = np.arange(mask.shape[1])[None] + AHEAD <= episodes.lengths[:, None]
    known = last | np.asarray(episodes.terminated)[:, None]
    return Weeks(
        columns=np.stack(columns, axis=1)[mask],
        expected=np.stack(expected, axis=1)[mask],
        events=ahead[mask],
        weeks=left[mask],
        soon=soon[mask] > 0,
        known=known[mask],
        members=np.repeat(np.arange(len(mask)), mask.sum(axis=1)),
    )


def fitted(episodes: Episodes, *, need: str | None = None, skill: str | None = None) -> MemberModel:
    """The model of a member that FactoredAWR estimates from episodes of the simulator."""
    space = MEDICAID_ACTIONS
    buffer = buffer_of(episodes)
    response = MEASURES.index("num_encounters_last_week")
    needs = 1 if need is None else len(space[need].levels)
    model = MemberModel(
        len(MEASURES), len(space.valid_joints), response=response, leading=int(space.nvec[0]), needs=needs,
        indicated=False,
    )  # fmt: skip
    minutes = care_effort(preset()).minutes[space.valid_joints]
    estimate_member_model(model, buffer, decay=DECAY, minutes=minutes, indications={}, need=need, skill=skill)
    return model


def _ratio(name: str, weeks: Weeks, kept: Bool[np.ndarray, "row"]) -> dict[str, object]:
    """Events that happened over events expected, of some weeks, with a standard error over members."""
    if not kept.any():
        return {}
    expected = weeks.expected[kept] * weeks.weeks[kept]
    ratio = float(weeks.events[kept].sum() / expected.sum())
    surplus = np.bincount(weeks.members[kept], weights=weeks.events[kept] - ratio * expected)
    error = float(np.sqrt((surplus**2).sum()) / expected.sum())
    return {"name": name, "rate": float(weeks.expected[kept].mean()), "ratio": ratio, "error": error}


def _ordinal(number: int) -> str:
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number, 'th') }"


if __name__ == "__main__":
    run_or_say(main)

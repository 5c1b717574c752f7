"""One call for all estimators, with intervals, diagnostics, and a headline that may be refused."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64

from frl_env.errors import unknown_name
from frl_env.evaluation.diagnostics import Diagnostics, Thresholds, diagnose
from frl_env.evaluation.endorsement import why_withheld
from frl_env.evaluation.estimating.estimate import Estimate
from frl_env.evaluation.estimating.estimators import MARGINAL, ActionValues
from frl_env.evaluation.estimating.intervals import Interval, interval, resample
from frl_env.evaluation.estimating.target import Probabilities, Scores, TargetScores
from frl_env.evaluation.inputs import CLIPS, WINDOWS, every_estimate, prepare, recommended
from frl_env.evaluation.privacy.suppression import SMALLEST, count, effective, rests_on_few
from frl_env.evaluation.records.episodes import LoggedEpisodes
from frl_env.evaluation.threads import numpy_alone
from frl_env.member_months import of_a_group, per_1000_member_months, span

FEW_EVENTS = f"fewer than {SMALLEST} of these members had any event, so that no value may be told"


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """One estimator's value and difference to behaviour.

    Attributes:
        estimate: Of the target's value.
        interval: Of it.
        difference: Of the target's value minus the observed returns, paired by member.
        difference_interval: Of it.
    """

    estimate: Estimate
    interval: Interval
    difference: Estimate
    difference_interval: Interval

    def to_dict(self, weeks: float | None = None) -> dict[str, Any]:
        """JSON-able.

        Args:
            weeks: Mean number of weeks that a member is followed; with it, rates per 1,000 member-months stand beside.
        """
        rates = {} if weeks is None else {"per_1000_member_months": self.rates(weeks)}
        return rates | {
            "estimator": self.estimate.name,
            "weights": self.estimate.weights,
            "value": self.estimate.value,
            "standard_error": self.estimate.standard_error,
            "interval": self.interval.to_dict(),
            "difference": self.difference.value,
            "difference_standard_error": self.difference.standard_error,
            "difference_interval": self.difference_interval.to_dict(),
            "decomposes": self.estimate.decomposes,
        }

    def rates(self, weeks: float) -> dict[str, float]:
        """Value, and difference with its interval, per 1,000 member-months.

        Args:
            weeks: Mean number of weeks that a member is followed.
        """
        change = self.difference_interval
        a_member = {
            "value": self.estimate.value,
            "difference": self.difference.value,
            "difference_low": change.low,
            "difference_high": change.high,
        }
        return {name: per_1000_member_months(value, weeks) for name, value in a_member.items()}


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """All estimates of one target policy on one set of logged episodes.

    Attributes:
        members, decisions: Size of the data.
        discount: Of the returns.
        behaviour: Mean of the returns as logged.
        results: By estimator, in the order of the table.
        diagnostics: Of the weights.
        headline_estimator: The one whose value is the headline.
        reasons: Why there is no headline, the first in the sentence; empty when there is one.
        passed_over: Which estimator was not taken for the headline, and why; empty when there is nothing to say.
        by_group: The headline estimator's results by attribute and label; None for groups with too few effective
            members.
        group_weeks: Mean number of weeks that the members of each group are followed.
    """

    members: int
    decisions: int
    discount: float
    behaviour: Estimate
    results: dict[str, Result]
    diagnostics: Diagnostics
    headline_estimator: str
    reasons: list[str]
    passed_over: str = ""
    by_group: dict[str, dict[str, Result | None]] = field(default_factory=dict)
    group_weeks: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def simulated(self) -> bool:
        """Whether nobody real stands behind the members."""
        return self.diagnostics.simulated

    @property
    def told(self) -> bool:
        """Whether values may leave the process: of real people not where 1 to 10 of them had all events."""
        return self.simulated or not rests_on_few(self.behaviour.plain)

    @property
    def weeks(self) -> float | None:
        """Mean number of weeks that a member is followed.

        None with a discount, which makes rates meaningless, and where weeks and decisions would tell how few people
        there are.
        """
        told = self.simulated or self.members >= SMALLEST
        return self.decisions / self.members if self.discount == 1.0 and told else None

    @property
    def headline(self) -> Result | None:
        """The value to report, None when the data does not support one."""
        return None if self.reasons else self.results[self.headline_estimator]

    @property
    def sentence(self) -> str:
        """The headline in words, or why there is none."""
        beside = f" {self.passed_over}." if self.passed_over else ""
        if not self.told:
            return f"No estimate: {FEW_EVENTS}."
        if self.reasons:
            return f"No headline ({self.headline_estimator}): {self.reasons[0]}.{beside}"
        result = self.results[self.headline_estimator]
        value, change = result.interval, result.difference_interval
        assumed = (result.estimate.weights or "").startswith(MARGINAL)
        return (
            f"{self.headline_estimator}: value {result.estimate.value:.3f} ({value.level:.0%} interval {value.low:.3f} "
            f"to {value.high:.3f}); difference to behaviour {result.difference.value:+.4f} "
            f"({change.low:+.4f} to {change.high:+.4f}){self._rate(result)}"
            f"{', if the record then holds all of the past that matters' if assumed else ''}.{beside}"
        )

    def _rate(self, result: Result) -> str:
        if self.weeks is None:
            return ""
        rates = result.rates(self.weeks)
        return (
            f" {span(self.weeks)}, per 1,000 member-months {rates['difference']:+.2f} "
            f"({rates['difference_low']:+.2f} to {rates['difference_high']:+.2f})"
        )

    def _group_rates(self, attribute: str, label: str, result: Result) -> dict[str, dict[str, float]]:
        """Rates of a group, over the weeks that its own members are followed."""
        if self.weeks is None:
            return {}
        rates = result.rates(self.group_weeks[attribute][label])
        told = {name: of_a_group(rate, simulated=self.simulated) for name, rate in rates.items()}
        return {"per_1000_member_months": told}

    def table(self) -> pd.DataFrame:
        """One row an estimator: value and difference to behaviour with their intervals, effective members.

        Values are of a member over `weeks`; the last columns are rates per 1,000 member-months. Few effective members
        of real people are missing; it is empty where no value may be told.
        """
        if not self.told:
            return pd.DataFrame()
        diagnostics = self.diagnostics.to_dict()
        rows: dict[str, dict[str, float]] = {
            "behaviour": {"value": self.behaviour.value, "SE": self.behaviour.standard_error}
        }
        for name, result in self.results.items():
            kind = result.estimate.weights
            weights = None if kind is None else diagnostics["weights"][kind]
            members = effective(self.members, simulated=self.simulated) if weights is None else weights["members"]
            rows[name] = {
                "value": result.estimate.value,
                "SE": result.estimate.standard_error,
                "low": result.interval.low,
                "high": result.interval.high,
                "difference": result.difference.value,
                "difference SE": result.difference.standard_error,
                "difference low": result.difference_interval.low,
                "difference high": result.difference_interval.high,
                "members": np.nan if members is None else members,
                "worst week": np.nan if weights is None else weights["worst_week"],
                "clipped": np.nan if weights is None else weights["clipped"],
            }
            if self.weeks is not None:
                rates = result.rates(self.weeks)
                rows[name] |= {f"{key.replace('_', ' ')} per 1,000 member-months": rates[key] for key in rates}
        if self.weeks is not None:
            rows["behaviour"]["value per 1,000 member-months"] = per_1000_member_months(
                self.behaviour.value, self.weeks
            )
            rows = {name: row | {"weeks": self.weeks} for name, row in rows.items()}
        return pd.DataFrame.from_dict(rows, orient="index")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, without anything about a single member; small numbers of real people are left out."""
        headline, hidden = self.headline, self.diagnostics.hidden
        facts = {
            "members": count(self.members, simulated=self.simulated),
            "decisions": self.decisions,
            "discount": self.discount,
            "weeks": self.weeks,
        }
        if not self.told:
            nothing = {"behaviour": None, "headline": None, "results": {}, "by_group": {}, "passed_over": ""}
            return (
                facts
                | nothing
                | {
                    "headline_estimator": self.headline_estimator,
                    "sentence": self.sentence,
                    "reasons": self.reasons,
                    "diagnostics": self.diagnostics.to_dict(),
                }
            )
        return facts | {
            "behaviour": {"value": self.behaviour.value, "standard_error": self.behaviour.standard_error},
            "headline_estimator": self.headline_estimator,
            "headline": None if headline is None else headline.to_dict(self.weeks),
            "sentence": self.sentence,
            "reasons": self.reasons,
            "passed_over": self.passed_over,
            "results": {name: result.to_dict(self.weeks) for name, result in self.results.items()},
            "by_group": {
                name: {
                    label: None if r is None else r.to_dict() | self._group_rates(name, label, r)
                    for label, r in group.items()
                    if label not in hidden[name]
                }
                for name, group in self.by_group.items()
            },
            "diagnostics": self.diagnostics.to_dict(),
        }


@numpy_alone()
def evaluate(
    episodes: LoggedEpisodes,
    target_probabilities: Probabilities | np.ndarray | TargetScores,
    *,
    rng: np.random.Generator,
    q_values: ActionValues | Scores | None = None,
    propensities: str | np.ndarray = "logged",
    discount: float = 1.0,
    others: Sequence[Estimate] = (),
    headline: str | None = None,
    passed_over: str = "",
    clips: Sequence[float] = CLIPS,
    windows: Sequence[int] = WINDOWS,
    folds: int = 5,
    resamples: int = 1_000,
    level: float = 0.95,
    method: str = "studentised",
    thresholds: Thresholds | None = None,
    features: Float64[np.ndarray, "episode step feature"] | None = None,
) -> Evaluation:
    """Runs every estimator on one target policy.

    Args:
        episodes: The logged decisions.
        target_probabilities: Observations `(n, k)` to probabilities of all joint actions `(n, n_joint)`, asked a chunk
            at a time; or the target's probabilities of the logged actions, `(episode, step)`; or what `score_target`
            made of it.
        rng: Source of folds and resamples.
        q_values: Q of the target at the logged actions and its expectation under the target, fitted on other members
            (cross-fitted); or a function from observations to Q of all joint actions. Without, the direct and doubly
            robust estimators are left out.
        propensities: "logged"; "estimated", see `estimate_propensities`; or an array of the probability of each
            logged action under the behaviour policy.
        discount: In [0, 1].
        others: Estimates by models of one's own on the same members, to stand in the same table.
        headline: Estimator of the headline; by default WDR with weights cut at 30, or WIS without values.
        passed_over: Which estimator is not the headline, and why; said in the sentence.
        clips: Cut-offs of the sweep of WDR, or WIS without values.
        windows: Weeks that the longer marginal weights keep as they are.
        folds: Folds of members in which density ratios are cross-fitted.
        resamples: Of the members, for the intervals.
        level: Nominal coverage.
        method: Of the intervals: "studentised", "percentile" or "normal".
        thresholds: What the headline has to meet.
        features: Of the state, for the density ratios; by default smooth features of the observations.

    Raises:
        UserError: If anything does not fit.
    """
    limits = thresholds or Thresholds()
    inputs = prepare(
        episodes,
        target_probabilities,
        rng=rng,
        q_values=q_values,
        propensities=propensities,
        discount=discount,
        folds=folds,
        features=features,
        support_members=limits.support_members,
    )
    inputs = replace(inputs, features=None)  # what they are for is done, and they are most of the memory
    found, weights = every_estimate(inputs, clips=clips, windows=windows)
    found |= {estimate.name: estimate for estimate in others}
    chosen = headline or recommended(found)
    if chosen not in found:
        raise unknown_name("estimator for the headline", chosen, found)
    diagnostics = diagnose(episodes, inputs.log_ratios, weights, unsupported=inputs.unsupported)
    best = found[chosen]
    settings = {"rng": rng, "resamples": resamples, "level": level, "method": method}
    results = compare(list(found.values()), inputs.observed, **settings)
    named = dict(zip(found, results, strict=True))
    by_group: dict[str, dict[str, Result | None]] = {}
    group_weeks: dict[str, dict[str, float]] = {}
    for name, labels in episodes.groups.items():
        by_group[name], group_weeks[name] = {}, {}
        for label in np.unique(labels):
            own = labels == label
            group_weeks[name][str(label)] = float(episodes.lengths[own].mean())
            carried = (
                own.sum() if best.weights is None else diagnostics.weights[best.weights].by_group[name][str(label)]
            )
            shown = own.sum() > 1 and carried >= limits.group_members
            by_group[name][str(label)] = compare([best.of(own)], inputs.observed[own], **settings)[0] if shown else None
        if not episodes.simulated and any(
            rests_on_few(inputs.observed[labels == label]) for label in np.unique(labels)
        ):
            # A group's mean follows from that of all and those of the others.
            by_group[name] = dict.fromkeys(by_group[name])
    few = not episodes.simulated and rests_on_few(inputs.observed)
    return Evaluation(
        members=len(episodes),
        decisions=int(episodes.lengths.sum()),
        discount=discount,
        behaviour=Estimate(name="behaviour", plain=inputs.observed),
        results=named,
        diagnostics=diagnostics,
        headline_estimator=chosen,
        # Other reasons hold values.
        reasons=[FEW_EVENTS]
        if few
        else why_withheld(
            chosen,
            {name: result.difference for name, result in named.items()},
            {name: result.difference_interval for name, result in named.items()},
            diagnostics,
            limits,
        ),
        passed_over="" if few else passed_over,
        by_group=by_group,
        group_weeks=group_weeks,
    )


def compare(
    estimates: Sequence[Estimate],
    observed: Float64[np.ndarray, "member"],
    *,
    rng: np.random.Generator,
    resamples: int = 1_000,
    level: float = 0.95,
    method: str = "studentised",
) -> list[Result]:
    """Intervals of values and of differences to the observed returns, all from the same resamples of members.

    Args:
        estimates: Of the same members in the same order.
        observed: Return of each member as logged.
        rng: Source of the resamples.
        resamples: How many.
        level: Nominal coverage.
        method: "studentised", "percentile" or "normal".

    Raises:
        UserError: If there are fewer than 2 members, or a setting is wrong.
    """
    drawn: list[Any] = [(None, None)] * len(estimates)
    if method != "normal":
        drawn = resample(estimates, observed, rng, resamples=resamples)
    found = []
    for estimate, (of_value, of_difference) in zip(estimates, drawn, strict=True):
        difference = estimate.minus(observed)
        found.append(
            Result(
                estimate=estimate,
                interval=interval(estimate, of_value, level=level, method=method),
                difference=difference,
                difference_interval=interval(difference, of_difference, level=level, method=method),
            )
        )
    return found

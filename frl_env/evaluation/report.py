"""One call for all estimators, with intervals, diagnostics, and a headline that may be refused."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64

from frl_env.errors import UserError, unknown_name
from frl_env.evaluation import estimators as points
from frl_env.evaluation.density_ratios import state_density_ratios
from frl_env.evaluation.diagnostics import Diagnostics, Thresholds, diagnose
from frl_env.evaluation.episodes import LoggedEpisodes, split_members
from frl_env.evaluation.estimate import Estimate
from frl_env.evaluation.estimators import ActionValues
from frl_env.evaluation.intervals import Interval, interval, resample
from frl_env.evaluation.ridge import state_features
from frl_env.evaluation.target import Probabilities, Scores, score_target, supported_actions

Grid = Float64[np.ndarray, "episode step"]

CLIPS = (1.0, 3.0, 10.0, 30.0, 100.0)
"""Cut-offs of the sweep."""

_KINDS = {"DM": None, "MIS": "marginal", "MDR": "marginal"}
"""Kind of the weights of each estimator; "cumulative" where not listed."""


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

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "estimator": self.estimate.name,
            "value": self.estimate.value,
            "standard_error": self.estimate.standard_error,
            "interval": self.interval.to_dict(),
            "difference": self.difference.value,
            "difference_standard_error": self.difference.standard_error,
            "difference_interval": self.difference_interval.to_dict(),
            "decomposes": self.estimate.decomposes,
        }


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
        reasons: Why there is no headline; empty when there is one.
        by_group: The headline estimator's results by attribute and label, without those of groups with too few
            effective members.
    """

    members: int
    decisions: int
    discount: float
    behaviour: Estimate
    results: dict[str, Result]
    diagnostics: Diagnostics
    headline_estimator: str
    reasons: list[str]
    by_group: dict[str, dict[str, Result | None]] = field(default_factory=dict)

    @property
    def headline(self) -> Result | None:
        """The value to report, None when the data does not support one."""
        return None if self.reasons else self.results[self.headline_estimator]

    @property
    def sentence(self) -> str:
        """The headline in words, or why there is none."""
        if self.reasons:
            return f"No headline ({self.headline_estimator}): " + "; ".join(self.reasons) + "."
        result = self.results[self.headline_estimator]
        value, change = result.interval, result.difference_interval
        return (
            f"{self.headline_estimator}: value {result.estimate.value:.3f} ({value.level:.0%} interval {value.low:.3f} "
            f"to {value.high:.3f}); difference to behaviour {result.difference.value:+.4f} "
            f"({change.low:+.4f} to {change.high:+.4f})."
        )

    def table(self) -> pd.DataFrame:
        """One row an estimator."""
        rows = {"behaviour": {"value": self.behaviour.value, "SE": self.behaviour.standard_error}}
        for name, result in self.results.items():
            rows[name] = {
                "value": result.estimate.value,
                "SE": result.estimate.standard_error,
                "low": result.interval.low,
                "high": result.interval.high,
                "difference": result.difference.value,
                "difference SE": result.difference.standard_error,
                "difference low": result.difference_interval.low,
                "difference high": result.difference_interval.high,
            }
        return pd.DataFrame.from_dict(rows, orient="index")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, without anything about a single member."""
        headline = self.headline
        return {
            "members": self.members,
            "decisions": self.decisions,
            "discount": self.discount,
            "behaviour": {"value": self.behaviour.value, "standard_error": self.behaviour.standard_error},
            "headline_estimator": self.headline_estimator,
            "headline": None if headline is None else headline.to_dict(),
            "sentence": self.sentence,
            "reasons": self.reasons,
            "results": {name: result.to_dict() for name, result in self.results.items()},
            "by_group": {
                name: {label: None if r is None else r.to_dict() for label, r in group.items()}
                for name, group in self.by_group.items()
            },
            "diagnostics": self.diagnostics.to_dict(),
        }


def evaluate(
    episodes: LoggedEpisodes,
    target_probabilities: Probabilities | np.ndarray,
    *,
    rng: np.random.Generator,
    q_values: ActionValues | Scores | None = None,
    propensities: str | np.ndarray = "logged",
    discount: float = 1.0,
    headline: str | None = None,
    clips: Sequence[float] = CLIPS,
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
            at a time; or the target's probabilities of the logged actions, `(episode, step)`.
        rng: Source of folds and resamples.
        q_values: Q of the target at the logged actions and its expectation under the target, fitted on other members
            (cross-fitted); or a function from observations to Q of all joint actions. Without, the direct and doubly
            robust estimators are left out.
        propensities: "logged", or an array of the probability of each logged action under the behaviour policy.
        discount: In [0, 1].
        headline: Estimator of the headline; by default MDR with values, MIS without.
        clips: Cut-offs of the sweep of WDR.
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
    logged = _propensities(episodes, propensities)
    target = score_target(
        episodes,
        target_probabilities,
        q_function=q_values if callable(q_values) else None,
        support=supported_actions(episodes, limits.support_members),
    )
    with np.errstate(divide="ignore"):
        log_ratios = np.log(target.logged) - np.log(logged)
    values = target.values if callable(q_values) else q_values
    if values is not None:
        values = ActionValues(
            logged=episodes.padded("values of the logged actions", values.logged),
            policy=episodes.padded("values of the policy", values.policy),
        )
    if features is None and episodes.observations is not None:
        features = state_features(episodes.observations, episodes.mask)
    state_ratios = None
    if features is not None:
        split = split_members(len(episodes), min(folds, len(episodes)), rng)
        state_ratios = state_density_ratios(features, log_ratios, episodes.mask, folds=split)
    found = all_estimates(
        episodes.rewards, log_ratios, values=values, state_ratios=state_ratios, discount=discount, clips=clips
    )
    chosen = headline or next(name for name in ("MDR", "MIS", "WDR", "WIS") if name in found)
    if chosen not in found:
        raise unknown_name("estimator for the headline", chosen, found)
    weights = {"cumulative": points.cumulative_weights(log_ratios)}
    if state_ratios is not None:
        weights["marginal"] = np.exp(np.minimum(points.marginal_log_weights(log_ratios, state_ratios), points.CEILING))
    clip = dict(zip((_swept(clip) for clip in clips), clips, strict=True)).get(chosen)
    diagnostics = diagnose(episodes, log_ratios, weights, clip=clip, unsupported=target.unsupported)
    kind = _KINDS.get(chosen, "cumulative")
    observed = episodes.returns(discount)
    settings = {"rng": rng, "resamples": resamples, "level": level, "method": method}
    results = compare(list(found.values()), observed, **settings)
    by_group: dict[str, dict[str, Result | None]] = {}
    for name, labels in episodes.groups.items():
        by_group[name] = {}
        for label in np.unique(labels):
            own = labels == label
            effective = own.sum() if kind is None else diagnostics.weights[kind].by_group[name][str(label)]
            enough = effective >= limits.group_members and own.sum() > 1
            by_group[name][str(label)] = (
                compare([found[chosen].of(own)], observed[own], **settings)[0] if enough else None
            )
    return Evaluation(
        members=len(episodes),
        decisions=int(episodes.lengths.sum()),
        discount=discount,
        behaviour=Estimate(name="behaviour", plain=observed),
        results=dict(zip(found, results, strict=True)),
        diagnostics=diagnostics,
        headline_estimator=chosen,
        reasons=diagnostics.reasons(kind, limits),
        by_group=by_group,
    )


def all_estimates(
    rewards: Grid,
    log_ratios: Grid,
    *,
    values: ActionValues | None,
    state_ratios: Grid | None,
    discount: float,
    clips: Sequence[float] = (),
) -> dict[str, Estimate]:
    """Every point estimate that the arrays allow, by name; the sweep of WDR (of WIS without values) comes last."""
    found = [
        points.per_decision_importance_sampling(rewards, log_ratios, discount=discount),
        points.weighted_importance_sampling(rewards, log_ratios, discount=discount),
    ]
    if state_ratios is not None:
        found.append(points.marginalised_importance_sampling(rewards, log_ratios, state_ratios, discount=discount))
    if values is not None:
        found.insert(0, points.direct_method(values))
        found.append(points.doubly_robust(rewards, log_ratios, values, discount=discount))
        found.append(points.weighted_doubly_robust(rewards, log_ratios, values, discount=discount))
        if state_ratios is not None:
            found.append(
                points.marginalised_doubly_robust(rewards, log_ratios, state_ratios, values, discount=discount)
            )
        for clip in clips:
            cut = points.weighted_doubly_robust(rewards, log_ratios, values, discount=discount, clip=clip)
            found.append(replace(cut, name=_swept(clip)))
    return {estimate.name: estimate for estimate in found}


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
    differences = [estimate.minus(observed) for estimate in estimates]
    replicates: list[Any] = [None] * (2 * len(estimates))
    if method != "normal":
        replicates = resample([*estimates, *differences], rng, resamples=resamples)
    intervals = [
        interval(estimate, drawn, level=level, method=method)
        for estimate, drawn in zip([*estimates, *differences], replicates, strict=True)
    ]
    return [
        Result(
            estimate=estimates[i],
            interval=intervals[i],
            difference=differences[i],
            difference_interval=intervals[len(estimates) + i],
        )
        for i in range(len(estimates))
    ]


def _propensities(episodes: LoggedEpisodes, propensities: str | np.ndarray) -> Grid:
    if isinstance(propensities, str):
        if propensities != "logged":
            raise unknown_name("kind of propensities", propensities, ("logged",))
        if episodes.propensities is None:
            raise UserError("the episodes hold no logged propensities; estimate them, or pass them as an array")
        return episodes.propensities
    given = episodes.padded("propensities", propensities, 1.0)
    replace(episodes, propensities=given)  # refuses what can't be a propensity
    return given


def _swept(clip: float) -> str:
    return f"WDR clip {clip:g}"

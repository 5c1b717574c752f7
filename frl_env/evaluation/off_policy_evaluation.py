"""One call for all estimators, with intervals, diagnostics, and a headline that may be refused."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from frl_env.errors import UserError, check_whole, unknown_name
from frl_env.evaluation.comparison import Result, compare
from frl_env.evaluation.dataset_reading.episodes import LoggedEpisodes
from frl_env.evaluation.diagnostics import Thresholds, diagnose
from frl_env.evaluation.endorsement import why_withheld
from frl_env.evaluation.estimating.estimate import Estimate
from frl_env.evaluation.estimating.estimators import ActionValues
from frl_env.evaluation.estimating.intervals import check_level
from frl_env.evaluation.estimating.target import Probabilities, Scores, TargetScores
from frl_env.evaluation.evaluation_report import FEW_EVENTS, Evaluation
from frl_env.evaluation.inputs import CLIPS, WINDOWS, every_estimate, prepare, recommended
from frl_env.evaluation.privacy.suppression import rests_on_few
from frl_env.evaluation.threads import numpy_alone
from frl_env.kinds import check_kind


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
        others: Estimates by models of one's own on the same members, to stand in the same table under other names.
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
    check_level(level)
    for window in windows:
        check_whole("a window of weeks", window, low=1, high=2**31)
    limits = Thresholds() if thresholds is None else thresholds
    check_kind("thresholds", limits, Thresholds)
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
    if taken := [estimate.name for estimate in others if estimate.name in found]:
        raise UserError(f"an estimate of others is named {taken[0]!r} as one that is computed; give it another name")
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
    for name, labels in episodes.groups.items():
        by_group[name] = {}
        for label in np.unique(labels):
            own = labels == label
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
        group_weeks={
            name: {str(label): float(episodes.lengths[labels == label].mean()) for label in np.unique(labels)}
            for name, labels in episodes.groups.items()
        },
    )

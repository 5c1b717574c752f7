"""From logged episodes and a target policy to the arrays that estimators take, and all estimates from these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from frl_env.errors import UserError, check_generator, check_number, unknown_name
from frl_env.evaluation.dataset_reading.episodes import LoggedEpisodes, split_members
from frl_env.evaluation.diagnostics import Weights
from frl_env.evaluation.estimating import estimators as points
from frl_env.evaluation.estimating.estimate import Estimate
from frl_env.evaluation.estimating.estimators import CUMULATIVE, MARGINAL, ActionValues
from frl_env.evaluation.estimating.target import Probabilities, Scores, TargetScores, score_target, supported_actions
from frl_env.evaluation.nuisances.density_ratios import state_density_ratios
from frl_env.evaluation.nuisances.propensities import EstimatedPropensities, estimate_propensities
from frl_env.evaluation.nuisances.ridge import Ridge, state_features
from frl_env.evaluation.privacy.suppression import among

Grid = Float64[np.ndarray, "episode step"]

CLIPS = (1.0, 3.0, 10.0, 30.0, 100.0)
"""Cut-offs of the sweep."""

CLIP = 30.0
"""Cut-off of the recommended estimator: heavier weights are so rare that they bring variance and hardly any truth."""

WINDOWS = (4, 13)
"""Weeks of the longer windows: a month and a quarter."""

PROPENSITIES = ("logged", "estimated")


@dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """What estimators take, for one target policy.

    Attributes:
        rewards: Zero after the end.
        lengths: Steps of each episode.
        discount: In [0, 1].
        target: pi of the logged actions; one after the end.
        propensities: Of the logged actions under behaviour; one after the end.
        unsupported: Mass of the target on actions that the data hardly holds; None when it is not known.
        values: Of the target; None without.
        features: Of the state; None without observations.
        state_ratios: Of the densities of the state; None without features.
        scores: In which directions estimated propensities may be off; None for known ones.
    """

    rewards: Grid
    lengths: np.ndarray
    discount: float
    target: Grid
    propensities: Grid
    unsupported: Grid | None
    values: ActionValues | None
    features: Float64[np.ndarray, "episode step feature"] | None
    state_ratios: Grid | None
    scores: Float64[np.ndarray, "episode direction"] | None = None

    @property
    def log_ratios(self) -> Grid:
        """Natural logarithm of the one-week ratios; zero after the end, minus infinity where the target never acts."""
        with np.errstate(divide="ignore"):
            return np.log(self.target) - np.log(self.propensities)

    @property
    def observed(self) -> Float64[np.ndarray, "episode"]:
        """Return of each member as logged."""
        return self.rewards @ self.discount ** np.arange(self.rewards.shape[1])


def prepare(
    episodes: LoggedEpisodes,
    target_probabilities: Probabilities | np.ndarray | TargetScores,
    *,
    rng: np.random.Generator,
    q_values: ActionValues | Scores | None,
    propensities: str | np.ndarray | EstimatedPropensities,
    discount: float,
    folds: int,
    features: np.ndarray | None,
    support_members: int,
) -> Inputs:
    """Scores the target, finds propensities and density ratios; arguments and errors as in `evaluate`."""
    if not isinstance(episodes, LoggedEpisodes):
        raise UserError(
            f"episodes must be LoggedEpisodes, not a {type(episodes).__name__}; load_episodes(dataset) makes them"
        )
    check_generator(rng)
    check_number("discount", discount, low=0, high=1)
    if isinstance(propensities, str) and propensities == "estimated":
        propensities = estimate_propensities(episodes, rng=rng)
    behaviour = find_propensities(episodes, propensities, rng)
    target = score_target(
        episodes,
        target_probabilities,
        q_function=q_values if callable(q_values) else None,
        support=supported_actions(episodes, support_members),
    )
    values = target.values if callable(q_values) else q_values
    if values is not None:
        if not isinstance(values, ActionValues):
            raise UserError(f"q_values must be ActionValues or a function of observations, not {type(values).__name__}")
        values = ActionValues(
            logged=episodes.padded("values of the logged actions", values.logged),
            policy=episodes.padded("values of the policy", values.policy),
        )
    if features is not None:
        if np.ndim(features) != 3 or np.shape(features)[:2] != episodes.mask.shape:
            raise UserError(
                f"features have shape {np.shape(features)}; {episodes.mask.shape} (members, steps) and one more is "
                "needed"
            )
        unknown = ~np.isfinite(features).all(axis=2) & episodes.mask
        if unknown.any():
            who = among(int(unknown.any(axis=1).sum()), len(episodes), simulated=episodes.simulated)
            raise UserError(f"features are not finite in {who}; fill them in")
    if features is None and episodes.observations is not None:
        features = state_features(episodes.observations, episodes.mask)
    inputs = Inputs(
        rewards=episodes.rewards,
        lengths=episodes.lengths,
        discount=discount,
        target=target.logged,
        propensities=behaviour,
        unsupported=target.unsupported,
        values=values,
        features=features,
        state_ratios=None,
        scores=propensities.scores if isinstance(propensities, EstimatedPropensities) else None,
    )
    return with_state_ratios(inputs, episodes.mask, folds=folds, rng=rng)


def with_state_ratios(inputs: Inputs, mask: np.ndarray, *, folds: int, rng: np.random.Generator) -> Inputs:
    """The inputs with density ratios that fit their one-week ratios, where there are features."""
    if inputs.features is None:
        return inputs
    split = split_members(len(mask), min(folds, len(mask)), rng)
    ratios = state_density_ratios(inputs.features, inputs.log_ratios, mask, folds=split)
    return replace(inputs, state_ratios=ratios)


def find_propensities(
    episodes: LoggedEpisodes, wanted: str | np.ndarray | EstimatedPropensities, rng: np.random.Generator
) -> Grid:
    """Logged, estimated or given propensities of the logged actions, checked.

    Raises:
        UserError: If there are none of the kind, or an array holds what can't be a propensity.
    """
    if isinstance(wanted, EstimatedPropensities):
        wanted = wanted.logged
    if not isinstance(wanted, str):
        given = episodes.padded("propensities", wanted, 1.0)
        replace(episodes, propensities=given)  # refuses what can't be a propensity
        return given
    if wanted not in PROPENSITIES:
        raise unknown_name("kind of propensities", wanted, PROPENSITIES)
    if wanted == "estimated":
        return estimate_propensities(episodes, rng=rng).logged
    if episodes.propensities is None:
        raise UserError("the episodes hold no logged propensities; pass propensities='estimated' or an array")
    return episodes.propensities


def recommended(found: Mapping[str, Estimate]) -> str:
    """Name of the estimator for the headline: WDR, or WIS without values; cut at `CLIP` where the sweep has that."""
    name = "WDR" if "WDR" in found else "WIS"
    clipped = f"{name} clip {CLIP:g}"
    return clipped if clipped in found else name


def every_estimate(
    inputs: Inputs, *, clips: Sequence[float] = (), windows: Sequence[int] = ()
) -> tuple[dict[str, Estimate], dict[str, Weights]]:
    """Every point estimate that the inputs allow, by name, and the weights they rest on, by kind.

    Args:
        inputs: From `prepare`.
        clips: Cut-offs for WDR, or WIS without values.
        windows: Weeks for further marginal estimates, MDR or MIS without values.
    """
    rewards, logs, values, discount = inputs.rewards, inputs.log_ratios, inputs.values, inputs.discount
    found = [
        points.per_decision_importance_sampling(rewards, logs, discount=discount),
        points.weighted_importance_sampling(rewards, logs, discount=discount),
    ]
    cumulative = points.cumulative_weights(logs)
    weights = {CUMULATIVE: Weights(grid=cumulative)}
    if values is not None:
        found.insert(0, points.direct_method(values))
        found.append(points.doubly_robust(rewards, logs, values, discount=discount))
        found.append(points.weighted_doubly_robust(rewards, logs, values, discount=discount))
    for clip in clips:
        if values is None:
            cut = points.weighted_importance_sampling(rewards, logs, discount=discount, clip=clip)
        else:
            cut = points.weighted_doubly_robust(rewards, logs, values, discount=discount, clip=clip)
        kind = f"{CUMULATIVE}, clip {clip:g}"
        weights[kind] = Weights(grid=cumulative, clip=clip)
        found.append(replace(cut, name=f"{cut.name} clip {clip:g}", weights=kind))
    if inputs.state_ratios is None:
        return _reckoned(found, inputs), weights
    options = {"lengths": inputs.lengths, "discount": discount}
    found.append(points.marginalised_importance_sampling(rewards, logs, inputs.state_ratios, **options))
    weights[MARGINAL] = Weights(grid=points.marginal_weights(logs, inputs.state_ratios, lengths=inputs.lengths))
    if values is not None:
        found.append(points.marginalised_doubly_robust(rewards, logs, inputs.state_ratios, values, **options))
    for window in windows:
        if values is None:
            seen = points.marginalised_importance_sampling(rewards, logs, inputs.state_ratios, window=window, **options)
        else:
            seen = points.marginalised_doubly_robust(
                rewards, logs, inputs.state_ratios, values, window=window, **options
            )
        kind = f"{MARGINAL}, {window} weeks"
        weights[kind] = Weights(
            grid=points.marginal_weights(logs, inputs.state_ratios, lengths=inputs.lengths, window=window)
        )
        found.append(replace(seen, name=f"{seen.name} {window} weeks", weights=kind))
    return _reckoned(found, inputs), weights


def _reckoned(found: Sequence[Estimate], inputs: Inputs) -> dict[str, Estimate]:
    """The estimates by name; weighted ones with the error of estimated propensities in their terms.

    Propensities that were fitted to these members follow what chance did in them, and the weights with them: an
    estimate no longer varies in the directions that the fit has taken up. So its influence is less what the members'
    scores explain of it. The mean stays what it is. Without that a difference to the observed returns, in which chance
    still is, would look far more certain than it is.

    Source: Hirano, Imbens & Ridder (2003); Newey & McFadden (1994), section 6.
    """
    if inputs.scores is None or not inputs.scores.shape[1]:
        return {estimate.name: estimate for estimate in found}
    ridge, named = Ridge.of(inputs.scores), {}
    for estimate in found:
        if estimate.weights is not None:
            terms = estimate.terms
            taken = ridge.smooth(inputs.scores, terms, ridge.penalty(inputs.scores, terms))
            estimate = replace(estimate, plain=estimate.plain - (taken - taken.mean()))
        named[estimate.name] = estimate
    return named

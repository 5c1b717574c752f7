"""Off-policy evaluation: logged decisions and a target policy in, its value with an interval out, or a refusal.

The way of the data: `LoggedEpisodes` (from Minari or from rows), the target's probabilities of the logged actions
(`score_target`), one-week ratios, estimators (`estimators`, each an `Estimate`), intervals over members, diagnostics,
and the report (`evaluate`, an `Evaluation`). Arrays in, numbers out; no deep learning library.
"""

from frl_env.evaluation.comparison import Result, compare
from frl_env.evaluation.dataset_reading.dataset_facts import action_space_of
from frl_env.evaluation.dataset_reading.episodes import LoggedEpisodes, split_members
from frl_env.evaluation.dataset_reading.minari_episodes import load_episodes, load_with_parts
from frl_env.evaluation.diagnostics import Diagnostics, Thresholds, Weights, diagnose, effective_members, tail_index
from frl_env.evaluation.estimating.estimate import Estimate
from frl_env.evaluation.estimating.estimators import (
    ActionValues,
    cumulative_weights,
    direct_method,
    doubly_robust,
    marginal_weights,
    marginalised_doubly_robust,
    marginalised_importance_sampling,
    per_decision_importance_sampling,
    weighted_doubly_robust,
    weighted_importance_sampling,
)
from frl_env.evaluation.estimating.intervals import Interval, interval, resample
from frl_env.evaluation.estimating.target import TargetScores, score_target, supported_actions
from frl_env.evaluation.evaluation_report import Evaluation
from frl_env.evaluation.nuisances.density_ratios import state_density_ratios
from frl_env.evaluation.nuisances.propensities import EstimatedPropensities, estimate_propensities
from frl_env.evaluation.nuisances.ridge import state_features
from frl_env.evaluation.off_policy_evaluation import evaluate
from frl_env.evaluation.sensitivity.assumptions import Sensitivity, sensitivity
from frl_env.evaluation.sensitivity.confounding import Bounds, Confounding

__all__ = [
    "ActionValues",
    "Bounds",
    "Confounding",
    "Diagnostics",
    "Estimate",
    "EstimatedPropensities",
    "Evaluation",
    "Interval",
    "LoggedEpisodes",
    "Result",
    "Sensitivity",
    "TargetScores",
    "Thresholds",
    "Weights",
    "action_space_of",
    "compare",
    "cumulative_weights",
    "diagnose",
    "direct_method",
    "doubly_robust",
    "effective_members",
    "estimate_propensities",
    "evaluate",
    "interval",
    "load_episodes",
    "load_with_parts",
    "marginal_weights",
    "marginalised_doubly_robust",
    "marginalised_importance_sampling",
    "per_decision_importance_sampling",
    "resample",
    "score_target",
    "sensitivity",
    "split_members",
    "state_density_ratios",
    "state_features",
    "supported_actions",
    "tail_index",
    "weighted_doubly_robust",
    "weighted_importance_sampling",
]

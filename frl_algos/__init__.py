"""The solutions: offline RL algorithms for factored actions, as d3rlpy plugins.

Importing this package registers FactoredAWR and the factored baselines with d3rlpy, so that `d3rlpy.load_learnable`
knows them.
"""

import os
import sys
import warnings


def _import_d3rlpy_quietly() -> None:
    """Imports d3rlpy without what the dead `gym` package prints on standard error at import."""
    if "d3rlpy" in sys.modules:
        return
    import torch  # noqa: F401 - before the redirection: its log handlers keep the standard error they find

    stderr = sys.stderr
    with open(os.devnull, "w", encoding="utf-8") as nowhere, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sys.stderr = nowhere
        try:
            import d3rlpy  # noqa: F401
        finally:
            sys.stderr = stderr


_import_d3rlpy_quietly()

from frl_algos.baselines import AutoregressiveIQLConfig, DecoupledCQLConfig, FactoredIQLConfig  # noqa: E402
from frl_algos.factored_awr.algorithm import FactoredAWR, FactoredAWRConfig  # noqa: E402
from frl_algos.logged_data.minari_loading import load_replay_buffer  # noqa: E402
from frl_algos.logged_data.replay import FactoredReplayBuffer  # noqa: E402
from frl_algos.model_files.export import export_policy  # noqa: E402
from frl_algos.model_files.export_gains import export_gains  # noqa: E402
from frl_algos.model_files.saving import load_model, save_model  # noqa: E402
from frl_algos.policies.policy import LearnedPolicy  # noqa: E402
from frl_algos.policy_reports.group_gap import GroupGap  # noqa: E402
from frl_algos.policy_reports.policy_audit import audit_fairness, audit_policy  # noqa: E402
from frl_algos.policy_reports.policy_evaluation import PolicyEvaluation, evaluate_policy  # noqa: E402
from frl_algos.published import train_awr_factored  # noqa: E402
from frl_algos.threads import training_threads  # noqa: E402
from frl_algos.value_models.counterfactual import Counterfactual  # noqa: E402
from frl_algos.value_models.evaluators import policy_evaluators  # noqa: E402
from frl_algos.value_models.fitted_q import fitted_q_evaluation  # noqa: E402
from frl_algos.value_models.selection import Selection, select_policy  # noqa: E402

__all__ = [
    "AutoregressiveIQLConfig",
    "Counterfactual",
    "DecoupledCQLConfig",
    "FactoredAWR",
    "FactoredAWRConfig",
    "FactoredIQLConfig",
    "FactoredReplayBuffer",
    "GroupGap",
    "LearnedPolicy",
    "PolicyEvaluation",
    "Selection",
    "audit_fairness",
    "audit_policy",
    "evaluate_policy",
    "export_gains",
    "export_policy",
    "fitted_q_evaluation",
    "load_model",
    "load_replay_buffer",
    "policy_evaluators",
    "save_model",
    "select_policy",
    "train_awr_factored",
    "training_threads",
]

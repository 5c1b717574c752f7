"""The solutions: offline RL algorithms for factored actions, as d3rlpy plugins.

Importing this package registers FactoredAWR with d3rlpy, so that `d3rlpy.load_learnable` knows it.
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

from frl_algos.audit import audit_fairness, audit_policy  # noqa: E402
from frl_algos.config import FactoredAWRConfig  # noqa: E402
from frl_algos.export import export_policy  # noqa: E402
from frl_algos.factored_awr import FactoredAWR  # noqa: E402
from frl_algos.model_files import load_model, save_model  # noqa: E402
from frl_algos.parity import GroupGap  # noqa: E402
from frl_algos.policy_evaluation import PolicyEvaluation, evaluate_policy  # noqa: E402
from frl_algos.replay import FactoredReplayBuffer, load_replay_buffer  # noqa: E402
from frl_algos.seed_functions import train_awr_factored  # noqa: E402
from frl_algos.selection import Selection, select_policy  # noqa: E402

__all__ = [
    "FactoredAWR",
    "FactoredAWRConfig",
    "FactoredReplayBuffer",
    "GroupGap",
    "PolicyEvaluation",
    "Selection",
    "audit_fairness",
    "audit_policy",
    "evaluate_policy",
    "export_policy",
    "load_model",
    "load_replay_buffer",
    "save_model",
    "select_policy",
    "train_awr_factored",
]

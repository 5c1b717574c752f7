"""Factored actions as data: factors, their levels, and the rule for which joint actions are valid.

Nothing here is tied to Medicaid except the constant `MEDICAID_ACTIONS`: a program with other vocabularies describes
its own factors with `ActionSpace` and uses everything else in the project.
"""

from frl_env.actions.action_space import DECISIONS_AT_ONCE, MOST_JOINTS, ActionSpace
from frl_env.actions.factor import Factor
from frl_env.actions.medicaid import MEDICAID_ACTIONS

__all__ = ["DECISIONS_AT_ONCE", "MEDICAID_ACTIONS", "MOST_JOINTS", "ActionSpace", "Factor"]

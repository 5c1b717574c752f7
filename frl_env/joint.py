"""Factored actions as one number, for libraries that know no `MultiDiscrete`."""

from typing import Any

import gymnasium
import numpy as np

from frl_env.actions import MEDICAID_ACTIONS, ActionSpace
from frl_env.errors import UserError
from frl_env.kinds import check_kind, shown


class JointActions(gymnasium.ActionWrapper[Any, Any, Any], gymnasium.utils.RecordConstructorArgs):
    """Makes an environment with a flat `MultiDiscrete` action space take joint indices instead.

    Its `spec` makes it again, so a dataset that was recorded in it recovers it.

    Args:
        env: With such an action space.
        factors: Names and validity of its actions, or these as `ActionSpace.to_json` writes them, as the `spec` does;
            by default the care-management actions where they fit, else nameless levels that are all valid.

    Raises:
        UserError: If it is a vector of environments, the environment has another kind of action space, or the factors
            don't fit it.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], factors: ActionSpace | str | None = None) -> None:
        """Sets up the `Discrete` action space."""
        if isinstance(env, gymnasium.vector.VectorEnv):
            raise UserError(
                "JointActions takes a single environment, not a vector of them; for a vector, pass levels to its step: "
                "MEDICAID_ACTIONS.unravel(joint_indices)"
            )
        if not isinstance(env, gymnasium.Env):
            raise UserError(f"JointActions takes an environment, not {shown(env)}; gymnasium.make(id) makes one")
        check_kind("factors", factors, ActionSpace | str | None)
        if isinstance(factors, str):
            factors = ActionSpace.from_json(factors)
        gymnasium.utils.RecordConstructorArgs.__init__(self, factors=factors and factors.to_json())
        super().__init__(env)
        space = env.action_space
        if not isinstance(space, gymnasium.spaces.MultiDiscrete) or space.nvec.ndim != 1:
            raise UserError(f"the environment has actions {space}; a flat MultiDiscrete is needed")
        levels = tuple(int(n) for n in space.nvec)
        if factors is None:
            factors = MEDICAID_ACTIONS if levels == MEDICAID_ACTIONS.nvec else ActionSpace.from_nvec(levels)
        if factors.nvec != levels:
            raise UserError(f"{factors} does not fit the environment's {space}")
        self.factors = factors
        self._start = np.asarray(space.start, dtype=np.int64)
        self.action_space = gymnasium.spaces.Discrete(factors.n_joint)

    def action(self, action: Any) -> np.ndarray:
        """Levels of a joint action.

        Raises:
            UserError: If there is no such joint action.
        """
        return self.factors.unravel(np.asarray(action)) + self._start

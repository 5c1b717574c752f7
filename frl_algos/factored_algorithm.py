"""What our algorithms have in common: each is a d3rlpy algorithm over joint indices that knows its factored actions."""

from typing import Any

import numpy as np
from d3rlpy.algos.qlearning.base import QLearningAlgoBase, TQLearningConfig, TQLearningImpl
from d3rlpy.constants import ActionSpace as ActionKind
from d3rlpy.logging import LOG
from jaxtyping import Float32

from frl_algos.input_checks import checked_for, checked_joints
from frl_algos.threads import as_trained
from frl_env.actions import ActionSpace
from frl_env.errors import UserError


class FactoredAlgorithm(QLearningAlgoBase[TQLearningImpl, TQLearningConfig]):
    """Actions with names, and what is asked of a policy checked; an algorithm adds `_prepare`, networks and updates."""

    @property
    def action_space(self) -> ActionSpace:
        """Names and validity of the actions.

        Raises:
            UserError: If the algorithm was neither fitted nor given an action schema.
        """
        if not self._config.action_schema:
            raise UserError("the algorithm knows no actions yet; fit it, or set action_schema in its configuration")
        return ActionSpace.from_json(self._config.action_schema)

    def get_action_type(self) -> ActionKind:
        """Discrete: joint indices."""
        return ActionKind.DISCRETE

    def build_with_dataset(self, dataset: Any) -> None:
        """Does all that comes before the first update, so that `update` can train on batches by hand.

        Args:
            dataset: As `fit` takes it.
        """
        if self._impl is not None:
            LOG.warning("Parameters will be reinitialized.")
            self._impl = None
        self._prepare(dataset)

    @as_trained()
    def update(self, batch: Any) -> dict[str, float]:
        """One update by hand; see d3rlpy."""
        return super().update(batch)

    def predict(self, x: Any) -> np.ndarray:
        """Greedy joint actions; raises as `predict_probabilities` does."""
        return super().predict(self._checked(x))

    def sample_action(self, x: Any) -> np.ndarray:
        """Joint actions drawn with torch's global generator; raises as `predict_probabilities` does."""
        return super().sample_action(self._checked(x))

    def predict_value(self, x: Any, action: Any) -> np.ndarray:
        """Value of valid joint actions, one a state, in units of reward; see d3rlpy.

        Raises:
            UserError: As `predict_probabilities`, or if an action is none or not valid.
        """
        observations = self._checked(x)
        return super().predict_value(observations, checked_joints(action, len(observations), self.action_space))

    def _prepare(self, dataset: Any) -> Any:
        """The replay buffer to train on, once scales, networks and all that a dataset tells beforehand are there."""
        raise NotImplementedError

    def _checked(self, observations: Any) -> Float32[np.ndarray, "n k"]:
        """Observations as a float32 array of the right shape, finite."""
        return checked_for(self._impl, observations)

    def _require_impl(self) -> TQLearningImpl:
        if self._impl is None:
            raise UserError("the algorithm is not trained yet; call fit or load a model first")
        return self._impl

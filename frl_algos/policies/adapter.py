"""Anybody's algorithm behind the interface that the benchmark trains and scores.

What is needed of it is little: `fit(buffer, n_steps=..., **others)` and `predict(observations) -> joint actions`. What
it may offer besides is used: `predict_probabilities` or `draw` (then it is scored by drawing, too), `batch_size`,
`save`. A d3rlpy algorithm has all that is needed; a continuous one is trained on relaxed actions.
`frl_algos.testing.check_algorithm` checks it all.
"""

from typing import Any

import numpy as np
import torch
from d3rlpy.algos.qlearning.base import QLearningAlgoBase
from d3rlpy.algos.transformer.base import TransformerAlgoBase
from d3rlpy.constants import ActionSpace as ActionKind
from d3rlpy.preprocessing import StandardObservationScaler
from jaxtyping import Float32, Int64

from frl_algos.input_checks import checked_for
from frl_algos.logged_data.replay import FactoredReplayBuffer, factored_buffer
from frl_algos.policies.relaxed_actions import RelaxedReplayBuffer, relax
from frl_algos.policies.stock import STOCK, StockAlgorithm, set_scaler, whole_epochs
from frl_algos.policies.valid_maxima import keep_maxima_valid
from frl_env.actions import ActionSpace
from frl_env.errors import UserError

REFUSED = {
    "prdc": "it looks for neighbours among d3rlpy's own transitions, which a factored buffer does not keep",
    "cal_ql": "it needs the rewards to go of d3rlpy's own transitions, which a factored buffer does not keep",
    "bear": "it draws candidates anew whenever it is asked, so that its greedy policy is another one each time",
    "crr": "it draws candidates anew whenever it is asked, so that its greedy policy is another one each time",
    "random_policy": "it learns nothing; the reference `random` of the benchmark draws valid actions",
    "discrete_random_policy": "it learns nothing; the reference `random` of the benchmark draws valid actions",
}
"""Algorithms of d3rlpy, by `get_type`, that can't be trained or asked here, and why."""


def adapt(offered: Any, action_space: ActionSpace) -> Any:
    """An algorithm ready for `fit(buffer, ...)`, from what somebody's module offers.

    Args:
        offered: An algorithm, a configuration with `create()`, or a class or function that gives either without
            arguments.
        action_space: The actions it will be trained on.

    Returns:
        The algorithm itself where it needs no help; else wrapped.

    Raises:
        UserError: If it has no `fit` or no `predict`, can't be made, or is one of d3rlpy's that can't be used here.
    """
    made = offered
    try:
        if isinstance(made, type) or not (hasattr(made, "create") or hasattr(made, "fit")):
            made = made()
        if hasattr(made, "create"):
            made = made.create()
    except Exception as problem:
        raise UserError(
            f"{_name(offered)} can't be made without arguments ({type(problem).__name__}: {problem})"
        ) from problem
    if isinstance(made, TransformerAlgoBase):
        raise UserError(
            f"{_name(offered)} can't be used here: a Decision Transformer acts on a history and a return to aim at, "
            "and is asked here for the action of a state; fit it with d3rlpy itself, to the same buffer"
        )
    missing = [method for method in ("fit", "predict") if not callable(getattr(made, method, None))]
    if missing:
        raise UserError(
            f"{_name(offered)} has no {' and no '.join(missing)}; it needs fit(buffer, ...) and predict(observations)"
        )
    if not isinstance(made, QLearningAlgoBase):
        return made
    if hasattr(made, "predict_probabilities"):  # it knows factored actions itself
        scales = any(each.__module__.startswith("frl_algos.") for each in type(made).__mro__)
        return (
            made
            if scales or made.impl is not None or made.config.observation_scaler
            else OwnProbabilities(made, action_space)
        )
    if why := REFUSED.get(made.config.get_type()):
        raise UserError(f"{_name(offered)} can't be used here: {why}; choose another algorithm")
    if made.config.get_type() in STOCK:
        return StockAlgorithm(made, action_space)
    return ScaledAlgorithm(made, action_space)


def modes(algorithm: Any) -> tuple[str, ...]:
    """The modes of `frl_algos.policies.policy.LearnedPolicy` that an algorithm can serve."""
    own = getattr(algorithm, "modes", None)
    if own is not None:
        return tuple(own)
    draws = hasattr(algorithm, "predict_probabilities") or hasattr(algorithm, "draw")
    return ("stochastic", "greedy") if draws else ("greedy",)


class OwnProbabilities:
    """A d3rlpy algorithm of somebody else's with probabilities of its own: observations scaled as everybody's.

    All that it has besides is asked of it as it is. d3rlpy's own methods scale by `config.observation_scaler`; what was
    written anew has to do so, too, or its networks are asked in other units than they learned in. So probabilities are
    tried out once, with another scaler.

    Args:
        algorithm: A d3rlpy Q-learning algorithm without a scaler, untrained.
        action_space: Its actions.
    """

    def __init__(self, algorithm: Any, action_space: ActionSpace) -> None:
        """Keeps the algorithm."""
        self.algorithm = algorithm
        self._action_space = action_space
        self._tried = False

    def __getattr__(self, name: str) -> Any:
        """Whatever the algorithm has."""
        if name == "algorithm":  # a copy that is being made has none yet
            raise AttributeError(name)
        return getattr(self.algorithm, name)

    def fit(self, buffer: Any, **options: Any) -> Any:
        """The algorithm's; the observation scaler is set from the buffer."""
        buffer = factored_buffer(buffer, self._action_space, "", self.algorithm.impl)
        set_scaler(self.algorithm.config, buffer)
        return self.algorithm.fit(buffer, **options)

    def predict_probabilities(self, observations: Float32[np.ndarray, "n k"]) -> Float32[np.ndarray, "n joint"]:
        """The algorithm's probabilities of all joint actions.

        Raises:
            UserError: If they depend on the observations, but not on how these are scaled.
        """
        answer = self.algorithm.predict_probabilities(observations)
        if not self._tried:
            self._try(observations, np.asarray(answer))
        return answer

    def _try(self, observations: np.ndarray, answer: np.ndarray) -> None:
        """Refuses an algorithm whose answers are the same whatever scaler it has: it forgets to scale."""
        config = self.algorithm.config
        scaler = config.observation_scaler
        if scaler is None or (answer == answer[:1]).all() or np.isin(answer, (0.0, 1.0)).all():
            return  # tells nothing: all alike, or what is likeliest and nothing else
        try:
            config.observation_scaler = StandardObservationScaler(mean=scaler.mean + scaler.std, std=3 * scaler.std)
            other = self.algorithm.predict_probabilities(observations)
        finally:
            config.observation_scaler = scaler
        if np.array_equal(answer, other):
            raise UserError(
                f"{type(self.algorithm).__name__} learned from scaled observations, and its predict_probabilities asks "
                "about raw ones; pass them through self.config.observation_scaler.transform first, or give the "
                "configuration a scaler of your own"
            )
        self._tried = True


class ScaledAlgorithm:
    """A d3rlpy algorithm of somebody else's: observations scaled as everybody's, actions relaxed for a continuous one.

    Of a discrete one, Q functions and policies of d3rlpy's kinds are masked (`frl_algos.policies.valid_maxima`).

    Args:
        algorithm: A d3rlpy Q-learning algorithm, untrained.
        action_space: Its actions.
    """

    modes = ("greedy",)

    def __init__(self, algorithm: Any, action_space: ActionSpace) -> None:
        """Keeps the algorithm."""
        self.algorithm = algorithm
        self.action_space = action_space
        self.batch_size = algorithm.batch_size
        self.relaxed = algorithm.get_action_type() is ActionKind.CONTINUOUS

    def fit(self, buffer: FactoredReplayBuffer, **options: Any) -> list[tuple[int, dict[str, float]]]:
        """d3rlpy's `fit`; the observation scaler is set from the buffer if there is none."""
        buffer = factored_buffer(buffer, self.action_space, "", self.algorithm.impl)
        set_scaler(self.algorithm.config, buffer)
        if self.relaxed:
            return self.algorithm.fit(RelaxedReplayBuffer(buffer), **whole_epochs(options))
        if self.algorithm.impl is None:
            self.algorithm.build_with_dataset(buffer)
        keep_maxima_valid(self.algorithm.impl, buffer.action_space)
        return self.algorithm.fit(buffer, **whole_epochs(options))

    def predict(self, x: Float32[np.ndarray, "n k"]) -> Int64[np.ndarray, "n"]:
        """Joint actions; of a continuous algorithm, the valid one nearest to what it proposes.

        Raises:
            UserError: If a discrete algorithm chooses actions that are not valid, it is not trained, the shape is
                wrong, or a number is not finite.
        """
        seen = checked_for(self.algorithm.impl, x)
        with torch.no_grad():
            chosen = self.algorithm.predict(seen)
        if not self.relaxed:
            joints = np.asarray(chosen, dtype=np.int64)
            if not self.action_space.valid[joints].all():
                raise invalid_choices(int((~self.action_space.valid[joints]).sum()), len(joints))
            return joints
        valid = self.action_space.valid_joints
        return valid[(chosen @ relax(self.action_space)[valid].T).argmax(axis=1)]

    def save(self, file: str) -> None:
        """Saves d3rlpy's model."""
        self.algorithm.save(file)


def invalid_choices(invalid: int, joints: int, method: str = "predict") -> UserError:
    """Error for an algorithm that chooses actions that don't exist."""
    return UserError(
        f"{method} gives {invalid} of {joints} actions that are not valid; "
        "choose among buffer.action_space.valid_joints"
    )


def _name(offered: Any) -> str:
    return getattr(offered, "__name__", type(offered).__name__)

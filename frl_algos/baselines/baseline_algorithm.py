"""What the baselines share: settings, and the face of a d3rlpy algorithm that knows factored actions.

A baseline is a configuration that makes an implementation (`make_impl`): networks, one update, and a policy over joint
actions. Data, scaling of observations, saving and loading are here.
"""

import dataclasses
import math
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import torch
from d3rlpy.algos.qlearning.base import QLearningAlgoImplBase
from d3rlpy.base import LearnableConfig
from d3rlpy.optimizers import OptimizerWrapper
from jaxtyping import Float, Float32, Int
from torch import Tensor, nn

from frl_algos.factored_algorithm import FactoredAlgorithm
from frl_algos.input_checks import check_updates, checked_uniform
from frl_algos.logged_data.replay import FactoredReplayBuffer, factored_buffer
from frl_algos.policies.stock import set_scaler
from frl_algos.threads import steps_as_trained
from frl_env.actions import ActionSpace
from frl_env.errors import UserError, make_plain
from frl_env.kinds import check_kinds

STATES_AT_ONCE = 512
"""States whose probabilities are computed at once."""


@dataclasses.dataclass(kw_only=True)
class BaselineConfig(LearnableConfig):
    """Settings that every baseline has.

    Args:
        batch_size: Rows a mini-batch.
        gamma: Discount a step.
        learning_rate: Of every network.
        hidden_size: Units of each of the two hidden layers of every network.
        action_schema: `ActionSpace.to_json` of the actions; taken from the replay buffer when empty.
        observation_scaler: Fitted to the dataset when None.
    """

    batch_size: int = 512
    gamma: float = 0.99
    learning_rate: float = 3e-4
    hidden_size: int = 128
    action_schema: str = ""

    stochastic: ClassVar[bool] = True
    """Whether there is a policy to draw from; else it is scored greedily only."""

    def __post_init__(self) -> None:
        """Checks the settings.

        Raises:
            UserError: If one is out of range.
        """
        check_kinds(self)
        for name, value in vars(self).items():
            if name == "gamma":
                if not 0 <= value <= 1:
                    raise UserError(f"gamma must lie in 0..1, not {value}")
            elif isinstance(value, Real) and not (isinstance(value, bool) or (math.isfinite(value) and value > 0)):
                raise UserError(f"{name} must be positive, not {value}")
        make_plain(self, *vars(self))

    def create(self, device: Any = False, enable_ddp: bool = False) -> "Baseline":
        """The algorithm with these settings.

        Raises:
            UserError: If it is to share its training with other processes.
        """
        if enable_ddp:
            raise UserError("a baseline is trained by one process; leave enable_ddp out")
        return Baseline(dataclasses.replace(self), device, enable_ddp)

    def make_impl(self, observation_size: int, space: ActionSpace, device: str) -> "BaselineImpl":
        """Networks and update for an action space."""
        raise NotImplementedError


class BaselineImpl(QLearningAlgoImplBase):
    """One update and a policy; networks are in `modules`."""

    def __init__(
        self, config: BaselineConfig, observation_size: int, space: ActionSpace, modules: Any, device: str
    ) -> None:
        """Keeps networks and settings."""
        super().__init__((observation_size,), space.n_joint, modules, device)
        self._settings = config

    def prepare(self, buffer: FactoredReplayBuffer) -> None:
        """Takes what it needs to know of the dataset before training."""

    def log_probabilities(self, x: Float[Tensor, "batch k"]) -> Float[Tensor, "batch valid"]:
        """Log-probability of each valid joint action in each state."""
        raise NotImplementedError

    def inner_sample_action(self, x: Any) -> Int[Tensor, "batch"]:
        """A draw with torch's global generator."""
        return self.draw(x, torch.rand(len(x), device=x.device, dtype=torch.float64))

    def draw(self, x: Float[Tensor, "batch k"], uniform: Float[Tensor, "batch"]) -> Int[Tensor, "batch"]:
        """Joint actions by one uniform number a state; the best where there is no policy to draw from."""
        raise NotImplementedError


class Baseline(FactoredAlgorithm[BaselineImpl, BaselineConfig]):
    """A baseline as a d3rlpy algorithm over joint indices; see `BaselineConfig`."""

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes of `frl_algos.policies.policy.LearnedPolicy` it can serve."""
        return ("stochastic", "greedy") if self._config.stochastic else ("greedy",)

    def inner_create_impl(self, observation_shape: Any, action_size: int) -> None:
        """Builds the networks."""
        if self.action_space.n_joint != action_size:
            raise UserError(f"{self.action_space} does not fit {action_size} joint actions")
        size = observation_shape if isinstance(observation_shape, int) else int(observation_shape[0])
        self._impl = self._config.make_impl(size, self.action_space, self._device)

    def copy_policy_from(self, algo: Any) -> None:
        """Refuses: a policy goes with its scales, and one optimiser moves all networks."""
        raise UserError("baselines copy nothing of each other; save the other one, and load it with load_learnable")

    copy_policy_optim_from = copy_q_function_from = copy_q_function_optim_from = copy_policy_from

    @steps_as_trained
    def fitter(  # type: ignore[override] - same arguments, passed on by name
        self, dataset: Any, n_steps: int, n_steps_per_epoch: int = 10_000, **options: Any
    ) -> Any:
        """d3rlpy's; an epoch is no longer than the training.

        Args:
            dataset: From `load_replay_buffer`, or any d3rlpy replay buffer of joint indices when the configuration
                has an action schema.
            n_steps: Updates in all.
            n_steps_per_epoch: Updates an epoch.
            options: d3rlpy's other arguments.

        Raises:
            UserError: If the buffer has other actions than those it was made for, or nothing says which it has, or a
                number of updates is no whole number from 1.
        """
        check_updates(n_steps, n_steps_per_epoch)
        buffer = self._prepare(dataset)
        yield from super().fitter(buffer, n_steps=n_steps, n_steps_per_epoch=min(n_steps, n_steps_per_epoch), **options)

    def _prepare(self, dataset: Any) -> FactoredReplayBuffer:
        space = self.action_space if self._config.action_schema else None
        way_out = "set action_schema=space.to_json() in the configuration"
        buffer = factored_buffer(dataset, space, way_out, self._impl)
        self._config.action_schema = buffer.action_space.to_json()
        set_scaler(self._config, buffer)
        if self._impl is None:
            self.create_impl(buffer.observations.shape[1:], buffer.action_space.n_joint)
        assert self._impl is not None
        self._impl.prepare(buffer)
        return buffer

    def predict_probabilities(self, observations: Float32[np.ndarray, "n k"]) -> Float32[np.ndarray, "n joint"]:
        """Exact probabilities of all joint actions; 0 for invalid ones.

        Raises:
            UserError: If it is not trained, the shape is wrong, or a number is not finite.
        """
        x = self._scaled(observations)
        space = self.action_space
        full = np.zeros((len(x), space.n_joint), dtype=np.float32)
        with torch.no_grad():
            for start in range(0, len(x), STATES_AT_ONCE):
                states = slice(start, start + STATES_AT_ONCE)
                full[states, space.valid_joints] = self._require_impl().log_probabilities(x[states]).exp().cpu().numpy()
        return full

    def draw(self, observations: Float32[np.ndarray, "n k"], uniform: Float32[np.ndarray, "n 2"]) -> np.ndarray:
        """Joint actions drawn from the policy with the caller's randomness, `(n,)`."""
        # Two numbers of 24 random bits make one of 48: enough for many factors in turn.
        x = self._scaled(observations)
        numbers = checked_uniform(uniform, len(x)).astype(np.float64)
        fine = (numbers[:, 0] + numbers[:, 1] * 2.0**-24).clip(max=1)
        with torch.no_grad():
            drawn = self._require_impl().draw(x, torch.as_tensor(fine, device=self._device))
        return drawn.cpu().numpy()

    def _scaled(self, observations: np.ndarray) -> Float[Tensor, "n k"]:
        x = torch.as_tensor(self._checked(observations), device=self._device)
        scaler = self._config.observation_scaler
        return x if scaler is None else scaler.transform(x)


def optimiser(networks: list[nn.Module], learning_rate: float) -> OptimizerWrapper:
    """Adam over the parameters that are learned; one kernel over all of them."""
    parameters = [p for network in networks for p in network.parameters() if p.requires_grad]
    adam = torch.optim.Adam(parameters, lr=learning_rate, fused=True)
    return OptimizerWrapper(parameters, adam, compiled=False)

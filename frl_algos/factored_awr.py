"""FactoredAWR: advantage-weighted regression over factored actions, as a d3rlpy algorithm.

The learned policy is

    pi(a | s)  proportional to  pi_b(a | s) * exp( A(s, a) / (temperature * sd(A)) )    on supported actions,

the exact solution of the regression that AWR (Peng et al., 2019) approximates by weighting samples. pi_b is a clone of
the behaviour policy, an exact softmax over all valid joint actions with learned level embeddings; A is a *learned*
advantage, not a raw return, centred under pi_b and standardised by its own spread over the whole dataset. Numbered
deviations from the paper stand in `docs/factored_awr.md`.
"""

import dataclasses
import math
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import torch
from d3rlpy.algos.qlearning.base import QLearningAlgoBase
from d3rlpy.base import LearnableConfig, register_learnable
from d3rlpy.constants import ActionSpace as ActionKind
from d3rlpy.preprocessing import StandardObservationScaler

from frl_algos.implementation import FactoredAWRImpl, create_modules
from frl_algos.replay import FactoredReplayBuffer
from frl_algos.targets import critic_targets
from frl_env.actions import ActionSpace
from frl_env.errors import UserError

POSITIVE = (
    "batch_size",
    "learning_rate",
    "critic_learning_rate",
    "embedding_size",
    "hidden_size",
    "critic_embedding_size",
    "critic_hidden_size",
    "n_critics",
    "temperature",
    "max_weight",
)

STANDARDISE_ROWS = 4_000
"""Rows of the dataset, drawn once, over which the advantage is standardised."""


@dataclasses.dataclass(kw_only=True)
class FactoredAWRConfig(LearnableConfig):
    """Settings of FactoredAWR.

    Args:
        batch_size: Rows a mini-batch.
        gamma: Discount a step.
        observation_scaler: Fitted to the dataset when None.
        learning_rate: Of the cloned policy and the values.
        critic_learning_rate: Of the advantage and response models; small, as their signal is weak.
        critic_weight_decay: Decoupled weight decay of the same.
        embedding_size: Length of the policy's level embeddings.
        hidden_size: Units of the policy's and the values' state encoders.
        critic_embedding_size, critic_hidden_size: The same for the advantage and response models.
        n_critics: Advantage models, each trained on its own bootstrap sample of episodes.
        pessimism: The advantage used is their mean minus this many of their standard deviations.
        td_lambda: Credit for a reward k steps ahead falls as (gamma * td_lambda) ** k.
        temperature: How far the policy moves along the standardised advantage; smaller moves further.
        extraction: "closed_form" (the formula above) or "regression" (weighted log-likelihood, as in the paper).
        max_weight: Clip of the regression weights.
        support_threshold: Actions whose cloned probability is below are not supported: never chosen.
        response: Index of an observation whose next value is positive when an action got a response (a contact that
            reached the member); the advantage is then estimated against attempts without one. The less else makes
            that observation positive, the less bias. None: there is no such observation.
        action_schema: `ActionSpace.to_json` of the actions; taken from the replay buffer when empty.
    """

    batch_size: int = 512
    gamma: float = 0.99
    learning_rate: float = 1e-3
    critic_learning_rate: float = 3e-5
    critic_weight_decay: float = 0.1
    embedding_size: int = 32
    hidden_size: int = 128
    critic_embedding_size: int = 32
    critic_hidden_size: int = 32
    n_critics: int = 5
    pessimism: float = 1.0
    td_lambda: float = 0.97
    temperature: float = 0.3
    extraction: str = "closed_form"
    max_weight: float = 20.0
    support_threshold: float = 1e-6
    response: int | None = None
    action_schema: str = ""

    def __post_init__(self) -> None:
        """Checks every number.

        Raises:
            UserError: If a setting is out of range.
        """
        if self.extraction not in ("closed_form", "regression"):
            raise UserError(f"extraction must be 'closed_form' or 'regression', not {self.extraction!r}")
        for name in POSITIVE:
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise UserError(f"{name} must be positive, not {getattr(self, name)}")
        for name in ("pessimism", "critic_weight_decay"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise UserError(f"{name} must not be negative, not {getattr(self, name)}")
        if not 0 <= self.support_threshold < 1:
            raise UserError(f"support_threshold must lie in 0..1, below 1, not {self.support_threshold}")
        if self.reward_scaler is not None:
            raise UserError("FactoredAWR scales returns over the whole dataset itself; leave reward_scaler out")
        for name in ("gamma", "td_lambda"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name} must lie in 0..1, not {getattr(self, name)}")

    def create(self, device: Any = False, enable_ddp: bool = False) -> "FactoredAWR":
        """The algorithm with these settings."""
        # A copy: fitting fills in scaler and action schema, and the next algorithm from this configuration must not
        # inherit them.
        return FactoredAWR(dataclasses.replace(self), device, enable_ddp)

    @staticmethod
    def get_type() -> str:
        """Name in saved files."""
        return "factored_awr"


class FactoredAWR(QLearningAlgoBase[FactoredAWRImpl, FactoredAWRConfig]):
    """Advantage-weighted regression over factored actions; see the module and `FactoredAWRConfig`.

    `predict` returns, for each state, the supported joint action with the largest advantage, found among all valid
    ones (the limit of temperature 0); `sample_action` draws from the policy. Both give joint indices, as d3rlpy's
    discrete algorithms do; `action_space.unravel` turns them into levels.
    """

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

    def inner_create_impl(self, observation_shape: Any, action_size: int) -> None:
        """Builds the networks."""
        space = self.action_space
        if space.n_joint != action_size:
            raise UserError(f"{space} does not fit {action_size} joint actions")
        config = self._config
        modules = create_modules(
            observation_size=int(observation_shape[0]),
            space=space,
            config=config,
            device=self._device,
        )
        self._impl = FactoredAWRImpl(
            observation_shape=observation_shape,
            action_size=action_size,
            modules=modules,
            config=config,
            device=self._device,
        )

    def fitter(  # type: ignore[override] - same arguments, passed on by name
        self,
        dataset: Any,
        n_steps: int,
        n_steps_per_epoch: int = 10_000,
        epoch_callback: Callable[[Any, int, int], None] | None = None,
        **options: Any,
    ) -> Generator[tuple[int, dict[str, float]], None, None]:
        """Trains and yields (epoch, metrics) after every epoch; see d3rlpy's `fitter` for all arguments.

        Args:
            dataset: From `load_replay_buffer`, or any d3rlpy replay buffer of joint indices when the configuration
                has an action schema.
            n_steps: Updates in all.
            n_steps_per_epoch: Updates an epoch; lowered to `n_steps` when that is smaller, where d3rlpy would
                train nothing.
            epoch_callback: Called after every epoch, before the model is saved.
            options: d3rlpy's other arguments.
        """
        if n_steps < 1:
            raise UserError(f"n_steps must be at least 1, not {n_steps}")
        buffer = self._prepare(dataset)

        def after_epoch(algo: Any, epoch: int, step: int) -> None:
            assert self._impl is not None
            self._impl.standardise()
            if epoch_callback is not None:
                epoch_callback(algo, epoch, step)

        yield from super().fitter(
            buffer,
            n_steps=n_steps,
            n_steps_per_epoch=min(n_steps, n_steps_per_epoch),
            epoch_callback=after_epoch,
            **options,
        )

    def predict_probabilities(self, observations: np.ndarray, temperature: float | None = None) -> np.ndarray:
        """Exact probabilities of all joint actions.

        Args:
            observations: `(n, k)`, raw units.
            temperature: Instead of the configured one; closed form only.

        Returns:
            `(n, n_joint)` float32 in joint order; invalid actions are 0, rows sum to 1.

        Raises:
            UserError: If the shape is wrong, a number is not finite, or the temperature does not apply.
        """
        impl = self._require_impl()
        if temperature is not None and not (math.isfinite(temperature) and temperature > 0):
            raise UserError(f"temperature must be positive, not {temperature}")
        if temperature is not None and self._config.extraction == "regression":
            raise UserError("a policy extracted by regression has the temperature it was trained with; pass none")
        x = torch.as_tensor(self._scaled(self._checked(observations)), device=self._device)
        with torch.no_grad():
            valid = impl.log_probabilities(x, temperature).exp()
        full = torch.zeros(len(x), impl.action_size, device=valid.device)
        full[:, impl.modules.clone.action_encoder.joints] = valid
        return full.cpu().numpy()

    def predict(self, x: Any) -> np.ndarray:
        """Greedy joint actions; see d3rlpy."""
        return super().predict(self._checked(x))

    def sample_action(self, x: Any) -> np.ndarray:
        """Joint actions drawn from the policy with torch's global generator; see d3rlpy."""
        return super().sample_action(self._checked(x))

    def predict_value(self, x: Any, action: Any) -> np.ndarray:
        """Credit-weighted value of joint actions, in units of reward; see d3rlpy."""
        observations = self._checked(x)
        joints = np.asarray(action)
        if joints.shape not in ((len(observations),), (len(observations), 1)):
            raise UserError(f"actions must be {len(observations)} joint indices, one a state, not shape {joints.shape}")
        self.action_space.unravel(joints)
        return super().predict_value(observations, joints.reshape(-1))

    def _prepare(self, dataset: Any) -> FactoredReplayBuffer:
        if isinstance(dataset, FactoredReplayBuffer):
            buffer = dataset
            schema = buffer.action_space.to_json()
            if self._config.action_schema not in ("", schema):
                raise UserError(
                    f"the algorithm was made for {self.action_space}, the dataset has {buffer.action_space}"
                )
            self._config.action_schema = schema
        else:
            buffer = FactoredReplayBuffer.from_replay_buffer(dataset, self.action_space)
        if self._config.observation_scaler is None:
            self._config.observation_scaler = StandardObservationScaler(
                mean=buffer.observations.mean(axis=0, dtype=np.float64),
                std=buffer.observations.std(axis=0, dtype=np.float64),
            )
        if self._impl is None:
            self.create_impl(buffer.observations.shape[1:], buffer.action_space.n_joint)
        assert self._impl is not None
        rows = np.random.default_rng(0).permutation(buffer.transition_count)[:STANDARDISE_ROWS]
        sample = torch.as_tensor(self._scaled(buffer.observations[rows]), device=self._device)
        self._impl.set_targets(
            critic_targets(
                buffer,
                self._scaled(buffer.observations),
                decay=self._config.gamma * self._config.td_lambda,
                response=self._config.response,
            ),
            sample,
            seed=buffer.seed,
        )
        return buffer

    def _scaled(self, observations: np.ndarray) -> np.ndarray:
        scaler = self._config.observation_scaler
        return observations if scaler is None else scaler.transform_numpy(observations).astype(np.float32)

    def _checked(self, observations: Any) -> np.ndarray:
        size = self._require_impl().observation_shape[0]
        array = np.asarray(observations, dtype=np.float32)
        if array.ndim != 2 or array.shape[1] != size:
            raise UserError(f"observations must have shape (n, {size}), not {array.shape}")
        bad = ~np.isfinite(array).all(axis=1)
        if bad.any():
            raise UserError(
                f"{int(bad.sum())} of {len(array)} observations hold NaN or infinite numbers; fill or drop them"
            )
        return array

    def _require_impl(self) -> FactoredAWRImpl:
        if self._impl is None:
            raise UserError("the algorithm is not trained yet; call fit or load a model first")
        return self._impl


register_learnable(FactoredAWRConfig)

"""Stock d3rlpy algorithms on factored actions, from the same replay buffer as FactoredAWR.

Discrete algorithms (DiscreteBC, DiscreteCQL, DiscreteBCQ, DiscreteSAC, DQN, DoubleDQN, NFQ) see one action of `n_joint`
values: the joint index.
Stock IQL and AWAC are continuous only; they get the relaxation of `frl_algos.policies.relaxed_actions`, and their
results are to be named as what they are: "IQL (stock, 31-d relaxation)".

Everything that chooses an action here looks at valid joint actions only, and so do the maxima of training
(`frl_algos.policies.valid_maxima`); the rest of it is d3rlpy's own.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from d3rlpy.algos import (
    AWACConfig,
    DiscreteBCConfig,
    DiscreteBCQConfig,
    DiscreteCQLConfig,
    DiscreteSACConfig,
    DoubleDQNConfig,
    DQNConfig,
    IQLConfig,
    NFQConfig,
)
from d3rlpy.constants import ActionSpace as ActionKind
from d3rlpy.dataset import ReplayBuffer
from d3rlpy.models import VectorEncoderFactory
from d3rlpy.models.torch.policies import CategoricalPolicy
from d3rlpy.preprocessing import StandardObservationScaler
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from frl_algos.input_checks import check_updates, checked_for, checked_joints, checked_uniform
from frl_algos.logged_data.replay import FactoredReplayBuffer, factored_buffer
from frl_algos.policies.policy import draw_from
from frl_algos.policies.relaxed_actions import RelaxedReplayBuffer, relax
from frl_algos.policies.valid_maxima import keep_maxima_valid
from frl_algos.threads import as_trained
from frl_env.actions import ActionSpace
from frl_env.errors import UserError, unknown_name

STOCK: dict[str, Any] = {
    "discrete_bc": DiscreteBCConfig,
    "discrete_cql": DiscreteCQLConfig,
    "discrete_bcq": DiscreteBCQConfig,
    "discrete_sac": DiscreteSACConfig,
    "dqn": DQNConfig,
    "double_dqn": DoubleDQNConfig,
    "nfq": NFQConfig,
    "iql": IQLConfig,
    "awac": AWACConfig,
}
"""d3rlpy's own name of an algorithm (`get_type`) to its configuration."""

DRAWN = ("discrete_bc", "discrete_sac")
"""Discrete algorithms that have probabilities of actions."""

CHUNK = 1_024
"""States asked at a time: their scores of 1,080 actions take 4 MB."""


class StockAlgorithm:
    """A stock d3rlpy algorithm behind FactoredAWR's interface: factored buffers in, valid joint actions out.

    Args:
        algorithm: Of a class in `STOCK`: made by hand, or from `d3rlpy.load_learnable`.
        action_space: Its actions; taken from the buffer at `fit` when None.

    Raises:
        UserError: If the algorithm is none of `STOCK`, or BCQ's `action_flexibility` is no share.
    """

    def __init__(self, algorithm: Any, action_space: ActionSpace | None = None) -> None:
        """Keeps the algorithm."""
        self.name = algorithm.config.get_type()
        if self.name not in STOCK:
            raise unknown_name("stock algorithm", self.name, STOCK)
        flexibility = getattr(algorithm.config, "action_flexibility", 1.0)
        if self.name == "discrete_bcq" and not 0 < flexibility <= 1:
            # d3rlpy takes any number; above 1 no action is likely enough, and the first one is taken everywhere
            raise UserError(
                f"action_flexibility must be above 0 and at most 1, not {flexibility}; BCQ keeps the actions at least "
                "so likely, against the likeliest; double_dqn keeps all"
            )
        self.algorithm = algorithm
        self.batch_size = algorithm.batch_size
        self._action_space = action_space

    @property
    def relaxed(self) -> bool:
        """Whether it is continuous and sees relaxed actions."""
        return self.algorithm.get_action_type() is ActionKind.CONTINUOUS

    @property
    def label(self) -> str:
        """What to call it in a table."""
        label = type(self.algorithm).__name__
        return f"{label} (stock, {sum(self.action_space.nvec)}-d relaxation)" if self.relaxed else f"{label} (stock)"

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes of `frl_algos.policies.policy.LearnedPolicy` it can serve."""
        return ("stochastic", "greedy") if self.relaxed or self.name in DRAWN else ("greedy",)

    @property
    def action_space(self) -> ActionSpace:
        """Names and validity of the actions.

        Raises:
            UserError: If it was neither fitted nor given any.
        """
        if self._action_space is None:
            raise UserError("the algorithm knows no actions yet; fit it, or pass action_space")
        return self._action_space

    @as_trained()
    def fit(self, buffer: Any, **options: Any) -> list[tuple[int, dict[str, float]]]:
        """d3rlpy's `fit` with its own options; the observation scaler is set from the buffer if there is none.

        Torch runs on one thread the while, unless `frl_algos.training_threads` asks for more.

        Args:
            buffer: From `load_replay_buffer`, or any d3rlpy replay buffer of joint indices where the algorithm was
                given an action space.
            options: Of d3rlpy; `n_steps_per_epoch` is lowered to `n_steps` when that is smaller, where d3rlpy would
                train nothing.

        Raises:
            UserError: If updates are no whole number from 1, nothing says what the actions are, they are others than
                before, or there are too many joint actions for an output each.
        """
        way_out = "pass action_space to create_stock or StockAlgorithm"
        buffer = factored_buffer(buffer, self._action_space, way_out, self.algorithm.impl)
        buffer.action_space.check_listable()
        self._action_space = buffer.action_space
        set_scaler(self.algorithm.config, buffer)
        if not self.relaxed:
            if self.algorithm.impl is None:
                self.algorithm.build_with_dataset(buffer)
            keep_maxima_valid(self.algorithm.impl, buffer.action_space)
        return self.algorithm.fit(self.view(buffer), **whole_epochs(options))

    def view(self, buffer: FactoredReplayBuffer) -> ReplayBuffer:
        """What the algorithm trains on: the buffer, or its relaxation."""
        return RelaxedReplayBuffer(buffer) if self.relaxed else buffer

    def predict(self, x: Float32[np.ndarray, "n k"]) -> Int64[np.ndarray, "n"]:
        """The best valid joint action of each state, by the algorithm's own rule."""
        # NumPy's argmax: on a processor torch's takes as long as the network.
        return np.concatenate([each.cpu().numpy().argmax(axis=1) for each in self._score_chunks(x)])

    def draw(
        self, observations: Float32[np.ndarray, "n k"], uniform: Float32[np.ndarray, "n 2"]
    ) -> Int64[np.ndarray, "n"]:
        """Joint actions drawn from the algorithm's own policy: softmax of a discrete one, Gaussian of IQL and AWAC.

        The uniform numbers decide: the first of each state by the inverse of the cumulative probabilities, or all
        together as the seed of the normal numbers that d3rlpy draws.

        Raises:
            UserError: If the algorithm has no policy to draw from, or as `predict_value` does.
        """
        uniform = checked_uniform(uniform, len(observations))
        if self.relaxed:
            seed = int(np.ascontiguousarray(uniform).view(np.uint32).sum(dtype=np.uint64) % 2**63)
            with torch.random.fork_rng(devices=[]), torch.no_grad():
                torch.manual_seed(seed)
                proposed = self.algorithm.impl.inner_sample_action(self._scaled(observations))
            return np.concatenate(
                [
                    (part @ self._corners + self._only_valid).cpu().numpy().argmax(axis=1)
                    for part in proposed.split(CHUNK)
                ]
            )
        return draw_from(self.predict_probabilities(observations), uniform[:, 0])

    def predict_probabilities(self, observations: Float32[np.ndarray, "n k"]) -> Float32[np.ndarray, "n joint"]:
        """Probabilities of all joint actions: the softmax over the valid ones, 0 elsewhere.

        Raises:
            UserError: If the algorithm has none.
        """
        if self.name not in DRAWN:
            raise UserError(f"{self.label} has no probabilities of actions; use it in greedy mode")
        full = np.empty((len(observations), self.action_space.n_joint), dtype=np.float32)
        start = 0
        for scores in self._score_chunks(observations):
            full[start : start + len(scores)] = torch.softmax(scores, dim=1).cpu().numpy()
            start += len(scores)
        return full

    def predict_value(self, x: Float32[np.ndarray, "n k"], action: Int64[np.ndarray, "n"]) -> Float32[np.ndarray, "n"]:
        """Value of valid joint actions by the algorithm's own critic; cloning has none, as in d3rlpy.

        Raises:
            UserError: If it is not trained, a shape is wrong, a number is not finite, or an action is not valid.
        """
        seen = checked_for(self.algorithm.impl, x)
        joints = checked_joints(action, len(seen), self.action_space)
        return self.algorithm.predict_value(seen, relax(self.action_space)[joints] if self.relaxed else joints)

    @property
    def gamma(self) -> float:
        """Discount a step."""
        return self.algorithm.gamma

    @property
    def reward_scaler(self) -> Any:
        """d3rlpy's, None without."""
        return self.algorithm.reward_scaler

    def save(self, file: str) -> None:
        """Saves d3rlpy's model; `StockAlgorithm(d3rlpy.load_learnable(file), action_space)` reads it."""
        self.algorithm.save(file)

    @cached_property
    def _only_valid(self) -> Float[Tensor, "joint"]:
        """What is added to scores: 0 for valid actions, minus infinity for others."""
        added = np.where(self.action_space.valid, 0.0, -np.inf).astype(np.float32)
        return torch.as_tensor(added, device=self.algorithm.impl.device)

    @cached_property
    def _corners(self) -> Float[Tensor, "level joint"]:
        return torch.as_tensor(relax(self.action_space), device=self.algorithm.impl.device).T

    def _scaled(self, observations: np.ndarray) -> Tensor:
        seen = checked_for(self.algorithm.impl, observations)
        x = torch.as_tensor(seen, device=self.algorithm.impl.device)
        scaler = self.algorithm.observation_scaler
        return x if scaler is None else scaler.transform(x)

    def _score_chunks(self, observations: np.ndarray) -> Iterator[Float[Tensor, "n joint"]]:
        """Scores of a few states at a time, which stay in the processor's cache; minus infinity where not valid."""
        with torch.no_grad():
            for x in self._scaled(observations).split(CHUNK):
                yield self._scores(x) + self._only_valid

    def _scores(self, x: Tensor) -> Float[Tensor, "n joint"]:
        """What the algorithm maximises; of actions that are not valid, whatever the network says."""
        impl = self.algorithm.impl
        if self.relaxed:
            return impl.policy(x).squashed_mu @ self._corners
        if self.name == "discrete_bc":
            return _logits(impl.modules.imitator, x)
        if self.name == "discrete_sac":
            return _logits(impl.policy, x)
        values = torch.stack([function(x).q_value for function in impl.q_function]).mean(dim=0)
        if self.name != "discrete_bcq":
            return values
        logits = _logits(impl.modules.imitator, x) + self._only_valid
        least = logits.amax(dim=1, keepdim=True) + math.log(self.algorithm.config.action_flexibility)
        return values.masked_fill(logits < least, float("-inf"))


def _logits(policy: CategoricalPolicy, x: Tensor) -> Float[Tensor, "n joint"]:
    """Logits before d3rlpy makes them a distribution, whose checks cost more than the network."""
    return policy._fc(policy._encoder(x))


def whole_epochs(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of d3rlpy's `fit` with epochs no longer than the training.

    Raises:
        UserError: If updates, in all or an epoch, are no whole number from 1.
    """
    if "n_steps" not in options:
        return dict(options)
    steps, per_epoch = options["n_steps"], options.get("n_steps_per_epoch", 10_000)
    check_updates(steps, per_epoch)
    return {**options, "n_steps_per_epoch": min(steps, per_epoch)}


def set_scaler(config: Any, buffer: FactoredReplayBuffer) -> None:
    """Sets the observation scaler of a d3rlpy configuration from a buffer, if it has none."""
    if config.observation_scaler is None:
        config.observation_scaler = StandardObservationScaler(
            mean=buffer.observations.mean(axis=0, dtype=np.float64),
            std=buffer.observations.std(axis=0, dtype=np.float64),
        )


def create_stock(
    name: str,
    *,
    action_space: ActionSpace | None = None,
    batch_size: int = 256,
    hidden_sizes: Sequence[int] = (256, 256),
    learning_rate: float | None = None,
    gamma: float = 0.99,
    observation_mean: np.ndarray | None = None,
    observation_std: np.ndarray | None = None,
    device: Any = False,
    **settings: Any,
) -> StockAlgorithm:
    """A stock algorithm by name.

    Args:
        name: A key of `STOCK`.
        action_space: Taken from the buffer at `fit` when None.
        batch_size: Rows a mini-batch.
        hidden_sizes: Units of the hidden layers of every network.
        learning_rate: Of every network; d3rlpy's own when None.
        gamma: Discount a step.
        observation_mean: Scales observations, with `observation_std`; both from the buffer at `fit` when None.
        observation_std: See `observation_mean`.
        device: d3rlpy's.
        settings: Other fields of the algorithm's d3rlpy configuration.

    Returns:
        The algorithm, untrained.

    Raises:
        UserError: If the name or a setting is unknown, or only one of mean and standard deviation is given.
    """
    if name not in STOCK:
        raise unknown_name("stock algorithm", name, STOCK)
    if (observation_mean is None) != (observation_std is None):
        raise UserError("observation_mean and observation_std go together; pass both or neither")
    fields = [field.name for field in dataclasses.fields(STOCK[name])]
    for setting in settings:
        if setting not in fields:
            raise unknown_name(f"setting of {name}:", setting, fields)
    options: dict[str, Any] = {"batch_size": batch_size, "gamma": gamma} | settings
    for field in fields:
        if field.endswith("encoder_factory"):
            options.setdefault(field, VectorEncoderFactory(list(hidden_sizes)))
        if field.endswith("learning_rate") and learning_rate is not None:
            options.setdefault(field, learning_rate)
    if observation_mean is not None:
        options["observation_scaler"] = StandardObservationScaler(mean=observation_mean, std=observation_std)
    config = STOCK[name](**{key: value for key, value in options.items() if key in fields})
    return StockAlgorithm(config.create(device=device), action_space)

"""FactoredAWR: advantage-weighted regression over factored actions, as a d3rlpy algorithm.

The learned policy follows a clone of the behaviour policy in whether to act, more or less often, and tilts what it does
by a *learned* advantage, not by raw returns:

    pi(a | s, act)  proportional to  pi_b(a | s, act) * exp( A(s, a) / (temperature * sd(A)) )    on supported actions,

the exact solution of the regression that AWR (Peng et al., 2019) approximates by weighting samples. pi_b is an exact
softmax over all valid joint actions with learned level embeddings (`networks`); A is estimated in closed form before
training starts (`action_effects`); how far to follow it and how often to act are chosen on the data alone
(`extraction`, `action_effects.action_rate`). Numbered deviations from the paper stand in `docs/factored_awr.md`.
"""

import dataclasses
import math
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import torch
from d3rlpy.base import register_learnable
from d3rlpy.constants import LoggingStrategy
from d3rlpy.logging import LOG

from frl_algos.action_effects.terms import null_position
from frl_algos.factored_awr.critic_selection.chosen_critic import Choice
from frl_algos.factored_awr.fairness_penalty import Balance, PenaltyData
from frl_algos.factored_awr.idle_settings import check_rate
from frl_algos.factored_awr.modules import create_modules
from frl_algos.factored_awr.offers_gains import OffersGains
from frl_algos.factored_awr.preparing import (
    buffer_of,
    choose_critic,
    fit_scaler,
    scaled_by,
    suited_to,
    take_over,
)
from frl_algos.factored_awr.settings import FactoredAWRSettings
from frl_algos.factored_awr.updating.fine_tuning import check_options, fine_tune
from frl_algos.factored_awr.updating.parallel import place
from frl_algos.factored_awr.updating.transfer import NO_Q_FUNCTION
from frl_algos.factored_awr.updating.update import FactoredAWRImpl
from frl_algos.input_checks import check_updates, checked_uniform
from frl_algos.logged_data.replay import FactoredReplayBuffer
from frl_algos.threads import as_trained, do_parts, steps_as_trained
from frl_env.actions import ActionSpace
from frl_env.errors import UserError, check_whole
from frl_env.evaluation.threads import numpy_alone

STATES_AT_ONCE = 512
"""States whose probabilities are computed at once: few enough for the processor's cache."""


@dataclasses.dataclass(kw_only=True)
class FactoredAWRConfig(FactoredAWRSettings):
    """Settings of FactoredAWR, and the way to the algorithm: `FactoredAWRConfig(...).create()`."""

    __doc__ = FactoredAWRSettings.__doc__  # the same arguments

    def create(self, device: Any = False, enable_ddp: bool = False) -> "FactoredAWR":
        """The algorithm with these settings."""
        # A copy: fitting fills in scaler and action schema, and the next algorithm from this configuration must not
        # inherit them.
        return FactoredAWR(dataclasses.replace(self), device, enable_ddp)

    @staticmethod
    def get_type() -> str:
        """Name in saved files."""
        return "factored_awr"


class FactoredAWR(OffersGains):
    """Advantage-weighted regression over factored actions; see the module and `FactoredAWRConfig`.

    `predict` returns, for each state, the supported joint action with the largest advantage, found among all valid
    ones (the limit of temperature 0); the likeliest one where advantages hold near the behaviour policy only, are of
    single states, or made a network of the policy's own. `sample_action` draws from the policy. Both give joint
    indices, as d3rlpy's discrete algorithms do; `action_space.unravel` turns them into levels.
    """

    @property
    def choice(self) -> Choice | None:
        """Which critic was chosen, by how much, and against what; None where nothing was to be chosen."""
        return Choice.from_json(self._config.choice) if self._config.choice else None

    def inner_create_impl(self, observation_shape: Any, action_size: int) -> None:
        """Builds the networks."""
        space = self.action_space
        if space.n_joint != action_size:
            raise UserError(f"{space} does not fit {action_size} joint actions")
        config = self._config
        self._check_space(space)
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
            enable_ddp=self._enable_ddp,
        )

    def copy_policy_from(self, algo: Any) -> None:
        """Copies the policy of another FactoredAWR, with scaler and names of its observations; see d3rlpy.

        Raises:
            UserError: If the other is of another kind or not trained, or the two differ in what the policy is made of.
        """
        self._require_impl().copy_policy_from(algo.impl)
        self._config.observation_scaler = algo.observation_scaler
        # How far the choice follows advantages also says which action is the best.
        self._config.choice = algo.config.choice
        self._config.state_names = list(algo.config.state_names) or self._config.state_names

    def copy_q_function_from(self, algo: Any) -> None:
        """Refuses: there is no Q function that is trained."""
        raise UserError(NO_Q_FUNCTION)

    def copy_q_function_optim_from(self, algo: Any) -> None:
        """Refuses: there is no Q function that is trained."""
        raise UserError(NO_Q_FUNCTION)

    @steps_as_trained
    def fitter(  # type: ignore[override] - same arguments, passed on by name
        self,
        dataset: Any,
        n_steps: int,
        n_steps_per_epoch: int = 10_000,
        epoch_callback: Callable[[Any, int, int], None] | None = None,
        logging_steps: int = 500,
        logging_strategy: LoggingStrategy = LoggingStrategy.EPOCH,
        **options: Any,
    ) -> Generator[tuple[int, dict[str, float]], None, None]:
        """Trains and yields (epoch, metrics) after every epoch; see d3rlpy's `fitter` for all arguments.

        Torch runs on one thread the while, unless `frl_algos.training_threads` asks for more.

        Args:
            dataset: From `load_replay_buffer`, or any d3rlpy replay buffer of joint indices when the configuration
                has an action schema.
            n_steps: Updates in all.
            n_steps_per_epoch: Updates an epoch; lowered to `n_steps` when that is smaller, where d3rlpy would
                train nothing.
            epoch_callback: Called after every epoch, before the model is saved.
            logging_steps: Updates a line of the log, if it is not one an epoch.
            logging_strategy: Whether the log has a line an epoch or every `logging_steps`.
            options: d3rlpy's other arguments.
        """
        check_updates(n_steps, n_steps_per_epoch)
        buffer = self._prepare(dataset)
        per_epoch = min(n_steps, n_steps_per_epoch)
        every = logging_steps if logging_strategy == LoggingStrategy.STEPS else per_epoch
        self._require_impl().log_policy(after=self._grad_step, every=every)
        if self._enable_ddp:
            buffer.split(*place())

        def after_epoch(algo: Any, epoch: int, step: int) -> None:
            assert self._impl is not None
            self._impl.calibrate()
            self._tell_balance()
            if epoch_callback is not None:
                epoch_callback(algo, epoch, step)

        yield from super().fitter(
            buffer,
            n_steps=n_steps,
            n_steps_per_epoch=per_epoch,
            epoch_callback=after_epoch,
            logging_steps=logging_steps,
            logging_strategy=logging_strategy,
            **options,
        )

    @as_trained()
    def balance(self, *, weight: float | None = None, slack: float | None = None) -> Balance:
        """Fits the fairness penalty to the policy as it is; `fit` does so after every epoch.

        With another weight or slack, the same training serves a whole frontier; nothing else of the policy changes.

        Args:
            weight: Of the penalty from now on.
            slack: Gap allowed from now on, instead of a weight; None with a weight goes back to that.

        Returns:
            What the tilt did to the members of the buffer.

        Raises:
            UserError: If the configuration has no fairness, the members are not known, or a number is out of range.
        """
        if self._config.fairness == "none":
            raise UserError("the algorithm was not told to be fair; set fairness to 'parity' or 'need' and fit again")
        if weight is not None or slack is not None:
            chosen = self._config.fairness_weight if weight is None else weight
            checked = dataclasses.replace(self._config, fairness_weight=chosen, fairness_slack=slack)
            self._config.fairness_weight, self._config.fairness_slack = checked.fairness_weight, checked.fairness_slack
        found = self._require_impl().balance()
        if found is None:
            raise UserError("the members are not in a model file; fit the algorithm, or build_with_dataset, first")
        return found

    def fit_online(  # type: ignore[override] - without the arguments that make sense for single transitions only
        self, env: Any, buffer: FactoredReplayBuffer | None = None, **options: Any
    ) -> None:
        """Acts in an environment and fits again, every epoch, to all episodes so far.

        Args:
            env: Takes joint indices; wrap it in `frl_env.JointActions`.
            buffer: Offline episodes to learn from as well.
            options: Most of d3rlpy's; see `frl_algos.factored_awr.updating.fine_tuning.fine_tune`.

        Raises:
            UserError: If it is told to be fair, or `fine_tune` has something to say.
        """
        if self._config.fairness != "none":
            raise UserError(
                "members met online have no groups to be fair to; set fairness to 'none' to fine-tune, or fit to "
                "logged members"
            )
        check_options(options)
        fine_tune(self, env, buffer, self._prepare, **options)

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
        full = torch.empty(len(x), impl.action_size, device=x.device)
        column = torch.full((impl.action_size,), len(impl.joints), device=x.device)
        column[impl.joints] = torch.arange(len(impl.joints), device=x.device)

        @torch.no_grad()
        def fill(states: slice) -> None:
            valid = impl.log_probabilities(x[states], temperature).exp_()
            # Columns are taken, invalid ones from a column of zeros: a quarter of the time of writing them by index.
            torch.index_select(torch.nn.functional.pad(valid, (0, 1)), 1, column, out=full[states])

        do_parts(fill, len(x), STATES_AT_ONCE)
        return full.cpu().numpy()

    def top_k(self, observations: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The most probable joint actions, found among all valid ones, and their exact probabilities.

        Args:
            observations: `(n, size)`, raw units.
            k: How many; 1 to the number of valid actions.

        Returns:
            Levels `(n, k, factors)` int64 and probabilities `(n, k)` float32, the most probable first; of equals, the
            lower joint index. Actions that the data does not support come last, with probability 0.

        Raises:
            UserError: If k or the shape is wrong, or a number is not finite.
        """
        space = self.action_space
        check_whole("k", k, low=1, high=len(space.valid_joints))
        probabilities = self.predict_probabilities(observations)[:, space.valid_joints]
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
        return space.unravel(space.valid_joints[order]), np.take_along_axis(probabilities, order, axis=1)

    def predict_names(self, observations: np.ndarray) -> np.ndarray:
        """Level names of the greedy actions, `(n, factors)`; raises as `predict` does."""
        space = self.action_space
        return space.decode(space.unravel(self.predict(observations)))

    def draw(self, observations: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """Joint actions drawn from the policy with the caller's randomness.

        Args:
            observations: `(n, k)`, raw units.
            uniform: `(n, 2)` in 0..1: whether to act, and what to do.

        Returns:
            `(n,)` joint indices.

        Raises:
            UserError: If a shape is wrong, a number is not finite, or a uniform one is not in 0..1.
        """
        scaled = self._scaled(self._checked(observations))
        numbers = checked_uniform(uniform, len(scaled)).astype(np.float32)
        with torch.no_grad():
            x, u = (torch.as_tensor(array, device=self._device) for array in (scaled, numbers))
            return self._require_impl().draw(x, u).cpu().numpy()

    def _tell_balance(self) -> None:
        """Balances where that was asked for, and logs what came of it."""
        if self._config.fairness == "none":
            return
        found = self.balance()
        if self._config.fairness_slack is not None and found.gap > self._config.fairness_slack:
            LOG.warning(
                f"groups lie {found.gap:.4f} apart where {self._config.fairness_slack:g} was allowed: the observations "
                "don't tell enough of the groups; allow more"
            )
        LOG.info("balanced groups", **dataclasses.asdict(found))

    @as_trained()
    @numpy_alone()
    def _prepare(self, dataset: Any) -> FactoredReplayBuffer:
        """Everything before the first update: buffer, scales, fairness, the choice of a critic, networks."""
        config = self._config
        buffer = buffer_of(dataset, config, self._impl)
        self._contacts()  # says before any work that one does not exist
        fit_scaler(config, buffer)
        fair = config.fairness
        data = None if fair == "none" else PenaltyData.of_buffer(buffer, by_need=fair == "need")
        self._check_space(buffer.action_space)
        scaled = scaled_by(config, buffer.observations)
        chosen = choose_critic(buffer, scaled, suited_to(buffer, config), config, self._impl)
        if self._impl is None:
            self.create_impl(buffer.observations.shape[1:], buffer.action_space.n_joint)
        assert self._impl is not None
        if data is not None:
            self._impl.take_members(data, torch.as_tensor(scaled[data.rows], device=self._device))
        take_over(self._impl, chosen, buffer, scaled, config, self._device)
        return buffer

    def _check_space(self, space: ActionSpace) -> None:
        space.check_listable()
        check_rate(self._config.action_rate, null_position(space), space)

    def _scaled(self, observations: np.ndarray) -> np.ndarray:
        return np.asarray(scaled_by(self._config, observations))


register_learnable(FactoredAWRConfig)

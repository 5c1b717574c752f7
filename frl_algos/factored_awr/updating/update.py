"""The update of FactoredAWR and its policy: what d3rlpy calls the implementation of an algorithm."""

from typing import Any

import torch
from d3rlpy.algos.qlearning.base import QLearningAlgoImplBase
from d3rlpy.logging import LOG
from d3rlpy.torch_utility import TorchMiniBatch
from jaxtyping import Float, Int
from torch import Tensor, nn

from frl_algos.action_effects.targets import Targets, value_features
from frl_algos.factored_awr.decisions import Decisions
from frl_algos.factored_awr.extraction import DEFAULT_TEMPERATURE
from frl_algos.factored_awr.fairness_penalty import Balance, PenaltyData, fit_tilt
from frl_algos.factored_awr.modules import FactoredAWRModules
from frl_algos.factored_awr.settings import FactoredAWRSettings
from frl_algos.factored_awr.updating import parallel, transfer
from frl_algos.factored_awr.updating.calibration import calibrate
from frl_algos.factored_awr.updating.policy_metrics import PolicyMetrics
from frl_algos.factored_awr.updating.training_troubles import saturated_gate, troubles
from frl_algos.logged_data.replay import IndexedMiniBatch
from frl_algos.logged_data.valid_positions import valid_positions
from frl_algos.networks import losses
from frl_algos.networks.expectile_critic import ExpectileCritic
from frl_env.actions import ActionSpace
from frl_env.errors import UserError
from frl_env.evaluation.privacy.suppression import people as number_of_people

TARGET_RATE = 0.005
"""Share of the way that the slow copy of the expectile critic's action values moves an update."""

CALIBRATE_EVERY = 500
"""Updates between two measurements of scales, rate and policy; for regression the weights rest on them.

The policy is looked at as often, for warnings; it is logged once a line of the log, at its last update, because d3rlpy
averages what it is given."""

ROWS_AT_ONCE = 2_000
"""States whose scores of all joint actions are held at once."""


class FactoredAWRImpl(QLearningAlgoImplBase):
    """One update, and the policy that the networks make up."""

    _modules: FactoredAWRModules

    def __init__(
        self,
        *,
        observation_shape: Any,
        action_size: int,
        modules: FactoredAWRModules,
        config: FactoredAWRSettings,
        device: str,
        enable_ddp: bool = False,
    ) -> None:
        """Keeps networks and settings."""
        super().__init__(observation_shape, action_size, modules, device)
        self._settings = config
        self._parallel = enable_ddp
        self._targets: Targets | None = None
        self._warned: set[str] = set()
        self._first_update, self._log_every = 0, 1
        self._calibrated = False
        self._halves: tuple[Tensor, Tensor] | None = None
        self._temperature = DEFAULT_TEMPERATURE
        self._sample = torch.zeros(0, *observation_shape)
        self._members: tuple[PenaltyData, Tensor] | None = None
        space = ActionSpace.from_json(config.action_schema)
        self._decisions = Decisions(modules, config)
        self._metrics = PolicyMetrics(self._decisions, space, device)
        self._position = torch.as_tensor(valid_positions(space), device=device)

    @property
    def modules(self) -> FactoredAWRModules:
        """Networks and optimiser."""
        return self._modules

    @property
    def separate_actor(self) -> bool:
        """Whether the policy is a network of its own."""
        return self._modules.actor is not self._modules.clone

    @property
    def policy(self) -> Any:
        """The network that d3rlpy may call the policy; what it does also rests on effects and statistics."""
        return self._modules.actor

    @property
    def policy_optim(self) -> torch.optim.Optimizer:
        """The only optimiser."""
        return self._modules.optim.optim

    @property
    def q_function(self) -> nn.ModuleList:
        """Refuses: nothing in the effects is trained."""
        raise UserError(transfer.NO_Q_FUNCTION)

    @property
    def q_function_optim(self) -> torch.optim.Optimizer:
        """Refuses: nothing in the effects is trained."""
        raise UserError(transfer.NO_Q_FUNCTION)

    def copy_policy_from(self, impl: QLearningAlgoImplBase) -> None:
        """See `transfer.copy_policy`."""
        transfer.copy_policy(impl, self)

    def copy_policy_optim_from(self, impl: QLearningAlgoImplBase) -> None:
        """See `transfer.copy_optimiser`."""
        transfer.copy_optimiser(impl, self)

    @property
    def joints(self) -> Int[Tensor, "valid"]:
        """Joint index of each valid action."""
        return self._modules.clone.action_encoder.joints

    def prepare(
        self,
        targets: Targets,
        sample: Float[Tensor, "row k"],
        halves: tuple[Tensor, Tensor] | None,
        rate: float,
        temperature: float | None = None,
    ) -> None:
        """Takes what training is about to use.

        Args:
            targets: Of the dataset.
            sample: Scaled observations of it, over which scales and the rate are measured.
            halves: Effects from each half of the people, for the choice of the temperature; None without.
            rate: Share of steps on which the policy is to act; NaN leaves the behaviour policy's own.
            temperature: Where none is set and there are no halves to choose by; None for the default.
        """
        self._targets, self._sample, self._halves = targets, sample, halves
        self._temperature = DEFAULT_TEMPERATURE if temperature is None else temperature
        self._calibrated = False
        self._warned.clear()
        statistics = self._modules.statistics
        statistics.rate.fill_(rate)
        statistics.value.copy_(torch.as_tensor(targets.value_weights))
        statistics.return_scale.fill_(float(targets.returns.std()) or 1.0)
        if isinstance(self._modules.critic, ExpectileCritic):
            # It learns in standard deviations of the return; its advantages are scaled back.
            statistics.unit.copy_(statistics.return_scale)
        if self._parallel:
            parallel.follow_first(self._modules.get_torch_modules().values())

    def take_members(self, data: PenaltyData, observations: Float[Tensor, "row k"]) -> None:
        """Takes what the fairness penalty is about to use: members, and the scaled observations of their rows."""
        self._members = (data, observations)

    def log_policy(self, *, after: int, every: int) -> None:
        """Says which updates end a line of the log: every so many after `after` updates."""
        self._first_update, self._log_every = after, every

    def inner_update(self, batch: TorchMiniBatch, grad_step: int) -> dict[str, float]:
        """Clone and, for regression, actor: one step each on one mini-batch."""
        if self._targets is None:
            raise UserError("the algorithm has seen no dataset yet; call fit, or build_with_dataset before update")
        assert isinstance(batch.observations, Tensor)
        if self.separate_actor and grad_step % CALIBRATE_EVERY == 0:
            self.calibrate()
        # From the batch and not by row, so that a batch of any buffer trains on what it holds.
        actions = self._position[batch.actions.reshape(-1).long()]
        if bool((actions < 0).any()):
            number = number_of_people(int((actions < 0).sum()), simulated=False)
            raise UserError(f"{number} logged actions are not valid; drop or recode them")
        total, metrics = losses.cloning_loss(self._modules.clone.log_likelihood(batch.observations, actions))
        if self._settings.extraction == "regression":
            actor_loss, more = self._actor_loss(batch, actions)
            metrics |= more
            total = total + actor_loss
        critic = self._modules.critic
        if isinstance(critic, ExpectileCritic):
            critic_loss, more = self._critic_loss(critic, batch, actions)
            metrics |= more
            total = total + critic_loss
        optim = self._modules.optim
        # Gradients that are dropped need not be filled with zeros and added to, as d3rlpy's wrapper does.
        optim.optim.zero_grad(set_to_none=True)
        total.backward()
        parameters = [p for group in optim.optim.param_groups for p in group["params"]]
        if self._parallel:
            parallel.average_gradients(parameters)
        if self._settings.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(parameters, self._settings.max_grad_norm)
        optim.step()
        self._calibrated = False
        if isinstance(critic, ExpectileCritic):
            critic.update_target(TARGET_RATE)
        measured = {name: float(value) for name, value in metrics.items()}
        done = grad_step + 1
        logged = (done - self._first_update) % self._log_every == 0
        if logged or done % CALIBRATE_EVERY == 0:
            policy = self._measure(batch.observations, actions, measured)
            measured |= policy if logged else {}
        return measured

    def _measure(self, observations: Tensor, actions: Tensor, measured: dict[str, float]) -> dict[str, float]:
        """Metrics of the policy as it is now; warns of what they show, each kind once a fit."""
        assert self._targets is not None
        self.calibrate()
        policy = {name: float(value) for name, value in self._metrics(observations, actions).items()}
        # Who sets how often the policy acts has chosen what this rule would ask to look at.
        wanted = () if self._settings.action_rate is None else (saturated_gate.__name__,)
        for kind, sentence in troubles(measured | policy, len(actions), wanted=wanted).items():
            if kind not in self._warned:
                self._warned.add(kind)
                LOG.warning(sentence)
        return policy | {"value_error": self._targets.value_error, "history_error": self._targets.history_error}

    def calibrate(self) -> None:
        """Measures what `calibration` does; once, until the clone changes."""
        if self._calibrated:
            return
        self._calibrated = True
        calibrate(self._decisions, self._settings, self._sample, self._halves, self._temperature)
        if self._parallel:
            parallel.follow_first([self._modules.statistics])

    @torch.no_grad()
    def balance(self) -> Balance | None:
        """Fits the tilt to the policy as it is now; None where fairness was not asked for."""
        net, settings = self._modules, self._settings
        if net.tilt is None or self._members is None:
            return None
        data, observations = self._members
        net.tilt.standardise(observations)
        log_odds, measures = [], []
        for part in observations.split(ROWS_AT_ONCE):
            hidden = net.actor.encode(part)
            log_odds.append(net.tilt.log_odds(self._decisions.what(hidden, part), self._decisions.gate(hidden)))
            measures.append(net.tilt.measures(part, log_odds[-1]))
        found = fit_tilt(
            net.tilt,
            data,
            torch.cat(measures),
            torch.cat(log_odds),
            weight=settings.fairness_weight,
            slack=settings.fairness_slack,
        )
        hidden = net.actor.encode(self._sample)
        # The greedy policy acts above a threshold at which it acts as often as the tilted policy draws to.
        gate = net.tilt(self._sample, self._decisions.what(hidden, self._sample), self._decisions.gate(hidden))[1]
        if gate is not None:
            net.statistics.threshold.fill_(float(torch.quantile(gate, 1 - float(torch.sigmoid(gate).mean()))))
        if self._parallel:
            parallel.follow_first([net.tilt, net.statistics])
        return found

    def log_probabilities(
        self, observations: Float[Tensor, "batch k"], temperature: float | None = None
    ) -> Float[Tensor, "batch valid"]:
        """Normalised log-probabilities of the valid joint actions; `temperature` instead of the chosen one."""
        return self._decisions.log_probabilities(observations, temperature)

    def draw(self, x: Float[Tensor, "batch k"], uniform: Float[Tensor, "batch 2"]) -> Int[Tensor, "batch"]:
        """A draw from the policy; see `Decisions.draw`."""
        return self._decisions.draw(x, uniform)

    def inner_predict_best_action(self, x: Any) -> Int[Tensor, "batch"]:
        """The best supported joint action; see `Decisions.best`."""
        return self._decisions.best(x)

    def inner_sample_action(self, x: Any) -> Int[Tensor, "batch"]:
        """A draw from the policy with torch's global generator."""
        return self.draw(x, torch.rand(len(x), 2, device=x.device))

    def inner_predict_value(self, x: Any, action: Tensor) -> Float[Tensor, "batch"]:
        """Value of the state plus centred advantage of the action, in units of reward."""
        position = self._position[action.reshape(-1).long()]
        advantages = self._decisions.advantages(x)
        expected = (self._modules.clone(x).exp() * advantages).sum(dim=1)
        value = torch.as_tensor(value_features(x.cpu().numpy()), device=x.device) @ self._modules.statistics.value
        return value + advantages.gather(1, position[:, None]).squeeze(1) - expected

    def _critic_loss(
        self, critic: ExpectileCritic, batch: TorchMiniBatch, actions: Tensor
    ) -> tuple[Tensor, losses.Metrics]:
        """Expectile loss of the critic on a mini-batch, rewards over their unit."""
        assert isinstance(batch.observations, Tensor)
        assert isinstance(batch.next_observations, Tensor)
        return critic.loss(
            batch.observations,
            actions,
            batch.rewards[:, 0] / self._modules.statistics.unit,
            batch.next_observations,
            batch.terminals[:, 0],
            gamma=self._settings.gamma,
            expectile=self._settings.expectile,
        )

    def _actor_loss(self, batch: TorchMiniBatch, actions: Tensor) -> tuple[Tensor, losses.Metrics]:
        """Weighted regression of the actor: log-likelihood of the logged actions, weighted by exp(advantage)."""
        net, observations = self._modules, batch.observations
        assert self._targets is not None
        assert isinstance(observations, Tensor)
        with torch.no_grad():
            if self._settings.critic == "returns":
                if not isinstance(batch.numpy_batch, IndexedMiniBatch):
                    raise UserError(
                        "critic 'returns' trains on batches of a FactoredReplayBuffer only, for their returns"
                    )
                rows = batch.numpy_batch.indices
                spread = net.statistics.return_scale if self._settings.standardise else 1.0
                value = torch.as_tensor(value_features(observations.cpu().numpy())) @ net.statistics.value.cpu()
                advantages = (torch.as_tensor(self._targets.returns[rows]).float() - value) / spread
                advantages = advantages.to(observations.device)
            else:
                scores = self._decisions.advantages(observations)
                centre = (net.clone(observations).exp() * scores).sum(dim=1)
                advantages = (scores.gather(1, actions[:, None])[:, 0] - centre) / net.statistics.advantage_scale
        return losses.weighted_regression_loss(
            net.actor.log_likelihood(observations, actions),
            advantages,
            temperature=float(net.statistics.temperature),
            max_weight=self._settings.max_weight,
        )

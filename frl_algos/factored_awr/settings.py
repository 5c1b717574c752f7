"""Settings of FactoredAWR, checked when they are made."""

import dataclasses
import math
from typing import Any, Self

from d3rlpy.base import LearnableConfig

from frl_algos.factored_awr.idle_settings import check_idle
from frl_env.errors import UserError, check_number, check_whole, make_plain, unknown_name
from frl_env.evaluation.fairness.allocations import HIGH_TOUCH
from frl_env.kinds import check_kinds

CHOICES = {
    "critic": ("auto", "effects", "expectile", "planned", "returns", "none"),
    "extraction": ("closed_form", "regression"),
    "encoder": ("learned", "frozen", "one_hot", "independent", "flat"),
    "fairness": ("none", "parity", "need"),
}
POSITIVE = ("batch_size", "learning_rate", "critic_learning_rate", "embedding_size", "hidden_size", "max_weight")
OPTIONAL_POSITIVE = ("temperature", "max_grad_norm", "action_rate")
HEAVIEST = 1e7
"""Weight of the fairness penalty, at most."""


@dataclasses.dataclass(kw_only=True)
class FactoredAWRSettings(LearnableConfig):
    """Settings of FactoredAWR; `FactoredAWRConfig`, beside the algorithm, adds how it is made.

    Args:
        batch_size: Rows a mini-batch.
        gamma: Discount a step.
        observation_scaler: Fitted to the dataset when None.
        learning_rate: Of the cloned policy and the actor.
        max_grad_norm: Gradients are clipped to this norm; None leaves them.
        embedding_size: Length of the level embeddings.
        hidden_size: Units of the state encoders.
        encoder: How joint actions are represented. "learned": level embeddings, their sum and pairwise products;
            "frozen": the same, left as drawn; "one_hot": indicators of levels and pairs; "independent": of levels only,
            so that factors are independent given that something is done; "flat": one of each joint action.
        critic: "auto", one of the next three or none at all, by what half of the people say of the policy of the other
            half (`frl_algos.factored_awr.critic_selection.select_critic`); "effects", estimated effects of actions
            (`frl_algos.action_effects.estimate`; with "independent" and "flat" encoders its terms are likewise);
            "expectile", action values by implicit Q-learning (`frl_algos.networks.expectile_critic`); "planned", values
            by planning over states that recur (`frl_algos.action_effects.planning`); "returns", the logged return less
            the state value (as in the paper; regression only); "none": the policy is the clone.
        expectile: Of the expectile critic, in (0, 1); larger looks at better actions of the data.
        critic_learning_rate, critic_weight_decay: Of the expectile critic.
        td_lambda: Credit for a reward k steps ahead falls as (gamma * td_lambda) ** k. None: chosen with the critic
            from `critic_selection.fits.CREDITS`; with a response, and where nothing is chosen, the first of these.
        extraction: "closed_form" (the formula above) or "regression" (weighted log-likelihood, as in the paper).
        temperature: How far the policy moves along the advantage; smaller moves further. None: chosen from
            `extraction.TEMPERATURES` by what half of the data says of the policy of the other half.
        standardise: Whether the temperature is in standard deviations of the advantage over the dataset.
        max_weight: Clip of the regression weights.
        support_threshold: Actions whose cloned probability, given that something is done, is below are never chosen.
        action_rate: Share of steps on which the policy does something. None: with a response, the rate at which
            responses are most frequent (`frl_algos.action_effects.action_rate`); without one, the behaviour policy's
            own.
        response: Index of an observation whose next value is positive when an action got a response (a contact that
            reached the member); effects are then estimated against attempts without one. The less else makes that
            observation positive, the less bias. None: there is no such observation.
        indications: Level name to the index of an observation that indicates it (a screening result that indicates a
            goal); an action that meets an indication has an effect of its own. Empty: there are none.
        need_factor: Factor whose levels answer to needs that last (the goal), which the team knows more of than the
            observations do. Effects of a level are then weighed by how common its need is among the members, as far as
            levels that come back with the same members show it (`frl_algos.action_effects.suitability`): what an action
            gains is multiplied, not what it harms, and what outcomes say of these levels is shrunk to a small spread.
            Leave it out where a team repeats itself for other reasons. Critic "effects" only. None: effects count as
            estimated, on those for whom actions were chosen.
        skill_factor: Factor whose levels are not all as able to do something about a need (the provider): those that
            the team turns to for it count more. Only with a need factor.
        fairness: Whether high-touch contact is balanced between the groups of the buffer's members: "parity", as much
            for each group; "need", as much as it needs (`frl_algos.factored_awr.fairness_penalty`). "none" costs
            nothing.
        fairness_weight: Of the penalty; 0 measures the gap and leaves it.
        fairness_slack: Gap between groups that is allowed, as a probability: the weight is then the smallest that keeps
            it on the members of the buffer. None: the weight is given.
        high_touch: Levels that count as high-touch contact.
        effort: JSON of the staff minutes of each level (`frl_env.capacity.Effort.to_json`); taken from the replay
            buffer when empty. With it and a response, the algorithm also estimates what a contact gains with each
            member (`frl_algos.member_model`), for whoever has a budget of minutes to spend.
        rest: Weeks after an attempt in which such a budget is not spent on the same member.
        contacts: The only contacts that such a budget is spent on, in turn, each a mapping of factor to level; a factor
            that is not named has its first level, if that can be part of a contact. For a program that has decided
            what its contacts are about and asks who gets them: they are taken to do equally much. None: every valid
            action.
        action_schema: `ActionSpace.to_json` of the actions; taken from the replay buffer when empty.
        state_names: Names of the observations, in order; taken from the replay buffer when empty. Data whose states
            have other names, or another order, are refused.
        choice: What was chosen, as JSON (`chosen_critic.Choice`); filled in by fitting.
    """

    batch_size: int = 512
    gamma: float = 0.99
    learning_rate: float = 1e-3
    max_grad_norm: float | None = None
    embedding_size: int = 32
    hidden_size: int = 128
    encoder: str = "learned"
    critic: str = "auto"
    expectile: float = 0.7
    critic_learning_rate: float = 1e-3
    critic_weight_decay: float = 0.1
    td_lambda: float | None = None
    extraction: str = "closed_form"
    temperature: float | None = None
    standardise: bool = True
    max_weight: float = 20.0
    support_threshold: float = 1e-5
    action_rate: float | None = None
    response: int | None = None
    indications: dict[str, int] = dataclasses.field(default_factory=dict)
    need_factor: str | None = None
    skill_factor: str | None = None
    fairness: str = "none"
    fairness_weight: float = 1_000.0
    fairness_slack: float | None = None
    high_touch: list[str] = dataclasses.field(default_factory=lambda: list(HIGH_TOUCH))
    effort: str = ""
    rest: int = 4
    contacts: list[dict[str, str]] | None = None
    action_schema: str = ""
    state_names: list[str] = dataclasses.field(default_factory=list)
    choice: str = ""

    def __post_init__(self) -> None:
        """Checks every setting.

        Raises:
            UserError: If a setting is out of range, two don't go together, or one would do nothing.
        """
        check_kinds(self)
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise unknown_name(name, str(getattr(self, name)), choices)
        for name in POSITIVE + OPTIONAL_POSITIVE:
            value = getattr(self, name)
            if value is None and name in OPTIONAL_POSITIVE:
                continue
            if value is None or not (math.isfinite(value) and value > 0):
                raise UserError(f"{name} must be positive, not {value}")
        if self.action_rate is not None and self.action_rate > 1:
            raise UserError(f"action_rate must be at most 1, not {self.action_rate}")
        if not 0 <= self.support_threshold < 1:
            raise UserError(f"support_threshold must lie in 0..1, below 1, not {self.support_threshold}")
        if not 0 < self.expectile < 1:
            raise UserError(f"expectile must lie between 0 and 1, not {self.expectile}")
        if not (math.isfinite(self.critic_weight_decay) and self.critic_weight_decay >= 0):
            raise UserError(f"critic_weight_decay must not be negative, not {self.critic_weight_decay}")
        check_number("fairness_weight", self.fairness_weight, low=0, high=HEAVIEST)
        if self.fairness_slack is not None:
            check_number("fairness_slack", self.fairness_slack, low=0, high=1)
        if self.contacts is not None and not self.contacts:
            raise UserError("contacts is empty; name at least one, as factor to level, or leave it out for all")
        if self.contacts is not None and self.response is None:
            raise UserError("contacts says what a budget is spent on by gains, and they need a response; name one")
        check_whole("rest", self.rest, low=0, high=10_000)
        make_plain(self, *(each.name for each in dataclasses.fields(self)))
        for name in ("gamma", "td_lambda"):
            if getattr(self, name) is not None and not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name} must lie in 0..1, not {getattr(self, name)}")
        if self.reward_scaler is not None:
            raise UserError("FactoredAWR takes rewards in their own unit; leave reward_scaler out")
        if self.skill_factor is not None and self.need_factor in (None, self.skill_factor):
            raise UserError(f"skill_factor {self.skill_factor!r} needs a need_factor, another one")
        if self.critic == "returns" and self.extraction != "regression":
            raise UserError("critic 'returns' knows the value of logged actions only; it needs extraction 'regression'")
        check_idle(self)

    @classmethod
    def seed_preset(cls, **settings: Any) -> Self:
        """The settings published with the system this project follows: regression weighted by raw returns.

        Temperature 1 (its beta), learning rate 3e-5, batches of 256, gradients clipped at 0.5, embeddings of 32; it
        trains for 50 epochs over the data. Its embeddings are never trained, and neither are these.

        Args:
            settings: To change.
        """
        published: dict[str, Any] = {
            "critic": "returns",
            "extraction": "regression",
            "encoder": "frozen",
            "temperature": 1.0,
            "learning_rate": 3e-5,
            "batch_size": 256,
            "max_grad_norm": 0.5,
            "embedding_size": 32,
        }
        return cls(**published | settings)

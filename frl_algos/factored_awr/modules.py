"""The networks of FactoredAWR and their optimiser: everything that is saved."""

import dataclasses
import json

import torch
from d3rlpy.optimizers import OptimizerWrapper
from d3rlpy.torch_utility import Modules

from frl_algos.action_effects.suitability import column
from frl_algos.action_effects.terms import Terms, null_position
from frl_algos.factored_awr.extraction import Statistics
from frl_algos.factored_awr.settings import FactoredAWRSettings
from frl_algos.member_model.model import MemberModel
from frl_algos.networks.effect_critic import EffectCritic
from frl_algos.networks.expectile_critic import ExpectileCritic
from frl_algos.networks.joint_scores import FixedEncoder, JointPolicy, JointScores
from frl_algos.networks.state_critic import StateCritic
from frl_algos.networks.tilt import Tilt
from frl_env.actions import ActionSpace


@dataclasses.dataclass(frozen=True)
class FactoredAWRModules(Modules):
    """Everything that is saved."""

    clone: JointPolicy
    critic: EffectCritic | ExpectileCritic | StateCritic
    actor: JointPolicy
    statistics: Statistics
    tilt: Tilt | None
    gains: MemberModel | None
    optim: OptimizerWrapper


def critic_of(config: FactoredAWRSettings) -> str:
    """The critic that is used: the one set, or the one chosen; effects until it is chosen."""
    if config.critic == "auto":
        return json.loads(config.choice)["critic"] if config.choice else "effects"
    return config.critic


def create_modules(
    *, observation_size: int, space: ActionSpace, config: FactoredAWRSettings, device: str
) -> FactoredAWRModules:
    """Networks and optimiser for an action space."""
    joints = torch.as_tensor(space.valid_joints)

    def policy() -> JointPolicy:
        """A policy of its own over joint actions, with encoded or learned embeddings of them."""
        encoder = None
        if config.encoder not in ("learned", "frozen"):
            structure = "factored" if config.encoder == "one_hot" else config.encoder
            encoder = FixedEncoder(
                joints, torch.as_tensor(Terms.of_space(space, observation_size, structure=structure).fixed)
            )
        scores = JointScores(
            observation_size,
            space.nvec,
            joints,
            hidden_size=config.hidden_size,
            embedding_size=config.embedding_size,
            encoder=encoder,
        )
        if config.encoder == "frozen":
            scores.action_encoder.requires_grad_(False)
        return JointPolicy(scores, hidden_size=config.hidden_size, null=null_position(space)).to(device)

    clone = policy()
    # A policy in closed form needs no network of its own.
    actor = policy() if config.extraction == "regression" else clone
    policies = {id(p): p for p in [*clone.parameters(), *actor.parameters()] if p.requires_grad}
    groups = [{"params": list(policies.values()), "lr": config.learning_rate, "weight_decay": 0.0}]
    critic: EffectCritic | ExpectileCritic | StateCritic
    if critic_of(config) == "expectile":
        critic = ExpectileCritic(
            observation_size,
            space.nvec,
            joints,
            hidden_size=config.hidden_size,
            embedding_size=config.embedding_size,
        )
        learned = [p for p in critic.parameters() if p.requires_grad]
        groups.append(
            {"params": learned, "lr": config.critic_learning_rate, "weight_decay": config.critic_weight_decay}
        )
    elif critic_of(config) == "planned":
        states = json.loads(config.choice)["table"] if config.choice else 0
        critic = StateCritic(observation_size, len(joints), states=states)
    else:
        critic = EffectCritic(observation_size, len(joints), indicated=bool(config.indications))
    critic = critic.to(device)
    # One fused kernel over all parameters: several times as fast on small tensors as d3rlpy's optimisers.
    adam = torch.optim.AdamW(groups, fused=True)
    parameters = [p for group in groups for p in group["params"]]
    return FactoredAWRModules(
        clone=clone,
        critic=critic,
        actor=actor,
        statistics=Statistics(2 * observation_size + 1).to(device),
        tilt=None if config.fairness == "none" else Tilt(space, observation_size, config.high_touch).to(device),
        gains=create_member_model(observation_size, space, config),
        optim=OptimizerWrapper(parameters, adam, compiled=False),
    )


def create_member_model(observation_size: int, space: ActionSpace, config: FactoredAWRSettings) -> MemberModel | None:
    """The model that forecasts a member's answers and events, on the CPU; None where settings lack what it needs.

    It needs minutes, a response, and an action that does nothing.
    """
    if (
        config.critic not in ("auto", "effects")
        or not config.effort
        or config.response is None
        or null_position(space) is None
    ):
        return None
    return MemberModel(
        observation_size,
        len(space.valid_joints),
        response=config.response,
        leading=int(space.nvec[0]),
        needs=1 if config.need_factor is None else int(space.nvec[column(space, config.need_factor)]),
        indicated=bool(config.indications),
    )

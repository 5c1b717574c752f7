"""What FactoredAWR knows of gains, without the rest of it: for studies that train many times and ask for gains alone.

Gains come from the model of members (`frl_algos.member_model`), which is estimated in closed form. The contest of
critics and the networks, most of the time of a training, have no say in them where there is a response. A test compares
both.
"""

import json
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Int64

from frl_algos import FactoredAWRConfig, FactoredReplayBuffer
from frl_algos.factored_awr.critic_selection.fits import CREDITS
from frl_algos.factored_awr.modules import create_member_model
from frl_algos.member_model.estimating import estimate_member_model
from frl_algos.member_model.model import MemberModel
from frl_env.actions import ActionSpace
from frl_env.capacity import Effort

SETTINGS = FactoredAWRConfig(response=0, need_factor="goal", skill_factor="provider")
"""With which FactoredAWR is compared."""


@dataclass(frozen=True, eq=False)
class GainsAlone:
    """Gains and a memory, as `frl_env.capacity.asking` says.

    Args:
        model: Of members, estimated.
        space: The actions.
    """

    model: MemberModel
    space: ActionSpace

    @classmethod
    def learn(cls, buffer: FactoredReplayBuffer, effort: Effort, *, seed: int) -> "GainsAlone":
        """Estimates the gains from logged members."""
        buffer.reseed(seed)
        space, valid = buffer.action_space, buffer.action_space.valid_joints
        settings = replace(SETTINGS, effort=json.dumps(effort.to_json()))
        model = create_member_model(buffer.observations.shape[1], space, settings)
        assert model is not None
        estimate_member_model(
            model,
            buffer,
            decay=SETTINGS.gamma * CREDITS[0],
            minutes=effort.minutes[valid],
            indications=SETTINGS.indications,
            need=SETTINGS.need_factor,
            skill=SETTINGS.skill_factor,
        )
        return cls(model, space)

    def start_memory(self, members: int) -> Float32[np.ndarray, "member m"]:
        """Memories of members of whom nothing is known."""
        return self.model.start_memory(members)

    def remember(
        self, memory: np.ndarray, observations: np.ndarray, joints: Int64[np.ndarray, "member"]
    ) -> Float32[np.ndarray, "member m"]:
        """The memories after a week in which these actions were done."""
        return self.model.remember(memory, observations, np.searchsorted(self.space.valid_joints, joints))

    def gains(self, observations: np.ndarray, memory: np.ndarray | None = None) -> Float32[np.ndarray, "member valid"]:
        """What each valid action gains over doing nothing; minus infinity while a member rests."""
        return self.model.gains(observations, memory, rest=SETTINGS.rest)

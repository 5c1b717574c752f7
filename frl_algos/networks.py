"""Networks over joint actions: factored embeddings, and scores for every joint action at once.

The embedding of joint action a = (a_1, ..., a_K) is a learned projection of its level embeddings E_f and of their
pairwise products,

    e(a) = W [ E_1[a_1], ..., E_K[a_K], E_1[a_1] * E_2[a_2], ..., E_{K-1}[a_{K-1}] * E_K[a_K] ]

and its score in state s is <q(s), e(a)>. The unary terms pool evidence across all joint actions that share a level;
the products keep the dependence between factors. Embedding all joint actions costs the same for any batch, and
scoring them is one matrix product, so exact normalisation over all valid joint actions is cheap.
"""

from collections.abc import Sequence
from itertools import combinations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class StateEncoder(nn.Module):
    """Two hidden layers over scaled observations and their signed logarithm, which tames heavy tails."""

    def __init__(self, observation_size: int, hidden_size: int) -> None:
        """Sets up two layers of `hidden_size` units."""
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 * observation_size, hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU(),
        )

    def forward(self, observations: Float[Tensor, "batch observation"]) -> Float[Tensor, "batch hidden"]:
        """Hidden features of each observation."""
        squashed = torch.sign(observations) * torch.log1p(observations.abs())
        return self.layers(torch.cat([observations, squashed], dim=1))


class ActionEncoder(nn.Module):
    """A learned embedding for every level of every factor, and from them one for every joint action.

    `levels` and `joints` hold the levels and joint index of each embedded action.

    Args:
        nvec: Number of levels of each factor.
        valid_joints: Joint indices (C order) of the actions to embed, in the order wanted.
        embedding_size: Length of the level embeddings.
        joint_size: Length of the joint embeddings.
    """

    levels: Tensor
    joints: Tensor

    def __init__(
        self, nvec: Sequence[int], valid_joints: Int[Tensor, "valid"], *, embedding_size: int, joint_size: int
    ) -> None:
        """One table a factor, drawn from a standard normal."""
        super().__init__()
        self.nvec = tuple(int(n) for n in nvec)
        self.tables = nn.ModuleList([nn.Embedding(n, embedding_size) for n in self.nvec])
        self.pairs = list(combinations(range(len(self.nvec)), 2))
        self.project = nn.Linear((len(self.nvec) + len(self.pairs)) * embedding_size, joint_size)
        levels = torch.stack(torch.unravel_index(valid_joints, self.nvec), dim=1)
        self.register_buffer("levels", levels, persistent=False)
        self.register_buffer("joints", valid_joints.clone(), persistent=False)

    def forward(self, actions: Int[Tensor, "n"] | None = None) -> Float[Tensor, "n joint_embedding"]:
        """Embeddings of the given valid joint actions, by position; of all when None."""
        chosen = self.levels if actions is None else self.levels[actions]
        levels = [table(chosen[:, factor]) for factor, table in enumerate(self.tables)]
        products = [levels[first] * levels[second] for first, second in self.pairs]
        return self.project(torch.cat([*levels, *products], dim=1))


class JointScores(nn.Module):
    """A score for each valid joint action in each state.

    Args:
        observation_size: Number of observed numbers.
        nvec: Number of levels of each factor.
        valid_joints: Joint indices (C order) of the valid actions; scores come in this order.
        hidden_size: Units of the state encoder.
        embedding_size: Length of the level embeddings.
        joint_size: Length of the joint embeddings, the rank of the score matrix.
    """

    def __init__(
        self,
        observation_size: int,
        nvec: Sequence[int],
        valid_joints: Int[Tensor, "valid"],
        *,
        hidden_size: int,
        embedding_size: int,
        joint_size: int,
    ) -> None:
        """Starts with scores close to zero: uniform over valid actions."""
        super().__init__()
        self.state_encoder = StateEncoder(observation_size, hidden_size)
        self.action_encoder = ActionEncoder(nvec, valid_joints, embedding_size=embedding_size, joint_size=joint_size)
        self.query = nn.Linear(hidden_size, joint_size)
        nn.init.normal_(self.query.weight, std=1e-2 / hidden_size**0.5)
        nn.init.normal_(self.query.bias, std=1e-2)

    def forward(self, observations: Float[Tensor, "batch observation"]) -> Float[Tensor, "batch valid"]:
        """Scores of the valid joint actions."""
        return self.query(self.state_encoder(observations)) @ self.action_encoder().T

    def of_logged(
        self, observations: Float[Tensor, "batch observation"], actions: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch"]:
        """Scores of one action a state, given by its position among the valid ones."""
        return (self.query(self.state_encoder(observations)) * self.action_encoder(actions)).sum(dim=1)


class StateValue(nn.Module):
    """Expected return of the behaviour policy from a state."""

    def __init__(self, observation_size: int, hidden_size: int) -> None:
        """One linear layer on top of a state encoder."""
        super().__init__()
        self.state_encoder = StateEncoder(observation_size, hidden_size)
        self.head = nn.Linear(hidden_size, 1)

    def forward(self, observations: Float[Tensor, "batch observation"]) -> Float[Tensor, "batch"]:
        """Value of each state."""
        return self.head(self.state_encoder(observations)).squeeze(-1)

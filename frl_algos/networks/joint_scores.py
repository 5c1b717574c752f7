"""Networks over joint actions: factored embeddings, and scores for every joint action at once.

The embedding of joint action a = (a_1, ..., a_K) is the sum of its level embeddings and the sum of their products,

    e(a) = [ sum_f E_f[a_f] / sqrt(K),   sum_{f < g} E_f[a_f] * E_g[a_g] / sqrt(K (K - 1) / 2) ]

and its score in state s is <q(s), e(a)>: a factorisation machine (Rendle, 2010) whose weights depend on the state. The
sums pool evidence across all joint actions that share a level; the products keep the dependence between factors. The
sum of products is half the square of the sum less the sum of squares, so embedding all joint actions takes two small
matrix products, and scoring them one more: exact normalisation over all valid joint actions is cheap.

An ensemble is several such networks, independent in every weight, side by side in the same tensors: `Linear` and the
embeddings have a first axis `copy`.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from frl_algos.logged_data.signed_logarithm import squash_tensor


class Linear(nn.Module):
    """A linear layer in several copies, each with weights of its own, started as `torch.nn.Linear` starts.

    Args:
        copies: How many.
        inputs, outputs: Sizes.
    """

    def __init__(self, copies: int, inputs: int, outputs: int) -> None:
        """Draws the weights."""
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(copies, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(copies, 1, outputs).uniform_(-bound, bound))

    def forward(self, x: Float[Tensor, "copy batch input"]) -> Float[Tensor, "copy batch output"]:
        """Each copy on its own inputs; one set of inputs (`copy` 1) serves all."""
        return torch.baddbmm(self.bias, x.expand(len(self.weight), -1, -1), self.weight)


class StateEncoder(nn.Module):
    """Two hidden layers over scaled observations and their signed logarithm, which tames heavy tails."""

    def __init__(self, observation_size: int, hidden_size: int, copies: int = 1) -> None:
        """Sets up two layers of `hidden_size` units."""
        super().__init__()
        self.first = Linear(copies, 2 * observation_size, hidden_size)
        self.second = Linear(copies, hidden_size, hidden_size)

    def forward(self, observations: Float[Tensor, "batch observation"]) -> Float[Tensor, "copy batch hidden"]:
        """Hidden features of each observation."""
        squashed = squash_tensor(observations)
        x = torch.cat([observations, squashed], dim=1)[None]
        return torch.relu(self.second(torch.relu(self.first(x))))


class ActionEncoder(nn.Module):
    """A learned embedding for every level of every factor, and from them one for every joint action.

    `joints` holds the joint index of each embedded action.

    Args:
        nvec: Number of levels of each factor.
        valid_joints: Joint indices (C order) of the actions to embed, in the order wanted.
        embedding_size: Length of the level embeddings; the joint ones are twice as long.
        copies: How many, each with embeddings of its own.
    """

    joints: Tensor
    incidence: Tensor

    def __init__(
        self, nvec: Sequence[int], valid_joints: Int[Tensor, "valid"], *, embedding_size: int, copies: int = 1
    ) -> None:
        """Draws the level embeddings from a standard normal."""
        super().__init__()
        self.nvec = tuple(int(n) for n in nvec)
        self.tables = nn.Parameter(torch.randn(copies, sum(self.nvec), embedding_size))
        levels = torch.stack(torch.unravel_index(valid_joints, self.nvec), dim=1)
        first_row = torch.tensor([0, *self.nvec[:-1]]).cumsum(dim=0)
        incidence = torch.zeros(len(valid_joints), sum(self.nvec)).scatter_(1, levels + first_row, 1.0)
        self.register_buffer("joints", valid_joints.clone(), persistent=False)
        self.register_buffer("incidence", incidence, persistent=False)

    @property
    def size(self) -> int:
        """Length of the joint embeddings."""
        return 2 * self.tables.shape[2]

    def forward(self, actions: Int[Tensor, "n"] | None = None) -> Float[Tensor, "copy n joint_embedding"]:
        """Embeddings of the given valid joint actions, by position; of all when None."""
        chosen = self.incidence if actions is None else self.incidence[actions]
        factors = len(self.nvec)
        total = chosen @ self.tables
        if factors == 1:
            return torch.cat([total, torch.zeros_like(total)], dim=2)
        # Sum of the products of all pairs, as half of the square of the sum less the sum of squares.
        products = (total**2 - chosen @ self.tables**2) / 2
        pairs = factors * (factors - 1) / 2
        return torch.cat([total / math.sqrt(factors), products / math.sqrt(pairs)], dim=2)


class FixedEncoder(nn.Module):
    """Given features of the joint actions instead of learned embeddings: what the learned ones are compared against.

    Args:
        joints: Joint index of each action.
        features: Of each action.
    """

    joints: Tensor
    features: Tensor

    def __init__(self, joints: Int[Tensor, "valid"], features: Float[Tensor, "valid feature"]) -> None:
        """Keeps the features; nothing is learned."""
        super().__init__()
        self.register_buffer("joints", joints.clone(), persistent=False)
        self.register_buffer("features", features.clone(), persistent=False)

    @property
    def size(self) -> int:
        """Length of the features."""
        return self.features.shape[1]

    def forward(self, actions: Int[Tensor, "n"] | None = None) -> Float[Tensor, "1 n feature"]:
        """Features of the given valid joint actions, by position; of all when None."""
        return (self.features if actions is None else self.features[actions])[None]


class JointScores(nn.Module):
    """A score for each valid joint action in each state, by each copy of an ensemble.

    Args:
        observation_size: Number of observed numbers.
        nvec: Number of levels of each factor.
        valid_joints: Joint indices (C order) of the valid actions; scores come in this order.
        hidden_size: Units of the state encoder.
        embedding_size: Length of the level embeddings; twice that is the rank of the score matrix.
        copies: Size of the ensemble.
        encoder: Of the actions, instead of learned embeddings.
    """

    def __init__(
        self,
        observation_size: int,
        nvec: Sequence[int],
        valid_joints: Int[Tensor, "valid"],
        *,
        hidden_size: int,
        embedding_size: int,
        copies: int = 1,
        encoder: FixedEncoder | None = None,
    ) -> None:
        """Starts with scores close to zero: uniform over valid actions."""
        super().__init__()
        self.state_encoder = StateEncoder(observation_size, hidden_size, copies)
        self.action_encoder: ActionEncoder | FixedEncoder = encoder or ActionEncoder(
            nvec, valid_joints, embedding_size=embedding_size, copies=copies
        )
        self.query = Linear(copies, hidden_size, self.action_encoder.size)
        nn.init.normal_(self.query.weight, std=1e-2 / hidden_size**0.5)
        nn.init.normal_(self.query.bias, std=1e-2)

    def forward(self, observations: Float[Tensor, "batch observation"]) -> Float[Tensor, "copy batch valid"]:
        """Scores of the valid joint actions, by each copy."""
        return self.query(self.state_encoder(observations)) @ self.action_encoder().transpose(1, 2)

    def of_logged(
        self, observations: Float[Tensor, "batch observation"], actions: Int[Tensor, "batch"]
    ) -> Float[Tensor, "copy batch"]:
        """Scores of one action a state, given by its position among the valid ones, by each copy."""
        return (self.query(self.state_encoder(observations)) * self.action_encoder(actions)).sum(dim=2)


class JointPolicy(nn.Module):
    """An exact policy over the valid joint actions.

    Where the space has a "do nothing" action, doing anything at all is decided first, by a gate, and what to do second,
    by a softmax over the other actions:

        pi(nothing | s) = 1 - g(s),    pi(a | s) = g(s) exp <q(s), e(a)> / sum_{a' not nothing} exp <q(s), e(a')>

    That is a reparameterisation of one softmax over all actions, not an approximation; it lets the likelihood of rows
    where nothing was done, most of them, be computed without the sum.

    Args:
        scores: Scores of all valid joint actions, one copy.
        hidden_size: Units of its state encoder.
        null: Position of "do nothing" among the valid actions, or None.
    """

    def __init__(self, scores: JointScores, *, hidden_size: int, null: int | None) -> None:
        """Starts close to uniform, the gate at one half."""
        super().__init__()
        self.scores = scores
        self.null = null
        self.gate = Linear(1, hidden_size, 1)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    @property
    def action_encoder(self) -> ActionEncoder | FixedEncoder:
        """Embeddings of the actions."""
        return self.scores.action_encoder

    def forward(self, observations: Float[Tensor, "batch observation"]) -> Float[Tensor, "batch valid"]:
        """Normalised log-probabilities of the valid joint actions."""
        hidden = self.encode(observations)
        return self.joint(self.log_what(hidden), self.gate_logits(hidden))

    def encode(self, observations: Float[Tensor, "batch observation"]) -> Float[Tensor, "batch hidden"]:
        """Hidden features of the states, which gate and softmax share."""
        return self.scores.state_encoder(observations)[0]

    def gate_logits(self, hidden: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch"] | None:
        """Log odds of doing anything at all; None where there is no "do nothing"."""
        return None if self.null is None else self.gate(hidden[None])[0, :, 0]

    def log_what(self, hidden: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch valid"]:
        """Log-probabilities of the actions, given that something is done; minus infinity for "do nothing"."""
        scores = self.scores.query(hidden[None])[0] @ self.action_encoder()[0].T
        if self.null is not None:
            barred = torch.zeros(scores.shape[1], device=scores.device)
            barred[self.null] = float("-inf")
            scores = scores + barred
        return torch.log_softmax(scores, dim=1)

    def joint(
        self, log_what: Float[Tensor, "batch valid"], gate_logits: Float[Tensor, "batch"] | None
    ) -> Float[Tensor, "batch valid"]:
        """Log-probabilities of all actions from the two parts."""
        if self.null is None or gate_logits is None:
            return log_what
        log_probabilities = log_what + F.logsigmoid(gate_logits)[:, None]
        log_probabilities[:, self.null] = F.logsigmoid(-gate_logits)
        return log_probabilities

    def log_likelihood(
        self, observations: Float[Tensor, "batch observation"], actions: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch"]:
        """Log-probability of one action a row, given by its position among the valid ones."""
        hidden = self.encode(observations)
        gate = self.gate_logits(hidden)
        if gate is None:
            return self.log_what(hidden).gather(1, actions[:, None])[:, 0]
        # ln P(act) + ln P(action | act) where something was done, else ln P(not act).
        acted = (actions != self.null).nonzero()[:, 0]
        sign = torch.full_like(gate, -1.0).index_fill_(0, acted, 1.0)
        chosen = self.log_what(hidden[acted]).gather(1, actions[acted, None])[:, 0]
        return F.logsigmoid(sign * gate).index_add(0, acted, chosen)

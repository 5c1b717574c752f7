"""The two candidate policies, on the same data: one softmax over joint actions, or one factor after the other.

    python benchmarks/candidates.py

Both are exact and normalised, both embed levels. The autoregressive one gives each factor a softmax whose scores are
bilinear in the state and the embedded levels chosen before it,

    pi(a | s) = prod_f softmax_{a_f}( <M_f q(s) + sum_{g<f} E_g[a_g], E'_f[a_f]> )        over valid continuations

Trained as clones of the behaviour policy; log-likelihood of other members' actions, updates a second, and states a
second for the probabilities of all joint actions (the closed form needs them) and for the best one.
"""

import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from jaxtyping import Float, Int
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.command_line import Parser, check_at_least
from benchmarks.timing import spread
from frl_algos import FactoredReplayBuffer, load_replay_buffer
from frl_algos.networks import JointPolicy, JointScores, StateEncoder
from frl_algos.terms import null_position
from frl_env.actions import ActionSpace
from frl_env.datasets import ensure_dataset
from frl_env.terminal import progress_bar, run_or_say

BATCH_SIZE = 512
HIDDEN_SIZE = 128
EMBEDDING_SIZE = 32
STATES = 8_192


class AutoregressivePolicy(nn.Module):
    """One factor after the other, invalid continuations barred.

    Args:
        observation_size: Number of observed numbers.
        space: The actions.
    """

    joints: Tensor

    def __init__(self, observation_size: int, space: ActionSpace) -> None:
        """Draws the weights."""
        super().__init__()
        self.nvec = space.nvec
        self.state_encoder = StateEncoder(observation_size, HIDDEN_SIZE)
        self.queries = nn.ModuleList(nn.Linear(HIDDEN_SIZE, EMBEDDING_SIZE) for _ in space.nvec)
        self.levels = nn.ParameterList(torch.randn(n, EMBEDDING_SIZE) for n in space.nvec)
        self.prefixes = nn.ParameterList(0.1 * torch.randn(n, EMBEDDING_SIZE) for n in space.nvec)
        valid = space.joint_levels[space.valid_joints]
        self.register_buffer("joints", torch.as_tensor(valid))
        # For each factor and each prefix of levels before it: which levels some valid action goes on with.
        self.masks: list[Tensor] = []
        for f, n in enumerate(space.nvec):
            size = int(np.prod(space.nvec[:f], dtype=np.int64))
            mask = torch.zeros(size, n, dtype=torch.bool)
            mask[torch.as_tensor(self._prefix(valid, f)), torch.as_tensor(valid[:, f])] = True
            self.masks.append(mask)

    def _prefix(self, levels: np.ndarray, f: int) -> np.ndarray:
        codes = np.ravel_multi_index(tuple(levels[:, :f].T), self.nvec[:f]) if f else np.zeros(len(levels))
        return np.asarray(codes, dtype=np.int64)

    def log_likelihood(
        self, observations: Float[Tensor, "batch k"], actions: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch"]:
        """Log-probability of one action a row, given by its position among the valid ones."""
        hidden = self.state_encoder(observations)[0]
        levels = self.joints[actions]
        total = torch.zeros(len(hidden))
        prefix, code = torch.zeros(len(hidden), EMBEDDING_SIZE), torch.zeros(len(hidden), dtype=torch.long)
        for f, n in enumerate(self.nvec):
            scores = (self.queries[f](hidden) + prefix) @ self.levels[f].T
            scores = scores.masked_fill(~self.masks[f][code], float("-inf"))
            total = total + torch.log_softmax(scores, dim=1).gather(1, levels[:, f, None])[:, 0]
            prefix = prefix + self.prefixes[f][levels[:, f]]
            code = code * n + levels[:, f]
        return total

    def forward(self, observations: Float[Tensor, "batch k"]) -> Float[Tensor, "batch valid"]:
        """Log-probabilities of all valid joint actions: all prefixes of each factor at once."""
        hidden = self.state_encoder(observations)[0]
        total = torch.zeros(len(hidden), 1)
        prefix = torch.zeros(1, EMBEDDING_SIZE)
        for f in range(len(self.nvec)):
            own = (self.queries[f](hidden) @ self.levels[f].T)[:, None, :]
            scores = own + (prefix @ self.levels[f].T)[None]
            # A prefix with no valid continuation has no mass itself: any numbers do, and these are not NaN.
            barred = ~self.masks[f] & self.masks[f].any(dim=1, keepdim=True)
            log_level = torch.log_softmax(scores.masked_fill(barred, float("-inf")), dim=2)
            total = (total[:, :, None] + log_level).flatten(1)
            prefix = (prefix[:, None] + self.prefixes[f][None]).flatten(0, 1)
        flat = np.ravel_multi_index(tuple(self.joints.numpy().T), self.nvec)
        return total[:, torch.as_tensor(np.asarray(flat))]


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains both and shows the table."""
    parser = Parser(description="The two candidate policies on the same data.")
    parser.add_argument("--updates", type=int, default=3_000, help="updates (default 3000)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds (default 3)")
    parser.add_argument("--train", default="frl/medicaid-synthetic-v0", help="Minari id")
    parser.add_argument("--test", default="frl/medicaid-synthetic-validation-v0", help="Minari id of other members")
    options = parser.parse_args(arguments)
    check_at_least(options, updates=1, seeds=1)
    with progress_bar() as progress:
        train, test = (
            load_replay_buffer(ensure_dataset(name, progress=progress)) for name in (options.train, options.test)
        )
    mean, std = train.observations.mean(axis=0), train.observations.std(axis=0)
    space, size = train.action_space, train.observations.shape[1]

    def joint() -> nn.Module:
        scores = JointScores(
            size,
            space.nvec,
            torch.as_tensor(space.valid_joints),
            hidden_size=HIDDEN_SIZE,
            embedding_size=EMBEDDING_SIZE,
        )
        return JointPolicy(scores, hidden_size=HIDDEN_SIZE, null=null_position(space))

    table = Table(title=f"{options.train}: {options.updates:,} updates of {BATCH_SIZE}, {options.seeds} seeds")
    for name in ("policy", "log-likelihood, nats a step", "updates/s", "all probabilities, states/s"):
        table.add_column(name, justify="left" if name == "policy" else "right")
    makers: dict[str, Callable[[], nn.Module]] = {
        "gate and joint softmax": joint,
        "autoregressive": lambda: AutoregressivePolicy(size, space),
    }
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in makers}
    for seed in range(options.seeds):
        for name, make in makers.items():
            torch.manual_seed(seed)
            found[name].append(_measure(make(), train, test, mean, std, seed, options.updates))
            print(f"{name}, seed {seed}: {found[name][-1][0]:.4f}", file=sys.stderr, flush=True)
    for name, rows in found.items():
        likelihoods, rates, states = zip(*rows, strict=True)
        table.add_row(
            name,
            f"{np.mean(likelihoods):.4f} ({min(likelihoods):.4f} to {max(likelihoods):.4f})",
            spread(np.asarray(rates)),
            spread(np.asarray(states)),
        )
    console = Console()
    if not console.is_terminal:
        console.width = 130
    console.print(table)


def _measure(
    policy: nn.Module,
    train: FactoredReplayBuffer,
    test: FactoredReplayBuffer,
    mean: np.ndarray,
    std: np.ndarray,
    seed: int,
    updates: int,
) -> tuple[float, float, float]:
    """Log-likelihood on other members, updates a second, states a second."""

    def scaled(buffer: FactoredReplayBuffer) -> Tensor:
        return torch.as_tensor(((buffer.observations - mean) / std).astype(np.float32))

    position = np.full(train.action_space.n_joint, -1)
    position[train.action_space.valid_joints] = np.arange(len(train.action_space.valid_joints))
    observations, actions = scaled(train), torch.as_tensor(position[train.actions])
    optimiser = torch.optim.Adam(policy.parameters(), lr=1e-3, fused=True)
    rng = np.random.default_rng(seed)
    started = time.perf_counter()
    for _ in range(updates):
        rows = torch.as_tensor(rng.integers(len(actions), size=BATCH_SIZE))
        loss = -policy.log_likelihood(observations[rows], actions[rows]).mean()  # type: ignore[operator]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    rate = updates / (time.perf_counter() - started)
    others, taken = scaled(test), torch.as_tensor(position[test.actions])
    with torch.no_grad():
        pieces = [
            policy.log_likelihood(x, a)  # type: ignore[operator]
            for x, a in zip(others.split(8_192), taken.split(8_192), strict=True)
        ]
        started = time.perf_counter()
        for part in others[:STATES].split(512):
            policy(part)
        states = min(STATES, len(others)) / (time.perf_counter() - started)
    return float(torch.cat(pieces).mean()), rate, states


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run_or_say(main)

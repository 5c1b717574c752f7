"""Candidates for the policy, as clones of the behaviour policy: which form, and which encoding of joint actions.

    python benchmarks/studies/encodings.py

The default is one softmax over joint actions with learned embeddings. Beside it: the same with other encodings, and one
factor after the other.

All are exact and normalised. The autoregressive one embeds levels, too, and gives each factor a softmax whose scores
are bilinear in the state and the embedded levels chosen before it,

    pi(a | s) = prod_f softmax_{a_f}( <M_f q(s) + sum_{g<f} E_g[a_g], E'_f[a_f]> )        over valid continuations

Log-likelihood of other members' actions, how far it lies below the default's, updates a second, and states a second
for the probabilities of all joint actions, which the closed form needs. Finished runs are kept and not repeated.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from benchmarks.result_records.kept_results import Kept
from benchmarks.result_records.run_key import content_of_dataset
from benchmarks.result_records.study import Study, Unit
from frl_algos import FactoredAWRConfig, FactoredReplayBuffer, load_replay_buffer
from frl_algos.factored_awr.modules import create_modules
from frl_algos.logged_data.valid_positions import valid_positions
from frl_algos.networks.joint_scores import StateEncoder
from frl_env.actions import ActionSpace
from frl_env.datasets import check_dataset, check_partners, ensure_dataset
from frl_env.terminal import progress_bar, run_or_say

RESULTS = Kept("benchmarks.studies.encodings")
# Sizes of the networks that are compared, and states that the time of a decision is taken over.
BATCH_SIZE = 512
HIDDEN_SIZE = 128
EMBEDDING_SIZE = 32
STATES = 8_192
ENCODERS = {
    "learned": "joint softmax, learned embeddings (default)",
    "one_hot": "joint softmax, one-hot levels and pairs",
    "frozen": "joint softmax, frozen random embeddings",
    "independent": "independent factors",
    "flat": "flat softmax",
}
COLUMNS = {
    "Policy": "{policy}",
    "Log-likelihood, nats a step": "{likelihood:.4f} ({least:.4f} to {most:.4f})",
    "Below (SE)": "{below:.4f} ({error:.4f})",
    "Updates/s": "{updates:,.0f}",
    "All probabilities, states/s": "{states:,.0f}",
}
AUTOREGRESSIVE = "one factor after the other"


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


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--train", default="frl/medicaid-synthetic-v0", help="Minari id")
    parser.add_argument("--test", default="frl/medicaid-synthetic-validation-v0", help="Minari id of other members")


STUDY = Study(
    RESULTS,
    "Candidates for the policy, as clones, on the same data.",
    {"updates": (3_000, 1, "updates"), "seeds": (3, 1, "seeds")},
    _more,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains all and shows the table."""
    options = STUDY.options(arguments)
    for name in (options.train, options.test):
        check_dataset(name)
    with progress_bar() as tell:
        datasets = [ensure_dataset(name, progress=tell) for name in (options.train, options.test)]
    check_partners(*datasets)
    train, test = (load_replay_buffer(dataset) for dataset in datasets)
    content = [content_of_dataset(dataset) for dataset in datasets]
    space, size = train.action_space, train.observations.shape[1]
    makers: dict[str, Callable[[], nn.Module]] = {
        label: partial(_clone, encoder, size, space) for encoder, label in ENCODERS.items()
    }
    makers[AUTOREGRESSIVE] = partial(AutoregressivePolicy, size, space)
    asked = [(name, seed) for seed in range(options.seeds) for name in makers]
    units = [
        Unit(
            f"seed{seed}",
            partial(_measure, makers[name], train, test, seed, options.updates),
            {"policy": name, "seed": seed, "updates": options.updates, "data": content},
        )
        for name, seed in asked
    ]
    found: dict[str, list[np.ndarray]] = {name: [] for name in makers}
    for (name, _), one in zip(asked, STUDY.each(units, options, "clones", kind="array"), strict=True):
        found[name].append(one)
    # After two rates, see `_measure`, comes the log-likelihood of each step.
    ours = np.mean([one[2:] for one in found[ENCODERS["learned"]]], axis=0)
    STUDY.tell(
        [_row(name, each, ours, test) for name, each in found.items()],
        COLUMNS,
        options,
        title=f"{options.train}: {options.updates:,} updates of {BATCH_SIZE}, {options.seeds} seeds",
        caption="Below: what is lacking to the default, in pairs by step; SE over members.",
        data=dict(zip((options.train, options.test), content, strict=True)),
    )


def _row(name: str, found: Sequence[np.ndarray], ours: np.ndarray, test: FactoredReplayBuffer) -> dict[str, Any]:
    """What all seeds of a candidate came to; see `_measure`."""
    # Two rates, then the log-likelihood of each step.
    means = [one[2:].mean() for one in found]
    below = ours - np.mean([one[2:] for one in found], axis=0)
    return {
        "policy": name,
        "likelihood": float(np.mean(means)), "least": float(min(means)), "most": float(max(means)),
        "below": float(below.mean()) if below.any() else None,
        "error": _error_by_member(below, test) if below.any() else None,
        "updates": float(np.mean([one[0] for one in found])), "states": float(np.mean([one[1] for one in found])),
    }  # fmt: skip


def _clone(encoder: str, size: int, space: ActionSpace) -> nn.Module:
    """The algorithm's own clone, with an encoder of actions."""
    config = FactoredAWRConfig(encoder=encoder, hidden_size=HIDDEN_SIZE, embedding_size=EMBEDDING_SIZE)
    return create_modules(observation_size=size, space=space, config=config, device="cpu:0").clone


def _error_by_member(differences: np.ndarray, buffer: FactoredReplayBuffer) -> float:
    """Standard error of a mean over steps, whose steps are alike within a member."""
    totals = np.add.reduceat(differences - differences.mean(), buffer.starts)
    return float(np.sqrt((totals**2).sum())) / len(differences)


def _measure(
    make: Callable[[], nn.Module],
    train: FactoredReplayBuffer,
    test: FactoredReplayBuffer,
    seed: int,
    updates: int,
) -> np.ndarray:
    """Updates a second, states a second, then the log-likelihood of each step of other members."""
    torch.manual_seed(seed)
    policy = make()
    mean, std = train.observations.mean(axis=0), train.observations.std(axis=0)

    def scaled(buffer: FactoredReplayBuffer) -> Tensor:
        return torch.as_tensor(((buffer.observations - mean) / std).astype(np.float32))

    position = valid_positions(train.action_space)
    observations, actions = scaled(train), torch.as_tensor(position[train.actions])
    parameters = [parameter for parameter in policy.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr=1e-3, fused=True)
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
    return np.concatenate(([rate, states], torch.cat(pieces).numpy().astype(np.float64)))


if __name__ == "__main__":
    run_or_say(main)

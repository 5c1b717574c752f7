"""Small, quick fits before training: a clone to judge policies by, and an expectile critic of each half of the people.

They draw from generators of their own, so that the training that follows is the same with and without them.
"""

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from frl_algos.factored_awr.settings import FactoredAWRSettings
from frl_algos.logged_data.replay import FactoredReplayBuffer
from frl_algos.logged_data.scaled_rows import slices
from frl_algos.networks.expectile_critic import ExpectileCritic
from frl_algos.networks.joint_scores import JointScores
from frl_env.actions import ActionSpace

HIDDEN, EMBEDDING = 64, 16
BATCH, BATCH_SCORES = 512, 2**17
"""Rows of an update: fewer where there are many actions, each of which a clone scores."""

RATE = 3e-3
"""Learning rate: higher than in training, as there are few updates."""

TARGET_RATE = 0.02
"""Share of the way that the slow action values move an update, likewise."""

FEWEST, MOST, ROWS_AN_UPDATE = 40, 400, 40
"""Updates of a trial: one for so many rows, within these bounds."""

AT_ONCE = 4_000
"""States scored at once."""


def trial_updates(rows: int) -> int:
    """Updates of a trial on a dataset of so many rows."""
    return min(max(rows // ROWS_AN_UPDATE, FEWEST), MOST)


def quick_clone(
    scaled: Float32[np.ndarray, "row k"],
    actions: Int[np.ndarray, "row"],
    space: ActionSpace,
    *,
    null: int | None,
    wanted: Float32[np.ndarray, "judged k"],
    seed: int,
) -> Float[Tensor, "judged valid"]:
    """Log-probabilities of the logged actions, given that something is done, in the states wanted.

    Args:
        scaled: Scaled observations of rows in which something was done.
        actions: What, as positions among the valid ones.
        space: The actions.
        null: Position of "do nothing", which gets no mass.
        wanted: Scaled observations.
        seed: Of weights and batches.
    """
    rng = np.random.default_rng((seed, 11))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        scores = JointScores(
            scaled.shape[1],
            space.nvec,
            torch.as_tensor(space.valid_joints),
            hidden_size=HIDDEN,
            embedding_size=EMBEDDING,
        )
    barred = torch.zeros(len(space.valid_joints))
    if null is not None:
        barred[null] = float("-inf")
    adam = torch.optim.AdamW(scores.parameters(), lr=RATE, weight_decay=0.0, fused=True)
    batch = min(BATCH, max(BATCH_SCORES // len(space.valid_joints), 16))
    for _ in range(trial_updates(len(scaled))):
        rows = rng.integers(len(scaled), size=batch)
        log = torch.log_softmax(scores(torch.as_tensor(scaled[rows]))[0] + barred, dim=1)
        loss = -log.gather(1, torch.as_tensor(actions[rows]).long()[:, None]).mean()
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
    found = torch.empty(len(wanted), len(space.valid_joints))
    with torch.no_grad():
        for some in slices(len(wanted), AT_ONCE):
            found[some] = torch.log_softmax(scores(torch.as_tensor(wanted[some]))[0] + barred, dim=1)
    return found


def quick_expectile(
    buffer: FactoredReplayBuffer,
    scaled: Float32[np.ndarray, "row k"],
    following: Float32[np.ndarray, "row k"],
    actions: Int[np.ndarray, "row"],
    rows: Int[np.ndarray, "part"],
    settings: FactoredAWRSettings,
    *,
    unit: float,
    wanted: Float32[np.ndarray, "judged k"],
) -> Float[Tensor, "judged valid"]:
    """Advantages in the states wanted, by an expectile critic trained for a moment on some of the rows.

    Args:
        buffer: The data.
        scaled: Its observations, scaled.
        following: The next observations, scaled.
        actions: Logged actions as positions among the valid ones.
        rows: To learn from.
        settings: Of the algorithm.
        unit: Rewards are divided by it.
        wanted: Scaled observations.
    """
    rng = np.random.default_rng((buffer.seed, 12))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(buffer.seed)
        critic = ExpectileCritic(
            scaled.shape[1],
            buffer.action_space.nvec,
            torch.as_tensor(buffer.action_space.valid_joints),
            hidden_size=HIDDEN,
            embedding_size=EMBEDDING,
        )
    learned = [p for p in critic.parameters() if p.requires_grad]
    adam = torch.optim.AdamW(learned, lr=RATE, weight_decay=settings.critic_weight_decay, fused=True)
    for _ in range(trial_updates(len(rows))):
        batch = rows[rng.integers(len(rows), size=BATCH)]
        loss, _ = critic.loss(
            torch.as_tensor(scaled[batch]),
            torch.as_tensor(actions[batch]).long(),
            torch.as_tensor(buffer.rewards[batch] / np.float32(unit)),
            torch.as_tensor(following[batch]),
            torch.as_tensor(buffer.terminals[batch]),
            gamma=settings.gamma,
            expectile=settings.expectile,
        )
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
        critic.update_target(TARGET_RATE)
    with torch.no_grad():
        return torch.cat([critic(part) for part in torch.as_tensor(wanted).split(AT_ONCE)]) * unit

"""Searches for good linear controllers of the DM Control tasks, by trying in the simulator.

    python benchmarks/studies/controller_search.py cheetah-run

Augmented random search (Mania, Guy and Recht 2018, version V2-t). In each round the weights are moved a little in some
directions and back, an episode each; they go on along the directions in which the two returns differ most:

    w <- w + step / (b s) * sum over the b best directions d of (R(w + noise d) - R(w - noise d)) d

s is the standard deviation of those returns. Observations count in their standard deviations, of all that were seen so
far. What is kept is the best of the weights of every tenth round, by the mean return of episodes of their own.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from benchmarks.command_line import Parser
from benchmarks.worlds.dm_control_tasks import controllers
from benchmarks.worlds.dm_control_tasks.controllers import FILE, Controller, in_bins
from benchmarks.worlds.dm_control_tasks.task import TASKS, ControlTask
from benchmarks.worlds.episodes import roll_out
from benchmarks.worlds.world import World
from frl_env.errors import unknown_name
from frl_env.files import atomic
from frl_env.terminal import progress_bar, run_or_say

DIRECTIONS, BEST = 16, 8
"""Of a round, and how many of them count."""

STEP, NOISE = 0.1, 0.2
"""In weights of observations in their standard deviations."""

EVERY, JUDGED_ON = 10, 16
"""Rounds between two looks, and episodes of one."""

PHASES = ((80, 400), (50, 1_000))
"""Rounds, and steps of their episodes: first who moves at all, then who goes on."""

SEED = 83_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Searches and writes what was found beside the others."""
    parser = Parser(description="Search for a linear controller.")
    parser.add_argument("tasks", nargs="+", help=f"of {', '.join(TASKS)}")
    options = parser.parse_args(arguments)
    for task in options.tasks:
        if task not in TASKS:
            raise unknown_name("task", task, TASKS)
    in_all = sum(rounds for rounds, _ in PHASES)
    file = Path(controllers.__file__).parent / FILE
    for task in options.tasks:
        with progress_bar() as tell:
            found, mean = search(ControlTask(task), progress=lambda done, task=task: tell(task, done, in_all))
        print(f"{task}: mean return {mean:.0f}")
        known = json.loads(file.read_text()) if file.exists() else {}
        known[task] = {"weights": found.weights.round(6).tolist(), "bias": found.bias.round(6).tolist()}
        lines = (f" {json.dumps(name)}: {json.dumps(known[name])}" for name in sorted(known))
        atomic.write_text(file, "{\n" + ",\n".join(lines) + "\n}\n")


def search(
    world: World,
    *,
    phases: Sequence[tuple[int, int]] = PHASES,
    seed: int = SEED,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[Controller, float]:
    """The best controller that was looked at in the last phase, and the mean return by which it was chosen.

    Args:
        world: Of three bins an actuator; cut off as the phase says.
        phases: Rounds of `2 * DIRECTIONS` episodes each, and steps of these.
        seed: Of everything.
        progress: Called with the rounds that are done.
    """
    rng = np.random.default_rng(seed)
    shape = (world.observation_size, len(world.nvec))
    weights, scales = np.zeros(shape), _Scales(world.observation_size)
    best, most = scales.controller(weights), -np.inf
    steps_of = [steps for rounds, steps in phases for _ in range(rounds)]
    for number, world.horizon in enumerate(steps_of):
        moves = rng.normal(size=(DIRECTIONS, *shape))
        tried = np.concatenate([weights + NOISE * moves, weights - NOISE * moves])
        returns, shown = _returns(world, tried, scales, (seed, 0, number))
        scales.add(shown)
        ahead, back = returns.reshape(2, DIRECTIONS)
        chosen = np.argsort(-np.maximum(ahead, back))[:BEST]
        spread = np.concatenate([ahead[chosen], back[chosen]]).std()
        if spread > 0:
            weights += STEP / (BEST * spread) * np.einsum("d,dkf->kf", (ahead - back)[chosen], moves[chosen])
        done = number + 1
        if world.horizon == steps_of[-1] and (done == len(steps_of) or done % EVERY == 0):
            looked_at = np.broadcast_to(weights, (JUDGED_ON, *shape))
            mean = float(_returns(world, looked_at, scales, (seed, 1, number))[0].mean())
            if mean > most:
                best, most = scales.controller(weights), mean
        progress(done)
    return best, most


def _returns(
    world: World, weights: Float[np.ndarray, "episode k f"], scales: "_Scales", seed: tuple[int, ...]
) -> tuple[Float[np.ndarray, "episode"], Float[np.ndarray, "row k"]]:
    """Return of an episode with each of some weights, and all that was observed."""
    mean, spread = scales.mean, scales.spread
    rolled = roll_out(
        world, lambda shown, _: in_bins(np.einsum("ek,ekf->ef", (shown - mean) / spread, weights)),
        episodes=len(weights), seed=seed, noisy=False,
    )  # fmt: skip
    return rolled.rewards.sum(axis=1, dtype=np.float64), rolled.observations.reshape(-1, world.observation_size)


class _Scales:
    """Means and standard deviations of what was observed so far."""

    def __init__(self, size: int) -> None:
        self._rows, self._sum, self._squares = 0, np.zeros(size), np.zeros(size)

    def add(self, shown: Float[np.ndarray, "row k"]) -> None:
        self._rows += len(shown)
        self._sum += shown.sum(axis=0, dtype=float)
        self._squares += (shown.astype(float) ** 2).sum(axis=0)

    @property
    def mean(self) -> Float[np.ndarray, "k"]:
        return self._sum / max(self._rows, 1)

    @property
    def spread(self) -> Float[np.ndarray, "k"]:
        if not self._rows:
            return np.ones_like(self._sum)
        spread = np.sqrt(np.maximum(self._squares / self._rows - self.mean**2, 0))
        return np.where(spread > 1e-6, spread, 1.0)  # what never changes counts as it is

    def controller(self, weights: Float[np.ndarray, "k f"]) -> Controller:
        """A controller of unscaled observations that acts as `weights` do on standardised ones."""
        own = weights / self.spread[:, None]
        return Controller(weights=own, bias=-self.mean @ own)


if __name__ == "__main__":
    run_or_say(main)

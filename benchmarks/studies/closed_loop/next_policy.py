"""What a quarter's log says of the next policy, had it made the quarter's lists, and what is true of it."""

from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from benchmarks.studies.closed_loop.log import Log
from benchmarks.studies.closed_loop.settings import NOTHING, QUARTER, Settings
from frl_algos.value_models.counterfactual import Counterfactual
from frl_algos.value_models.fitted_q import fitted_q_evaluation
from frl_env.actions import MEDICAID_ACTIONS as SPACE
from frl_env.capacity import Effort, HeldPrice, held_price
from frl_env.errors import UserError
from frl_env.evaluation import evaluate
from frl_env.parameters import Parameters
from frl_env.simulator.dynamics import step
from frl_env.simulator.population import Members
from frl_env.simulator.state import State, draw_noise, observe
from frl_env.worklist import Lots


@dataclass(frozen=True, eq=False)
class Explored:
    """A policy at a held price with contacts drawn by lot, as `frl_env.worklist.choose` draws them.

    Args:
        held: The policy at its price.
        lots: That are drawn; None for none.
        width: Numbers of an observation; memory and the flag of members without coverage stand behind them.
    """

    held: HeldPrice
    lots: Lots | None
    width: int

    def probabilities(self, rows: np.ndarray) -> Float64[np.ndarray, "row joint"]:
        """Exact chances of all joint actions: by lot where a lot is drawn, else as the policy has them."""
        seen, memory = rows[:, : self.width], rows[:, self.width : -1].astype(np.float64)
        chances = self.held.probabilities(seen, memory)
        if self.lots is not None:
            by_lot = self.lots.chances(self.held.policy.gains(seen, memory))
            chances *= 1 - by_lot.sum(axis=1, keepdims=True)
            chances[:, SPACE.valid_joints] += by_lot
        covered_not = rows[:, -1] > 0
        chances[covered_not] = 0.0
        chances[covered_not, NOTHING] = 1.0
        return chances


def value_next(
    policy: Any,
    log: Log,
    lots: Lots | None,
    begun: State,
    members: Members,
    kept: Bool[np.ndarray, "member"],
    start: int,
    effort: Effort,
    budget: float,
    settings: Settings,
    parameters: Parameters,
    number: int,
) -> dict[str, Any]:
    """What a quarter's log says of the next policy, had it made the quarter's lists, and what is true of it.

    Args:
        policy: The next one.
        log: Of all weeks so far.
        lots: Set aside in the last week to be drawn.
        begun: State at the start of the quarter.
        members: Who they are.
        kept: Members that the policy was trained on; the others value it.
        start: First week of the quarter.
        effort: Minutes of each action.
        budget: Minutes a member-week.
        settings: Of the replicate.
        parameters: The simulated world.
        number: Of the replicate.
    """
    weeks = slice(start, start + QUARTER)
    memories = [np.asarray(policy.start_memory(len(members)), dtype=np.float64)]
    for observations, joints in zip(log.observations, log.joints, strict=True):
        memories.append(np.asarray(policy.remember(memories[-1], observations, joints), dtype=np.float64))
    # The memory of each week, with a last column that says who is in a coverage gap.
    flags = np.stack(log.gap)[:, :, None].astype(np.float64)
    last = np.concatenate((np.stack(memories[:-1]), flags), axis=2)
    seen = log.episodes(~kept, weeks, last)
    width = log.observations[0].shape[1]
    plain = log.episodes(np.ones(len(kept), dtype=bool), weeks, None)
    price = held_price(policy, effort, budget * (1 - settings.explore), plain, seed=number)
    target = Explored(HeldPrice(policy, effort, price), lots, width)
    rng = np.random.default_rng((number, 2, start))
    fitted = fitted_q_evaluation(seen, target.probabilities, rng=rng)
    others = []
    with suppress(UserError):  # too few contacts for the model of responses
        others = [Counterfactual.fit(seen, rng=rng, response=0).estimate(target.probabilities, rng)]
    found = evaluate(seen, target.probabilities, rng=rng, q_values=fitted.values, others=others)
    named = {"weights": found.headline_estimator, **({"model": others[0].name} if others else {})}
    who = np.flatnonzero(~kept & log.active[start])
    truth, error = true_value(target, begun, members, memories[start], who, settings, parameters, (number, 3, start))
    return {
        "intervals": {
            name: [found.results[own].estimate.value, found.results[own].interval.low, found.results[own].interval.high]
            for name, own in named.items()
        },
        "truth": truth,
        "truth_error": error,
        "refused": bool(found.reasons),
        "logged": float(seen.returns().mean()),
    }


def true_value(
    target: Explored,
    begun: State,
    members: Members,
    memory: np.ndarray,
    who: np.ndarray,
    settings: Settings,
    parameters: Parameters,
    seed: tuple[int, ...],
) -> tuple[float, float]:
    """Mean over members of the rewards to be expected of a quarter, from where it began, and its standard error."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(who, settings.copies)
    own, state, mind = _some(members, rows), _some(begun, rows), memory[rows]
    total = np.zeros(len(rows))
    for _ in range(QUARTER):
        seen = observe(state)
        chances = target.probabilities(np.concatenate((seen, mind, state.gap[:, None]), axis=1))
        ladder = np.cumsum(chances, axis=1)
        joints = (ladder < rng.random((len(rows), 1)) * ladder[:, -1:]).sum(axis=1)
        mind = np.asarray(target.held.policy.remember(mind.astype(np.float32), seen, joints), dtype=np.float64)
        state, outcome = step(own, state, SPACE.unravel(joints), draw_noise(rng, len(rows)), parameters)
        total -= outcome.expected
    spread = total.reshape(len(who), settings.copies).std(axis=1, ddof=1) if settings.copies > 1 else np.zeros(len(who))
    return float(total.mean()), float(np.sqrt((spread**2 / settings.copies).sum()) / len(who))


def _some(batch: Any, rows: np.ndarray) -> Any:
    """Some of the members, or of their states, each as often as it is named."""
    taken = {}
    for each in fields(batch):
        values = getattr(batch, each.name)
        taken[each.name] = tuple(one[rows] for one in values) if isinstance(values, tuple) else values[rows]
    return type(batch)(**taken)

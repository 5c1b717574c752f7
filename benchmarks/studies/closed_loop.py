"""The loop on the simulator: lists are made, members respond, what was done comes back, the next policy learns from it.

    history   26 weeks of the care team, logged
    quarter   train on all that was logged; 13 weekly lists within the team's own minutes; log; train; value

Half of the members train the policies. The other half is on the lists all the same, and values the *next*
policy by what the last quarter logged of it, with the chances that the lists stated.

Every arm meets the same members and the same chances, week by week, so that differences between arms have little noise.
Values are sums of the events that were to be expected (`Outcome.expected`), which leaves out the luck of the draw.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from benchmarks.studies.gains_alone import GainsAlone
from frl_algos import FactoredReplayBuffer
from frl_algos.policy_values.counterfactual import Counterfactual
from frl_algos.policy_values.fitted_q import fitted_q_evaluation
from frl_env.actions import MEDICAID_ACTIONS as SPACE
from frl_env.capacity import Capacity, Effort, HeldPrice, held_price
from frl_env.capacity.effort import null_joint
from frl_env.care_effort import care_effort
from frl_env.errors import UserError
from frl_env.evaluation import LoggedEpisodes, evaluate
from frl_env.parameters import Parameters
from frl_env.simulator.behaviour import BehaviourPolicy
from frl_env.simulator.dynamics import enter, step
from frl_env.simulator.population import Members, draw_members
from frl_env.simulator.state import State, draw_noise, observe
from frl_env.worklist import Lots, choose

HISTORY = 26
"""Weeks that the care team logs before the first list."""

QUARTER = 13
QUARTERS = 4
QUARTERS_A_YEAR = 4

ARMS = ("team", "loop", "no exploration", "never relearns")

NOTHING = null_joint(SPACE)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Of one replicate.

    Attributes:
        members: Of the caseload at the start.
        explore: Share of the minutes that is drawn by lot.
        copies: Runs of every member by which the next policy's true value is found.
    """

    members: int
    explore: float
    copies: int


@dataclass(kw_only=True, eq=False)
class Log:
    """What was seen and done, a list entry a week, all members in every array.

    Attributes:
        observations: Before the decision.
        joints: Decisions.
        propensities: Of them.
        rewards: Of the week after.
        active: Who was a member; who was without coverage is one, and is on no list.
        gap: Who was without coverage.
        expected: Events that were to be expected, for true values only.
        minutes: Staff minutes of attempts.
    """

    observations: list[np.ndarray] = field(default_factory=list)
    joints: list[np.ndarray] = field(default_factory=list)
    propensities: list[np.ndarray] = field(default_factory=list)
    rewards: list[np.ndarray] = field(default_factory=list)
    active: list[np.ndarray] = field(default_factory=list)
    gap: list[np.ndarray] = field(default_factory=list)
    expected: list[np.ndarray] = field(default_factory=list)
    minutes: list[np.ndarray] = field(default_factory=list)

    def copy(self) -> "Log":
        """The same weeks, to go on from."""
        return Log(**{each.name: list(getattr(self, each.name)) for each in fields(self)})

    def value(self, weeks: slice) -> float:
        """Minus the events that were to be expected in some weeks, a member-year of those who were there."""
        return -float(np.sum(self.expected[weeks], axis=0).mean()) * QUARTERS_A_YEAR

    def episodes(self, members: Bool[np.ndarray, "member"], weeks: slice, last: np.ndarray | None) -> LoggedEpisodes:
        """The logged weeks of some members, from the first of the weeks on.

        Args:
            members: Whose; those who were not there in the first of the weeks are left out.
            weeks: Which.
            last: Numbers of every member-week to append to the observations, `(week, member, m)`.
        """
        active = np.stack(self.active[weeks], axis=1)
        who = members & active[:, 0]
        observations = np.stack(self.observations[weeks], axis=1)
        if last is not None:
            observations = np.concatenate((observations, np.swapaxes(last[weeks], 0, 1)), axis=2)
        return LoggedEpisodes(
            rewards=np.where(active, np.stack(self.rewards[weeks], axis=1), 0.0)[who],
            lengths=active.sum(axis=1)[who],
            actions=np.stack(self.joints[weeks], axis=1)[who],
            action_space=SPACE,
            observations=observations[who],
            propensities=np.stack(self.propensities[weeks], axis=1)[who],
            simulated=True,
        )


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
        """Exact chances of all joint actions."""
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


@dataclass(kw_only=True, eq=False)
class Arm:
    """One way to run the program, under way.

    Attributes:
        log: All weeks so far.
        state: Now.
        policy: Who makes lists; None for the care team.
        memory: Of the policy.
        lots: Set aside in the last week to be drawn.
    """

    log: Log
    state: State
    policy: Any = None
    memory: np.ndarray | None = None
    lots: Lots | None = None


def replicate(
    number: int, settings: Settings, parameters: Parameters, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """One caseload through history and four quarters, in every arm.

    Args:
        number: Of the replicate; all chances follow from it.
        settings: Of it.
        parameters: The simulated world.
        progress: Called with quarters done and in all.

    Returns:
        `values`, by arm and quarter; `minutes`, the same a member-week; `estimates`, by quarter what the last quarter's
        log says of the next policy and what is true of it.
    """
    world = np.random.default_rng((number, 0))
    members = draw_members(world, settings.members, parameters)
    team = Arm(log=Log(), state=enter(members, world, parameters))
    kept = np.random.default_rng((number, 1)).random(settings.members) < 1 / 2
    effort = care_effort(parameters)
    for week in range(HISTORY):
        _team_week(team, members, week, number, parameters)
    covered = [active & ~gap for active, gap in zip(team.log.active, team.log.gap, strict=True)]
    budget = float(np.sum(team.log.minutes) / np.sum(covered))
    arms = {name: Arm(log=team.log.copy(), state=team.state) for name in ARMS}
    following = dict.fromkeys(ARMS[1:], learn(team.log, kept, effort, number))
    estimates: list[dict[str, Any]] = []
    for quarter in range(QUARTERS):
        start = HISTORY + quarter * QUARTER
        begun = arms["loop"].state
        for name, arm in arms.items():
            if name == "no exploration" and quarter:
                following[name] = learn(arm.log, kept, effort, number)
            if name in following:
                arm.policy = following.pop(name)
                arm.memory = remember_all(arm.policy, arm.log)
            explore = 0.0 if name == "no exploration" else settings.explore
            for week in range(start, start + QUARTER):
                if name == "team":
                    _team_week(arm, members, week, number, parameters)
                else:
                    _list_week(arm, members, week, number, parameters, effort, budget, explore)
            progress(quarter * len(ARMS) + list(ARMS).index(name) + 1, QUARTERS * len(ARMS))
        coming = following["loop"] = learn(arms["loop"].log, kept, effort, number)
        estimates.append(
            value_next(coming, arms["loop"], begun, members, kept, start, effort, budget, settings, parameters, number)
        )
    weeks = [slice(HISTORY + q * QUARTER, HISTORY + (q + 1) * QUARTER) for q in range(QUARTERS)]
    return {
        "values": {name: [arm.log.value(each) for each in weeks] for name, arm in arms.items()},
        "minutes": {
            name: [float(np.sum(arm.log.minutes[each]) / _covered(arm.log, each)) for each in weeks]
            for name, arm in arms.items()
        },
        "budget": budget,
        "estimates": estimates,
    }


def learn(log: Log, kept: Bool[np.ndarray, "member"], effort: Effort, seed: int) -> GainsAlone:
    """A policy trained on everything logged of the members that are kept for it."""
    episodes = log.episodes(kept, slice(None), None)
    mask = episodes.mask
    after = np.stack([*log.observations[1:], log.observations[-1]], axis=1)[kept & log.active[0]]
    buffer = FactoredReplayBuffer(
        observations=episodes.observation_rows,
        actions=SPACE.unravel(episodes.actions[mask]),
        rewards=episodes.rewards[mask].astype(np.float32),
        next_observations=after[mask],
        lengths=episodes.lengths,
        terminated=episodes.lengths < episodes.steps,
        action_space=SPACE,
        seed=seed,
        simulated=True,
    )
    return GainsAlone.learn(buffer, effort, seed=seed)


def remember_all(policy: Any, log: Log) -> np.ndarray:
    """What a policy would have in mind after the logged weeks."""
    memory = policy.start_memory(len(log.joints[0]))
    for observations, joints in zip(log.observations, log.joints, strict=True):
        memory = policy.remember(memory, observations, joints)
    return memory


def value_next(
    policy: Any,
    arm: Arm,
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
        arm: Whose log it is.
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
    log, weeks = arm.log, slice(start, start + QUARTER)
    memories = [np.asarray(policy.start_memory(len(members)), dtype=np.float64)]
    for observations, joints in zip(log.observations, log.joints, strict=True):
        memories.append(np.asarray(policy.remember(memories[-1], observations, joints), dtype=np.float64))
    flags = np.stack(log.gap)[:, :, None].astype(np.float64)
    last = np.concatenate((np.stack(memories[:-1]), flags), axis=2)
    seen = log.episodes(~kept, weeks, last)
    width = log.observations[0].shape[1]
    plain = log.episodes(np.ones(len(kept), dtype=bool), weeks, None)
    price = held_price(policy, effort, budget * (1 - settings.explore), plain, seed=number)
    target = Explored(HeldPrice(policy, effort, price), arm.lots, width)
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


def _team_week(arm: Arm, members: Members, week: int, number: int, parameters: Parameters) -> None:
    team = BehaviourPolicy(parameters)
    levels = team.act(members, arm.state, np.random.default_rng((number, 4, week)))
    chances, _ = team.propensities(members, arm.state, levels)
    _live(arm, members, week, number, parameters, SPACE.ravel(levels), chances)


def _list_week(
    arm: Arm,
    members: Members,
    week: int,
    number: int,
    parameters: Parameters,
    effort: Effort,
    budget: float,
    explore: float,
) -> None:
    """Makes a week's list for who has coverage, and carries it out."""
    assert arm.memory is not None
    observations = observe(arm.state)
    on_list = np.flatnonzero(arm.state.active & ~arm.state.gap)
    joints, chances = np.full(len(members), NOTHING), np.ones(len(members))
    gains = arm.policy.gains(observations[on_list], arm.memory[on_list])
    rng = np.random.default_rng((number, 5, week))
    choice = choose(gains, effort, Capacity(minutes=budget), rng, explore=explore)
    joints[on_list], chances[on_list] = choice.joints, choice.propensities
    arm.lots = choice.lots
    _live(arm, members, week, number, parameters, joints, chances)
    arm.memory = arm.policy.remember(arm.memory, observations, joints)


def _live(
    arm: Arm,
    members: Members,
    week: int,
    number: int,
    parameters: Parameters,
    joints: np.ndarray,
    chances: np.ndarray,
) -> None:
    """One week; its chances are the same in every arm."""
    noise = draw_noise(np.random.default_rng((number, 6, week)), len(members))
    after, outcome = step(members, arm.state, SPACE.unravel(joints), noise, parameters)
    minutes = care_effort(parameters).minutes[joints] * outcome.attempted
    log, state = arm.log, arm.state
    for kept, new in (
        (log.observations, observe(state)), (log.joints, joints), (log.propensities, chances),
        (log.rewards, outcome.reward), (log.active, state.active), (log.gap, state.gap),
        (log.expected, outcome.expected), (log.minutes, minutes),
    ):  # fmt: skip
        kept.append(np.asarray(new))
    arm.state = after


def _covered(log: Log, weeks: slice) -> int:
    return int(sum((active & ~gap).sum() for active, gap in zip(log.active[weeks], log.gap[weeks], strict=True)))


def _some(batch: Any, rows: np.ndarray) -> Any:
    """Some of the members, or of their states, each as often as it is named."""
    taken = {}
    for each in fields(batch):
        values = getattr(batch, each.name)
        taken[each.name] = tuple(one[rows] for one in values) if isinstance(values, tuple) else values[rows]
    return type(batch)(**taken)

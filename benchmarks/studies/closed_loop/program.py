"""The loop on the simulator: lists are made, members respond, what was done comes back, the next policy learns from it.

    history   26 weeks of the care team, logged
    quarter   train on all that was logged; 13 weekly lists within the team's own minutes; log; train; value

Half of the members train the policies. The other half is on the lists all the same, and values the *next*
policy by what the last quarter logged of it, with the chances that the lists stated.

Every arm meets the same members and the same chances, week by week, so that differences between arms have little noise.
Values are sums of the events that were to be expected (`Outcome.expected`), which leaves out the luck of the draw.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from benchmarks.studies.closed_loop.log import Log
from benchmarks.studies.closed_loop.next_policy import value_next
from benchmarks.studies.closed_loop.settings import ARMS, HISTORY, NOTHING, QUARTER, QUARTERS, Settings
from benchmarks.studies.gains_alone import GainsAlone
from frl_algos import FactoredReplayBuffer
from frl_env.actions import MEDICAID_ACTIONS as SPACE
from frl_env.capacity import Capacity, Effort
from frl_env.care_effort import care_effort
from frl_env.parameters import Parameters
from frl_env.simulator.behaviour import BehaviourPolicy
from frl_env.simulator.dynamics import enter, step
from frl_env.simulator.population import Members, draw_members
from frl_env.simulator.state import State, draw_noise, observe
from frl_env.worklist import Lots, choose


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
        loop = arms["loop"]
        estimates.append(
            value_next(
                coming, loop.log, loop.lots, begun, members, kept, start, effort, budget, settings, parameters, number
            )
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


def _team_week(arm: Arm, members: Members, week: int, number: int, parameters: Parameters) -> None:
    """A week in which the care team decides, as it does without a list."""
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

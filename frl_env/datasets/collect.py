"""Collect episodes: the behaviour policy rolled out on freshly drawn members, all weeks kept."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float32, Int64

from frl_env.errors import UserError
from frl_env.kinds import check_kind
from frl_env.parameters import Parameters, preset
from frl_env.references import Policy
from frl_env.rollout import HORIZON, check_asked, rollout
from frl_env.simulator.behaviour import BehaviourPolicy
from frl_env.simulator.information import describe
from frl_env.simulator.population import Members
from frl_env.simulator.state import Outcome, State, observation_names, observe


@dataclass(frozen=True, kw_only=True)
class Episodes:
    """Episodes of unequal length, padded to the longest.

    Observation t is what was seen before action t; row `lengths[i]` is the last one seen. Information row t comes
    with observation t, so the propensity of action t stands in row t + 1.

        observations   o_0   o_1   o_2   ...   o_T
        actions           a_0   a_1   ...   a_T-1
        rewards           r_0   r_1   ...   r_T-1
        information    i_0   i_1   i_2   ...   i_T

    Attributes:
        observations: `(members, T + 1, 7)`, or wider where screening or past contacts are observed.
        actions: `(members, T, 4)`.
        rewards: `(members, T)`.
        lengths: Weeks of each episode.
        terminated: Whether it ended by death or disenrolment, not by the horizon.
        information: `(members, T + 1, k)` each.
    """

    observations: Float32[np.ndarray, "member week measure"]
    actions: Int64[np.ndarray, "member week 4"]
    rewards: Float32[np.ndarray, "member week"]
    lengths: Int64[np.ndarray, "member"]
    terminated: Bool[np.ndarray, "member"]
    information: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.lengths)

    @property
    def mask(self) -> Bool[np.ndarray, "member week"]:
        """Which weeks belong to the episode."""
        return np.arange(self.actions.shape[1]) < self.lengths[:, None]


def collect(
    parameters: Parameters,
    *,
    members: int,
    seed: int | tuple[int, int],
    horizon: int = HORIZON,
    policy: Policy | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Episodes:
    """Rolls out a policy and keeps every week.

    Args:
        parameters: The simulated world.
        members: Number of members, one episode each.
        seed: Seed of members, chances and decisions, or a pair with the number of a shard.
        horizon: Weeks an episode lasts at most.
        policy: Who decides; the world's behaviour policy by default.
        progress: Called with (weeks done, weeks in all).

    Raises:
        UserError: As `rollout`.
    """
    check_asked(parameters, members, horizon)
    behaviour = BehaviourPolicy(parameters)
    seen = parameters.recording.seen
    width = len(observation_names(**seen))
    observations = np.zeros((members, horizon + 1, width), dtype=np.float32)
    actions = np.zeros((members, horizon, 4), dtype=np.int64)
    rewards = np.zeros((members, horizon), dtype=np.float32)
    lengths = np.zeros(members, dtype=np.int64)
    terminated = np.zeros(members, dtype=bool)
    information: dict[str, np.ndarray] = {}

    def keep(row: int, columns: dict[str, np.ndarray]) -> None:
        for key, value in columns.items():
            if key not in information:
                information[key] = np.zeros((members, horizon + 1, value.shape[1]), dtype=value.dtype)
            information[key][:, row] = value

    def record(week: int, who: Members, before: State, levels: np.ndarray, after: State, outcome: Outcome) -> None:
        if week == 0:
            observations[:, 0] = observe(before, **seen)
            keep(0, describe(who, None, None, before, None, behaviour))
        observations[:, week + 1] = observe(after, **seen)
        actions[:, week] = levels
        rewards[:, week] = outcome.reward
        lengths[before.active] = week + 1
        terminated[:] |= outcome.terminated
        keep(week + 1, describe(who, before, levels, after, outcome, behaviour))
        if progress is not None:
            progress(week + 1, horizon)

    rollout(policy or behaviour, parameters, members=members, seed=seed, horizon=horizon, record=record)
    return Episodes(
        observations=observations,
        actions=actions,
        rewards=rewards,
        lengths=lengths,
        terminated=terminated,
        information=information,
    )


def generate_synthetic_data(
    n_patients: int = 1000, n_weeks_per_patient: int = 52, seed: int = 42
) -> tuple[Float32[np.ndarray, "step 7"], Int64[np.ndarray, "step 4"], Float32[np.ndarray, "step"]]:
    """Flat (states, actions, rewards) from the simulator, in the form of the published example.

    Args:
        n_patients: Number of members.
        n_weeks_per_patient: Weeks an episode lasts at most.
        seed: Seed of everything.

    Returns:
        States in raw units, action levels, rewards; one row a member-week, members one after the other.

    Raises:
        UserError: If a number makes no sense.
    """
    for name, number in (("n_patients", n_patients), ("n_weeks_per_patient", n_weeks_per_patient), ("seed", seed)):
        check_kind(name, number, int)
    if n_patients < 1 or n_weeks_per_patient < 1:
        raise UserError(f"at least 1 patient and 1 week are needed, not {n_patients} and {n_weeks_per_patient}")
    episodes = collect(preset(), members=n_patients, seed=seed, horizon=n_weeks_per_patient)
    mask = episodes.mask
    return episodes.observations[:, :-1][mask], episodes.actions[mask], episodes.rewards[mask]

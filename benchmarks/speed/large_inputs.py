"""Made-up inputs as large as one call has to take: a week's gains of a caseload, logged weeks of a policy's targets.

Nothing is to be learned from them but how long `allocate` and `evaluate` take. Both are made a part at a time, so that
the peak memory of a process is that of the call.
"""

from collections.abc import Callable

import numpy as np

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.capacity import Effort
from frl_env.care_effort import care_effort
from frl_env.evaluation import LoggedEpisodes
from frl_env.parameters import preset

PART = 1_000
"""Members whose numbers are drawn at once."""

OBSERVED = 7
"""Numbers in an observation, as in the simulator's base world."""


def care_gains(members: int) -> tuple[np.ndarray, Effort]:
    """Gains of every valid action over doing nothing, larger for some members and for longer contacts; and the minutes.

    Args:
        members: How many.

    Returns:
        An array `(members, 681)` of float32, in events, the first column 0; and minutes as in the simulator.
    """
    effort = care_effort(preset())
    rng = np.random.default_rng(5)
    gains = np.empty((members, len(MEDICAID_ACTIONS.valid_joints)), dtype=np.float32)
    longer = np.sqrt(effort.minutes[MEDICAID_ACTIONS.valid_joints] / 75 + 0.01)
    for start in range(0, members, PART):
        rows = gains[start : start + PART]
        rows[:] = rng.gamma(0.5, 1.0, (len(rows), 1)) * longer * rng.normal(-0.002, 0.01, rows.shape)
    gains[:, 0] = 0
    return gains, effort


def random_weeks(members: int, weeks: int) -> tuple[LoggedEpisodes, Callable[[np.ndarray], np.ndarray], np.ndarray]:
    """Members who were followed for all weeks with actions at random, and a policy that is another in every state.

    Args:
        members: How many.
        weeks: Of each.

    Returns:
        The episodes; the policy, `(n, 7)` observations to `(n, 1080)` probabilities; and `(7, 1080)` weights, whose
        product with observations can stand for a Q.
    """
    rng = np.random.default_rng(0)
    joints = MEDICAID_ACTIONS.valid_joints
    episodes = LoggedEpisodes(
        rewards=-(rng.random((members, weeks)) < 0.02).astype(float),
        lengths=np.full(members, weeks),
        actions=joints[rng.integers(len(joints), size=(members, weeks))],
        action_space=MEDICAID_ACTIONS,
        observations=rng.normal(size=(members, weeks, OBSERVED)).astype(np.float32),
        propensities=np.full((members, weeks), 1 / len(joints)),
    )
    tilt = rng.normal(size=(OBSERVED, len(MEDICAID_ACTIONS.valid))).astype(np.float32) / 10

    def target(observations: np.ndarray) -> np.ndarray:
        powers = np.exp(observations @ tilt) * MEDICAID_ACTIONS.valid
        return powers / powers.sum(axis=1, keepdims=True)

    return episodes, target, tilt

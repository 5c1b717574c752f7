"""A care program whose visits help and whose texts do not, and a policy that learned from it."""

import d3rlpy
import numpy as np

from frl_algos import FactoredAWRConfig, FactoredReplayBuffer
from frl_env.actions import ActionSpace, Factor
from frl_env.capacity.effort import Effort

SPACE = ActionSpace(
    factors=(
        Factor(name="channel", levels=("NONE", "TEXT", "VISIT"), null="NONE"),
        Factor(name="topic", levels=("NONE", "FOOD", "PILLS"), null="NONE"),
    ),
    contact_factors=("channel", "topic"),
)
EFFORT = Effort.of_levels(SPACE, {"channel": {"TEXT": 2, "VISIT": 60}})
MEMBERS, WEEKS = 3_000, 30


def program(
    seed: int = 0, effect: float = 0.6, texts: float = 0.5, *, sign: int = -1, people: np.ndarray | None = None
) -> FactoredReplayBuffer:
    """Members of lasting, unequal risk; answered visits lower it for the six weeks after, texts do nothing.

    Observations: whether the last contact was answered, events of the last week. With a `sign` of 1 events are earned,
    and visits raise their rate. `people` has the number of the person of each episode.
    """
    rng = np.random.default_rng(seed)
    risk = rng.gamma(0.7, 0.15 / 0.7, MEMBERS)
    helped = np.zeros(MEMBERS)
    observations = np.zeros((MEMBERS, WEEKS + 1, 2), dtype=np.float32)
    actions = np.zeros((MEMBERS, WEEKS, 2), dtype=np.int64)
    rewards = np.zeros((MEMBERS, WEEKS), dtype=np.float32)
    for week in range(WEEKS):
        acts = rng.random(MEMBERS) < 0.25
        actions[acts, week, 0] = np.where(rng.random(acts.sum()) < texts, 1, 2)
        actions[acts, week, 1] = rng.integers(1, 3, acts.sum())
        answered = acts & (rng.random(MEMBERS) < 0.5)
        helped = np.where(answered & (actions[:, week, 0] == 2), 6, np.maximum(helped - 1, 0))
        events = rng.poisson(risk * np.where(helped > 0, 1 + sign * effect, 1.0))
        rewards[:, week] = sign * events
        observations[:, week + 1, 0] = answered
        observations[:, week + 1, 1] = events
    rows = MEMBERS * WEEKS
    buffer = FactoredReplayBuffer(
        observations=observations[:, :-1].reshape(rows, 2),
        actions=actions.reshape(rows, 2),
        rewards=rewards.reshape(rows),
        next_observations=observations[:, 1:].reshape(rows, 2),
        lengths=np.full(MEMBERS, WEEKS),
        terminated=np.zeros(MEMBERS, dtype=bool),
        action_space=SPACE,
        people=people,
    )
    buffer.effort = EFFORT
    return buffer


def fitted(buffer: FactoredReplayBuffer, **settings: object):  # type: ignore[no-untyped-def]
    algorithm = FactoredAWRConfig(response=0, td_lambda=0.8, **settings).create()  # type: ignore[arg-type]
    algorithm.fit(buffer, n_steps=2, show_progress=False, logger_adapter=d3rlpy.logging.NoopAdapterFactory())
    return algorithm


def fold(algorithm, buffer: FactoredReplayBuffer, weeks: int):  # type: ignore[no-untyped-def]
    memory = algorithm.start_memory(MEMBERS)
    observations = buffer.observations.reshape(MEMBERS, WEEKS, 2)
    actions = buffer.actions.reshape(MEMBERS, WEEKS)
    for week in range(weeks):
        memory = algorithm.remember(memory, observations[:, week], actions[:, week])
    return memory, observations[:, weeks]

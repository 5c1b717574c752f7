"""Members drawn anew on the simulator, as a learner takes them and as an estimator does."""

from frl_algos.logged_data.replay import FactoredReplayBuffer
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.datasets.collect import Episodes
from frl_env.evaluation import LoggedEpisodes


def buffer_of(episodes: Episodes) -> FactoredReplayBuffer:
    """Simulated episodes as a replay buffer, to learn from."""
    mask = episodes.mask
    return FactoredReplayBuffer(
        observations=episodes.observations[:, :-1][mask],
        actions=episodes.actions[mask],
        rewards=episodes.rewards[mask],
        next_observations=episodes.observations[:, 1:][mask],
        lengths=episodes.lengths,
        terminated=episodes.terminated,
        action_space=MEDICAID_ACTIONS,
        simulated=True,
    )


def logged_of(episodes: Episodes) -> LoggedEpisodes:
    """Simulated episodes as logged ones, to value policies by, with the propensities of what was done."""
    return LoggedEpisodes(
        rewards=episodes.rewards,
        lengths=episodes.lengths,
        actions=MEDICAID_ACTIONS.ravel(episodes.actions),
        action_space=MEDICAID_ACTIONS,
        observations=episodes.observations[:, :-1],
        propensities=episodes.information["propensity"][:, 1:, 0],
        simulated=True,
    )

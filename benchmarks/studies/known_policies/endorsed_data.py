"""Logged data and policies whose true difference to behaviour is known, good and bad ones: care, and small worlds.

Policies that learn do so on other episodes than those they are valued on: FactoredAWR on care data, elsewhere a ridge
regression of the return to go on observations, levels and their products.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from d3rlpy.logging import NoopAdapterFactory
from jaxtyping import Float
from scipy.special import softmax

from benchmarks.policy_scoring.true_values import SEED as TRUTH_SEED
from benchmarks.studies.known_policies.policy_set import Drawn, policy_set
from benchmarks.training.awr_lines import factored_awr
from benchmarks.training.simulated import buffer_of, logged_of
from benchmarks.worlds.episodes import log_rows, references, true_returns
from benchmarks.worlds.registry import world_entry
from benchmarks.worlds.world import World
from frl_algos.policies.policy import LearnedPolicy, Probabilities
from frl_algos.quiet import quiet_d3rlpy
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.datasets.collect import Episodes, collect
from frl_env.datasets.recipes import recipe
from frl_env.evaluation import LoggedEpisodes
from frl_env.reference_returns import reference_policies
from frl_env.references import ObservationPolicy
from frl_env.rollout import rollout, standard_error
from frl_env.simulator.state import observation_names

MEMBERS, TRUTH = 1_000, 2_000
"""Of care data, and of a true value there."""

CARE_POLICIES = ("no_program", "random", "heuristic", "best_observation_only", "best_for_the_others")
"""Of `policy_set`, where it has them."""

STEPS = 200
"""Updates of the policies learned on care data: FactoredAWR finds effects in closed form, before the first."""

Seed = tuple[int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Known:
    """One draw of data.

    Attributes:
        episodes: What was logged, with propensities as they are known.
        response: Index of the observation that is named as a response; None where there is none.
        policies: By name.
        truth: True difference to behaviour of each, and the error of that.
    """

    episodes: LoggedEpisodes
    response: int | None
    policies: Mapping[str, Probabilities]
    truth: Mapping[str, tuple[float, float]]


def care(name: str, seed: Seed) -> Known:
    """Members drawn anew in the world of a care dataset."""
    world = recipe(f"frl/medicaid-synthetic-{name}").world
    logged = collect(world.parameters, members=MEMBERS, seed=seed)
    episodes = logged_of(logged)
    other = collect(world.parameters, members=MEMBERS, seed=(*seed, 1))
    usual = np.bincount(MEDICAID_ACTIONS.ravel(other.actions)[other.mask], minlength=MEDICAID_ACTIONS.n_joint)
    contacts = np.where(np.arange(len(usual)) == MEDICAID_ACTIONS.ravel(MEDICAID_ACTIONS.null_action), 0, usual)
    chosen = policy_set(world, {})
    policies = {
        "clone": _always(usual / usual.sum()),
        "collapsed": _always(np.eye(len(usual))[contacts.argmax()]),
        **{key: chosen[key] for key in CARE_POLICIES if key in chosen},
        **_learned(other, observation_names(**world.seen)),
    }

    def value(policy: Any) -> np.ndarray:
        return rollout(policy, world.parameters, members=TRUTH, seed=TRUTH_SEED).value

    behaviour = value(reference_policies(world)["behaviour"])
    gains = {key: value(ObservationPolicy(Drawn(each), **world.seen)) - behaviour for key, each in policies.items()}
    truth = {key: (float(gain.mean()), standard_error(gain)) for key, gain in gains.items()}
    return Known(episodes=episodes, response=0, policies=policies, truth=truth)


def _learned(other: Episodes, names: Sequence[str]) -> dict[str, Probabilities]:
    """FactoredAWR on other members: as it draws, and greedy."""
    buffer = buffer_of(other)
    torch.manual_seed(0)
    algorithm = factored_awr(names, MEDICAID_ACTIONS).create()
    with quiet_d3rlpy():
        algorithm.fit(
            buffer,
            n_steps=STEPS,
            n_steps_per_epoch=STEPS,
            show_progress=False,
            logger_adapter=NoopAdapterFactory(),
        )
    return {
        "learned": LearnedPolicy(algorithm, MEDICAID_ACTIONS, "stochastic").probabilities,
        "greedy": LearnedPolicy(algorithm, MEDICAID_ACTIONS, "greedy").probabilities,
    }


def elsewhere(name: str, rows: int, seed: Seed) -> Known:
    """Episodes of a small world; propensities are not known there, and estimated."""
    world = world_entry(name).make()
    space = world.space
    # Policies are valued on `logged` and learned from `other`.
    logged, other = (log_rows(world, rows=rows, seed=int(np.dot(seed, (1, 2))) + half) for half in (0, 1))
    episodes = LoggedEpisodes(
        rewards=logged.rewards.astype(float),
        lengths=logged.lengths,
        actions=np.where(logged.mask, space.ravel(logged.actions), 0),
        action_space=space,
        observations=logged.observations[:, :-1],
        simulated=True,
    )
    taken = space.ravel(other.actions)[other.mask]
    usual = np.bincount(taken, minlength=space.n_joint) / len(taken)
    to_go = np.cumsum(other.rewards[:, ::-1], axis=1)[:, ::-1][other.mask]
    q = _regression(space.joint_levels, space.nvec, other.observations[:, :-1][other.mask], taken, to_go)
    policies: dict[str, Probabilities] = {
        "clone": _always(usual),
        "collapsed": _always(np.eye(space.n_joint)[usual.argmax()]),
        "random": _always(np.full(space.n_joint, 1 / space.n_joint)),
        "learned": lambda x: softmax(q(x), axis=1),
        "greedy": lambda x: np.eye(space.n_joint)[q(x).argmax(axis=1)],
        "mild": lambda x: 0.8 * usual + 0.2 * softmax(q(x), axis=1),
        "reversed": lambda x: softmax(-q(x), axis=1),
    }
    behaviour = references(world).logged
    gains = {key: true_returns(world, _drawn(world, each)) - behaviour for key, each in policies.items()}
    # The value of behaviour is of as many episodes, on chances of its own.
    truth = {key: (float(gain.mean()), float(np.sqrt(2) * standard_error(gain))) for key, gain in gains.items()}
    return Known(episodes=episodes, response=None, policies=policies, truth=truth)


SETS: dict[str, Callable[[Seed], Known]] = {
    "bandit, 5,000 rows": partial(elsewhere, "bandit-20k", 5_000),
    "bandit, 20,000 rows": partial(elsewhere, "bandit-20k", 20_000),
    "rooms": partial(elsewhere, "rooms", 10_000),
    "XOR": partial(elsewhere, "xor", 10_000),
    "XOR by state": partial(elsewhere, "xor-state", 10_000),
    "care small-v0": partial(care, "small-v0"),
    "care random-v0": partial(care, "random-v0"),
    "care null-v0": partial(care, "null-v0"),
}
"""Makes a draw of each kind of data."""


def _always(chances: Float[np.ndarray, "joint"]) -> Probabilities:
    """A policy that has these chances whatever it observes."""
    return lambda observations: np.tile(chances.astype(np.float32), (len(observations), 1))


def _drawn(world: World, policy: Probabilities) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
    """The policy as a function that draws levels, to log data with."""

    def decide(observations: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        cumulative = np.cumsum(policy(observations), axis=1, dtype=np.float64)
        joint = (cumulative <= rng.random((len(observations), 1)) * cumulative[:, -1:]).sum(axis=1)
        return world.space.unravel(joint)

    return decide


def _regression(levels: Any, nvec: Any, observations: Any, taken: Any, to_go: Any) -> Probabilities:
    """Q of all joint actions, linear in levels and their products with the observation."""
    shown = np.concatenate([np.eye(n)[levels[:, f]] for f, n in enumerate(nvec)], axis=1)

    def state(x: np.ndarray) -> np.ndarray:
        return np.concatenate([np.ones((len(x), 1)), x], axis=1)

    x = state(observations)
    columns = (x[:, :, None] * shown[taken][:, None]).reshape(len(x), -1)
    weights = np.linalg.solve(columns.T @ columns + 10 * np.eye(columns.shape[1]), columns.T @ to_go)
    return lambda asked: state(asked) @ weights.reshape(x.shape[1], -1) @ shown.T

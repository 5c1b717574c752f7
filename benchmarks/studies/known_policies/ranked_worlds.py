"""Worlds in which off-policy estimators are ranked: logged episodes, many policies, and what each is truly worth.

| World | Confounding | A response | Horizon | Policies |
|---|---|---|---|---|
| care | needs that no record shows | whether an attempt was answered | 52 | references, blends, channels |
| sepsis | none: the state is seen | none | 20 | fitted Q iteration, 96 |
| icu | none | none | until it ends, 9 on average | fitted Q iteration, blends with the best |
| rooms | none | none | 10 | fitted Q iteration |

Policies by fitted Q iteration differ in features, iterations, episodes learned from, and in how often they do anything;
as in Tang & Wiens (2021) they are what somebody would choose among. They learn on other episodes than those they are
valued on. Propensities are known but in the rooms.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from benchmarks.policy_scoring.true_values import SEED as TRUTH_SEED
from benchmarks.sepsis.dataset import collect_sepsis
from benchmarks.sepsis.environment import SEPSIS_ACTIONS, SepsisTables, one_hot
from benchmarks.studies.known_policies.markov_q import Regression
from benchmarks.studies.known_policies.policy_set import (
    Drawn,
    blend,
    heuristic,
    linear,
    nothing,
    over,
    policy_set,
    uniform,
)
from benchmarks.studies.known_policies.q_forms import Shape
from benchmarks.worlds.episodes import references, roll_out, true_returns
from benchmarks.worlds.rooms import Rooms
from benchmarks.worlds.sepsis_treatments import GAMMA, SepsisTreatments
from frl_algos.policies.policy import Probabilities
from frl_env.actions import MEDICAID_ACTIONS, ActionSpace
from frl_env.datasets.collect import Episodes, collect
from frl_env.datasets.recipes import recipe
from frl_env.evaluation import LoggedEpisodes
from frl_env.reference_returns import reference_policies
from frl_env.references import ObservationPolicy
from frl_env.rollout import rollout
from frl_env.search.policy_search import best_observation_only

CARE_MEMBERS, CARE_TRUTH = 1_000, 4_000
"""Of a draw of care data, and of a true value."""

EPISODES = 5_000
"""Of a draw of any other world."""

Seed = tuple[int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranked:
    """One draw of a world.

    Attributes:
        episodes: What was logged.
        discount: Of a step.
        response: Index of the observation that is a response; None where there is none.
        shape: Of Q where the record is a Markov state; None where it is not, for `frl_algos.fitted_q_evaluation`.
        policies: By name.
        truth: Their true values.
        behaviour: True value of the logging policy.
    """

    episodes: LoggedEpisodes
    discount: float
    response: int | None
    shape: Shape | None
    policies: Mapping[str, Probabilities]
    truth: Mapping[str, float]
    behaviour: float


def care(seed: Seed) -> Ranked:
    """Members of the world of -v0."""
    world = recipe("frl/medicaid-synthetic-v0").world
    logged = collect(world.parameters, members=CARE_MEMBERS, seed=seed)
    found = best_observation_only(world)
    assert found is not None
    best = linear(found)
    policies = policy_set(world, {})
    for name, policy in (("heuristic", heuristic), ("best", best)):
        policies |= {f"{name} {share:.0%}": blend(policy, nothing, share) for share in (0.1, 0.35, 0.65, 0.8)}
        channels = ("VIDEO_VISIT", "HOME_VISIT", *(("PHONE_CALL", "SMS_TEXT") if name == "heuristic" else ()))
        policies |= {f"{name} by {channel.lower()}": over(channel, policy) for channel in channels}
    policies["heuristic or random"] = blend(heuristic, uniform, 0.5)

    def value(policy: object) -> float:
        return float(rollout(policy, world.parameters, members=CARE_TRUTH, seed=TRUTH_SEED).value.mean())

    return Ranked(
        episodes=_logged(logged, MEDICAID_ACTIONS, logged.information["propensity"][:, 1:, 0]),
        discount=1.0,
        response=0,
        shape=None,
        policies=policies,
        truth={name: value(ObservationPolicy(Drawn(each), **world.seen)) for name, each in policies.items()},
        behaviour=value(reference_policies(world)["behaviour"]),
    )


def sepsis(seed: Seed) -> Ranked:
    """Patients of the sepsis simulator, nine in ten treated in the best way: 96 policies as Tang & Wiens have."""
    world = SepsisTreatments(epsilon=0.1)
    logged, other = (roll_out(world, None, episodes=EPISODES, seed=(*seed, half), noisy=True) for half in (0, 1))
    place = {tuple(row): number for number, row in enumerate(world.observations.astype(int).tolist())}
    steps = logged.observations[:, :-1][logged.mask].astype(int).tolist()
    state, joint = np.array([place[tuple(row)] for row in steps]), world.space.ravel(logged.actions[logged.mask])
    propensities = np.ones(logged.mask.shape)
    propensities[logged.mask] = world.logging_policy[state, joint]
    shapes = [Shape(pairs=pairs, joint=joint) for pairs in (False, True) for joint in (False, True)]
    policies = _by_iteration(_logged(other, world.space), shapes, (1, 2, 4, 8, 16, 32), GAMMA)
    value = world.process.value
    return Ranked(
        episodes=_logged(logged, world.space, propensities),
        discount=GAMMA,
        response=None,
        shape=Shape(pairs=False, joint=True, cells=True),
        policies=policies,
        truth={name: value(each(world.observations), steps=world.horizon) for name, each in policies.items()},
        behaviour=value(world.logging_policy, steps=world.horizon),
    )


def icu(seed: Seed) -> Ranked:
    """Patients of ICU-Sepsis, under its clinicians; policies take actions that these took often enough."""
    tables = SepsisTables.load()
    logged, other = (collect_sepsis(tables, episodes=EPISODES, seed=(*seed, half)) for half in (0, 1))
    shapes = [Shape(pairs=False, joint=joint) for joint in (False, True)]
    place = {row.tobytes(): number for number, row in enumerate(tables.observations[: tables.living])}

    def known(table: np.ndarray) -> Probabilities:
        return lambda observations: table[[place.get(row.tobytes(), -1) for row in observations]]

    # Of other actions the tables hold no outcome of their own, and no data does: they are not to be chosen.
    open_to = np.where(np.arange(len(tables.expert))[:, None] < tables.living, tables.admissible, True)
    everything = open_to / open_to.sum(axis=1, keepdims=True)
    after = tables.transitions[:, :, : tables.living] @ tables.state_values(tables.best_policy())
    best = one_hot(np.where(open_to, tables.rewards + after, -np.inf).argmax(axis=1), SEPSIS_ACTIONS.n_joint)
    policies = _by_iteration(_logged(other, SEPSIS_ACTIONS), shapes, (1, 4, 16), 1.0, open_to=known(open_to))

    # What learning finds hardly differs in value here; blends with the best policy do.
    shares = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    policies |= {f"best {share:.0%}, else any": blend(known(best), known(everything), share) for share in shares}
    policies |= {f"best {share:.0%}, else expert": blend(known(best), known(tables.expert), share) for share in shares}
    return Ranked(
        episodes=_logged(logged, SEPSIS_ACTIONS, logged.information["propensity"][:, 1:, 0]),
        discount=1.0,
        response=None,
        shape=Shape(pairs=False, joint=True, cells=True),
        policies=policies,
        truth={name: tables.value(each(tables.observations)) for name, each in policies.items()},
        behaviour=tables.references["expert"],
    )


def rooms(seed: Seed) -> Ranked:
    """Ten rooms in a row; propensities are estimated."""
    world = Rooms()
    logged, other = (roll_out(world, None, episodes=EPISODES, seed=(*seed, half), noisy=True) for half in (0, 1))
    shapes = [Shape(pairs=False, joint=joint) for joint in (False, True)]
    policies = _by_iteration(_logged(other, world.space), shapes, (1, 2, 4, 6, 8, 10), 1.0)
    return Ranked(
        episodes=_logged(logged, world.space),
        discount=1.0,
        response=None,
        shape=Shape(pairs=False, joint=True, cells=True),
        policies=policies,
        truth={name: float(true_returns(world, _drawn(world.space, each)).mean()) for name, each in policies.items()},
        behaviour=references(world).logged,
    )


WORLDS: dict[str, Callable[[Seed], Ranked]] = {"care": care, "sepsis": sepsis, "icu": icu, "rooms": rooms}


def _logged(drawn: Episodes, space: ActionSpace, propensities: np.ndarray | None = None) -> LoggedEpisodes:
    """What was rolled out as logged episodes; with their propensities where these are given."""
    whole = LoggedEpisodes(
        rewards=drawn.rewards.astype(float),
        lengths=drawn.lengths,
        actions=np.where(drawn.mask, space.ravel(np.where(drawn.mask[..., None], drawn.actions, 0)), 0),
        action_space=space,
        observations=drawn.observations[:, :-1],
        simulated=True,
    )
    return whole if propensities is None else replace(whole, propensities=np.where(drawn.mask, propensities, 1.0))


def _by_iteration(
    episodes: LoggedEpisodes,
    shapes: Sequence[Shape],
    iterations: Sequence[int],
    discount: float,
    open_to: Probabilities | None = None,
) -> dict[str, Probabilities]:
    """Greedy policies of fitted Q iteration: all episodes or a tenth, doing anything in 1 % or 20 % of the steps.

    `open_to` says which actions there are in a state, where these are not all.
    """
    found: dict[str, Probabilities] = {}
    for size in (len(episodes), len(episodes) // 10):
        part = episodes.subset(np.arange(size))
        for shape in shapes:
            fit = Regression(part, shape, discount)
            for done, weights in fit.improved(iterations).items():
                for anything in (0.01, 0.2):
                    columns = f"{'pairs' if shape.pairs else 'linear'}, {'joint' if shape.joint else 'levels'}"
                    name = f"{columns}, {size} episodes, {done} iterations, {anything:.0%} anything"
                    found[name] = _greedy(fit, weights, anything, open_to)
    return found


def _greedy(
    fit: Regression, weights: Float[np.ndarray, "column action"], anything: float, open_to: Probabilities | None
) -> Probabilities:
    """The policy that takes the action of the largest Q, or with chance `anything` any that `open_to` allows."""

    def probabilities(observations: np.ndarray) -> np.ndarray:
        q = fit.q(weights, observations)
        there = np.ones(q.shape) if open_to is None else open_to(observations)
        best = np.where(there > 0, q, -np.inf).argmax(axis=1)
        return (1 - anything) * np.eye(q.shape[1])[best] + anything * there / there.sum(axis=1, keepdims=True)

    return probabilities


def _drawn(space: ActionSpace, policy: Probabilities) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
    """The policy as a function that draws levels, to log data with."""

    def decide(observations: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        cumulative = np.cumsum(policy(observations), axis=1, dtype=np.float64)
        return space.unravel((cumulative <= rng.random((len(observations), 1)) * cumulative[:, -1:]).sum(axis=1))

    return decide

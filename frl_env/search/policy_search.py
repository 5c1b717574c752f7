"""The best policy on the observations that search can find on the simulator itself.

It bounds what an offline learner can hope for: it may try things out as often as it likes, it earns the true expected
events instead of the noisy counts, and it is compared, member by member, with a twin who meets the same chances
without any program. What it may not do is see more than `observe` shows.

Search is on-policy policy gradient (Williams 1992) on a policy that is linear in features of the observations:

    contact     sigmoid(x w)                          urgency    sigmoid(x v)        given a contact
    modality    softmax(x M)   given a contact        goal       softmax(x G)        given a contact
    provider    softmax(P[goal])

The advantage of week t is what the member is spared against the twin from week t on, less its mean over members.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.errors import UserError, check_whole
from frl_env.files import atomic
from frl_env.parameters import NEEDS, VERSION, Parameters
from frl_env.references import NoProgram
from frl_env.rollout import HORIZON
from frl_env.simulator.behaviour import pick
from frl_env.simulator.dynamics import enter, step
from frl_env.simulator.population import Members, draw_members
from frl_env.simulator.state import State, draw_noise, observe
from frl_env.worlds import LADDER, World

HEADS = {"contact": 1, "modality": 5, "goal": 17, "urgency": 1}
"""Width of each head that is linear in the features; NONE is not a choice of its own."""

SEARCH_SEED = 71_001
_FILE = "data/best_observation_only.json"
_N_SEEN = 7
"""Measures that every world shows."""

_N_MEASURES, _N_PROVIDERS = 14, 4


@dataclass(frozen=True, eq=False)
class LinearPolicy:
    """A stochastic policy on the observations, linear in their features.

    Args:
        weights: `contact`, `modality`, `goal`, `urgency`: `(feature, width)`; `provider`: `(17, 4)`.
        screening: Whether screening results are among the observations.
    """

    weights: dict[str, Float64[np.ndarray, "feature width"]]
    screening: bool = False

    def act(self, members: Members, state: State, rng: np.random.Generator) -> Int64[np.ndarray, "member 4"]:
        """Draws a decision from what is observed."""
        return self.decide(observe(state, screening=self.screening), rng)

    def decide(
        self, observations: Float32[np.ndarray, "member measure"], rng: np.random.Generator
    ) -> Int64[np.ndarray, "member 4"]:
        """Draws a decision for every row of observations, raw units."""
        x = features(observations)
        uniform = rng.random((5, len(x)))
        levels = np.zeros((len(x), len(MEDICAID_ACTIONS.nvec)), dtype=np.int64)
        contact = np.flatnonzero(uniform[0] < _sigmoid(x @ self.weights["contact"])[:, 0])
        x = x[contact]
        goal = pick(_softmax(x @ self.weights["goal"]), uniform[1, contact])
        levels[contact, 0] = 1 + pick(_softmax(x @ self.weights["modality"]), uniform[2, contact])
        levels[contact, 1] = 1 + pick(_softmax(self.weights["provider"])[goal], uniform[3, contact])
        levels[contact, 2] = 1 + goal
        levels[contact, 3] = uniform[4, contact] < _sigmoid(x @ self.weights["urgency"])[:, 0]
        return levels

    def score_gradient(
        self,
        observations: Float32[np.ndarray, "member measure"],
        levels: Int64[np.ndarray, "member 4"],
        advantage: Float64[np.ndarray, "member"],
    ) -> dict[str, Float64[np.ndarray, "feature width"]]:
        """Sum over members of the advantage times the gradient of the log-probability of the decision."""
        x = features(observations)
        contact = levels[:, 0] > 0
        # The gradient of a logit's or softmax's log-probability is (chosen - probability) times the features.
        missed = contact - _sigmoid(x @ self.weights["contact"])[:, 0]
        gradient: dict[str, np.ndarray] = {"contact": x.T @ (advantage * missed)[:, None]}
        x, chosen, weight = x[contact], levels[contact] - 1, advantage[contact][:, None]
        for head, column in (("modality", 0), ("goal", 2)):
            residual = np.eye(HEADS[head])[chosen[:, column]] - _softmax(x @ self.weights[head])
            gradient[head] = x.T @ (weight * residual)
        goal = chosen[:, 2]
        residual = np.eye(_N_PROVIDERS)[chosen[:, 1]] - _softmax(self.weights["provider"])[goal]
        gradient["provider"] = np.zeros_like(self.weights["provider"])
        np.add.at(gradient["provider"], goal, weight * residual)
        urgent = levels[contact, 3][:, None] - _sigmoid(x @ self.weights["urgency"])
        gradient["urgency"] = x.T @ (weight * urgent)
        return gradient

    def to_json(self) -> dict[str, Any]:
        """Rounded weights and what they are for, JSON-able."""
        rounded = {name: np.round(value, 3).tolist() for name, value in self.weights.items()}
        return {"screening": self.screening, "weights": rounded}

    @classmethod
    def from_json(cls, text: dict[str, Any]) -> "LinearPolicy":
        """The policy that `to_json` wrote."""
        weights = {name: np.asarray(value, dtype=np.float64) for name, value in text["weights"].items()}
        return cls(weights, screening=bool(text["screening"]))


def features(observations: Float32[np.ndarray, "member measure"]) -> Float64[np.ndarray, "member feature"]:
    """Features of order 1: counts as steps, spending as a bent line, screening results and their number."""
    encounters, ed, ip, calls, texts, days, paid = observations[:, :_N_SEEN].T.astype(np.float64)
    spent = np.log1p(paid / 1000.0)
    columns = [
        np.ones_like(ed),
        ed >= 1,
        ed >= 2,
        ip >= 1,
        encounters >= 1,
        encounters >= 2,
        calls >= 1,
        texts >= 1,
        spent / 2,
        np.maximum(spent - 1.0, 0.0),
        np.maximum(spent - 2.0, 0.0),
        paid == 0,
        np.minimum(days / 365.0, 3.0) - 1.0,
        (ip >= 1) & (ed >= 1),
    ]
    x = np.stack(columns, axis=1).astype(np.float64)
    if observations.shape[1] == _N_SEEN:
        return x
    flags = observations[:, _N_SEEN:].astype(np.float64)
    return np.concatenate((x, flags, flags.sum(axis=1, keepdims=True) / 5), axis=1)


def search(
    parameters: Parameters,
    *,
    members: int = 8_000,
    updates: int = 300,
    learning_rate: float = 0.1,
    seed: int = SEARCH_SEED,
    progress: Callable[[int, int], None] | None = None,
) -> LinearPolicy:
    """Searches for the best policy on the observations.

    Args:
        parameters: The simulated world.
        members: New members drawn for every update.
        updates: Number of updates.
        learning_rate: Of Adam at the start; falls linearly to a twentieth.
        seed: Seed of everything.
        progress: Called with (updates done, updates in all).

    Raises:
        UserError: If a number is out of range.
    """
    check_whole("members", members, low=2, high=10**7)
    check_whole("updates", updates, low=1, high=10**6)
    screening = parameters.recording.screening > 0
    width = _N_MEASURES + (len(NEEDS) + 1 if screening else 0)
    weights = {head: np.zeros((width, size)) for head, size in HEADS.items()}
    weights["provider"] = np.zeros((HEADS["goal"], _N_PROVIDERS))
    weights["contact"][0] = -1.5
    policy = LinearPolicy(weights, screening=screening)
    first, second = ({name: np.zeros_like(value) for name, value in weights.items()} for _ in range(2))
    average = {name: np.zeros_like(value) for name, value in weights.items()}
    last_quarter = updates - max(1, updates // 4)
    for update in range(updates):
        gradient = _gradient(policy, parameters, members, (seed, update))
        rate = learning_rate * (1 - 0.95 * update / updates)
        for name, value in gradient.items():
            first[name] = 0.9 * first[name] + 0.1 * value
            second[name] = 0.99 * second[name] + 0.01 * value**2
            corrected = second[name] / (1 - 0.99 ** (update + 1))
            weights[name] += rate * first[name] / (1 - 0.9 ** (update + 1)) / (np.sqrt(corrected) + 1e-8)
            if update >= last_quarter:
                average[name] += weights[name] / (updates - last_quarter)
        if progress is not None:
            progress(update + 1, updates)
    return LinearPolicy(average, screening=screening)


def best_observation_only(world: World) -> LinearPolicy | None:
    """The policy that search found for this world, or None when none was searched for.

    Only effects and recording matter to it, not how the care team behaves.

    Raises:
        UserError: If it was found for another version of the parameters.
    """
    stored = _stored()
    if stored["parameters_version"] != VERSION:
        raise UserError("the stored policies are of another parameter version; run 'frl references --search'")
    entry = stored["policies"].get(search_key(world.parameters))
    return None if entry is None else LinearPolicy.from_json(entry)


def search_key(parameters: Parameters) -> str:
    """What the best policy on the observations depends on: effect strength and screening."""
    return f"strength {float(parameters.effects.strength)!r}, screening {float(parameters.recording.screening)!r}"


def search_all(progress: Callable[[str, int, int], None]) -> Path:
    """Searches once for every kind of world in the ladder where contacts do something; writes into the package.

    Raises:
        UserError: If the package's folder can't be written.
    """
    worlds = {search_key(world.parameters): world.parameters for world in LADDER.values()}
    found = {}
    for key, parameters in worlds.items():
        if parameters.effects.strength > 0:
            policy = search(parameters, progress=partial(progress, key))
            found[key] = policy.to_json()
    place = Path(str(resources.files("frl_env").joinpath(_FILE)))
    try:
        atomic.write_text(place, json.dumps({"parameters_version": VERSION, "policies": found}) + "\n")
    except OSError as problem:
        raise UserError(f"can't write {place} ({problem.strerror}); --search is for a checkout") from problem
    _stored.cache_clear()
    return place


@lru_cache(maxsize=1)
def _stored() -> dict[str, Any]:
    return json.loads(resources.files("frl_env").joinpath(_FILE).read_text())


def _gradient(
    policy: LinearPolicy, parameters: Parameters, members: int, seed: tuple[int, int]
) -> dict[str, np.ndarray]:
    """Policy gradient from one year of new members and their twins."""
    who, world, own = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(3))
    drawn = draw_members(who, members, parameters)
    state = twin = enter(drawn, world, parameters)
    nothing = NoProgram().act(drawn, state, own)
    seen, done, spared, active = [], [], [], []
    for _ in range(HORIZON):
        observations = observe(state, screening=policy.screening)
        levels = policy.decide(observations, own)
        noise = draw_noise(world, members)
        active.append(state.active & ~state.gap)
        state, outcome = step(drawn, state, levels, noise, parameters)
        twin, without = step(drawn, twin, nothing, noise, parameters)
        seen.append(observations)
        done.append(levels)
        spared.append(without.expected - outcome.expected)
    to_go = np.cumsum(np.asarray(spared)[::-1], axis=0)[::-1]
    total = {name: np.zeros_like(value) for name, value in policy.weights.items()}
    for observations, levels, value, now in zip(seen, done, to_go, active, strict=True):
        advantage = (value - value[now].mean())[now]
        for name, part in policy.score_gradient(observations[now], levels[now], advantage).items():
            total[name] += part / members
    return total


def _sigmoid(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))


def _softmax(logits: np.ndarray) -> np.ndarray:
    weight = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weight / weight.sum(axis=-1, keepdims=True)

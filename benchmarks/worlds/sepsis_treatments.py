"""The sepsis simulator of Oberst and Sontag (2019): 1,440 states, antibiotics, ventilation, vasopressors on or off.

A patient has four vital signs, a status of each treatment, and diabetes (one in five), which never changes. Given state
and action the vital signs move apart from each other, so that a transition is a product of four small matrices:

    P(s' | s, a) = H(hr' | hr) B(bp' | bp) O(o2' | o2) G(glucose' | glucose)        treatments' = a

| Sign | Levels, the normal one in brackets | Moves |
|---|---|---|
| heart rate | low, [normal], high | antibiotics: high to normal .5; withdrawn: normal to high .1; else up or down .1 |
| blood pressure | low, [normal], high | antibiotics and their withdrawal as heart rate; then vasopressors: up .7 |
| | | (diabetes: normal to high .9; low to normal .5, to high .4); withdrawn: down .1 (diabetes .05); |
| | | up or down .1 if neither is or was given |
| oxygen | low, [normal] | ventilation: low to normal .7; withdrawn: normal to low .1; else either way .1 |
| glucose | very low, low, [normal], high, very high | without vasopressors up or down .1 (diabetes .3); |
| | | with them up .5 in diabetes, else still |

Death, reward -1, is three or more signs that are not normal; discharge, reward 1, is none with no treatment given.
Values are exact: `process.value` for rewards as they are logged, and `published_value` as Tang et al. (2022) have them,
discounted by .99 and without a time limit. Logged episodes are cut off after 20 steps. The logging policy takes the
best action, and with probability `epsilon` any. What a policy sees are 21 zeros and ones, one for each level of what
makes up the state.
"""

from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64
from numpy.typing import ArrayLike

from benchmarks.worlds.exact import DecisionProcess
from benchmarks.worlds.world import Step, World
from frl_env.actions import ActionSpace, Factor

PARTS = {"diabetes": 2, "heart_rate": 3, "blood_pressure": 3, "oxygen": 2, "glucose": 5,
         "antibiotics": 2, "vasopressors": 2, "ventilation": 2}  # fmt: skip
"""What makes up a state, and its number of levels; states are numbered in C order."""

NORMAL = {"heart_rate": 1, "blood_pressure": 1, "oxygen": 1, "glucose": 2}
DIABETES = 0.2
"""Share of the patients who have diabetes."""

FIRST = {
    "heart_rate": ((0.25, 0.5, 0.25),) * 2,
    "blood_pressure": ((0.25, 0.5, 0.25),) * 2,
    "oxygen": ((0.2, 0.8),) * 2,
    "glucose": ((0.05, 0.15, 0.6, 0.15, 0.05), (0.01, 0.05, 0.15, 0.6, 0.19)),
}
"""Chances of each level in the beginning, without diabetes and with it; whoever would start dead or well is redrawn."""

GAMMA = 0.99
"""Discount of a step, as Tang et al. have it."""

TREATMENTS = ("antibiotics", "ventilation", "vasopressors")
ACTIONS = ActionSpace(factors=tuple(Factor(name=name, levels=("OFF", "ON")) for name in TREATMENTS))
ACTION_LEVELS = ACTIONS.joint_levels

Levels = dict[str, Int64[np.ndarray, "..."]]
"""Levels by part or treatment, shaped so that states and actions broadcast."""

Moves = Float[np.ndarray, "state action level"]
"""Chances of a sign's next level."""


class SepsisTreatments(World):
    """See the module.

    Args:
        epsilon: How often the logging policy does anything; 1 logs uniformly random actions.
    """

    nvec = (2, 2, 2)
    observation_size = sum(PARTS.values())
    horizon = 20

    def __init__(self, *, epsilon: float) -> None:
        """Keeps it."""
        self.epsilon = epsilon

    @property
    def space(self) -> ActionSpace:
        """The treatments by name."""
        return ACTIONS

    @cached_property
    def process(self) -> DecisionProcess:
        """Transitions and rewards of the states in which something is decided: exact values of any policy."""
        states = self._deciding
        place = np.full(len(self._reward), -1)
        place[states] = np.arange(len(states))
        transitions = np.zeros((len(states), len(ACTION_LEVELS), len(states) + 1))
        row, action = np.indices((len(states), len(ACTION_LEVELS)))
        np.add.at(transitions, (row[..., None], action[..., None], place[self._following]), self._chances)
        first = _first_chances()[states]
        return DecisionProcess(
            transitions=transitions[:, :, :-1],
            rewards=(self._chances * self._reward[self._following]).sum(axis=2),
            initial=first / first.sum(),
            gamma=GAMMA,
        )

    @cached_property
    def observations(self) -> Float32[np.ndarray, "state k"]:
        """What a policy sees in each state of `process`."""
        return self.observe(self._deciding[:, None])

    @cached_property
    def logging_policy(self) -> Float[np.ndarray, "state action"]:
        """Exact probabilities of the logged actions in each state of `process`."""
        return self.epsilon / len(ACTION_LEVELS) + (1 - self.epsilon) * self.process.best_policy

    def published_value(self, policy: Float[np.ndarray, "state action"]) -> float:
        """Exact value of a policy as Tang et al. have it: they pay for the last state one step later.

        Args:
            policy: Probabilities of the joint actions in each state of `process`.

        Raises:
            UserError: If it is not a policy.
        """
        return GAMMA * self.process.value(policy)

    def start(self, episodes: int, rng: np.random.Generator) -> Float[np.ndarray, "episode d"]:
        """A patient who is ill and not treated yet."""
        drawn = rng.choice(len(self._deciding), size=episodes, p=self.process.initial)
        return self._deciding[drawn][:, None].astype(float)

    def observe(self, state: Float[np.ndarray, "episode d"]) -> Float32[np.ndarray, "episode k"]:
        """A zero or one for each level of each part."""
        return self._shown[state[:, 0].astype(np.int64)]

    def step(
        self, state: Float[np.ndarray, "episode d"], levels: Int64[np.ndarray, "episode f"], rng: np.random.Generator
    ) -> Step:
        """Treatments as said, signs as they move."""
        row, action = self._row(state), ACTIONS.ravel(levels)
        following = self._following[row, action, _draw(self._chances[row, action], rng)]
        rewards = self._reward[following]
        return Step(following[:, None].astype(float), rewards, rewards != 0)

    def log(self, state: Float[np.ndarray, "episode d"], rng: np.random.Generator) -> Int64[np.ndarray, "episode f"]:
        """The best action, or by `epsilon` any."""
        anything = rng.random(len(state)) < self.epsilon
        return np.where(anything[:, None], self.at_random(len(state), rng), self.best(state))

    def best(self, state: Float[np.ndarray, "episode d"]) -> Int64[np.ndarray, "episode f"]:
        """Optimal without a time limit, discounted: close to optimal within 20 steps."""
        return ACTION_LEVELS[self.process.best_policy.argmax(axis=1)[self._row(state)]]

    def _row(self, state: Float[np.ndarray, "episode d"]) -> Int64[np.ndarray, "episode"]:
        return np.searchsorted(self._deciding, state[:, 0].astype(np.int64))

    @cached_property
    def _deciding(self) -> Int64[np.ndarray, "state"]:
        """Numbers of the states in which something is decided: neither dead nor discharged."""
        return np.flatnonzero(self._reward == 0)

    @cached_property
    def _parts(self) -> dict[str, Int64[np.ndarray, "all"]]:
        """Level of each part in each of all states."""
        sizes = tuple(PARTS.values())
        return dict(zip(PARTS, np.unravel_index(np.arange(np.prod(sizes)), sizes), strict=True))

    @cached_property
    def _reward(self) -> Float[np.ndarray, "all"]:
        """-1 with three or more abnormal signs (death), 1 with none and untreated (discharge), else 0."""
        abnormal = sum((self._parts[sign] != normal).astype(int) for sign, normal in NORMAL.items())
        treated = sum(self._parts[name] for name in TREATMENTS)
        return np.where(abnormal >= 3, -1.0, np.where((abnormal == 0) & (treated == 0), 1.0, 0.0))

    @cached_property
    def _shown(self) -> Float32[np.ndarray, "all k"]:
        return np.concatenate([np.eye(n, dtype=np.float32)[self._parts[name]] for name, n in PARTS.items()], axis=1)

    @cached_property
    def _chances(self) -> Float[np.ndarray, "state action signs"]:
        """Chance of each combination of vital signs after each action, in each state that is no end."""
        now = {name: levels[self._deciding][:, None] for name, levels in self._parts.items()}
        given = {name: ACTION_LEVELS[:, f][None, :] for f, name in enumerate(TREATMENTS)}
        moves = [kernel(now, given) for kernel in (_heart_rate, _blood_pressure, _oxygen, _glucose)]
        joint = np.einsum("sah,sab,sao,sag->sahbog", *moves)
        return joint.reshape(*joint.shape[:2], -1)

    @cached_property
    def _following(self) -> Int64[np.ndarray, "state action signs"]:
        """Number of the state with these signs and these treatments."""
        sizes = [PARTS[sign] for sign in NORMAL]
        signs = dict(zip(NORMAL, np.unravel_index(np.arange(np.prod(sizes)), sizes), strict=True))
        given = {name: ACTION_LEVELS[:, f][None, :, None] for f, name in enumerate(TREATMENTS)}
        diabetes = self._parts["diabetes"][self._deciding][:, None, None]
        parts = {"diabetes": diabetes} | {sign: levels[None, None] for sign, levels in signs.items()} | given
        return np.ravel_multi_index(tuple(np.broadcast_arrays(*(parts[name] for name in PARTS))), tuple(PARTS.values()))


def _first_chances() -> Float[np.ndarray, "all"]:
    """Chance to start in each of all states; `process` leaves out those that are already an end."""
    chances = np.zeros(tuple(PARTS.values()))
    for diabetes, share in enumerate((1 - DIABETES, DIABETES)):
        signs = np.einsum("h,b,o,g->hbog", *(FIRST[sign][diabetes] for sign in NORMAL))
        chances[diabetes, ..., 0, 0, 0] = share * signs
    return chances.ravel()


def _heart_rate(now: Levels, given: Levels) -> Moves:
    """Chances to move between levels of heart rate, by state and action, as in the table above."""
    return _by_antibiotics(now, given, "heart_rate", drifts=True)


def _blood_pressure(now: Levels, given: Levels) -> Moves:
    """Chances to move between levels of blood pressure: by antibiotics first, then by vasopressors."""
    untouched = (now["vasopressors"] == 0) & (given["vasopressors"] == 0)
    first = _by_antibiotics(now, given, "blood_pressure", drifts=untouched)
    raised = _matrices(_shifts(3, up=0.7), [[0.1, 0.5, 0.4], [0, 0.1, 0.9], [0, 0, 1]])[now["diabetes"]]
    falling = _matrices(_shifts(3, down=0.1), _shifts(3, down=0.05))[now["diabetes"]]
    on, withdrawn = given["vasopressors"] == 1, (now["vasopressors"] == 1) & (given["vasopressors"] == 0)
    then = np.where(_wide(on), raised, np.where(_wide(withdrawn), falling, np.eye(3)))
    return np.einsum("sab,sabc->sac", first, then)


def _oxygen(now: Levels, given: Levels) -> Moves:
    """Chances to move between levels of oxygen: ventilated, just withdrawn, or neither."""
    on, withdrawn = given["ventilation"] == 1, (now["ventilation"] == 1) & (given["ventilation"] == 0)
    kind = np.where(on, 0, np.where(withdrawn, 1, 2))
    return _matrices([[0.3, 0.7], [0, 1]], [[1, 0], [0.1, 0.9]], _shifts(2, up=0.1, down=0.1))[kind, now["oxygen"]]


def _glucose(now: Levels, given: Levels) -> Moves:
    """Chances to move between levels of glucose, by vasopressors and diabetes."""
    kind = 2 * (given["vasopressors"] == 1) + now["diabetes"]
    moves = _matrices(_shifts(5, up=0.1, down=0.1), _shifts(5, up=0.3, down=0.3), np.eye(5), _shifts(5, up=0.5))
    return moves[kind, now["glucose"]]


def _by_antibiotics(now: Levels, given: Levels, sign: str, *, drifts: Bool[np.ndarray, "state action"] | bool) -> Moves:
    """What antibiotics do to a sign of three levels; if they neither are nor were given, it drifts or stays."""
    on, withdrawn = given["antibiotics"] == 1, (now["antibiotics"] == 1) & (given["antibiotics"] == 0)
    kind = np.where(on, 0, np.where(withdrawn, 1, np.where(drifts, 2, 3)))
    falls, rises = [[1, 0, 0], [0, 1, 0], [0, 0.5, 0.5]], [[1, 0, 0], [0, 0.9, 0.1], [0, 0, 1]]
    return _matrices(falls, rises, _shifts(3, up=0.1, down=0.1), np.eye(3))[kind, now[sign]]


def _shifts(size: int, *, up: float = 0.0, down: float = 0.0) -> Float[np.ndarray, "level level"]:
    """Chances to move one level up or down, as a matrix; at either end the move is not made."""
    moves = up * np.eye(size, k=1) + down * np.eye(size, k=-1)
    return moves + np.diag(1 - moves.sum(axis=1))


def _matrices(*matrices: ArrayLike) -> Float[np.ndarray, "kind level level"]:
    return np.stack([np.asarray(matrix, dtype=float) for matrix in matrices])


def _wide(mask: Bool[np.ndarray, "state action"]) -> Bool[np.ndarray, "state action 1 1"]:
    return mask[..., None, None]


def _draw(chances: Float[np.ndarray, "row outcome"], rng: np.random.Generator) -> Int64[np.ndarray, "row"]:
    cumulative = chances.cumsum(axis=1)
    return (cumulative <= rng.random((len(chances), 1)) * cumulative[:, -1:] * (1 - 1e-12)).sum(axis=1)

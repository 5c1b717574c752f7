"""ICU-Sepsis as a factored problem whose policies have exact values (Choudhary et al., 2024).

A Markov decision process estimated from intensive-care records: 713 kinds of patients, death, survival; actions are one
of 5 levels of intravenous fluid and one of 5 of vasopressor; the reward is 1 for survival. The package `icu-sepsis`
ships the tables, so a policy is not rolled out but solved for:

    v = r_pi + P_pi v       the value of a policy is d_0 . v, the chance to survive

Actions that clinicians hardly took in a state are *inadmissible* there: the tables give them the mean outcome of the
admissible ones, as the environment does by default, so that every policy has a value.
"""

import importlib.util
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from frl_env.actions import ActionSpace, Factor
from frl_env.errors import UserError

MAX_STEPS = 500
"""The environment's own time limit; an episode lasts 9 steps on average."""

SEPSIS_ACTIONS = ActionSpace(
    factors=tuple(Factor(name=name, levels=("NONE", "Q1", "Q2", "Q3", "Q4")) for name in ("fluid", "vasopressor"))
)
"""None, or a quartile of the doses that were given. All 25 joint actions can be taken in every state."""


@dataclass(frozen=True, kw_only=True)
class SepsisTables:
    """The decision process and what the environment shows of it. States that end an episode come last.

    Attributes:
        transitions: Probabilities of the next state; joint actions in C order of (fluid, vasopressor).
        rewards: Expected reward of a step.
        initial: Probabilities of the first state.
        expert: Probabilities of the clinicians' actions; uniform where an episode has ended.
        admissible: Actions taken often enough for an estimate of their own.
        observations: Mean measurements of the state's patients, standardised by the package; zero after the end.
        living: Number of states that don't end the episode.
        survival: The state of those who survived.
    """

    transitions: Float[np.ndarray, "state action next"]
    rewards: Float[np.ndarray, "state action"]
    initial: Float[np.ndarray, "state"]
    expert: Float[np.ndarray, "state action"]
    admissible: Bool[np.ndarray, "state action"]
    observations: Float32[np.ndarray, "state measure"]
    living: int
    survival: int

    @classmethod
    def load(cls) -> "SepsisTables":
        """The tables of the installed package.

        Raises:
            UserError: If `icu-sepsis` is not installed.
        """
        environment = _package_environment()
        tables = environment.dynamics
        expert = environment.expert_policy.copy()
        # Death and survival: clinicians have no action there, and any policy will do.
        ended = expert.sum(axis=1) == 0
        expert[ended] = 1 / expert.shape[1]
        admissible = np.zeros(expert.shape, dtype=bool)
        for state, actions in enumerate(tables["admissible_actions"]):
            admissible[state, actions] = True
        return cls(
            transitions=tables["tx_mat"],
            rewards=(tables["tx_mat"] * tables["r_mat"]).sum(axis=2),
            initial=tables["d_0"] / tables["d_0"].sum(),
            expert=expert / expert.sum(axis=1, keepdims=True),
            admissible=admissible,
            observations=environment.state_cluster_centers.astype(np.float32),
            living=int((~ended).sum()),
            survival=int(tables["r_mat"].sum(axis=(0, 1)).argmax()),
        )

    def value(self, policy: Float[np.ndarray, "state action"]) -> float:
        """Exact chance to survive under a policy.

        Args:
            policy: Probabilities; rows of states that end an episode don't matter.

        Raises:
            UserError: If it is not a policy.
        """
        if policy.shape != self.expert.shape:
            raise UserError(f"a policy needs shape {self.expert.shape}, not {policy.shape}")
        living = policy[: self.living]
        if not (np.isfinite(living).all() and (living >= 0).all() and np.allclose(living.sum(axis=1), 1, atol=1e-4)):
            raise UserError("a policy needs probabilities that sum to 1 in each of its rows")
        return float(self.initial[: self.living] @ self.state_values(policy))

    def state_values(self, policy: Float[np.ndarray, "state action"]) -> Float[np.ndarray, "living"]:
        """Exact value of each state that does not end the episode."""
        n = self.living
        moves = np.einsum("sa,sat->st", policy[:n], self.transitions[:n, :, :n])
        return np.linalg.solve(np.eye(n) - moves, (policy[:n] * self.rewards[:n]).sum(axis=1))

    @cached_property
    def references(self) -> dict[str, float]:
        """Values of the uniform policy, the clinicians' and the best one."""
        return {
            "random": self.value(np.full_like(self.expert, 1 / self.expert.shape[1])),
            "expert": self.value(self.expert),
            "optimal": self.value(self.best_policy()),
        }

    def best_policy(self) -> Float[np.ndarray, "state action"]:
        """An optimal policy, by policy iteration."""
        policy, value = self.expert, -1.0
        while self.value(policy) > value + 1e-12:
            value = self.value(policy)
            following = self.transitions[:, :, : self.living] @ self.state_values(policy)
            policy = one_hot((self.rewards + following).argmax(axis=1), policy.shape[1])
        return policy

    def roll_out(
        self, policy: Float[np.ndarray, "state action"], *, episodes: int, seed: int | Sequence[int]
    ) -> tuple[Int64[np.ndarray, "episode step"], Int64[np.ndarray, "episode step"], Int64[np.ndarray, "episode"]]:
        """States, joint actions and lengths of episodes under a policy.

        Returns:
            `(episodes, T + 1)` states, `(episodes, T)` actions, and lengths; what lies beyond a length is filling.
        """
        rng = np.random.default_rng(seed)
        cumulative, choices = self.transitions.cumsum(axis=2), policy.cumsum(axis=1)
        state = _draw(np.tile(self.initial.cumsum(), (episodes, 1)), rng.random(episodes))
        states, actions, lengths = [state], [], np.zeros(episodes, dtype=np.int64)
        while (here := np.flatnonzero(state < self.living)).size and len(actions) < MAX_STEPS:
            lengths[here] += 1
            action, state = np.zeros_like(state), state.copy()
            action[here] = _draw(choices[state[here]], rng.random(len(here)))
            state[here] = _draw(cumulative[state[here], action[here]], rng.random(len(here)))
            states.append(state)
            actions.append(action)
        return np.stack(states, axis=1), np.stack(actions, axis=1), lengths


def one_hot(actions: Int64[np.ndarray, "state"], size: int) -> Float[np.ndarray, "state action"]:
    """The policy that always takes these actions."""
    return np.eye(size)[actions]


class MeasurementsEnv(gymnasium.ObservationWrapper):
    """ICU-Sepsis that shows the mean measurements of the state's patients instead of its number.

    | Space | |
    |---|---|
    | Action | `MultiDiscrete([5, 5])`: level of fluid, level of vasopressor |
    | Observation | `Box(47)`: measurements, standardised; zeros after the end |
    | Reward | 1 for survival, else 0 |
    | End | death or survival; cut off after 500 steps when made from its spec |
    """

    def __init__(self, env: gymnasium.Env) -> None:
        """Takes the measurements from the environment."""
        super().__init__(env)
        self._table = env.unwrapped.state_cluster_centers.astype(np.float32)  # type: ignore[attr-defined]
        self.observation_space = observation_space(self._table)

    def observation(self, observation: int) -> Float32[np.ndarray, "measure"]:
        """Measurements of a state."""
        return self._table[observation].copy()


def make_environment(**kwargs: Any) -> MeasurementsEnv:
    """The environment behind the datasets; `kwargs` go to the package's own."""
    return MeasurementsEnv(_package_environment(**kwargs))


def observation_space(table: Float32[np.ndarray, "state measure"]) -> gymnasium.spaces.Box:
    """Measurements of any size."""
    return gymnasium.spaces.Box(-np.inf, np.inf, table.shape[1:], np.float32)


def _draw(cumulative: Float[np.ndarray, "row outcome"], uniform: Float[np.ndarray, "row"]) -> Int64[np.ndarray, "row"]:
    """Inverse draw; below the total even after rounding, so that it falls on an outcome with mass."""
    return (cumulative <= (uniform * cumulative[:, -1] * (1 - 1e-12))[:, None]).sum(axis=1)


def check_installed() -> None:
    """Refuses what needs ICU-Sepsis where it isn't.

    Raises:
        UserError: If `icu-sepsis` is not installed.
    """
    spec = importlib.util.find_spec("icu_sepsis")
    if spec is None or spec.origin is None:
        raise UserError("the package icu-sepsis is not installed; run 'pip install icu-sepsis' (it is in .[dev])")


def _package_environment(**kwargs: Any) -> Any:
    """The package's own environment. Its import brings the dead `gym` package along, which warns about itself."""
    check_installed()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from icu_sepsis.envs import ICUSepsisEnv
    return ICUSepsisEnv(**kwargs)

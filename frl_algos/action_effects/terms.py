"""Terms of a linear model of what an action does in a state: the columns of a regression, and back.

The effect of joint action a = (a_1, ..., a_K) in state s is modelled as

    phi(s, a) . w  =  w_0 + sum_f w_f[a_f] + sum_{f<g} w_fg[a_f, a_g]            levels and pairs of levels
                      + sum_i s_i (v_i + sum_f v_fi[a_f])                        the state, and levels by state
                      + sum_i s_i sum_{f<g} v_fgi[a_f, a_g]                      and pairs by state, if asked for
                      + m(s, a) (u_0 + sum_f u_f[a_f])                           the action meets an indication

where m(s, a) sums the observations that indicate one of the action's levels (a screening result that indicates a goal).
Levels pool evidence over all actions that share them; pairs keep the interaction of factors. The action "do nothing"
has no terms: its effect is 0. Each group of terms has a scale of its own (`frl_algos.action_effects.shrinkage`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float, Int

from frl_env.actions import ActionSpace
from frl_env.errors import UserError

STRUCTURES = ("factored", "independent", "flat")
"""Levels and pairs; levels only; one term a joint action, nothing shared."""

SCALES = {
    "overall": 0.2, "levels": 0.1, "pairs": 0.05, "state": 0.001, "state_pairs": 0.001, "indication": 0.1,
    "indication_levels": 0.05,
}  # fmt: skip
"""Prior scales, as shares of what is expected without the action: large effects of single levels, small surprises.
Wide, so that an estimate's interval holds what may be true."""

CAUTIOUS_SCALES = SCALES | {"levels": 0.01, "pairs": 0.005}
"""For choosing actions: whoever takes the best of many noisy levels takes noise, the more the wider the prior. The
half-Cauchy's tail lets an effect through that the data is sure of."""

OPEN_SCALES = SCALES | {"state": 0.05, "state_pairs": 0.02}
"""Where held-out people decide whether terms of the state come in, they may be as large as others."""

MOST_COLUMNS = 1_000
"""Levels and pairs are crossed with the state only when no more columns come of it."""

STATES = ("none", "levels", "pairs")
"""What is crossed with the state."""

JOINT = "joint"
"""Likewise, of a flat structure: each joint action."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Columns of the regression, for one action space and one kind of observation.

    Attributes:
        fixed: `(valid, terms)`, terms that depend on the action alone.
        levels: `(valid, levels)`, indicators of the levels, which are crossed with state and indication.
        indicated: `(valid, k)`, 1 where an observation indicates the action.
        crossing: `(valid, crossed)`, what is crossed with the state: the levels, perhaps pairs; no columns for nothing.
        groups: Group of each column.
        kinds: What kind of term each group is, a key of `SCALES`.
        scales: Prior scale of each group.
        factors: Whose levels, alone or in pairs, the terms of each group are; none for other terms.
    """

    fixed: Float[np.ndarray, "valid term"]
    levels: Float[np.ndarray, "valid level"]
    indicated: Float[np.ndarray, "valid k"]
    crossing: Float[np.ndarray, "valid crossed"]
    groups: Int[np.ndarray, "column"]
    scales: Float[np.ndarray, "group"]
    kinds: tuple[str, ...]
    factors: tuple[tuple[str, ...], ...]

    @classmethod
    def of_space(
        cls,
        space: ActionSpace,
        observation_size: int,
        *,
        structure: str = "factored",
        states: str = "levels",
        indications: Mapping[str, int] | None = None,
        scales: Mapping[str, float] = SCALES,
    ) -> "Terms":
        """Terms for the valid joint actions of a space.

        Args:
            space: The actions.
            observation_size: Number of observed numbers, k.
            structure: One of `STRUCTURES`.
            states: One of `STATES`, less where more than `MOST_COLUMNS` came of it; a flat structure, which shares
                nothing, is crossed with the state only for `JOINT`.
            indications: Level name to the index of the observation that indicates it.
            scales: Prior scale of each kind of term.

        Raises:
            UserError: If an indication names a level or an observation that does not exist.
        """
        levels_of = space.joint_levels[space.valid_joints]
        acts = np.ones(len(levels_of)) if null_position(space) is None else (levels_of != space.null_action).any(axis=1)
        by_factor = [_indicators(levels_of[:, f], acts) for f in range(len(space.nvec))]
        blocks, names = [acts[:, None].astype(float)], ["overall"]
        factors = [factor.name for factor in space]
        whose: list[tuple[str, ...]] = [(), *((name,) for name in factors)]
        if structure == "flat":
            by_factor = [_indicators(np.arange(len(levels_of)), acts)]
            whose = [(), tuple(factors)]
        blocks += by_factor
        names += ["levels"] * len(by_factor)
        if structure == "factored":
            for f, g in combinations(range(len(space.nvec)), 2):
                blocks.append(_indicators(levels_of[:, f] * space.nvec[g] + levels_of[:, g], acts))
                names.append("pairs")
                whose.append((factors[f], factors[g]))
        levels = np.concatenate(by_factor, axis=1)
        indicated = _indicated(space, levels_of, observation_size, indications or {})
        sizes = [block.shape[1] for block in blocks]
        crossable = states == JOINT if structure == "flat" else states != "none"
        most = MOST_COLUMNS // max(observation_size, 1) if crossable else 0
        crossed = by_factor if levels.shape[1] <= most else []
        if crossed:
            sizes += [observation_size] + [block.shape[1] * observation_size for block in by_factor]
            names += ["state"] * (1 + len(by_factor))
        pairs = blocks[1 + len(by_factor) :] if states == "pairs" else []
        if crossed and pairs and sum(block.shape[1] for block in by_factor + pairs) <= most:
            crossed = by_factor + pairs
            sizes += [block.shape[1] * observation_size for block in pairs]
            names += ["state_pairs"] * len(pairs)
        if indicated.any():
            sizes += [1, levels.shape[1]]
            names += ["indication", "indication_levels"]
        return cls(
            fixed=np.concatenate(blocks, axis=1).astype(np.float32),
            levels=levels.astype(np.float32),
            indicated=indicated,
            crossing=np.concatenate([levels[:, :0], *crossed], axis=1).astype(np.float32),
            groups=np.repeat(np.arange(len(sizes)), sizes),
            scales=np.asarray([scales[name] for name in names]),
            kinds=tuple(names),
            factors=(*whose, *[()] * (len(names) - len(whose))),
        )

    @property
    def optional(self) -> Bool[np.ndarray, "group"]:
        """Which groups are terms of the state, without which there is still a model."""
        return np.asarray([kind in ("state", "state_pairs") for kind in self.kinds])

    @property
    def states(self) -> str:
        """What is crossed with the state: one of `STATES`."""
        if not self.crossing.shape[1]:
            return "none"
        return "pairs" if "state_pairs" in self.kinds else "levels"

    def crossed_with(self, states: str) -> "Terms":
        """These terms, with no more products of actions and states than `states` (one of `STATES`) names."""
        left_out = {"none": ("state", "state_pairs"), "levels": ("state_pairs",), "pairs": ()}[states]
        kept = [group for group, kind in enumerate(self.kinds) if kind not in left_out]
        columns = np.isin(self.groups, kept)
        across = {"none": 0, "levels": self.levels.shape[1], "pairs": self.crossing.shape[1]}[states]
        return replace(
            self,
            crossing=self.crossing[:, :across],
            groups=np.searchsorted(kept, self.groups[columns]),
            scales=self.scales[kept],
            kinds=tuple(self.kinds[group] for group in kept),
            factors=tuple(self.factors[group] for group in kept),
        )

    def told_apart(self, factors: Collection[str]) -> Bool[np.ndarray, "group"]:
        """Which groups of terms tell apart levels of some factors, by the factors' names."""
        return np.asarray([not set(factors).isdisjoint(whose) for whose in self.factors])

    def columns(
        self, states: Float[np.ndarray, "row k"], signs: Float[np.ndarray, "row k"], actions: Int[np.ndarray, "row"]
    ) -> Float[np.ndarray, "row column"]:
        """The regression's columns.

        Args:
            states: Standardised observations.
            signs: Observations as `RegressionRows.signs` has them, for the indications.
            actions: Positions among the valid ones.
        """
        parts = [self.fixed[actions]]
        acts, levels = self.fixed[actions, :1], self.levels[actions]
        if self.crossing.shape[1]:
            crossed = self.crossing[actions][:, :, None] * states[:, None, :]
            parts += [acts * states, crossed.reshape(len(levels), -1)]
        if self.indicated.any():
            met = (signs * self.indicated[actions]).sum(axis=1, keepdims=True)
            parts += [met, met * levels]
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def expected(
        self,
        states: Float[np.ndarray, "row k"],
        signs: Float[np.ndarray, "row k"],
        mass: Float[np.ndarray, "row valid"],
    ) -> Float[np.ndarray, "row column"]:
        """The columns summed over all valid actions, each times its mass; with probabilities, their expectation.

        Args:
            states: Standardised observations.
            signs: Observations as `RegressionRows.signs` has them, for the indications.
            mass: Of each valid action.
        """
        mass = np.asarray(mass, dtype=np.float32)
        parts = [mass @ self.fixed]
        if self.crossing.shape[1]:
            crossed = (mass @ self.crossing)[:, :, None] * states[:, None, :]
            parts += [parts[0][:, :1] * states, crossed.reshape(len(mass), -1)]
        if self.indicated.any():
            met = mass * (signs @ self.indicated.T)
            parts += [met.sum(axis=1, keepdims=True), met @ self.levels]
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def joint_weights(self, weights: Float[np.ndarray, "column"]) -> Float[np.ndarray, "state_term valid"]:
        """Weights as one matrix W, so that all effects in a state are `[1, states, signs] @ W`; no signs, no rows."""
        (n, terms), across, k = self.fixed.shape, self.crossing.shape[1], self.indicated.shape[1]
        joint = np.zeros((1 + (2 if self.indicated.any() else 1) * k, n))
        joint[0] = self.fixed @ weights[:terms]
        at = terms
        if across:
            # Weights follow the order of `columns`: fixed, states of any action, states by level, indications.
            own, crossed = weights[at : at + k], weights[at + k : at + k + across * k].reshape(across, k)
            joint[1 : 1 + k] = self.fixed[:, 0] * own[:, None] + (self.crossing @ crossed).T
            at += k + across * k
        if self.indicated.any():
            joint[1 + k :] = (self.indicated * (weights[at] + self.levels @ weights[at + 1 :])[:, None]).T
        return joint.astype(np.float32)


def null_position(space: ActionSpace) -> int | None:
    """Position of "do nothing" among the valid actions; None in a space where every action does something."""
    if not space.contact_factors:
        return None
    return space.valid_joints.tolist().index(int(space.ravel(space.null_action)))


def _indicators(codes: Int[np.ndarray, "valid"], acts: np.ndarray) -> Float[np.ndarray, "valid level"]:
    """One column a code that occurs among the actions that do something."""
    used = np.unique(codes[np.asarray(acts, dtype=bool)])
    return ((codes[:, None] == used) * np.asarray(acts)[:, None]).astype(float)


def _indicated(
    space: ActionSpace, levels_of: Int[np.ndarray, "valid factor"], size: int, indications: Mapping[str, int]
) -> Float[np.ndarray, "valid k"]:
    """1 where an action has a level that an observation indicates, by action and observation."""
    indicated = np.zeros((len(levels_of), size), dtype=np.float32)
    factors = list(space)
    for level, observation in indications.items():
        found = [f for f, factor in enumerate(factors) if level in factor.levels]
        if not found:
            raise UserError(f"an indication names level {level!r}, which no factor of {space} has")
        if not 0 <= observation < size:
            raise UserError(f"the indication of {level!r} is observation {observation}; there are {size}")
        for f in found:
            indicated[levels_of[:, f] == factors[f].levels.index(level), observation] = 1.0
    return indicated

"""Evaluators for d3rlpy's `fit(evaluators={...})`: what the policy is worth on other members, while it trains.

    evaluators = policy_evaluators(validation, rng=np.random.default_rng(0), response=0)
    algorithm.fit(training, n_steps=3_000, evaluators=evaluators)

| Name | Meaning |
|---|---|
| `ope_value` | estimated value of the policy on the validation members |
| `ope_difference` | the same less what these members got, paired by member |
| `ope_low`, `ope_high` | 95 % interval of the difference |
| `ope_effective_members` | members that carry the one-week importance weights; only with propensities |
| `ope_unique_joints` | different joint actions that are the most probable somewhere; 1 is collapse |
| `ope_effective_joints` | exponential of the entropy of the actions, given that something is done |
| `ope_action_share` | share of the decisions on which the policy does something |
| `ope_td_error` | mean squared TD error of the algorithm's own values; NaN where it has none |

They take any algorithm of `frl_algos`, and d3rlpy's own as `frl_algos.policies.stock` runs them. All but the TD error
need probabilities: an algorithm that has none is valued as what it does, its greedy action with probability 1;
`epsilon` moves so much of it to all valid actions alike.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from frl_algos.action_effects.terms import null_position
from frl_algos.logged_data.replay import FactoredReplayBuffer
from frl_algos.policies.policy import Probabilities, softened
from frl_algos.policies.stock import STOCK, StockAlgorithm
from frl_algos.value_models.counterfactual import Counterfactual
from frl_algos.value_models.histories import as_episodes
from frl_algos.value_models.selection import check_trained_on, target_probabilities
from frl_env.actions import DECISIONS_AT_ONCE, ActionSpace
from frl_env.errors import UserError, check_generator, check_number, check_whole, unknown_name
from frl_env.evaluation import LoggedEpisodes, effective_members, interval

Evaluator = Callable[[Any, Any], float]
"""d3rlpy's `EvaluatorProtocol`: algorithm and training data to a number."""

NAMES = (
    "ope_value",
    "ope_difference",
    "ope_low",
    "ope_high",
    "ope_effective_members",
    "ope_unique_joints",
    "ope_effective_joints",
    "ope_action_share",
    "ope_td_error",
)

TD_ROWS = 10_000
"""Decisions over which the TD error is measured."""


def policy_evaluators(
    data: LoggedEpisodes | FactoredReplayBuffer,
    *,
    rng: np.random.Generator,
    response: int | None = None,
    indications: Mapping[str, int] | None = None,
    discount: float = 1.0,
    epsilon: float = 0.0,
    members: int | None = 2_000,
    names: tuple[str, ...] | str | None = None,
) -> dict[str, Evaluator]:
    """Evaluators that share their work: the policy is asked once, after each epoch.

    Args:
        data: Members that the algorithm is not trained on; from `frl_env.evaluation.load_episodes` where effective
            members are wanted, which need propensities.
        rng: Source of the sample of members, the folds and the draws.
        response: Index of the observation whose next value is positive when an action got a response; None without.
        indications: Level name to the index of an observation that indicates it; see `FactoredAWRConfig`.
        discount: Of the value, in [0, 1].
        epsilon: Share of a policy's decisions that is spread over all valid actions alike.
        members: Drawn at random when there are more; None for all.
        names: Of the evaluators wanted, by default all that the data allows.

    Raises:
        UserError: If the data does not fit, a setting is out of range, or effective members are asked for without
            propensities.
    """
    check_generator(rng)
    check_number("epsilon", epsilon, low=0, high=1)
    if members is not None:
        check_whole("members", members, low=1, high=2**31)
    episodes = as_episodes(data)
    if members is not None and len(episodes) > members:
        episodes = episodes.subset(np.sort(rng.permutation(len(episodes))[:members]))
    if names is None:
        names = tuple(name for name in NAMES if name != "ope_effective_members" or episodes.propensities is not None)
    names = (names,) if isinstance(names, str) else names
    for name in names:
        if name not in NAMES:
            raise unknown_name("evaluator", name, NAMES)
    if "ope_effective_members" in names and episodes.propensities is None:
        raise UserError("effective members need the propensities of the logged actions, and the episodes hold none")
    valuation = Counterfactual.fit(episodes, rng=rng, response=response, indications=indications, discount=discount)
    watcher = _Watcher(valuation, epsilon, int(rng.integers(2**63)), data)
    return {name: _Named(watcher, name) for name in names}


class _Watcher:
    """Measures an algorithm once in each state of its training."""

    def __init__(
        self, valuation: Counterfactual, epsilon: float, seed: int, data: LoggedEpisodes | FactoredReplayBuffer
    ) -> None:
        self.valuation, self.epsilon, self.seed, self._data = valuation, epsilon, seed, data
        self._seen: tuple[Any, int] | None = None
        self._found: dict[str, float] = {}

    def measure(self, algo: Any, name: str) -> float:
        """One number, by name."""
        state = (algo, algo.grad_step)
        if self._seen != state:
            check_trained_on("the algorithm", algo, self._data)
            self._seen, self._found = state, {}
        if name not in self._found:
            space = self.valuation.model.rows.episodes.action_space
            policy = as_policy(algo, space)
            if name == "ope_td_error":
                self._found[name] = self._td_error(policy)
            else:
                target = softened(target_probabilities(policy, space), space, self.epsilon)
                group = self._value if name in NAMES[:4] else self._actions
                self._found |= group(target)
        return self._found[name]

    def _value(self, target: Probabilities) -> dict[str, float]:
        estimate = self.valuation.estimate(target, np.random.default_rng(self.seed))
        difference = estimate.minus(self.valuation.returns)
        limits = interval(difference, method="normal")
        return dict(zip(NAMES[:4], (estimate.value, difference.value, limits.low, limits.high), strict=True))

    def _actions(self, target: Probabilities) -> dict[str, float]:
        """Numbers on what the policy does in the logged states: how often it acts, how many actions it uses."""
        rows = self.valuation.model.rows
        episodes, space = rows.episodes, rows.episodes.action_space
        logged = episodes.actions[episodes.mask]
        mass, chosen, ratios = np.zeros(space.n_joint), np.zeros(space.n_joint, dtype=bool), np.ones(len(logged))
        for start in range(0, len(logged), DECISIONS_AT_ONCE):
            part = slice(start, start + DECISIONS_AT_ONCE)
            chances = target(rows.observations[part])
            mass += chances.sum(axis=0)
            chosen[chances.argmax(axis=1)] = True
            ratios[part] = chances[np.arange(len(chances)), logged[part]]
        acting = mass / len(logged)
        null = null_position(space)
        if null is not None:
            acting[space.valid_joints[null]] = 0.0
        share = float(acting.sum())
        acting = acting[acting > 0] / max(share, 1e-12)
        found = {
            "ope_unique_joints": float(chosen.sum()),
            "ope_effective_joints": float(np.exp(-(acting * np.log(acting)).sum())),
            "ope_action_share": share,
        }
        if episodes.propensities is not None:
            weights = episodes.padded("ratios", ratios / episodes.propensities[episodes.mask])
            found["ope_effective_members"] = float(effective_members(weights)[rows.step].mean())
        return found

    def _td_error(self, policy: Any) -> float:
        """Mean squared temporal-difference error of the policy's own Q on some logged decisions; NaN without a Q."""
        if not hasattr(policy, "predict_value") or getattr(policy, "name", "") == "discrete_bc":
            return float("nan")
        rows = self.valuation.model.rows
        some = np.random.default_rng(self.seed).permutation(np.flatnonzero(~rows.unfollowed))[:TD_ROWS]
        episodes = rows.episodes
        rewards = episodes.rewards[episodes.mask][some]
        scaler = policy.reward_scaler
        if scaler is not None:
            rewards = scaler.transform_numpy(rewards)
        following = rows.observations[some + 1]
        ahead = policy.predict_value(following, policy.predict(following))
        values = policy.predict_value(rows.observations[some], episodes.actions[episodes.mask][some])
        return float(((rewards + policy.gamma * ahead - values) ** 2).mean())


class _Named:
    """A callable that returns one number of the watcher, as d3rlpy's `evaluators` ask for it."""

    def __init__(self, watcher: _Watcher, name: str) -> None:
        self._watcher, self._name = watcher, name

    def __call__(self, algo: Any, dataset: Any) -> float:
        """The number for the algorithm as it is now; the training data is not looked at."""
        return self._watcher.measure(algo, self._name)


def as_policy(algo: Any, action_space: ActionSpace) -> Any:
    """An algorithm with probabilities as it is; d3rlpy's own behind the interface of `frl_algos.policies.stock`."""
    if hasattr(algo, "predict_probabilities") or algo.config.get_type() not in STOCK:
        return algo
    return StockAlgorithm(algo, action_space)

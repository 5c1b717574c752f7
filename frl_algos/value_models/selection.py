"""Which of several trained policies to take, from logged members that none of them was trained on.

The value of a policy has the luck of the logged members in it; that luck is the same for all candidates, so they are
ranked by their difference to the behaviour policy, paired by member. With real members there is nothing else to choose
by; how well it chooses on the simulator, where the truth is known, stands in `docs/evaluation.md`.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from frl_algos.logged_data.replay import FactoredReplayBuffer
from frl_algos.policies.adapter import modes
from frl_algos.policies.policy import LearnedPolicy, Probabilities, has_probabilities
from frl_algos.value_models.counterfactual import Counterfactual
from frl_algos.value_models.histories import as_episodes
from frl_env.actions import ActionSpace
from frl_env.errors import UserError, check_generator, shorten, unknown_name
from frl_env.evaluation import Estimate, LoggedEpisodes, interval
from frl_env.kinds import check_kind
from frl_env.trained_on import check_actions, check_states

CRITERIA = ("value", "lower")


@dataclass(frozen=True, kw_only=True)
class CandidateValue:
    """What is known of one candidate.

    Attributes:
        name: Of the candidate.
        value: Estimated value.
        low, high: Its confidence interval.
        difference: Value less that of the behaviour policy, paired by member.
        difference_error: Its standard error.
        difference_low, difference_high: Its confidence interval.
    """

    name: str
    value: float
    low: float
    high: float
    difference: float
    difference_error: float
    difference_low: float
    difference_high: float


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The candidate to take, and why.

    Attributes:
        best: Its name.
        criterion: What it was chosen by.
        estimator: Short name of the estimator.
        members: Logged members.
        behaviour: Mean return of the behaviour policy on them.
        candidates: All of them, best first.
        doubt: Why these intervals are not to be relied on, in words; None when a response behaves like one, and the
            record shows members who were left alone as the best candidate would leave them.
    """

    best: str
    criterion: str
    estimator: str
    members: int
    behaviour: float
    candidates: tuple[CandidateValue, ...]
    doubt: str | None = None

    def table(self) -> pd.DataFrame:
        """One row a candidate, best first."""
        return pd.DataFrame([asdict(candidate) for candidate in self.candidates]).set_index("name")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def select_policy(
    candidates: Mapping[str, Any],
    data: LoggedEpisodes | FactoredReplayBuffer,
    *,
    rng: np.random.Generator,
    response: int | None = None,
    indications: Mapping[str, int] | None = None,
    criterion: str = "value",
    discount: float = 1.0,
    level: float = 0.95,
    members: int | None = 2_000,
    progress: Callable[[int, int], None] | None = None,
) -> Selection:
    """Chooses among trained policies by their estimated values.

    Args:
        candidates: By name: a trained algorithm (drawn from when it has probabilities, else greedy), a
            `LearnedPolicy`, or a function from observations to probabilities of all joint actions.
        data: Logged members that no candidate was trained on, for instance
            `load_replay_buffer(ensure_dataset("frl/medicaid-synthetic-validation-v0"))`.
        rng: Source of folds and draws.
        response: Index of the observation whose next value is positive when an action got a response; None without.
        indications: Level name to the index of an observation that indicates it; see `FactoredAWRConfig`.
        criterion: "value", the largest estimate, or "lower", the largest lower limit of the difference to behaviour.
        discount: In [0, 1].
        level: Nominal coverage of the intervals.
        members: How many each candidate is asked about, the same for all; effects are estimated from all members.
            None for all.
        progress: Called with (candidates done, candidates in all).

    Raises:
        UserError: If there is no candidate, one has no probabilities or was trained on other actions or states, or
            the data does not fit.
    """
    if criterion not in CRITERIA:
        raise unknown_name("criterion", criterion, CRITERIA)
    check_kind("candidates", candidates, dict)
    check_kind("members", members, int | None)
    check_kind("level", level, float)
    check_generator(rng)
    if not candidates:
        raise UserError("there is no candidate to choose from; pass at least one")
    logged, data = data, as_episodes(data)
    for name, candidate in candidates.items():
        check_trained_on(f"candidate {shorten(str(name))}", candidate, logged)
    space = data.action_space
    targets = {name: target_probabilities(candidate, space) for name, candidate in candidates.items()}
    valuation = Counterfactual.fit(data, rng=rng, response=response, indications=indications, discount=discount)
    seed = int(rng.integers(2**63))
    asked = None if members is None else min(members, len(valuation.returns))
    found, estimates = [], {}
    for done, (name, target) in enumerate(targets.items(), start=1):
        # The same draws for all candidates, so that they differ by what they do.
        estimates[name] = estimate = valuation.estimate(target, np.random.default_rng(seed), members=asked)
        found.append(_valued(name, estimate, valuation.returns, level))
        if progress is not None:
            progress(done, len(targets))
    key = "difference" if criterion == "value" else "difference_low"
    ordered = sorted(found, key=lambda candidate: -getattr(candidate, key))
    return Selection(
        best=ordered[0].name,
        criterion=criterion,
        estimator=estimates[ordered[0].name].name,
        members=len(valuation.returns),
        behaviour=float(valuation.returns.mean()),
        candidates=tuple(ordered),
        doubt=valuation.response_doubt or valuation.support_doubt(estimates[ordered[0].name]),
    )


def check_trained_on(name: str, candidate: Any, data: Any) -> None:
    """Refuses logged members of other actions or states than a policy was trained on, as far as both say theirs.

    Args:
        name: Words for the policy.
        candidate: As in `target_probabilities`; a function says nothing.
        data: Logged members. A replay buffer says the names of its states, episodes don't.

    Raises:
        UserError: If they are others, or in another order.
    """
    algorithm = candidate.algorithm if isinstance(candidate, LearnedPolicy) else candidate
    actions, config = getattr(algorithm, "action_space", None), getattr(algorithm, "config", None)
    if isinstance(actions, ActionSpace):
        check_actions(name, actions, data.action_space)
    check_states(name, getattr(config, "state_names", ()), getattr(data, "state_names", ()))


def target_probabilities(candidate: Any, action_space: ActionSpace) -> Probabilities:
    """The exact probabilities of a policy, whatever it is given as.

    Args:
        candidate: A trained algorithm, a `LearnedPolicy`, or a function that returns them already.
        action_space: Its actions.

    Raises:
        UserError: If it is none of these.
    """
    if isinstance(candidate, LearnedPolicy):
        return candidate.probabilities
    if hasattr(candidate, "predict"):
        return LearnedPolicy(candidate, action_space, default_mode(candidate)).probabilities
    if callable(candidate):
        return cast(Probabilities, candidate)
    raise UserError(
        f"a {type(candidate).__name__} is no policy; pass a trained algorithm, a LearnedPolicy, or a function from "
        f"observations to probabilities"
    )


def default_mode(algorithm: Any) -> str:
    """How a trained algorithm is asked unless said otherwise: drawn from where it has probabilities, else greedy."""
    return modes(algorithm)[0] if has_probabilities(algorithm) else "greedy"


def _valued(name: str, estimate: Estimate, returns: np.ndarray, level: float) -> CandidateValue:
    difference = estimate.minus(returns)
    own, change = (interval(one, level=level, method="normal") for one in (estimate, difference))
    return CandidateValue(
        name=name,
        value=estimate.value,
        low=own.low,
        high=own.high,
        difference=difference.value,
        difference_error=difference.standard_error,
        difference_low=change.low,
        difference_high=change.high,
    )

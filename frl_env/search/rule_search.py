"""Search for the best numbers of `RecordRule` under a budget, on the simulator itself.

The cross-entropy method (Rubinstein & Kroese 2004): draw numbers from a normal distribution, simulate a year of new
members with each, move the distribution toward the best eighth. Within a generation all candidates meet the same
members and chances, and they are judged by the expected events, which are less noisy than the counts. Members are drawn
with seeds of their own, none of which is used to evaluate.
"""

from collections.abc import Callable

import numpy as np

from frl_env.capacity import Budgeted, Capacity
from frl_env.care_effort import care_effort
from frl_env.errors import check_whole
from frl_env.parameters import Parameters
from frl_env.rollout import rollout
from frl_env.search.record_rule import RecordRule, RuleNumbers

SEED = 71_002
GENERATIONS, CANDIDATES, ELITE = 20, 24, 6
MEMBERS = 8_000
"""Members on whom each candidate is scored."""

_SPREAD, _LEAST_SPREAD = 0.6, 0.05
_STEP = 0.7
"""Share of the way to the elite that the distribution moves."""


def search_rule(
    parameters: Parameters,
    capacity: Capacity,
    *,
    members: int = MEMBERS,
    generations: int = GENERATIONS,
    candidates: int = CANDIDATES,
    seed: int = SEED,
    start: RuleNumbers | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> RecordRule:
    """Searches for the rule that prevents most events within a capacity.

    Args:
        parameters: The simulated world.
        capacity: Of every week.
        members: New members in every generation, the same for all of its candidates.
        generations: How often the distribution moves.
        candidates: Policies tried in each generation.
        seed: Seed of everything.
        start: Where the search starts.
        progress: Called with (policies tried, policies in all).

    Returns:
        The rule at the mean of the last distribution.

    Raises:
        UserError: If a number is out of range.
    """
    check_whole("members", members, low=2, high=10**7)
    check_whole("generations", generations, low=1, high=10**5)
    check_whole("candidates", candidates, low=ELITE, high=10**5)
    screening = parameters.recording.screening > 0
    rng = np.random.default_rng((seed, 0))
    mean = (start or RuleNumbers()).to_vector()
    spread = np.full(len(mean), _SPREAD)
    for generation in range(generations):
        tried = mean + spread * rng.standard_normal((candidates, len(mean)))
        tried[0] = mean
        value = np.empty(candidates)
        for number, vector in enumerate(tried):
            rule = RecordRule(RuleNumbers.from_vector(vector), screening)
            value[number] = -expected_events(rule, parameters, capacity, members, (seed, 1 + generation))
            if progress is not None:
                progress(generation * candidates + number + 1, generations * candidates)
        best = tried[np.argsort(-value, kind="stable")[:ELITE]]
        mean = mean + _STEP * (best.mean(axis=0) - mean)
        spread = np.maximum(spread + _STEP * (best.std(axis=0) - spread), _LEAST_SPREAD)
    return RecordRule(RuleNumbers.from_vector(np.round(mean, 3)), screening)


def expected_events(
    rule: RecordRule, parameters: Parameters, capacity: Capacity, members: int, seed: tuple[int, int]
) -> float:
    """Events a member that were to be expected in a year under the rule."""
    total = np.zeros(members)

    def add(week: int, who: object, before: object, levels: object, after: object, outcome: object) -> None:
        total[:] += outcome.expected  # type: ignore[attr-defined]

    policy = Budgeted(rule, care_effort(parameters), capacity, screening=rule.screening)
    rollout(policy, parameters, members=members, seed=seed, record=add)
    return float(total.mean())

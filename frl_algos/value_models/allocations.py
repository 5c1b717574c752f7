"""What logged members get from a policy, and what their records say that they used: means over each member's weeks.

A fairness audit sets one beside the other. Nothing here knows how a policy was trained or read.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Float64

from frl_algos.logged_data.member_parts import VALUES, parts
from frl_algos.policies.policy import Probabilities, ask
from frl_algos.value_models.answers import checked_probabilities
from frl_env.actions import DECISIONS_AT_ONCE
from frl_env.evaluation import LoggedEpisodes
from frl_env.evaluation.fairness.allocations import allocation_table
from frl_env.evaluation.threads import one_ahead

ED_VISITS, STAYS, SPENDING = ("num_ed_visits_last_week", "num_ip_visits_last_week", "total_paid")
"""Observations that the audit makes use of where a dataset has them by these names."""

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, done, in all)."""


def member_allocations(
    target: Probabilities | None,
    episodes: LoggedEpisodes,
    high_touch: Sequence[str],
    progress: Progress | None = None,
) -> tuple[dict[str, Float64[np.ndarray, "member"]], Float64[np.ndarray, "row"]]:
    """Mean over each member's weeks of the probability of every allocation, and that of each logged action.

    Args:
        target: The policy; None for the logged decisions, each of which then has probability 1.
        episodes: The members.
        high_touch: Levels that count as high-touch contact.
        progress: Told how far it is.

    Raises:
        UserError: If the policy's probabilities have the wrong shape or don't sum to 1.
    """
    tell = progress or silent
    table = allocation_table(episodes.action_space, high_touch)
    columns = np.stack(list(table.values()), axis=1)
    actions = episodes.actions[episodes.mask]
    logged = np.ones(len(actions))
    observations = actions[:0] if target is None else episodes.observation_rows
    means, done = np.empty((len(episodes), len(table))), 0

    def answers() -> Iterator[tuple[slice, np.ndarray, np.ndarray | None]]:
        for part, lengths in parts(episodes.lengths, VALUES // DECISIONS_AT_ONCE):
            yield part, lengths, None if target is None else ask(target, observations[part])

    for part, lengths, answer in one_ahead(answers()):
        rows = columns[actions[part]]
        if answer is not None:
            chances = checked_probabilities(answer, len(rows), episodes.action_space.n_joint)
            rows = chances @ columns
            logged[part] = chances[np.arange(len(chances)), actions[part]]
            tell("asking the policy", part.stop, len(actions))
        sums = np.add.reduceat(rows.astype(np.float64), np.cumsum(lengths) - lengths, axis=0)
        means[done : done + len(lengths)] = sums / lengths[:, None]
        done += len(lengths)
    means = np.minimum(means, 1.0)  # sums of single-precision probabilities
    return {name: means[:, number] for number, name in enumerate(table)}, logged


def recorded_use(episodes: LoggedEpisodes, names: Sequence[str]) -> dict[str, Float64[np.ndarray, "member"]]:
    """What records say of a member's utilisation, mean over its weeks, where observations have the known names.

    What nobody has any of is left out, since nothing can be measured against it. Spending below zero counts as none.
    """

    def mean(name: str) -> np.ndarray:
        assert episodes.observations is not None
        return episodes.observations[:, :, names.index(name)].sum(axis=1, dtype=np.float64) / episodes.lengths

    found = {}
    if ED_VISITS in names and STAYS in names:
        found["recorded events"] = mean(ED_VISITS) + mean(STAYS)
    if SPENDING in names:
        found["recorded spending"] = np.maximum(mean(SPENDING), 0.0)
    return {name: use for name, use in found.items() if use.any()}


def silent(what: str, done: int, total: int) -> None:
    """Progress that nobody looks at."""

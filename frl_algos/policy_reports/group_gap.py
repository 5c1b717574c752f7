"""The gap between groups as an evaluator of d3rlpy, to be watched while an algorithm trains.

algorithm.fit(buffer, n_steps=3_000, evaluators={"gap": GroupGap("race_ethnicity")})
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from frl_algos.logged_data.replay import FactoredReplayBuffer
from frl_algos.policies.policy import CHUNK
from frl_algos.value_models.selection import check_trained_on, target_probabilities
from frl_env.errors import UserError, check_whole, unknown_name
from frl_env.evaluation.fairness.allocations import HIGH_TOUCH, joints_with
from frl_env.evaluation.privacy.suppression import SMALLEST


class GroupGap:
    """Largest less smallest group mean of the probability of high-touch contact: the demographic parity gap.

    Groups of fewer than `minimum` members are left out, since their means are mostly chance.

    Args:
        attribute: Key of the buffer's groups.
        buffer: Members to look at, with their groups; those that the algorithm is trained on when None.
        high_touch: Levels that count as high touch.
        minimum: Members that a group needs; at least 11 where they may be real.
        members: At most so many are asked about, drawn once; all when None.
        seed: Of that draw.

    Raises:
        UserError: If a number is not whole, or out of range.
    """

    def __init__(
        self,
        attribute: str,
        *,
        buffer: FactoredReplayBuffer | None = None,
        high_touch: Sequence[str] = HIGH_TOUCH,
        minimum: int = 30,
        members: int | None = None,
        seed: int = 0,
    ) -> None:
        """Keeps what to look at."""
        check_whole("minimum", minimum, low=1, high=10**9)
        check_whole("seed", seed, low=0, high=2**63 - 1)
        if members is not None:
            check_whole("members", members, low=1, high=10**9)
        self.attribute = attribute
        self.buffer = buffer
        self.high_touch = tuple(high_touch)
        self.minimum = minimum
        self.members = members
        self.seed = seed

    def __call__(self, algo: Any, dataset: Any) -> float:
        """The gap, as d3rlpy calls it after every epoch.

        Raises:
            UserError: If the buffer has no such groups, fewer than two that are large enough, or other actions or
                states than the algorithm was trained on; or if groups of a few real people were asked for.
        """
        buffer = dataset if self.buffer is None else self.buffer
        if not isinstance(buffer, FactoredReplayBuffer) or not buffer.groups:
            raise UserError(
                "GroupGap needs a buffer with groups: load_replay_buffer(dataset, groups=['race_ethnicity'])"
            )
        if self.attribute not in buffer.groups:
            raise unknown_name("attribute", self.attribute, buffer.groups)
        check_trained_on("the algorithm", algo, buffer)
        if not buffer.simulated and self.minimum < SMALLEST:
            raise UserError(f"GroupGap's minimum must be at least {SMALLEST} on imported members, not {self.minimum}")
        _, first, person = np.unique(buffer.people, return_index=True, return_inverse=True)
        chosen = np.arange(len(first))
        if self.members is not None and self.members < len(chosen):
            chosen = np.sort(np.random.default_rng(self.seed).permutation(chosen)[: self.members])
        labels = buffer.groups[self.attribute][first[chosen]]
        names, counts = np.unique(labels, return_counts=True)
        kept = names[counts >= self.minimum]
        if len(kept) < 2:
            raise UserError(
                f"attribute {self.attribute!r} has fewer than two groups of at least {self.minimum} members; lower "
                "minimum, or look at more members"
            )
        episodes = np.flatnonzero(np.isin(person, chosen))
        high_touch = self._high_touch(algo, buffer, episodes, np.searchsorted(chosen, person[episodes]))
        means = [high_touch[labels == name].mean() for name in kept]
        return float(max(means) - min(means))

    def _high_touch(
        self, algo: Any, buffer: FactoredReplayBuffer, episodes: np.ndarray, member: np.ndarray
    ) -> np.ndarray:
        """Mean probability of high touch over the weeks of each member, whose number is given for each episode."""
        ask = target_probabilities(algo, buffer.action_space)
        columns = joints_with(buffer.action_space, self.high_touch).astype(np.float32)
        lengths = buffer.lengths[episodes]
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        rows = np.repeat(buffer.starts[episodes] - starts, lengths) + np.arange(lengths.sum())
        observations = buffer.observations[rows]
        parts = range(0, len(rows), CHUNK)
        chances = np.concatenate([ask(observations[start : start + CHUNK]) @ columns for start in parts])
        sums = np.bincount(member, weights=np.add.reduceat(chances.astype(np.float64), starts))
        return sums / np.bincount(member, weights=lengths)

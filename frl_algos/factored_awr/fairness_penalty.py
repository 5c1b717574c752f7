"""The penalty on how high-touch care is allocated to groups, and the tilt of the policy that minimises it.

With m_i the mean of p'(s) (`frl_algos.networks.tilt`) over the weeks of member i, M_g its mean over the members of
group g, m the mean of the policy as it was, and t_g what the group is to get in relation to it,

    minimise    D(pi, pi')  +  weight * mean over g of  [ (M_g / m - t_g)^2  +  var_g(m_i) / (n_g m^2) ]

- D is the divergence of p' from p, averaged over the states: the change that the policy is put through, in nats.
- t_g is 1 for demographic parity ("parity"); for need-proportional care ("need") the group's mean need in relation
  to that of all members.
- The second term is the sampling variance of M_g / m. Together they are the squared deviation to be expected among
  *new* members: five thousand members differ between groups by chance as well, and to undo that for them widens the
  gap of the next five thousand. It also is what keeps small groups stable.

Probabilities are the policy's own, summed over all joint actions; group means are those of all members and not of a
mini-batch. The minimum is found in closed loop (L-BFGS on a few numbers) whenever an epoch of training ends. Group
labels and needs are used here and nowhere else: the policy never sees them.

Lagrangian form: instead of a weight, a *slack*; the weight is then the smallest at which no two groups' M_g - m t_g lie
further apart than that.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from frl_algos.factored_awr.settings import HEAVIEST
from frl_algos.logged_data.replay import FactoredReplayBuffer
from frl_algos.networks.tilt import Tilt
from frl_env.errors import UserError
from frl_env.evaluation.fairness.audited_members import NOT_RECORDED

ROWS = 20_000
"""States over which the means are taken: equally many of each member, at least one."""

LEAST_MEMBERS = 30
"""Members that a group needs, to be looked at."""

STEPS = 300
"""Of L-BFGS, at most."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PenaltyData:
    """The members of a dataset as the penalty sees them.

    Attributes:
        rows: Rows of the buffer, some of each member.
        member: Member of each row.
        share: 1 / (rows of that member).
        groups: Whether a member is in a group.
        attributes: Groups of each attribute, as positions.
        target: t_g of each group.
    """

    rows: Int[np.ndarray, "row"]
    member: Int[Tensor, "row"]
    share: Float[Tensor, "row"]
    groups: Float[Tensor, "member group"]
    attributes: tuple[slice, ...]
    target: Float[Tensor, "group"]

    @classmethod
    def of_buffer(cls, buffer: FactoredReplayBuffer, *, by_need: bool) -> "PenaltyData":
        """Samples the buffer.

        Args:
            buffer: With the groups of its members, and their need where it counts.
            by_need: Whether a group is to get as much as it needs, rather than as much as the others.

        Raises:
            UserError: If groups or needs are missing, or fewer than two groups of an attribute are large enough.
        """
        if not buffer.groups:
            raise UserError(
                "fairness needs the groups of the members; load them with the buffer: "
                "load_replay_buffer(dataset, groups=['race_ethnicity'])"
            )
        if by_need and buffer.need is None:
            raise UserError(
                "fairness 'need' needs a need of each member; load it with the buffer: "
                "load_replay_buffer(dataset, groups=['race_ethnicity'], need='open_needs')"
            )
        if by_need and buffer.need is not None and not (np.isfinite(buffer.need).all() and buffer.need.mean() > 0):
            raise UserError(
                "the need of the members is missing, infinite or 0 for all; correct it or leave fairness out"
            )
        # A record with weeks missing is several episodes: people are what groups are counted in, and weigh alike.
        _, first, person = np.unique(buffer.people, return_index=True, return_inverse=True)
        columns: list[np.ndarray] = []
        attributes = []
        for attribute, of_episodes in buffer.groups.items():
            labels = np.asarray(of_episodes)[first]
            found, counts = np.unique(labels, return_counts=True)
            if list(found) == [NOT_RECORDED]:
                raise UserError(
                    f"attribute {attribute!r} is missing for all {len(labels):,} members; fill it in or leave it out"
                )
            kept = found[counts >= LEAST_MEMBERS]
            if len(kept) < 2:
                raise UserError(
                    f"attribute {attribute!r} has {len(kept)} groups of at least {LEAST_MEMBERS} members; fairness "
                    "needs two: take more members, or merge or leave out groups"
                )
            attributes.append(slice(len(columns), len(columns) + len(kept)))
            columns += [labels == label for label in kept]
        groups = np.stack(columns, axis=1).astype(np.float64)
        target = np.ones(len(columns))
        if by_need:
            assert buffer.need is not None
            need = buffer.need[first]
            target = (groups.T @ need) / groups.sum(axis=0) / need.mean()
        rng = np.random.default_rng(0)
        each = max(1, ROWS // len(first))
        whose = np.repeat(person, buffer.lengths)
        weeks = np.bincount(whose)
        order = np.lexsort((rng.random(len(whose)), whose))
        place = np.arange(len(order)) - np.repeat(np.cumsum(weeks) - weeks, weeks)
        rows = np.sort(order[place < each])
        member = whose[rows]
        return cls(
            rows=rows,
            member=torch.as_tensor(member),
            share=torch.as_tensor(1.0 / np.minimum(weeks, each)[member]),
            groups=torch.as_tensor(groups),
            attributes=tuple(attributes),
            target=torch.as_tensor(target),
        )

    def means(self, chances: Float[Tensor, "row"]) -> tuple[Float[Tensor, "group"], Float[Tensor, "group"]]:
        """M_g, and its sampling variance.

        Args:
            chances: p' of each row.
        """
        member = torch.zeros(len(self.groups), dtype=chances.dtype).index_add(0, self.member, chances * self.share)
        size = self.groups.sum(dim=0)
        mean = self.groups.T @ member / size
        spread = (self.groups * (member[:, None] - mean) ** 2).sum(dim=0) / (size - 1)
        return mean, spread / size


@dataclass(frozen=True, kw_only=True)
class Balance:
    """What a tilt did to the members it was fitted to.

    Attributes:
        weight: Of the penalty.
        high_touch: Mean probability of high touch.
        gap_before, gap: Largest less smallest M_g - m t_g of an attribute, without and with the tilt; a probability.
        divergence: Of the tilted policy, in nats a state.
    """

    weight: float
    high_touch: float
    gap_before: float
    gap: float
    divergence: float


def fit_tilt(
    tilt: Tilt,
    data: PenaltyData,
    measures: Float[Tensor, "row measure"],
    log_odds: Float[Tensor, "row"],
    *,
    weight: float,
    slack: float | None,
) -> Balance:
    """Sets the weights of a tilt to those that minimise the penalty.

    Args:
        tilt: Its weights are replaced.
        data: The members.
        measures: phi of each row.
        log_odds: logit p of each row.
        weight: Of the penalty, when there is no slack.
        slack: Largest gap allowed; the smallest weight that keeps it is taken.
    """
    measures, log_odds = measures.double().cpu(), log_odds.double().cpu()
    chances = torch.sigmoid(log_odds)
    # Weights of the rows by which all members count alike.
    every = data.share / data.share.sum()
    level = (every * chances).sum().clamp(min=1e-12)

    def gap(weights: Tensor) -> float:
        """Largest gap between two groups of an attribute, in probability of high touch beyond their target."""
        deviations = data.means(torch.sigmoid(log_odds + measures @ weights))[0] - level * data.target
        return max(float(deviations[own].max() - deviations[own].min()) for own in data.attributes)

    def divergence(weights: Tensor) -> Tensor:
        """D: Kullback-Leibler divergence of the tilted chances from the given ones, mean over the states."""
        odds = log_odds + measures @ weights
        terms = chances * (F.logsigmoid(log_odds) - F.logsigmoid(odds))
        terms = terms + (1 - chances) * (F.logsigmoid(-log_odds) - F.logsigmoid(-odds))
        return (every * terms).sum()

    def loss(weights: Tensor, strength: float) -> Tensor:
        mean, variance = data.means(torch.sigmoid(log_odds + measures @ weights))
        penalty = ((mean / level - data.target) ** 2 + variance / level**2).mean()
        return divergence(weights) + strength * penalty

    start = torch.zeros(measures.shape[1], dtype=torch.float64)
    if slack is None:
        found, used = _minimise(lambda weights: loss(weights, weight), start), weight
    else:
        found, used = _within(lambda strength, at: _minimise(lambda w: loss(w, strength), at), gap, start, slack)
    tilt.weights.copy_(found)
    return Balance(
        weight=used,
        high_touch=float((every * torch.sigmoid(log_odds + measures @ found)).sum()),
        gap_before=gap(start),
        gap=gap(found),
        divergence=float(divergence(found)),
    )


def _within(
    solve: Callable[[float, Tensor], Tensor], gap: Callable[[Tensor], float], start: Tensor, slack: float
) -> tuple[Tensor, float]:
    """The tilt of the smallest weight that keeps the slack, by bisection; of the heaviest when none does."""
    if gap(start) <= slack:
        return start, 0.0
    low, high = 0.0, math.log10(HEAVIEST)
    found, used = solve(HEAVIEST, start), HEAVIEST
    if gap(found) > slack:
        return found, used
    while high - low > 0.02:
        middle = (low + high) / 2
        tried = solve(10**middle, start)
        if gap(tried) <= slack:
            high, found, used = middle, tried, 10**middle
        else:
            low = middle
    return found, used


def _minimise(loss: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
    """Smooth and in a few numbers: quasi-Newton from the same start every time."""
    weights = start.clone().requires_grad_(True)
    optimiser = torch.optim.LBFGS(
        [weights],
        max_iter=STEPS,
        history_size=30,
        line_search_fn="strong_wolfe",
        tolerance_grad=1e-9,
        tolerance_change=1e-12,
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss(weights)
        value.backward()
        return value

    with torch.enable_grad():
        optimiser.step(closure)  # type: ignore[arg-type] - a tensor, as torch's own examples return it
    return weights.detach()

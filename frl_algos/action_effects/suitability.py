"""Whom an action suits, as far as the behaviour policy's own choices show it.

An effect is estimated on those for whom the action was chosen. A team that knows more than the record chooses a goal
for members who need it; a policy that sees the record only will choose it for others as well, fewer of whom do. The
choices themselves say by how much:

1. **Needs.** Say level g is chosen out of habit (probability q), and more often (by s) while the member has the need
   that g answers to, which lasts. Over pairs of decisions in the same episode the indicators of g then have covariance

       c_g = s^2 share_g (1 - share_g),

   so levels that come back with the same members, beyond how often they are chosen at all, answer to needs that many
   have. Effects of a level are multiplied by c_g over its mean. A level of habit alone comes out near 0.
2. **Skills.** How much more often a level of another factor (the provider) goes with g than with the rest, over the
   most that any of its levels does: a team knows who is able to do what.

Both are shrunk to no difference as far as chance explains them, by empirical Bayes (Morris, 1983): where a team
chooses at random, nothing is left of them. What they suppose:

- What comes back with the same members answers to a need. They can't tell from one anything else that makes a team
  repeat itself: a plan, a member's own nurse, anything lasting in the record, a learner's own decisions online. Where
  that is so, leave `need_factor` out.
- Levels are chosen out of habit and by need at much the same rates, and no need is had by much more than half of the
  members: c_g falls again above.
- A level does as much for those who need it as any other does, unless outcomes say otherwise beyond doubt: an effect is
  multiplied, so one that is no use and often needed looks good.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from frl_env.actions import ActionSpace
from frl_env.errors import unknown_name

CERTAIN = 2.0
"""Standard errors below which the mean covariance, or the dependence of skills on needs, counts as chance."""

ITERATIONS = 50
"""Of the estimate of a spread; a handful are enough."""


@dataclass(frozen=True, kw_only=True)
class Suitability:
    """What effects are multiplied by; 1 on average over the decisions of the data.

    Attributes:
        needs: `(valid,)`, how common the need is that an action answers to.
        skills: `(valid,)`, how far whoever carries it out is the one to turn to.
        told: Factors whose levels these tell apart; none where choices say nothing of them.
    """

    needs: Float[np.ndarray, "valid"]
    skills: Float[np.ndarray, "valid"]
    told: frozenset[str] = frozenset()


def suitability(
    space: ActionSpace,
    actions: Int[np.ndarray, "decision"],
    people: Int[np.ndarray, "decision"],
    *,
    need: str | None,
    skill: str | None,
) -> Suitability:
    """Estimates it from the logged decisions to do something.

    Args:
        space: The actions.
        actions: Position of each logged action among the valid ones; without those that do nothing.
        people: Number of the person whose it is; several spells of one person are one person's.
        need: Factor whose levels answer to needs; None leaves everything at 1.
        skill: Factor whose levels differ in what they are able to do about a need; None leaves skills at 1.

    Raises:
        UserError: If there is no such factor.
    """
    levels = space.joint_levels[space.valid_joints]
    ones = np.ones(len(levels))
    if need is None or not len(actions):
        return Suitability(needs=ones, skills=ones)
    n = column(space, need)
    found = _needs(levels[actions, n], people, space.nvec[n])[levels[:, n]]
    told = {need} if _differ(found) else set()
    if skill is None:
        return Suitability(needs=found, skills=ones, told=frozenset(told))
    s = column(space, skill)
    able = _skills(levels[actions, n], levels[actions, s], space.nvec[n], space.nvec[s])[levels[:, n], levels[:, s]]
    if _differ(able):
        told.add(skill)
    return Suitability(needs=found, skills=able, told=frozenset(told))


def _differ(factors: Float[np.ndarray, "valid"]) -> bool:
    """Whether they do by more than rounding."""
    return bool(np.ptp(factors) > 1e-6)


def column(space: ActionSpace, name: str) -> int:
    """Which factor has that name.

    Raises:
        UserError: If none has.
    """
    names = [factor.name for factor in space]
    if name not in names:
        raise unknown_name("factor", name, names)
    return names.index(name)


def _needs(
    chosen: Int[np.ndarray, "decision"], people: Int[np.ndarray, "decision"], size: int
) -> Float[np.ndarray, "level"]:
    """How common the need is that each level answers to; levels never chosen stay at 1."""
    result = np.ones(size)
    share = np.bincount(chosen, minlength=size) / len(chosen)
    used = np.flatnonzero(share)
    share = share[used]
    members, who = np.unique(people, return_inverse=True)
    counts = np.zeros((len(members), size))
    np.add.at(counts, (who, chosen), 1.0)
    decisions = counts.sum(axis=1)
    counts, decisions = counts[decisions > 1][:, used], decisions[decisions > 1]
    if len(used) < 2 or len(decisions) < 2:
        return result
    # Sums over ordered pairs of different decisions; a member counts as often as it has decisions.
    # The square of a member's summed deviations, less the squares of single decisions, leaves the pairs.
    single = counts * (1 - share) ** 2 + (decisions[:, None] - counts) * share**2
    products = ((counts - decisions[:, None] * share) ** 2 - single) / (decisions[:, None] - 1)
    covariance = products.sum(axis=0) / decisions.sum()
    spread = (products - covariance * decisions[:, None]) / decisions.sum()
    mean, error = covariance.mean(), np.sqrt((spread.mean(axis=1) ** 2).sum())
    if mean <= CERTAIN * error:
        return result
    deviation = _shrunk(covariance / mean - 1, (spread**2).sum(axis=0) / mean**2)
    # Levels are compared with the mean covariance; so far as that itself is uncertain, nothing is made of it.
    reliable = 1 - (CERTAIN * error / mean) ** 2
    found = 1 + reliable * (np.maximum(1 + deviation, 0.0) - 1)
    # 1 on average over decisions: what the action does on the whole was estimated and stays.
    result[used] = found / (found @ share)
    return result


def _skills(
    need: Int[np.ndarray, "decision"], skill: Int[np.ndarray, "decision"], needs: int, skills: int
) -> Float[np.ndarray, "need skill"]:
    """How often each skill goes with each need against how often it is chosen at all, over the need's largest."""
    table = np.zeros((needs, skills))
    np.add.at(table, (need, skill), 1.0)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    seen = expected > 0
    # Pearson's statistic, against its mean and standard deviation if the two are independent.
    statistic = ((table - expected)[seen] ** 2 / expected[seen]).sum()
    free = (seen.any(axis=1).sum() - 1) * (seen.any(axis=0).sum() - 1)
    if statistic <= free + CERTAIN * np.sqrt(2 * free):
        return np.ones_like(table)
    # Lift: choices of a skill for a need over those expected, shrunk to 1. Its variance is that of a binomial count.
    lift = np.ones_like(table)
    variance = (1 - table.sum(axis=0) / table.sum())[None, :] / np.where(seen, expected, 1.0)
    lift[seen] = np.maximum(1 + _shrunk((table[seen] / expected[seen]) - 1, variance[seen]), 0.0)
    relative = np.ones_like(table)
    largest = np.where(seen, lift, 0.0).max(axis=1, keepdims=True)
    relative[seen] = (lift / np.where(largest > 0, largest, 1.0))[seen]
    # 1 on average over decisions, as for the needs.
    return relative / ((relative * table).sum() / table.sum())


def _shrunk(deviation: Float[np.ndarray, "x"], variance: Float[np.ndarray, "x"]) -> Float[np.ndarray, "x"]:
    """Deviations shrunk towards 0 by what their spread is beyond chance; found by iteration (Morris, 1983)."""
    beyond = float((deviation**2).mean())
    for _ in range(ITERATIONS):
        weight = 1 / np.maximum(beyond + variance, 1e-12)
        beyond = max(float((weight * (deviation**2 - variance)).sum() / weight.sum()), 0.0)
    return deviation * beyond / np.maximum(beyond + variance, 1e-12)

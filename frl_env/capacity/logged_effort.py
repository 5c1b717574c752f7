"""Effort in logged members: what the behaviour policy spent, and what a policy at a held price would spend.

A policy within capacity can't be valued by logged members, because what one gets depends on all others. At a held price
(`HeldPrice`) it can: `held_price` finds the price that a budget comes to on these members, `value_at_price` runs the
estimators of `frl_env.evaluation` on the rewards, on staff minutes and on contacts.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from frl_env.actions import DECISIONS_AT_ONCE, ActionSpace
from frl_env.capacity.asking import GAINS, gains_of, joints_of
from frl_env.capacity.capacity import Capacity
from frl_env.capacity.deciding import ask_chances, ask_offers
from frl_env.capacity.effort import Effort
from frl_env.capacity.held_price import HeldPrice
from frl_env.capacity.knapsack import knapsack
from frl_env.capacity.tilting import tilt_prices
from frl_env.errors import UserError, check_number
from frl_env.evaluation import Evaluation, LoggedEpisodes, evaluate
from frl_env.evaluation.privacy.suppression import SMALLEST, hidden_levels, rough_amount, rough_share

Probabilities = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class LoggedEffort:
    """What the behaviour policy spent.

    Attributes:
        minutes: Staff minutes a member-week; None where no minutes are known, or where 1 to 10 real people got any. Of
            real people they are those to the nearest 20 contacts of usual length.
        contacts: Contacts a member-week, of real people to the nearest 20; None where 1 to 10 of them got any.
        levels: Factor to level to contacts and minutes a member-week; a level is left out where 1 to 10 real people got
            it, or such a number would follow.
    """

    minutes: float | None
    contacts: float | None
    levels: dict[str, dict[str, dict[str, float | None]]]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "effort_minutes_per_week": self.minutes,
            "contacts_per_week": self.contacts,
            "by_level": self.levels,
        }


def logged_effort(
    joints: Int64[np.ndarray, "row"],
    lengths: Int64[np.ndarray, "episode"],
    space: ActionSpace,
    effort: Effort | None,
    *,
    simulated: bool,
    people: Int64[np.ndarray, "episode"] | None = None,
) -> LoggedEffort:
    """Minutes and contacts of the logged decisions.

    Args:
        joints: Joint index of every logged action, episodes one after the other.
        lengths: How many of them are each episode's.
        space: The actions.
        effort: Minutes of each action; None where they are not known.
        simulated: Whether the members are; of real people small cells are hidden, and numbers are rough.
        people: Number of the person of each episode; None where every episode is of another person.
    """
    who = np.repeat(np.arange(len(lengths)) if people is None else people, lengths)
    contact = space.contacts[joints]
    weeks = len(joints)
    minutes = None if effort is None else effort.minutes[joints]
    told = simulated or not 0 < len(np.unique(who[contact])) < SMALLEST

    def spent(rows: np.ndarray, kind: np.ndarray) -> dict[str, float | None]:
        """Contacts and minutes a week of the logged `rows`; `kind` marks the joint actions that they can be."""
        made = rough_share(rows.sum() / weeks, weeks, simulated=simulated)
        if effort is None or minutes is None:
            return {"contacts_per_week": made, "minutes_per_week": None}
        took = rough_amount(minutes[rows].sum(), effort.minutes[kind].mean(), simulated=simulated)
        return {"contacts_per_week": made, "minutes_per_week": took / weeks}

    levels: dict[str, dict[str, dict[str, float | None]]] = {}
    for number, factor in enumerate(space):
        code = space.joint_levels[joints, number]
        met = np.bincount(code[contact], minlength=len(factor))
        hidden = np.zeros(len(factor), dtype=bool)
        if not simulated:
            hidden = hidden_levels(who[contact], code[contact], len(factor), total=told)
        levels[factor.name] = {
            level: spent(contact & (code == k), space.contacts & (space.joint_levels[:, number] == k))
            for k, level in enumerate(factor.levels)
            if met[k] and not hidden[k]
        }
    whole = spent(contact, space.contacts) if told else {"contacts_per_week": None, "minutes_per_week": None}
    return LoggedEffort(minutes=whole["minutes_per_week"], contacts=whole["contacts_per_week"], levels=levels)


def held_price(
    policy: Any, effort: Effort, minutes: float, episodes: LoggedEpisodes, *, seed: int = 0, by: str | None = None
) -> float:
    """Price of a minute at which a policy would spend so many minutes a member-week in the states that were logged.

    Args:
        policy: See `frl_env.capacity.asking`; its memory, if it has one, holds what was logged.
        effort: Minutes of each action.
        minutes: A member-week.
        episodes: The logged decisions.
        seed: For ties.
        by: "gains" or "probabilities"; the most that the policy offers unless given.

    Where many contacts gain the same a minute, no price divides them: `held_policy` does, by lot.

    Raises:
        UserError: If the policy only acts, or no price comes to so few minutes.
    """
    check_number("minutes a member-week", minutes, low=0, high=10_080)
    held = HeldPrice(policy, effort, 0.0, by)
    seen, memory = _rows(held, episodes)
    rng = np.random.default_rng(seed)
    limits = Capacity(minutes=minutes).limits(effort, len(seen))

    def ask(rows: slice) -> np.ndarray:
        if held.kind == GAINS:
            return gains_of(policy, seen[rows], None if memory is None else memory[rows])
        return policy.probabilities(seen[rows])

    if held.kind == GAINS:
        offers = ask_offers(ask, len(seen), effort, limits, rng, joints_of(policy))
        return float(knapsack(offers, float(limits.room[0]), rng).prices[0])
    prices = tilt_prices(ask_chances(ask, len(seen), effort, limits, rng), limits.room)
    if prices is None:
        raise UserError(
            f"no price makes {type(policy).__name__} spend {minutes:g} minutes a member-week: it hardly ever does "
            "nothing"
        )
    return float(prices[0])


def held_policy(
    policy: Any, effort: Effort, minutes: float, episodes: LoggedEpisodes, *, seed: int = 0, by: str | None = None
) -> HeldPrice:
    """A policy that spends so many minutes a member-week in the states that were logged, each member on their own.

    Its price is that of `held_price`. Contacts that gain exactly their price are made by lot, with the chance at which
    the budget is spent: a policy that knows one gain contacts a share of all. Contacts that gain nothing are not made.

    Args:
        policy: See `frl_env.capacity.asking`; its memory, if it has one, holds what was logged.
        effort: Minutes of each action.
        minutes: A member-week.
        episodes: The logged decisions.
        seed: For ties, while the price is sought.
        by: "gains" or "probabilities"; the most that the policy offers unless given.

    Raises:
        UserError: As `held_price`.
    """
    price = held_price(policy, effort, minutes, episodes, seed=seed, by=by)
    held = HeldPrice(policy, effort, price, by)
    if held.kind != GAINS:
        return held
    seen, memory = _rows(held, episodes)
    least, most = (
        float(sum(part.sum() for part in _spent(replace(held, lot=lot), seen, memory))) / len(seen)
        for lot in (0.0, 1.0)
    )
    # Minutes that cost nothing buy nothing more either: the shortest do.
    lot = 0.0 if price == 0 or most <= least else float(np.clip((minutes - least) / (most - least), 0.0, 1.0))
    return replace(held, lot=lot)


def _spent(held: HeldPrice, seen: np.ndarray, memory: np.ndarray | None) -> Iterator[np.ndarray]:
    """Expected minutes of the logged decisions, a chunk of them at a time."""
    for start in range(0, len(seen), DECISIONS_AT_ONCE):
        rows = slice(start, start + DECISIONS_AT_ONCE)
        yield held.probabilities(seen[rows], None if memory is None else memory[rows]) @ held.effort.minutes


@dataclass(frozen=True, kw_only=True, eq=False)
class ValueAtPrice:
    """A policy at a held price, on logged members.

    Attributes:
        price: Of a staff minute.
        value: Of the rewards, with intervals, diagnostics and refusals.
        minutes: The same of staff minutes, a member in all weeks.
        contacts: The same of contacts.
        weeks: Weeks a member, to divide these by.
    """

    price: float
    value: Evaluation
    minutes: Evaluation
    contacts: Evaluation
    weeks: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "price": self.price,
            "weeks": self.weeks,
            "value": self.value.to_dict(),
            "minutes": self.minutes.to_dict(),
            "contacts": self.contacts.to_dict(),
        }


def value_at_price(held: HeldPrice, episodes: LoggedEpisodes, *, seed: int = 0, **options: Any) -> ValueAtPrice:
    """Values a policy at a held price, and what it would spend, by every estimator there is.

    Args:
        held: The policy and its price.
        episodes: The logged decisions.
        seed: Of folds and resamples.
        options: Of `frl_env.evaluation.evaluate`. Values and models of the rewards (`q_values`, `others`, and the
            headline that goes with them) are for the rewards alone.

    Raises:
        UserError: If anything does not fit.
    """
    target, seen = remembered(held, episodes)
    spent = held.effort.minutes[seen.actions]
    contact = seen.action_space.contacts[seen.actions]
    outcomes = {"value": seen.rewards, "minutes": spent, "contacts": contact.astype(np.float64)}
    of_rewards = {"q_values", "others"} & options.keys()
    plain = {key: each for key, each in options.items() if key not in of_rewards}
    if of_rewards:
        plain = {key: each for key, each in plain.items() if key not in ("headline", "passed_over")}
    found = {
        name: evaluate(
            seen if name == "value" else replace(seen, rewards=rewards, reward_parts={}),
            target,
            rng=np.random.default_rng(seed),
            **(options if name == "value" else plain),
        )
        for name, rewards in outcomes.items()
    }
    return ValueAtPrice(price=held.price, weeks=float(episodes.lengths.mean()), **found)


def remembered(held: HeldPrice, episodes: LoggedEpisodes) -> tuple[Probabilities, LoggedEpisodes]:
    """A policy at a held price as estimators ask it: a function of observations, and episodes that hold these.

    What a policy with a memory would have in mind after the logged weeks is appended to the observations, so that the
    same function tells its probabilities in any of them.
    """
    if not held.has_memory:
        return held.probabilities, episodes
    memory = logged_memory(held.policy, episodes)
    width = np.asarray(episodes.observations).shape[2]
    wider = np.concatenate((np.asarray(episodes.observations), memory), axis=2)
    return (
        lambda rows: held.probabilities(rows[:, :width], rows[:, width:].astype(np.float64)),
        replace(episodes, observations=wider),
    )


def logged_memory(policy: Any, episodes: LoggedEpisodes) -> Float64[np.ndarray, "episode step m"]:
    """What a policy would have in mind before each logged decision.

    Raises:
        UserError: If the episodes hold no observations.
    """
    observations = episodes.observations
    if observations is None:
        raise UserError("a policy with a memory needs the episodes' observations; load them with the episodes")
    memory = np.asarray(policy.start_memory(len(episodes)), dtype=np.float64)
    kept = np.zeros((len(episodes), episodes.steps, memory.shape[1]))
    for step in range(episodes.steps):
        kept[:, step] = memory
        memory = np.asarray(policy.remember(memory, observations[:, step], episodes.actions[:, step]))
    return kept


def _rows(held: HeldPrice, episodes: LoggedEpisodes) -> tuple[np.ndarray, np.ndarray | None]:
    """Observations and memory of all logged decisions."""
    memory = logged_memory(held.policy, episodes)[episodes.mask] if held.has_memory else None
    return episodes.observation_rows, memory

"""Any policy under a budget, for rollouts on the simulator.

The whole caseload shares the week's capacity: minutes a member-week times the members who are enrolled this week,
that is active and not in a coverage gap, which a program knows. How a policy keeps within it depends on what it can say
(`frl_env.capacity.asking`): gains are allocated by gain a minute, probabilities get a price, and contacts of a policy
that only acts are dropped at random.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from frl_env.capacity.asking import (
    ACTIONS,
    GAINS,
    PROBABILITIES,
    check_rows,
    gains_of,
    has_memory,
    joints_of,
    says,
    sees_simulator,
)
from frl_env.capacity.capacity import Capacity, as_capacity
from frl_env.capacity.deciding import (
    Ask,
    allocate_asked,
    ask_chances,
    ask_offers,
    draw,
    thin_given,
)
from frl_env.capacity.effort import Effort, check_effort, null_joint
from frl_env.capacity.held_price import HeldPrice, check_price, shortest_and_longest
from frl_env.capacity.knapsack import NOTHING
from frl_env.capacity.tilting import draw_kinds, tilted
from frl_env.capacity.tilting import joints_of as drawn_joints
from frl_env.errors import UserError, check_count, unknown_name
from frl_env.simulator.state import State, observe

GROUPS = {"race_ethnicity": "race", "gender": "gender", "age_band": "age_band"}
"""Attributes by which a capacity may promise a least chance, and the fields of `Members` that hold them."""


class Budgeted:
    """A policy that keeps within capacity.

    With an unlimited capacity it is the policy itself: the same decisions from the same random stream. (A policy that
    offers gains and can't act takes each member's largest gain.)

    Args:
        policy: Any that `frl_env.capacity.asking` describes.
        effort: Minutes of each action.
        capacity: Of every week, or staff minutes a member-week.
        by: "gains", "probabilities" or "actions"; the most that the policy offers unless given.
        price: Held price of a minute: then members are independent, and the capacity is kept on average only as far as
            the price is right. Only what the capacity forbids is heeded besides.
        lot: At a held price, chance of the longest of contacts that are equal there; see `HeldPrice`.
        screening, past_contacts: Whether these are among the policy's observations; as the policy's own attributes of
            these names say unless given, else not.
        vocabularies: Attribute to names of its groups, where the capacity promises groups a least chance.

    Raises:
        UserError: If the policy offers nothing that can be used, or the capacity names what does not exist.
    """

    def __init__(
        self,
        policy: Any,
        effort: Effort,
        capacity: Capacity | float,
        *,
        by: str | None = None,
        price: float | None = None,
        lot: float | None = None,
        screening: bool | None = None,
        past_contacts: bool | None = None,
        vocabularies: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        """Checks that policy and capacity fit."""
        capacity = as_capacity(capacity)
        check_effort(effort)
        self.policy, self.effort, self.capacity, self.by = policy, effort, capacity, by
        self.price, self.lot = price, lot
        self.kind = says(policy, by)
        capacity.check(effort.action_space)
        if lot is not None and price is None:
            raise UserError("a lot divides contacts that are equal at a held price; give the price, too")
        if price is not None and sees_simulator(policy, self.kind):
            check_price(price, lot)
        elif price is not None:
            HeldPrice(policy, effort, price, by, lot)  # says so when it can't be held
        self.screening = bool(getattr(policy, "screening", False)) if screening is None else screening
        self.past_contacts = bool(getattr(policy, "past_contacts", False)) if past_contacts is None else past_contacts
        self.vocabularies = dict(vocabularies or {})
        self.memory: np.ndarray | None = None
        named = capacity.source or "capacity"
        for attribute in capacity.least_chance:
            if attribute not in GROUPS or attribute not in self.vocabularies:
                raise UserError(f"{named} promises least chances by {attribute!r}, whose groups are not known here")
            for group in capacity.least_chance[attribute]:
                if group not in self.vocabularies[attribute]:
                    raise unknown_name(f"group of {attribute!r} in {named}:", group, self.vocabularies[attribute])

    def start(self, members: int) -> "Budgeted":
        """The policy for one rollout of so many members, with an empty memory where it has one."""
        check_count("members", members)
        inner = getattr(self.policy, "start", None)
        started = Budgeted(
            inner(members) if callable(inner) else self.policy,
            self.effort,
            self.capacity,
            by=self.by,
            price=self.price,
            lot=self.lot,
            screening=self.screening,
            past_contacts=self.past_contacts,
            vocabularies=self.vocabularies,
        )
        if self.kind == GAINS and has_memory(self.policy):
            started.memory = np.asarray(started.policy.start_memory(members))
        return started

    def act(self, members: Any, state: State, rng: np.random.Generator) -> Int64[np.ndarray, "member factor"]:
        """Decides for every member; who is not enrolled gets no contact.

        Raises:
            UserError: If the policy has a memory and `start` was not called.
        """
        space = self.effort.action_space
        if self.capacity.unlimited and self.price is None and _acts(self.policy):
            return self._levels(members, state, rng)
        enrolled = np.flatnonzero(state.active & ~state.gap)
        joints = np.full(len(members), null_joint(space))
        if self.kind == ACTIONS:
            wanted = space.ravel(check_rows("actions", self._levels(members, state, rng), len(members)))
            wanted[~space.valid[wanted]] = null_joint(space)
            if len(enrolled):
                joints[enrolled] = thin_given(wanted[enrolled], self.effort, self.capacity, rng)
            return space.unravel(joints)
        if self.kind == GAINS and has_memory(self.policy) and self.memory is None:
            raise UserError(f"{type(self.policy).__name__} has a memory; call start(members) before a rollout")
        if self.memory is not None and len(self.memory) != len(members):
            raise UserError(
                f"{len(members)} members are to be decided about, and {len(self.memory)} are remembered; call "
                "start(members) before a rollout"
            )
        seen = self._observe(state)
        if len(enrolled):
            joints[enrolled] = self._decide(self._ask(members, state, seen, enrolled), members, enrolled, rng)
        if self.memory is not None:
            self.memory = check_rows("memories", self.policy.remember(self.memory, seen, joints), len(members))
        return space.unravel(joints)

    def _decide(
        self, ask: Ask, members: Any, enrolled: Int64[np.ndarray, "enrolled"], rng: np.random.Generator
    ) -> Int64[np.ndarray, "enrolled"]:
        """Joint actions of the enrolled members, within the week's capacity or at the held price."""
        n = len(enrolled)
        if self.price is not None:
            return self._at_price(ask, n, rng)
        groups = {
            name: np.asarray(self.vocabularies[name])[getattr(members, GROUPS[name])[enrolled]]
            for name in self.capacity.least_chance
        }
        promises = {  # groups exist, as was checked; this week some may be empty
            name: {group: chance for group, chance in table.items() if (groups[name] == group).any()}
            for name, table in self.capacity.least_chance.items()
        }
        capacity = replace(self.capacity, least_chance=promises) if promises else self.capacity
        if self.kind == GAINS:
            own = joints_of(self.policy)
            return allocate_asked(ask, n, self.effort, capacity, rng, joints=own, groups=groups).joints
        return draw(ask, n, self.effort, capacity, rng, groups=groups).kept

    def _at_price(self, ask: Ask, members: int, rng: np.random.Generator) -> Int64[np.ndarray, "enrolled"]:
        """Decisions at the held price, each member's own."""
        space = self.effort.action_space
        minutes = Capacity(minutes=0.0, forbidden=self.capacity.forbidden)  # only to sort contacts by their minutes
        limits = minutes.limits(self.effort, members)
        price = np.asarray([self.price], dtype=np.float64)
        if self.kind == PROBABILITIES:
            chances = tilted(ask_chances(ask, members, self.effort, limits, rng), price)
            return drawn_joints(chances, draw_kinds(chances, rng), space)
        offers = ask_offers(ask, members, self.effort, limits, rng, joints_of(self.policy))
        at = np.arange(members)
        if self.lot is not None:
            either = shortest_and_longest(offers.gains, offers.use[0], float(price[0]))
            among = np.where((rng.random(members) < self.lot)[:, None], either[1], either[0])
            kinds = among.argmax(axis=1) - 1  # of one length there is one kind
            return np.where(kinds == NOTHING, null_joint(space), offers.joints[at, kinds])
        reduced = offers.gains - price @ offers.use
        best = reduced.argmax(axis=1)
        kinds = np.where(reduced[at, best] > 0, best, NOTHING)
        return np.where(kinds == NOTHING, null_joint(space), offers.joints[at, kinds])

    def _ask(self, members: Any, state: State, seen: np.ndarray, enrolled: Int64[np.ndarray, "enrolled"]) -> Ask:
        """Asks the policy about some of the enrolled members."""
        policy = self.policy
        if sees_simulator(policy, self.kind):
            full = policy.gains_at(members, state) if self.kind == GAINS else policy.joint_probabilities(members, state)
            full = check_rows(self.kind, full, len(members))
            return lambda rows: full[enrolled[rows]]
        if self.kind == PROBABILITIES:
            return lambda rows: policy.probabilities(seen[enrolled[rows]])
        memory = self.memory

        def gains(rows: slice) -> Float64[np.ndarray, "row action"]:
            who = enrolled[rows]
            return gains_of(policy, seen[who], None if memory is None else memory[who])

        return gains

    def _levels(self, members: Any, state: State, rng: np.random.Generator) -> Int64[np.ndarray, "member factor"]:
        """The policy's own decisions."""
        if callable(getattr(self.policy, "act", None)):
            return self.policy.act(members, state, rng)
        return self.policy(self._observe(state), rng)

    def _observe(self, state: State) -> np.ndarray:
        return observe(state, screening=self.screening, past_contacts=self.past_contacts)


def _acts(policy: Any) -> bool:
    return callable(policy) or callable(getattr(policy, "act", None))

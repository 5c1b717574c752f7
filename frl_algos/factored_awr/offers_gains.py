"""What FactoredAWR says of single members: what each contact gains with them, and how a budget is spent on it.

The part of the algorithm that a program with few staff asks: it needs staff minutes and a response
(`frl_algos.member_model`). Memories of members are the caller's: one row of numbers each, from week to week.
"""

from typing import Any

import numpy as np

from frl_algos.factored_algorithm import FactoredAlgorithm
from frl_algos.factored_awr.settings import FactoredAWRSettings
from frl_algos.factored_awr.updating.update import FactoredAWRImpl
from frl_algos.member_model.caseload import CaseloadPolicy
from frl_algos.member_model.model import GainParts, MemberModel
from frl_env.capacity.asking import as_table, check_memory
from frl_env.capacity.capacity import Capacity, as_capacity
from frl_env.capacity.effort import Effort
from frl_env.errors import UserError

HISTORY = (
    "a history is observations (members, weeks, k) and joint indices (members, weeks) of the same members, as many "
    "weeks of each, and stands instead of a memory; members of pasts of different lengths go through remember, week by "
    "week"
)


class OffersGains(FactoredAlgorithm[FactoredAWRImpl, FactoredAWRSettings]):
    """An algorithm whose networks hold a model of a member."""

    @property
    def offers_gains(self) -> bool:
        """Whether it knows what a contact gains with each member: minutes and a response are needed for that."""
        model = None if self._impl is None else self._impl.modules.gains
        return model is not None and bool(model.known)

    def start_memory(self, members: int) -> np.ndarray:
        """Memories of members of whom nothing is known yet; `(members, m)` float32.

        Raises:
            UserError: If the algorithm offers no gains, or the number is no whole number from 0.
        """
        return self._member_model().start_memory(members)

    def remember(self, memory: np.ndarray, observations: np.ndarray, joints: np.ndarray) -> np.ndarray:
        """The memories after a week.

        Args:
            memory: `(members, m)`, before the week.
            observations: `(members, k)`, seen before the week's decisions; raw units.
            joints: `(members,)`, joint index of what was done.

        Raises:
            UserError: If the algorithm offers no gains, or a shape is wrong.
        """
        model, space, seen = self._member_model(), self.action_space, self._checked(observations)
        kept, done = self._memory(memory, len(seen)), as_table("joints", joints)
        if done.shape != (len(seen),) or done.dtype.kind not in "iu":
            raise UserError(
                f"joints must be a joint index for each of {len(seen)} members, not {done.dtype} of shape "
                f"{done.shape}; action_space.ravel makes them of levels"
            )
        positions = np.searchsorted(space.valid_joints, done).clip(max=len(space.valid_joints) - 1)
        wrong = space.valid_joints[positions] != done
        if wrong.any():
            raise UserError(f"{int(wrong.sum())} of {len(wrong)} actions are not valid; nothing invalid can be done")
        return model.remember(kept, seen, positions)

    def gains(self, observations: np.ndarray, memory: np.ndarray | None = None) -> np.ndarray:
        """What each valid action gains over doing nothing, in units of reward.

        Args:
            observations: `(members, k)`, raw units.
            memory: `(members, m)`, from `start_memory` and `remember`; None for members of whom nothing is known.

        Returns:
            `(members, valid)` float32, in the order of `action_space.valid_joints`; minus infinity while a member
            rests (`rest`), and for all but the contact whose turn it is where `contacts` are named.

        Raises:
            UserError: If the algorithm offers no gains, a shape is wrong or a number is not finite.
        """
        model, now = self._member_model(), self._checked(observations)
        kept = None if memory is None else self._memory(memory, len(now))
        return model.gains(now, kept, rest=self._config.rest, turns=self._contacts())

    def predict_gains(
        self,
        observations: np.ndarray,
        *,
        history: tuple[np.ndarray, np.ndarray] | None = None,
        memory: np.ndarray | None = None,
    ) -> GainParts:
        """Gains with their standard errors, and what they are made of.

        Args:
            observations: `(members, k)`, raw units.
            history: Observations `(members, weeks, k)` and joint indices `(members, weeks)` of the weeks before, the
                oldest first.
            memory: `(members, m)`, instead of a history.

        Raises:
            UserError: If the algorithm offers no gains, a shape is wrong or a number is not finite.
        """
        now = self._checked(observations)
        if history is not None:
            past, joints = _history(history)
            if memory is not None or past.ndim != 3 or past.shape[:2] != joints.shape or len(past) != len(now):
                raise UserError(HISTORY)
            memory = self.start_memory(len(now))
            for week in range(past.shape[1]):
                memory = self.remember(memory, past[:, week], joints[:, week])
        elif memory is not None:
            memory = self._memory(memory, len(now))
        return self._member_model().parts(now, memory, rest=self._config.rest, turns=self._contacts())

    def budget(self, capacity: Capacity | float) -> CaseloadPolicy:
        """The policy that spends so much on the members who gain most by the minute; one training serves every budget.

        Args:
            capacity: Minutes a member-week, or a `frl_env.capacity.Capacity`.

        Raises:
            UserError: If the algorithm offers no gains, or the capacity makes no sense.
        """
        self._member_model()
        return CaseloadPolicy(self, Effort.from_json(self._config.effort, self.action_space), as_capacity(capacity))

    def _memory(self, memory: np.ndarray, members: int) -> np.ndarray:
        kept = check_memory(self, memory, members)
        bad = ~np.isfinite(kept).all(axis=1)
        if bad.any():
            raise UserError(f"{int(bad.sum())} of {len(kept)} memories hold NaN or infinite numbers")
        return kept

    def _contacts(self) -> np.ndarray | None:
        """Positions of the setting `contacts` among the valid actions; None where all may be made."""
        if self._config.contacts is None:
            return None
        space = self.action_space
        named = [space.contact(each, what="contacts") for each in self._config.contacts]
        return np.searchsorted(space.valid_joints, named)

    def _member_model(self) -> MemberModel:
        model = self._require_impl().modules.gains
        if model is None or not bool(model.known):
            raise UserError(
                "the algorithm offers no gains: they need critic 'effects', a response, an action that does nothing, "
                "staff minutes (effort) and rewards of one sign; see docs/capacity.md"
            )
        return model


def _history(history: Any) -> tuple[np.ndarray, np.ndarray]:
    try:
        past, joints = (np.asarray(array) for array in history)
    except (TypeError, ValueError):  # no pair, or rows of different lengths
        raise UserError(HISTORY) from None
    return past, joints

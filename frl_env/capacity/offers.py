"""Each member's best contact of every kind: what an allocation has to choose from.

Two actions that use the same of every limit are of one *kind*: only the better of them can ever be worth taking. With
the simulator's minutes 681 valid actions are 5 kinds of contact, one a modality, so that a caseload's table of gains
shrinks a hundredfold before anything is solved. Ties within a kind are broken at random.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from frl_env.actions import DECISIONS_AT_ONCE, ActionSpace
from frl_env.capacity.capacity import Limits
from frl_env.capacity.effort import null_joint
from frl_env.errors import UserError


@dataclass(frozen=True, kw_only=True, eq=False)
class Offers:
    """The best contact of every kind, for every member.

    Attributes:
        gains: Over doing nothing; minus infinity where a member has no contact of the kind.
        joints: Joint index of that contact.
        chances: One over the number of contacts that tie for it.
        use: What a contact of each kind takes of each limit.
    """

    gains: Float64[np.ndarray, "member kind"]
    joints: Int64[np.ndarray, "member kind"]
    chances: Float64[np.ndarray, "member kind"]
    use: Float64[np.ndarray, "limit kind"]

    def __len__(self) -> int:
        """Number of members."""
        return len(self.gains)


@dataclass(frozen=True, eq=False)
class Kinds:
    """Contacts sorted by kind, kinds by what they use.

    Attributes:
        joints: Joint index of every allowed contact, kinds one after the other.
        starts: Where each kind starts, and the end.
        use: What a contact of each kind takes of each limit.
    """

    joints: Int64[np.ndarray, "contact"]
    starts: Int64[np.ndarray, "kinds+1"]
    use: Float64[np.ndarray, "limit kind"]

    @classmethod
    def of(cls, action_space: ActionSpace, limits: Limits, joints: Int64[np.ndarray, "action"]) -> "Kinds":
        """Sorts those of the actions that are allowed contacts by what they use.

        Raises:
            UserError: If there is none.
        """
        contacts = joints[limits.allowed[joints]]
        contacts = contacts[contacts != null_joint(action_space)]
        if not len(contacts):
            raise UserError("none of the policy's contacts may be taken: all are forbidden or invalid")
        if not len(limits.names):
            return cls(contacts, np.asarray([0, len(contacts)]), np.zeros((len(limits.names), 1)))
        # Contacts that use the same of every limit are one kind; they stand together, kind after kind.
        use, kind = np.unique(limits.use[:, contacts], axis=1, return_inverse=True)
        kind = kind.ravel()
        order = np.argsort(kind, kind="stable")
        starts = np.searchsorted(kind[order], np.arange(use.shape[1] + 1))
        return cls(contacts[order], starts, use)

    def __len__(self) -> int:
        """Number of kinds."""
        return len(self.starts) - 1


def make_offers(
    gains: Float64[np.ndarray, "member action"],
    action_space: ActionSpace,
    limits: Limits,
    rng: np.random.Generator,
    *,
    joints: Int64[np.ndarray, "action"] | None = None,
) -> Offers:
    """Finds each member's best contact of every kind.

    Args:
        gains: Only differences to doing nothing count. Minus infinity means never.
        action_space: The actions.
        limits: Of the week.
        rng: For ties.
        joints: Joint index of each column of `gains`, ascending; the valid actions unless given. Other actions are
            never taken. Doing nothing gains 0 where it has no column.

    Raises:
        UserError: If the shape is wrong, or a gain is not a number.
    """
    own = columns_of(joints, action_space)
    table = np.asarray(gains)
    if table.ndim != 2 or table.shape[1] != len(own) or not np.issubdtype(table.dtype, np.floating):
        raise UserError(f"gains must be numbers of shape (members, {len(own)} actions), not {table.dtype}{table.shape}")
    kinds = Kinds.of(action_space, limits, own)
    columns = np.searchsorted(own, kinds.joints)
    nothing = np.flatnonzero(own == null_joint(action_space))
    n, k = len(table), len(kinds)
    best = np.empty((n, k))
    where = np.empty((n, k), dtype=np.int64)
    ties = np.ones((n, k))
    for start in range(0, n, DECISIONS_AT_ONCE):
        rows = slice(start, min(start + DECISIONS_AT_ONCE, n))
        # Contacts lie side by side in memory, so that a kind is a block of them.
        chunk = table[rows].T[columns]
        zero = table[rows, nothing[0]].astype(np.float64) if len(nothing) else np.zeros(chunk.shape[1])
        wrong = np.isnan(chunk).any(axis=0) | np.isposinf(chunk).any(axis=0) | ~np.isfinite(zero)
        if wrong.any():
            raise UserError(f"gains are no numbers for some of {len(table)} members; only minus infinity means never")
        for kind, (first, end) in enumerate(zip(kinds.starts[:-1], kinds.starts[1:], strict=True)):
            block = chunk[first:end]
            top = block.max(axis=0)
            position = block.argmax(axis=0)
            tied = block == top
            count = tied.sum(axis=0)
            several = np.flatnonzero(count > 1)
            if len(several):
                position[several] = (tied[:, several] * (0.5 + rng.random((end - first, len(several))))).argmax(axis=0)
            best[rows, kind] = top.astype(np.float64) - zero
            where[rows, kind] = first + position
            ties[rows, kind] = count
    return Offers(gains=best, joints=kinds.joints[where], chances=1.0 / ties, use=kinds.use)


def columns_of(joints: Any, action_space: ActionSpace) -> Int64[np.ndarray, "action"]:
    """Joint index of each column of a table of gains.

    Args:
        joints: As a policy names them; None for the valid actions.
        action_space: The actions.

    Raises:
        UserError: If they are no joint indices in ascending order.
    """
    if joints is None:
        return action_space.valid_joints
    own = np.asarray(joints)
    if own.ndim != 1 or not len(own) or not np.issubdtype(own.dtype, np.integer):
        raise UserError(f"joints must be joint indices, one a column of the gains, not {own.dtype}{own.shape}")
    if (np.diff(own) <= 0).any() or own[0] < 0 or own[-1] >= action_space.n_joint:
        raise UserError(f"joints must ascend within 0..{action_space.n_joint - 1}, as the columns of the gains do")
    return own.astype(np.int64)


def join_offers(parts: Sequence[Offers]) -> Offers:
    """Offers of several chunks of members, one after the other."""
    return Offers(
        gains=np.concatenate([part.gains for part in parts]),
        joints=np.concatenate([part.joints for part in parts]),
        chances=np.concatenate([part.chances for part in parts]),
        use=parts[0].use,
    )

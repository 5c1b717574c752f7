"""A rule on the record and the program's own past contacts: what a good statistician could write down.

It is a policy with a memory (`frl_env.capacity.asking`): gains for phone calls, video and home visits about any goal.
The gain of a contact over modality m about goal g is

    risk * reach * exp(-k fatigue) * ( E_m (1 - support) (u + (1 - u) p_g) + B V_m p_g w_g )

- *risk*: what the record says of events to come: two decayed counts each of ED visits and hospital stays, spending,
  and contacts that the member started;
- *reach*: how often past attempts reached this member, shrunk to the mean;
- *fatigue*: recent attempts, each counting less with every week;
- *support*: what is left of the effect of the last contact that reached the member;
- *p_g*: chance that need g is open: from its published prevalence, the risk, screening results where there are any, and
  how often the member was reached about it; after a discharge the goal CARE always fits;
- *w_g*: how much the need raises hazards, as published.

Its numbers are found by search (`frl_env.search.rule_search`). What it may not do is see more than the record shows.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.errors import check_count
from frl_env.parameters import MEASURES, NEEDS

MODALITIES = ("PHONE_CALL", "VIDEO_VISIT", "HOME_VISIT")
_PROVIDERS = MEDICAID_ACTIONS["provider"].levels
_GOALS = (*(need.goal for need in NEEDS), "CARE")
_STAFF = (*(_PROVIDERS[1 + int(np.argmax(need.scope))] for need in NEEDS), "CARE_COORDINATOR")
_WINDOW = 4
"""Weeks after a discharge in which transitional care fits."""

_LONG_AGO = 99.0
"""Weeks that stand for "never, or so long ago that it no longer counts"."""

_UNITS = np.asarray([0.0, 1.0, 0.5, 1.0, 1.0, 0.3])
"""How much an attempt over each modality tires, in home visits."""


@dataclass(frozen=True, kw_only=True)
class RuleNumbers:
    """The numbers of the rule, each on a scale on which a step of 0.3 is a small change.

    Attributes:
        ed_fast, ed_slow, ip_fast, ip_slow, paid, inbound: Logarithms of the weights of risk; a base of 1 is added.
        fast, slow: Log odds of what the decayed counts keep from week to week.
        tired: Logarithm of k.
        kept_fatigue: Log odds of what fatigue keeps from week to week.
        prior: Logarithm of how many attempts the mean reach counts for.
        trust: Exponent of reach.
        kept: Log odds of what support keeps from week to week.
        phone_support, video_support, phone_solve, video_solve: Logarithms of E and V times reach, against a home visit.
        solve: Logarithm of B.
        open, open_slope, open_risk: Log odds of an open need: shift, slope on the published log odds, slope on log
            risk.
        seen: Fall of the log odds each time that the member was reached about the need.
        unmatched: Log odds of u.
        urgent: Logarithm of what a timely urgent visit adds to support.
        found, not_found: Shift of the log odds where a screening found the need open, or not.
    """

    ed_fast: float = 0.7
    ed_slow: float = 1.0
    ip_fast: float = 1.5
    ip_slow: float = 1.5
    paid: float = 0.0
    inbound: float = -1.0
    fast: float = 1.5
    slow: float = 4.0
    tired: float = -0.5
    kept_fatigue: float = 2.2
    prior: float = 1.5
    trust: float = 1.0
    kept: float = 2.4
    phone_support: float = -2.3
    video_support: float = -1.2
    phone_solve: float = -1.3
    video_solve: float = -1.0
    solve: float = 0.5
    open: float = 0.0
    open_slope: float = 1.0
    open_risk: float = 0.2
    seen: float = 0.3
    unmatched: float = -0.85
    urgent: float = -1.0
    found: float = 2.5
    not_found: float = -2.0

    def to_vector(self) -> Float64[np.ndarray, "number"]:
        """The numbers in order."""
        return np.asarray([getattr(self, item.name) for item in fields(self)])

    @classmethod
    def from_vector(cls, vector: Float64[np.ndarray, "number"]) -> "RuleNumbers":
        """What `to_vector` gave."""
        return cls(**{item.name: float(value) for item, value in zip(fields(cls), vector, strict=True)})


# Columns of the memory, one row a member.
_ED_FAST, _ED_SLOW, _IP_FAST, _IP_SLOW, _SINCE_IP, _FATIGUE, _SUPPORT, _TRIED, _HITS, _LAST, _ABOUT = range(11)
# Behind these columns, one a goal: completed contacts about it so far.
_SEEN = 11


@dataclass(frozen=True)
class RecordRule:
    """The rule with its numbers, as a policy with gains and a memory.

    Args:
        numbers: See `RuleNumbers`.
        screening: Whether screening results are among the observations.
    """

    numbers: RuleNumbers = RuleNumbers()
    screening: bool = False

    @property
    def joints(self) -> Int64[np.ndarray, "action"]:
        """Joint indices of the contacts that it chooses among, ascending."""
        return _JOINTS

    def start_memory(self, members: int) -> Float64[np.ndarray, "member m"]:
        """Nothing is known of anybody."""
        check_count("members", members)
        memory = np.zeros((members, _SEEN + len(_GOALS)))
        memory[:, _SINCE_IP] = _LONG_AGO
        return memory

    def remember(
        self,
        memory: Float64[np.ndarray, "member m"],
        observations: Float32[np.ndarray, "member k"],
        joints: Int64[np.ndarray, "member"],
    ) -> Float64[np.ndarray, "member m"]:
        """Takes in what the week's record says of last week's attempt, and this week's decision."""
        known = self._digest(memory, observations)
        modality, _, goal, _ = MEDICAID_ACTIONS.joint_levels[joints].T
        known[:, _FATIGUE] = _share(self.numbers.kept_fatigue) * known[:, _FATIGUE] + _UNITS[modality]
        known[:, _SUPPORT] *= _share(self.numbers.kept)
        known[:, _LAST] = modality
        known[:, _ABOUT] = _PLACE[goal]
        return known

    def gains(
        self, observations: Float32[np.ndarray, "member k"], memory: Float64[np.ndarray, "member m"]
    ) -> Float64[np.ndarray, "member action"]:
        """Gains over doing nothing, on a scale of its own."""
        numbers = self.numbers
        known = self._digest(memory, observations)
        risk = self._risk(observations, known)
        prior = np.exp(numbers.prior)
        reach = ((known[:, _HITS] + 0.5 * prior) / (known[:, _TRIED] + prior)) ** numbers.trust
        worth = risk * reach * np.exp(-np.exp(numbers.tired) * known[:, _FATIGUE])
        fits = self._open(observations, known, risk)
        u = _share(numbers.unmatched)
        relief = (1 - np.minimum(known[:, _SUPPORT], 1.0))[:, None] * (u + (1 - u) * fits)
        solved = np.exp(numbers.solve) * fits * _WORTH
        solved[:, -1] = 0.0  # CARE closes no need
        support = np.exp([numbers.phone_support, numbers.video_support, 0.0])
        solve = np.exp([numbers.phone_solve, numbers.video_solve, 0.0])
        table = support[:, None] * relief[:, None, :] + solve[:, None] * solved[:, None, :]
        timely = (known[:, _SINCE_IP] == 1)[:, None] * (np.exp(numbers.urgent) * support + table[:, :, -1])
        # Urgent contacts are for transitional care alone, routine ones for everything.
        full = np.concatenate((table.reshape(len(table), -1), np.where(timely > 0, timely, -np.inf)), axis=1)
        return (worth[:, None] * full)[:, _ORDER]

    def _digest(self, memory: np.ndarray, observations: np.ndarray) -> np.ndarray:
        """The memory after last week's record: events, and whether last week's attempt reached the member."""
        known = memory.copy()
        ed, ip = observations[:, 1].astype(np.float64), observations[:, 2].astype(np.float64)
        for column, keep, count in (
            (_ED_FAST, self.numbers.fast, ed), (_ED_SLOW, self.numbers.slow, ed),
            (_IP_FAST, self.numbers.fast, ip), (_IP_SLOW, self.numbers.slow, ip),
        ):  # fmt: skip
            known[:, column] = _share(keep) * known[:, column] + count
        known[:, _SINCE_IP] = np.where(ip > 0, 1.0, np.minimum(known[:, _SINCE_IP] + 1, _LONG_AGO))
        tried = known[:, _LAST] > 0
        hit = tried & (observations[:, 0] > 0)
        known[:, _TRIED] += tried
        known[:, _HITS] += hit
        about = known[:, _ABOUT].astype(np.int64)
        rows = np.flatnonzero(hit & (about < len(_GOALS)))
        known[rows, _SEEN + about[rows]] += 1
        given = np.asarray([0.0, np.exp(self.numbers.phone_support), 0.0, np.exp(self.numbers.video_support), 1.0, 0.0])
        known[:, _SUPPORT] = np.where(
            hit, np.maximum(known[:, _SUPPORT], given[known[:, _LAST].astype(np.int64)]), known[:, _SUPPORT]
        )
        return known

    def _risk(self, observations: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Expected events in relation to those of a member with none on record."""
        numbers = self.numbers
        paid = np.log1p(observations[:, 6].astype(np.float64) / 1000.0)
        inbound = np.maximum(observations[:, 0] - (known[:, _LAST] > 0), 0.0)
        return (
            1.0
            + np.exp(numbers.ed_fast) * known[:, _ED_FAST]
            + np.exp(numbers.ed_slow) * known[:, _ED_SLOW]
            + np.exp(numbers.ip_fast) * known[:, _IP_FAST]
            + np.exp(numbers.ip_slow) * known[:, _IP_SLOW]
            + np.exp(numbers.paid) * paid
            + np.exp(numbers.inbound) * inbound
        )

    def _open(self, observations: np.ndarray, known: np.ndarray, risk: np.ndarray) -> np.ndarray:
        """Chance that each goal fits an open need."""
        numbers = self.numbers
        # Log odds that a need is open: its prevalence, the member's risk, and what contacts or screening found.
        logit = numbers.open + numbers.open_slope * _PREVALENCE + numbers.open_risk * np.log(risk)[:, None]
        logit = logit - numbers.seen * known[:, _SEEN : _SEEN + len(NEEDS)]
        if self.screening:
            flags = observations[:, len(MEASURES) : len(MEASURES) + len(NEEDS)] > 0
            logit = logit + np.where(flags, numbers.found, numbers.not_found)
        window = known[:, _SINCE_IP] <= _WINDOW
        return np.concatenate((_SCOPE / (1 + np.exp(-logit)), window[:, None].astype(np.float64)), axis=1)

    def to_json(self) -> dict[str, Any]:
        """Its numbers, JSON-able."""
        return {
            "screening": self.screening,
            "numbers": {item.name: round(getattr(self.numbers, item.name), 3) for item in fields(self.numbers)},
        }

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> "RecordRule":
        """What `to_json` wrote."""
        return cls(RuleNumbers(**said["numbers"]), screening=bool(said["screening"]))


def _share(log_odds: float) -> float:
    """A share from its log odds."""
    return float(1 / (1 + np.exp(-log_odds)))


def _contacts() -> tuple[np.ndarray, np.ndarray]:
    """Joint indices of the contacts in ascending order, and where each stands in the rule's own table."""
    pairs = list(zip(_STAFF, _GOALS, strict=True))
    names = [(modality, staff, goal, "ROUTINE") for modality in MODALITIES for staff, goal in pairs]
    names += [(modality, *pairs[-1], "URGENT") for modality in MODALITIES]
    joints = MEDICAID_ACTIONS.ravel(MEDICAID_ACTIONS.encode(names))
    order = np.argsort(joints)
    return joints[order], order


_JOINTS, _ORDER = _contacts()
_PLACE = np.asarray([_GOALS.index(name) if name in _GOALS else len(_GOALS) for name in MEDICAID_ACTIONS["goal"].levels])
_share_open = np.asarray([need.prevalence * need.open_share for need in NEEDS])
_PREVALENCE = np.log(_share_open / (1 - _share_open))
_SCOPE = np.asarray([max(need.scope) for need in NEEDS])
_WORTH = np.asarray([*(np.log(need.ed) + np.log(need.ip) for need in NEEDS), 0.0])

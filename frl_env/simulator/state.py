"""What changes from week to week, what happens in a week, and the chances that decide it.

Every field is an array with one entry a member, or, in the single-member environment, one number: the dynamics are
written once for both (see `frl_env.simulator.numerics`).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int8, Int16, UInt8, UInt16

from frl_env.parameters import MEASURES, NEED_NAMES

NEVER = 99
"""Weeks since an event that is too long ago to matter."""

N_UNIFORM, N_NORMAL = 8, 2
"""How many chances of each kind a member-week takes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """Where a member stands at the start of a week; all of it latent except what `observe` shows.

    Attributes:
        week: Weeks since entry; negative during the warm-up.
        active: Not yet dead or disenrolled.
        gap: Without coverage for now: no events are recorded and no contact is possible.
        needs: Bits of the open needs.
        screened: Bits of the needs that screening and assessments have on record as open.
        acuity: Log hazard of this week's illness, mean 0.
        support: Share of the full support effect, in 0..1.
        transition: Weeks of transitional-care effect left.
        fatigue: Units of contact fatigue.
        since_ed, since_ip: Weeks since the last ED visit and discharge; 1 is last week, `NEVER` long ago.
        enrolled_days: Days of coverage.
        paid: US dollars of each of the last 13 weeks, oldest first, whole numbers; one entry a week.
        total_paid: Their sum.
        encounters, ed, ip, calls, texts: Counts of last week.
        since_visit, since_call, since_message: Weeks since the last attempt of a home or video visit, a phone call, and
            a text or EHR message; 1 is last week, `NEVER` long ago or never.
        attempts: Bits of the last 8 weeks, last week lowest: whether there was an attempt.
    """

    week: Int16[np.ndarray, "member"]
    active: Bool[np.ndarray, "member"]
    gap: Bool[np.ndarray, "member"]
    needs: UInt16[np.ndarray, "member"]
    screened: UInt16[np.ndarray, "member"]
    acuity: Float64[np.ndarray, "member"]
    support: Float64[np.ndarray, "member"]
    transition: Int8[np.ndarray, "member"]
    fatigue: Float64[np.ndarray, "member"]
    since_ed: Int8[np.ndarray, "member"]
    since_ip: Int8[np.ndarray, "member"]
    enrolled_days: Float64[np.ndarray, "member"]
    paid: tuple[Float64[np.ndarray, "member"], ...]
    total_paid: Float64[np.ndarray, "member"]
    encounters: Float64[np.ndarray, "member"]
    ed: Float64[np.ndarray, "member"]
    ip: Float64[np.ndarray, "member"]
    calls: Float64[np.ndarray, "member"]
    texts: Float64[np.ndarray, "member"]
    since_visit: Int8[np.ndarray, "member"]
    since_call: Int8[np.ndarray, "member"]
    since_message: Int8[np.ndarray, "member"]
    attempts: UInt8[np.ndarray, "member"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What happened in the week after a decision.

    Attributes:
        reward: Minus (ED visits + hospital stays).
        ed, ip: Events of the week.
        expected: Events that were to be expected, given the latent state after the contact; latent.
        attempted: A valid contact was tried.
        reached: The attempt reached the member.
        matched: The contact fitted an open need within the provider's scope.
        resolved: It resolved that need.
        terminated: The member died or left for good at the end of the week.
        died: The member died.
    """

    reward: Float64[np.ndarray, "member"]
    ed: Float64[np.ndarray, "member"]
    ip: Float64[np.ndarray, "member"]
    expected: Float64[np.ndarray, "member"]
    attempted: Bool[np.ndarray, "member"]
    reached: Bool[np.ndarray, "member"]
    matched: Bool[np.ndarray, "member"]
    resolved: Bool[np.ndarray, "member"]
    terminated: Bool[np.ndarray, "member"]
    died: Bool[np.ndarray, "member"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Noise:
    """The chances of one week, drawn whether or not they are used: eight uniforms, two standard normals."""

    reach: Float64[np.ndarray, "member"]
    resolve: Float64[np.ndarray, "member"]
    ed: Float64[np.ndarray, "member"]
    ip: Float64[np.ndarray, "member"]
    inbound: Float64[np.ndarray, "member"]
    turnover: Float64[np.ndarray, "member"]
    exit: Float64[np.ndarray, "member"]
    routine: Float64[np.ndarray, "member"]
    acuity: Float64[np.ndarray, "member"]
    severity: Float64[np.ndarray, "member"]


def draw_noise(rng: np.random.Generator, n: int) -> Noise:
    """Draws one week's chances for `n` members; what it takes from the generator depends on `n` only."""
    return as_noise(rng.random((N_UNIFORM, n)), rng.standard_normal((N_NORMAL, n)))


def as_noise(uniform: Float64[np.ndarray, "8 ..."], normal: Float64[np.ndarray, "2 ..."]) -> Noise:
    """Names the rows (or, for one member, the numbers) of one week's chances."""
    reach, resolve, ed, ip, inbound, turnover, leave, routine = uniform
    acuity, severity = normal
    return Noise(
        reach=reach,
        resolve=resolve,
        ed=ed,
        ip=ip,
        inbound=inbound,
        turnover=turnover,
        exit=leave,
        routine=routine,
        acuity=acuity,
        severity=severity,
    )


SCREENING_NAMES = tuple(f"screened_{name.lower()}" for name in NEED_NAMES)


PAST_CONTACT_NAMES = (
    "weeks_since_visit_attempt",
    "weeks_since_call_attempt",
    "weeks_since_message_attempt",
    "num_attempts_last_8_weeks",
)
"""The program's own past contacts: visits at home or by video, phone calls, text and EHR messages; all attempts."""


def observation_names(*, screening: bool = False, past_contacts: bool = False) -> tuple[str, ...]:
    """Names of the observed numbers: the seven of the contract, 15 screening results, 4 numbers on past contacts."""
    return MEASURES + SCREENING_NAMES * screening + PAST_CONTACT_NAMES * past_contacts


def need_flags(bits: UInt16[np.ndarray, "*batch"]) -> Bool[np.ndarray, "*batch 15"]:
    """A set of needs as one flag a need, in the order of `NEED_NAMES`."""
    return _FLAGS[bits]


def observe(state: State, *, screening: bool = False, past_contacts: bool = False) -> np.ndarray:
    """What the care program records, raw units, float32.

    Args:
        state: Of many members, or of one.
        screening: Whether screening results are recorded.
        past_contacts: Whether the program's own past attempts are observed.

    Returns:
        `(members, k)`, for one member `(k,)`; k is 7, with screening results 15 more, with past contacts 4 more.
    """
    measures = np.array(
        (
            state.encounters,
            state.ed,
            state.ip,
            state.calls,
            state.texts,
            state.enrolled_days,
            state.total_paid,
        ),
        dtype=np.float32,
    ).T
    if not screening and not past_contacts:
        return np.ascontiguousarray(measures)
    parts = [measures]
    if screening:
        parts.append(need_flags(state.screened))
    if past_contacts:
        since = (state.since_visit, state.since_call, state.since_message, _COUNTS[state.attempts])
        parts.append(np.array(since, dtype=np.float32).T)
    return np.concatenate(parts, axis=-1, dtype=np.float32)


_FLAGS = ((np.arange(1 << len(NEED_NAMES))[:, None] >> np.arange(len(NEED_NAMES))) & 1).astype(bool)
_COUNTS = np.asarray([bits.bit_count() for bits in range(256)], dtype=np.int8)

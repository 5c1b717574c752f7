"""One week of care for many members at once, as pure functions over arrays.

    members --- step(state, actions, noise) ---> state', outcome
                     |
                     outreach -> contact effects -> events -> spending -> needs and acuity move -> exits

Every function takes arrays with one entry a member and returns new ones; nothing is modified in place and nothing
draws random numbers except `draw_noise`. What `draw_noise` takes from its generator does not depend on states or
actions, so two policies that share a generator seed meet the same chances (common random numbers).
The equations stand in `docs/environment.md`.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float32, Int8, Int16, Int64, UInt16

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.parameters import NEED_NAMES, NEEDS, WEEKS_PER_WINDOW, Parameters
from frl_env.population import NEED_BITS, Members, need_hazard_ratios

OBSERVATION_NAMES = (
    "num_encounters_last_week",
    "num_ed_visits_last_week",
    "num_ip_visits_last_week",
    "num_calls_last_week",
    "num_texts_last_week",
    "enrolled_days",
    "total_paid",
)

NEVER = 99
"""Weeks since an event that is too long ago to matter."""

MAX_ED_A_WEEK = 3
PHONE, SMS = (MEDICAID_ACTIONS["modality"].levels.index(name) for name in ("PHONE_CALL", "SMS_TEXT"))
URGENT = MEDICAID_ACTIONS["urgency"].levels.index("URGENT")
CARE = MEDICAID_ACTIONS["goal"].levels.index("CARE")


@dataclass(frozen=True, kw_only=True)
class State:
    """What changes from week to week; all of it latent except what `observe` shows.

    Attributes:
        week: Weeks since entry; negative during the warm-up.
        active: Not yet dead or disenrolled.
        gap: Without coverage for now: no events are recorded and no contact is possible.
        needs: Bits of the open needs.
        acuity: Log hazard of this week's illness, mean 0.
        support: Share of the full support effect, in 0..1.
        transition: Weeks of transitional-care effect left.
        fatigue: Units of contact fatigue.
        since_ed, since_ip: Weeks since the last ED visit and discharge; 1 is last week, `NEVER` long ago.
        enrolled_days: Days of coverage.
        paid: US dollars of each of the last 13 weeks, whole numbers.
        encounters, ed, ip, calls, texts: Counts of last week.
    """

    week: Int16[np.ndarray, "member"]
    active: Bool[np.ndarray, "member"]
    gap: Bool[np.ndarray, "member"]
    needs: UInt16[np.ndarray, "member"]
    acuity: Float32[np.ndarray, "member"]
    support: Float32[np.ndarray, "member"]
    transition: Int8[np.ndarray, "member"]
    fatigue: Float32[np.ndarray, "member"]
    since_ed: Int8[np.ndarray, "member"]
    since_ip: Int8[np.ndarray, "member"]
    enrolled_days: Float32[np.ndarray, "member"]
    paid: Float32[np.ndarray, "week member"]
    encounters: Float32[np.ndarray, "member"]
    ed: Float32[np.ndarray, "member"]
    ip: Float32[np.ndarray, "member"]
    calls: Float32[np.ndarray, "member"]
    texts: Float32[np.ndarray, "member"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What happened in the week after a decision.

    Attributes:
        reward: Minus (ED visits + hospital stays).
        ed, ip: Events of the week.
        attempted: A valid contact was tried.
        reached: The attempt reached the member.
        matched: The contact fitted an open need within the provider's scope.
        resolved: It resolved that need.
        terminated: The member died or left for good at the end of the week.
        died: The member died.
    """

    reward: Float32[np.ndarray, "member"]
    ed: Float32[np.ndarray, "member"]
    ip: Float32[np.ndarray, "member"]
    attempted: Bool[np.ndarray, "member"]
    reached: Bool[np.ndarray, "member"]
    matched: Bool[np.ndarray, "member"]
    resolved: Bool[np.ndarray, "member"]
    terminated: Bool[np.ndarray, "member"]
    died: Bool[np.ndarray, "member"]


@dataclass(frozen=True, kw_only=True)
class Noise:
    """The chances of one week, drawn whether or not they are used."""

    reach: Float32[np.ndarray, "member"]
    resolve: Float32[np.ndarray, "member"]
    ed: Float32[np.ndarray, "member"]
    ip: Float32[np.ndarray, "member"]
    inbound: Float32[np.ndarray, "member"]
    turnover: Float32[np.ndarray, "member"]
    exit: Float32[np.ndarray, "member"]
    routine: Float32[np.ndarray, "member"]
    acuity: Float32[np.ndarray, "member"]
    severity: Float32[np.ndarray, "member"]


def draw_noise(rng: np.random.Generator, n: int) -> Noise:
    """Draws one week's chances: eight uniforms and two standard normals a member."""
    uniform = rng.random((8, n), dtype=np.float32)
    normal = rng.standard_normal((2, n), dtype=np.float32)
    return Noise(
        reach=uniform[0],
        resolve=uniform[1],
        ed=uniform[2],
        ip=uniform[3],
        inbound=uniform[4],
        turnover=uniform[5],
        exit=uniform[6],
        routine=uniform[7],
        acuity=normal[0],
        severity=normal[1],
    )


@dataclass(frozen=True, kw_only=True)
class _Tables:
    """Parameters as arrays ready to be indexed."""

    goal_bit: np.ndarray
    scope: np.ndarray
    resolve: np.ndarray
    need_ratios: np.ndarray
    fatigue: np.ndarray
    season: np.ndarray
    readmission: np.ndarray
    resolution: np.ndarray
    onset: np.ndarray


@lru_cache(maxsize=16)
def _tables(parameters: Parameters) -> _Tables:
    goals = MEDICAID_ACTIONS["goal"].levels
    goal_bit = np.zeros(len(goals), dtype=np.uint16)
    for name, bit in zip(NEED_NAMES, NEED_BITS, strict=True):
        goal_bit[goals.index(name)] = bit
    hazards, effects = parameters.hazards, parameters.effects
    weeks = np.arange(52)
    season = 1 + hazards.season_amplitude * np.cos(2 * np.pi * (weeks - hazards.season_peak_week) / 52)
    readmission = np.zeros(NEVER + 1, dtype=np.float32)
    readmission[1 : 1 + len(hazards.readmission)] = np.asarray(hazards.readmission) * hazards.readmission_scale
    open_share = np.asarray([need.open_share for need in NEEDS])
    resolution = np.full(len(NEEDS), hazards.need_turnover)
    return _Tables(
        goal_bit=goal_bit,
        scope=goal_scope().astype(np.float32),
        resolve=(effects.strength * np.asarray(effects.resolve)).astype(np.float32),
        need_ratios=need_hazard_ratios(hazards.need_cap),
        fatigue=np.asarray(parameters.outreach.fatigue_by_attempt, dtype=np.float32),
        season=season.astype(np.float32),
        readmission=readmission,
        resolution=(len(NEEDS) * resolution).astype(np.float32),
        onset=(len(NEEDS) * resolution * open_share / (1 - open_share)).astype(np.float32),
    )


def goal_scope() -> np.ndarray:
    """How far each provider can pursue each goal: `(18, 5)`, 0 out of scope, 1 fully."""
    goals = MEDICAID_ACTIONS["goal"].levels
    scope = np.zeros((len(goals), len(MEDICAID_ACTIONS["provider"])))
    for need in NEEDS:
        scope[goals.index(need.goal), 1:] = need.scope
    scope[CARE, 1:] = (0.7, 1.0, 0.3, 0.0)
    return scope


def enter(members: Members, rng: np.random.Generator, parameters: Parameters) -> State:
    """State at entry, after a warm-up of 13 weeks without any program.

    The warm-up gives every member a history: a paid-amount window, recent events, a discharge window.
    """
    n = len(members)
    count = np.zeros(n, dtype=np.float32)
    state = State(
        week=np.full(n, -WEEKS_PER_WINDOW, dtype=np.int16),
        active=np.ones(n, dtype=bool),
        gap=np.zeros(n, dtype=bool),
        needs=members.open_needs,
        acuity=(parameters.hazards.acuity_sd * rng.standard_normal(n, dtype=np.float32)).astype(np.float32),
        support=count,
        transition=np.zeros(n, dtype=np.int8),
        fatigue=count,
        since_ed=np.full(n, NEVER, dtype=np.int8),
        since_ip=np.full(n, NEVER, dtype=np.int8),
        enrolled_days=members.entry_days - 7 * WEEKS_PER_WINDOW,
        paid=np.zeros((WEEKS_PER_WINDOW, n), dtype=np.float32),
        encounters=count,
        ed=count,
        ip=count,
        calls=count,
        texts=count,
    )
    nothing = np.zeros((n, len(MEDICAID_ACTIONS.nvec)), dtype=np.int64)
    for _ in range(WEEKS_PER_WINDOW):
        state, _outcome = step(members, state, nothing, draw_noise(rng, n), parameters, exits=False)
    return state


def observe(state: State) -> Float32[np.ndarray, "member 7"]:
    """The seven observed numbers, in the order of `OBSERVATION_NAMES`, raw units."""
    columns = (state.encounters, state.ed, state.ip, state.calls, state.texts, state.enrolled_days, state.paid.sum(0))
    return np.stack(columns, axis=-1)


def step(
    members: Members,
    state: State,
    levels: Int64[np.ndarray, "member 4"],
    noise: Noise,
    parameters: Parameters,
    *,
    exits: bool = True,
) -> tuple[State, Outcome]:
    """Simulates one week.

    Args:
        members: Who they are.
        state: State at the start of the week.
        levels: The decisions; an invalid one is a week without contact.
        noise: The chances of the week.
        parameters: The simulated world.
        exits: Whether members can die or lose coverage.

    Returns:
        State at the start of the next week, and what happened in between.
    """
    hazards, outreach = parameters.hazards, parameters.outreach
    tables = _tables(parameters)
    modality, provider, goal, _ = levels.T
    covered = state.active & ~state.gap

    attempted = covered & (modality > 0) & (provider > 0) & (goal > 0)
    fatigue_factor = np.exp(-outreach.fatigue_reach * state.fatigue)
    chance = np.take_along_axis(members.reach, modality[:, None], axis=1)[:, 0] * fatigue_factor
    reached = attempted & (noise.reach < chance)

    needs, support, transition, matched, resolved = _contact_effects(
        state, tables, levels, reached, noise.resolve, parameters
    )
    ed_rate, ip_rate = _event_rates(members, state, tables, needs, support, transition, parameters)
    ed = covered * _poisson(noise.ed, ed_rate)
    ip = (covered & (noise.ip < -np.expm1(-ip_rate))).astype(np.float32)
    inbound = covered & (noise.inbound < hazards.inbound * np.exp(state.acuity))
    paid = covered * _spending(members, ed, ip, noise, parameters)

    died, left, gap = _exits(members, state, needs, noise.exit, parameters)
    terminated = (died | left) & exits
    persistence = np.float32(hazards.acuity_persistence)
    innovation = np.float32(hazards.acuity_sd * np.sqrt(1 - hazards.acuity_persistence**2))
    next_state = State(
        week=state.week + np.int16(1),
        active=state.active & ~terminated,
        gap=gap if exits else state.gap,
        needs=_turnover(members, needs, tables, noise.turnover),
        acuity=persistence * state.acuity + innovation * noise.acuity,
        support=support,
        transition=np.maximum(transition - np.int8(1), 0).astype(np.int8),
        fatigue=np.float32(outreach.fatigue_decay) * state.fatigue + attempted * tables.fatigue[modality],
        since_ed=_weeks_since(state.since_ed, ed > 0),
        since_ip=_weeks_since(state.since_ip, ip > 0),
        enrolled_days=state.enrolled_days + np.float32(7) * covered,
        paid=np.concatenate((state.paid[1:], paid[None])),
        encounters=reached.astype(np.float32) + inbound,
        ed=ed,
        ip=ip,
        calls=(attempted & (modality == PHONE)).astype(np.float32),
        texts=(attempted & (modality == SMS)).astype(np.float32),
    )
    outcome = Outcome(
        reward=-(ed + ip),
        ed=ed,
        ip=ip,
        attempted=attempted,
        reached=reached,
        matched=matched,
        resolved=resolved,
        terminated=terminated,
        died=died & exits,
    )
    return next_state, outcome


def effort(
    levels: Int64[np.ndarray, "*batch 4"], attempted: Bool[np.ndarray, "*batch"], parameters: Parameters
) -> tuple[Float32[np.ndarray, "*batch"], Float32[np.ndarray, "*batch"]]:
    """Staff minutes and cost (US dollars, wages with overhead) of the attempts."""
    outreach = parameters.outreach
    minutes = attempted * np.asarray(outreach.minutes, dtype=np.float32)[levels[..., 0]]
    wage = np.asarray(outreach.wage, dtype=np.float32)[levels[..., 1]] * np.float32(outreach.wage_load)
    return minutes, minutes / np.float32(60) * wage


def _contact_effects(
    state: State,
    tables: _Tables,
    levels: np.ndarray,
    reached: np.ndarray,
    chance: np.ndarray,
    parameters: Parameters,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Needs, support, transitional care after the contact; whether it matched and resolved."""
    modality, provider, goal, urgency = levels.T
    effects = parameters.effects
    bit = tables.goal_bit[goal]
    scope = tables.scope[goal, provider]
    has_need = (state.needs & bit) > 0
    in_window = state.since_ip <= effects.transition_weeks
    matched = reached & (scope > 0) & (has_need | ((goal == CARE) & in_window))
    resolved = matched & has_need & (chance < tables.resolve[modality] * scope)
    needs = np.where(resolved, state.needs & ~bit, state.needs)
    faded = state.support * np.float32(0.5 ** (1 / effects.support_half_life))
    gained = np.where(matched, np.float32(1), np.float32(effects.mismatched_support))
    support = np.where(reached, np.maximum(faded, gained), faded)
    timely = matched & (urgency == URGENT) & (state.since_ip == 1)
    transition = np.where(timely, np.int8(effects.transition_weeks), state.transition)
    return needs, support, transition, matched, resolved


def _event_rates(
    members: Members,
    state: State,
    tables: _Tables,
    needs: np.ndarray,
    support: np.ndarray,
    transition: np.ndarray,
    parameters: Parameters,
) -> tuple[np.ndarray, np.ndarray]:
    """Expected ED visits and hospital stays of the week."""
    hazards, effects = parameters.hazards, parameters.effects
    log_ed, log_ip = (np.float32(effects.strength * np.log(ratio)) for ratio in effects.support)
    log_transition = np.float32(effects.strength * np.log(effects.transition)) * (transition > 0)
    season = tables.season[(members.start_week + state.week) % 52]
    illness = np.exp(state.acuity - np.float32(hazards.acuity_sd**2 / 2)) * season
    ratios = tables.need_ratios[needs]
    recurrence = np.where(state.since_ed <= 2, np.float32(hazards.ed_recurrence), np.float32(1))
    ed_rate = members.ed_base * illness * recurrence * ratios[:, 0] * np.exp(log_ed * support + log_transition)
    admission = members.ip_base * illness + tables.readmission[state.since_ip]
    ip_rate = admission * ratios[:, 1] * np.exp(log_ip * support + log_transition)
    return ed_rate, ip_rate


def _poisson(uniform: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Poisson counts by inversion, at most `MAX_ED_A_WEEK`; rises with the uniform and with the rate."""
    term = np.exp(-rate)
    cumulative = term
    count = (uniform >= cumulative).astype(np.float32)
    for k in range(1, MAX_ED_A_WEEK):
        term = term * rate / np.float32(k)
        cumulative = cumulative + term
        count += uniform >= cumulative
    return count


def _spending(members: Members, ed: np.ndarray, ip: np.ndarray, noise: Noise, parameters: Parameters) -> np.ndarray:
    """Dollars paid in the week, whole numbers."""
    spending = parameters.spending
    sigma = np.float32(spending.cost_sigma)
    severity = np.exp(sigma * noise.severity - sigma**2 / 2)
    acute = (np.float32(spending.ed_cost) * ed + np.float32(spending.ip_cost) * ip) * severity
    return np.rint(acute - members.routine_cost * np.log1p(-noise.routine))


def _turnover(members: Members, needs: np.ndarray, tables: _Tables, uniform: np.ndarray) -> np.ndarray:
    """Open needs after natural resolution and onset.

    One uniform picks a need (its integer part of 15 u) and decides on it (the remainder), so that each need turns
    over at its own weekly rate at the price of one draw.
    """
    scaled = uniform * np.float32(len(NEEDS))
    which = np.minimum(scaled.astype(np.int64), len(NEEDS) - 1)
    chance = scaled - which
    bit = NEED_BITS[which]
    is_open = (needs & bit) > 0
    closes = is_open & (chance < tables.resolution[which])
    opens = ~is_open & ((members.conditions & bit) > 0) & (chance < tables.onset[which])
    return np.where(closes | opens, needs ^ bit, needs)


def _exits(
    members: Members, state: State, needs: np.ndarray, uniform: np.ndarray, parameters: Parameters
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Who dies, who leaves for good, and who is in a coverage gap next week."""
    hazards = parameters.hazards
    insurance = NEED_BITS[NEED_NAMES.index("INSURANCE_COVERAGE")]
    ratio = np.where((needs & insurance) > 0, np.float32(hazards.coverage_loss_need), np.float32(1))
    loss = np.float32(hazards.coverage_loss) * ratio
    died = state.active & (uniform < members.death)
    above = uniform - members.death
    loses = state.active & ~state.gap & ~died & (above < loss)
    returns = state.gap & (above < np.float32(hazards.coverage_return))
    starts_gap = loses & (above < loss * np.float32(hazards.coverage_return_share))
    return died, loses & ~starts_gap, (state.gap & ~returns) | starts_gap


def _weeks_since(weeks: np.ndarray, happened: np.ndarray) -> np.ndarray:
    return np.where(happened, np.int8(1), np.minimum(weeks + np.int8(1), np.int8(NEVER)))

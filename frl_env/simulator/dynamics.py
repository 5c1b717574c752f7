"""One week of care, as pure functions: for many members at once, or for one.

    members --- step(state, actions, noise) ---> state', outcome
                     |
                     outreach -> contact effects -> events -> spending -> needs and acuity move -> exits

Nothing is modified in place and nothing draws random numbers: a week's chances come in as `Noise`. What `draw_noise`
takes from its generator does not depend on states or actions, so two policies that share a generator seed meet the
same chances (common random numbers). The equations stand in `docs/environment.md`.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.parameters import NEED_NAMES, NEEDS, WEEKS_PER_WINDOW, Parameters
from frl_env.simulator.numerics import only
from frl_env.simulator.parameter_tables import CARE, N_PROVIDERS, Rules, array_rules, scalar_rules
from frl_env.simulator.population import NEED_BITS, Members
from frl_env.simulator.state import N_NORMAL, N_UNIFORM, NEVER, Noise, Outcome, State, as_noise, draw_noise, need_flags

PHONE, SMS, VIDEO, HOME, EHR = (
    MEDICAID_ACTIONS["modality"].levels.index(name)
    for name in ("PHONE_CALL", "SMS_TEXT", "VIDEO_VISIT", "HOME_VISIT", "EHR_COMMUNICATION")
)
_EIGHT_WEEKS = 255
"""Eight bits, one a week."""

URGENT = MEDICAID_ACTIONS["urgency"].levels.index("URGENT")
_INSURANCE = int(NEED_BITS[NEED_NAMES.index("INSURANCE_COVERAGE")])


def enter(members: Members, rng: np.random.Generator, parameters: Parameters) -> State:
    """States at entry, after a warm-up of 13 weeks without any program.

    The warm-up gives every member a history: a paid-amount window, recent events, a discharge window. Then the
    members are screened, with the coverage and accuracy of `Recording`.
    """
    n = len(members)
    rules = array_rules(parameters)
    state = _before_warm_up(members, rng, parameters)
    nothing = np.zeros((len(MEDICAID_ACTIONS.nvec), n), dtype=np.int64)
    for _ in range(WEEKS_PER_WINDOW):
        state, _outcome = advance(members, state, nothing, draw_noise(rng, n), rules, exits=False)
    return replace(state, screened=_screen(state.needs, rng, parameters))


def enter_one(members: Members, rng: np.random.Generator, parameters: Parameters) -> State:
    """`enter` for one member in plain numbers, which is faster: same draws, same values."""
    rules, member = scalar_rules(parameters), only(members)
    state = only(_before_warm_up(members, rng, parameters))
    for _ in range(WEEKS_PER_WINDOW):
        noise = as_noise(rng.random(N_UNIFORM).tolist(), rng.standard_normal(N_NORMAL).tolist())
        state, _outcome = advance(member, state, (0, 0, 0, 0), noise, rules, exits=False)
    return replace(state, screened=_screen(np.array([state.needs]), rng, parameters).item())


def _before_warm_up(members: Members, rng: np.random.Generator, parameters: Parameters) -> State:
    """Members as they come, with no past; 13 weeks without a program follow before week 0."""
    n = len(members)
    none = np.zeros(n)
    return State(
        week=np.full(n, -WEEKS_PER_WINDOW, dtype=np.int16),
        active=np.ones(n, dtype=bool),
        gap=np.zeros(n, dtype=bool),
        needs=members.open_needs,
        screened=np.zeros(n, dtype=np.uint16),
        acuity=parameters.hazards.acuity_sd * rng.standard_normal(n),
        support=none,
        transition=np.zeros(n, dtype=np.int8),
        fatigue=none,
        since_ed=np.full(n, NEVER, dtype=np.int8),
        since_ip=np.full(n, NEVER, dtype=np.int8),
        enrolled_days=members.entry_days - 7.0 * WEEKS_PER_WINDOW,
        paid=(none,) * WEEKS_PER_WINDOW,
        total_paid=none,
        encounters=none,
        ed=none,
        ip=none,
        calls=none,
        texts=none,
        since_visit=np.full(n, NEVER, dtype=np.int8),
        since_call=np.full(n, NEVER, dtype=np.int8),
        since_message=np.full(n, NEVER, dtype=np.int8),
        attempts=np.zeros(n, dtype=np.uint8),
    )


def step(
    members: Members, state: State, levels: Int64[np.ndarray, "member 4"], noise: Noise, parameters: Parameters
) -> tuple[State, Outcome]:
    """Simulates one week for a batch of members.

    Args:
        members: Who they are.
        state: At the start of the week.
        levels: The decisions; an invalid one is a week without contact.
        noise: The chances of the week.
        parameters: The simulated world.

    Returns:
        State at the start of the next week, and what happened in between.
    """
    return advance(members, state, levels.T, noise, array_rules(parameters))


def advance(
    members: Members, state: State, action: Any, noise: Noise, rules: Rules, *, exits: bool = True
) -> tuple[State, Outcome]:
    """Simulates one week, for a batch or for one member, whichever the rules are made for.

    Args:
        members: Arrays, or the numbers of one member.
        state: Likewise.
        action: Modality, provider, goal, urgency; each an array or a number.
        noise: Likewise.
        rules: The simulated world.
        exits: Whether members can die or lose coverage.

    Returns:
        State at the start of the next week, and what happened in between.
    """
    ops, hazards, outreach = rules.ops, rules.parameters.hazards, rules.parameters.outreach
    modality, provider, goal, urgency = action
    covered = state.active & ops.invert(state.gap)

    attempted = covered & (modality > 0) & (provider > 0) & (goal > 0)
    chance = ops.pick(members.reach, modality) * ops.exp(-outreach.fatigue_reach * state.fatigue)
    reached = attempted & (noise.reach < chance)

    bit = rules.goal_bit[goal]
    scope = rules.scope[goal * N_PROVIDERS + provider]
    has_need = (state.needs & bit) > 0
    in_window = state.since_ip <= rules.parameters.effects.transition_weeks
    matched = reached & (scope > 0) & (has_need | ((goal == CARE) & in_window))
    resolved = matched & has_need & (noise.resolve < rules.resolve[modality] * scope)
    needs = ops.where(resolved, state.needs & ~bit, state.needs)
    support, transition = _support(state, rules, modality, urgency, reached, matched)

    ed_rate, ip_rate = _event_rates(members, state, rules, needs, support, transition)
    ed = covered * _poisson(noise.ed, ed_rate, hazards.max_ed, ops)
    ip_chance = -ops.expm1(-ip_rate)
    ip = ops.number(covered & (noise.ip < ip_chance))
    inbound = covered & (noise.inbound < hazards.inbound * ops.exp(state.acuity))
    paid = covered * _spending(members, ed, ip, noise, rules)

    died, left, gap = _exits(members, state, needs, noise.exit, rules)
    terminated = (died | left) & exits
    next_state = State(
        week=state.week + 1,
        active=state.active & ops.invert(terminated),
        gap=gap if exits else state.gap,
        needs=_turnover(members, needs, noise.turnover, rules),
        # An assessment within scope finds out how the need of its goal stands.
        screened=ops.where(reached & (scope > 0), (state.screened & ~bit) | (needs & bit), state.screened),
        acuity=hazards.acuity_persistence * state.acuity + rules.acuity_innovation * noise.acuity,
        support=support,
        transition=ops.maximum(transition - 1, 0),
        fatigue=outreach.fatigue_decay * state.fatigue + attempted * rules.fatigue[modality],
        since_ed=ops.where(ed > 0, 1, ops.minimum(state.since_ed + 1, NEVER)),
        since_ip=ops.where(ip > 0, 1, ops.minimum(state.since_ip + 1, NEVER)),
        enrolled_days=state.enrolled_days + 7.0 * covered,
        paid=(*state.paid[1:], paid),
        total_paid=state.total_paid + paid - state.paid[0],
        encounters=ops.number(reached) + inbound,
        ed=ed,
        ip=ip,
        calls=ops.number(attempted & (modality == PHONE)),
        texts=ops.number(attempted & (modality == SMS)),
        since_visit=_weeks_since(attempted & ((modality == VIDEO) | (modality == HOME)), state.since_visit, ops),
        since_call=_weeks_since(attempted & (modality == PHONE), state.since_call, ops),
        since_message=_weeks_since(attempted & ((modality == SMS) | (modality == EHR)), state.since_message, ops),
        attempts=(state.attempts << 1 | attempted) & _EIGHT_WEEKS,
    )
    outcome = Outcome(
        reward=-(ed + ip),
        ed=ed,
        ip=ip,
        expected=covered * (ed_rate + ip_chance),
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
) -> tuple[Float64[np.ndarray, "*batch"], Float64[np.ndarray, "*batch"]]:
    """Staff minutes and cost (US dollars, wages with overhead) of the attempts."""
    outreach = parameters.outreach
    minutes = attempted * np.asarray(outreach.minutes)[levels[..., 0]]
    return minutes, minutes / 60.0 * np.asarray(outreach.wage)[levels[..., 1]] * outreach.wage_load


def _screen(needs: np.ndarray, rng: np.random.Generator, parameters: Parameters) -> np.ndarray:
    """Bits of the needs found at entry; draws the same chances whether or not there is a screening."""
    recording = parameters.recording
    found = np.where(need_flags(needs), recording.sensitivity, 1 - recording.specificity) * recording.screening
    uniform = rng.random((len(needs), len(NEEDS)))
    return ((uniform < found) @ NEED_BITS.astype(np.int64)).astype(np.uint16)


def _support(state: State, rules: Rules, modality: Any, urgency: Any, reached: Any, matched: Any) -> tuple[Any, Any]:
    """Support and weeks of transitional care after the contact."""
    ops, effects = rules.ops, rules.parameters.effects
    faded = state.support * rules.support_kept
    gained = rules.engagement[modality] * ops.where(matched, 1.0, effects.unmatched)
    support = ops.where(reached, ops.maximum(faded, gained), faded)
    timely = matched & (urgency == URGENT) & (state.since_ip == 1)
    return support, ops.where(timely, effects.transition_weeks, state.transition)


def _event_rates(
    members: Members, state: State, rules: Rules, needs: Any, support: Any, transition: Any
) -> tuple[Any, Any]:
    """Expected ED visits and hospital stays of the week."""
    ops, hazards = rules.ops, rules.parameters.hazards
    season = rules.season[(members.start_week + state.week) % 52]
    illness = ops.exp(state.acuity - hazards.acuity_sd**2 / 2) * season
    recurrence = ops.where(state.since_ed <= 2, hazards.ed_recurrence, 1.0)
    relief = ops.exp(rules.log_transition * (transition > 0))
    supported = ops.exp(rules.log_support_ed * support)
    ed_rate = members.ed_base * illness * recurrence * supported * rules.ed_ratio[needs] * relief
    # Support works on the member's own hazard; the weeks after a discharge respond to transitional care only.
    own = members.ip_base * illness * ops.exp(rules.log_support_ip * support)
    ip_rate = (own + rules.readmission[state.since_ip]) * rules.ip_ratio[needs] * relief
    return ed_rate, ip_rate


def _poisson(uniform: Any, rate: Any, most: int, ops: Any) -> Any:
    """Poisson counts by inversion, at most so many; rises with the uniform and with the rate."""
    term = ops.exp(-rate)
    cumulative = term
    count = ops.number(uniform >= cumulative)
    for k in range(1, most):
        term = term * rate / k
        cumulative = cumulative + term
        count = count + (uniform >= cumulative)
    return count


def _spending(members: Members, ed: Any, ip: Any, noise: Noise, rules: Rules) -> Any:
    """Dollars paid in the week, whole numbers."""
    ops, spending = rules.ops, rules.parameters.spending
    severity = ops.exp(spending.cost_sigma * noise.severity - spending.cost_sigma**2 / 2)
    acute = (spending.ed_cost * ed + spending.ip_cost * ip) * severity
    return ops.rint(acute - members.routine_cost * ops.log1p(-noise.routine))


def _weeks_since(attempted: Any, weeks: Any, ops: Any) -> Any:
    """Weeks since the last attempt of a kind."""
    return ops.where(attempted, 1, ops.minimum(weeks + 1, NEVER))


def _turnover(members: Members, needs: Any, uniform: Any, rules: Rules) -> Any:
    """Open needs after natural resolution and onset.

    One uniform picks a need (the whole part of 15 u) and decides on it (the remainder), so that each need turns over
    at its own weekly rate at the price of one draw. A small remainder closes and a large one opens: under common random
    numbers, a need that a contact has closed is never open again where it would otherwise have closed by itself.
    """
    ops = rules.ops
    scaled = uniform * len(NEEDS)
    which = ops.whole(scaled)
    chance = scaled - which
    bit = rules.need_bit[which]
    is_open = (needs & bit) > 0
    closes = is_open & (chance < rules.resolution[which])
    opens = ops.invert(is_open) & ((members.conditions & bit) > 0) & (chance >= 1 - rules.onset[which])
    return ops.where(closes | opens, needs ^ bit, needs)


def _exits(members: Members, state: State, needs: Any, uniform: Any, rules: Rules) -> tuple[Any, Any, Any]:
    """Who dies, who leaves for good, and who is in a coverage gap next week."""
    ops, hazards = rules.ops, rules.parameters.hazards
    loss = hazards.coverage_loss * ops.where((needs & _INSURANCE) > 0, hazards.coverage_loss_need, 1.0)
    above = uniform - members.death
    died = state.active & (above < 0)
    stays = ops.invert(died)
    loses = state.active & ops.invert(state.gap) & stays & (above < loss)
    returns = state.gap & (above < hazards.coverage_return)
    starts_gap = loses & (above < loss * hazards.coverage_return_share)
    left = loses & ops.invert(starts_gap)
    return died, left, (state.gap & ops.invert(returns)) | starts_gap

from dataclasses import fields, replace

import numpy as np
import pytest

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.errors import UserError
from frl_env.parameters import NEEDS, PRESETS, preset, provenance
from frl_env.references import NoProgram, Oracle, UniformRandom
from frl_env.rollout import rollout
from frl_env.simulator.behaviour import BehaviourPolicy
from frl_env.simulator.dynamics import enter, step
from frl_env.simulator.population import draw_members, need_hazard_ratios
from frl_env.simulator.state import State, draw_noise, observe

WORLD = preset()


def _start(n=400, seed=0):
    rng = np.random.default_rng(seed)
    members = draw_members(rng, n, WORLD)
    return rng, members, enter(members, rng, WORLD)


def _part(batch, which):
    values = {item.name: getattr(batch, item.name) for item in fields(batch)}
    return replace(
        batch, **{k: tuple(w[which] for w in v) if isinstance(v, tuple) else v[which] for k, v in values.items()}
    )


def test_a_year_keeps_its_invariants():
    rng, members, state = _start()
    policy = UniformRandom()
    for _ in range(52):
        levels = policy.act(members, state, rng)
        after, outcome = step(members, state, levels, draw_noise(rng, len(members)), WORLD)
        np.testing.assert_array_equal(outcome.reward, -(outcome.ed + outcome.ip))
        seen = observe(after)
        assert (seen >= 0).all()
        np.testing.assert_array_equal(seen[:, 6], sum(after.paid))
        np.testing.assert_array_equal(after.paid[-1], np.rint(after.paid[-1]))
        away = ~state.active | state.gap
        for events in (outcome.ed, outcome.ip, after.paid[-1], after.encounters, after.calls, after.texts):
            assert not events[away].any()
        np.testing.assert_array_equal(after.enrolled_days - state.enrolled_days, 7 * ~away)
        assert not (after.needs & ~members.conditions).any(), "a need opened in a member who can't have it"
        assert not (outcome.terminated & ~state.active).any()
        state = after
    assert 0 < (~state.active).sum() < len(members)


def test_step_changes_nothing_in_place():
    rng, members, state = _start(50)
    before = {item.name: np.array(getattr(state, item.name)) for item in fields(State)}
    step(members, state, UniformRandom().act(members, state, rng), draw_noise(rng, 50), WORLD)
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(state, name), value)


def test_a_batch_is_its_members_one_by_one():
    rng, members, state = _start(20)
    noise = draw_noise(rng, 20)
    levels = UniformRandom().act(members, state, rng)
    after, outcome = step(members, state, levels, noise, WORLD)
    for i in range(20):
        one = slice(i, i + 1)
        alone, single = step(
            _part(members, one),
            _part(state, one),
            levels[one],
            _part(noise, one),
            WORLD,
        )
        assert single.reward[0] == outcome.reward[i]
        np.testing.assert_allclose(observe(alone)[0], observe(after)[i], rtol=1e-6)


def test_only_a_matched_contact_in_scope_resolves_a_need():
    _, members, state = _start(2_000)
    sure = replace(draw_noise(np.random.default_rng(1), 2_000), reach=np.zeros(2_000))
    sure = replace(sure, resolve=np.zeros(2_000), turnover=np.zeros(2_000))
    hungry = 1 << [need.goal for need in NEEDS].index("FOOD_INSECURITY")
    has_need = (state.needs & hungry) > 0

    def resolved(*names):
        levels = np.tile(MEDICAID_ACTIONS.encode(names), (2_000, 1))
        return step(members, state, levels, sure, WORLD)[1].resolved

    by_worker = resolved("HOME_VISIT", "CHW", "FOOD_INSECURITY", "ROUTINE")
    np.testing.assert_array_equal(by_worker, has_need & state.active & ~state.gap)
    assert not resolved("HOME_VISIT", "PHARMACIST", "FOOD_INSECURITY", "ROUTINE").any()
    assert not resolved("HOME_VISIT", "CHW", "OTHER", "ROUTINE").any()
    assert not resolved("NONE", "CHW", "FOOD_INSECURITY", "ROUTINE").any(), "an invalid action did something"


def test_fatigue_lowers_reach_and_support_fades():
    rng, members, state = _start(5_000)
    call = np.tile(MEDICAID_ACTIONS.encode(("PHONE_CALL", "CARE_COORDINATOR", "CARE", "ROUTINE")), (5_000, 1))
    reached = []
    for _ in range(10):
        state, outcome = step(members, state, call, draw_noise(rng, 5_000), WORLD)
        reached.append(outcome.reached.mean())
    assert reached[-1] < 0.5 * reached[0]
    nothing = np.zeros_like(call)
    strong = state.support.mean()
    for _ in range(8):
        state, _outcome = step(members, state, nothing, draw_noise(rng, 5_000), WORLD)
    assert state.support.mean() == pytest.approx(strong / 2, rel=0.02)


def test_need_ratios_are_the_capped_product():
    table = need_hazard_ratios(5.0)
    assert table.max() == 5.0
    both = (1 << 0) | (1 << 7)
    np.testing.assert_allclose(table[both], [NEEDS[0].ed * NEEDS[7].ed, NEEDS[0].ip * NEEDS[7].ip], rtol=1e-6)
    np.testing.assert_allclose(table[0], 1.0)


def test_no_effect_preset_gives_every_policy_the_same_return():
    world = preset("null")
    values = [
        rollout(policy, world, members=2_000, seed=3).value
        for policy in (NoProgram(), UniformRandom(), BehaviourPolicy(world), Oracle(world))
    ]
    for value in values[1:]:
        np.testing.assert_array_equal(value, values[0])


def test_policies_rank_as_they_should():
    def value(policy):
        return rollout(policy, WORLD, members=8_000, seed=11).value

    nothing, behaviour, oracle = (value(p) for p in (NoProgram(), BehaviourPolicy(WORLD), Oracle(WORLD)))
    for better, worse in ((behaviour, nothing), (oracle, behaviour)):
        difference = better - worse
        assert difference.mean() > 5 * difference.std() / np.sqrt(len(difference))


def test_trial_sized_effect():
    ratios = {}
    runs = [rollout(p, WORLD, members=30_000, seed=12) for p in (BehaviourPolicy(WORLD), NoProgram())]
    for name in ("ed", "ip"):
        with_program, without = (getattr(run, name).sum() / run.weeks.sum() for run in runs)
        ratios[name] = with_program / without
    assert 0.91 < ratios["ed"] < 1.00, ratios
    assert 0.81 < ratios["ip"] < 0.98, ratios


def test_members_chosen_by_recent_events_fall_back_without_a_program():
    events = np.zeros((26, 20_000))

    def record(week, members, before, levels, after, outcome):
        events[week] = outcome.ed

    rollout(NoProgram(), WORLD, members=20_000, seed=13, horizon=26, record=record)
    chosen = events[:13].sum(axis=0) >= 2
    assert events[13:, chosen].sum() < 0.6 * events[:13, chosen].sum()


def test_same_seed_same_bytes_and_no_global_randomness():
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - that it is untouched is the point
    first, second = (rollout(BehaviourPolicy(WORLD), WORLD, members=200, seed=4) for _ in range(2))
    for item in fields(first):
        assert getattr(first, item.name).tobytes() == getattr(second, item.name).tobytes()
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_every_parameter_says_where_it_comes_from():
    assert {f"needs.{need.goal}.ed" for need in NEEDS} <= {row["name"] for row in provenance(WORLD)}
    for world in PRESETS.values():
        for row in provenance(world):
            assert row["unit"], row["name"]
            assert row["source"], row["name"]
            assert row["certainty"] in "HMDA", row["name"]


@pytest.mark.parametrize("nothing", ["members", "horizon"])
def test_a_rollout_of_nobody_or_of_no_week_is_refused(nothing):
    with pytest.raises(UserError, match=f"{nothing} must be a whole number in 1"):
        rollout(NoProgram(), WORLD, **{"members": 5, "seed": 0, "horizon": 2, nothing: 0})

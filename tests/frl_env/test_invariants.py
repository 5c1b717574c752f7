"""What holds in every world, for every member, under every policy; hypothesis picks the world and the actions."""

import numpy as np
import pytest

pytest.importorskip("hypothesis")
from hypothesis import given, settings
from hypothesis import strategies as st

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.parameters import preset
from frl_env.simulator.behaviour import BehaviourPolicy
from frl_env.simulator.dynamics import enter, step
from frl_env.simulator.population import draw_members
from frl_env.simulator.state import draw_noise, observe

SHARE = st.floats(0, 1)
WORLDS = st.builds(
    preset,
    st.sampled_from(["rct", "program", "null"]),
    strength=st.none() | st.floats(0, 3),
    insight=st.none() | SHARE,
    exploration=st.none() | SHARE,
    goal_insight=st.none() | SHARE,
    screening=st.none() | SHARE,
)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(world=WORLDS, seed=st.integers(0, 2**32), habits=st.lists(st.integers(0, 1079), min_size=1, max_size=4))
def test_a_year_keeps_its_invariants(world, seed, habits):
    rng = np.random.default_rng(seed)
    n = 60
    members = draw_members(rng, n, world)
    state = enter(members, rng, world)
    assert (members.reach >= 0).all()
    assert (members.reach <= 1).all()
    for week in range(40):
        levels = MEDICAID_ACTIONS.unravel(np.full(n, habits[week % len(habits)]))
        after, outcome = step(members, state, levels, draw_noise(rng, n), world)
        seen = observe(after, screening=True)
        assert np.isfinite(seen).all()
        assert (seen >= 0).all()
        np.testing.assert_array_equal(outcome.reward, -(outcome.ed + outcome.ip))
        np.testing.assert_array_equal(after.total_paid, sum(after.paid))
        np.testing.assert_array_equal(after.paid[:-1], state.paid[1:])
        away = ~state.active | state.gap
        for events in (outcome.ed, outcome.ip, outcome.expected, after.paid[-1], after.encounters, after.calls,
                       after.texts, outcome.attempted):  # fmt: skip
            assert not np.asarray(events)[away].any(), "something happened to someone who is not enrolled"
        np.testing.assert_array_equal(after.enrolled_days - state.enrolled_days, 7.0 * ~away)
        assert not (after.active & ~state.active).any(), "somebody came back from the dead"
        assert not (after.needs & ~members.conditions).any()
        assert ((after.support >= 0) & (after.support <= 1)).all()
        assert (after.fatigue >= 0).all()
        assert (outcome.resolved <= outcome.matched).all()
        assert (outcome.matched <= outcome.reached).all()
        assert (outcome.reached <= outcome.attempted).all()
        for name in state.__slots__:
            if name != "paid":
                assert getattr(after, name).dtype == getattr(state, name).dtype, name
        state = after


@settings(max_examples=25, deadline=None, derandomize=True)
@given(world=WORLDS, seed=st.integers(0, 2**32))
def test_propensities_are_a_distribution_that_the_team_draws_from(world, seed):
    rng = np.random.default_rng(seed)
    members = draw_members(rng, 30, world)
    state = enter(members, rng, world)
    behaviour = BehaviourPolicy(world)
    table = behaviour.joint_probabilities(members, state)
    np.testing.assert_allclose(table.sum(axis=1), 1.0)
    levels = behaviour.act(members, state, rng)
    joint, factors = behaviour.propensities(members, state, levels)
    assert (joint > 0).all()
    np.testing.assert_allclose(joint, table[np.arange(30), MEDICAID_ACTIONS.ravel(levels)], rtol=1e-9)
    np.testing.assert_allclose(factors.prod(axis=1), joint, rtol=1e-9)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32), weak=st.floats(0, 1.5), more=st.floats(0.2, 1.5))
def test_stronger_effects_never_mean_more_expected_events(seed, weak, more):
    """Same members, same chances, same contacts: week by week until the first difference in what happened."""
    rng = np.random.default_rng(seed)
    worlds = [preset(strength=weak), preset(strength=weak + more)]
    members = draw_members(rng, 200, worlds[0])
    state = enter(members, rng, worlds[0])
    visit = np.tile(MEDICAID_ACTIONS.encode(("HOME_VISIT", "CHW", "FOOD_INSECURITY", "ROUTINE")), (200, 1))
    first, second = state, state
    same = np.ones(200, dtype=bool)
    for _ in range(10):
        noise = draw_noise(rng, 200)
        first, one = step(members, first, visit, noise, worlds[0])
        second, two = step(members, second, visit, noise, worlds[1])
        assert (two.expected[same] <= one.expected[same] * (1 + 1e-12)).all()
        # Once a need is closed in one world only, later contacts match in the other only.
        same &= (one.ed == two.ed) & (one.ip == two.ip) & (one.resolved == two.resolved)

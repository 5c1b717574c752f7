from dataclasses import fields, replace

import numpy as np
import pytest

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.behaviour import BehaviourPolicy
from frl_env.dynamics import enter, step
from frl_env.errors import UserError
from frl_env.parameters import preset
from frl_env.population import draw_members
from frl_env.references import ObservationPolicy
from frl_env.state import draw_noise


def _situation(world, n=200, weeks=6):
    rng = np.random.default_rng(2)
    members = draw_members(rng, n, world)
    state = enter(members, rng, world)
    behaviour = BehaviourPolicy(world)
    for _ in range(weeks):
        state, _outcome = step(members, state, behaviour.act(members, state, rng), draw_noise(rng, n), world)
    return members, state, behaviour, rng


def _part(batch, which):
    values = {item.name: getattr(batch, item.name) for item in fields(batch)}
    return replace(
        batch, **{k: tuple(w[which] for w in v) if isinstance(v, tuple) else v[which] for k, v in values.items()}
    )


@pytest.mark.parametrize("exploration", [0.0, 0.02, 1.0])
def test_propensities_are_exact(exploration):
    members, state, behaviour, _ = _situation(preset(exploration=exploration))
    table = behaviour.joint_probabilities(members, state)
    np.testing.assert_allclose(table.sum(axis=1), 1.0)
    assert not table[:, ~MEDICAID_ACTIONS.valid].any()
    total = np.zeros(len(members))
    for joint in MEDICAID_ACTIONS.valid_joints:
        levels = np.tile(MEDICAID_ACTIONS.unravel(joint), (len(members), 1))
        propensity, factors = behaviour.propensities(members, state, levels)
        np.testing.assert_allclose(propensity, table[:, joint], rtol=1e-9, atol=1e-15)
        positive = propensity > 0
        np.testing.assert_allclose(factors.prod(axis=1)[positive], propensity[positive], rtol=1e-9)
        total += propensity
    np.testing.assert_allclose(total, 1.0)


def test_draws_follow_the_propensities():
    members, state, behaviour, _ = _situation(preset(exploration=0.3), n=1)
    many = 100_000
    everyone = np.zeros(many, dtype=int)
    levels = behaviour.act(_part(members, everyone), _part(state, everyone), np.random.default_rng(5))
    counts = np.bincount(MEDICAID_ACTIONS.ravel(levels), minlength=MEDICAID_ACTIONS.n_joint)
    expected = many * behaviour.joint_probabilities(members, state)[0]
    assert not counts[expected == 0].any()
    often = expected > 20
    assert often.sum() > 600
    z = (counts - expected)[often] / np.sqrt(expected[often])
    assert np.abs(z).max() < 5
    assert 0.85 < (z**2).mean() < 1.15


def test_the_team_acts_on_what_records_do_not_show_unless_the_dial_is_off():
    for insight, hidden in ((1.0, True), (0.0, False)):
        members, state, behaviour, _ = _situation(preset(insight=insight))
        sicker = type(members)(**(vars(members) | {"tier": np.full_like(members.tier, 3)}))
        base = behaviour.team_probabilities(members, state).contact
        changed = behaviour.team_probabilities(sicker, state).contact
        assert (np.abs(base - changed).max() > 0.01) == hidden


def test_an_invalid_action_has_propensity_zero():
    members, state, behaviour, _ = _situation(preset())
    for names in (("NONE", "CHW", "CARE", "ROUTINE"), ("PHONE_CALL", "NONE", "CARE", "URGENT")):
        levels = np.tile(MEDICAID_ACTIONS.encode(names), (len(members), 1))
        propensity, _factors = behaviour.propensities(members, state, levels)
        assert not propensity.any()
    urgent_nothing = np.tile([0, 0, 0, 1], (len(members), 1))
    assert not behaviour.propensities(members, state, urgent_nothing)[0].any()


def test_an_observation_policy_is_given_observations_only():
    members, state, _, rng = _situation(preset())
    seen = []

    def decide(observations, generator):
        seen.append(observations)
        return np.zeros((len(observations), 4), dtype=np.int64)

    ObservationPolicy(decide).act(members, state, rng)
    assert seen[0].shape == (len(members), 7)


def test_dials_out_of_range_are_refused():
    with pytest.raises(UserError, match=r"insight must lie in 0\.\.1"):
        preset(insight=1.5)
    with pytest.raises(UserError, match="unknown effect preset 'rtc'; did you mean rct"):
        preset("rtc")

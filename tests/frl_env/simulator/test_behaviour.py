from dataclasses import fields, replace

import numpy as np
import pytest

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.errors import UserError
from frl_env.parameters import preset
from frl_env.references import ObservationPolicy
from frl_env.simulator.behaviour import BehaviourPolicy
from frl_env.simulator.dynamics import enter, step
from frl_env.simulator.population import draw_members
from frl_env.simulator.state import draw_noise


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


def test_with_both_dials_off_the_team_acts_on_the_observations_alone():
    for dials, hidden in (({}, True), ({"insight": 0.0, "goal_insight": 0.0}, False)):
        members, state, behaviour, rng = _situation(preset(**dials))
        shuffle = rng.permutation(len(members))
        others = replace(
            members, tier=members.tier[shuffle], race=members.race[shuffle], age_band=members.age_band[shuffle],
            gender=members.gender[shuffle],
        )  # fmt: skip
        # Weeks since an event beyond last week are not observed either.
        longer = np.where(state.since_ip == 1, 1, 2 + rng.integers(0, 3, len(members))).astype(np.int8)
        later = replace(state, needs=state.needs[shuffle], acuity=state.acuity[shuffle], since_ip=longer,
                        week=state.week + np.int16(9))  # fmt: skip
        base = behaviour.team_probabilities(members, state)
        changed = behaviour.team_probabilities(others, later)
        for name in ("contact", "modality", "goal", "urgent"):
            differs = not np.allclose(getattr(base, name), getattr(changed, name), rtol=0, atol=1e-12)
            assert differs == hidden, (name, dials)


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
    with pytest.raises(UserError, match=r"insight must be a number in 0\.\.1"):
        preset(insight=1.5)
    with pytest.raises(UserError, match="unknown effect preset 'rtc'; did you mean rct"):
        preset("rtc")

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env

from frl_env import MEDICAID_ACTIONS, ActionSpace, JointActions, MedicaidCareEnv, UserError
from frl_env.parameters import preset
from frl_env.simulator.dynamics import enter
from frl_env.simulator.information import ACTION_KEYS, DEMOGRAPHIC_KEYS, EVENT_KEYS, LATENT_KEYS
from frl_env.simulator.population import draw_members
from frl_env.simulator.state import observe
from frl_env.worlds import LADDER


@pytest.fixture
def env():
    return gymnasium.make("frl_env:frl/MedicaidCare-v0").unwrapped


@pytest.mark.parametrize("name", list(LADDER))
def test_gymnasium_accepts_every_environment_of_the_ladder(name):
    check_env(gymnasium.make(f"frl_env:{name}").unwrapped)


@pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
def test_gymnasium_accepts_its_rendering(mode):
    check_env(gymnasium.make("frl_env:frl/MedicaidCare-v0", render_mode=mode).unwrapped)


@pytest.mark.parametrize("factors", [None, ActionSpace.from_nvec(MEDICAID_ACTIONS.nvec)])
def test_joint_actions_are_made_again_from_their_spec(factors):
    """By which Minari's `recover_environment` makes what a dataset was recorded in."""
    env = JointActions(gymnasium.make("frl_env:frl/MedicaidCare-v0", insight=0.5), factors)
    again = gymnasium.make(EnvSpec.from_json(env.spec.to_json()))
    assert isinstance(again, JointActions)
    assert again.factors == env.factors
    assert again.unwrapped.world == env.unwrapped.world


def _play(env, seed, steps=150):
    env.action_space.seed(seed)
    observation, info = env.reset(seed=seed)
    track = [(observation, 0.0, False, False, info)]
    for _ in range(steps):
        track.append(env.step(env.action_space.sample()))
        if track[-1][2] or track[-1][3]:
            track.append((*env.reset(), None))
    return track


def test_paired_rollouts_are_identical():
    first, second = (_play(MedicaidCareEnv(), 5) for _ in range(2))
    for one, two in zip(first, second, strict=True):
        assert gymnasium.utils.env_checker.data_equivalence(one, two, exact=True)
    other = _play(MedicaidCareEnv(), 6)
    assert any(not np.array_equal(a[0], b[0]) for a, b in zip(first, other, strict=False))


def test_every_observation_and_info_is_a_fresh_object(env):
    env.reset(seed=0)
    nothing = MEDICAID_ACTIONS.null_action
    one, *_, info_one = env.step(nothing)
    two, *_, info_two = env.step(nothing)
    assert not np.shares_memory(one, two)
    assert info_one is not info_two
    for key in info_one:
        assert not np.shares_memory(info_one[key], info_two[key]), key
    kept = {key: value.copy() for key, value in info_two.items()}
    for value in info_one.values():
        value[...] = 0
    one[...] = -1
    after, *_ = env.step(nothing)
    assert (after >= 0).all()
    assert all(np.array_equal(kept[key], info_two[key]) for key in kept)


def test_reward_is_minus_the_counted_events(env):
    for observation, reward, _, _, info in _play_infos(env):
        assert reward == -(info["ed_visits"][0] + info["ip_stays"][0])
        assert observation[1] == info["ed_visits"][0]
        assert observation[2] == info["ip_stays"][0]


def _play_infos(env):
    return [item for item in _play(env, 1, 300)[1:] if len(item) == 5 and item[4] is not None]


def test_event_free_weeks_have_reward_zero(env):
    rewards = [item[1] for item in _play_infos(env)]
    assert rewards.count(0.0) > 0.9 * len(rewards)


def test_info_has_the_contract(env):
    env.reset(seed=0)
    *_, info = env.step(MEDICAID_ACTIONS.encode(("HOME_VISIT", "CHW", "CARE", "URGENT")))
    for key in (*ACTION_KEYS, *EVENT_KEYS, *LATENT_KEYS, *DEMOGRAPHIC_KEYS):
        assert key in info
    assert info["action_mask"].sum() == 681
    assert info["effort_minutes"][0] == 75
    np.testing.assert_allclose(info["factor_propensities"].prod(), info["propensity"][0])
    assert not info["invalid_action"][0]


def test_latent_state_never_reaches_the_observation():
    """Members who differ in everything latent, and in nothing recorded, look the same."""
    world = preset()
    rng = np.random.default_rng(3)
    state = enter(draw_members(rng, 50, world), rng, world)
    shuffled = replace(
        state,
        needs=state.needs ^ np.uint16(0x7FFF),
        acuity=state.acuity + 2,
        support=1 - state.support,
        fatigue=state.fatigue + 3,
        transition=state.transition + np.int8(2),
        since_ed=state.since_ed + np.int8(1),
    )
    for screening in (False, True):
        np.testing.assert_array_equal(observe(state, screening=screening), observe(shuffled, screening=screening))


def test_invalid_is_what_the_action_space_calls_invalid():
    from frl_env.simulator.information import _invalid

    levels = MEDICAID_ACTIONS.joint_levels
    np.testing.assert_array_equal(_invalid(*levels.T), ~MEDICAID_ACTIONS.valid)
    assert [_invalid(*row) for row in levels.tolist()] == (~MEDICAID_ACTIONS.valid).tolist()


def test_an_invalid_action_is_a_week_without_contact_and_says_so(env):
    env.reset(seed=0)
    *_, info = env.step(np.array([1, 0, 3, 0]))
    assert info["invalid_action"][0]
    assert not info["attempted"][0]
    assert info["effort_minutes"][0] == 0
    assert info["propensity"][0] == 0


def test_episode_ends():
    env = MedicaidCareEnv(horizon=5)
    env.reset(seed=0)
    ends = [env.step(MEDICAID_ACTIONS.null_action)[2:4] for _ in range(5)]
    assert ends[-1] == (False, True)
    assert not any(end[1] for end in ends[:-1])
    with pytest.raises(gymnasium.error.ResetNeeded, match="call reset"):
        env.step(MEDICAID_ACTIONS.null_action)


def test_bad_input_is_refused():
    env = MedicaidCareEnv()
    with pytest.raises(gymnasium.error.ResetNeeded, match="call reset before step"):
        env.step(MEDICAID_ACTIONS.null_action)
    env.reset(seed=0)
    for action, text in (([1, 1], "4 levels"), ([9, 0, 0, 0], r"takes 0\.\.5"), ([[0, 0, 0, 0]] * 2, "one action")):
        with pytest.raises(UserError, match=text):
            env.step(np.asarray(action))
    with pytest.raises(UserError, match="unknown effect preset"):
        MedicaidCareEnv(effects="strong")
    nan = float("nan")
    for name, value in (
        ("strength", "2"), ("strength", float("inf")), ("insight", nan), ("screening", -0.1), ("exploration", True),
        ("horizon", nan), ("horizon", 2.5), ("horizon", None), ("horizon", 10**6), ("effects", ["rct"]),
    ):  # fmt: skip
        with pytest.raises(UserError, match="unknown effect preset" if name == "effects" else name):
            MedicaidCareEnv(**{name: value})
    for action in ([[1, 2], [3]], [np.inf] * 4, ["a"] * 4, None):
        with pytest.raises(UserError):
            env.step(action)
    with pytest.raises(UserError, match=r"horizon must be a whole number in 1\.\.5,200, not 0"):
        MedicaidCareEnv(horizon=0)

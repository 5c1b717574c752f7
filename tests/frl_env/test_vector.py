import gymnasium
import numpy as np
import pytest

import frl_env
from frl_env import MEDICAID_ACTIONS, MedicaidCareEnv, MedicaidCareVectorEnv, UserError, World
from frl_env.datasets import Recipe
from frl_env.simulator.state import observation_names
from frl_env.worlds import LADDER


def _random_actions(rng, n):
    joints = MEDICAID_ACTIONS.valid_joints
    return MEDICAID_ACTIONS.unravel(joints[rng.integers(0, len(joints), n)])


@pytest.mark.parametrize("dials", [{}, {"screening": 1.0, "horizon": 9}])
def test_one_member_is_the_single_environment_number_for_number(dials):
    single, vector = MedicaidCareEnv(**dials), MedicaidCareVectorEnv(num_envs=1, **dials)
    rng = np.random.default_rng(0)
    seen, info = single.reset(seed=5)
    seen_vector, info_vector = vector.reset(seed=5)
    ended = False
    episodes = 0
    for _ in range(300):
        np.testing.assert_array_equal(seen, seen_vector[0])
        for key, value in info.items():
            np.testing.assert_allclose(value, info_vector[key][0], rtol=1e-6, err_msg=key)
        action = _random_actions(rng, 1)
        seen_vector, rewards, terminated, truncated, info_vector = vector.step(action)
        if ended:  # the vector environment resets in the step after the end
            seen, info = single.reset()
            assert rewards[0] == 0
            assert not terminated[0]
            assert not truncated[0]
            ended = False
            continue
        seen, reward, end, cut, info = single.step(action[0])
        assert (reward, end, cut) == (rewards[0], terminated[0], truncated[0])
        ended = end or cut
        episodes += ended
    assert episodes >= 3


def test_many_members_follow_the_same_law_as_the_single_environment():
    n = 400
    vector = MedicaidCareVectorEnv(num_envs=n, horizon=8)
    totals, paid = np.zeros(n), np.zeros(n)
    vector.reset(seed=1)
    call = np.tile(MEDICAID_ACTIONS.encode(("HOME_VISIT", "CHW", "FOOD_INSECURITY", "ROUTINE")), (n, 1))
    alive = np.ones(n, dtype=bool)
    reached = 0
    for _ in range(8):
        seen, rewards, terminated, _, infos = vector.step(call)
        totals += rewards * alive
        reached += (infos["reached"][:, 0] & alive).sum()
        alive &= ~terminated
        paid = seen[:, 6]
    single = MedicaidCareEnv(horizon=8)
    single_totals, single_reached, single_paid = [], 0, []
    for episode in range(n):
        single.reset(seed=1_000 + episode)
        total, over = 0.0, False
        while not over:
            seen, reward, end, cut, info = single.step(call[0])
            total += reward
            single_reached += info["reached"][0]
            over = end or cut
        single_totals.append(total)
        single_paid.append(seen[6])
    error = np.hypot(totals.std(), np.std(single_totals)) / np.sqrt(n)
    assert abs(totals.mean() - np.mean(single_totals)) < 4 * error
    spread = np.sqrt(reached + single_reached)
    assert abs(reached - single_reached) < 4 * spread
    ranks = np.argsort(np.argsort(np.concatenate([paid, single_paid])))[:n]
    assert abs(ranks.mean() - (2 * n - 1) / 2) < 4 * n / np.sqrt(6 * n), "a rank-sum test of the two spendings"


def test_members_who_leave_are_replaced_in_the_next_step():
    vector = MedicaidCareVectorEnv(num_envs=3_000, horizon=20)
    vector.reset(seed=2)
    rng = np.random.default_rng(0)
    before = np.zeros(3_000, dtype=bool)
    replaced = 0
    for week in range(45):
        seen, rewards, terminated, truncated, infos = vector.step(_random_actions(rng, 3_000))
        assert not rewards[before].any()
        assert not (terminated | truncated)[before].any()
        assert not seen[before, 3:5].any(), "a new member has not been called by us"
        assert (infos["propensity"][before] == 1).all(), "no action led to a first observation"
        assert (seen[before, 5] >= 91).all()
        assert not (terminated & truncated).any()
        assert vector.observation_space.contains(seen)
        if week == 19:
            assert (terminated | truncated)[~before].mean() > 0.9
        before = terminated | truncated
        replaced += before.sum()
    assert replaced > 6_000


def test_registered_with_gymnasium_and_declares_its_autoreset():
    for name, world in LADDER.items():
        vector = gymnasium.make_vec(f"frl_env:{name}", num_envs=3)
        assert isinstance(vector, MedicaidCareVectorEnv), type(vector)
        assert vector.world == world
        observations, infos = vector.reset(seed=0)
        assert observations.shape == (3, len(observation_names(**world.seen)))
        assert observations.dtype == np.float32
        assert infos["action_mask"].shape == (3, 1080)
        assert infos["open_needs"].shape == (3, 15)
        assert infos["_propensity"].all()
        assert gymnasium.make(f"frl_env:{name}").unwrapped.world == world
    mode = getattr(gymnasium.vector, "AutoresetMode", None)
    declared = MedicaidCareVectorEnv.metadata.get("autoreset_mode")
    assert declared is (None if mode is None else mode.NEXT_STEP)


def test_a_dataset_s_spec_makes_a_batch_that_ends_when_its_episodes_do():
    made = Recipe(dataset_id="frl/brief-v0", description="", members=1, seed=0, world=World(screening=1.0), horizon=3)
    vector = gymnasium.make_vec(made.env_spec(), num_envs=2)
    assert (vector.world, vector.horizon) == (made.world, 3)
    shorter = gymnasium.make_vec("frl_env:frl/MedicaidCare-v0", num_envs=200, max_episode_steps=2)
    shorter.reset(seed=0)
    for over in (False, True):
        *_, terminated, truncated, _ = shorter.step(np.zeros((200, 4), dtype=np.int64))
        assert (truncated == (over & ~terminated)).all()
    assert MedicaidCareVectorEnv(horizon=4, max_episode_steps=9).horizon == 4
    with pytest.raises(UserError, match="max_episode_steps must be a whole number"):
        MedicaidCareVectorEnv(max_episode_steps=0)


def test_wrappers_of_gymnasium_work_over_it():
    vector = gymnasium.wrappers.vector.RecordEpisodeStatistics(
        gymnasium.make_vec("frl_env:frl/MedicaidCare-v0", num_envs=20, horizon=4)
    )
    vector.reset(seed=0)
    for _ in range(4):
        *_, infos = vector.step(np.zeros((20, 4), dtype=np.int64))
    assert infos["episode"]["l"].max() == 4
    listed = gymnasium.wrappers.vector.DictInfoToList(gymnasium.make_vec("frl_env:frl/MedicaidCare-v0", num_envs=2))
    assert len(listed.reset(seed=0)[1]) == 2


def test_the_same_seed_gives_the_same_batch_and_leaves_global_randomness_alone():
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - that it is untouched is the point
    tracks = []
    for _ in range(2):
        vector = MedicaidCareVectorEnv(num_envs=50)
        rng = np.random.default_rng(9)
        track = [vector.reset(seed=4)[0].tobytes()]
        for _ in range(60):
            observations, rewards, *_ = vector.step(_random_actions(rng, 50))
            track += [observations.tobytes(), rewards.tobytes()]
        tracks.append(track)
    assert tracks[0] == tracks[1]
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_earlier_results_are_not_overwritten():
    vector = MedicaidCareVectorEnv(num_envs=200, horizon=3)
    vector.reset(seed=0)
    rng = np.random.default_rng(0)
    kept = []
    for _ in range(8):
        observations, rewards, terminated, truncated, infos = vector.step(_random_actions(rng, 200))
        arrays = [observations, rewards, terminated, truncated, *infos.values()]
        kept.append((arrays, [np.array(array) for array in arrays]))
    for arrays, copies in kept:
        for array, copy in zip(arrays, copies, strict=True):
            np.testing.assert_array_equal(array, copy)


def test_bad_input_is_refused():
    vector = MedicaidCareVectorEnv(num_envs=2)
    with pytest.raises(gymnasium.error.ResetNeeded, match="call reset before step"):
        vector.step(np.zeros((2, 4), dtype=np.int64))
    vector.reset(seed=0)
    with pytest.raises(UserError, match=r"shape \(2, 4\), not \(3, 4\)"):
        vector.step(np.zeros((3, 4), dtype=np.int64))
    with pytest.raises(UserError, match="share one generator"):
        vector.reset(seed=[1, 2])
    with pytest.raises(UserError, match="none is reset by a reset_mask"):
        vector.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(UserError, match="num_envs must be a whole number"):
        MedicaidCareVectorEnv(num_envs=0)
    with pytest.raises(UserError, match="does not render"):
        MedicaidCareVectorEnv(render_mode="ansi")
    for number in (2.5, True, float("nan")):
        with pytest.raises(UserError, match="num_envs must be a whole number"):
            MedicaidCareVectorEnv(num_envs=number)
    with pytest.raises(UserError, match="does not render"):
        MedicaidCareVectorEnv(reveal=True)
    np.testing.assert_array_equal(vector.reset(seed=np.int64(3))[0], vector.reset(seed=3)[0])
    assert frl_env.World().dials() == {"effects": "rct"}


def test_infos_of_stock_vector_environments_are_those_of_their_members():
    members = [MedicaidCareEnv(horizon=4) for _ in range(3)]
    stock = gymnasium.vector.SyncVectorEnv([lambda: MedicaidCareEnv(horizon=4)] * 3)
    calls = _random_actions(np.random.default_rng(0), 3)
    moments = [
        ([member.reset(seed=seed)[1] for seed, member in enumerate(members)], stock.reset(seed=[0, 1, 2])[1]),
        ([member.step(call)[-1] for member, call in zip(members, calls, strict=True)], stock.step(calls)[-1]),
    ]
    for alone, together in moments:
        for key, values in together.items():
            if not key.startswith("_"):
                own = np.stack([info[key] for info in alone])
                assert values.dtype == own.dtype == np.asarray(moments[0][0][0][key]).dtype, key
                np.testing.assert_array_equal(values, own, err_msg=key)

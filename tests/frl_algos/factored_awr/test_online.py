"""Fine-tuning in an environment."""

import d3rlpy
import gymnasium
import numpy as np
import pytest
import torch
from d3rlpy.logging import FileAdapterFactory, NoopAdapterFactory

from frl_algos import FactoredAWRConfig
from frl_algos.factored_awr import preparing
from frl_algos.logged_data.collection import Collector
from frl_env import MEDICAID_ACTIONS, ActionSpace, JointActions, MedicaidCareEnv
from frl_env.care_effort import care_effort
from frl_env.errors import UserError
from frl_env.parameters import preset

QUIET = {"show_progress": False, "logger_adapter": NoopAdapterFactory()}


def _env(horizon=8):
    return JointActions(MedicaidCareEnv(horizon=horizon))


class TwoFactors(gymnasium.Env):
    """Levels (2, 1) pay 1, everything else nothing; episodes of three steps."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.MultiDiscrete([3, 2])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.step_count = 0
        return self.observation_space.low * 0 + np.float32(self.np_random.uniform(-1, 1)), {}

    def step(self, action):
        self.step_count += 1
        observation = np.full(2, self.np_random.uniform(-1, 1), dtype=np.float32)
        return observation, float(tuple(action) == (2, 1)), False, self.step_count == 3, {}


def test_joint_actions_are_the_levels():
    joint, plain = _env(), MedicaidCareEnv(horizon=8)
    assert joint.action_space == gymnasium.spaces.Discrete(1080)
    assert joint.factors is MEDICAID_ACTIONS
    joint.reset(seed=5)
    plain.reset(seed=5)
    for index in (0, 232, 789):
        for one, two in zip(joint.step(index)[:4], plain.step(MEDICAID_ACTIONS.unravel(index))[:4], strict=True):
            np.testing.assert_array_equal(one, two)


def test_joint_actions_of_other_environments():
    env = JointActions(TwoFactors())
    assert env.factors.nvec == (3, 2)
    np.testing.assert_array_equal(env.action(5), [2, 1])
    for call, text in [
        (lambda: JointActions(TwoFactors(), MEDICAID_ACTIONS), "does not fit"),
        (lambda: JointActions(env), "a flat MultiDiscrete is needed"),
        (lambda: JointActions(gymnasium.make_vec("frl_env:frl/MedicaidCare-v0", num_envs=2)), "not a vector of them"),
        (lambda: env.action(6), r"outside 0\.\.5"),
    ]:
        with pytest.raises(UserError, match=text):
            call()


def test_collected_episodes_are_aligned():
    torch.manual_seed(0)
    collector = Collector(_env(horizon=4), MEDICAID_ACTIONS)
    steps = []
    for joint in (0, 232, 789, 0, 233, 0):
        before = collector.observation
        ended = collector.step(joint)
        steps.append((before, joint, ended))
    buffer = collector.buffer(None, seed=0)
    assert buffer.lengths.tolist() == [4], "an episode that still runs is not in it"
    assert [ended is not None for *_, ended in steps] == [False, False, False, True, False, False]
    for row, (before, joint, _) in enumerate(steps[:4]):
        np.testing.assert_array_equal(buffer.observations[row], before)
        assert buffer.actions[row] == joint
    np.testing.assert_array_equal(buffer.next_observations[:3], buffer.observations[1:])
    assert buffer.rewards.sum() == steps[3][2]
    buffer.people, buffer.effort, buffer.state_names = np.array([6]), care_effort(preset()), ("a", "b")
    both = collector.buffer(buffer, seed=0)
    assert both.lengths.tolist() == [4, 4]
    assert both.people.tolist() == [6, 7], "somebody else"
    assert both.effort is buffer.effort
    assert both.state_names == ("a", "b")
    assert not both.simulated
    np.testing.assert_array_equal(both.observations[4:], buffer.observations)


@pytest.mark.long
def test_it_finds_the_best_action_from_nothing_and_repeats():
    x = np.random.default_rng(0).uniform(-1, 1, (50, 2)).astype(np.float32)
    runs = []
    for _ in range(2):
        d3rlpy.seed(0)
        algorithm = FactoredAWRConfig(batch_size=64, learning_rate=3e-3, gamma=0.0).create()
        algorithm.fit_online(JointActions(TwoFactors()), n_steps=800, n_steps_per_epoch=400, n_updates=100, **QUIET)
        assert (algorithm.predict(x) == 5).mean() > 0.95
        runs.append(algorithm.predict_probabilities(x))
    np.testing.assert_array_equal(*runs)


def test_an_algorithm_that_was_never_fitted_may_choose_any_critic(monkeypatch):
    asked, fits = [], preparing.Fits
    monkeypatch.setattr(preparing, "Fits", lambda *args: asked.append(args[-1]) or fits(*args))
    algorithm = FactoredAWRConfig(batch_size=16).create()
    algorithm.fit_online(JointActions(TwoFactors()), n_steps=60, n_steps_per_epoch=30, n_updates=1, **QUIET)
    assert {"effects", "expectile", "planned", "none"} <= set(asked[0])
    assert set(asked[1]) < set(asked[0]), "its networks stay what they are"


def test_steps_after_the_last_whole_epoch_are_fitted_too():
    d3rlpy.seed(0)
    algorithm = FactoredAWRConfig(batch_size=16, critic="none").create()
    algorithm.fit_online(JointActions(TwoFactors()), n_steps=40, n_steps_per_epoch=15, n_updates=2, **QUIET)
    assert algorithm.grad_step == 6


def test_fine_tuning_goes_on_from_an_offline_fit_and_repeats(tiny_buffer, observations, tmp_path):
    runs = []
    for run in range(2):
        d3rlpy.seed(7)
        tiny_buffer.reseed(1)
        algorithm = FactoredAWRConfig(batch_size=64, action_rate=0.3, critic="none").create()
        algorithm.fit(tiny_buffer, n_steps=10, **QUIET)
        steps = []
        algorithm.fit_online(
            _env(), tiny_buffer, n_steps=30, n_steps_per_epoch=15, n_updates=5, eval_env=_env(), eval_n_trials=1,
            experiment_name=f"run{run}", with_timestamp=False, logger_adapter=FileAdapterFactory(str(tmp_path)),
            show_progress=False, callback=lambda algo, epoch, step, kept=steps: kept.append((epoch, step)),
        )  # fmt: skip
        assert steps == [(step // 15, step) for step in range(1, 31)]
        assert algorithm.grad_step == 20
        runs.append(algorithm.predict_probabilities(observations))
    np.testing.assert_array_equal(*runs)
    directory = tmp_path / "run0"
    for name in ("rollout_return", "evaluation", "clone_loss", "policy_action_share", "time_refit"):
        lines = (directory / f"{name}.csv").read_text().splitlines()
        assert [line.split(",")[:2] for line in lines] == [["1", "15"], ["2", "30"]], name
    loaded = d3rlpy.load_learnable(str(directory / "model_30.d3"))
    np.testing.assert_array_equal(loaded.predict_probabilities(observations), runs[0])


def test_d3rlpy_collects_what_fit_takes(trained):
    d3rlpy.seed(0)
    env = _env(horizon=6)
    env.reset(seed=0)
    collected = trained.collect(env, n_steps=60, show_progress=False)
    algorithm = FactoredAWRConfig(batch_size=32, action_schema=MEDICAID_ACTIONS.to_json()).create()
    _, metrics = algorithm.fit(collected, n_steps=3, **QUIET)[-1]
    assert np.isfinite(metrics["clone_loss"])


def test_what_does_not_fit_is_one_sentence(trained, tiny_buffer):
    for call, text in [
        (lambda: trained.fit_online(MedicaidCareEnv(), **QUIET), "wrap it in frl_env.JointActions"),
        (lambda: trained.fit_online(JointActions(TwoFactors()), **QUIET), "wrap it in frl_env.JointActions"),
        (lambda: trained.fit_online(_env(), n_steps=0, **QUIET), "n_steps must be a whole number in 1"),
        (lambda: trained.fit_online(_env(), n_updates=0, **QUIET), "n_updates must be a whole number in 1"),
        (lambda: trained.fit_online(_env(), n_steps_per_epoch=0, **QUIET), "n_steps_per_epoch must be a whole number"),
        (lambda: trained.fit_online(_env(), save_interval=0, **QUIET), "save_interval must be a whole number in 1"),
        (
            lambda: FactoredAWRConfig().create().fit_online(_env(), n_steps=3, **QUIET),
            "no episode ended within 3 steps",
        ),
        (
            lambda: (
                FactoredAWRConfig(action_schema=ActionSpace.from_nvec((3, 2)).to_json())
                .create()
                .fit_online(JointActions(TwoFactors()), tiny_buffer, **QUIET)
            ),
            "the offline buffer has",
        ),
    ]:
        with pytest.raises(UserError, match=text):
            call()

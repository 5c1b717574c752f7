"""Settings, policies and data of the wrong kind end in one line, before anything is trained."""

import numpy as np
import pytest

from frl_algos import (
    AutoregressiveIQLConfig,
    Counterfactual,
    DecoupledCQLConfig,
    FactoredAWRConfig,
    FactoredIQLConfig,
    LearnedPolicy,
    fitted_q_evaluation,
    load_replay_buffer,
    select_policy,
)
from frl_env import MEDICAID_ACTIONS
from frl_env.errors import UserError

CONFIGS = (FactoredAWRConfig, FactoredIQLConfig, AutoregressiveIQLConfig, DecoupledCQLConfig)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"gamma": "1"}, "gamma must be a number, not '1'"),
        ({"gamma": None}, "gamma must be a number, not None"),
        ({"batch_size": 64.0}, "batch_size must be a whole number, not 64.0"),
        ({"learning_rate": True}, "learning_rate must be a number, not True"),
        ({"hidden_size": "64"}, "hidden_size must be a whole number, not '64'"),
        ({"observation_scaler": "standard"}, "observation_scaler must be an ObservationScaler or None, not 'standard'"),
    ],
)
def test_settings_are_of_their_kind(config, settings, said):
    with pytest.raises(UserError, match=said):
        config(**settings)


def test_settings_of_factored_awr_are_of_their_kind():
    for name, value in (("indications", ["FOOD"]), ("high_touch", "HOME_VISIT"), ("response", "calls"), ("rest", "4")):
        with pytest.raises(UserError, match=f"{name} must be "):
            FactoredAWRConfig(**{name: value})
    assert FactoredAWRConfig(batch_size=np.int64(64), gamma=1, td_lambda=np.float32(0.5)).batch_size == 64


def test_policies_and_data_are_of_their_kind(tiny_buffer):
    rng = np.random.default_rng(0)
    with pytest.raises(UserError, match="must be a trained algorithm, not the class FactoredAWRConfig"):
        LearnedPolicy(FactoredAWRConfig, MEDICAID_ACTIONS)
    policy = LearnedPolicy(FactoredAWRConfig().create(), MEDICAID_ACTIONS)
    with pytest.raises(UserError, match="action_space must be an ActionSpace, not a LearnedPolicy"):
        LearnedPolicy(policy.algorithm, policy)
    with pytest.raises(UserError, match="LoggedEpisodes or a FactoredReplayBuffer, not the class"):
        Counterfactual.fit(FactoredAWRConfig, rng=rng)
    for wrong in ({"response": "calls"}, {"kappa": -1}, {"folds": 2.5}, {"indications": ["FOOD"]}, {"discount": "1"}):
        with pytest.raises(UserError, match=f"{next(iter(wrong))} must be a"):
            Counterfactual.fit(tiny_buffer, rng=rng, **wrong)
    for candidates, wrong in (([policy], {}), ({"own": policy}, {"members": 2.5}), ({"own": policy}, {"level": "95"})):
        with pytest.raises(UserError, match=f"{next(iter(wrong), 'candidates')} must be a"):
            select_policy(candidates, tiny_buffer, rng=rng, **wrong)
    fitted = Counterfactual.fit(tiny_buffer, rng=rng)
    for ask in (lambda: fitted.estimate(policy, rng), lambda: fitted_q_evaluation(tiny_buffer, policy, rng=rng)):
        with pytest.raises(UserError, match="a LearnedPolicy, which draws actions; pass its method probabilities"):
            ask()


def test_groups_are_several(tiny_dataset):
    with pytest.raises(UserError, match="groups must be a tuple or None, not 'race_ethnicity'"):
        load_replay_buffer(tiny_dataset, groups="race_ethnicity")

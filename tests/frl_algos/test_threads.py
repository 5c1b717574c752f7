"""Closed forms run on one BLAS thread, whatever the process is set to: on a busy machine several wait for others."""

import d3rlpy
import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from frl_algos import FactoredAWRConfig
from frl_algos.factored_awr import choosing
from frl_algos.valuation import counterfactual, fitted_q
from frl_env.evaluation import assumptions, evaluate, load_episodes, report, sensitivity


def blas_threads() -> int:
    """Of numpy's and scipy's libraries, the most."""
    return max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")


@pytest.fixture
def seen(monkeypatch):
    """Notes the threads in the middle of a closed form, with two allowed outside."""
    found = []

    def watch(module, name):
        inner = getattr(module, name)

        def watched(*args, **kwargs):
            found.append(blas_threads())
            return inner(*args, **kwargs)

        monkeypatch.setattr(module, name, watched)

    with threadpool_limits(limits=2, user_api="blas"):
        if blas_threads() == 1:
            pytest.skip("this machine has one processor")
        yield found, watch
        assert blas_threads() == 2


def test_preparing_factored_awr(seen, tiny_buffer):
    found, watch = seen
    watch(choosing, "compute_targets")
    watch(choosing, "EffectRegression")
    quiet = {"show_progress": False, "logger_adapter": d3rlpy.logging.NoopAdapterFactory()}
    FactoredAWRConfig(response=0, batch_size=16).create().fit(tiny_buffer, n_steps=1, **quiet)
    assert found == [1, 1]


def test_valuing_policies(seen, tiny_dataset):
    found, watch = seen
    episodes = load_episodes(tiny_dataset)
    joints = episodes.action_space.n_joint
    watch(counterfactual, "as_episodes")

    def even(observations):
        return np.full((len(observations), joints), 1 / joints, dtype=np.float32)

    watch(fitted_q, "split_members")
    watch(report, "every_estimate")
    watch(assumptions, "every_estimate")
    counterfactual.Counterfactual.fit(episodes, rng=np.random.default_rng(0), response=0)
    fitted_q.fitted_q_evaluation(episodes, even, rng=np.random.default_rng(0))
    evaluate(episodes, even, rng=np.random.default_rng(0), resamples=10)
    sensitivity(episodes, even, rng=np.random.default_rng(0), strengths=(), clips=(30.0,), windows=())
    assert set(found) == {1}
    assert len(found) >= 4

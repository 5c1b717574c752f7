"""Closed forms run on one BLAS thread, training on one of torch's, whatever the process is set to.

On a busy machine several wait for others.
"""

import hashlib
import threading

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.logging import NoopAdapterFactory
from threadpoolctl import threadpool_info, threadpool_limits

from benchmarks.training.train import train
from frl_algos import FactoredAWRConfig, FactoredIQLConfig, training_threads
from frl_algos.factored_awr.critic_selection import fits
from frl_algos.policies.stock import create_stock
from frl_algos.threads import do_parts
from frl_algos.value_models import counterfactual, fitted_q
from frl_env.errors import UserError
from frl_env.evaluation import evaluate, load_episodes, off_policy_evaluation, sensitivity
from frl_env.evaluation.sensitivity import assumptions
from frl_env.evaluation.threads import one_ahead, side_by_side


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
    watch(fits, "compute_targets")
    watch(fits, "EffectRegression")
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
    watch(off_policy_evaluation, "every_estimate")
    watch(assumptions, "every_estimate")
    counterfactual.Counterfactual.fit(episodes, rng=np.random.default_rng(0), response=0)
    fitted_q.fitted_q_evaluation(episodes, even, rng=np.random.default_rng(0))
    evaluate(episodes, even, rng=np.random.default_rng(0), resamples=10)
    sensitivity(episodes, even, rng=np.random.default_rng(0), strengths=(), clips=(30.0,), windows=())
    assert set(found) == {1}
    assert len(found) >= 4


@pytest.fixture
def two_of_torch():
    """The caller's own number of torch's threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    assert torch.get_num_threads() == 2, "the caller has its own again"
    torch.set_num_threads(before)


def _makers():
    return {
        "factored_awr": lambda: FactoredAWRConfig(critic="expectile", batch_size=256).create(),
        "factored_iql": lambda: FactoredIQLConfig(batch_size=256).create(),
        "discrete_cql": lambda: create_stock("discrete_cql", batch_size=256),
    }


def _trained(make, buffer, seen=None, **options):
    torch.manual_seed(0)
    buffer.reseed(0)
    algorithm = make()
    algorithm.fit(
        buffer, n_steps=4, n_steps_per_epoch=2, show_progress=False, logger_adapter=NoopAdapterFactory(),
        callback=lambda *_: None if seen is None else seen.append(torch.get_num_threads()), **options,
    )  # fmt: skip
    impl = algorithm.algorithm.impl if hasattr(algorithm, "algorithm") else algorithm.impl
    digest = hashlib.sha256()
    for module in impl.modules.get_torch_modules().values():
        for tensor in module.state_dict().values():
            digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("name", _makers())
def test_training_gives_the_same_bytes_whatever_the_callers_threads(name, tiny_buffer, two_of_torch):
    make, seen = _makers()[name], []
    with_two = _trained(make, tiny_buffer, seen)
    assert set(seen) == {1}
    torch.set_num_threads(1)
    assert _trained(make, tiny_buffer) == with_two
    torch.set_num_threads(2)


@pytest.mark.parametrize("name", _makers())
def test_whoever_wants_more_threads_says_so(name, tiny_buffer, two_of_torch):
    seen = []
    with training_threads(3):
        _trained(_makers()[name], tiny_buffer, seen)
    assert set(seen) == {3}
    _trained(_makers()[name], tiny_buffer, seen)
    assert seen[-1] == 1
    with pytest.raises(UserError, match="threads must be a whole number"), training_threads(0):
        pass


@pytest.mark.parametrize("name", _makers())
def test_threads_are_the_callers_again_after_an_error(name, tiny_buffer, two_of_torch):
    def stop(*_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _trained(_makers()[name], tiny_buffer, epoch_callback=stop)
    assert torch.get_num_threads() == 2


def test_between_the_steps_of_fitter_and_updates_by_hand_the_caller_has_its_own(tiny_buffer, two_of_torch):
    algorithm = _makers()["factored_awr"]()
    seen = []
    for _ in algorithm.fitter(
        tiny_buffer, n_steps=2, n_steps_per_epoch=1, show_progress=False, logger_adapter=NoopAdapterFactory(),
        callback=lambda *_: seen.append(torch.get_num_threads()),
    ):  # fmt: skip
        assert torch.get_num_threads() == 2
        break
    assert seen == [1]
    update = algorithm.impl.inner_update
    algorithm.impl.inner_update = lambda *args: seen.append(torch.get_num_threads()) or update(*args)
    algorithm.update(tiny_buffer.sample_transition_batch(16))
    assert seen == [1, 1]


def test_probabilities_are_the_same_bytes_on_any_number_of_threads(tiny_buffer, two_of_torch):
    algorithm, seen = _makers()["factored_awr"](), []
    algorithm.fit(tiny_buffer, n_steps=1, show_progress=False, logger_adapter=NoopAdapterFactory())
    many = np.tile(tiny_buffer.observations, (1 + 1_100 // len(tiny_buffer.observations), 1))
    torch.set_num_threads(1)
    with_one = algorithm.predict_probabilities(many[:1_100])
    torch.set_num_threads(2)
    inner = algorithm.impl.log_probabilities
    algorithm.impl.log_probabilities = lambda *args: seen.append(torch.get_num_threads()) or inner(*args)
    np.testing.assert_array_equal(algorithm.predict_probabilities(many[:1_100]), with_one)
    assert sorted(seen) == [1, 1, 2], "whole parts by one thread each, the rest by the caller's"
    assert algorithm.predict_probabilities(many[:0]).shape == (0, with_one.shape[1])


@pytest.mark.parametrize("rows", [3, 10, 25])
def test_parts_are_all_rows_once_and_threads_are_the_callers_again_after_an_error(rows, two_of_torch):
    found = []
    do_parts(lambda part: found.extend(range(rows)[part]), rows, 10)
    assert sorted(found) == list(range(rows))

    def stop(part):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        do_parts(stop, rows, 10)
    assert torch.get_num_threads() == 2


def test_one_is_made_ahead_and_no_more_on_another_thread():
    made = []

    def items():
        for number in range(5):
            made.append(threading.get_ident())
            yield number

    found = []
    for item in one_ahead(items()):
        found.append(item)
        assert len(made) <= item + 2
    assert found == list(range(5))
    assert threading.get_ident() not in made


def test_what_is_made_one_ahead_comes_in_its_order_with_its_errors_and_settings():
    made = []

    def numbers():
        for number in range(5):
            made.append(number)
            np.float64(number) / np.float64(0)  # a warning is an error in these tests
            yield number
        raise UserError("no more")

    with np.errstate(all="ignore"):
        ahead = one_ahead(numbers())
        assert [next(ahead) for _ in range(5)] == [0, 1, 2, 3, 4]
        with pytest.raises(UserError, match="no more"):
            next(ahead)
        before = threading.active_count()
        left = one_ahead(numbers())
        assert next(left) == 0
        left.close()
    assert threading.active_count() == before, "nobody waits for what is not asked for"
    assert made[5:] == [0, 1]
    assert list(one_ahead([])) == []


@pytest.mark.parametrize("threads", ["1", "3", "", "many"])
def test_what_is_made_side_by_side_comes_in_its_order(threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    assert side_by_side(lambda number: number**2, range(20)) == [number**2 for number in range(20)]
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda number: 1 // number, [1, 0, 2])


def test_the_benchmark_trains_any_algorithm_on_one_thread(tiny_buffer, two_of_torch):
    seen = []

    class Strange:
        batch_size = 4

        def fit(self, buffer, *, callback, **options):
            seen.append(torch.get_num_threads())
            return []

    train(Strange(), tiny_buffer, steps=2, seed=0)
    assert seen == [1]

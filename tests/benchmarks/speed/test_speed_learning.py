import io

import joblib
import numpy as np
import pytest
import torch
from rich.console import Console

from benchmarks.speed import throughput
from benchmarks.speed.learning import learn, train_in_turn
from benchmarks.speed.update_parts import BATCHES, Product, record_products, update_parts
from frl_algos.policies.stock import create_stock
from frl_algos.quiet import quiet_d3rlpy
from frl_env.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def contenders(tiny_buffer):
    return {
        name: lambda name=name: create_stock(
            name, action_space=tiny_buffer.action_space, batch_size=8, hidden_sizes=(6,)
        )
        for name in ("discrete_bc", "iql")
    }


def test_every_contender_is_fitted_once_a_repetition(contenders, tiny_buffer):
    with quiet_d3rlpy():
        fits, trained = train_in_turn(contenders, tiny_buffer, 3, 2)
    assert {name: len(each) for name, each in fits.items()} == {"discrete_bc": 2, "iql": 2}
    for each in fits.values():
        for fit in each:
            assert fit.updates == 3
            assert fit.batch_size == 8
            assert min(fit.preparation, fit.updating, fit.closing) > 0
            assert fit.whole_rate > 0
            assert fit.rate > 0
    assert all(algorithm.algorithm.grad_step == 3 for algorithm in trained.values())


def test_the_arithmetic_floor_is_counted_by_hand(contenders, tiny_buffer):
    """Forward and the gradient of the weights in both layers, the gradient of the inputs in the last one."""
    with quiet_d3rlpy():
        _, trained = train_in_turn(contenders, tiny_buffer, 2, 1)
    parts, products = update_parts(trained["discrete_bc"], tiny_buffer)
    assert len(products) == 5 * BATCHES
    size, joints = tiny_buffer.observations.shape[1], tiny_buffer.action_space.n_joint
    assert sum(product.flop for product in products) == BATCHES * 2 * 8 * 6 * (2 * size + 3 * joints)
    for run in parts.values():
        run()


def test_stacked_products_count_once_a_copy():
    stack = torch.ones(3, 4, 5)
    found = record_products(lambda: torch.baddbmm(torch.ones(3, 1, 2), stack, torch.ones(3, 5, 2)))
    assert found == [Product((3, 4, 5), (3, 5, 2))]
    assert found[0].flop == 2 * 3 * 4 * 5 * 2


@pytest.mark.long
def test_the_command_prints_all_tables(tiny_dataset, capfd):
    text = io.StringIO()
    found = learn(
        Console(file=text, width=200), dataset_id=tiny_dataset.spec.dataset_id, updates=3, repetitions=2,
        batch_size=16, hidden_size=8, states=100, part_repetitions=1,
    )  # fmt: skip
    printed = text.getvalue()
    for words in (
        "training, 3 updates", "updates/s, whole fit", "before, s", "ratios", "arithmetic floor", "optimiser step",
        "FactoredAWR, its defaults: greedy", "DiscreteBC (stock): stochastic", "DiscreteCQL (stock)",
        "IQL (stock, 31-d relaxation): greedy", "681 valid",
    ):  # fmt: skip
        assert words in printed
    out, _ = capfd.readouterr()
    assert "info" not in out, "d3rlpy's log lines stay away"
    assert np.char.count(printed, "nan") == 0
    rows, columns = found["speed-learn"]
    cells = [[how.format(**row) for how in columns.values()] for row in rows]
    assert cells[0][0] == "FactoredAWR"
    assert cells[0][2] == ""
    assert all(float(row["whole_ratio"]) > 0 for row in rows[1:4])


@pytest.mark.parametrize("wrong", [["--updates", "1"], ["--repetitions", "0"], ["--threads", "0"]])
def test_senseless_numbers_are_refused(wrong):
    with pytest.raises(UserError, match=f"{wrong[0]} must be at least"):
        throughput.main(["learn", *wrong])


@pytest.mark.parametrize("alone", [[], ["--threads", "1"]])
def test_one_thread_is_not_timed_beside_one_thread(alone, monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 1)
    with pytest.raises(UserError, match="one thread beside one thread says nothing"):
        throughput.main(["threads", *alone])

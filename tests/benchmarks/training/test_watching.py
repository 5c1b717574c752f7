"""What is looked at while an algorithm trains."""

import numpy as np
import pytest

from benchmarks.training import algorithms
from benchmarks.training.train import train

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", ["factored_awr", "iql"])
def test_looking_at_an_algorithm_changes_nothing(tiny_buffer, name):
    buffer = tiny_buffer
    observations, uniform = buffer.observations[:50], np.random.default_rng(0).random((50, 2), dtype=np.float32)
    drawn, looks = [], []
    for watched in (False, True):
        algorithm = algorithms.create(name, [], buffer.action_space, {})

        def look(algorithm=algorithm):
            looks.append(algorithm.draw(observations, uniform))
            return {"seen": 1.0}

        taken = train(algorithm, buffer, steps=20, seed=3, watch=look if watched else None)
        assert [point["watched"] for point in taken.curve] == [{"seen": 1.0} if watched else None]
        drawn.append(algorithm.draw(observations, uniform))
    assert (drawn[0] == drawn[1]).all()
    assert (looks[-1] == drawn[1]).all()


def test_few_looks_and_the_last_one_at_the_end(tiny_buffer, monkeypatch):
    monkeypatch.setattr("benchmarks.training.train.UPDATES_AN_EPOCH", 2)
    algorithm = algorithms.create("factored_awr", [], tiny_buffer.action_space)
    taken = train(algorithm, tiny_buffer, steps=18, seed=0, watch=lambda: {"seen": 1.0})
    seen = [point["step"] for point in taken.curve if point["watched"]]
    assert seen == [6, 12, 18]
    assert [point["step"] for point in taken.curve] == [*range(2, 19, 2)]
    assert taken.metrics == taken.curve[-1]["metrics"]

import io
import os
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks.speed import data as throughput_data
from benchmarks.speed.auditing import audits
from benchmarks.speed.throughput import environment
from benchmarks.speed.timing import Subject, time_in_turn
from frl_env.datasets import Recipe, build_dataset


def test_subjects_are_timed_in_turn():
    calls = []
    subjects = [Subject(name, 10, lambda name=name: calls.append(name)) for name in ("a", "b")]
    rates = time_in_turn(subjects, 3)
    assert calls == ["a", "b"] * 4, "a warm-up, then three rounds"
    assert all(len(values) == 3 and (values > 0).all() for values in rates.values())


@pytest.mark.long
def test_the_table_has_every_size_and_the_floor():
    out = Console(file=io.StringIO(), width=150)
    found = environment(out, repetitions=1, sizes=(1, 8))
    text = out.file.getvalue()
    for word in ("single environment", "CartPole", "floor", "propensities", "bytes a member"):
        assert word in text
    assert np.char.count(text, "(") > 4
    rows, columns = found["speed-env"]
    assert [row["members"] for row in rows] == ["single environment", "1", "8"]
    assert [how.format(**rows[0]) for how in columns.values()][2:] == ["", ""]
    assert rows[1]["care_low"] <= rows[1]["care"] <= rows[1]["care_high"]
    parts, _ = found["speed-env-parts"]
    assert len(parts) == 5
    assert all(part["milliseconds"] > 0 for part in parts)


def test_data_is_timed_beside_the_stock_way(monkeypatch):
    monkeypatch.setattr(throughput_data, "BATCHES", 2)
    out = Console(file=io.StringIO(), width=150)
    store = os.environ["MINARI_DATASETS_PATH"]
    throughput_data.data(out, members=12, repetitions=1)
    text = out.file.getvalue()
    for word in ("making", "reading", "sampling 256", "data: "):
        assert word in text
    assert os.environ["MINARI_DATASETS_PATH"] == store
    assert not list(Path(store).glob("throughput*"))


@pytest.mark.long
def test_audits_are_timed():
    recipe = Recipe(dataset_id="tests/timed-audit-v0", description="to be audited", members=150, seed=0)
    build_dataset(recipe)
    out = Console(file=io.StringIO(), width=150)
    audits(out, dataset_id=recipe.dataset_id, repetitions=1)
    text = out.file.getvalue()
    for word in ("audit, logged decisions", "audit, without values", "episodes"):
        assert word in text

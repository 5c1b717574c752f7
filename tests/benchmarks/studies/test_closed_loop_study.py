"""The loop on the simulator: exact chances, true values, and what is told of replicates."""

import numpy as np
import pytest

from benchmarks import loop
from benchmarks.result_records.figures import read_figure
from benchmarks.studies import gains_alone
from benchmarks.studies.closed_loop.next_policy import Explored
from benchmarks.studies.closed_loop.settings import ARMS, NOTHING
from benchmarks.training.train import train
from frl_algos import load_replay_buffer
from frl_env.actions import MEDICAID_ACTIONS as SPACE
from frl_env.capacity import Capacity, HeldPrice
from frl_env.care_effort import care_effort
from frl_env.datasets import ensure_dataset
from frl_env.parameters import preset
from frl_env.worklist import choose
from frl_env.worklist.lottery import make_lots

EFFORT = care_effort(preset())


class ByMemory:
    """Visits for members whose memory is above 0."""

    def start_memory(self, members):
        return np.zeros((members, 1), dtype=np.float32)

    def remember(self, memory, observations, joints):
        return memory + 1

    def gains(self, observations, memory):
        gains = np.zeros((len(observations), len(SPACE.valid_joints)))
        gains[:, -1] = memory[:, 0]
        return gains


def test_chances_of_an_exploring_policy():
    lots = make_lots(SPACE, Capacity(minutes=2.0).limits(EFFORT, 1_000), 0.2, 1_000)
    target = Explored(HeldPrice(ByMemory(), EFFORT, 0.0), lots, 7)
    rows = np.zeros((3, 9))
    rows[1, 7] = 1.0  # somebody to contact
    rows[2, 7:] = 1.0  # who has no coverage
    chances = target.probabilities(rows)
    np.testing.assert_allclose(chances.sum(axis=1), 1.0)
    assert chances[0, NOTHING] == pytest.approx(1 - lots.share + lots.rate[-1])
    best, other = SPACE.valid_joints[-1], SPACE.valid_joints[5]
    by_lot = lots.chances(ByMemory().gains(rows[1:2, :7], rows[1:2, 7:8]))[0]
    assert chances[1, best] == pytest.approx(1 - lots.share + by_lot[-1])
    assert chances[1, other] == pytest.approx(by_lot[5])
    assert (by_lot > 0).all()
    assert chances[2, NOTHING] == 1.0


def test_the_target_is_what_lists_draw():
    """An exploring policy's chances are those that `choose` states, where its price spends what is picked."""
    members, budget = 400, 3.0
    rng = np.random.default_rng(0)
    memory = (rng.random((members, 1)) < 0.1).astype(float)
    rows = np.concatenate((np.zeros((members, 7)), memory, np.zeros((members, 1))), axis=1)
    gains = ByMemory().gains(rows[:, :7], memory)
    choice = choose(gains, EFFORT, Capacity(minutes=budget), rng, explore=0.2)
    target = Explored(HeldPrice(ByMemory(), EFFORT, 0.0), choice.lots, 7)
    chances = target.probabilities(rows)
    idle = (memory[:, 0] == 0) | (choice.allocation.joints != NOTHING)
    np.testing.assert_allclose(chances[np.arange(members), choice.joints][idle], choice.propensities[idle])
    assert idle.mean() > 0.9


@pytest.mark.long
def test_gains_alone_are_those_of_the_trained_policy():
    dataset = ensure_dataset("frl/medicaid-synthetic-small-v0")
    buffer = load_replay_buffer(dataset)
    algorithm = gains_alone.SETTINGS.create()
    train(algorithm, buffer, steps=2, seed=3)
    alone = gains_alone.GainsAlone.learn(load_replay_buffer(dataset), EFFORT, seed=3)
    rows = np.arange(0, 2_000, 7)
    memory, mine = algorithm.start_memory(len(rows)), alone.start_memory(len(rows))
    for week in range(3):
        seen = buffer.observations[rows + week]
        np.testing.assert_array_equal(alone.gains(seen, mine), algorithm.gains(seen, memory))
        memory = algorithm.remember(memory, seen, buffer.actions[rows + week])
        mine = alone.remember(mine, seen, buffer.actions[rows + week])


def _replicate(shift: float, low: float = -1.0) -> dict:
    estimate = {
        "intervals": {"weights": [0.1, low, 1.0], "model": [0.0, -0.5, 0.5]},
        "truth": 0.0,
        "truth_error": 0.01,
        "refused": shift > 1.5,
        "logged": 0.0,
    }
    values = {name: [shift * number] * 4 for number, name in enumerate(ARMS)}
    minutes = dict.fromkeys(ARMS, [2.0] * 4)
    return {"values": values, "minutes": minutes, "budget": 3.0, "estimates": [estimate] * 4}


def test_summary_counts_what_was_told_and_held():
    rows = loop.summary([_replicate(1.0), _replicate(1.2, low=0.05), _replicate(2.0)])
    assert [row["quarter"] for row in rows] == [1, 2, 3, 4]
    first = rows[0]
    assert first["loop"] == pytest.approx(1.4)
    assert first["never"] == pytest.approx(4.2)
    assert (first["weights_told"], first["weights_held"], first["withheld"]) == (3, 2, 1)
    assert first["lead"] == pytest.approx(-1.4)
    assert first["lead_error"] == pytest.approx(np.std([1.0, 1.2, 2.0], ddof=1) / np.sqrt(3))
    assert (first["model_told"], first["model_held"]) == (3, 3)
    assert first["weights_bias"] == pytest.approx(0.1)


@pytest.mark.slow
def test_the_command_goes_on_and_repeats_itself(tmp_path, capsys, own_figures):
    arguments = ["--members", "400", "--copies", "1", "--out", str(tmp_path / "kept"), "--figure"]
    loop.main([*arguments, "--replicates", "1"])
    first = read_figure("loop").rows
    kept = next((tmp_path / "kept").iterdir())
    before = kept.stat().st_mtime_ns
    loop.main([*arguments, "--replicates", "1"])
    assert read_figure("loop").rows == first
    assert kept.stat().st_mtime_ns == before
    content = kept.read_text()
    kept.unlink()
    loop.main([*arguments, "--replicates", "1"])
    assert kept.read_text() == content
    assert "quarter" in capsys.readouterr().out

"""Pages of memory maps that were read are let go of, and nothing that was written is lost."""

import sys
from pathlib import Path

import numpy as np
import pytest
from d3rlpy.preprocessing import StandardObservationScaler

from frl_algos.logged_data import scaled_rows
from frl_algos.logged_data.memory_map import release
from frl_algos.logged_data.scaled_rows import ScaledRows, mean_and_spread

ROWS = np.arange(400_000, dtype=np.float32).reshape(-1, 4)


@pytest.fixture
def file(tmp_path):
    np.save(tmp_path / "rows.npy", ROWS)
    return tmp_path / "rows.npy"


def _resident(file) -> int:
    """Bytes of a mapped file that this process holds."""
    mine, found = False, 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ", 1)[0]:
            mine = line.endswith(str(file))
        elif mine and line.startswith("Rss:"):
            found += int(line.split()[1]) * 1024
    return found


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("wrap", [lambda mapped: mapped, np.asarray, lambda mapped: np.asarray(mapped)[10:]])
def test_pages_that_were_read_are_let_go_of(file, wrap):
    rows = wrap(np.load(file, mmap_mode="r"))
    total = float(rows.sum(dtype=np.float64))
    assert _resident(file) >= 0.9 * rows.nbytes
    release(rows)
    assert _resident(file) == 0
    assert float(rows.sum(dtype=np.float64)) == total


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_pass_over_scaled_rows_keeps_a_part_at_most(file, monkeypatch):
    monkeypatch.setattr(scaled_rows, "ROWS_AT_ONCE", 10_000)
    mapped = np.load(file, mmap_mode="r")
    scaler = StandardObservationScaler(mean=np.zeros(4), std=np.ones(4))
    rows, most = ScaledRows(mapped, scaler.transform_numpy), []

    def part(some):
        found = rows[some]
        most.append(_resident(file))
        return found

    mean_and_spread(len(rows), part)
    assert max(most) <= 0.2 * ROWS.nbytes
    rows[np.arange(0, len(rows), 500)]
    assert _resident(file) > 0, "a mini-batch is asked for again"


@pytest.mark.parametrize("mode", ["r+", "c"])
def test_what_was_written_stays(file, mode):
    rows = np.load(file, mmap_mode=mode)
    rows[7] = -1
    rows.flags.writeable = False
    release(rows, np.ones(3), np.asarray(rows)[::2])
    assert (rows[7] == -1).all()

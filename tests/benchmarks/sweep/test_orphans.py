"""However a parallel sweep ends: no process outlives it, nothing temporary stays, and the same command goes on."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from documented import ROOT
from filelock import FileLock, Timeout

from benchmarks.sweep import workers
from benchmarks.sweep.jobs import Job
from benchmarks.sweep.results import Results
from benchmarks.sweep.temporary_folder import PREFIX, WHERE, desk
from frl_env.errors import UserError
from frl_env.terminal import Terminated

SWEEP = ("--algo", "cql,factored_awr", "--dataset", "tests/tiny-v0", "--steps", "200", "--eval-members", "100")


def _start(folder: Path) -> subprocess.Popen[str]:
    (folder / "tmp").mkdir(exist_ok=True)
    command = [sys.executable, str(ROOT / "benchmarks/run.py"), *SWEEP, "--jobs", "2", "--out", str(folder / "results")]
    return subprocess.Popen(
        command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        env=os.environ | {"TMPDIR": str(folder / "tmp"), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def _session(leader: int) -> list[int]:
    """Processes of a session that are alive; each sweep here is started in one of its own."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(folder.name))
    return found


def _end_at(folder: Path, how: signal.Signals, seconds: float) -> None:
    process = _start(folder)
    time.sleep(seconds)
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    if process.returncode:
        status = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[how]
        assert process.returncode in (status, -how), said
        assert "Traceback" not in said
    for _ in range(50):
        if not _session(process.pid):
            break
        time.sleep(0.1)
    assert not _session(process.pid), "alive 5 seconds later"
    left = [file.name for file in (folder / "tmp").iterdir()]
    assert not left or how is signal.SIGKILL, left


def _values(folder: Path) -> dict[str, float]:
    process = _start(folder)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert "leaked" not in said
    assert list((folder / "tmp").iterdir()) == [], "what dead sweeps left is gone"
    card = json.loads((folder / "results/scorecard.json").read_text())
    return {f"{run['algo']} {run['mode']}": run["value"] for run in card["runs"]}


pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes by /proc")


@pytest.mark.slow
@pytest.mark.timeout(6_000)
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_a_sweep(how, tiny_dataset, tmp_path):
    whole = tmp_path / "whole"
    whole.mkdir()
    started = time.monotonic()
    expected = _values(whole)
    length = time.monotonic() - started
    rng = np.random.default_rng(int(how))
    times = int(os.environ.get("FRL_ENDINGS", "20"))
    for moment in rng.uniform(0.3, length, size=times):
        broken = tmp_path / "broken"
        broken.mkdir(exist_ok=True)
        if (broken / "results/scorecard.json").exists():  # that one came to its end; the next is to be interrupted
            shutil.rmtree(broken / "results")
        _end_at(broken, how, float(moment))
    assert _values(broken) == expected


@pytest.mark.long
def test_workers_end_when_their_sweep_is_killed(tmp_path):
    """The same, by hand and in a second: a parent with one worker process, and no algorithm."""
    script = (
        "import os, sys, tempfile, time\nfrom pathlib import Path\nfrom joblib import Parallel, delayed\n"
        "from benchmarks.sweep.temporary_folder import desk, sit_down\n"
        "def rest(place):\n    tempfile.mkdtemp()\n    Path(place).touch()\n    time.sleep(600)\n"
        "with desk() as folder:\n"
        "    Parallel(n_jobs=2, initializer=sit_down, initargs=(str(folder), os.getpid()), temp_folder=str(folder))(\n"
        "        delayed(rest)(sys.argv[1] + str(i)) for i in range(2))\n"
    )
    (tmp_path / "tmp").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "at-work-")], start_new_session=True,
        env=os.environ | {"TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        for _ in range(2_400):
            if len(list(tmp_path.glob("at-work-*"))) == 2:
                break
            time.sleep(0.1)
            assert process.poll() is None
        assert len(_session(process.pid)) >= 3
        assert [file.name.startswith(f"{PREFIX}{process.pid}-") for file in (tmp_path / "tmp").iterdir()] == [True]
        process.kill()
        process.wait()
        for _ in range(50):
            if not _session(process.pid):
                break
            time.sleep(0.1)
        assert _session(process.pid) == []
        assert list((tmp_path / "tmp").iterdir()) == []
    finally:
        for number in _session(process.pid):
            os.kill(number, signal.SIGKILL)
        process.wait()


SMALL_SWEEP = """
import atexit, os, signal, sys, time
from contextlib import closing
from pathlib import Path
from tqdm import tqdm
from benchmarks.sweep import workers
from benchmarks.sweep.temporary_folder import desk

def attempt(place, signs):
    for _ in tqdm(range(3), disable=False, file=open(os.devnull, "w")):
        pass
    (place / f"held-{os.getpid()}").write_text(str(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])))
    atexit.register(lambda: (place / f"ended-{os.getpid()}").touch())
    deadline = time.monotonic() + 60
    while len(list(place.glob("held-*"))) < 2 and time.monotonic() < deadline:  # each worker gets one
        time.sleep(0.05)
    return place

workers.attempt = attempt
place = Path(sys.argv[1])
with desk() as signs, closing(workers._in_parallel([place] * int(sys.argv[2]), signs, 2, None)) as work:
    for _ in range(2):
        next(work)
    next(work, None) if sys.argv[2] == "2" else None
"""


@pytest.mark.long
@pytest.mark.timeout(180)
@pytest.mark.parametrize("runs", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_workers_end_in_order_and_leave_no_semaphore(runs, tmp_path):
    """A sweep of two runs that comes to its end, and one of four, stopped after two: these workers are killed."""
    done = subprocess.run(
        [sys.executable, "-c", SMALL_SWEEP, str(tmp_path), str(runs)], capture_output=True, text=True, timeout=150,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "leaked" not in done.stderr
    held = [file.read_text() for file in tmp_path.glob("held-*")]
    assert held == ["True", "True"], "Ctrl-C is the sweep's alone"
    assert len(list(tmp_path.glob("ended-*"))) == (2 if runs == 2 else 0)


def test_the_next_sweep_clears_the_desks_of_dead_ones(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for name in (f"{PREFIX}{gone.pid}-x", f"{PREFIX}{os.getpid()}-y", "frl-sweep", "other"):
        (tmp_path / name).mkdir()
    with desk() as own:
        assert own.is_dir()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["frl-sweep", f"{PREFIX}{os.getpid()}-y", "other"]


def test_the_lock_lets_one_in(tmp_path):
    """Who waits for a lock whose file is removed afterwards holds another file than who comes later."""
    results = Results(tmp_path)
    inside, most = [], []
    stop = time.monotonic() + 1.0

    def work() -> None:
        while time.monotonic() < stop:
            try:
                with results.lock():
                    inside.append(1)
                    most.append(len(inside))
                    time.sleep(0)
                    inside.pop()
            except UserError:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    with results.lock():
        waiting = FileLock(tmp_path / ".lock")
        with pytest.raises(Timeout):
            waiting.acquire(timeout=0)
    assert (tmp_path / ".lock").exists(), "removed, it would let two in"


def test_a_worker_ends_though_it_is_still_importing_when_its_sweep_is_gone(tmp_path):
    """It looks for its sweep before it imports what takes seconds."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / "desk").mkdir()
    done = subprocess.run(
        [sys.executable, "-c",
         "import time; from benchmarks.sweep import temporary_folder; temporary_folder.watch_over(); time.sleep(60)"],
        timeout=60, env=os.environ | {WHERE: f"{gone.pid} {tmp_path / 'desk'}", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 1
    assert not (tmp_path / "desk").exists()


def test_a_stop_between_two_runs_ends_the_workers_first(monkeypatch, tmp_path):
    """Whatever interrupts the sweep, work is closed before the folder that it writes to goes."""
    order = []

    def work(*_):
        try:
            yield None
        finally:
            order.append("workers")

    @contextmanager
    def progress(*_):
        try:
            yield tmp_path, None
        finally:
            order.append("folder")

    def interrupted(*_):
        raise Terminated

    base = dict(algo="cql", dataset="d", seed=0, steps=3, eval_members=9, settings="{}", code="c", data="x")
    monkeypatch.setattr(workers, "_in_parallel", work)
    monkeypatch.setattr(workers, "_progress", progress)
    monkeypatch.setattr(Results, "add", interrupted)
    with pytest.raises(Terminated):
        workers.run_all([Job(**base), Job(**base | {"seed": 1})], Results(tmp_path), processes=2)
    assert order == ["workers", "folder"]

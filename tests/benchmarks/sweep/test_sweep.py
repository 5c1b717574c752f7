"""Sweeps: other people's algorithms, failures, kills and resumption, and clusters."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import run
from benchmarks.sweep import jobs, runs
from benchmarks.sweep.workers import Failure, attempt
from benchmarks.training import algorithms, makers
from frl_env.actions import MEDICAID_ACTIONS, ActionSpace
from frl_env.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
TINY = ["--dataset", "tests/tiny-v0", "--steps", "4", "--eval-members", "60"]

pytestmark = pytest.mark.usefixtures("one_thread")

THEIRS = '''
import numpy as np

class Common:
    """The most common joint action of the data."""
    def fit(self, buffer, n_steps, **options):
        self.best = np.bincount(buffer.actions).argmax()
    def predict(self, x):
        return np.full(len(x), self.best)

class Broken(Common):
    def fit(self, buffer, n_steps, **options):
        raise RuntimeError("no such\\nluck")
'''


def _files(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}


def _install(folder: Path) -> None:
    """A package of somebody else's, installed by pip from a wheel."""
    wheel = folder / "their_package-1.0-py3-none-any.whl"
    points = "[frl.algorithms]\ntheir_common = their_package:Common\ntheir_broken = their_package:Broken\n"
    with zipfile.ZipFile(wheel, "w") as content:
        content.writestr("their_package.py", THEIRS)
        info = "their_package-1.0.dist-info/"
        content.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: their_package\nVersion: 1.0\n")
        content.writestr(info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        content.writestr(info + "entry_points.txt", points)
        content.writestr(info + "RECORD", "")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--disable-pip-version-check"]
    subprocess.run([*pip, "--target", str(folder / "site"), str(wheel)], check=True)


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    _install(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield
    sys.modules.pop("their_package", None)


@pytest.mark.long
def test_their_package_is_found_trained_and_scored_and_its_fault_sinks_nothing_else(
    tiny_dataset, tmp_path, theirs, capsys
):
    out = tmp_path / "out"
    names = "their_common,their_broken,their_package:Common"
    failed = r"1 of 10 runs failed \(their_broken seed 0: RuntimeError: no such luck\).*check_algorithm says"
    with pytest.raises(UserError, match=failed):
        run.main([*TINY, "--algo", names, "--jobs", "2", "--out", str(out)])
    shown = capsys.readouterr().out
    assert shown.startswith(f"{names.replace(',', ', ')} on tests/tiny-v0: 1 seed, ")
    assert "assumed" not in shown, "nothing is assumed of the benchmark's own members"
    assert "next: " not in shown
    assert f"scorecard, of the 9 runs that did not fail: {out}" in shown
    card = json.loads((out / "scorecard.json").read_text())
    assert {row["algo"] for row in card["runs"]} == {"their_common", "their_package:Common"}
    # The most common action of the data is to do nothing.
    for row in card["runs"]:
        assert row["value"] == card["references"]["no_program"]["value"]
        assert row["mode"] == "greedy"
    assert card["failed"] == ["their_broken seed 0: RuntimeError: no such luck"]
    assert "in fit" in (out / "failed" / "their_broken-seed0.txt").read_text()
    finished = _files(out / "runs")
    with pytest.raises(UserError, match="1 of 10 runs failed"):
        run.main([*TINY, "--algo", names, "--jobs", "1", "--out", str(out)])
    assert _files(out / "runs") == finished


@pytest.mark.long
def test_where_every_training_fails_there_is_no_scorecard(tiny_dataset, tmp_path, theirs, capsys):
    out = tmp_path / "out"
    failed = (
        r"^2 of 9 runs failed \(their_broken seed 0: RuntimeError: no such luck\); so did their_package:Broken seed 0"
    )
    with pytest.raises(UserError, match=failed):
        run.main([*TINY, "--algo", "their_broken,their_package:Broken", "--jobs", "1", "--out", str(out)])
    assert "next: " not in capsys.readouterr().out
    assert not (out / "scorecard.json").exists()


def test_names(theirs):
    assert algorithms.parse_names("discrete_bc, cql,discrete_bc") == ["discrete_bc", "cql"]
    assert algorithms.parse_names("all") == [*algorithms.ALGORITHMS, *algorithms.REFERENCES]
    for wrong, near in (("their_comon", "their_common"), ("heuristc", "heuristic"), ("awrr", "awac")):
        with pytest.raises(UserError, match=f"unknown algorithm '{wrong}'.*{near}"):
            algorithms.parse_names(wrong)
    for wrong, module in (("my_own", "my_algorithm"), ("their_package", "their_package")):
        with pytest.raises(UserError, match=f"For one of your own write module:Name, for instance {module}:RareAct"):
            algorithms.parse_names(wrong)
    for wrong, says in (("no_such_module:X", "no module 'no_such_module'"), ("their_package:X", "has no 'X'")):
        with pytest.raises(UserError, match=says):
            algorithms.create(wrong, (), MEDICAID_ACTIONS)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (
            "import no_such_package",
            "'their_script' of --algo their_script:X can't be imported: it imports 'no_such_pack",
        ),
        (
            "import sys; sys.exit(0)",
            'ends Python when it is imported; put what runs it under if __name__ == "__main__"',
        ),
        ("X = 1 +", "can't be imported .SyntaxError"),
    ],
)
def test_a_module_that_cant_be_imported_is_said(body, says, tmp_path, monkeypatch):
    (tmp_path / "their_script.py").write_text(body + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match=says):
        algorithms.create("their_script:X", (), MEDICAID_ACTIONS)
    with pytest.raises(UserError, match="names a file; write their_script:X"):
        algorithms.create("their_script.py:X", (), MEDICAID_ACTIONS)


def test_an_algorithm_that_ends_python_is_a_run_that_failed(tiny_dataset, tmp_path, monkeypatch):
    def ends(job, sign):
        sys.exit(0)

    monkeypatch.setattr(runs, "run", ends)
    job = jobs.plan(["discrete_bc"], "tests/tiny-v0", seeds=1, steps=1, eval_members=20, tell=lambda *_: None)[-1]
    failed = attempt(job, tmp_path)
    assert isinstance(failed, Failure)
    assert failed.reason == "SystemExit: 0"


def test_actions_that_do_not_fit_are_said_before_any_training(tiny_dataset, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="discrete_bc enumerates joint actions, and these are 1,000,000"):
        algorithms.check_fits("discrete_bc", ActionSpace.from_nvec([10] * 6))
    monkeypatch.setattr(algorithms, "MOST_JOINTS", 1_000)
    monkeypatch.setattr(runs, "run", None)
    with pytest.raises(UserError, match="discrete_bc enumerates joint actions"):
        run.main([*TINY, "--algo", "discrete_bc", "--out", str(tmp_path)])


@pytest.mark.parametrize("name", [name for name in algorithms.ALGORITHMS if name not in algorithms.PEERS])
def test_every_algorithm_of_the_benchmark_trains(name, tiny_buffer):
    algorithm = algorithms.create(name, ("num_encounters_last_week",), tiny_buffer.action_space)
    assert algorithm.batch_size == makers.BATCH_SIZE
    assert runs.train(algorithm, tiny_buffer, steps=2, seed=0).updates == 2
    assert MEDICAID_ACTIONS.valid[algorithm.predict(tiny_buffer.observations[:9])].all()


OTHERS = [name for name in algorithms.ALGORITHMS if name not in algorithms.PEERS and "awr" not in name]


@pytest.mark.parametrize("name", OTHERS)
def test_every_baseline_is_trained_scored_and_looked_at(name, tiny_dataset):
    planned = jobs.plan(
        [name], "tests/tiny-v0", seeds=1, steps=2, eval_members=30, budget="team,none", tell=lambda *_: None
    )
    outcome = runs.run(planned[-1], lambda *_: None)
    assert outcome.job.algo == name
    assert outcome.facts["peak_rss_mb"] > 50
    assert "greedy" in outcome.values
    assert any("@ team" in slot for slot in outcome.values)
    assert all(np.isfinite(value).all() and len(value) == 30 for value in outcome.values.values())
    assert outcome.model


@pytest.mark.long
def test_killed_in_the_middle_nothing_is_lost_and_nothing_done_twice(tiny_dataset, tmp_path):
    arguments = [*TINY, "--algo", "discrete_bc,seed_awr,dqn", "--seeds", "2", "--jobs", "1", "--out", str(tmp_path)]
    process = subprocess.Popen([sys.executable, "benchmarks/run.py", *arguments], cwd=ROOT, stderr=subprocess.DEVNULL)
    runs_folder = tmp_path / "runs"
    for _ in range(1_000):
        time.sleep(0.1)
        if runs_folder.exists() and len(list(runs_folder.glob("*.json"))) >= 8:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    # A file that was being written when the process was killed is hidden, and no run.
    before = {name: at for name, at in _files(runs_folder).items() if name.endswith(".json") and name[0] != "."}
    assert 8 <= len(before) < 13, "killed in the middle"
    run.main(arguments)
    after = _files(runs_folder)
    assert {name: after[name] for name in before} == before, "no finished run was done again"
    assert len(list(runs_folder.glob("*.json"))) == 13
    assert not list(runs_folder.glob(".*"))
    table = pd.read_parquet(tmp_path / "runs.parquet").query("budget == 'none'")
    assert sorted(zip(table.algo, table.seed, table["mode"], strict=True)) == sorted(
        (algo, seed, mode)
        for seed in (0, 1)
        for algo, modes in (("discrete_bc", 2), ("seed_awr", 2), ("dqn", 1))
        for mode in ("greedy", "stochastic")[:modes]
    )


def test_other_data_has_a_folder_of_its_own():
    folders = [run._folder(run.DATASET, quick=False), run._folder(run.DATASET, quick=True)]
    folders += [run._folder(name, quick=False) for name in ("myorg/care-v0", "frl/medicaid-synthetic-null-v0")]
    assert folders[0] == "results"
    assert folders[2] == "results-myorg-care-v0"
    assert len(set(folders)) == 4


@pytest.mark.slow
def test_a_cluster_does_the_same(tiny_dataset, tmp_path):
    from dask.distributed import LocalCluster

    arguments = [*TINY, "--algo", "discrete_bc,seed_awr"]
    run.main([*arguments, "--jobs", "1", "--out", str(tmp_path / "here")])
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        run.main([*arguments, "--scheduler", cluster.scheduler_address, "--out", str(tmp_path / "there")])
    here, there = (json.loads((tmp_path / place / "scorecard.json").read_text()) for place in ("here", "there"))
    assert [row["value"] for row in here["runs"]] == [row["value"] for row in there["runs"]]
    assert here["references"] == there["references"]


@pytest.mark.long
def test_no_scheduler_is_said(tiny_dataset, tmp_path):
    pytest.importorskip("dask.distributed")
    with pytest.raises(UserError, match=r"no Dask scheduler at .tcp://127"):
        run.main([*TINY, "--algo", "discrete_bc", "--scheduler", "tcp://127.0.0.1:1", "--out", str(tmp_path)])


def test_the_example_of_the_docs_runs_in_the_benchmark(tiny_dataset, tmp_path, monkeypatch):
    block = re.findall(r"```python\n(.*?)```", (ROOT / "docs/own_algorithm.md").read_text(), flags=re.DOTALL)[0]
    assert len(block.splitlines()) < 60
    (tmp_path / "my_algorithm.py").write_text(block)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != os.getcwd()])
    run.main([*TINY, "--algo", "my_algorithm:RareActions", "--jobs", "1", "--out", "out"])
    card = json.loads((tmp_path / "out" / "scorecard.json").read_text())
    assert [row["mode"] for row in card["runs"] if row["budget"] == "none"] == ["stochastic", "greedy"]

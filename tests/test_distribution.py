"""What is uploaded: built, checked, and run where the repository is not."""

import subprocess
import sys
import tarfile
import zipfile

import pytest
from documented import ROOT
from installations import call, environment, tracked_files

from benchmarks.docs_pages.tutorial import blocks

pytestmark = pytest.mark.slow

WORKLIST = """
import numpy as np
from d3rlpy.logging import NoopAdapterFactory
from frl_algos import FactoredAWRConfig, load_replay_buffer, save_model
from frl_env.datasets import ensure_dataset, export_table

dataset = ensure_dataset("frl/medicaid-synthetic-small-v0")
export_table(dataset, "members.parquet")
algorithm = FactoredAWRConfig(response=0, need_factor="goal", skill_factor="provider").create()
algorithm.fit(load_replay_buffer(dataset), n_steps=20, show_progress=False, logger_adapter=NoopAdapterFactory())
save_model(algorithm, "policy.safetensors")
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Source distribution and wheel."""
    source = tracked_files(tmp_path_factory.mktemp("source"))
    out = tmp_path_factory.mktemp("dist")
    for command in (["build", "--outdir", str(out), str(source)], ["twine", "check", "--strict", f"{out}/*"]):
        done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, cwd=out)
        assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_both_hold_what_they_need_and_nothing_else(built):
    wheel = zipfile.ZipFile(next(built.glob("*.whl"))).namelist()
    for name in ("frl_env/py.typed", "frl_algos/py.typed", "frl_minari_load.pth", "frl_env/worklist/page.html"):
        assert name in wheel
    assert any(name.startswith("frl_env/data/") for name in wheel)
    assert not [name for name in wheel if name.startswith(("tests", "benchmarks", "docs", "findings"))]
    tracked = {
        name for name in subprocess.run(
            ["git", "ls-files", "frl_env", "frl_algos"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split()
    }  # fmt: skip
    assert tracked <= set(wheel)
    with tarfile.open(next(built.glob("*.tar.gz"))) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    assert {"README.md", "LICENSE", "constraints.txt", "benchmarks/run.py", "tests/documented.py"} <= names


@pytest.mark.timeout(900)
def test_the_wheel_runs_where_the_repository_is_not(built, tmp_path):
    folder = tmp_path / "venv"
    environment(folder)
    call(folder, "python", "-m", "pip", "install", "--quiet", "--no-deps", str(next(built.glob("*.whl"))))
    store = {"MINARI_DATASETS_PATH": str(tmp_path / "store")}
    place = call(
        folder, "python", "-c", "import frl_env, frl_algos; print(frl_env.__file__, frl_algos.__file__)"
    ).stdout
    assert place.count(str(tmp_path)) == 2
    program = "\n".join(blocks((ROOT / "README.md").read_text(), quick=True))
    (folder / "readme.py").write_text(program)
    assert "SNM" in call(folder, "python", "readme.py", **store).stdout
    (folder / "train.py").write_text(WORKLIST)
    call(folder, "python", "train.py", **store)
    call(
        folder, "frl", "worklist", "--model", "policy.safetensors", "--members", "members.parquet", "--capacity", "2.9",
        "-o", "worklist.html", **store,
    )  # fmt: skip
    assert "<html" in (folder / "worklist.html").read_text()

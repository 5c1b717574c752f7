"""`minari load`, through Minari's own command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from installations import call, environment, tracked_files

ROOT = Path(__file__).resolve().parents[1]
PACKAGING = ROOT / "packaging"

PROGRAM = (
    "import site, sys\nname, *arguments = sys.argv[1:]\nsys.argv = [name, *arguments]\n"
    f"site.addsitedir({str(PACKAGING)!r})\nsite.addsitedir({str(PACKAGING)!r})\n"
)
"""Starts like a program of some name in an environment where the hook is installed."""


def _run(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM + program, *arguments], capture_output=True, text=True, cwd=ROOT,
        env=os.environ | environment,
    )  # fmt: skip


COMMAND = "from minari.cli import app\nsys.exit(app())\n"
"""What the script `minari` holds."""


@pytest.mark.long
def test_minari_load_shows_a_dataset_and_where_it_lies(tiny_dataset):
    done = _run(COMMAND, "/somewhere/bin/minari", "load", "tests/tiny-v0")
    assert done.returncode == 0, done.stderr
    for word in (
        "tests/tiny-v0",
        "Total Episodes",
        "60",
        "checksums: as written",
        f"path: {tiny_dataset.spec.data_path}",
    ):
        assert word in done.stdout
    shown = _run(COMMAND, "/somewhere/bin/minari", "show", "tests/tiny-v0")
    assert shown.stdout.strip() in done.stdout
    wrong = _run(COMMAND, "minari.exe", "load", "frl/medicaid-syntetic-v0")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith(
        "error: unknown dataset 'frl/medicaid-syntetic-v0'; did you mean frl/medicaid-synthetic"
    )


def test_minaris_own_commands_stay_as_they_are():
    ours = _run(COMMAND, "minari", "--help").stdout.splitlines()
    theirs = _run(COMMAND, "other", "--help").stdout.splitlines()
    added = [line.split()[1] for line in ours if line.startswith("│") and line not in theirs]
    assert added[0] == "load"
    assert len(added) == len(ours) - len(theirs)
    modules = "print([name for name in sys.modules if name.startswith('frl_env')])\n"
    listed = _run("from minari.cli import app\n" + modules, "minari", "list", "local")
    assert listed.stdout.strip() == "[]", "nothing of ours is imported for commands of theirs"


@pytest.mark.parametrize("name", ["python", "-c", "-m", "", "minari-tool", "/minari/run", "pip"])
def test_any_other_process_is_left_alone(name):
    program = "print('frl_minari_load' in sys.modules, any('frl' in repr(f).lower() for f in sys.meta_path))\n"
    assert _run(program, name).stdout.split() == ["False", "False"]


def test_another_minari_is_left_alone():
    """A Minari with a load command of its own, or without the application, works as it is."""
    program = (
        "sys.path.insert(0, 'packaging')\nimport types, typer\nfrom frl_minari_load import add_command\n"
        "app = typer.Typer()\napp.command()(lambda: None)\n"
        "def load(): pass\napp.command()(load)\n"
        "add_command(types.SimpleNamespace(app=app)); add_command(types.SimpleNamespace())\n"
        "print(len(app.registered_commands))\n"
    )
    assert _run(program, "other").stdout.strip() == "2"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("way", ["pip install .", "pip install -e .", "uv pip install ."])
def test_in_an_installation_of_each_kind(way, tmp_path, tiny_dataset):
    source = tracked_files(tmp_path / "source")
    folder = tmp_path / "venv"
    own = environment(folder)
    before = {f.relative_to(own) for f in own.rglob("*") if "__pycache__" not in f.parts}
    call(folder, "minari", "load", "tests/tiny-v0", status=2)
    look = "import sys; print(len(sys.modules), len(sys.meta_path))"
    without = call(folder, "python", "-c", look).stdout
    python = str(folder / "bin/python")
    uv = str(Path(sys.executable).parent / "uv")
    tool = [uv, "pip", "install", "--python", python] if way.startswith("uv") else ["python", "-m", "pip", "install"]
    call(folder, *tool, "--quiet", "--no-deps", *(["-e"] if "-e" in way else []), str(source))
    loaded = call(folder, "minari", "load", "tests/tiny-v0")
    assert "checksums: as written" in loaded.stdout
    # It is this checkout that runs, not the one that the running environment may have installed.
    place = call(folder, "python", "-c", "import frl_env; print(frl_env.__file__)").stdout
    assert str(tmp_path) in place
    call(folder, "python", "-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall", "minari==0.5.4")
    call(folder, "minari", "load", "tests/tiny-v0")
    assert call(folder, "python", "-c", look).stdout == without, "any other process is left alone"
    remove = [uv, "pip", "uninstall", "--python", python] if way.startswith("uv") else [
        "python", "-m", "pip", "uninstall", "--yes"]  # fmt: skip
    call(folder, *remove, "frl-medicaid")
    left = {f.relative_to(own) for f in own.rglob("*") if f.is_file() and "__pycache__" not in f.parts} - before
    assert not left
    assert not list(own.glob("__pycache__/frl_*"))
    call(folder, "minari", "load", "tests/tiny-v0", status=2)

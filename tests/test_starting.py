"""Ctrl-C while a program imports what it needs, and while it ends: one line, status 130."""

import os
import subprocess
import sys

import pytest
from documented import ROOT

SCRIPTS = sorted(
    str(file) for file in (ROOT / "benchmarks").rglob("*.py") if "\n    run_or_say(main)\n" in file.read_text()
)
PROGRAMS = ["frl", *SCRIPTS]

BEGUN = {"benchmarks", "frl_env", "frl_env.starting"}
"""All that may be imported before Ctrl-C is one line: Python files of a few lines."""

STOP_AT_IMPORT = """
import os, signal, sys
left, program = int(sys.argv[1]), sys.argv[2]
begun = False

class Stop:
    def find_spec(self, name, path=None, target=None):
        global left, begun
        if not begun:
            begun = name == "frl_env.starting"
            if name not in %r:
                os.write(2, f"{name} comes before frl_env.starting\\n".encode())
                os._exit(99)
            return None
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return None

sys.meta_path.insert(0, Stop())
sys.argv = [program, "--help"]
if program == "frl":
    from frl_env.cli import main
    main()
else:
    with open(program) as source:
        exec(compile(source.read(), program, "exec"), {"__name__": "__main__", "__file__": program})
""" % (BEGUN,)  # noqa: UP031 - braces are Python's own here

STOP_TWICE = """
import os, signal, sys
import frl_env.starting
from frl_env.terminal import run_or_say

frl_env.starting.signal(signal.SIGINT, frl_env.starting.stop)

class Screen:
    def __getattr__(self, name):
        return getattr(sys.__stderr__, name)

    def write(self, text):
        os.kill(os.getpid(), signal.SIGINT)
        return sys.__stderr__.write(text)

def command():
    sys.stderr = Screen()
    os.kill(os.getpid(), signal.SIGINT)

try:
    run_or_say(command)
finally:
    os.kill(os.getpid(), signal.SIGINT)
"""


def _run(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=120,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"},
    )  # fmt: skip


def _check(number: int, program: str) -> int:
    done = _run(STOP_AT_IMPORT, str(number), program)
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 130), done.stderr
    if done.returncode:
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("error: stopped"), done.stderr
    return done.returncode


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.removeprefix(f"{ROOT}/"))
def test_the_first_import_can_be_stopped(program):
    assert _check(1, program) == 130


@pytest.mark.parametrize("number", [30, 700])
def test_later_imports_can_be_stopped(number):
    assert _check(number, "frl") == 130
    assert _check(number, str(ROOT / "benchmarks/report.py")) == 130


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.removeprefix(f"{ROOT}/"))
def test_any_import_can_be_stopped(program):
    for number in (2, 10, 100, 300, 600, 1_000, 1_500, 2_000, 2_500, 3_000):
        _check(number, program)


def test_started_as_a_module(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv = ['-m', '--help']; sys.orig_argv = ['python', '-m', "
         "'benchmarks.run', '--help']; import frl_env.starting, os, signal; os.kill(os.getpid(), signal.SIGINT)"],
        capture_output=True, text=True, timeout=120, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (130, "error: stopped before any work\n")


@pytest.mark.long
def test_who_presses_twice_sees_one_line():
    """Once at work, again while that is said, and again while Python ends."""
    done = _run(STOP_TWICE)
    assert done.returncode == 130
    assert done.stderr.startswith("error: stopped; what was whole is kept")
    assert len(done.stderr.splitlines()) == 1

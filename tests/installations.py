"""Virtual environments that see the running one's packages, to try installations of this project in."""

import os
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def tracked_files(folder: Path) -> Path:
    """A copy of what git tracks."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in tracked:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def environment(folder: Path) -> Path:
    """A virtual environment that sees the running one's packages, with a Minari of its own."""
    venv.create(folder, with_pip=True)
    own = next(folder.glob("lib/python*/site-packages"))
    (own / "running.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    call(folder, "python", "-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall", "minari==0.5.4")
    return own


def call(folder: Path, *command: str, status: int = 0, **environment: str) -> subprocess.CompletedProcess:
    program = folder / "bin" / command[0]
    done = subprocess.run(
        [str(program if program.exists() else command[0]), *command[1:]], capture_output=True, text=True, cwd=folder,
        env={k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")} | environment,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return done

"""Under which circumstances something was measured: commit, versions, machine."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

PACKAGES = ("frl-medicaid", "gymnasium", "minari", "d3rlpy", "torch", "numpy", "pandas", "pyarrow")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that matter."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def machine() -> str:
    """The machine in words: its processors and memory, and nothing that names it."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9 if hasattr(os, "sysconf") else 0
    held = f", {memory:.0f} GB of memory" if memory else ""
    return f"{os.cpu_count()} processors ({platform.machine()}){held}, {platform.system()}"


def commit() -> str | None:
    """The commit of this checkout, with "+" when files were changed since; None outside a checkout."""
    root = Path(__file__).resolve().parents[2]
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")

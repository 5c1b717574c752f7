"""Under which circumstances something was measured: commit, versions, machine."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

from benchmarks.result_records.code_key import ROOT

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


def commit(root: Path = ROOT) -> str | None:
    """The commit of a checkout, with "+" where it does not hold the code; None outside a checkout.

    It does not where a file was changed since, or a Python file is in none of its commits: a program may import it.

    Args:
        root: Of the checkout.
    """
    try:
        head, status = (
            subprocess.run(["git", *command], cwd=root, capture_output=True, text=True, check=True).stdout
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "-z", "--untracked-files=all"])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    changed = any(not entry.startswith("??") or entry.endswith(".py") for entry in status.split("\0") if entry)
    return head.strip() + ("+" if changed else "")

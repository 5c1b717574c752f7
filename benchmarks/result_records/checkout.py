"""The packages as they were at a commit, in a folder of their own."""

import shutil
import subprocess
from pathlib import Path

from benchmarks.result_records.code_key import PACKAGES, ROOT
from frl_env.errors import UserError


def checked_out(commit: str, place: Path) -> Path:
    """Writes the packages as they were at a commit into a folder.

    Args:
        commit: As git takes it.
        place: The folder; it is made anew.

    Returns:
        The folder.

    Raises:
        UserError: If this is no checkout, or has no such commit.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    packed = place.parent.resolve() / f"{place.name}.tar"
    command = ["git", "-C", str(ROOT), "archive", "-o", str(packed), commit, *PACKAGES]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        packed.unlink(missing_ok=True)
        raise UserError(f"can't take the packages of commit {commit!r}: {found.stderr.strip()}")
    shutil.rmtree(place, ignore_errors=True)
    shutil.unpack_archive(packed, place, filter="data")
    packed.unlink()
    return place

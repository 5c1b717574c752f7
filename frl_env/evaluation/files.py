"""Several files of one result: each whole, or as it was before."""

import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from frl_env.errors import UserError
from frl_env.files import atomic


def write_together(
    folder: str | os.PathLike[str], contents: Mapping[str, bytes], *, optional: Collection[str] = ()
) -> list[Path]:
    """Writes all files beside their places first, and gives them their names, as one, when every one is whole.

    Args:
        folder: Made when missing.
        contents: By file name, or by place below the folder (`figures/x.json`).
        optional: Files that not every such result has. One without content here is of an earlier result, and removed.

    Returns:
        The files.

    Raises:
        UserError: If the folder can't be made or written, or the disk is full.
    """
    place = Path(folder)
    aside = {name: (place / name).with_name(f".{Path(name).name}.new") for name in contents}
    try:
        place.mkdir(parents=True, exist_ok=True)
        for journal in atomic.journals(place):
            atomic.settle(journal)
        for name, content in contents.items():
            aside[name].parent.mkdir(exist_ok=True)
            atomic.write_bytes(aside[name], content)
        atomic.put_together(place, {file.relative_to(place).as_posix(): name for name, file in aside.items()}, "files")
        for name in set(optional) - contents.keys():
            (place / name).unlink(missing_ok=True)
    except OSError as problem:
        raise UserError(f"can't write to {place} ({problem.strerror}); choose another folder") from problem
    finally:
        if place.is_dir() and not atomic.journals(place):
            for file in aside.values():
                with suppress(OSError):
                    file.unlink()
    return [place / name for name in contents]

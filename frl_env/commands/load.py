"""`frl load`, and `minari load` where this package is installed: get a dataset, compare checksums, show it."""

from pathlib import Path

import minari.cli

from frl_env.datasets import check_dataset, ensure_dataset, verify_dataset
from frl_env.terminal import console, progress_bar


def load_and_show(dataset_id: str) -> None:
    """Loads a dataset, building it when it is one of ours and missing, and prints what `minari show` prints.

    Args:
        dataset_id: In the local store, or of a recipe.

    Raises:
        UserError: If it is neither there nor ours, or its files are not what was written.
    """
    check_dataset(dataset_id)
    with progress_bar() as progress:
        dataset = ensure_dataset(dataset_id, progress=progress)
        verified = verify_dataset(dataset, progress=progress)
    minari.cli.show(dataset_id)
    # Plain lines, so that a path stays in one piece.
    print("checksums: " + ("as written" if verified else "none were recorded when it was made"))
    print(f"path: {Path(dataset.spec.data_path)}")
    console.file.flush()

"""`frl load`, and `minari load` where this package is installed: get a dataset, compare checksums, show it."""

from pathlib import Path

import minari
import minari.cli
from rich.table import Table

from frl_env.datasets import check_dataset, ensure_dataset, verify_dataset
from frl_env.datasets.table_import.checking.summary import size_in_words
from frl_env.terminal import console, progress_bar


def load_and_show(dataset_id: str) -> None:
    """Loads a dataset, building it when it is one of ours and missing, and prints what it holds.

    Of simulated members that is what `minari show` prints; its numbers of episodes and steps, exact, would tell of few
    imported members by what the import said.

    Args:
        dataset_id: In the local store, or of a recipe.

    Raises:
        UserError: If it is neither there nor ours, or its files are not what was written.
    """
    check_dataset(dataset_id)
    with progress_bar() as progress:
        dataset = ensure_dataset(dataset_id, progress=progress)
        verified = verify_dataset(dataset, progress=progress)
    if "frl_import" in dataset.storage.metadata:
        show_dataset(dataset)
    else:
        minari.cli.show(dataset_id)
    # Plain lines, so that a path stays in one piece.
    print("checksums: " + ("as written" if verified else "none were recorded when it was made"))
    print(f"path: {Path(dataset.spec.data_path)}")
    console.file.flush()


def show_dataset(dataset: minari.MinariDataset) -> None:
    """Prints what a dataset holds and where it lies; of imported members no number that tells of few.

    Args:
        dataset: Simulated or imported.
    """
    facts = dataset.storage.metadata.get("frl_import")
    table = Table(show_header=False)
    table.add_row("id", str(dataset.spec.dataset_id))
    if facts is None:
        table.add_row("members", f"{dataset.total_episodes:,}")
        table.add_row("weeks", f"{dataset.total_steps:,}")
    else:
        table.add_row("imported", size_in_words(facts))
    table.add_row("observations", str(dataset.spec.observation_space))
    table.add_row("actions", str(dataset.spec.action_space))
    table.add_row("content SHA-256", str(dataset.storage.metadata.get("frl_content_sha256", "not recorded")))
    table.add_row("path", str(dataset.spec.data_path))
    console.print(table)

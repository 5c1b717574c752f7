"""Adds the command `load` to Minari's own `minari`, which has no place for commands of others.

This file and `frl_minari_load.pth` are installed beside the packages. Python runs the line in the latter whenever it
starts; the line looks at the name of the program and, unless that is `minari`, does nothing. For `minari` it asks to be
told when `minari.cli` is imported, and then adds one command to its application. Nothing of Minari is changed on disk.
"""

import importlib.util
import sys
from importlib.abc import MetaPathFinder


class Watcher(MetaPathFinder):
    """Waits for the import of `minari.cli`, and takes itself out."""

    def find_spec(self, fullname, path=None, target=None):
        """Finds `minari.cli` as Python would, and adds the command after it was run."""
        if fullname != "minari.cli":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def run_and_add(module):
                run(module)
                add_command(module)

            spec.loader.exec_module = run_and_add
        return spec


def watch():
    """Starts to wait, once: Python reads the folder twice where two names lead to it."""
    if not any(type(finder) is Watcher for finder in sys.meta_path):
        sys.meta_path.insert(0, Watcher())


def add_command(module):
    """Adds `load`, unless Minari has a command of that name by now, or is made in another way."""
    app = getattr(module, "app", None)
    commands = getattr(app, "registered_commands", None)
    if commands is None or "load" in {command.name or command.callback.__name__ for command in commands}:
        return
    from typing import Annotated

    import typer

    @app.command("load")
    def load(dataset_id: Annotated[str, typer.Argument(help="For instance frl/medicaid-synthetic-v0.")]) -> None:
        """Load a dataset; build it when it is one of frl-medicaid's and missing; compare checksums."""
        from frl_env.commands.load import load_and_show
        from frl_env.terminal import run_or_say

        run_or_say(lambda: load_and_show(dataset_id))

"""What a page says to type works: its Python blocks run, its commands have these options, its links lead somewhere."""

import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import typer
from documented import PAGES, ROOT, commands
from typer._click.exceptions import BadOptionUsage, MissingParameter

from benchmarks.docs_pages.tutorial import blocks
from frl_env.cli import app


class Understood(Exception):
    """Raised in place of a command's work, once its options are read."""


@pytest.mark.long
@pytest.mark.parametrize("page", [page for page in PAGES if blocks((ROOT / page).read_text())])
def test_python_blocks_run(page, tmp_path):
    """One after the other, as a newcomer would type them."""
    code = "\n".join(blocks((ROOT / page).read_text(), quick=True))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text()):
        if not target.startswith("http"):
            assert ((ROOT / page).parent / target).exists(), target


def test_files_that_pages_and_findings_name_are_there():
    texts = [ROOT / page for page in PAGES] + sorted((ROOT / "findings").glob("*.sh"))
    named = {
        (text.name, path)
        for text in texts
        for path in re.findall(r"(?<![\w./-])(?:frl_env|frl_algos|benchmarks|tests)/[\w/.-]*\w", text.read_text())
    }
    assert len(named) > 50
    gone = {each for each in named if not any((ROOT / f"{each[1]}{end}").exists() for end in ("", ".py"))}
    assert gone <= {("CONTRIBUTING.md", "benchmarks/figures/STUDY.json")}


def test_every_page_has_its_place_in_the_site():
    """`make docs` ends in an error otherwise."""
    named = {
        name for names in runpy.run_path(str(ROOT / "packaging" / "site.py"))["SECTIONS"].values() for name in names
    }
    assert {Path(page).stem for page in PAGES if page.startswith("docs/")} - {"README"} <= named


def test_anchors_lead_somewhere():
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^)#]*)#([^)]+)\)", (ROOT / page).read_text()):
            there = (ROOT / page).parent / target if target else ROOT / page
            headings = re.findall(r"^#+ (.*)$", there.read_text(), flags=re.MULTILINE)
            known = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in known, (page, target, anchor)


def _understands(parser: Callable[[list[str]], object], arguments: list[str]) -> None:
    """Reads the options as the command would, and does none of its work."""
    try:
        parser(arguments)
    except Understood:
        return


@pytest.mark.parametrize("command", sorted(commands()))
def test_commands_exist_with_these_options(command, monkeypatch):
    program, *arguments = shlex.split(command)
    if program in ("python", "python3"):
        if arguments[0] == "-m":
            assert arguments[1] in ("pytest", "venv"), command
            for path in (a for a in arguments[2:] if a.startswith("tests/")):
                assert (ROOT / path).exists(), path
            return
        script = ROOT / arguments[0]
        if not script.exists():
            assert arguments[0] in ("my_script.py", "my_algorithm.py"), command
            return
        _understands(_parser_of(script, monkeypatch), [_filled(a) for a in arguments[1:]])
    elif program == "make":
        planned = subprocess.run(["make", "--dry-run", *arguments], cwd=ROOT, capture_output=True, text=True)
        assert planned.returncode == 0, planned.stderr
    elif program == "minari":
        assert arguments[0] in ("load", "show", "list", "download", "delete"), command
    else:
        group = typer.main.get_command(app)
        context = group.make_context("frl", [_filled(a) for a in arguments], resilient_parsing=False)
        name, inner, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        with suppress(MissingParameter, BadOptionUsage):  # a command that is only named, as `frl import`
            inner.make_context(name, rest, parent=context)


def _filled(argument: str) -> str:
    """An example for what a page writes in capitals or brackets."""
    return {"ID": "frl/medicaid-synthetic-v0", "TABLE": "t.parquet", "<id>": "frl/medicaid-synthetic-v0"}.get(
        argument, argument
    )


def _parser_of(script: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], object]:
    """A benchmark's `main`, stopped once its options are read."""
    import argparse

    read = argparse.ArgumentParser.parse_args

    def stop(self, *given, **options):
        read(self, *given, **options)
        raise Understood

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    main = runpy.run_path(str(script), run_name="read")["main"]
    return main


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_generated_pages_are_what_their_commands_write(tmp_path):
    for page, *command in (
        ("docs/calibration.md", "calibrate"),
        ("docs/sensitivity.md", "sensitivity"),
        ("docs/references.md", "references", "--members", "50000"),
    ):
        script = "import sys; from frl_env.cli import main; main()"
        report = tmp_path / "docs" / Path(page).name
        report.parent.mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-c", script, *command, "--report", page], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert report.read_text() == (ROOT / page).read_text(), page

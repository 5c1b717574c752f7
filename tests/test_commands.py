"""Every command that a page names, run to its end: made small by options that follow its own and so win.

Not here: `make` commands, of which `.ci/run` runs `test`, `test-long` and `test-install`, and the others are these same
programs; the suite itself; commands that are only named.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from itertools import chain
from pathlib import Path
from zlib import crc32

import pandas as pd
import pytest
from documented import ROOT, commands
from own_table import FILES, write_own_table

from benchmarks.docs_pages.tutorial import blocks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]

SMALL_DATASET = "frl/medicaid-synthetic-small-v0"

SMALL = {
    "ablations.py": "--seeds 1 --steps 4 --eval-members 100 --replicates 1 --out {new}",
    "encodings.py": f"--updates 4 --seeds 1 --train {SMALL_DATASET}",
    "fairness_frontier.py": f"--dataset {SMALL_DATASET} --seeds 1 --steps 4 --eval-members 100 --out {{new}}",
    "conversions.py": "--members 60 --steps 4 --eval-members 100 --out {new}",
    "weeks": "--force",
    "weeks.py": "--events 100 --folder {new}",
    "loop.py": "--members 400 --replicates 1 --copies 1 --out {new}",
    "elsewhere.py": "--worlds xor --algo discrete_bc --seeds 1 --steps 4 --episodes 20 --out {new}",
    "ope.py": "--worlds rooms --out {new}",
    "valuing.py": "--members 40 --folder {new}",
    "worklists.py": "--members 400 --weeks 4 --folder {new}",
    "jobs.py": "--jobs build-v0",
    "fairness_checks.py": "--replicates 2 --members 600",
    "habits.py": "--replicates 1 --members 200 --steps 4 --eval-members 100 --out {new}",
    "sepsis_curves.py": "--seeds 1 --steps 4 --out {new}",
    "study.py": "--seeds 1 --episodes 40 --steps 4",
    "forecast.py": "--draws 1 --members 300 --judges 300 --out {new}",
    "whom.py": "--draws 1 --members 300 --eval-members 100 --out {new}",
    "importing.py": "--rows 2000 --folder {new}",
    "preparing.py": "--rows 2000 --out {new}",
    "leaderboard.py": "--out {new}/LEADERBOARD.md",
    "estimators.py": "--datasets small-v0 --replicates 1 --members 100 --truth-members 200 --steps 2 --out {new}",
    "paper_scale.py": f"--dataset {SMALL_DATASET} --epochs 1 --eval-members 100 --out {{new}}",
    "report.py": "--out {new}/report.html",
    "run.py": "--steps 4 --eval-members 100 --seeds 1 --jobs 1 --out {new}",
    "throughput.py": f"--repetitions 1 --updates 4 --dataset {SMALL_DATASET}",
    "tune.py": f"--dataset {SMALL_DATASET} --validation myorg/care-validation-v0 --steps 4 --jobs 1 --out {{new}} "
    "--write {new}/tuned.json",
    "tutorial.py": "--out {new}",
    "build": "--force",
    "capacity": "--members 20000 --report {new}/page.md",
    "export": "--force",
    "sensitivity": "--members 1000 --report {new}/page.md",
}
"""By script or subcommand."""

EXAMPLES = {
    "ID": SMALL_DATASET,
    "<id>": SMALL_DATASET,
    "frl/medicaid-synthetic-<name>": SMALL_DATASET,
    "FOLDER": "results",
    "FOLDER...": "results",
    "results-v0": "results",
    "results-myorg-care-v0": "results",
    "COMMIT": "HEAD",
    "policy.safetensors": "results/factored_awr-seed0.d3",
    "results-myorg-care-v0/factored_awr-seed0.d3": "results/factored_awr-seed0.d3",
    "worklist.html": "{new}/worklist.html",
    "again.parquet": "{new}/again.parquet",
    "table.parquet": "{new}/table.parquet",
    "events": "{new}/events",
    "flat.toml": "events/spec.toml",
    "list.toml": "events/spec.toml",
    "list.parquet": "weeks.parquet",
}
"""For what a page writes in capitals or brackets, and for files that must not exist yet."""

ONLY_NAMED = {
    "frl build", "frl delete", "frl export", "frl export --as events", "frl import", "frl import --validation-share",
    "frl load", "frl show", "frl weeks", "frl worklist", "frl worklist --members", "minari delete me/pumps-v0",
    "minari load", "minari show",
}  # fmt: skip
"""Without what they need, or a question that a person answers."""

LONG = ("endorsements.py", "leaderboard.py --figure", "controller_search.py")
"""They take half an hour or more and can't be made smaller."""

PAGES_OF = ("calibrate", "references")
"""They say with their exit status whether enough members met the goals; `test_docs` runs them at full size."""


def _run(command: str, desk: Path) -> subprocess.CompletedProcess[str]:
    program, *arguments = shlex.split(command)
    called = {
        "python": [sys.executable],
        "frl": [sys.executable, "-c", "from frl_env.cli import main; main()"],
        "minari": [str(Path(sys.executable).with_name("minari"))],
    }[program]
    environment = os.environ | {"MINARI_DATASETS_PATH": str(desk / "store"), "PYTHONPATH": str(ROOT)}
    return subprocess.run([*called, *arguments], cwd=desk, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """A folder as it is after README: the repository's benchmarks, a table, an algorithm, a dataset, results."""
    desk = tmp_path_factory.mktemp("desk")
    (desk / "lists").mkdir()
    (desk / "contents").write_text(_contents())
    (desk / "benchmarks").symlink_to(ROOT / "benchmarks")
    (desk / "my_algorithm.py").write_text(blocks((ROOT / "docs" / "own_algorithm.md").read_text())[0])
    for command in (
        f"frl build {SMALL_DATASET}",
        f"frl export {SMALL_DATASET} members.parquet",
        f"frl export {SMALL_DATASET} events --as events",
        "frl weeks events/spec.toml -o weeks.parquet",
        "frl import members.parquet --id myorg/care-v0 --validation-share 0.3",
        "python benchmarks/run.py --quick --out results",
        "frl worklist --model results/factored_awr-seed0.d3 --members members.parquet --capacity 2.9 --explore 0.2 "
        "-o lists/week.parquet",
    ):
        done = _run(command, desk)
        assert done.returncode == 0, (command, done.stderr)
    return desk


def _contents() -> str:
    """Fingerprints of all files that a command could take for its own."""
    files = sorted(path for room in ("benchmarks", "docs") for path in (ROOT / room).rglob("*.*") if path.is_file())
    return "\n".join(f"{path} {crc32(path.read_bytes())}" for path in files if path.suffix != ".pyc")


def by_format() -> dict[str, list[str]]:
    """Commands of the page on event tables that lead from a sample of a format to a policy, in their order."""
    text = (ROOT / "docs" / "event_tables.md").read_text()
    found = re.findall(r"(?m)^    (frl export \S+ (\S+) --as events --format \2)\n((?:    .*\n){3})", text)
    return {kind: [first, *(line.strip() for line in rest.splitlines())] for first, kind, rest in found}


def _runs(command: str) -> bool:
    program, name, *_ = command.split()
    if command in chain.from_iterable(by_format().values()):  # `test_formats_to_policies` runs them in their order
        return False
    if "myorg/plan-v0" in command or "myorg-plan-v0" in command:
        return False  # one after the other, with a table of its own, below
    if "--only care_team=" in command:
        return False  # of a table with teams, and a budget file for each: tests/frl_env/worklist
    if any(long in command for long in LONG):
        return False
    return program in ("python", "frl", "minari") and name not in ("-m", *PAGES_OF) and command not in ONLY_NAMED


@pytest.mark.parametrize("command", sorted(filter(_runs, commands())), ids=str)
def test_command_runs(command, desk, tmp_path):
    typed = [word for word in shlex.split(command) if word != "--figure"]
    before = ["", *typed]  # what follows `--as` is a kind, and no folder of that name
    words = [word if last == "--as" else EXAMPLES.get(word, word) for last, word in zip(before, typed, strict=False)]
    name = Path(words[1]).name
    if words[:2] == ["frl", "import"] and "--check" not in words:
        words[words.index("--id") + 1] = f"tests/{tmp_path.name.replace('_', '-')}-v0"
    small = SMALL.get(name, "")
    if name == "run.py" and "--quick" in words:
        small = "--out {new}"
    elif name == "run.py" and "--dataset" not in words:
        small += f" --dataset {SMALL_DATASET}"
    if "--ope" in words:
        small += " --validation myorg/care-validation-v0"
    if name == "ablations.py" and "--dataset" not in words and "--study" not in words:
        small += f" --dataset {SMALL_DATASET}"
    done = _run(f"{shlex.join(words)} {small}".replace("{new}", str(tmp_path)), desk)
    assert done.returncode == 0, done.stderr or done.stdout
    assert done.stdout or any(tmp_path.iterdir())


@pytest.mark.parametrize("kind", by_format())
def test_formats_to_policies(kind, tmp_path):
    """Raw tables of each format go to a trained, audited policy in the three commands of the page."""
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")
    sample, *three = by_format()[kind]
    assert len(three) == 3
    for command in (sample, *three):
        done = _run(command + (" --steps 4 --jobs 1" if "run.py" in command else ""), tmp_path)
        assert done.returncode == 0, done.stderr
    results = tmp_path / f"results-myorg-{kind}-v0"
    assert (results / "factored_awr-seed0.d3").exists()
    card = json.loads((results / "scorecard.json").read_text())
    assert {"ope", "fairness"} <= set(card)


def test_a_table_of_ones_own_becomes_a_worklist_by_the_commands_of_the_page(tmp_path):
    """Own columns, levels, actions, weeks, staff minutes and do-not-contact list; only the training is made short."""
    write_own_table(tmp_path)
    page = (ROOT / "docs" / "worklist.md").read_text()
    assert FILES["actions.json"].strip() in page
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")
    typed = [command for command in re.findall(r"^    (.*)$", page, flags=re.MULTILINE) if "plan-v0" in command]
    assert len(typed) == 4  # the fifth step is to print
    for command in typed:
        small = " --steps 4 --jobs 1" if "run.py" in command else ""
        done = _run(command + small, tmp_path)
        assert done.returncode == 0, done.stderr or done.stdout
    text = (tmp_path / "worklist.html").read_text()
    for words in ("minutes of RN", "minutes of SW", "Channel", "week 2026-07-20"):  # the words of the map
        assert words in text
    assert "P1003" not in text
    chances = pd.read_parquet(tmp_path / "worklist-chances.parquet")
    minutes = chances.action_channel.map({"nothing": 0, "telephone": 15, "home": 75, "clinic": 30})
    used = minutes.groupby(chances.action_staff).sum()
    assert 0 < used["nurse"] <= 600
    assert 0 < used["social worker"] <= 480
    assert not ((chances.action_channel == "clinic") & (chances.action_staff == "social worker")).any()


def test_nothing_of_the_repository_was_written(desk):
    assert _contents() == (desk / "contents").read_text()

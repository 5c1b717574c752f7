"""Every study that keeps results names them by all the code they depend on, and by none that only shows them."""

import ast
import importlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.result_records.code_key import PACKAGES, ROOT
from benchmarks.result_records.kept_results import Kept
from frl_env.errors import UserError

BENCHMARKS = ROOT / "benchmarks"
PLACES = sorted([*BENCHMARKS.glob("studies/*.py"), *BENCHMARKS.glob("sepsis/*.py"), *BENCHMARKS.glob("*.py")])
SWEEPS = {"run", "report", "tune"}
"""Commands over `benchmarks.sweep`, which keeps results in its own way."""

MAKES_DATA = {"controller_search"}
"""What it finds is committed as data of a world, which results depend on; it keeps no result."""

OWN_WAYS = {
    "exists", "is_file", "glob", "rglob", "iterdir", "sha256", "code_hash", "run_key", "code_key",
}  # fmt: skip
"""Calls by which a study would find a result again without asking `Kept`."""

SHOWN = (
    "benchmarks/docs_pages/fill.py", "benchmarks/sweep_report/page.py", "benchmarks/charts/svg.py",
    "benchmarks/result_records/figures.py", "benchmarks/command_line.py", "benchmarks/studies/estimator_report.py",
    "benchmarks/studies/frontier_table.py",
)  # fmt: skip


def _names(file: Path) -> set[str]:
    """Names of all that a file calls or imports."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call):
            found.add(node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", ""))
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.name for alias in node.names}
    return found


def _commands() -> list[Path]:
    """Files that are run and keep results, but for sweeps."""
    found = [file for file in PLACES if 'if __name__ == "__main__":' in file.read_text()]
    return [file for file in found if file.stem not in SWEEPS | MAKES_DATA]


def _keepers() -> dict[str, Kept]:
    """What each module keeps, by its name."""
    found = {}
    for file in PLACES:
        if "Kept" in _names(file):
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
            kept = [value for value in vars(importlib.import_module(name)).values() if isinstance(value, Kept)]
            assert [each.program for each in kept] == [name], f"{name} must have one Kept, of its own name"
            found[name] = kept[0]
    return found


TRAIN_NOTHING = {
    "benchmarks.ope": "frl_env/evaluation/estimating/estimators.py",
    "benchmarks.studies.fairness_checks": "frl_env/evaluation/fairness/audit.py",
}
"""Studies of policies that nobody trained, and what they depend on instead."""


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """The three packages, to be changed."""
    root = tmp_path_factory.mktemp("checkout")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    return root


@pytest.mark.parametrize("file", _commands(), ids=lambda file: file.stem)
def test_a_study_finds_results_by_kept_alone(file):
    names = _names(file)
    assert not names & OWN_WAYS, f"{file.stem} finds results in its own way; use benchmarks.result_records.kept_results"
    assert "Kept" in names, f"{file.stem} keeps nothing by a key; see benchmarks.result_records.kept_results"


@pytest.mark.long
def test_a_constant_deep_in_the_learner_makes_every_result_stale_and_a_page_none(copy):
    kept = _keepers()
    assert len(kept) >= 10
    facts = {"root": copy, "seed": 0}
    before = {name: each.key(**facts) for name, each in kept.items()}
    for file in SHOWN:
        _append(copy / file, "\nOTHER_WORDS = 'of a test'\n")
    assert {name: each.key(**facts) for name, each in kept.items()} == before
    _append(copy / "frl_algos/member_model/estimating.py", "\nOTHER = 1.0\n")
    after = {name: each.key(**facts) for name, each in kept.items()}
    assert {name for name in kept if after[name] == before[name]} == set(TRAIN_NOTHING)
    for name, file in TRAIN_NOTHING.items():
        _append(copy / file, "\nOTHER = 1.0\n")
        assert kept[name].key(**facts) != before[name]


@pytest.mark.long
def test_a_study_counts_itself(copy):
    for name, each in _keepers().items():
        before = each.key(root=copy)
        _append(copy.joinpath(*name.split(".")).with_suffix(".py"), "\nOTHER_STEPS = 7\n")
        assert each.key(root=copy) != before, name


def test_of_several_programs_a_result_depends_on_its_own_alone(copy):
    kept = _keepers()["benchmarks.elsewhere"]
    ours, stock = (
        kept.of(f"benchmarks.training.{lines}", chosen_by="benchmarks.training.algorithms")
        for lines in ("awr_lines", "stock_lines")
    )
    before = ours.key(root=copy), stock.key(root=copy)
    _append(copy / "frl_algos/factored_awr/critic_selection/held_out.py", "\nOTHER = 2.0\n")
    assert ours.key(root=copy) != before[0]
    assert stock.key(root=copy) == before[1]
    _append(copy / "frl_algos/policies/stock.py", "\nOTHER = 2.0\n")
    assert stock.key(root=copy) != before[1]
    before = stock.key(root=copy)
    _append(copy / "benchmarks/worlds/maze.py", "\nOTHER = 2.0\n")
    assert stock.key(root=copy) != before


def _append(file: Path, text: str) -> None:
    file.write_text(file.read_text() + text)


RESULTS = Kept("benchmarks.studies.known_policies.policy_truth")


def test_what_is_kept_comes_back_and_is_made_once(tmp_path):
    made = []

    def one():
        made.append(1)
        return {"value": 0.1}

    for _ in range(2):
        assert RESULTS.json(tmp_path / "new", "a", one, seed=0) == {"value": 0.1}
    assert RESULTS.known(tmp_path / "new", "a", seed=0) == {"value": 0.1}
    assert RESULTS.known(tmp_path / "new", "a", seed=1) is None
    assert RESULTS.json(tmp_path / "new", "a", one, seed=1) == {"value": 0.1}
    assert len(made) == 2
    array, table = np.arange(3.0), pd.DataFrame({"x": [1, 2]})
    for _ in range(2):
        np.testing.assert_array_equal(RESULTS.array(tmp_path, "b", lambda: array), array)
        pd.testing.assert_frame_equal(RESULTS.table(tmp_path, "c", lambda: table), table)
    assert not list(tmp_path.glob("**/.*"))


@pytest.mark.parametrize("kind", ["json", "array", "table"])
def test_what_is_damaged_is_said(kind, tmp_path):
    value = {"json": {"a": 1}, "array": np.zeros(40), "table": pd.DataFrame({"x": [1]})}[kind]
    keep = getattr(RESULTS, kind)
    keep(tmp_path, "a", lambda: value)
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    for damaged in (content[:-9], b"", content.replace(b": 1", b": 2") if kind == "json" else content[9:]):
        file.write_bytes(damaged)
        with pytest.raises(UserError, match="is damaged; delete it"):
            keep(tmp_path, "a", lambda: value)


def test_where_nothing_can_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can't write"):
        RESULTS.json(tmp_path / "file" / "below", "a", dict)

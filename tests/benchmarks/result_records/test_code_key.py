"""What a result depends on is found by imports, however deep, and nothing else."""

import shutil
from pathlib import Path

import pytest

from benchmarks.result_records.code_key import PACKAGES, ROOT, code_files, code_key
from benchmarks.result_records.run_key import SHOWING, run_key


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """The three packages, to be changed."""
    root = tmp_path_factory.mktemp("checkout")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    return root


@pytest.fixture
def project(tmp_path) -> Path:
    """A small project: a study, what it imports through a package's exports, and what it does not."""
    for name, text in {
        "benchmarks/__init__.py": "",
        "benchmarks/study.py": "from frl_algos import learn\n",
        "frl_algos/__init__.py": "from frl_algos.learner import learn\nfrom frl_algos.judge import judge\n",
        "frl_algos/learner.py": "import frl_algos.deep.constants as c\ndef learn():\n    return c.RATE\n",
        "frl_algos/deep/__init__.py": "",
        "frl_algos/deep/constants.py": '"""Numbers."""\nRATE = 0.1\n"""Of learning."""\n',
        "frl_algos/judge.py": "def judge():\n    return 1\n",
    }.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def _change(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def test_exports_of_a_package_lead_to_the_module_that_defines_a_name(project):
    found = {file.relative_to(project).as_posix() for file in code_files("benchmarks.study", root=project)}
    assert found == {"benchmarks/study.py", "frl_algos/learner.py", "frl_algos/deep/constants.py"}


@pytest.mark.parametrize(
    ("file", "before", "after", "other"),
    [
        ("frl_algos/deep/constants.py", "0.1", "0.2", True),
        ("benchmarks/study.py", "import learn", "import learn as l", True),
        ("frl_algos/judge.py", "return 1", "return 2", False),
        ("frl_algos/deep/constants.py", "Of learning", "A step", False),
        ("frl_algos/deep/constants.py", "RATE = 0.1", "RATE = 0.1  # why\n", False),
    ],
)
def test_code_that_is_reached_counts_and_nothing_else(project, file, before, after, other):
    key = code_key("benchmarks.study", root=project)
    _change(project / file, before, after)
    assert (code_key("benchmarks.study", root=project) != key) is other


@pytest.mark.long
@pytest.mark.parametrize(
    ("program", "room"),
    [
        ("benchmarks.run", "frl_env/events_to_weeks"),
        ("benchmarks.elsewhere", "frl_env/datasets/table_import"),
        ("benchmarks.ope", "frl_env/evaluation/sensitivity"),
        ("benchmarks.studies.forecast", "frl_algos/factored_awr"),
        ("benchmarks.studies.fairness_checks", "frl_algos/action_effects"),
    ],
)
def test_results_do_not_depend_on_rooms_that_their_program_has_no_use_for(copy, program, room):
    reached = code_files(program, without=SHOWING, root=copy)
    assert not [file for file in reached if file.is_relative_to(copy / room)]


def test_a_stock_algorithms_result_elsewhere_does_not_depend_on_ours(copy):
    entries = ("benchmarks.elsewhere", "benchmarks.training.stock_lines")
    reached = code_files(*entries, without=(*SHOWING, "benchmarks.training.algorithms"), root=copy)
    assert copy / "frl_algos/policies/stock.py" in reached
    assert not [file for file in reached if file.is_relative_to(copy / "frl_algos/factored_awr")]


def test_a_moved_file_is_noticed(project):
    key = code_key("benchmarks.study", root=project)
    (project / "frl_algos/deep/rates.py").write_bytes((project / "frl_algos/deep/constants.py").read_bytes())
    (project / "frl_algos/deep/constants.py").unlink()
    _change(project / "frl_algos/learner.py", "deep.constants", "deep.rates")
    moved = code_key("benchmarks.study", root=project)
    assert moved != key
    _change(project / "frl_algos/deep/rates.py", "0.1", "0.2")
    assert code_key("benchmarks.study", root=project) != moved


def test_imports_that_only_a_type_checker_sees_do_not_count(project):
    _change(
        project / "benchmarks/study.py",
        "from frl_algos import learn\n",
        "from typing import TYPE_CHECKING\nfrom frl_algos import learn\n"
        "if TYPE_CHECKING:\n    import frl_algos.judge\n",
    )
    assert project / "frl_algos/judge.py" not in code_files("benchmarks.study", root=project)


def test_somebody_elses_algorithm_counts_with_what_lies_beside_it(tmp_path):
    (tmp_path / "their_networks.py").write_text("SIZE = 8\n")
    algorithm = tmp_path / "their_algorithm.py"
    algorithm.write_text("import torch\nimport their_networks\n")
    key = code_key(algorithm)
    assert {file.name for file in code_files(algorithm)} == {"their_algorithm.py", "their_networks.py"}
    _change(tmp_path / "their_networks.py", "8", "16")
    assert code_key(algorithm) != key


def test_files_of_data_that_are_named_count():
    names = {file.name for file in code_files("frl_env.search.policy_search")}
    assert "best_observation_only.json" in names


def test_run_key_depends_on_every_fact():
    facts = {"data": "1f", "settings": {"a": 1}, "steps": 10, "seed": 0}
    keys = {run_key("frl_env.simulator.numerics", **facts)}
    keys |= {run_key("frl_env.simulator.numerics", **facts | {name: "other"}) for name in facts}
    keys.add(run_key("frl_env.parameters", **facts))
    assert len(keys) == 6


def test_a_module_that_does_not_exist_is_an_error():
    with pytest.raises(ValueError, match=r"no module benchmarks\.gone"):
        code_key("benchmarks.gone")


def test_pages_are_no_code_of_any_result(copy):
    reached = code_files("benchmarks.run", root=copy)
    assert not [file for file in reached if "pages" in file.parts or "reporting" in file.parts]

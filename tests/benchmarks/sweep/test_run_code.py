"""What code a run of the sweep is named by: what trains its algorithm and what scores it, and nothing else."""

import shutil
from pathlib import Path

import pytest

from benchmarks.result_records import code_key as keys
from benchmarks.sweep import jobs

OURS, BASELINE, PEER, STOCK, REFERENCE = {"factored_awr"}, {"factored_iql"}, {"uplift"}, {"cql"}, {"oracle"}
"""One of each family, whose lines are one file."""

TRAINED = OURS | BASELINE | PEER | STOCK
EVERYTHING = TRAINED | REFERENCE


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """The three packages, to be changed."""
    root = tmp_path_factory.mktemp("checkout")
    for package in keys.PACKAGES:
        shutil.copytree(keys.ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    return root


@pytest.fixture
def stale(copy, monkeypatch):
    """Names of the runs that a changed file makes stale."""
    monkeypatch.setattr(jobs, "code_key", lambda *programs, **more: keys.code_key(*programs, root=copy, **more))

    def found(name: str, valued: bool = False) -> set[str]:
        file = copy / name
        before = {algo: jobs.code_hash(algo, valued) for algo in EVERYTHING}
        file.write_text(file.read_text() + "\nOTHER = 1.0\n")
        return {algo for algo in EVERYTHING if jobs.code_hash(algo, valued) != before[algo]}

    return found


@pytest.mark.long
@pytest.mark.parametrize(
    ("file", "which"),
    [
        ("frl_algos/factored_awr/updating/update.py", OURS),
        ("frl_algos/action_effects/estimate.py", OURS),
        ("frl_algos/action_effects/regression_sums.py", OURS),
        ("frl_algos/action_effects/terms.py", OURS),
        ("frl_algos/member_model/estimating.py", OURS),
        ("benchmarks/training/awr_lines.py", OURS),
        ("frl_algos/baselines/factor_scores.py", BASELINE),
        ("frl_algos/baselines/implicit_q.py", BASELINE),
        ("frl_algos/member_rankings/uplift.py", PEER),
        ("benchmarks/training/stock_lines.py", STOCK),
        ("frl_algos/logged_data/replay.py", TRAINED),
        ("frl_algos/logged_data/minari_loading.py", TRAINED),
        ("benchmarks/training/train.py", TRAINED),
        ("frl_env/simulator/dynamics.py", EVERYTHING),
        ("frl_env/parameters.py", EVERYTHING),
        ("frl_env/capacity/budgeted.py", EVERYTHING),
        ("benchmarks/policy_scoring/true_values.py", EVERYTHING),
        ("benchmarks/policy_scoring/audits.py", EVERYTHING),
        ("benchmarks/sweep/budgets.py", EVERYTHING),
        ("benchmarks/sweep/runs.py", EVERYTHING),
        ("benchmarks/sweep/scoring.py", EVERYTHING),
        ("frl_algos/value_models/counterfactual.py", set()),
        ("frl_algos/policy_reports/policy_audit.py", set()),
        ("frl_env/worklist/listing.py", set()),
        ("benchmarks/training/algorithms.py", set()),
        ("benchmarks/sweep/scorecard.py", set()),
        ("benchmarks/sweep_report/page.py", set()),
        ("benchmarks/docs_pages/fill.py", set()),
        ("benchmarks/result_records/figures.py", set()),
        ("benchmarks/run.py", set()),
    ],
)
def test_a_changed_file_makes_those_runs_stale_that_reach_it(stale, file, which):
    assert stale(file) == which


def test_a_run_that_logged_members_value_depends_on_the_valuer_too(stale):
    assert stale("frl_algos/value_models/nested_mean_model.py", valued=True) == TRAINED


def test_somebody_elses_algorithm_counts_with_what_it_imports(tmp_path, monkeypatch):
    (tmp_path / "their_networks.py").write_text("SIZE = 8\n")
    (tmp_path / "their_policy.py").write_text("import their_networks\n\n\nclass Theirs:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = jobs.code_hash("their_policy:Theirs")
    (tmp_path / "their_networks.py").write_text("SIZE = 16\n")
    assert jobs.code_hash("their_policy:Theirs") != before

"""Members whom nobody ever contacted: programs say that nothing can be learned about contacts, or do not mind."""

import json

import numpy as np
import pandas as pd
import pytest

from benchmarks import report, run
from benchmarks.training.algorithms import create
from benchmarks.training.column_roles import told_of
from benchmarks.training.train import train
from frl_algos import load_replay_buffer
from frl_algos.policy_reports.policy_audit import audit_fairness
from frl_algos.policy_reports.policy_evaluation import evaluate_policy
from frl_algos.quiet import quiet_d3rlpy
from frl_env.datasets import (
    ImportOptions,
    Recipe,
    build_dataset,
    delete_dataset,
    export_table,
    import_table,
    open_dataset,
)
from frl_env.errors import UserError
from frl_env.evaluation import load_episodes
from frl_env.evaluation.nuisances.propensities import GATE, estimate_propensities

pytestmark = pytest.mark.usefixtures("one_thread")

NAME, OTHERS = "tests/never-contacted-v0", "tests/never-contacted-validation-v0"


@pytest.fixture(scope="module")
def nothing(tmp_path_factory):
    """80 members, the same with their first week alone, and one of them: nobody was ever contacted."""
    tmp_path = tmp_path_factory.mktemp("nothing")
    build = Recipe(dataset_id="tests/to-be-never-contacted-v0", description="for tests", members=80, seed=5, horizon=12)
    export_table(build_dataset(build), tmp_path / "out.parquet")
    rows = pd.read_parquet(tmp_path / "out.parquet")
    rows = rows.drop(columns=[name for name in rows if name.startswith(("propensity", "next_"))])
    for name in ("modality", "provider", "goal"):
        rows[f"action_{name}"] = "NONE"
    rows["action_urgency"] = "ROUTINE"
    rows.to_parquet(tmp_path / "nothing.parquet", index=False)
    import_table(tmp_path / "nothing.parquet", NAME, options=ImportOptions(validation_share=0.4))
    rows[rows["week"] == 0].to_parquet(tmp_path / "short.parquet", index=False)
    import_table(tmp_path / "short.parquet", "tests/never-contacted-short-v0")
    rows[rows["member_id"] == rows["member_id"].iloc[0]].to_parquet(tmp_path / "one.parquet", index=False)
    import_table(tmp_path / "one.parquet", "tests/never-contacted-one-v0")
    yield tmp_path
    for dataset_id in (
        NAME,
        OTHERS,
        "tests/never-contacted-short-v0",
        "tests/never-contacted-one-v0",
        "tests/to-be-never-contacted-v0",
    ):
        delete_dataset(dataset_id)


def test_propensities_are_those_of_no_contact(nothing):
    found = estimate_propensities(load_episodes(open_dataset(NAME)), rng=np.random.default_rng(0))
    assert set(found.reliability["factor"]) == {GATE}
    assert (found.factors["goal"] == 1).all()
    assert found.logged.min() > 0.9


@pytest.mark.parametrize("dataset_id", [NAME, "tests/never-contacted-short-v0", "tests/never-contacted-one-v0"])
def test_told_learners_train(dataset_id, nothing):
    """The benchmark's own line is told what shows a response, of which there is none."""
    data = open_dataset(dataset_id)
    known, buffer = told_of(data), load_replay_buffer(data)
    algorithm = create("factored_awr", known.states, buffer.action_space, known=known)
    with quiet_d3rlpy():
        train(algorithm, buffer, steps=3, seed=0)
    assert np.isfinite(algorithm.predict_probabilities(buffer.observations)).all()


def test_a_sweep_says_before_training_that_nothing_can_be_valued(nothing, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "run_all", lambda *args, **kwargs: pytest.fail("trained"))
    with pytest.raises(UserError, match=r"fewer than 10 attempts got a response.*--response none"):
        run.main(["--dataset", NAME, "--out", str(tmp_path / "results")])


def test_without_a_response_all_values_are_withheld(nothing, capsys):
    out = nothing / "results"
    common = ["--dataset", NAME, "--steps", "2", "--jobs", "1", "--response", "none"]
    run.main([*common, "--algo", "factored_awr", "--out", str(out)])
    card = json.loads((out / "scorecard.json").read_text())
    assert card["failed"] == []
    report.main([str(out), "-o", str(nothing / "report.html")])
    assert "0 have an estimate that the data supports" in (nothing / "report.md").read_text()
    model = next(out.glob("factored_awr*.d3"))
    with pytest.raises(UserError, match=r"fewer than 10 attempts got a response"):
        evaluate_policy(model, OTHERS, nothing / "evaluation")
    assert not (nothing / "evaluation").exists()
    evaluate_policy(model, OTHERS, nothing / "evaluation", value=False)
    with pytest.raises(UserError, match=r"fewer than 10 attempts got a response"):
        audit_fairness(model, OTHERS, nothing / "audit")
    assert not (nothing / "audit").exists()

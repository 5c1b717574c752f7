"""Of 20 members nothing can be said, and that is said: a sentence from every program, and no traceback."""

import json

import numpy as np
import pytest

from benchmarks import report, run
from frl_algos import audit_fairness, evaluate_policy
from frl_env.datasets import ImportOptions, Recipe, build_dataset, ensure_dataset, export_table, import_table
from frl_env.errors import UserError
from frl_env.evaluation import evaluate, load_with_parts, sensitivity

pytestmark = pytest.mark.usefixtures("one_thread")

NAME, VALIDATION, OWN = "tests/twenty-v0", "tests/twenty-validation-v0", "tests/own-twenty-v0"


@pytest.fixture(scope="module")
def twenty(tmp_path_factory):
    """20 simulated members to train on, 20 to value on, and a table of 20 who may be real."""
    for name, seed in ((NAME, 3), (VALIDATION, 4)):
        build_dataset(Recipe(dataset_id=name, description="for tests", members=20, seed=seed, horizon=26), force=True)
    folder = tmp_path_factory.mktemp("twenty")
    export_table(ensure_dataset(NAME), folder / "own.parquet")
    import_table(folder / "own.parquet", OWN, options=ImportOptions(validation_share=0.5), force=True)
    return folder


@pytest.mark.long
@pytest.mark.parametrize("told", ["simulated", "own"])
def test_a_sweep_says_so_and_its_report_is_written(told, twenty, tmp_path, capsys):
    dataset = [NAME, "--validation", VALIDATION, "--eval-members", "20"] if told == "simulated" else [OWN]
    asked = ["--algo", "factored_awr", "--steps", "2", "--jobs", "1", "--ope", "--out", str(tmp_path / "results")]
    run.main(["--dataset", *dataset, *asked, *(["--response", "none"] if told == "own" else [])])
    report.main([str(tmp_path / "results"), "-o", str(tmp_path / "report.html")])
    card = json.loads((tmp_path / "results" / "scorecard.json").read_text())
    assert card["ope"]
    assert all(entry["sentence"].startswith(("No headline", "No estimate")) for entry in card["ope"])
    assert all(entry["sentence"].startswith("Not audited: ") for entry in card["fairness"])
    page, said = (tmp_path / "report.html").read_text(), capsys.readouterr().out
    assert "Traceback" not in page + said
    assert said.count("Not audited: ") == len({entry["sentence"] for entry in card["fairness"]})
    model = next((tmp_path / "results").glob("factored_awr*.d3"))
    for name in (VALIDATION, NAME) if told == "simulated" else (OWN,):
        if told == "own":
            with pytest.raises(UserError, match=r"fewer than 10 attempts|two groups of at least|at least \d+ members"):
                audit_fairness(model, name, tmp_path / "audit")
            continue
        found = evaluate_policy(model, name, tmp_path / "evaluation")
        assert found.value is not None
        assert found.value.sentence.startswith(("No headline", "No estimate"))
        assert found.sensitivity is None
        for policy in (model, None):
            with pytest.raises(UserError, match="two groups of at least 30 members"):
                audit_fairness(policy, name, tmp_path / "audit")


@pytest.mark.parametrize("name", [NAME, OWN])
@pytest.mark.parametrize("propensities", ["logged", "estimated"])
def test_evaluation_in_python_says_so(name, propensities, twenty):
    episodes = load_with_parts(ensure_dataset(name))
    valid = episodes.action_space.valid
    uniform = (valid / valid.sum()).astype(np.float32)

    def target(observations):
        return np.tile(uniform, (len(observations), 1))

    found = evaluate(episodes, target, rng=np.random.default_rng(0), propensities=propensities)
    assert found.headline is None or not found.told
    assert found.sentence.startswith(("No headline", "No estimate"))
    moved = sensitivity(episodes, target, rng=np.random.default_rng(0), propensities=propensities)
    assert moved.sentence

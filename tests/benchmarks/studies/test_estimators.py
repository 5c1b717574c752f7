import json

import numpy as np
import pytest

from benchmarks.studies import estimators as ope
from benchmarks.studies.estimator_report import Study, regret, spearman
from benchmarks.studies.known_policies import policy_truth
from benchmarks.studies.known_policies.policy_set import Drawn, blend, linear, nothing, over, policy_set, uniform
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.errors import UserError
from frl_env.search.policy_search import best_observation_only
from frl_env.simulator.state import observation_names
from frl_env.worlds import BASE, LADDER

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = ["--datasets", "small-v0", "--replicates", "2", "--members", "100", "--truth-members", "200", "--steps", "2"]


@pytest.fixture(scope="module")
def few_policies():
    """One learned policy and three others, to be quick."""
    with pytest.MonkeyPatch.context() as patch:
        small = policy_truth.MODELS["cloned"] | {"hidden_size": 8}
        patch.setattr(policy_truth, "MODELS", {"cloned": small})
        patch.setattr(policy_truth, "LEARNED", {"cloned": ("cloned", None)})
        keep = ("no_program", "random", "best_observation_only")
        patch.setattr(
            policy_truth,
            "policy_set",
            lambda world, learned: {key: policy_set(world, {})[key] for key in keep} | learned,
        )
        yield


@pytest.fixture(scope="module")
def out(tmp_path_factory, few_policies):
    folder = tmp_path_factory.mktemp("ope")
    ope.main([*SMALL, "--out", str(folder)])
    return folder


def test_every_estimator_values_every_policy(out):
    summary = json.loads((out / "summary.json").read_text())["small-v0"]
    assert summary["replicates"] == 2
    assert len(summary["truth"]) == 5
    assert {"SNM", "FQE", "WDR", "MDR", "PDIS", "WIS", "DM"} <= set(summary["estimators"])
    for row in summary["estimators"].values():
        assert 0 <= row["covers_value"] <= 1
        assert -1 <= row["spearman"] <= 1
        assert 0 <= row["regret_3"] <= row["regret_1"]
        assert row["seconds"] > 0
    assert summary["by_policy"]["random"]["withheld"] == 1.0  # most joint actions were never seen
    assert summary["by_policy"]["random"]["covers_told"] is None
    assert summary["estimators"]["PDIS"]["withheld"] is None
    for row in summary["by_policy"].values():
        assert row["se"] > 0
        assert row["told"] == 2 * (1 - row["withheld"])
        if row["told"]:  # two replicates leave much open
            assert row["covers_low"] <= row["covers_told"] <= row["covers_high"]
            assert row["covers_high"] - row["covers_low"] > 0.5
        else:
            assert row["covers_told"] is row["covers_low"] is row["covers_high"] is None
    assert (out / "ope.png").stat().st_size > 10_000


@pytest.mark.long
def test_a_stopped_run_goes_on_where_it_was(out):
    kept = {file: file.stat().st_mtime_ns for file in (*out.glob("small-v0-*.json"), *out.glob("*.safetensors"))}
    assert len(kept) == 2 + 5 + 1
    (lost,) = out.glob("small-v0-replicate-0001-*.json")
    before = json.loads(lost.read_text())["run"]
    lost.unlink()
    ope.main([*SMALL, "--out", str(out)])
    again = json.loads(lost.read_text())["run"]
    assert again["no_program"]["SNM"]["value"] == before["no_program"]["SNM"]["value"]
    del kept[lost]
    assert {file: file.stat().st_mtime_ns for file in kept} == kept


def test_mistakes_are_said(tmp_path):
    for arguments, words in (
        (["--datasets", "w0"], "unknown dataset"),
        (["--members", "3"], "--members must be at least 50"),
        (["--report"], "nothing was measured of v0 in"),
    ):
        with pytest.raises(UserError, match=words):
            ope.main([*arguments, "--out", str(tmp_path)])


@pytest.mark.parametrize("world", [BASE, LADDER["frl/MedicaidCareScreened-v0"]])
def test_policies_have_exact_probabilities(world, tiny_buffer):
    width = len(observation_names(**world.seen))
    observations = np.zeros((300, width), dtype=np.float32)
    observations[:, :7] = tiny_buffer.observations[:300]
    policies = policy_set(world, {})
    assert len(policies) >= 11
    for name, policy in policies.items():
        probabilities = policy(observations)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5, err_msg=name)
        assert (probabilities >= 0).all()
        assert (probabilities[:, ~MEDICAID_ACTIONS.valid] == 0).all(), name


def test_a_linear_policy_draws_as_its_probabilities_say(tiny_buffer):
    """Its own draws and those from its probabilities have the same marginals."""
    found = best_observation_only(BASE)
    assert found is not None
    observations = np.repeat(tiny_buffer.observations[:5], 20_000, axis=0)
    rng = np.random.default_rng(0)
    theirs, ours = found.decide(observations, rng), Drawn(linear(found))(observations, rng)
    for factor, size in enumerate(MEDICAID_ACTIONS.nvec):
        shares = [np.bincount(levels[:, factor], minlength=size) / len(levels) for levels in (theirs, ours)]
        np.testing.assert_allclose(*shares, atol=0.006)


def test_blends_and_channels(observations):
    half = blend(uniform, nothing, 0.5)(observations)
    np.testing.assert_allclose(half, (uniform(observations) + nothing(observations)) / 2)
    called = over("PHONE_CALL", uniform)(observations).reshape(len(observations), 6, -1)
    np.testing.assert_allclose(called[:, 1].sum(axis=1), 680 / 681, rtol=1e-5)
    assert (called[:, 2:] == 0).all()


def test_ranking_and_regret():
    truth = np.asarray([1.0, 2.0, 3.0, 4.0])
    assert spearman(truth, truth) == pytest.approx(1)
    assert spearman(-truth, truth) == pytest.approx(-1)
    assert spearman(np.ones(4), truth) == 0
    estimates = np.asarray([0.0, 9.0, 8.0, 7.0])
    assert [regret(estimates, truth, k) for k in (1, 2, 3)] == [2.0, 1.0, 0.0]


def test_the_table_of_known_errors():
    """An estimator that is always 0.1 too high, with intervals of half width 0.2, and covers the truth."""
    truth = {"a": 1.0, "b": 2.0, "behaviour": 1.5}

    def row(value, error):
        return {
            "value": value + error,
            "low": value + error - 0.2,
            "high": value + error + 0.2,
            "difference": value + error - 1.5,
            "difference_low": value - 1.5 + error - 0.05,
            "difference_high": value - 1.5 + error + 0.05,
            "seconds": 2.0,
        }

    study = Study(
        truth={name: {"value": value, "standard_error": 0.0} for name, value in truth.items()},
        replicates=[{name: {"E": row(truth[name], 0.1)} for name in ("a", "b")}] * 3,
    )
    found = study.table().loc["E"]
    expected = {"bias": 0.1, "rmse": 0.1, "covers_value": 1, "covers_difference": 0, "spearman": 1, "regret_1": 0}
    for column, value in expected.items():
        assert found[column] == pytest.approx(value), column
    assert study.policies == ["a", "b"]
    own = study.by_policy("E").loc["a"]
    wanted = {"true": -0.5, "mean": -0.4, "sd": 0, "se": 0.05 / 1.96, "covers": 0}
    for column, value in wanted.items():
        assert own[column] == pytest.approx(value, abs=1e-4), column

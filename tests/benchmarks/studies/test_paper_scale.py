"""The published run in small: stopped and taken up again it ends with the same policy."""

import json

import pytest

from benchmarks.studies import paper_scale
from frl_env.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")

FEW = ["--dataset", "tests/tiny-v0", "--batch-size", "64", "--eval-members", "40", "--threads", "1"]


@pytest.mark.long
def test_a_stopped_run_goes_on_to_the_same_policy(tiny_dataset, tmp_path, monkeypatch, capsys):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    paper_scale.main([*FEW, "--epochs", "3", "--out", str(whole)])
    assert "true value, stochastic" in capsys.readouterr().out

    done = 0
    update = paper_scale.FactoredAWR.update

    def stopping(self, batch):
        nonlocal done
        done += 1
        if done > 15:
            raise KeyboardInterrupt
        return update(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(paper_scale.FactoredAWR, "update", stopping)
        with pytest.raises(KeyboardInterrupt):
            paper_scale.main([*FEW, "--epochs", "3", "--out", str(parts)])
    assert not (parts / "summary.json").exists()
    paper_scale.main([*FEW, "--epochs", "3", "--out", str(parts)])
    assert (parts / "factored_awr.safetensors").read_bytes() == (whole / "factored_awr.safetensors").read_bytes()

    facts = [json.loads((folder / "summary.json").read_text()) for folder in (whole, parts)]
    per_epoch = -(-facts[0]["rows"] // 64)
    assert 10 <= per_epoch < 15, "else the stop is not inside the second epoch"
    for fact in facts:
        assert fact["updates"] == 3 * per_epoch
        assert fact["samples_per_s"] == pytest.approx(64 * fact["updates"] / fact["training_s"])
        assert len(fact["losses"]) == 3
        assert fact["losses"][2] < fact["losses"][0]
    assert facts[0]["losses"] == facts[1]["losses"]
    assert facts[0]["values"] == facts[1]["values"]


@pytest.mark.long
def test_other_settings_are_another_training(tiny_dataset, tmp_path):
    paper_scale.main([*FEW, "--epochs", "1", "--out", str(tmp_path)])
    paper_scale.main([*FEW, "--epochs", "1", "--seed", "1", "--out", str(tmp_path)])
    paper_scale.main([*FEW, "--epochs", "1", "--algo", "seed_awr", "--out", str(tmp_path)])
    assert len(list(tmp_path.glob("factored_awr-*.pt"))) == 2
    assert len(list(tmp_path.glob("seed_awr-*.pt"))) == 1
    damaged = next(tmp_path.glob("seed_awr-*.pt"))
    damaged.write_bytes(damaged.read_bytes()[:100])
    with pytest.raises(UserError, match="is damaged"):
        paper_scale.main([*FEW, "--epochs", "2", "--algo", "seed_awr", "--out", str(tmp_path)])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--epochs", "0"], "epochs"),
        (["--dataset", "frl/medicaid-synthetic-larg-v0"], "did you mean"),
        (["--algo", "sac"], "invalid choice"),
    ],
)
def test_mistakes_are_said_before_any_work(options, said, tmp_path, capsys):
    with pytest.raises((UserError, SystemExit)) as problem:
        paper_scale.main([*FEW, *options, "--out", str(tmp_path)])
    assert said in str(problem.value) + capsys.readouterr().err

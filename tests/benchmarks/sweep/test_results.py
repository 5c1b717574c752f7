"""The folder of a sweep: what is there is taken only where it is what the run wrote, and another run's never."""

import hashlib
import json

import pytest

from benchmarks import run
from benchmarks.docs_pages import leaderboard
from benchmarks.sweep import jobs
from benchmarks.sweep.results import Results
from benchmarks.sweep.runs import Outcome
from frl_env.errors import UserError

TINY = ["--dataset", "tests/tiny-v0", "--steps", "4", "--eval-members", "60"]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.long
def test_runs_of_earlier_code_are_taken_only_when_asked_for_and_said(tiny_dataset, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    arguments = [*TINY, "--algo", "discrete_bc,seed_awr", "--jobs", "1", "--out", str(out)]

    def swept(*more: str) -> dict[str, str]:
        """The code of each algorithm's run on the scorecard."""
        run.main([*arguments, *more])
        return {row["algo"]: row["code"] for row in json.loads((out / "scorecard.json").read_text())["runs"]}

    for code in ("one", "two"):
        monkeypatch.setattr(jobs, "code_hash", lambda *_, code=code: code)
        assert swept() == {"discrete_bc": code, "seed_awr": code}
    monkeypatch.setattr(jobs, "code_hash", lambda *_: "three")
    capsys.readouterr()
    assert swept("--older", "discrete_bc") == {"discrete_bc": "two", "seed_awr": "three"}
    assert "trained by earlier code than this (--older): discrete_bc\n" in capsys.readouterr().out
    leaderboard.main([str(out), "-o", str(tmp_path / "page.md")])
    page = (tmp_path / "page.md").read_text()
    assert page.count("(stock, beta 0) †") == 2, "drawn from, and greedy"
    assert page.count("published †") == 0
    assert "--older discrete_bc" in page
    with pytest.raises(UserError, match="--older names 'cql', which is not among the algorithms"):
        run.main([*arguments, "--older", "cql"])
    (out / "discrete_bc-seed0.d3").write_bytes(b"another run's")
    assert swept("--older", "discrete_bc") == {"discrete_bc": "three", "seed_awr": "three"}, (
        "what is trained anew is not called older"
    )


@pytest.mark.long
def test_a_model_beside_the_scorecard_is_the_scorecards_own(tiny_dataset, tmp_path, capsys):
    model = tmp_path / "factored_awr-seed0.d3"

    def trained(steps: int) -> str:
        run.main([*TINY, "--algo", "factored_awr", "--steps", str(steps), "--jobs", "1", "--out", str(tmp_path)])
        return hashlib.sha256(model.read_bytes()).hexdigest()

    first = trained(2)
    assert trained(2) == first
    assert "runs were there from before" in capsys.readouterr().out
    assert trained(3) != first
    assert trained(2) == first, "the other run's model is not taken for its own"
    model.unlink()
    run.main([*TINY, "--algo", "factored_awr", "--steps", "2", "--jobs", "1", "--out", str(tmp_path)])
    assert not model.exists(), "one that was taken away is not missed"


def test_a_model_has_its_checksum_beside_it_and_a_changed_one_is_not_used(tmp_path):
    base = dict(algo="cql", dataset="d", seed=0, steps=3, eval_members=9, settings="{}", code="c", data="x")
    job, results = jobs.Job(**base), Results(tmp_path)
    results.add(Outcome(job=job, facts={}, summaries={}, values={}, model=b"weights"))
    assert (tmp_path / f"{job.model}.sha256").read_text().split() == [hashlib.sha256(b"weights").hexdigest(), job.model]
    assert results.model(job).read_bytes() == b"weights"
    (tmp_path / job.model).write_bytes(b"Weights")
    with pytest.raises(UserError, match="is missing or not what its run wrote"):
        results.model(job)


def test_one_sweep_a_folder_and_damage_is_said(tiny_dataset, tmp_path):
    run.main([*TINY, "--algo", "behaviour", "--jobs", "1", "--out", str(tmp_path)])
    with Results(tmp_path).lock(), pytest.raises(UserError, match="another sweep is writing"):
        run.main([*TINY, "--algo", "behaviour", "--jobs", "1", "--out", str(tmp_path)])
    values = next((tmp_path / "runs").glob("*.npz"))
    facts = values.with_suffix(".json")
    digit = next(letter for letter in facts.read_text().partition('"value": ')[2] if letter.isdigit() and letter != "0")
    whole = facts.read_text()
    head, mark, rest = whole.partition('"value": ')
    flipped = head + mark + rest.replace(digit, str((int(digit) + 1) % 10), 1)
    for file, content in ((values, values.read_bytes()[:40]), (values, b""), (facts, flipped.encode()), (facts, b"[]")):
        before = file.read_bytes()
        file.write_bytes(content)
        with pytest.raises(UserError, match="is damaged"):
            run.main([*TINY, "--algo", "behaviour", "--jobs", "1", "--out", str(tmp_path)])
        file.write_bytes(before)

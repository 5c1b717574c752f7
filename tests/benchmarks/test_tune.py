"""Settings are chosen by what other logged members say, and the benchmark then uses them."""

import json

import pytest

from benchmarks import tune
from benchmarks.docs_pages import leaderboard_page
from benchmarks.training import algorithms
from frl_env.datasets import build_dataset
from frl_env.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def others(tiny_recipe):
    import dataclasses

    made = dataclasses.replace(tiny_recipe, dataset_id="tests/others-v0", seed=4, members=300, horizon=26)
    return build_dataset(made).spec.dataset_id


@pytest.fixture
def written(tiny_dataset, others, tmp_path, monkeypatch):
    few = {"discrete_bc": ({}, {"learning_rate": 1e-6}), "seed_awr": ({}, {"temperature": 0.1})}
    monkeypatch.setattr(tune, "CANDIDATES", few)
    file = tmp_path / "tuned.json"
    arguments = ["--dataset", "tests/tiny-v0", "--validation", others, "--steps", "40", "--seeds", "2", "--jobs", "1"]
    arguments += ["--out", str(tmp_path / "candidates"), "--write", str(file)]
    tune.main(arguments)
    monkeypatch.setattr(algorithms, "TUNED", file)
    algorithms._tuned.cache_clear()
    yield arguments, file
    algorithms._tuned.cache_clear()


@pytest.mark.long
def test_the_rule_decides_and_everything_tried_is_said(written, tiny_buffer, monkeypatch):
    arguments, file = written
    content = json.loads(file.read_text())
    assert list(content["algorithms"]) == ["discrete_bc", "seed_awr"]
    for name, entry in content["algorithms"].items():
        assert [tried["settings"] for tried in entry["tried"]] == list(tune.CANDIDATES[name])
        assert entry["chosen"] == tune.one_standard_error(entry["tried"])
        assert {tried["policies"] for tried in entry["tried"]} == {2}
        assert algorithms.tried(name) == 4
        assert all(tried["standard_error"] > 0 for tried in entry["tried"])
        assert algorithms.tuned(name) == entry["chosen"]
    estimates = [tried["estimate"] for tried in content["algorithms"]["discrete_bc"]["tried"]]
    assert estimates[0] != estimates[1]
    page = "\n".join(leaderboard_page.tuning())
    assert "learning_rate 1e-06" in page
    assert content["command"] in page.replace("\\\n    ", "")
    # Again: nothing is trained twice, and the same comes out.
    monkeypatch.setattr("benchmarks.sweep.runs.run", None)
    tune.main(arguments)
    assert json.loads(file.read_text()) == content


def test_settings_that_were_chosen_in_another_way_are_not_mixed(tiny_dataset, tmp_path, monkeypatch):
    """The file tells one rule and one command, which would be untrue of the settings that it keeps."""
    monkeypatch.setattr(tune, "CANDIDATES", {"discrete_bc": ({},), "seed_awr": ({},)})
    monkeypatch.setattr(tune, "plan_settings", lambda chosen_from, *_, **__: list(chosen_from))
    monkeypatch.setattr(tune, "check_partners", lambda *_: None)
    monkeypatch.setattr(tune, "run_all", lambda *_, **__: [])
    monkeypatch.setattr(tune, "choose", lambda jobs, *_: {name: {"tried": [], "chosen": {}} for name in jobs})
    file = tmp_path / "tuned.json"
    arguments = ["--dataset", "tests/tiny-v0", "--validation", "tests/tiny-v0", "--steps", "40"]
    arguments += ["--out", str(tmp_path / "candidates"), "--write", str(file)]
    tune.main(arguments)
    before = file.read_bytes()
    one = [*arguments, "--algo", "discrete_bc"]
    for other in (["--steps", "41"], ["--response", "num_calls_last_week"]):
        with pytest.raises(UserError, match=r"chosen in another way, by python .* --steps 40 --seeds 2"):
            tune.main([*one, *other])
    assert file.read_bytes() == before
    tune.main(one)  # in the same way
    assert file.read_bytes() == before
    tune.main([*arguments, "--steps", "41", "--response", "num_calls_last_week"])  # all of them
    content = json.loads(file.read_text())
    assert content["command"].endswith("--steps 41 --seeds 2 --response num_calls_last_week")


def test_what_can_not_be_told_apart_is_decided_by_the_order():
    def tried(*estimates):
        return [{"settings": {"n": n}, "estimate": e, "standard_error": 0.01} for n, e in enumerate(estimates)]

    assert tune.one_standard_error(tried(0.021, 0.020, 0.0301)) == {"n": 0}
    assert tune.one_standard_error(tried(0.020, 0.021, 0.0301)) == {"n": 1}
    assert tune.one_standard_error(tried(0.0, 0.019, 0.030)) == {"n": 2}


def test_every_algorithm_has_as_many_candidates_and_each_can_be_made(tiny_buffer):
    assert set(tune.CANDIDATES) == set(algorithms.ALGORITHMS) - set(algorithms.PEERS) - set(algorithms.TUNED_AS)
    assert {len(each) for each in tune.CANDIDATES.values()} == {6}
    for name, each in tune.CANDIDATES.items():
        assert each[0] == {}
        for settings in each:
            made = algorithms.create(name, ("num_encounters_last_week",), tiny_buffer.action_space, settings)
            config = getattr(made, "algorithm", made).config
            for key, value in settings.items():
                own = {"learning_rate": ("learning_rate", "actor_learning_rate")}.get(key, (key,))
                assert value in [getattr(config, field, None) for field in own]


def test_a_name_that_is_not_tuned_is_said():
    with pytest.raises(UserError, match="unknown algorithm 'bcc'; did you mean"):
        tune.main(["--algo", "bcc"])

"""Of data that are not of care, a sweep says nothing about columns of care, a care team or its minutes."""

import json

import gymnasium
import minari
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer

from benchmarks import report, run
from benchmarks.training.column_roles import told
from frl_env.actions import ActionSpace, Factor

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore::UserWarning")]

OF_CARE = ("care team", "member answered", "Staff minutes are not known", "need is said by", "[effort", "the import")
DRUGS = ActionSpace(
    factors=(Factor(name="drug", levels=("NONE", "A")), Factor(name="dose", levels=("NONE", "LOW", "HIGH"))),
    contact_factors=("drug", "dose"),
)


@pytest.fixture
def pumps(empty_store):
    """A plain factored dataset, and other episodes to value policies by."""
    rng = np.random.default_rng(0)
    for name in ("me/pumps-v0", "me/pumps-validation-v0"):
        episodes = [
            EpisodeBuffer(
                id=i, observations=rng.normal(size=(13, 3)).astype(np.float32),
                actions=rng.integers((2, 3), size=(12, 2)), rewards=rng.normal(size=12).tolist(),
                terminations=[False] * 12, truncations=[False] * 11 + [True], infos={},
            )
            for i in range(60)
        ]  # fmt: skip
        made = minari.create_dataset_from_buffers(
            name, episodes, action_space=gymnasium.spaces.MultiDiscrete([2, 3]),
            observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32),
        )  # fmt: skip
        made.storage.update_metadata({"frl_observation_names": ["level", "flow", "heat"]})


def test_a_plain_factored_dataset_has_no_columns_of_care_and_no_staff(pumps, tmp_path, capsys):
    few = ["--dataset", "me/pumps-v0", "--algo", "discrete_bc", "--steps", "5", "--jobs", "1"]
    run.main([*few, "--out", str(tmp_path / "plain")])
    shown = " ".join(capsys.readouterr().out.split())
    assert not [words for words in OF_CARE if words in shown]
    assert "assumed of the columns (options say otherwise): nothing" in shown
    assert "FactoredAWR acts in" not in shown, "where every action does something it can't leave it"
    assert "In 100.0 % of the logged steps something was done." in shown
    report.main([str(tmp_path / "plain"), "-o", str(tmp_path / "report.html")])
    page = (tmp_path / "report.md").read_text()
    assert "Nothing was assumed of the columns" in page
    assert "the map of the import has no `[effort]`" not in page
    card = json.loads((tmp_path / "plain" / "scorecard.json").read_text())
    assert card["told"]["rows"] == []


def test_how_often_it_acts_is_said_where_an_action_does_nothing(capsys):
    run.show_told(told(("level", "flow"), DRUGS), None, has_null=True)
    assert "share of steps that FactoredAWR acts in: as often as responses are most frequent, or as the log" in (
        capsys.readouterr().out
    )


def test_one_usual_name_or_what_the_dataset_says_makes_them_data_of_care():
    assert not told(("level", "flow"), DRUGS).of_care
    by_option = told(("level", "flow"), DRUGS, said={"response": "flow"})
    assert not by_option.of_care
    assert by_option.lines() == ["a member's answer shows in: flow (option --response)"]
    assert told(("level", "total_paid"), DRUGS).of_care
    assert told(("level", "flow"), DRUGS, kept={"response": ""}).of_care

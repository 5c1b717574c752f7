"""What no policy can be valued on is refused before anything is trained."""

import dataclasses
import json

import pandas as pd
import pytest

from benchmarks import run, tune
from frl_env.actions import MEDICAID_ACTIONS, ActionSpace
from frl_env.datasets import ColumnMap, build_dataset, ensure_dataset, export_table, import_table
from frl_env.errors import UserError
from frl_env.evaluation import load_episodes
from frl_env.parameters import MEASURES

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def few(tiny_recipe, tmp_path_factory):
    """Four members to value on, and one."""
    folder = tmp_path_factory.mktemp("few")
    made = build_dataset(dataclasses.replace(tiny_recipe, dataset_id="tests/four-v0", seed=8, members=4))
    export_table(made, folder / "four.parquet")
    rows = pd.read_parquet(folder / "four.parquet")
    rows[rows["member_id"] == rows["member_id"][0]].to_parquet(folder / "alone.parquet", index=False)
    import_table(folder / "alone.parquet", "tests/own-alone-v0")
    return made.spec.dataset_id


@pytest.fixture(scope="module")
def table(tiny_recipe, tmp_path_factory):
    """Members enough to value on."""
    file = tmp_path_factory.mktemp("others") / "table.parquet"
    recipe = dataclasses.replace(tiny_recipe, dataset_id="tests/sixty-v0", seed=9, members=60)
    export_table(build_dataset(recipe), file)
    return file


@pytest.mark.parametrize("told", [["--response", "none"], []])
@pytest.mark.parametrize("program", [run, tune])
def test_too_few_members_to_value_on(program, told, tiny_dataset, few, tmp_path, monkeypatch):
    monkeypatch.setattr(program, "run_all", lambda *args, **kwargs: pytest.fail("trained"))
    if program is tune:
        monkeypatch.setattr(tune, "CANDIDATES", {"discrete_bc": ({},)})
        told = [*told, "--write", str(tmp_path / "tuned.json")]
    with pytest.raises(UserError, match=r"can't be valued on 'tests/four-v0': 5 folds need as many members at least"):
        program.main(["--dataset", "tests/tiny-v0", "--validation", few, "--out", str(tmp_path / "out"), *told])
    assert not (tmp_path / "out").exists()


def _reordered_actions():
    """The second and third provider in each other's place."""
    said = json.loads(MEDICAID_ACTIONS.to_json())
    levels = next(factor for factor in said["factors"] if factor["name"] == "provider")["levels"]
    levels[1], levels[2] = levels[2], levels[1]
    return ActionSpace.from_json(json.dumps(said))


@pytest.mark.parametrize(
    ("of", "message"),
    [
        ({"states": MEASURES[::-1]}, f"number 1 is {MEASURES[0]} there and {MEASURES[-1]} here"),
        (
            {"actions": _reordered_actions()},
            r"other actions \(provider: ..., CHW, .* the data have \(provider: ..., CARE_",
        ),
    ],
)
@pytest.mark.parametrize("program", [run, tune])
def test_members_of_other_columns_to_value_on(program, of, message, table, tiny_dataset, tmp_path, monkeypatch):
    """The same columns in another order are as many, and values would be of other numbers."""
    monkeypatch.setattr(program, "run_all", lambda *args, **kwargs: pytest.fail("trained"))
    import_table(table, "tests/own-order-v0", columns=ColumnMap(**of), force=True)
    options = ["--dataset", "tests/tiny-v0", "--validation", "tests/own-order-v0", "--out", str(tmp_path / "out")]
    if program is tune:
        monkeypatch.setattr(tune, "CANDIDATES", {"discrete_bc": ({},)})
        options += ["--write", str(tmp_path / "tuned.json")]
    with pytest.raises(
        UserError, match=f"can't be valued on 'tests/own-order-v0': a policy of tests/tiny-v0 .*{message}"
    ):
        program.main(options)
    assert not (tmp_path / "out").exists()


def test_an_import_of_one_member_is_read(few):
    assert len(load_episodes(ensure_dataset("tests/own-alone-v0"))) == 1

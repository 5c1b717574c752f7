"""What no policy can be valued on is refused before anything is trained."""

import dataclasses

import pandas as pd
import pytest

from benchmarks import run, tune
from frl_env.datasets import build_dataset, ensure_dataset, export_table, import_table
from frl_env.errors import UserError
from frl_env.evaluation import load_episodes

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


def test_an_import_of_one_member_is_read(few):
    assert len(load_episodes(ensure_dataset("tests/own-alone-v0"))) == 1

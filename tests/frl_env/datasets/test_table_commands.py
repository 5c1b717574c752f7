"""`frl import`, `frl export`, `frl load` as people type them."""

import re
import subprocess
import sys

import minari
import pandas as pd
import pyarrow.parquet as pq
import pytest

from frl_env import cli
from frl_env.datasets import Recipe, build_dataset, store
from frl_env.datasets.table_import import ColumnMap, export_table, import_table

SECRET = "Zebulon"


@pytest.fixture
def frl(empty_store, monkeypatch, capsys):
    """Runs a command; gives exit status, standard output and standard error."""

    def run(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["frl", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        screen = capsys.readouterr()
        return int(ended.value.code or 0), screen.out, screen.err

    return run


def test_import_says_what_became_of_the_rows(frl, table, tmp_path):
    table["total_paid"] = table["total_paid"].where(table.index != 3, -5)
    table.rename(columns={"week": "wk"}).to_csv(tmp_path / "t.csv", index=False)
    status, out, _ = frl("import", tmp_path / "t.csv", "--id", "my/own-v0", "--column", "week=wk", "--on-error", "clip")
    assert status == 0
    assert "imported my/own-v0: 30 members," in out
    assert "weekly reward column: the table has it" in out
    assert f"{len(table)} read, 0 left out, 1 clipped" in out
    assert "total_paid" in out
    assert "clipped" in out
    status, out, _ = frl("list")
    assert "imported" in out
    status, out, _ = frl("load", "my/own-v0")
    assert status == 0
    assert "30 members, about 340 steps in a few more episodes" in out, "one was cut where a number was clipped"
    assert "checksums: as written" in out
    assert f"path: {minari.load_dataset('my/own-v0').spec.data_path}" in out
    assert frl("export", "my/own-v0", tmp_path / "out.parquet")[0] == 0
    assert len(pd.read_parquet(tmp_path / "out.parquet")) == len(table)
    assert frl("delete", "my/own-v0", "--yes")[0] == 0
    assert minari.list_local_datasets() == {}


@pytest.mark.parametrize("command", ["import", "show", "load"])
def test_a_part_of_few_people_is_not_counted_by_spells_or_weeks(frl, table, tmp_path, command):
    """Where one part has 1 to 10 of the members, the spells and weeks of either tell how many."""
    table.to_parquet(tmp_path / "t.parquet")
    _, out, _ = frl("import", tmp_path / "t.parquet", "--id", "my/own-v0", "--validation-share", "0.2")
    out = "\n".join(line for line in out.splitlines() if line.startswith("imported"))
    for name in ("my/own-v0", "my/own-validation-v0"):
        kept = minari.load_dataset(name)
        if command != "import":
            _, out, _ = frl(command, name)
            assert "fewer than 11 members" in out
        for number in (kept.total_episodes, kept.total_steps):
            assert not re.search(rf"(?<![\w.-]){number}(?![\w.-])", out), out


@pytest.mark.parametrize("how", ["flags", "map"])
def test_flags_and_maps_leave_what_a_table_says_of_itself(how, frl, table, tmp_path):
    columns = ColumnMap(
        said={"response": "num_calls_last_week"}, effort={"modality": {"PHONE_CALL": 15}},
        limits={"total_paid": (0, 5e6)}, definitions={"num_calls_last_week": "answered; count; 7 days"},
    )  # fmt: skip
    table.to_parquet(tmp_path / "t.parquet")
    dataset = import_table(tmp_path / "t.parquet", "my/own-v0", columns=columns).load()
    export_table(dataset, tmp_path / "again.parquet")
    again = pq.read_table(tmp_path / "again.parquet")
    renamed = again.rename_columns(["wk" if name == "week" else name for name in again.column_names])
    pq.write_table(renamed.replace_schema_metadata(again.schema.metadata), tmp_path / "again.parquet")
    (tmp_path / "map.toml").write_text('ignore = ["gender"]\n[columns]\nweek = "wk"')
    flags = ("--map", tmp_path / "map.toml") if how == "map" else ("--column", "week=wk", "--ignore", "gender")
    assert frl("import", tmp_path / "again.parquet", "--id", "my/again-v0", *flags)[0] == 0
    one, two = (minari.load_dataset(each).storage.metadata for each in ("my/own-v0", "my/again-v0"))
    assert two["frl_effort"] == one["frl_effort"]
    told, meant = (each["frl_meaning"] for each in (two, one))
    assert told.pop("definitions").items() >= meant.pop("definitions").items()
    assert told == meant
    assert two["frl_import"]["limits"] == one["frl_import"]["limits"]
    assert "gender" not in two["frl_vocabularies"]


def test_show_counts_members_not_spells(frl, table, tmp_path):
    """Two members with weeks missing: 30 members in a few more spells, of which no command tells the number."""
    members = sorted(table["member_id"].unique())[:2]
    table = table[~(table["member_id"].isin(members) & (table["week"] == table["week"].min() + 4))]
    table.to_parquet(tmp_path / "t.parquet")
    assert frl("import", tmp_path / "t.parquet", "--id", "my/own-v0", "--on-error", "drop")[0] == 0
    kept = minari.load_dataset("my/own-v0")
    assert kept.total_episodes > 30
    for command in ("show", "load"):
        _, out, _ = frl(command, "my/own-v0")
        assert f"30 members, about {20 * round(kept.total_steps / 20):,} steps in a few more episodes" in out
        assert not re.search(rf"(members|Episodes)\W+{kept.total_episodes}\W", out)


def test_no_two_commands_tell_of_few_by_a_difference(frl, plain_table, tmp_path):
    """Three members of a single week, and two who died: neither follows from spells, weeks, episodes and steps."""
    last = plain_table["week"] == plain_table.groupby("member_id")["week"].transform("max")
    single = plain_table["member_id"].isin([1000, 1001, 1002]) & (plain_table["week"] > 0)
    gap = plain_table["member_id"].between(1005, 1020) & (plain_table["week"] == 4)
    table = plain_table.assign(terminated=last & plain_table["member_id"].isin([1007, 1009]))[~(single | gap)]
    table.to_parquet(tmp_path / "t.parquet")
    flags = (tmp_path / "t.parquet", "--id", "my/own-v0", "--on-error", "drop")
    printed = [frl("import", *flags, "--check"), frl("import", *flags)]
    kept = minari.load_dataset("my/own-v0")
    printed += [frl("show", "my/own-v0"), frl("load", "my/own-v0"), frl("export", "my/own-v0", tmp_path / "x.parquet")]
    assert {status for status, *_ in printed} == {0}
    episodes, steps = kept.total_episodes, kept.total_steps
    runs = len(table) - steps + 2
    assert runs - episodes == 3
    for text in ("".join((out, err)) for _, out, err in printed):
        for number in (episodes, steps, runs):
            assert not re.search(rf"(?<![\w.,/-]){number}(?![\w.,-])", text), text
    assert f"{len(table)} read, 0 left out" in printed[0][1]


def test_members_of_two_datasets_and_of_the_table_tell_of_nobody_without_a_step(frl, plain_table, tmp_path):
    """Members of training and validation and three of a single week make up all, so that one number is not exact."""
    several = [plain_table.assign(member_id=plain_table["member_id"] + 1_000 * i) for i in range(3)]
    table = pd.concat(several)
    single = table["member_id"].isin([1000, 2001, 3002]) & (table["week"] > 0)
    table[~single].to_parquet(tmp_path / "t.parquet")
    _, out, _ = frl("import", tmp_path / "t.parquet", "--id", "my/own-v0", "--validation-share", "0.5")
    train, held = (
        minari.load_dataset(name).storage.metadata["frl_import"] for name in ("my/own-v0", "my/own-validation-v0")
    )
    assert isinstance(train["members"], int)
    assert held["members"] == f"about {20 * round((87 - train['members']) / 20)}"
    assert f"imported my/own-validation-v0: {held['members']} members\n" in out


def test_problems_are_a_table_and_a_line(frl, table, tmp_path, empty_store):
    table["member_id"] = [f"{SECRET}{i}" for i in table["member_id"]]
    table["action_goal"] = table["action_goal"].where(table.index != 3, SECRET)
    table["reward"] = table["reward"].where(table.index != 5, 918273.5)
    table.to_parquet(tmp_path / "t.parquet")
    status, out, err = frl("import", tmp_path / "t.parquet", "--id", "my/own-v0")
    assert status == 2
    assert f"error: {tmp_path / 't.parquet'} has 2 problems; nothing was written" in err
    for word in ("action_goal", "unknown level", "reward", "out of range", "-28..0", "[limits]", "--on-error"):
        assert word in err
    assert SECRET not in out + err
    assert "918273" not in out + err
    assert not (empty_store / "my/own-v0").exists()
    status, out, _ = frl("import", tmp_path / "t.parquet", "--id", "my/own-v0", "--on-error", "drop", "--check")
    assert status == 0
    assert "nothing was written" in out
    assert not (empty_store / "my/own-v0").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--column", "week"), "--column takes NAME=COLUMN"),
        (("--column", "weak=wk"), "unknown column 'weak'; did you mean week"),
        (("--map", "none.toml"), "can't read none.toml"),
        (("--on-error", "ignore"), "unknown on-error 'ignore'"),
        (("--validation-share", "2"), "must lie in 0..1"),
    ],
)
def test_mistakes_on_the_command_line_are_one_line(frl, table, tmp_path, arguments, said):
    table.to_parquet(tmp_path / "t.parquet")
    status, _, err = frl("import", tmp_path / "t.parquet", "--id", "my/own-v0", *arguments)
    assert status == 2
    assert said in err.splitlines()[-1]


@pytest.mark.long
def test_a_crash_shows_no_local_variables(table, tmp_path, empty_store):
    """A fault of the program ends in a traceback, and a traceback must not quote the table."""
    table.assign(member_id=SECRET).to_parquet(tmp_path / "t.parquet")
    script = (
        "import sys\nfrom frl_env import cli\nfrom frl_env.datasets.table_import.checking.reader import Reader\n"
        "def broken(self, batch):\n    row = str(batch.to_pylist()[0])\n    raise RuntimeError('a fault')\n"
        "Reader.read = broken\nsys.argv = ['frl', 'import', sys.argv[1], '--id', 'my/own-v0']\ncli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "t.parquet")], capture_output=True, text=True)
    assert done.returncode == 1
    assert "RuntimeError: a fault" in done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert not list(empty_store.rglob("*.arrow"))


def test_load_compares_checksums(frl, table, tmp_path, empty_store):
    table.to_parquet(tmp_path / "t.parquet")
    assert frl("import", tmp_path / "t.parquet", "--id", "my/own-v0")[0] == 0
    file = empty_store / "my/own-v0/data/flat/rewards.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    status, _, err = frl("load", "my/own-v0")
    assert status == 2
    assert "flat/rewards.npy was changed since it was written; import it again" in err
    file.unlink()
    assert "rewards.npy is missing" in frl("load", "my/own-v0")[2]


def test_load_builds_what_is_ours(frl, monkeypatch, empty_store):
    made = Recipe(dataset_id="tests/ours-v0", description="", members=5, seed=1, horizon=3)
    monkeypatch.setattr(store, "REFERENCE_MEMBERS", 200)
    monkeypatch.setitem(store.RECIPES, "tests/ours-v0", made)
    status, out, _ = frl("load", "tests/ours-v0")
    assert status == 0
    assert "checksums: as written" in out
    main = empty_store / "tests/ours-v0/data/main_data.hdf5"
    content = bytearray(main.read_bytes())
    content[len(content) // 2] ^= 1
    main.write_bytes(content)
    assert "run 'frl build tests/ours-v0 --force'" in frl("load", "tests/ours-v0")[2]
    assert "unknown dataset" in frl("load", "tests/theirs-v0")[2]


def test_a_dataset_without_checksums_says_so(frl, monkeypatch):
    monkeypatch.setattr(store, "REFERENCE_MEMBERS", 200)
    dataset = build_dataset(Recipe(dataset_id="tests/old-v0", description="", members=5, seed=1, horizon=3))
    monkeypatch.setattr("frl_env.files.integrity.KEY", "none")
    assert store.verify_dataset(dataset) is False

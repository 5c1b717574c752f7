"""The files of a worklist, and the command that writes them."""

import datetime
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from worklist_members import EFFORT, SPACE, ByRisk, frl, worklist_of

from frl_env.capacity import Capacity
from frl_env.commands import worklist as command
from frl_env.commands.worklist import _far_off, worklist_command
from frl_env.datasets.table_import.schema.listed import read_listed
from frl_env.errors import UserError
from frl_env.worklist import write_worklist


def test_files_are_whole_and_harmless(table, tmp_path):
    worklist = worklist_of(table, Capacity(minutes=20.0))
    rows = worklist.rows.assign(member_id=[f"=1+{n}" for n in range(len(worklist.rows))])
    write_worklist(replace(worklist, rows=rows), tmp_path / "formulas.csv")
    assert pd.read_csv(tmp_path / "formulas.csv").member_id.str.startswith("'=").all()
    for ending in (".parquet", ".csv", ".html"):
        file = tmp_path / f"list{ending}"
        chances = write_worklist(worklist, file, force=True)
        assert file.exists()
        assert len(pd.read_parquet(chances)) == 60
    assert pd.read_parquet(tmp_path / "list.parquet").equals(worklist.rows)
    assert not [each for each in tmp_path.iterdir() if each.name.startswith(".")]
    with pytest.raises(UserError, match="exists already"):
        write_worklist(worklist, tmp_path / "list.csv")
    with pytest.raises(UserError, match=r"ends in \.parquet"):
        write_worklist(worklist, tmp_path / "list.xlsx")


def test_two_formats_of_one_name_are_one_list(table, tmp_path):
    """They share a file of chances; another list never takes the place of one that is kept."""
    worklist = worklist_of(table, Capacity(minutes=20.0), explore=0.2)
    chances = write_worklist(worklist, tmp_path / "list.html")
    write_worklist(worklist, tmp_path / "list.csv")
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    other = worklist_of(table, Capacity(minutes=8.0))
    for ending in ("html", "csv", "parquet"):
        with pytest.raises(UserError, match=r"has the chances of .*list\.(html|csv), and .* is another list"):
            write_worklist(other, tmp_path / f"list.{ending}", force=True)
    chances.write_bytes(b"damaged")
    with pytest.raises(UserError, match="has the chances of"):
        write_worklist(worklist, tmp_path / "list.csv", force=True)
    chances.write_bytes(before[chances.name])
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before
    (tmp_path / "list.csv").unlink()
    write_worklist(other, tmp_path / "list.html", force=True)
    assert pd.read_parquet(chances).equals(other.chances)
    with pytest.raises(UserError, match=r"-chances\.parquet has the chances of a list"):
        write_worklist(other, chances, force=True)
    assert pd.read_parquet(chances).equals(other.chances)


@pytest.mark.parametrize("problem", [OSError(28, "No space left on device"), OSError("short"), KeyboardInterrupt()])
def test_nothing_half_written_stays_and_nothing_is_lost(table, tmp_path, monkeypatch, problem):
    worklist = worklist_of(table, Capacity(minutes=20.0))
    file = tmp_path / "list.csv"
    write_worklist(worklist, file)
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}

    def fail(self, place, **options):
        place.write_text("half a li")
        raise problem

    monkeypatch.setattr(pd.DataFrame, "to_csv", fail)
    with pytest.raises(KeyboardInterrupt if isinstance(problem, KeyboardInterrupt) else UserError) as said:
        write_worklist(worklist, file, force=True)
    assert "None" not in str(said.value)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before
    with pytest.raises((KeyboardInterrupt, UserError)):
        write_worklist(worklist, tmp_path / "new.csv")
    assert {each.name for each in tmp_path.iterdir()} == set(before)


@pytest.mark.parametrize("stopped_at", ["list.csv", ".list-chances.parquet.retired", "list-chances.parquet"])
@pytest.mark.parametrize("reader", [False, True])
def test_a_stop_between_the_renames_is_finished_by_whoever_comes_next(table, tmp_path, monkeypatch, stopped_at, reader):
    """Else a new list stands beside the chances of the old one, and an import takes these for its own."""
    old, new = (worklist_of(table, Capacity(minutes=minutes)) for minutes in (20.0, 8.0))
    file = tmp_path / "lists" / "list.csv"
    file.parent.mkdir()
    write_worklist(old, file)
    aside = {each: each.read_bytes() for each in file.parent.iterdir()}
    chances = write_worklist(new, file, force=True)
    want = {each: each.read_bytes() for each in file.parent.iterdir()}
    for each, content in aside.items():
        each.write_bytes(content)
    rename = Path.rename

    def killed(self, target):
        if Path(target).name == stopped_at:
            raise SystemExit  # no OSError, after which all would be put back
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        patch.setattr(Path, "unlink", lambda *given, **options: None)  # nobody tidies up after a kill
        with pytest.raises(SystemExit):
            write_worklist(new, file, force=True)
    assert {each: each.read_bytes() for each in want if each.exists()} != want
    if reader:
        read_listed([file.parent], SPACE, "done")
    else:
        with pytest.raises(UserError, match="exists already"):
            write_worklist(new, file)
    assert {each: each.read_bytes() for each in file.parent.iterdir()} == want
    assert pd.read_parquet(chances).equals(new.chances)


@pytest.mark.long
def test_command_from_a_trained_model(tmp_path, capsys):
    import d3rlpy

    from frl_algos import FactoredAWRConfig, load_replay_buffer, save_model
    from frl_env.datasets import ensure_dataset, export_table

    dataset = ensure_dataset("frl/medicaid-synthetic-small-v0")
    members, model = tmp_path / "members.parquet", tmp_path / "policy.safetensors"
    export_table(dataset, members)
    algorithm = FactoredAWRConfig(response=0, need_factor="goal", skill_factor="provider").create()
    algorithm.fit(
        load_replay_buffer(dataset), n_steps=2, show_progress=False, logger_adapter=d3rlpy.logging.NoopAdapterFactory()
    )
    save_model(algorithm, model)
    out = tmp_path / "worklist.parquet"
    arguments = ["worklist", "--model", model, "--members", members, "--capacity", "2.9", "-o", out, "--explore", "0.2"]
    assert frl(*arguments) == 0
    rows = pd.read_parquet(out)
    assert 0 < rows["minutes"].sum() <= 2.9 * len(pd.read_parquet(tmp_path / "worklist-chances.parquet"))
    assert (rows["gain_low"] <= rows["gain_per_1000"]).all()
    assert rows["reason"].str.contains("times as many events as the average member here").all()
    said = capsys.readouterr().out
    assert re.search(r"expected to avoid \d+\.\d events \(-?\d+\.\d to \d+\.\d\), in the unit of the reward", said)
    similar = rows["reason"].str.rpartition("; ")[2]
    few = (
        "rests on contacts like this one that fewer than 11 members answered|no answered contact like this one to go by"
    )
    assert similar.str.fullmatch(rf"rests on about [\d,]*[02468]0 answered contacts like this one|{few}").all()
    states = dataset.storage.metadata["frl_observation_names"]
    (tmp_path / "map.toml").write_text(f"states = {[states[1], states[0], *states[2:]]}")
    assert frl(*arguments, "--force", "--map", tmp_path / "map.toml") == 2
    assert f"number 1 is {states[0]} there and {states[1]} here" in capsys.readouterr().err
    algorithm.save(str(tmp_path / "policy.d3"))  # what `make run` leaves
    arguments[2] = tmp_path / "policy.d3"
    assert frl(*arguments, "--force") == 0
    pd.testing.assert_frame_equal(pd.read_parquet(out), rows)
    (tmp_path / "alone.txt").write_text("nobody-of-these\n")
    assert frl(*arguments, "--force", "--leave-alone", tmp_path / "alone.txt") == 0
    assert "nobody on the caseload is in" in capsys.readouterr().out
    stock = d3rlpy.algos.DiscreteBCConfig().create()
    stock.create_impl((7,), 1080)
    stock.save(str(tmp_path / "stock.d3"))
    assert frl("worklist", "--model", tmp_path / "stock.d3", *arguments[3:], "--force") == 2
    assert "knows no gains by member" in capsys.readouterr().err
    assert frl(*arguments) == 2
    assert "exists already" in capsys.readouterr().err
    assert frl("worklist", "--model", members, "--members", members, "--capacity", "2.9", "-o", tmp_path / "b.csv") == 2
    assert frl("worklist", "--model", model, "--members", members, "--capacity", "x", "-o", tmp_path / "b.csv") == 2
    assert "no number of minutes" in capsys.readouterr().err


MAP = """
demographics = ["care_team", "language", "race_ethnicity", "gender"]
[values.action_modality]
"7" = "HOME_VISIT"
"Visit at <home>" = "HOME_VISIT"
Besuch = "HOME_VISIT"
[values.action_provider]
CHW = "PHARMACIST"
Pharmacy = "PHARMACIST"
"""


@pytest.fixture
def own(table, tmp_path, monkeypatch):
    """A table and a map with words, teams and languages of their own, and the options that name them."""
    monkeypatch.setattr(command, "load_policy", lambda file: (ByRisk(), EFFORT))
    monkeypatch.setattr(command, "_check_fits", lambda *given: None)
    frame = pd.read_parquet(table)
    number = frame["member_id"].str[1:].astype(int)
    frame["care_team"] = number.map(lambda n: ("North", "South side")[n % 2])
    frame["language"] = number.map(lambda n: "es" if n < 20 else "en" if n < 55 else "wolof")
    frame.to_parquet(table)
    (tmp_path / "map.toml").write_text(MAP)
    return ["worklist", "--model", "m.d3", "--members", table, "--map", tmp_path / "map.toml"]


def test_the_list_speaks_the_words_of_the_map(own, tmp_path):
    """The first that is a word. Chances keep the names of levels, by which they come back."""
    limits = "weekly_minutes.modality.HOME_VISIT = 900\nweekly_minutes.modality.SMS_TEXT = 9\n"
    (tmp_path / "capacity.toml").write_text(limits)
    for name in ("x.csv", "x.html"):
        assert frl(*own, "--capacity", tmp_path / "capacity.toml", "--explore", "0.4", "-o", tmp_path / name) == 0
    rows, chances = pd.read_csv(tmp_path / "x.csv"), pd.read_parquet(tmp_path / "x-chances.parquet")
    listed = chances.set_index("member_id").loc[rows["member_id"]].reset_index()
    for factor, words in (("modality", {"HOME_VISIT": "Visit at <home>"}), ("provider", {"PHARMACIST": "Pharmacy"})):
        assert set(words) & set(listed[f"action_{factor}"])
        assert rows[factor].tolist() == [words.get(level, level) for level in listed[f"action_{factor}"]]
    text = (tmp_path / "x.html").read_text()
    assert "Visit at &lt;home&gt;</td>" in text
    assert "minutes of Visit at &lt;home&gt;</th>" in text
    assert "minutes of SMS text</th>" in text
    assert "Pharmacy: " in text
    assert "home visit" not in text


def test_a_team_has_a_list_of_its_own(own, tmp_path, capsys):
    (tmp_path / "alone.txt").write_text("m001\n")  # of the other team
    leave, teams = ["--capacity", "20", "--leave-alone", tmp_path / "alone.txt"], {}
    for name, only in (
        ("north", ["--only", "care_team=North"]),
        ("south", ["--only", "care_team=South side", "--only", "language=es"]),
    ):
        assert frl(*own, "-o", tmp_path / f"{name}.csv", *only, *leave) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert "nobody" not in said
        assert "members: their care_team is not" in said
        teams[name] = set(pd.read_parquet(tmp_path / f"{name}-chances.parquet")["member_id"])
    assert teams["north"] == {f"m{n:03d}" for n in range(0, 60, 2)}
    assert teams["south"] == {f"m{n:03d}" for n in range(1, 20, 2)}
    rows = pd.read_csv(tmp_path / "north.csv")
    assert set(rows["member_id"]) <= teams["north"]
    assert 0 < rows["minutes"].sum() <= 20 * 30
    for only, why in (
        ("care_team=Nort", "no member of week 17 has care_team 'Nort'; did you mean North?"),
        ("language=wolf", "no member of week 17 has language 'wolf'; write it as in the table"),  # five people's
        ("gender=x", "the table has no column for gender"),
        ("team=North", "unknown column of groups for --only: 'team'; did you mean care_team"),
        ("North", "--only takes COLUMN=GROUP"),
    ):
        assert frl(*own, "--capacity", "20", "-o", tmp_path / "none.csv", "--only", only) == 2
        assert why in " ".join(capsys.readouterr().err.split())
    both = ["--only", "care_team=North", "--only", "care_team=South side"]
    assert frl(*own, "--capacity", "20", "-o", tmp_path / "none.csv", *both) == 2
    assert "--only names care_team twice, and a member is in one" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "none.csv").exists()


def test_each_week_draws_others(own, tmp_path):
    """By one seed and as many members the same ones were drawn in every week."""
    drawn = {}
    for name, week in (("a", "16"), ("b", "17"), ("again", "17")):
        command_of_week = [*own, "--capacity", "20", "--explore", "0.4", "--week", week, "-o", tmp_path / f"{name}.csv"]
        assert frl(*command_of_week) == 0
        rows = pd.read_csv(tmp_path / f"{name}.csv")
        drawn[name] = set(rows.loc[rows["drawn"], "member_id"])
    assert len(drawn["a"]) > 5
    assert drawn["a"] != drawn["b"] == drawn["again"]


def test_who_is_left_alone_is_named_as_in_the_table_also_where_numbers_have_a_point(own, table, tmp_path, capsys):
    frame = pd.read_parquet(table)
    frame.assign(member_id=frame["member_id"].str[1:].astype(float) + 1_000).to_csv(tmp_path / "t.csv", index=False)
    own[own.index(table)] = tmp_path / "t.csv"
    (tmp_path / "alone.txt").write_text("1000.0\n1001\n 1002 \n\n")
    assert frl(*own, "--capacity", "75", "--leave-alone", tmp_path / "alone.txt", "-o", tmp_path / "x.csv") == 0
    assert "nobody" not in capsys.readouterr().out
    listed = pd.read_csv(tmp_path / "x.csv")["member_id"].tolist()
    assert listed
    assert not {1000, 1001, 1002} & set(listed)


def test_other_staff_minutes_than_the_policys_are_refused(own, tmp_path, capsys):
    """The list would take the policy's, whatever the map says."""
    for minutes, ends in ((75, 0), (90, 2)):
        effort = f"PHONE_CALL = 15\nSMS_TEXT = 2\nVIDEO_VISIT = 30\nHOME_VISIT = {minutes}\n"
        (tmp_path / "map.toml").write_text(f"{MAP}[effort.modality]\n{effort}")
        assert frl(*own, "--capacity", "20", "-o", tmp_path / f"{minutes}.csv") == ends
    said = " ".join(capsys.readouterr().err.split())
    assert "m.d3 was trained with 75 staff minutes for modality HOME_VISIT and the data have 90; use the map" in said


def test_who_has_no_row_of_the_week_is_told_of_all_groups(own, table, tmp_path, capsys):
    """A list of one team says so, else its reader takes all who left for her own."""
    frame = pd.read_parquet(table)
    frame[(frame["member_id"] >= "m020") | (frame["week"] < frame["week"].max())].to_parquet(table)
    left = "about 20 members: their last row is of an earlier week: they left, or the week is missing"
    for name, only in (("all", []), ("north", ["--only", "care_team=North", "--only", "race_ethnicity=Black"])):
        assert frl(*own, "--capacity", "20", "-o", tmp_path / f"{name}.html", *only) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert left in said
        of_all = "(of all groups, not only of those listed here)"
        assert said.count(of_all) == (f"{left} {of_all}" in said) == bool(only)
        assert (of_all in (tmp_path / f"{name}.html").read_text()) == bool(only)


@pytest.mark.parametrize(("name", "out"), [("members.parquet", "members.parquet"), ("x-chances.parquet", "x.csv")])
def test_what_is_read_is_never_replaced(table, tmp_path, capsys, name, out):
    source = table.rename(tmp_path / name)
    before = source.read_bytes()
    arguments = ["--model", "m.d3", "--members", source, "--capacity", "3", "-o", tmp_path / out, "--force"]
    assert frl("worklist", *arguments) == 2
    said = capsys.readouterr().err
    assert "is what the list is made from" in said
    assert len(said.strip().splitlines()) == 1
    assert source.read_bytes() == before


def test_a_list_has_no_team_whose_minutes_are_known(tmp_path):
    with pytest.raises(UserError, match=r"'team' is for the simulator.*give staff minutes a member-week"):
        worklist_command(Path("m.safetensors"), Path("members.csv"), "team", tmp_path / "list.csv")


def test_a_list_for_a_week_of_long_ago_or_of_years_to_come_is_told():
    today = datetime.date(2024, 3, 18)
    assert [_far_off(week, today) for week in ("2024-03-18", "2024-02-19", "2024-04-15", "51")] == [[]] * 4
    (said,) = _far_off("2023-12-04", today)
    assert "the last week of the table began 105 days ago" in said
    (said,) = _far_off("2042-03-18", today)
    assert "the last week of the table begins 6,574 days from today; a slip in the week of one row" in said

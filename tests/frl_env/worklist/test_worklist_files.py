"""The files of a worklist, its page and its command."""

import datetime
import itertools
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from worklist_members import EFFORT, ByRisk, worklist_of

from frl_env import cli
from frl_env.actions import ActionSpace, Factor
from frl_env.capacity import Capacity
from frl_env.commands import worklist as command
from frl_env.commands.worklist import _long_past, _told, worklist_command
from frl_env.errors import UserError
from frl_env.worklist import write_worklist
from frl_env.worklist.writing import _words, page


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


def test_the_page_says_first_what_it_is_not(table):
    text = page(worklist_of(table, Capacity(minutes=20.0)))
    assert text.index("Not to guide care") < text.index("<table")
    assert "http" not in text.replace("http-equiv", "")
    assert text.count("<h2") == len(re.findall("<section", text))
    assert "A contact that was tried and reached nobody" in text
    assert "@media (max-width" not in text  # a sheet of paper is narrow, too, and prints tables all the same


def test_the_page_says_what_the_list_does_not_know_and_what_is_not_shown(table):
    worklist = worklist_of(table, Capacity(minutes=8.0), explore=0.2)
    text = " ".join(page(worklist).split())
    assert "not whether the member was reached" in text
    assert "in hospital today" in text
    assert "leave out the last ranks" in text
    assert "The list has no time for these members" in text
    assert "Of all who are not listed" not in text  # some were drawn to be left alone; and limits have prices
    assert "What is scarcer counts for more" in text
    assert "Who was drawn to be left alone is not among them" in text
    assert "An answered contact, one that reached the member, is like this one where" in text
    assert "Time that is available and not used was that of members who were then drawn" in text
    assert "who goes: pharmacist" in text
    shown = "0 is within that range"
    assert shown not in text
    for low, high, said in ((-1.0, 3.0, True), (1.0, 3.0, False), (-3.0, -1.0, False)):
        summary = worklist.summary | {"events_avoided": [(low + high) / 2, low, high]}
        assert (shown in page(replace(worklist, summary=summary))) == said
        assert (shown in " ".join(_told(summary, Capacity(minutes=20.0)))) == said


@pytest.mark.parametrize(
    ("level", "said"),
    [("HOME_VISIT", "home visit"), ("SMS_TEXT", "SMS text"), ("RN07", "RN07"), ("RN_07", "RN_07"), ("Ana", "Ana")],
)
def test_levels_in_words(level, said):
    assert _words(level) == said


def _frl(*arguments: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["frl", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    return int(ended.value.code or 0)


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
    assert _frl(*arguments) == 0
    rows = pd.read_parquet(out)
    assert 0 < rows["minutes"].sum() <= 2.9 * len(pd.read_parquet(tmp_path / "worklist-chances.parquet"))
    assert (rows["gain_low"] <= rows["gain_per_1000"]).all()
    assert rows["reason"].str.contains("times as many events as the average member here").all()
    said = capsys.readouterr().out
    assert re.search(r"expected to avoid \d+\.\d events \(-?\d+\.\d to \d+\.\d\)", said)
    similar = rows["reason"].str.rpartition("; ")[2]
    few = (
        "rests on contacts like this one that fewer than 11 members answered|no answered contact like this one to go by"
    )
    assert similar.str.fullmatch(rf"rests on about [\d,]*[02468]0 answered contacts like this one|{few}").all()
    algorithm.save(str(tmp_path / "policy.d3"))  # what `make run` leaves
    arguments[2] = tmp_path / "policy.d3"
    assert _frl(*arguments, "--force") == 0
    pd.testing.assert_frame_equal(pd.read_parquet(out), rows)
    (tmp_path / "alone.txt").write_text("nobody-of-these\n")
    assert _frl(*arguments, "--force", "--leave-alone", tmp_path / "alone.txt") == 0
    assert "nobody on the caseload is in" in capsys.readouterr().out
    stock = d3rlpy.algos.DiscreteBCConfig().create()
    stock.create_impl((7,), 1080)
    stock.save(str(tmp_path / "stock.d3"))
    assert _frl("worklist", "--model", tmp_path / "stock.d3", *arguments[3:], "--force") == 2
    assert "knows no gains by member" in capsys.readouterr().err
    assert _frl(*arguments) == 2
    assert "exists already" in capsys.readouterr().err
    assert (
        _frl("worklist", "--model", members, "--members", members, "--capacity", "2.9", "-o", tmp_path / "b.csv") == 2
    )
    assert _frl("worklist", "--model", model, "--members", members, "--capacity", "x", "-o", tmp_path / "b.csv") == 2
    assert "no number of minutes" in capsys.readouterr().err


class _Page(HTMLParser):
    """What a reader with a screen reader or a keyboard needs of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("h1", "h2", "h3"):
            self.headings.append(tag)


def _contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio of two colours #rrggbb or #rgb."""

    def light(colour: str) -> float:
        digits = colour if len(colour) == 6 else "".join(2 * each for each in colour)
        parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lights = sorted((light(one), light(other)))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def test_the_page_can_be_read_by_everybody(table):
    text = page(worklist_of(table, Capacity(minutes=8.0), explore=0.2))
    seen = _Page(text)
    by_tag = {tag: [attributes for each, attributes in seen.tags if each == tag] for tag, _ in seen.tags}
    assert by_tag["html"][0]["lang"] == "en"
    assert "<title>Worklist, week 17</title>" in text
    assert seen.headings[0] == "h1"
    assert seen.headings.count("h1") == 1
    assert "h3" not in seen.headings
    assert all(each.get("scope") in ("col", "row") for each in by_tag["th"])
    assert len(by_tag["main"]) == len(by_tag["header"]) == 1
    known = {attributes["id"] for _, attributes in seen.tags if attributes.get("id")}
    assert all(each["aria-labelledby"] in known for each in by_tag["section"])
    assert all(each.get("type") == "button" for each in by_tag["button"])
    assert "aria-sort" in text
    assert "a" not in by_tag
    for block in re.findall(r":root \{([^}]*)\}", text):
        colours = dict(re.findall(r"--(\w+): #(\w+)", block))
        for ink, paper in itertools.product(("ink", "quiet"), ("paper", "note")):
            if {ink, paper} <= set(colours):
                assert _contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)
        if "focus" in colours:
            assert _contrast(colours["focus"], colours["paper"]) >= 3


def test_the_terminal_says_what_may_be_wrong(table, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "load_policy", lambda file: (ByRisk(), EFFORT))
    monkeypatch.setattr(command, "_check_fits", lambda *given: None)
    alone = tmp_path / "alone.txt"

    def said(members: Path, ids: str) -> str:
        alone.write_text(ids)
        arguments = ["--model", "m.d3", "--capacity", "20", "-o", tmp_path / "x.csv", "--force", "--leave-alone", alone]
        assert _frl("worklist", "--members", members, *arguments) == 0
        return " ".join(capsys.readouterr().out.split())

    whole = said(table, "m000\nm001\n")
    assert "minutes: 1,1" in whole
    assert "of about 1,200 " in whole  # of 58 members 1,160; told roughly, since it tells how many there are
    assert "not on record" not in whole
    assert "no contact in the table has it: modality PHONE_CALL" in whole
    assert "nobody's" not in whole
    frame = pd.read_parquet(table)
    last = tmp_path / "last.parquet"
    frame[frame.week == frame.week.max()].to_parquet(last)
    assert "the week before is not on record: about 60 members; the list goes by this week alone" in said(last, "m000")
    assert "no contact of the week before" not in whole + said(last, "m000")
    late = frame.copy()
    actions = ["action_modality", "action_provider", "action_goal", "action_urgency"]
    late.loc[late.week == late.week.max() - 1, actions] = ["NONE", "NONE", "NONE", "ROUTINE"]
    late.to_parquet(last)
    assert "warning: the table has no contact of the week before, of anybody" in said(last, "m000")
    assert "of the ids in" in said(table, "\n".join(["m000", *"abcdefghijkl"]))
    assert "about 20 are nobody's on the caseload" in said(table, "\n".join(["m000", *"abcdefghijklmnop"]))
    assert "fewer than 11 are nobody's on the caseload" in said(table, "m000\n0m01\n")
    assert "nobody on the caseload is in" in said(table, "M000\n")
    assert "holds no id of a member" in said(table, "\n\n")
    frame.iloc[:, :4].to_parquet(last)
    assert _frl("worklist", "--model", "m.d3", "--capacity", "2", "--members", last, "-o", tmp_path / "y.csv") == 2
    problem = " ".join(capsys.readouterr().err.split())
    assert " problems: " in problem
    assert "; and " in problem
    assert "\\n" not in problem


OTHER_ACTIONS = (
    ({"levels": ("nobody", "doctor", "nurse")}, "staff: ..., nurse, doctor", "staff: ..., doctor, nurse"),
    ({"levels": ("nobody", "nurse")}, "staff: ..., doctor", "staff: ..., no more levels"),
    ({"levels": ("nobody", *"abcdef")}, "staff: ..., nurse, doctor", "staff: ..., a, b, c, ..."),
    ({"name": "role"}, "staff: nobody, nurse, doctor", "role: nobody, nurse, doctor"),
    (None, "topic: none, diet", "no more factors"),
    (
        {"null": "doctor"},
        "nothing is staff nobody, topic none; contact_factors staff",
        "nothing is staff doctor, topic none; contact_factors staff",
    ),
)


@pytest.mark.parametrize(("change", "trained_on", "has"), OTHER_ACTIONS)
def test_a_policy_of_other_actions_is_told_by_what_differs(change, trained_on, has):
    """Levels in another order have the same sizes."""
    staff, topic = _staff_and_topic()
    other = (staff,) if change is None else (replace(staff, **change), topic)
    with pytest.raises(UserError) as problem:
        _check((staff, topic), other)
    assert str(problem.value) == (
        f"m.d3 was trained on other actions ({trained_on}) than the table has ({has}); use the map that the training "
        "data were imported with"
    )


def test_other_spellings_of_a_level_are_the_same_actions():
    staff, topic = _staff_and_topic()
    _check((staff, topic), (replace(staff, aliases={"RN": "nurse"}), topic))


def _staff_and_topic() -> tuple[Factor, Factor]:
    staff = Factor(name="staff", levels=("nobody", "nurse", "doctor"))
    return staff, Factor(name="topic", levels=("none", "diet"))


def _check(trained: tuple[Factor, ...], table: tuple[Factor, ...]) -> None:
    spaces = [ActionSpace(factors=factors, contact_factors=(factors[0].name,)) for factors in (trained, table)]
    policy = SimpleNamespace(action_space=spaces[0], impl=SimpleNamespace(observation_shape=(2,)))
    command._check_fits(policy, SimpleNamespace(actions=spaces[1], states=("age", "visits")), Path("m.d3"))


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
        assert _frl(*own, "--capacity", tmp_path / "capacity.toml", "--explore", "0.4", "-o", tmp_path / name) == 0
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
        assert _frl(*own, "-o", tmp_path / f"{name}.csv", *only, *leave) == 0
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
        assert _frl(*own, "--capacity", "20", "-o", tmp_path / "none.csv", "--only", only) == 2
        assert why in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "none.csv").exists()


def test_who_has_no_row_of_the_week_is_told_of_all_groups(own, table, tmp_path, capsys):
    """A list of one team says so, else its reader takes all who left for her own."""
    frame = pd.read_parquet(table)
    frame[(frame["member_id"] >= "m020") | (frame["week"] < frame["week"].max())].to_parquet(table)
    left = "about 20 members: their last row is of an earlier week: they left, or the week is missing"
    for name, only in (("all", []), ("north", ["--only", "care_team=North", "--only", "race_ethnicity=Black"])):
        assert _frl(*own, "--capacity", "20", "-o", tmp_path / f"{name}.html", *only) == 0
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
    assert _frl("worklist", *arguments) == 2
    said = capsys.readouterr().err
    assert "is what the list is made from" in said
    assert len(said.strip().splitlines()) == 1
    assert source.read_bytes() == before


def test_a_list_has_no_team_whose_minutes_are_known(tmp_path):
    with pytest.raises(UserError, match=r"'team' is for the simulator.*give staff minutes a member-week"):
        worklist_command(Path("m.safetensors"), Path("members.csv"), "team", tmp_path / "list.csv")


def test_a_list_for_a_week_of_long_ago_is_told():
    today = datetime.date(2024, 3, 18)
    assert _long_past("2024-03-18", today) == _long_past("2024-02-19", today) == _long_past("51", today) == []
    (said,) = _long_past("2023-12-04", today)
    assert "the last week of the table began 105 days ago" in said

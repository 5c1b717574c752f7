"""`frl weeks` as people type it."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

pytest.importorskip("ibis")
pytest.importorskip("duckdb")

from frl_env import cli
from frl_env.datasets import Recipe
from frl_env.datasets.table_import.checking.contact_response import ContactResponse
from frl_env.event_export import export_events
from frl_env.events_to_weeks import Spec, weeks
from frl_env.events_to_weeks.engine import DuckDB

RECIPE = Recipe(dataset_id="tests/command-v0", description="for tests", members=80, seed=4, horizon=20)


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    folder = tmp_path_factory.mktemp("command") / "events"
    export_events(RECIPE, folder)
    return folder


@pytest.fixture
def frl(monkeypatch, capsys):
    def run(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["frl", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        screen = capsys.readouterr()
        return int(ended.value.code or 0), screen.out, screen.err

    return run


@pytest.mark.long
def test_check_reports_and_writes_a_page_only(frl, events, tmp_path):
    status, out, _ = frl("weeks", events / "spec.toml", "--check", "--report", tmp_path / "report.html")
    assert status == 0
    for words in (
        "member-weeks",
        "ED visits that ended in a stay",
        "2024-05 (cut)",
        "PHONE_CALL",
        "no member-weeks were",
    ):
        assert words in out, words
    page = (tmp_path / "report.html").read_text()
    assert "<svg" in page
    assert "stay_gap_days" in page
    assert "http" not in page
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    assert not [file for file in events.iterdir() if file.name.startswith(".")]


@pytest.mark.long
def test_what_is_there_is_replaced_only_by_force(frl, events, tmp_path):
    table, page, spec = tmp_path / "weeks.parquet", tmp_path / "page.html", tmp_path / "flat.toml"
    commands = {
        table: ("weeks", events / "spec.toml", "-o", table),
        page: ("weeks", events / "spec.toml", "--check", "--report", page),
        spec: ("weeks", "--init", "flat", spec),
    }
    for file, command in commands.items():
        file.write_text("mine")
        status, _, err = frl(*command)
        assert status == 2
        assert f"{file} exists already" in err
        assert "add --force to replace it" in err
        assert file.read_text() == "mine"
        assert frl(*command, "--force")[0] == 0
        assert file.read_bytes() != b"mine"
    assert frl(*commands[page])[0] == 0, "a page of its own is replaced"
    assert frl(*commands[table])[0] == 2, "a table of its own is not: somebody may work with it"


@pytest.mark.long
def test_small_counts_of_real_members_are_not_shown(frl, events, tmp_path):
    text = (events / "spec.toml").read_text().replace("simulated = true", "").replace('path = "', f'path = "{events}/')
    (tmp_path / "spec.toml").write_text(text)
    status, out, _ = frl(
        "weeks", tmp_path / "spec.toml", "-o", tmp_path / "weeks.parquet", "--report", tmp_path / "r.html"
    )
    assert status == 0
    assert "fewer than 11" in out
    assert re.search(r"parquet: about [\d,]*[24680]0 member-weeks", " ".join(out.split())), "as its table says"
    page = (tmp_path / "r.html").read_text()
    assert "Counts of 1 to 10" in page
    for shown in (out, page):
        found = re.findall(r"│ +([\d,]+) +│", shown)
        found += re.findall(r"<td>([\d,]+)</td>", re.sub(r"(?s)<details.*", "", shown))
        cells = {int(cell.replace(",", "")) for cell in found}
        assert len(cells) > 5
        assert not {cell for cell in cells if cell % 20}, "an exact number gives others away"


def numbers(figures: dict, path: str = "") -> dict[str, float]:
    """All numbers of the figures, by where they stand."""
    found = {}
    for name, each in figures.items():
        if isinstance(each, dict):
            found |= numbers(each, f"{path}/{name}")
        elif isinstance(each, int | float):
            found[f"{path}/{name}"] = float(each)
    return found


@pytest.mark.long
def test_what_one_member_more_changes_is_not_to_be_seen(events, tmp_path):
    """The difference of two reports, of all members and of all but one, tells nothing of that one."""
    told = []
    members = pq.read_table(events / "members")["MEMBER_ID"].to_pylist()
    for gone in (None, 3, 17):
        folder = tmp_path / str(gone)
        shutil.copytree(events, folder)
        spec = folder / "spec.toml"
        spec.write_text(spec.read_text().replace("simulated = true", ""))
        for file in folder.glob("*/*.parquet") if gone is not None else ():
            table = pq.read_table(file)
            pq.write_table(table.filter(pc.not_equal(table["MEMBER_ID"], members[gone])), file)
        told.append(numbers(weeks(spec, check_only=True).facts["figures"]))
    for other in told[1:]:
        for name in told[0].keys() & other.keys():
            assert not 0 < abs(told[0][name] - other[name]) < 11 or name.startswith("/response"), name


@pytest.mark.long
def test_a_level_that_few_people_got_often_is_not_shown(events, tmp_path):
    folder = tmp_path / "events"
    shutil.copytree(events, folder)
    spec = folder / "spec.toml"
    spec.write_text(spec.read_text().replace("simulated = true", ""))
    (file,) = (folder / "contacts").glob("*.parquet")
    log = pd.read_parquet(file)
    some = log["MEMBER_ID"].unique()[:4]
    few = log["MEMBER_ID"].isin(some) & (log["CHANNEL"] != "Chart review")
    log.loc[log["CHANNEL"] != "Chart review", "CHANNEL"] = "Telephone"
    log.loc[few, "CHANNEL"] = "Text message"
    log.to_parquet(file)
    shown = weeks(spec, check_only=True).facts["figures"]["contacts by modality"]["attempts"]
    assert few.sum() >= 11
    assert shown["SMS_TEXT"] is None


def test_init_writes_a_spec_that_reads(frl, tmp_path):
    for source in ("flat", "omop", "synthea", "meds", "tuva"):
        status, out, _ = frl("weeks", "--init", source, tmp_path / f"{source}.toml")
        assert status == 0
        assert "frl weeks" in out
        assert Spec.read(tmp_path / f"{source}.toml").source == source
    status, _, err = frl("weeks", "--init", "flat", tmp_path / "flat.toml")
    assert status == 2
    assert "flat.toml exists already; choose another name, or add --force to replace it" in err
    assert "unknown source 'omob'; did you mean omop" in frl("weeks", "--init", "omob")[2]
    for more in (("-o", "plan.toml"), ("--report", "page.html"), ("--check",)):
        status, _, err = frl("weeks", "--init", "meds", *more)
        assert (status, "--init writes a spec and nothing else; leave out -o, --check and --report" in err) == (2, True)


def test_mistakes_are_one_line(frl, events, tmp_path):
    assert "name a spec" in frl("weeks")[2]
    assert "can't read none.toml" in frl("weeks", "none.toml", "--check")[2]
    text = (events / "spec.toml").read_text().replace('path = "', f'path = "{events}/')
    (tmp_path / "spec.toml").write_text(text.replace('"Telephone" = "PHONE_CALL"', ""))
    status, _, err = frl("weeks", tmp_path / "spec.toml", "--check")
    assert status == 2
    assert "words without a target" in err
    assert "Telephone" in err
    assert err.splitlines()[-1].startswith("error: contacts.modality: unknown word in")


def test_a_word_in_other_capitals_is_listed_once(frl, events, tmp_path):
    """One target will do for both: capitals and spaces make no difference."""
    folder = tmp_path / "events"
    shutil.copytree(events, folder)
    (file,) = (folder / "contacts").glob("*.parquet")
    log = pd.read_parquet(file)
    calls = log["CHANNEL"] == "Telephone"
    log.loc[calls, "CHANNEL"] = np.resize(["Phone", "Phone", "phone "], calls.sum())
    log.to_parquet(file)
    status, _, err = frl("weeks", folder / "spec.toml", "--check")
    assert status == 2
    ((word, rows),) = re.findall(r"│ modality +│ (\S+) +│ ([\d,]+) +│", err)
    assert word == "Phone"
    assert f"contacts.modality: unknown word in {rows} rows" in err, "all of them"


@pytest.mark.slow
def test_an_interrupted_conversion_goes_on(frl, events, tmp_path, monkeypatch):
    target = tmp_path / "weeks.parquet"
    keep = DuckDB.keep

    def stopped(self, name, expression, **how):
        if name == "contact_rows":
            raise KeyboardInterrupt
        return keep(self, name, expression, **how)

    monkeypatch.setattr(DuckDB, "keep", stopped)
    assert frl("weeks", events / "spec.toml", "-o", target)[0] == 130
    assert not target.exists()
    assert len(list(tmp_path.iterdir())) == 1, "the stages"
    monkeypatch.setattr(DuckDB, "keep", keep)
    computed = []
    compile_ = DuckDB._has
    monkeypatch.setattr(
        DuckDB, "_has", lambda self, name: computed.append((name, compile_(self, name))) or computed[-1][1]
    )
    assert frl("weeks", events / "spec.toml", "-o", target)[0] == 0
    assert ("lines_in_force", True) in computed
    assert ("contact_rows", False) in computed
    assert [file.name for file in tmp_path.iterdir()] == ["weeks.parquet"]
    assert len(pd.read_parquet(target)) > 1000


@pytest.mark.slow
def test_the_base_installation_does_without(tmp_path):
    """One clear line, and nothing of it is imported before it is needed."""
    script = (
        "import sys\nsys.modules['ibis'] = None\nsys.modules['duckdb'] = None\n"
        "from frl_env.cli import main\nsys.argv = ['frl', 'weeks', 'spec.toml', '--check']\nmain()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "error: frl weeks needs Ibis and DuckDB; install them with: pip install 'frl-medicaid[weeks]'"
    )


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ((0.28, 0.05), ()),
        ((0.985, 0.05), ("log of reached contacts only",)),
        ((0.73, 0.72), ("looks like medical visits",)),
        ((0.60, 0.05), ()),
        ((0.95, 0.90), ("looks like medical visits",)),
    ],
)
def test_the_two_disasters_are_told(shares, said):
    after, without = shares
    response = ContactResponse(
        attempts=1000, answered=round(1000 * after), others=9000, encounters=round(9000 * without)
    )
    warnings = response.warnings()
    assert len(warnings) == len(said)
    for warning, words in zip(warnings, said, strict=True):
        assert words in warning
        assert f"{after:.0%} of attempts" in warning


def test_few_weeks_say_nothing():
    assert ContactResponse(attempts=99, answered=99, others=1000, encounters=0).warnings() == ()


@pytest.mark.parametrize("name", ["spec.toml", "claims/page.html"])
def test_a_report_never_replaces_what_is_read(frl, events, tmp_path, name):
    shutil.copytree(events, tmp_path / "events")
    folder = tmp_path / "events"
    before = {each: each.read_bytes() for each in folder.rglob("*") if each.is_file()}
    status, _, said = frl("weeks", folder / "spec.toml", "--check", "--report", folder / name, "--force")
    assert status == 2
    assert "would replace it" in said or "would be written where" in said
    assert {each: each.read_bytes() for each in folder.rglob("*") if each.is_file()} == before

"""Mistakes of extracts that nothing refuses: the report says what each looks like, and of a clean extract nothing."""

import sys

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("ibis")
pytest.importorskip("duckdb")

from frl_env import cli
from frl_env.datasets.table_import import import_table
from frl_env.datasets.table_import.provenance import FOR_LISTS
from frl_env.errors import UserError
from frl_env.events_to_weeks import Spec, weeks

SPEC = """
[tables.enrolment]
path = "enrolment.csv"
member = "member"
start = "start"
end = "end"

[tables.encounters]
path = "encounters.csv"
member = "member"
start = "start"
end = "end"
kind = "kind"

[tables.contacts]
path = "contacts.csv"
member = "member"
time = "time"
modality = "modality"
outcome = "outcome"
constants = { provider = "CHW", goal = "CARE", urgency = "ROUTINE" }

[rules.claims]
run_out_days = 28
"""

MEMBERS, DAYS = 130, 210
DAY0 = pd.Timestamp("2023-01-02")


def _extract() -> dict[str, pd.DataFrame]:
    """Two spans a member that follow each other; half of the members leave; the log goes on after the last visit."""
    rng = np.random.default_rng(3)
    members = np.arange(MEMBERS)
    middle, last = rng.integers(30, 60, MEMBERS), np.where(members % 2, DAYS + 999, rng.integers(90, 100, MEMBERS))
    spans = pd.DataFrame({
        "member": np.tile(members, 2), "start": np.r_[np.zeros(MEMBERS, int), middle + 1], "end": np.r_[middle, last],
    })  # fmt: skip
    who, day = np.repeat(members, 12), rng.integers(0, DAYS, MEMBERS * 12)
    visits = pd.DataFrame({"member": who, "start": day, "end": day, "kind": rng.choice(["ed", "other"], len(day))})
    tries = pd.DataFrame({
        "member": who,
        "time": rng.integers(0, np.where(who % 2, DAYS + 60, 90)) * 1440 + rng.integers(8 * 60, 18 * 60, len(who)),
        "modality": "PHONE_CALL", "outcome": rng.choice(["reached", "attempted"], len(who)),
    })  # fmt: skip
    return {"enrolment": spans, "encounters": visits, "contacts": tries}


def _write(tables: dict[str, pd.DataFrame], folder, spec: str = SPEC, contact_times: str = "%Y-%m-%d %H:%M") -> None:
    """Writes an extract; days and minutes of it are numbers since `DAY0`."""
    for name, table in tables.items():
        table = table.copy()
        table["member"] = [f"M{member:04d}" for member in table["member"]]
        for column in {"start", "end", "received"} & set(table.columns):
            table[column] = (DAY0 + pd.to_timedelta(table[column], "D")).dt.strftime("%Y-%m-%d")
        if "time" in table:
            table["time"] = (DAY0 + pd.to_timedelta(table["time"], "min")).dt.strftime(contact_times)
        table.to_csv(folder / f"{name}.csv", index=False)
    (folder / "spec.toml").write_text(spec)


def _written(tables: dict[str, pd.DataFrame], folder, *said: str, **more: str) -> list[str]:
    """Warnings about an extract."""
    _write(tables, folder, *said, **more)
    return weeks(folder / "spec.toml", check_only=True).facts["figures"]["response"]["warnings"]


def _mistyped_day(tables):
    tables["encounters"].loc[0, ["start", "end"]] = DAYS + 60


def _members_written_otherwise(tables):
    tables["contacts"].loc[::10, "member"] += 5000


def _first_day_without_coverage(tables):
    tables["enrolment"]["end"] += 1


def _in_another_zone(tables):
    tables["contacts"]["time"] += 8 * 60


def _spans_of_visits(tables):
    seen = tables["encounters"].groupby("member")["end"]
    tables["enrolment"] = pd.DataFrame({"start": seen.min(), "end": seen.max()}).reset_index()


def _spans_that_are_missing(tables):
    tables["enrolment"] = tables["enrolment"].drop(range(0, MEMBERS, 2))


def test_of_a_clean_extract_nothing_is_said(tmp_path):
    assert _written(_extract(), tmp_path) == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (_mistyped_day, "the newest row is more than 31 days later"),
        (_members_written_otherwise, "10% of the rows of table contacts are about nobody in table enrolment"),
        (_first_day_without_coverage, "spans that go on without a gap end on the day on which the next one starts"),
        (_in_another_zone, "were tried between midnight and 6 o'clock"),
        (_spans_that_are_missing, "are on days on which the member has no coverage"),
        (_spans_of_visits, "most coverage that ends does so on the day of a visit"),
    ],
)
def test_a_mistake_is_told(mistake, words, tmp_path):
    tables = _extract()
    mistake(tables)
    said = _written(tables, tmp_path)
    assert [words in sentence for sentence in said].count(True) == 1
    # Where spans are those of visits, attempts lie outside of them, too.
    assert len(said) == 1 or mistake is _spans_of_visits


@pytest.mark.long
@pytest.mark.parametrize(("adjusts", "told"), [("{}", False), ("{}.0", True)])
def test_voids_that_find_no_claim_are_told(adjusts, told, tmp_path):
    tables = _extract()
    claims = tables.pop("encounters").drop(columns="kind")
    claims = claims.assign(claim=np.arange(len(claims)), adjusts="", paid=50)
    voids = claims.iloc[::60].assign(claim=lambda all_: all_["claim"] + 10_000, paid=-50)
    voids["adjusts"] = [adjusts.format(number - 10_000) for number in voids["claim"]]
    tables["claims"] = pd.concat([claims, voids])
    spec = SPEC.replace("encounters", "claims").replace(
        'kind = "kind"', 'claim = "claim"\nadjusts = "adjusts"\npaid = "paid"'
    )
    said = _written(tables, tmp_path, spec)
    assert ["replacements and voids name a claim that is not in table claims" in each for each in said] == [True] * told


@pytest.mark.long
def test_ends_on_the_first_of_a_month_are_told(tmp_path):
    tables = _extract()
    tables["enrolment"] = pd.DataFrame({"member": np.arange(MEMBERS), "start": -1, "end": 150})  # to 2023-06-01
    (said,) = _written(tables, tmp_path)
    assert said.startswith("most spans that end do so on the first day of a month; end must be the last covered day")


def test_whoever_says_where_the_cut_is_hears_nothing_of_the_newest_day(tmp_path):
    tables = _extract()
    _mistyped_day(tables)
    assert _written(tables, tmp_path, SPEC + "complete_through = 2023-07-01\n") == []


@pytest.mark.long
def test_a_table_has_a_date_format_of_its_own(tmp_path):
    own = SPEC.replace('path = "contacts.csv"', 'path = "contacts.csv"\ndate_format = "us"')
    assert _written(_extract(), tmp_path, own, contact_times="%m/%d/%Y %I:%M %p") == []
    spec = Spec.read(tmp_path / "spec.toml")
    assert (spec.date_format_of("contacts"), spec.date_format_of("enrolment")) == ("us", "iso")
    assert spec.facts()["tables"]["contacts"]["date_format"] == "us"
    (tmp_path / "spec.toml").write_text(own.replace('"us"', '"american"'))
    with pytest.raises(UserError, match="unknown date_format 'american'"):
        Spec.read(tmp_path / "spec.toml")
    other = 'source = "omop"\n[tables.death]\npath = "death.csv"\ndate_format = "us"\n'
    (tmp_path / "spec.toml").write_text(other)
    with pytest.raises(UserError, match="say it once, above the tables"):
        Spec.read(tmp_path / "spec.toml")


@pytest.mark.long
@pytest.mark.parametrize(
    ("clock", "words"),
    [
        ("", ""),
        ("T00:00:00Z", ""),
        (" 00:00-05:00", ""),
        ("T20:30:00", ""),
        ("T20:30:00Z", "the day that is written counts"),
        (" 8:30 PM-05:00", "the day that is written counts"),
        (" 20:30:00+00", "the day that is written counts"),
    ],
)
def test_a_zone_of_days_in_text_is_told_where_it_may_matter(clock, words, tmp_path):
    tables = _extract()
    _write(tables, tmp_path)
    table = pd.read_csv(tmp_path / "encounters.csv")
    table.assign(start=table["start"] + clock, end=table["end"] + clock).to_csv(
        tmp_path / "encounters.csv", index=False
    )
    said = weeks(tmp_path / "spec.toml", check_only=True).facts["figures"]["response"]["warnings"]
    assert [words in sentence for sentence in said] == ([True] if words else [])
    assert all("table encounters has times of day with a time zone in start and end" in sentence for sentence in said)


@pytest.mark.long
@pytest.mark.parametrize(("hour", "warned"), [(0, False), (20, True)])
def test_a_zone_of_days_that_are_points_in_time_is_told(hour, warned, tmp_path):
    tables = _extract()
    _write(tables, tmp_path, SPEC.replace("encounters.csv", "encounters.parquet"))
    table = pd.read_csv(tmp_path / "encounters.csv")
    for column in ("start", "end"):
        table[column] = pd.to_datetime(table[column], utc=True).astype("datetime64[us, UTC]") + pd.Timedelta(hours=hour)
    table.to_parquet(tmp_path / "encounters.parquet")
    said = weeks(tmp_path / "spec.toml", check_only=True).facts["figures"]["response"]["warnings"]
    assert ["they count as their day in UTC" in sentence for sentence in said] == [True] * warned


@pytest.mark.long
def test_the_table_for_a_list_ends_with_the_week_to_decide(tmp_path):
    tables = _extract()
    tables["encounters"] = tables["encounters"].assign(received=tables["encounters"]["end"] + 10)
    spec = SPEC.replace('kind = "kind"', 'kind = "kind"\nreceived = "received"')
    _write(tables, tmp_path, spec + "complete_through = 2023-08-06\n")  # a Sunday
    made = weeks(tmp_path / "spec.toml", tmp_path / "list.parquet")
    found = pd.read_parquet(tmp_path / "list.parquet")
    week = found[pd.to_datetime(found["week"]) == pd.Timestamp("2023-07-31")].set_index("member_id")
    assert found["week"].max() == week["week"].iloc[0]
    assert len(week) == MEMBERS // 2  # who has not left
    tries = tables["contacts"]
    day = DAY0 + pd.to_timedelta(tries["time"], "min")
    of_the_week_before = tries[(day >= "2023-07-24") & (day < "2023-07-31")]
    assert len(of_the_week_before) > 10
    once_a_day = of_the_week_before.assign(day=day.dt.date).drop_duplicates(["member", "day"])
    calls = once_a_day["member"].map("M{:04d}".format).value_counts().reindex(week.index).fillna(0)
    assert (week["num_calls_last_week"] == calls).all()
    assert (week[["num_ed_visits_last_week", "num_ip_visits_last_week"]] == 0).all(axis=None)  # nothing has arrived
    assert made.facts["complete_through"] == "2023-08-06"
    assert FOR_LISTS in made.facts["figures"]["response"]["warnings"]
    assert FOR_LISTS in _odd(tmp_path / "list.parquet"), "nobody should train on it"


def _odd(table) -> list[str]:
    """What an import says of a table of `frl weeks`."""
    return import_table(table, "tests/weeks-v0", check_only=True).facts[0]["odd"]


def _late_claims(folder, rules: str = "") -> None:
    """An extract whose rows arrive ten days after the visit, when the week after is over."""
    tables = _extract()
    tables["encounters"] = tables["encounters"].assign(received=tables["encounters"]["end"] + 10)
    _write(tables, folder, SPEC.replace('kind = "kind"', 'kind = "kind"\nreceived = "received"') + rules)


@pytest.mark.long
@pytest.mark.parametrize(
    ("rules", "following"), [("", "frl import"), ("complete_through = 2023-08-06\n", "frl worklist")]
)
def test_what_comes_next_is_a_list_where_the_last_weeks_lack_claims(rules, following, tmp_path, monkeypatch, capsys):
    _late_claims(tmp_path, rules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["frl", "weeks", "spec.toml", "-o", "table.parquet"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert f"next: {following} " in " ".join(capsys.readouterr().out.split())


def test_states_that_know_only_what_had_arrived_are_no_other_unit(tmp_path):
    _late_claims(tmp_path)
    weeks(tmp_path / "spec.toml", tmp_path / "table.parquet")
    table = pd.read_parquet(tmp_path / "table.parquet")
    assert table["reward"].sum() < -100
    assert not table["num_ed_visits_last_week"].sum(), "nothing has arrived within a week"
    assert not [line for line in _odd(tmp_path / "table.parquet") if "another unit" in line]

"""Bad specs and bad tables: one clear line each, nothing written, nothing of any member in it."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("ibis")
pytest.importorskip("duckdb")

from frl_env.datasets import Recipe
from frl_env.errors import UserError
from frl_env.member_weeks import EventTablesError, weeks
from frl_env.raw_events import export_events

SECRET = "Zebulon"
OLD = b"what was there before"
LABELS = ("enrolment", "members", "claims", "contacts")


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """Good tables, with a secret in every identifier."""
    folder = tmp_path_factory.mktemp("base") / "events"
    export_events(Recipe(dataset_id="tests/faults-v0", description="", members=15, seed=2, horizon=4), folder)
    for label in LABELS:
        for file in (folder / label).iterdir():
            table = pd.read_parquet(file)
            table["MEMBER_ID"] = SECRET + table["MEMBER_ID"]
            table.to_parquet(file)
    return folder


@pytest.fixture
def convert(base, tmp_path):
    """Converts the good tables with a changed spec or table; gives the error, having checked what holds for every
    one."""

    def run(spec: Callable[[str], str] = str, output: str = "out/weeks.parquet", **options) -> UserError:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "weeks.parquet").write_bytes(OLD)
        text = re.sub(r'path = "(\w+)"', lambda found: f'path = "{base / found[1]}"', (base / "spec.toml").read_text())
        (tmp_path / "spec.toml").write_text(spec(text))
        target = tmp_path / output if output else None
        with pytest.raises(UserError) as raised:
            weeks(tmp_path / "spec.toml", target, force=True, **options)
        said = str(raised.value)
        assert "\n" not in said
        assert SECRET not in said
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["weeks.parquet"]
        assert (tmp_path / "out" / "weeks.parquet").read_bytes() == OLD
        assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
        return raised.value

    return run


def _put(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text, old
        return text.replace(old, new, 1)

    return change


def _add(lines: str, after: str = "[rules.weeks]\n") -> Callable[[str], str]:
    return _put(after, f"{after}{lines}\n")


def _without(label: str) -> Callable[[str], str]:
    return lambda text: re.sub(rf"\[tables\.{label}\]\n([^\[]*\n)*?(?=\[|\n\[)", "", text)


SPECS = {
    "not TOML": (lambda text: text + "[", "is not TOML"),
    "an unknown entry": (lambda text: "sauce = 1\n" + text, "unknown entry in .*'sauce'; did you mean source"),
    "an unknown source": (_put('source = "flat"', 'source = "flet"'), "unknown source 'flet'; did you mean flat"),
    "an unknown table": (_put("[tables.claims]", "[tables.claimz]"), "unknown table of source flat: 'claimz'"),
    "a table without a path": (
        lambda text: re.sub(r'path = "[^"]*members"', "", text),
        r"\[tables.members\] needs a path",
    ),
    "an unknown column of ours": (_put("hcpcs = ", "cpt = "), "unknown column of claims: 'cpt'"),
    "a column that is no name": (_put('hcpcs = "HCPCS"', "hcpcs = 3"), "hcpcs must be the name of a column"),
    "an unknown group of rules": (_put("[rules.weeks]", "[rules.week]"), "unknown group of rules 'week'"),
    "an unknown rule": (_add('start = "monday"'), "unknown rule in .*'start'; did you mean starts"),
    "an unknown value": (_add('starts = "mondy"'), "unknown value of rules.weeks.starts: 'mondy'; did you mean"),
    "a number out of range": (
        _add("bridge_days = -1", "[rules.enrolment]\n"),
        "rules.enrolment.bridge_days must be a whole number in 0..366",
    ),
    "a date in quotes": (_add('last_day = "2024-01-31"'), "rules.weeks.last_day must be a date, without quotes"),
    "codes without quotes": (
        lambda text: text + "[rules.events]\ned_revenue = [450]\n",
        "rules.events.ed_revenue must be a list of codes",
    ),
    "a code in place of a list": (
        lambda text: text + '[rules.events]\ned_revenue = "0450"\n',
        "rules.events.ed_revenue must be a list of codes",
    ),
    "a whole bill type": (
        lambda text: text + '[rules.events]\nstay_bill_types = ["0111"]\n',
        "rules.events.stay_bill_types must be the first two digits",
    ),
    "days in the wrong order": (_add("last_day = 2023-01-31"), "rules.weeks.last_day is before"),
    "ages in the wrong order": (_add("min_age = 65\nmax_age = 18", "[rules.enrolment]\n"), "max_age is below"),
    "complete after the extract": (
        _add("as_of = 2024-01-01", "[rules.claims]\n"),
        "complete_through is after rules.claims.as_of",
    ),
    "a rule for Medicare without its column": (
        _add('dual = "left_out"', "[rules.enrolment]\n"),
        r"dual under \[rules.enrolment\] can't be followed without the column dual of table enrolment",
    ),
    "a rule for ages without birthdays": (
        lambda text: _add("min_age = 18", "[rules.enrolment]\n")(text.replace('birth = "BIRTH_DATE"', "")),
        "can't be followed without the column birth of table members",
    ),
    "an unknown crosswalk": (
        _put("[crosswalk.goal]", "[crosswalk.gaol]"),
        "unknown crosswalk 'gaol'; did you mean goal",
    ),
    "an unknown level": (_put('= "SMS_TEXT"', '= "SMS"'), "unknown target in .*'SMS'; did you mean SMS_TEXT"),
    "a word with two targets": (
        _add('"telephone" = "SMS_TEXT"', "[crosswalk.modality]\n"),
        "gives one word two targets",
    ),
    "a crosswalk to numbers": (_put('"normal" = "ROUTINE"', '"normal" = 0'), "must be a table of word = level"),
    "an unknown date format": (
        lambda text: 'date_format = "usa"\n' + text,
        "unknown date_format 'usa'; did you mean us",
    ),
    "simulated in words": (_put("simulated = true", 'simulated = "yes"'), "simulated must be true or false"),
    "an unknown time zone": (
        lambda text: text + '[rules.contacts]\ntime_zone = "New York"\n',
        "there is no zone 'New York'",
    ),
    "a code that is a number": (
        lambda text: text + "[rules.events]\ned_revenue = 450\n",
        "rules.events.ed_revenue must be a list of codes, each in quotes",
    ),
    "a time zone that is a number": (
        lambda text: text + "[rules.contacts]\ntime_zone = 5\n",
        "rules.contacts.time_zone: there is no zone 5",
    ),
    "a level for calls that is none": (
        lambda text: text + '[rules.contacts]\ncalls = ["PHONE"]\n',
        "unknown level in rules.contacts.calls: 'PHONE'",
    ),
    "no enrolment": (_without("enrolment"), "the spec names no enrolment"),
    "no claims": (_without("claims"), "names neither claims nor encounters"),
    "no contacts": (_without("contacts"), "without the program's contact log"),
    "a table that is not there": (
        lambda text: re.sub(r'path = "[^"]*members"', 'path = "gone.csv"', text),
        "table members: .*gone.csv does not exist",
    ),
    "a column that is not there": (_put('"BILL_TYPE"', '"TOB_CODE"'), "table claims .*'TOB_CODE'; "),
    "a column in other capitals": (_put('"BILL_TYPE"', '"Bill_Type"'), "no column 'Bill_Type', but 'BILL_TYPE'"),
    "a required column not named": (_put('time = "CONTACT_TIME"', ""), "table contacts needs time"),
    "no outcome": (_put('outcome = "OUTCOME"', ""), "table contacts needs outcome"),
    "an amount that is a date": (
        _put('paid = "PAID_AMOUNT"', 'paid = "FROM_DATE"'),
        "paid must be numbers, not a column",
    ),
    "a date that is an amount": (
        _put('received = "RECEIVED_DATE"', 'received = "PAID_AMOUNT"'),
        "received must be dates",
    ),
    "nothing complete": (
        lambda text: re.sub(r"complete_through = \S+", "complete_through = 2020-01-31", text),
        "no member-week is left: no week with coverage ends by 2020-01-31",
    ),
}


@pytest.mark.parametrize(("spec", "said"), SPECS.values(), ids=SPECS)
def test_bad_spec(convert, spec, said):
    message = str(convert(spec))
    assert re.search(said, message)
    assert message.count("spec.toml") == (not message.startswith("no member-week is left"))


@pytest.mark.parametrize(
    ("output", "options", "said"),
    [
        ("out/weeks.csv", {}, "is a Parquet file; weeks.csv ends otherwise"),
        ("none/weeks.parquet", {}, "can't write into .*none"),
        ("", {}, "name the table to write with -o"),
        ("out/weeks.parquet", {"engine": "polars"}, "unknown engine 'polars'; did you mean spark"),
        ("out/weeks.parquet", {"memory": "much"}, "it is no amount of memory; write --memory like 3GB"),
    ],
)
def test_bad_target(convert, output, options, said):
    assert re.search(said, str(convert(output=output, **options)))


FILES = {
    "an empty file": ("t.csv", lambda path: path.write_bytes(b""), "t.csv is empty"),
    "an unknown ending": ("t.xlsx", lambda path: path.write_bytes(b"PK"), "is no Parquet, CSV, Arrow or DuckDB file"),
    "text that says it is Parquet": (
        "t.parquet",
        lambda path: path.write_text(f"{SECRET},1"),
        "damaged, empty, or not what",
    ),
    "text that says it is Arrow": (
        "t.arrow",
        lambda path: path.write_text(f"{SECRET},1"),
        "damaged, empty, or not what",
    ),
    "text that says it is DuckDB": ("t.duckdb", lambda path: path.write_text(f"{SECRET},1"), "no DuckDB file"),
    "another encoding": (
        "t.csv",
        lambda path: path.write_bytes(f"MEMBER_ID,BIRTH_DATE\n{SECRET}\xe9,1990-01-01\n".encode("latin-1") * 50),
        "not UTF-8 text|damaged",
    ),
    "a line with another number of fields": (
        "t.csv",
        lambda path: path.write_text(f"MEMBER_ID,BIRTH_DATE\n{SECRET},1990-01-01\n{SECRET},1,2,3\n" * 20),
        "damaged, empty, or not what",
    ),
    "an empty folder": ("t", lambda path: path.mkdir(), "nor a folder with files of one kind"),
    "a folder of two kinds": (
        "t",
        lambda path: (path.mkdir(), (path / "a.csv").write_text("a"), (path / "b.parquet").write_text("b")),
        "nor a folder with files of one kind",
    ),
}


@pytest.mark.parametrize(("name", "write", "said"), FILES.values(), ids=FILES)
def test_bad_file(convert, tmp_path, name, write, said):
    write(tmp_path / name)
    assert re.search(said, str(convert(lambda text: re.sub(r'path = "[^"]*members"', f'path = "{name}"', text))))


def test_a_file_that_was_cut_off(convert, base, tmp_path):
    whole = next((base / "members").iterdir()).read_bytes()
    (tmp_path / "t.parquet").write_bytes(whole[: len(whole) // 2])
    error = convert(lambda text: re.sub(r'path = "[^"]*members"', 'path = "t.parquet"', text))
    assert "damaged" in str(error)


def _cell(column: str, value: object, rows: int = 3) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table = table.astype({column: object})
        table.loc[table.index[:rows], column] = value
        return table

    return change


def _dates(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(THRU_DATE=table["THRU_DATE"].mask(table.index < 3, pd.Timestamp("2020-01-01").date()))


def _circle(table: pd.DataFrame) -> pd.DataFrame:
    first, second = table["CLAIM_ID"].iloc[:2]
    table.loc[table.index[:2], "MEMBER_ID"] = table["MEMBER_ID"].iloc[0]
    table.loc[table.index[:2], "FROM_DATE"] = table["FROM_DATE"].iloc[0]
    table.loc[table.index[:2], "ADJUSTS_CLAIM_ID"] = [second, first]
    table.loc[table.index[:2], ["FREQUENCY_CODE", "STATUS"]] = ["7", "P"]
    return table


CELLS = {
    "a member missing": ("claims", _cell("MEMBER_ID", None), "claims.member: missing in 3 rows"),
    "an empty member": ("contacts", _cell("MEMBER_ID", "  "), "contacts.member: missing in 3 rows"),
    "a claim without a number": ("claims", _cell("CLAIM_ID", None), "claims.claim: missing in 3 rows"),
    "a day missing": ("claims", _cell("FROM_DATE", None), "claims.start: missing in 3 rows"),
    "a time missing": ("contacts", _cell("CONTACT_TIME", None), "contacts.time: missing in 3 rows"),
    "a span without a start": ("enrolment", _cell("START_DATE", None), "enrolment.start: missing in 3 rows"),
    "a date that is none": ("claims", _cell("FROM_DATE", SECRET), "claims.start: not a date in 3 rows"),
    "a day that does not exist": ("claims", _cell("FROM_DATE", "2024-02-30"), "claims.start: not a date in 3 rows"),
    "a date in another order": (
        "claims", _cell("FROM_DATE", "1/31/2024"),
        r"claims.start: not a date in 3 rows \(allowed: 2024-01-31, 2024-01-31 17:30\); write them so, or correct "
        "date_format",
    ),
    "an hour of no clock": ("contacts", _cell("CONTACT_TIME", "2024-01-02 13:30 PM"), "contacts.time: out of range in"),
    "a year of another age": ("claims", _cell("FROM_DATE", "0224-01-31"), "claims.start: out of range in 3 rows"),
    "an hour that does not exist": (
        "contacts", _cell("CONTACT_TIME", "2024-01-02 25:00"), "contacts.time: out of range in 3 rows"
    ),
    "a time that is none": (
        "contacts", _cell("CONTACT_TIME", "2024-01-02 noon"), "contacts.time: not a date in 3 rows"
    ),
    "a time with a zone": (
        "contacts", _cell("CONTACT_TIME", "2024-01-02T10:00:00Z"), "contacts.time: a time zone but no rule in 3 rows"
    ),
    "a claim that ends before": ("claims", _dates, "claims.end: ends before it starts in 3 rows"),
    "a span that ends before": (
        "enrolment", _cell("END_DATE", "2019-01-01"), "enrolment.end: ends before it starts in 3 rows"
    ),
    "an amount in words": ("claims", _cell("PAID_AMOUNT", SECRET), "claims.paid: not a number in 3 rows"),
    "an amount in another currency": (
        "claims", _cell("PAID_AMOUNT", "\u20ac12.00"),
        r"claims.paid: not a number in 3 rows \(allowed: 1234.5, 1,234.50, \$1,234, \(\$20.00\) for -20\)",
    ),
    "an amount with commas out of place": (
        "claims", _cell("PAID_AMOUNT", "$1,23.00"), "claims.paid: not a number in 3 rows",
    ),
    "an amount with a decimal comma": ("claims", _cell("PAID_AMOUNT", "12,50"), "claims.paid: not a number in 3 rows"),
    "a huge amount": ("claims", _cell("PAID_AMOUNT", "1e12"), "claims.paid: out of range in 3 rows"),
    "an unknown frequency": ("claims", _cell("FREQUENCY_CODE", "9"), "claims.frequency: unknown word in 3 rows"),
    "an unknown status": ("claims", _cell("STATUS", SECRET), "claims.status: unknown word in 3 rows"),
    "a void of nothing": ("claims", lambda t: t.assign(ADJUSTS_CLAIM_ID=""), "don't say which claim they adjust"),
    "adjustments in a circle": ("claims", _circle, "claims.adjusts: adjustments in a circle"),
    "an unknown channel": ("contacts", _cell("CHANNEL", SECRET), "contacts.modality: unknown word in"),
    "an unknown outcome": ("contacts", _cell("OUTCOME", SECRET), "contacts.outcome: unknown word in"),
    "an unknown direction": ("contacts", _cell("DIRECTION", SECRET), "contacts.direction: unknown word in"),
    "an empty topic": ("contacts", _cell("TOPIC", None, rows=40), "contacts.goal: unknown word in"),
    "half a contact": (
        "contacts", _cell("TOPIC", "NONE", rows=40), "contacts.modality and .*: a contact without a level in"
    ),
    "death before birth": ("members", _cell("DEATH_DATE", "1901-01-01"), "members.death: death before birth in 3 rows"),
    "a member twice": (
        "members", lambda t: pd.concat([t, t.head(2).assign(GENDER="other")]),
        "members.member: two rows for one member in 4 rows",
    ),
    "identifiers of claims that lost their letters": (
        "claims", lambda t: t.assign(MEMBER_ID=t["MEMBER_ID"].str[-3:]), "no row of table claims is about a member of"
    ),
    "identifiers of contacts that lost their letters": (
        "contacts", lambda t: t.assign(MEMBER_ID=t["MEMBER_ID"].str[-3:]), "no row of table contacts is about a member"
    ),
    "no spans": ("enrolment", lambda t: t.head(0), "table enrolment has no rows"),
    "no claims": ("claims", lambda t: t.head(0), "claims or encounters have no rows"),
    "no contacts": ("contacts", lambda t: t.head(0), "table contacts has no rows"),
    "a broken number for a member": (
        "members", lambda t: t.assign(MEMBER_ID=np.arange(len(t)) + 0.5), "members.member: not an identifier in 15 rows"
    ),
}  # fmt: skip


def test_all_cells_at_once(convert, base, tmp_path):
    """Every fault is counted in the one pass over its table, whatever else is wrong; one by one they are slow."""
    places = {label: 0 for label in LABELS}
    tables = {}
    for label in LABELS:
        files = [pd.read_parquet(file) for file in (base / label).iterdir()]
        tables[label] = pd.concat(files * 4, ignore_index=True).astype(object)
    expected = []
    for label, change, said in CELLS.values():
        if not (said.startswith(label) and said.endswith("in 3 rows")) or "ends before" in said or "birth" in said:
            continue
        rows = slice(places[label], places[label] + 3)
        part = change(tables[label].iloc[rows].reset_index(drop=True))
        tables[label].iloc[rows] = part[tables[label].columns].to_numpy()
        places[label] += 3
        expected.append(re.match(r"(\w+)\.(\w+): (.*) in 3 rows", said).groups())
    for label, table in tables.items():
        table.to_csv(tmp_path / f"{label}.csv", index=False)
    error = convert(lambda text: re.sub(r'path = "[^"]*/(\w+)"', r'path = "\1.csv"', text))
    assert isinstance(error, EventTablesError)
    found = {(fault.table, fault.column, fault.kind) for fault in error.faults}
    assert set(expected) <= found
    assert len(expected) >= 18
    assert str(error).endswith(f"(and {len(error.faults) - 1} more; --check lists all)")


@pytest.mark.slow
@pytest.mark.parametrize(("label", "change", "said"), CELLS.values(), ids=CELLS)
def test_bad_cells(convert, base, tmp_path, label, change, said):
    table = change(pd.concat([pd.read_parquet(file) for file in sorted((base / label).iterdir())], ignore_index=True))
    if "broken" in said or "not an identifier" in said:
        table.to_parquet(tmp_path / "t.parquet")
        name = "t.parquet"
    else:
        table.to_csv(tmp_path / "t.csv", index=False)
        name = "t.csv"
    error = convert(lambda text: re.sub(rf'path = "[^"]*{label}"', f'path = "{name}"', text))
    assert re.search(said, str(error)), str(error)


def test_there_are_sixty():
    assert len(SPECS) + 4 + len(FILES) + 1 + len(CELLS) >= 75


def test_a_word_is_listed_only_if_many_share_it(convert, base, tmp_path):
    table = pd.concat([pd.read_parquet(file) for file in (base / "contacts").iterdir()])
    table = pd.concat([table] * 5, ignore_index=True)
    table["MEMBER_ID"] = [f"{SECRET}M{number % 15:07d}" for number in range(len(table))]
    table["CHANNEL"] = ["Fax"] * (len(table) - 5) + [SECRET] * 5
    table["OUTCOME"] = "Spoke with member"
    table.to_csv(tmp_path / "t.csv", index=False)
    error = convert(lambda text: re.sub(r'path = "[^"]*contacts"', 'path = "t.csv"', text))
    assert isinstance(error, EventTablesError)
    assert [(column, word) for column, word, _ in error.words] == [("modality", "Fax")]

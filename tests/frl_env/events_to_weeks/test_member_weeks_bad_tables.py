"""Bad files and bad cells of them: what is wrong, where and in how many rows is said, and nothing of any member."""

import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from bad_extracts import LABELS, SECRET

pytest.importorskip("ibis")
pytest.importorskip("duckdb")

from frl_env.events_to_weeks import EventTablesError

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
    "a first row for names of columns": (
        "t.csv",
        lambda path: path.write_text(f"{SECRET},1990-01-01,1\n{SECRET},1991-01-01,2\n" * 20),
        "numbers or dates for names of columns: the file may lack its first line",
    ),
    "an empty folder": ("t", lambda path: path.mkdir(), "nor a folder with files of one kind"),
    "a folder of two kinds": (
        "t",
        lambda path: (path.mkdir(), (path / "a.csv").write_text("a"), (path / "b.parquet").write_text("b")),
        "nor a folder with files of one kind",
    ),
    "a part of a folder that nothing unpacks": (
        "t",
        lambda path: (path.mkdir(), (path / "a.csv").write_text("a"), (path / "b.csv.xz").write_text("b")),
        "holds 1 file packed as nothing here unpacks them",
    ),
}


@pytest.mark.parametrize(("name", "write", "said"), FILES.values(), ids=FILES)
def test_bad_file(refused, tmp_path, name, write, said):
    write(tmp_path / name)
    assert re.search(said, str(refused(lambda text: re.sub(r'path = "[^"]*members"', f'path = "{name}"', text))))


def test_a_file_that_was_cut_off(refused, good_tables, tmp_path):
    whole = next((good_tables / "members").iterdir()).read_bytes()
    (tmp_path / "t.parquet").write_bytes(whole[: len(whole) // 2])
    error = refused(lambda text: re.sub(r'path = "[^"]*members"', 'path = "t.parquet"', text))
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
    "a minute that does not exist": (
        "contacts", _cell("CONTACT_TIME", "2024-01-02 10:75"), "contacts.time: out of range in 3 rows"
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


@pytest.mark.long
def test_all_cells_at_once(refused, good_tables, tmp_path):
    """Every fault is counted in the one pass over its table, whatever else is wrong; one by one they are slow."""
    places = {label: 0 for label in LABELS}
    tables = {}
    for label in LABELS:
        files = [pd.read_parquet(file) for file in (good_tables / label).iterdir()]
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
    error = refused(lambda text: re.sub(r'path = "[^"]*/(\w+)"', r'path = "\1.csv"', text))
    assert isinstance(error, EventTablesError)
    found = {(fault.table, fault.column, fault.kind) for fault in error.faults}
    assert set(expected) <= found
    assert len(expected) >= 18
    assert str(error).endswith(f"(and {len(error.faults) - 1} more; --check lists all)")


@pytest.mark.slow
@pytest.mark.parametrize(("label", "change", "said"), CELLS.values(), ids=CELLS)
def test_bad_cells(refused, good_tables, tmp_path, label, change, said):
    table = change(
        pd.concat([pd.read_parquet(file) for file in sorted((good_tables / label).iterdir())], ignore_index=True)
    )
    if "broken" in said or "not an identifier" in said:
        table.to_parquet(tmp_path / "t.parquet")
        name = "t.parquet"
    else:
        table.to_csv(tmp_path / "t.csv", index=False)
        name = "t.csv"
    error = refused(lambda text: re.sub(rf'path = "[^"]*{label}"', f'path = "{name}"', text))
    assert re.search(said, str(error)), str(error)


def test_a_word_is_listed_only_if_many_share_it(refused, good_tables, tmp_path):
    table = pd.concat([pd.read_parquet(file) for file in (good_tables / "contacts").iterdir()])
    table = pd.concat([table] * 5, ignore_index=True)
    table["MEMBER_ID"] = [f"{SECRET}M{number % 15:07d}" for number in range(len(table))]
    table["CHANNEL"] = ["Fax"] * (len(table) - 5) + [SECRET] * 5
    table["OUTCOME"] = "Spoke with member"
    table.to_csv(tmp_path / "t.csv", index=False)
    error = refused(lambda text: re.sub(r'path = "[^"]*contacts"', 'path = "t.csv"', text))
    assert isinstance(error, EventTablesError)
    assert [(column, word) for column, word, _ in error.words] == [("modality", "Fax")]

"""Bad specs and bad targets: what is wrong is said in one line."""

import re
from collections.abc import Callable

import pytest

pytest.importorskip("ibis")
pytest.importorskip("duckdb")


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


@pytest.mark.long
@pytest.mark.parametrize(("spec", "said"), SPECS.values(), ids=SPECS)
def test_bad_spec(refused, spec, said):
    message = str(refused(spec))
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
def test_bad_target(refused, output, options, said):
    assert re.search(said, str(refused(output=output, **options)))

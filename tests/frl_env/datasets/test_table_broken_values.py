"""Broken values in a table, one fault each: every one ends in a clear error, and no file is left behind."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from refusals import ID, SECRET, SECRET_NUMBER, check_refusal

from frl_env.datasets.table_import import ImportOptions, TableError, import_table
from frl_env.errors import UserError

Change = Callable[[pd.DataFrame], "pd.DataFrame | None"]


def put(column: str, value, rows=(3,), kind=None) -> Change:
    """Writes a value into some cells of a column."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        if kind is not None:
            table[column] = table[column].astype(kind)
        for row in rows:
            table.at[table.index[row], column] = value
        return table

    return change


def without(*columns: str) -> Change:
    return lambda table: table.drop(columns=list(columns))


def as_column(column: str, make: Callable[[pd.DataFrame], object]) -> Change:
    return lambda table: table.assign(**{column: make(table)})


def later(days: int, row: int = 3) -> Change:
    """Weeks as dates, one of them some days off."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        week = pd.Timestamp("2024-01-01") + pd.to_timedelta(table["week"] * 7, unit="D")
        week.iloc[row] += pd.Timedelta(days=days)
        return table.assign(week=week)

    return change


def outcomes(change: Change = lambda table: table) -> Change:
    """The published schema, every window consistent with nothing having happened."""

    def whole(table: pd.DataFrame) -> pd.DataFrame:
        later = [name for name in table if name.startswith("next_")]
        return change(table.drop(columns=["reward", *later]).assign(future_ed_30d=0.0, future_ip_30d=0.0))

    return whole


def idle(table: pd.DataFrame) -> int:
    """A row on which nothing was done."""
    return int(np.flatnonzero(table["action_modality"] == "NONE")[0])


VALUES: dict[str, tuple[Change, str]] = {
    "no member": (without("member_id"), "member_id: no such column"),
    "no week": (without("week"), "week: no such column; name it with --column"),
    "no state": (without("total_paid"), "total_paid: no such column; "),  # what comes later is not proposed as a state
    "no action": (without("action_goal"), "action_goal: no such column"),
    "misspelt column": (
        lambda t: t.rename(columns={"total_paid": "totl_paid"}), "no such column .allowed: 'totl_paid' is the nearest",
    ),
    "no reward": (without("reward"), "no reward and no outcomes"),
    "one outcome": (lambda t: t.drop(columns="reward").assign(future_ed_30d=0), "no reward and no outcomes"),
    "some next states": (without("next_total_paid"), "next_total_paid: no such column"),
    "some chances of factors": (without("propensity_goal"), "propensity_goal: no such column"),
    "no rows": (lambda t: t.iloc[:0], "table: no rows"),
    "state of lists": (as_column("total_paid", lambda t: [[1.0]] * len(t)), "total_paid: wrong type"),
    "state of dates": (as_column("total_paid", lambda t: pd.Timestamp("2024-01-01")), "total_paid: wrong type"),
    "members of flags": (as_column("member_id", lambda t: t["week"] > 3), "member_id: wrong type"),
    "weeks of flags": (as_column("week", lambda t: t["week"] > 3), "week: wrong type"),
    "actions of flags": (as_column("action_urgency", lambda t: t["week"] > 3), "action_urgency: wrong type"),
    "reward of structs": (as_column("reward", lambda t: [{"a": 1}] * len(t)), "reward: wrong type"),
    "missing member": (put("member_id", np.nan, kind="float"), "member_id: missing in 1 row"),
    "empty member": (put("member_id", " ", kind="str"), "member_id: missing in 1 row"),
    "fractional member": (put("member_id", SECRET_NUMBER, kind="float"), "member_id: not an identifier in 1 row"),
    "missing week": (put("week", np.nan, kind="float"), "week: missing in 1 row"),
    "fractional week": (put("week", 3.5, kind="float"), "week: not a week in 1 row"),
    "week of text": (put("week", SECRET, kind="str"), "week: not a week in 1 row"),
    "week out of bounds": (put("week", 10**9), "week: not a week in 1 row"),
    "infinite week": (put("week", np.inf, kind="float"), "week: not a week in 1 row"),
    "no such day": (
        lambda t: put("week", "2024-02-30")(later(0)(t).astype({"week": "str"})), "week: not a week in 1 row",
    ),
    "day in another century": (put("week", pd.Timestamp("1685-03-21"), kind=None), "week: not a week in 1 row"),
    "NaN": (put("enrolled_days", np.nan, rows=(3, 4)), "enrolled_days: missing in 2 rows"),
    "null": (lambda t: put("num_calls_last_week", pd.NA)(t.convert_dtypes()), "num_calls_last_week: missing in 1 row"),
    "infinite": (put("total_paid", np.inf), "total_paid: not a number in 1 row"),
    "text for a number": (put("total_paid", SECRET, kind="object"), "total_paid: not a number in 1 row"),
    "comma in a number": (put("total_paid", "1,5", kind="object"), "total_paid: not a number in 1 row"),
    "negative count": (put("num_texts_last_week", -1), r"out of range in 1 row \(allowed: whole numbers in 0..100\)"),
    "379 events in a week": (put("num_ed_visits_last_week", 379), r"out of range in 1 row \(allowed: .*0..21\)"),
    "eight stays in a week": (put("num_ip_visits_last_week", 8), "num_ip_visits_last_week: out of range"),
    "half a visit": (put("num_ed_visits_last_week", 0.5), "num_ed_visits_last_week: not a whole number in 1 row"),
    "negative payment": (put("total_paid", -SECRET_NUMBER), "total_paid: out of range in 1 row"),
    "enrolled for 200 years": (put("enrolled_days", 73_000), "enrolled_days: out of range in 1 row"),
    "next state out of range": (put("next_total_paid", -1), "next_total_paid: out of range in 1 row"),
    "unknown level": (put("action_goal", SECRET), "action_goal: unknown level in 1 row"),
    "a role that is no slip for NONE": (
        put("action_provider", "NURSE"), "unknown level in 1 row .allowed: NONE, CHW, CARE_COORDINATOR",
    ),
    "a slip for NONE": (put("action_provider", "NON"), "unknown level in 1 row .allowed: nearest: NONE; all"),
    "misspelt level": (put("action_goal", "FOD_INSECURITY"), "nearest: FOOD_INSECURITY"),
    "level misspelt in small letters": (
        put("action_modality", "fone_call"), "action_modality: unknown level in 1 row .allowed: nearest: PHONE_CALL",
    ),
    "no level near": (put("action_goal", "123456"), "allowed: NONE, MEDICATION_ADHERENCE, .*, CARE, OTHER, or 0..17"),
    "commas in some numbers": (
        lambda t: put("total_paid", "1,234", rows=(0, 1))(
            put("total_paid", "5678.00", rows=(2,))(t.astype({"total_paid": object}))
        ),
        "total_paid: commas in some numbers in 2 rows",
    ),
    "names in several letters": (
        lambda t: t.rename(columns={"week": "Week"}).assign(WEEK=1), "week: one name in several letters",
    ),
    "a week that the year has not": (
        lambda t: t.assign(week=202401 + t["week"]).replace({"week": {202403: 202453}}),
        r"week: not a week in \d+ rows",
    ),
    "code out of range": (
        lambda t: t.assign(action_modality=6),
        r"modality: unknown level in \d+ rows \(allowed: .*PHONE_CALL, SMS_TEXT.*, or 0..5",
    ),
    "negative code": (as_column("action_provider", lambda t: -1), "action_provider: unknown level"),
    "fractional code": (as_column("action_provider", lambda t: 0.5), "action_provider: unknown level"),
    "missing level": (put("action_urgency", None), "action_urgency: missing in 1 row"),
    "goal without contact": (
        lambda t: put("action_goal", "DENTAL", rows=(idle(t),))(t), "action: impossible action in 1 row",
    ),
    "urgent nothing": (
        lambda t: put("action_urgency", "URGENT", rows=(idle(t),))(t), "action: impossible action in 1 row",
    ),
    "missing reward": (put("reward", np.nan), "reward: missing in 1 row"),
    "positive reward": (put("reward", 1), r"reward: out of range in 1 row \(allowed: -28..0\)"),
    "reward of text": (put("reward", SECRET, kind="object"), "reward: not a number in 1 row"),
    "missing outcome": (
        outcomes(lambda t: put("future_ed_30d", np.nan)(t[t["week"] % 3 == 0])), "future_ed_30d: missing in 1 row",
    ),
    "negative outcome": (outcomes(put("future_ed_30d", -1)), "future_ed_30d: out of range in 1 row"),
    "outcome of half a visit": (outcomes(put("future_ip_30d", 0.5)), "future_ip_30d: not a whole number in 1 row"),
    "chance of nothing": (put("propensity", 0), r"propensity: not a chance in 1 row \(allowed: above 0, at most 1\)"),
    "chance above one": (put("propensity", 1.5), "propensity: not a chance in 1 row"),
    "negative chance of a factor": (put("propensity_goal", -0.1), "propensity_goal: not a chance in 1 row"),
    "perhaps terminated": (put("terminated", "perhaps", kind="object"), "terminated: not true or false in 1 row"),
    "missing end": (put("terminated", None, kind="object"), "terminated: missing in 1 row"),
    "weeks after the end": (put("terminated", True), r"terminated: after the end in \d+ rows"),
    "row twice": (lambda t: pd.concat([t, t.iloc[[3]]]), "week: same row twice in 1 row"),
    "two rows for a week": (
        lambda t: pd.concat([t, t.iloc[[3]].assign(total_paid=1.0)]), "week: two rows for one week in 2 rows",
    ),
    "overlapping weeks": (later(-3), "week: overlapping weeks in 1 row"),
    "ten days apart": (later(3, row=11), "week: gap in 1 row"),
    "missing row": (lambda t: t.drop(index=3), "week: gap in 1 row "),
    "members mixed up": (lambda t: t.assign(member_id="all"), "week: two rows for one week"),
    "a hundred years": (
        lambda t: pd.concat([t, t.iloc[[0] * 5_300].assign(member_id=7, week=range(5_300))]),
        "member_id: too many weeks in 5,300 rows",
    ),
    "days in care go down": (put("enrolled_days", 0, rows=(5,)), "enrolled_days: time runs backwards in 1 row"),
    "another next state": (put("next_total_paid", 1.0, rows=(5,)), "total_paid: not the next row's state in 1 row"),
    "copy of the reward": (
        lambda t: t.assign(reward=-(t["week"] == 4).astype(float), num_calls_last_week=(t["week"] == 4).astype(float)),
        "num_calls_last_week: copy of an outcome",
    ),
    "copy of an outcome": (
        outcomes(lambda t: t.assign(future_ed_30d=t["week"] % 3, num_texts_last_week=t["week"] % 3)),
        "num_texts_last_week: copy of an outcome",
    ),
    "reward of last week": (
        lambda t: t.assign(reward=-(t["num_ed_visits_last_week"] + t["num_ip_visits_last_week"])),
        "reward: reward of the week before",
    ),
    "a group for every row": (
        as_column("gender", lambda t: [f"{SECRET}{i}" for i in range(len(t))]), "gender: too many categories",
    ),
    "one week each": (
        lambda t: t[t["week"] == 0].drop(columns=[c for c in t if c.startswith("next_")]),
        "no row of the table can be used",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", VALUES)
def test_a_broken_table_is_refused_in_words(fault, table, tmp_path, empty_store):
    change, said = VALUES[fault]
    if fault == "reward of last week":  # there are too few events of one's own to be sure
        table = table.drop(columns=[name for name in table if name.startswith("next_")])
        table.loc[table["week"] == 4, "num_ed_visits_last_week"] = 1.0
    broken = change(table.astype({"week": "object"}) if fault == "day in another century" else table)
    if fault == "day in another century":
        first = pd.Timestamp("2024-01-01")
        broken["week"] = [w if isinstance(w, pd.Timestamp) else first + pd.Timedelta(weeks=w) for w in broken["week"]]
    file = tmp_path / "table.parquet"
    try:
        broken.to_parquet(file)
    except (pa.ArrowException, TypeError, ValueError):
        file = tmp_path / "table.csv"  # columns of several types exist in text only
        broken.to_csv(file, index=False)
    with pytest.raises(UserError, match=said) as caught:
        import_table(file, ID)
    if isinstance(caught.value, TableError):
        assert all(problem.way_out for problem in caught.value.problems)
    check_refusal(str(caught.value), empty_store)


@pytest.mark.parametrize("fault", [name for name in VALUES if "copy" not in name and name != "reward of last week"])
def test_dropping_repairs_it_or_says_why_not(fault, table, tmp_path, empty_store):
    """With --on-error drop an import ends well, or no less clearly than without."""
    change, _ = VALUES[fault]
    try:
        broken = change(table)
        broken.to_parquet(tmp_path / "table.parquet")
    except (pa.ArrowException, TypeError, ValueError):
        pytest.skip("exists in text only")
    try:
        result = import_table(tmp_path / "table.parquet", ID, options=ImportOptions(on_error="drop"))
    except UserError as problem:
        check_refusal(str(problem), empty_store)
    else:
        facts = result.facts[0]
        assert facts["repairs"]
        split = sum(repair["rows"] for repair in facts["repairs"] if repair["done"] == "split")
        assert facts["rows_left_out"] + facts["rows"] - facts["steps"] + split > 0
        assert result.load().total_steps > 100


def test_the_corpus_is_large():
    assert len(VALUES) >= 60


def test_all_problems_come_in_one_report(table, tmp_path, empty_store):
    for column, value in (("total_paid", -1), ("action_goal", SECRET), ("reward", np.nan), ("terminated", True)):
        put(column, value)(table)
    table.to_parquet(tmp_path / "table.parquet")
    with pytest.raises(TableError) as caught:
        import_table(tmp_path / "table.parquet", ID)
    assert {(p.column, p.kind) for p in caught.value.problems} == {
        ("total_paid", "out of range"), ("action_goal", "unknown level"), ("reward", "missing"),
        ("terminated", "after the end"),
    }  # fmt: skip

"""Readings of a table that would turn what is learnt: weeks without a decision, rewards of another sign or unit."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from frl_env import MEDICAID_ACTIONS, cli
from frl_env.datasets import collect
from frl_env.datasets.table_import import ColumnMap, ImportOptions, TableError, import_table
from frl_env.datasets.table_import.checking.left_out import in_words
from frl_env.datasets.table_import.checking.outcomes import COUNTS
from frl_env.parameters import preset
from tests.frl_env.conftest import table_of

ID = "tests/readings-v0"
ACTIONS = [f"action_{factor.name}" for factor in MEDICAID_ACTIONS]
DOLLARS = "minus what was paid; US dollars; the week after the decision"


@pytest.fixture(autouse=True)
def _own_store(empty_store):
    """Every test has a store of its own."""


@pytest.fixture(scope="module")
def many() -> pd.DataFrame:
    table = table_of(collect(preset(), members=150, seed=5, horizon=26))
    return table[[name for name in table if not name.startswith(("next_", "propensity"))]]


def _facts(table: pd.DataFrame, folder: Path, columns: ColumnMap | None = None, **options) -> dict:
    table.to_parquet(folder / "t.parquet")
    options = ImportOptions(**options)
    return import_table(folder / "t.parquet", ID, columns=columns, options=options, check_only=True).facts[0]


def _problems(table: pd.DataFrame, folder: Path, **options) -> TableError:
    with pytest.raises(TableError) as caught:
        _facts(table, folder, **options)
    return caught.value


def test_a_week_that_is_not_over_is_neither_with_a_contact_nor_without(many, tmp_path):
    last = many["week"] == many.groupby("member_id")["week"].transform("max")
    table = many.copy()
    table[ACTIONS] = table[ACTIONS].mask(last)
    contacts, others = (int((~last & where).sum()) for where in _kinds(many))
    said = f"{last.sum():,} whose decision is empty (a week that is not over has none yet; its state is lost here,"
    assert said in _problems(table, tmp_path).losses
    lost = _facts(table, tmp_path, on_error="drop")["left_out"]
    assert lost["contacts"] == {"left_out": 0, "of": 20 * round(contacts / 20), "share": 0.0}
    assert lost["other_weeks"] == {"left_out": 0, "of": 20 * round(others / 20), "share": 0.0}
    assert lost["undecided_weeks"] == last.sum()
    assert "undecided_weeks" not in _facts(many, tmp_path)["left_out"]


def test_an_open_week_is_no_lost_week_without_a_contact(many, tmp_path):
    """Where the map takes an empty decision for no contact, only the reward tells that a week is not over."""
    last = many["week"] == many["week"].max()
    early = many["member_id"].isin(many.loc[last, "member_id"].unique()[:40]) & (many["week"] == many["week"].max() - 3)
    contact, other = (kind & ~last for kind in _kinds(many))
    table = many.astype({"reward": "float64"})
    table.loc[last, ["reward", *ACTIONS]] = None
    table.loc[last, "terminated"] = False
    table["reward"] = table["reward"].mask(early)  # these are over
    spellings = {name: {"": MEDICAID_ACTIONS[name.removeprefix("action_")].levels[0]} for name in ACTIONS}
    columns = ColumnMap(values=spellings)
    facts = _facts(table, tmp_path, columns=columns, on_error="drop")
    lost = facts["left_out"]
    assert facts["rows_left_out"] == last.sum() + early.sum()
    assert lost["open_weeks"] == last.sum()
    assert lost["contacts"]["left_out"] == (early & contact).sum()
    assert lost["other_weeks"]["left_out"] == (early & other).sum()
    assert lost["other_weeks"]["of"] == 20 * round(other.sum() / 20)
    said = in_words(lost)
    assert f"{last.sum():,} that are a member's last and have no reward (a week that is not over has none yet;" in said
    table["reward"] = table["reward"].mask(early, 0.0)
    assert "far more often" not in in_words(_facts(table, tmp_path, columns=columns, on_error="drop")["left_out"])


def test_a_last_week_whose_next_state_is_known_is_over(many, tmp_path):
    last = many["week"] == many["week"].max()
    states = [f"num_{name}_last_week" for name in ("encounters", "ed_visits", "ip_visits", "calls", "texts")]
    states += ["enrolled_days", "total_paid"]
    following = many.groupby("member_id")[states].shift(-1).add_prefix("next_").fillna(0)
    table = many.join(following).assign(reward=many["reward"].mask(last))
    lost = _facts(table, tmp_path, on_error="drop")["left_out"]
    assert "open_weeks" not in lost
    assert lost["contacts"]["left_out"] + lost["other_weeks"]["left_out"] == last.sum()


def test_members_whose_end_is_lost_are_told(many, tmp_path):
    ends = many["terminated"].copy()
    gone = many["member_id"].isin(many["member_id"].unique()[:40])
    ends |= gone & (many["week"] == many.groupby("member_id")["week"].transform("max"))
    assert ends.sum() > 40
    table = many.assign(terminated=ends, total_paid=many["total_paid"].mask(gone & ends))
    lost = _facts(table, tmp_path, on_error="drop")["left_out"]
    assert lost["ends"] == {"left_out": "all but fewer than 11", "of": int(ends.sum())}
    assert "that a member died or left for good is lost for all but fewer than 11 of 4" in in_words(lost)
    few = table.assign(total_paid=many["total_paid"].mask(table.index == table.index[ends][0]))
    assert _facts(few, tmp_path, on_error="drop")["left_out"]["ends"]["left_out"] == "fewer than 11"


def test_an_end_without_outcomes_is_told(many, tmp_path):
    """Where the next state's counts are the rewards, the outcomes of the last week say what came of it."""
    last = many["week"] == many.groupby("member_id")["week"].transform("max")
    ends = last & many["member_id"].isin(many["member_id"].unique()[:40])
    table = many.drop(columns="reward").assign(terminated=ends, future_ed_30d=0.0, future_ip_30d=0.0)
    states = ["num_ed_visits_last_week", "num_ip_visits_last_week"]
    table[states] = 0.0
    assert not any("died or left" in line for line in _facts(table, tmp_path)["odd"])
    table["future_ip_30d"] = table["future_ip_30d"].mask(ends)
    facts = _facts(table, tmp_path)
    assert facts["rewards"] == COUNTS
    (said,) = [line for line in facts["odd"] if "died or left" in line]
    assert said.startswith("terminated: 40 of 40 members who died or left for good have no outcomes in that week")


def test_rows_without_outcomes_are_left_out_of_single_steps_and_counted(many, tmp_path):
    contact, _ = _kinds(many)
    chosen = many.index[contact][:60]
    table = many.drop(columns="reward").assign(future_ed_30d=1.0, future_ip_30d=0.0)
    table.loc[chosen, "future_ed_30d"] = np.nan
    problem = _problems(table, tmp_path, rewards="one-step")
    assert "60 of about" in problem.losses
    assert "contacts are lost far more often" in problem.losses
    facts = _facts(table, tmp_path, rewards="one-step", on_error="drop")
    assert facts["rows_left_out"] == 60
    assert facts["left_out"]["contacts"]["left_out"] == 60
    assert facts["left_out"]["other_weeks"]["left_out"] == 0


@pytest.mark.parametrize("how", ["of the next member", "zeros"])
def test_a_next_state_of_somebody_else_is_found(how, many, tmp_path):
    """LEAD without its members, or with a default: what stands behind a member's last row is no state a week later."""
    states = list(ColumnMap().states)
    table = many.sort_values(["member_id", "week"]).reset_index(drop=True)
    following = table[states].shift(-1) if how == "of the next member" else table.groupby("member_id")[states].shift(-1)
    table = table.join(following.fillna(0.0).add_prefix("next_"))
    last = (table["member_id"] != table["member_id"].shift(-1)) & ~table["terminated"]
    wrong = last & ~(table["next_enrolled_days"] - table["enrolled_days"]).between(0, 14)
    assert wrong.sum() > 0.9 * last.sum()
    (problem,) = _problems(table, tmp_path).problems
    assert (problem.column, problem.rows) == ("next_enrolled_days", wrong.sum())
    assert "the same member's a week later (LEAD by member)" in problem.way_out
    facts = _facts(table, tmp_path, on_error="drop")
    assert [repair["done"] for repair in facts["repairs"]] == ["taken for not known"]
    assert facts["rows_left_out"] == 0
    dataset = import_table(tmp_path / "t.parquet", ID, options=ImportOptions(on_error="drop")).load()
    assert dataset.total_steps == len(table) - wrong.sum()
    table.loc[wrong, [f"next_{name}" for name in states]] = np.nan
    assert _facts(table, tmp_path)["repairs"] == []


def test_chances_of_a_contact_are_not_those_of_what_was_done(tmp_path):
    table = table_of(collect(preset(), members=150, seed=5, horizon=26))
    table = table[[name for name in table if not name.startswith(("next_", "propensity_"))]]
    assert _facts(table, tmp_path)["odd"] == []
    contact, other = _kinds(table)
    of_contact = table.assign(propensity=contact.mean())
    (said,) = _facts(of_contact, tmp_path)["odd"]
    ratio = other.mean() / contact.mean()
    assert said.startswith("propensity: chances and what was done don't fit: over weeks without a contact 1 / chance")
    assert f"{ratio:.1f} times the number of all weeks" in said
    assert _facts(of_contact.assign(propensity=contact.mean() * contact + other.mean() * other), tmp_path)["odd"] == []


def test_where_the_table_ends_nobody_died(many, tmp_path):
    last = many["week"] == many.groupby("member_id")["week"].transform("max")
    (said,) = _facts(many.assign(terminated=last), tmp_path)["odd"]
    assert said.startswith("terminated: 100% of the members with a row of the newest week end in it; it is for those")


def test_a_row_without_a_week_and_decision_is_undecided_too(many, tmp_path):
    table = many.copy()
    rows = table.index[:30]
    table["week"] = table["week"].astype("Int64")
    table.loc[rows, ["week", *ACTIONS]] = None
    lost = _facts(table, tmp_path, on_error="drop")["left_out"]
    assert (lost["undecided_weeks"], lost["other_weeks"]["left_out"], lost["contacts"]["left_out"]) == (30, 0, 0)


def test_one_empty_cell_beside_a_contact_is_a_contact(many, tmp_path):
    contact, _ = _kinds(many)
    table = many.copy()
    chosen = table.index[contact][:30]
    table.loc[chosen, "action_goal"] = None
    lost = _facts(table, tmp_path, on_error="drop")["left_out"]
    assert lost["contacts"]["left_out"] == 30
    assert "undecided_weeks" not in lost


@pytest.mark.parametrize("on_error", ["fail", "drop", "clip"])
def test_rewards_of_the_other_sign_stop_an_import(on_error, many, tmp_path):
    table = many.assign(reward=-many["reward"])
    problem = _problems(table, tmp_path, on_error=on_error)
    assert [(each.column, each.kind) for each in problem.problems] == [("reward", "the other sign")]
    assert "two events are -2" in str(problem)
    assert " 0% of events" not in problem.losses or on_error == "clip"  # what is clipped is not left out


def test_outcomes_of_the_other_sign_stop_an_import(many, tmp_path):
    table = many.drop(columns="reward").assign(future_ip_30d=0.0)
    table["future_ed_30d"] = -3.0 * (np.arange(len(table)) % 5 == 0)
    kinds = {each.kind for each in _problems(table, tmp_path, on_error="drop").problems}
    assert kinds == {"the other sign"}


def test_a_few_rewards_above_0_are_mistakes(many, tmp_path):
    table = many.copy()
    table.loc[table.index[:25], "reward"] = 1.0
    assert (table["reward"] < 0).sum() > 25
    problem = _problems(table, tmp_path)
    assert [(each.column, each.kind) for each in problem.problems] == [("reward", "out of range")]
    assert _facts(table, tmp_path, on_error="drop")["rows_left_out"] == 25


def test_rewards_above_0_that_limits_allow_are_odd(many, tmp_path):
    columns = ColumnMap(limits={"reward": (0, 28)})
    odd = _facts(many.assign(reward=-many["reward"]), tmp_path, columns=columns)["odd"]
    assert any("events must lower them" in line for line in odd)
    assert not any("no event in any row" in line for line in odd)


@pytest.mark.parametrize("on_error", ["fail", "drop", "clip"])
def test_dollars_for_events_stop_an_import(on_error, many, tmp_path):
    problem = _problems(many.assign(reward=1_200.0 * many["reward"]), tmp_path, on_error=on_error)
    assert [(each.column, each.kind) for each in problem.problems] == [("reward", "another unit")]
    assert "[limits] and [definitions]" in str(problem)


@pytest.mark.parametrize(
    ("factor", "low", "said"),
    [
        (1_000, -28_000, "more events than a week can hold"),
        (1.37, -50, "no whole number"),
        (0.001, -1, "no whole number"),
        (4, -112, "its sum is about"),
    ],
)
def test_rewards_of_another_unit_are_odd_unless_the_map_defines_them(factor, low, said, many, tmp_path):
    table = many.assign(reward=factor * many["reward"])
    limits = {"reward": (low, 0)}
    odd = _facts(table, tmp_path, columns=ColumnMap(limits=limits))["odd"]
    assert any(line.startswith("reward: ") and said in line for line in odd)
    facts = _facts(table, tmp_path, columns=ColumnMap(limits=limits, definitions={"reward": DOLLARS}))
    assert not facts["odd"]
    (events,) = [line for line in facts["understood"] if line.startswith("events: ")]
    assert events.startswith("events: not told; minus the reward sums to ")
    assert _facts(many, tmp_path)["odd"] == []


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_the_rows_of_a_text_file_are_counted_once(name, many, tmp_path):
    many.to_csv(tmp_path / name, index=False)
    told = []
    import_table(tmp_path / name, ID, check_only=True, progress=lambda *said: told.append(said))
    reading = [(done, total) for what, done, total in told if what == "reading"]
    assert reading[-1] == (len(many), len(many))
    if name == "t.csv":
        assert all(abs(total - len(many)) < 0.1 * len(many) for _, total in reading)


def test_the_bar_shows_the_last_total(many, tmp_path, monkeypatch, capsys):
    many.to_csv(tmp_path / "t.csv", index=False)
    monkeypatch.setattr(sys, "argv", ["frl", "import", str(tmp_path / "t.csv"), "--id", ID, "--check"])
    with pytest.raises(SystemExit):
        cli.main()
    assert f"{len(many)}/{len(many)}" in capsys.readouterr().err


def test_events_of_rows_without_a_week_are_lost_events(many, tmp_path):
    rows = many["reward"] < 0
    table = many.assign(week=many["week"].astype("Int64").mask(rows))
    lost = _facts(table, tmp_path, on_error="drop")["left_out"]
    assert lost["share_of_events"] == 1.0


def test_few_lost_events_are_no_0_percent(many, tmp_path):
    table = many.copy()
    table.loc[table.index[table["reward"] == 0][:30], "total_paid"] = np.nan
    assert "under 1% of events" in _problems(table, tmp_path).losses


def test_leaving_out_every_row_is_no_way_out(many, tmp_path):
    table = many.assign(week=pd.to_datetime("2024-01-01") + pd.to_timedelta(7 * many["week"], unit="D"))
    table["week"] = table["week"].dt.strftime("%m/%d/%Y")
    (problem,) = [each for each in _problems(table, tmp_path).problems if each.column == "week"]
    assert (problem.rows, problem.way_out) == (len(many), "write whole numbers or dates like 2024-01-31")
    few = many.assign(total_paid=many["total_paid"].where(many.index > 20))
    (problem,) = _problems(few, tmp_path).problems
    assert problem.way_out.endswith("or leave the rows out with --on-error drop")


def test_columns_that_nothing_was_taken_from_are_named_where_one_is_missing(many, tmp_path):
    table = many.rename(columns={"member_id": "MBR_KEY", "total_paid": "spend"}).assign(
        **{f"z{i}": 0 for i in range(60)}
    )
    problem = _problems(table, tmp_path)
    assert problem.unused[:3] == ("MBR_KEY", "spend", "z0")
    assert "columns that are not used: MBR_KEY, spend, z0, z1" in str(problem)
    assert "z37, and 22 more" in str(problem)
    assert _problems(many.drop(columns="reward"), tmp_path).unused == ()


def test_a_slip_in_a_word_of_the_map_names_its_level(many, tmp_path):
    table = many.copy()
    table["action_modality"] = table["action_modality"].replace({"PHONE_CALL": "Rufnummer", "SMS_TEXT": "Rufnumer"})
    columns = ColumnMap(values={"action_modality": {"Rufnummer": "PHONE_CALL"}})
    with pytest.raises(TableError, match=r"unknown level .*nearest: PHONE_CALL"):
        _facts(table, tmp_path, columns=columns)


def _kinds(table: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Weeks with a contact and weeks without."""
    contact = table["action_modality"] != "NONE"
    return contact, ~contact

"""Each history of `event_histories` comes out as the member-weeks beside it; on Spark, too, where there is one."""

import json
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

pytest.importorskip("ibis")
pytest.importorskip("duckdb")
from event_histories import HISTORIES, History

from frl_env.events_to_weeks import weeks, writing
from frl_env.events_to_weeks.facts import assemble, cells

STATES = ("num_encounters", "num_ed_visits", "num_ip_visits", "num_calls", "num_texts")
CLAIMS = (
    "claim", "start", "end", "received", "adjusts", "frequency", "status", "bill_type", "revenue", "hcpcs", "place",
    "discharge", "paid",
)  # fmt: skip
DEFAULTS = {"claims": {"known": "at_service", "complete_through": "2024-01-28"}}


def _day(text: str) -> str:
    return text if not text or text[:2] == "20" else f"2024-{text}"


def _rules(history: History) -> dict[str, dict]:
    rules = {group: dict(values) for group, values in DEFAULTS.items()}
    for group, values in history.rules.items():
        rules.setdefault(group, {}).update(values)
    return rules


def _grouped() -> dict[str, list[History]]:
    """Histories by their rules, so that each set of rules is one conversion.

    Rules of contacts make no difference to histories without contacts, nor rules of events to those without claims:
    such sets are put together.
    """
    groups: dict[str, list[History]] = {}
    for history in HISTORIES:
        groups.setdefault(json.dumps(_rules(history), sort_keys=True), []).append(history)
    events = [rules for rules in groups if "events" in rules and all(not history.contacts for history in groups[rules])]
    for rules in [rules for rules in groups if '"contacts"' in rules]:
        if events and all(not history.claims for history in groups[rules]):
            other = events.pop()
            both = json.loads(other) | json.loads(rules)
            if json.loads(other)["claims"] == json.loads(rules)["claims"]:
                groups[json.dumps(both, sort_keys=True)] = groups.pop(rules) + groups.pop(other)
    return groups


GROUPS = _grouped()
QUICK = {
    history.name
    for rules, histories in GROUPS.items()
    for history in histories
    if not history.rules or '"when_received"' in rules or '"ed_to_stay"' in rules
}
"""The others, a conversion each, are slow; these are most."""


def _toml(rules: dict) -> str:
    lines = []
    for group, values in rules.items():
        lines.append(f"[rules.{group}]")
        for name, value in values.items():
            bare = isinstance(value, int) or name in ("complete_through", "as_of", "first_day")
            lines.append(f"{name} = {value if bare else json.dumps(value)}")
    return "\n".join(lines)


def write_histories(folder: Path, histories: list[History], rules: dict) -> Path:
    """Event tables of some histories, a member each, and their spec."""
    spans, claims, contacts, people = [], [], [], []
    for history in histories:
        for start, end, *dual in history.spans:
            spans.append((history.name, _day(start), _day(end), *(dual or ["no"])))
        for claim in history.claims:
            days = {name: _day(claim[name]) for name in ("start", "end", "received") if name in claim}
            numbered = {name: f"{history.name}/{claim[name]}" for name in ("claim", "adjusts") if name in claim}
            claims.append({"member": history.name} | claim | days | numbered)
        for time, action, outcome, *direction in history.contacts:
            contacts.append((history.name, _day(time), *action.split("/"), outcome, *(direction or ["outbound"])))
        people.append(
            {"member": history.name, "birth": "", "death": ""} | {k: _day(v) for k, v in history.person.items()}
        )
    # Somebody else, so that no table is empty.
    spans.append(("somebody else", "2024-01-01", "", "no"))
    claims.append({"member": "somebody else", "claim": "-", "start": "2024-01-01"})
    contacts.append(("somebody else", "2024-01-01", "NONE", "NONE", "NONE", "ROUTINE", "attempted", "outbound"))
    left = ["left"] if any("left" in history.person for history in histories) else []
    factors = ["modality", "provider", "goal", "urgency"]
    tables = {
        "enrolment": pd.DataFrame(spans, columns=["member", "start", "end", "dual"]),
        "members": pd.DataFrame(people, columns=["member", "birth", "death", *left]),
        "claims": pd.DataFrame(claims, columns=["member", *CLAIMS]),
        "contacts": pd.DataFrame(contacts, columns=["member", "time", *factors, "outcome", "direction"]),
    }
    lines = []
    for label, table in tables.items():
        table.to_csv(folder / f"{label}.csv", index=False)
        lines += [f"[tables.{label}]", f'path = "{label}.csv"', *(f'{name} = "{name}"' for name in table)]
    (folder / "spec.toml").write_text("\n".join(lines) + "\n" + _toml(rules))
    return folder / "spec.toml"


def shown(table: pd.DataFrame) -> str:
    """Member-weeks in the form of the histories."""
    lines = []
    for row in table.to_dict("records"):
        counts = " ".join(str(int(row[f"{name}_last_week"])) for name in STATES)
        action = "/".join(row[f"action_{name}"] for name in ("modality", "provider", "goal", "urgency"))
        action = "-" if action == "NONE/NONE/NONE/ROUTINE" else action
        week = f"{row['week']}".removeprefix("2024-")
        end = " x" if row["terminated"] else ""
        lines.append(
            f"{week} {counts} {int(row['enrolled_days'])} {row['total_paid']:g} {action} {int(row['reward'])}{end}"
        )
    return "\n".join(lines)


def right(history: History) -> str:
    """The member-weeks that are right for a history, in the same form."""
    return "\n".join(" ".join(line.split()) for line in history.right.strip().splitlines())


@pytest.fixture(scope="session")
def converted(tmp_path_factory, request) -> dict[str, str]:
    found = {}
    slow = any(item.get_closest_marker("slow") for item in request.session.items)
    for rules, histories in GROUPS.items():
        if not slow and histories[0].name not in QUICK:
            continue
        folder = tmp_path_factory.mktemp("histories")
        weeks(write_histories(folder, histories, json.loads(rules)), folder / "members.parquet")
        table = pd.read_parquet(folder / "members.parquet")
        found |= {history.name: shown(table[table["member_id"] == history.name]) for history in histories}
    return found


def test_there_are_forty_and_more_with_names_of_their_own():
    assert len({history.name for history in HISTORIES}) == len(HISTORIES) >= 70
    assert len(QUICK) >= 45


@pytest.mark.parametrize(
    "history",
    [pytest.param(one, marks=[] if one.name in QUICK else [pytest.mark.slow], id=one.name) for one in HISTORIES],
)
def test_history(history, converted):
    assert converted[history.name] == right(history)


@pytest.mark.long
def test_the_state_after_a_row_is_the_state_of_the_next(tmp_path):
    """Also after the last row of a spell, where no next row says it."""
    histories = [history for history in HISTORIES if not history.rules]
    weeks(write_histories(tmp_path, histories, DEFAULTS), tmp_path / "members.parquet")
    table = pd.read_parquet(tmp_path / "members.parquet")
    assert not table.filter(like="next_").isna().any(axis=None)
    after = table.groupby("member_id").shift(-1)
    follows = (pd.to_datetime(after["week"]) - pd.to_datetime(table["week"])).dt.days == 7
    for name in [name for name in table if name.startswith("next_")]:
        assert (after.loc[follows, name.removeprefix("next_")] == table.loc[follows, name]).all(), name
    assert follows.sum() > 100


@pytest.mark.long
def test_a_file_of_many_parts_is_the_file_of_one_part(tmp_path, monkeypatch):
    """Parts are put together and written in threads of their own; their order stays."""
    histories = [history for history in HISTORIES if not history.rules]
    spec = write_histories(tmp_path, histories, DEFAULTS)
    monkeypatch.setattr(writing, "ROWS", 7)
    weeks(spec, tmp_path / "one.parquet")
    monkeypatch.setattr(assemble, "cells_of", partial(cells.cells_of, at_a_time=9))
    weeks(spec, tmp_path / "many.parquet")
    assert (tmp_path / "many.parquet").read_bytes() == (tmp_path / "one.parquet").read_bytes()
    assert pq.read_metadata(tmp_path / "many.parquet").num_row_groups > 10

"""Why somebody is on the worklist: every reason is true of its row."""

import re

import numpy as np
import pandas as pd
import pytest
from worklist_members import EFFORT, VISITED, ByRisk, Explained, member_table, worklist_of

from frl_env.actions import MEDICAID_ACTIONS as SPACE
from frl_env.capacity import Capacity
from frl_env.parameters import MEASURES
from frl_env.worklist import make_worklist, read_caseload


def test_reasons_are_true_of_the_row(table):
    worklist = worklist_of(table, Capacity(minutes=75.0))
    caseload = read_caseload(table, ByRisk())
    place = {each: row for row, each in enumerate(caseload.identifiers)}
    assert len(worklist.rows) > 20
    for member, reason in zip(worklist.rows.member_id, worklist.rows.reason, strict=True):
        row = place[member]
        last = re.search(r"(\d+) ED visits? last week", reason)
        assert (int(last[1]) if last else 0) == caseload.observations[row, 1]
        since = re.search(r"last contact (?:on record )?(\d+) weeks? ago", reason)
        assert (int(since[1]) if since else -1) == caseload.since_contact[row]
        several = re.search(r"(\d+) ED visits? in (\d+) weeks", reason)
        if several:
            assert int(several[1]) == caseload.sums[row, 1] > caseload.observations[row, 1]


CLAUSES = (
    (r"drawn by lot, to learn from", lambda said, at: at["drawn"]),
    (r"no gain is expected of it", lambda said, at: at["drawn"] and at["gain"] <= 0),
    (r"(\d+) ED visits? last week", lambda said, at: int(said[1]) == at["last"][1] > 0),
    (r"(\d+) hospital stays? last week", lambda said, at: int(said[1]) == at["last"][2] > 0),
    (r"(\d+) ED visits? in (\d+) weeks", lambda said, at: (int(said[1]), int(said[2])) == (at["sums"][1], at["weeks"])),
    (
        r"(\d+) hospital stays? in (\d+) weeks",
        lambda said, at: (int(said[1]), int(said[2])) == (at["sums"][2], at["weeks"]),
    ),
    (r"the week before is not on record", lambda said, at: at["known"] == 0),
    (r"no contact in (\d+) weeks", lambda said, at: int(said[1]) == at["known"] > 1 and at["since"] == -1),
    (r"no contact in the one week on record", lambda said, at: at["known"] == 1 and at["since"] == -1),
    (r"last contact (\d+) weeks? ago", lambda said, at: at["known"] >= int(said[1]) == at["since"] > 0),
    (r"last contact on record (\d+) weeks? ago", lambda said, at: at["known"] < int(said[1]) == at["since"]),
)
"""Every clause that a reason may have here, and when it is true."""


def test_every_clause_of_every_reason_is_true_of_the_table(tmp_path):
    frame = member_table(members=80, weeks=20)
    frame = frame[~((frame.member_id < "m020") & (frame.week == 24))]  # gaps
    frame = frame[(frame.member_id < "m070") | (frame.week == 29)]  # new members
    frame = frame[~frame.member_id.between("m060", "m069") | (frame.week >= 28)]  # of one week before
    frame = frame[~frame.member_id.between("m050", "m059") | (frame.week >= 26)]  # of three
    file = tmp_path / "members.parquet"
    frame.to_parquet(file)
    worklist = worklist_of(file, Capacity(minutes=75.0), explore=0.3)
    assert len(worklist.rows) > 40
    met = set()
    for member, reason, drawn, gain in worklist.rows[["member_id", "reason", "drawn", "gain_per_1000"]].itertuples(
        index=False
    ):
        own = frame[frame.member_id == member].set_index("week").sort_index()
        first = max([week + 1 for week in range(10, 29) if week not in own.index], default=10)
        past = own.loc[first:28]
        window = own.loc[max(first, 29 - 12) : 29]
        contacts = own.index[(own.action_modality != "NONE") & (own.index < 29)]
        at = {
            "drawn": drawn,
            "last": own.loc[29, list(MEASURES)].tolist(),
            "sums": window[list(MEASURES)].sum().tolist(),
            "weeks": len(window),
            "known": len(past),
            "gain": gain,
            "since": 29 - contacts.max() if len(contacts) else -1,
        }
        for clause in reason.split("; "):
            fits = [(number, re.fullmatch(pattern, clause)) for number, (pattern, _) in enumerate(CLAUSES)]
            number, said = next((number, said) for number, said in fits if said)
            assert CLAUSES[number][1](said, at), (clause, at)
            met.add(number)
    assert met == set(range(len(CLAUSES)))


def test_a_contact_of_days_ago_is_the_last_one(table):
    """Its row overlaps the weeks before and after it, and is no week of its own; the contact was made all the same."""
    frame = pd.read_parquet(table)
    actions = [f"action_{factor.name}" for factor in SPACE]
    frame[actions] = ["NONE", "NONE", "NONE", "ROUTINE"]
    frame["week"] = pd.to_datetime("2026-01-05") + pd.to_timedelta(7 * frame["week"], unit="D")
    last = frame[frame["week"] == frame["week"].max()].copy()
    last["week"] -= pd.to_timedelta(3, unit="D")
    last[actions] = VISITED
    pd.concat([frame, last]).to_parquet(table)
    caseload = read_caseload(table, ByRisk())
    assert caseload.since_contact.tolist() == [0] * 60
    assert caseload.weeks_known.tolist() == [7] * 60
    rows = worklist_of(table, Capacity(minutes=75.0)).rows
    assert len(rows) > 20
    assert rows.reason.str.endswith("last contact less than a week ago").all()
    assert not len(worklist_of(table, Capacity(minutes=75.0), least_weeks=1).rows)


def test_a_contact_that_is_drawn_without_a_gain_says_so(table):
    class Without(ByRisk):
        def gains(self, observations, memory):
            gains = super().gains(observations, memory)
            gains[:, ::2] *= -1
            return gains

    worklist = make_worklist(
        read_caseload(table, Without()),
        Without(),
        EFFORT,
        Capacity(minutes=75.0),
        np.random.default_rng(1),
        explore=0.5,
    )
    said = worklist.rows.reason.str.contains("no gain is expected of it")
    assert said.any()
    assert (said == (worklist.rows.gain_per_1000 <= 0)).all()
    assert worklist.rows.drawn[said].all()


@pytest.mark.parametrize(
    ("similar", "said"),
    [
        (0, "no answered contact like this one to go by"),
        (1, "rests on contacts like this one that fewer than 11 members answered"),
        (20, "rests on about 20 answered contacts like this one"),
        (1_240, "rests on about 1,240 answered contacts like this one"),
    ],
)
def test_contacts_that_a_gain_rests_on_are_told_as_what_they_are(table, similar, said):
    """1 stands for the answered contacts of 1 to 10 people, who may have answered more; others are rounded to 20."""

    class OfSome(Explained):
        def predict_gains(self, observations, *, memory):
            parts = super().predict_gains(observations, memory=memory)
            parts.similar_contacts[:] = similar
            return parts

    worklist = make_worklist(
        read_caseload(table, OfSome()), OfSome(), EFFORT, Capacity(minutes=75.0), np.random.default_rng(1)
    )
    assert (worklist.rows.reason.str.rpartition("; ")[2] == said).all()

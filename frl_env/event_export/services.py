"""Care to encounters, and encounters to claim lines with all that makes claims hard to count.

An encounter is placed so that the rules of `frl weeks` give back the week's counts: ED visits of a week on days of
their own; a stay from Tuesday on, ED visits of the same week after it.

Claims are those of the encounters and of office visits that make up what was paid, and beside them: a second claim
for the same ED visit, an ED claim that became the stay, a stay in two hospitals, claims replaced, voided, voided and
restored, denied; each received weeks later.
"""

import numpy as np
import pandas as pd

from frl_env.event_export.care import BEFORE, Care
from frl_env.event_export.spans import FIRST_DAY, identifiers

FROM_ED, TRANSFERRED = 0.5, 0.15
"""Shares of stays."""

REPLACED, VOIDED, RESTORED, DENIED = 0.05, 0.03, 0.01, 0.03
"""Shares of claims: replaced by one of the right amount; made up and voided; voided and restored; made up and
denied."""

LAG_DAYS = 30
"""Mean days until a claim is received."""


def encounters(care: Care, rng: np.random.Generator) -> pd.DataFrame:
    """Visits and stays.

    Columns: `number` (of the member), `kind` (ed, stay, ed_stay, other), `start`, `end`, `transfer`, `paid`.

    Payments of a week are on its encounters, or on an office visit if there is none or something is left.
    """
    weeks = np.arange(care.ed.shape[1]) - BEFORE
    parts = []
    member, week = np.nonzero(care.ip)
    start = _day(weeks[week], 1)
    nights = rng.integers(1, 3, len(member))
    from_ed = rng.random(len(member)) < FROM_ED
    moved = (rng.random(len(member)) < TRANSFERRED) & (nights == 2)
    kind = np.where(from_ed, "ed_stay", "stay").astype(object)
    stays = pd.DataFrame({"number": member, "week": week, "kind": kind, "start": start})
    stays["end"], stays["transfer"] = stays["start"] + pd.to_timedelta(nights, unit="D"), moved
    second = stays[moved].copy()
    stays.loc[moved, "end"] = stays.loc[moved, "start"] + pd.Timedelta(days=1)
    second["start"] += pd.Timedelta(days=1)
    second["kind"], second["transfer"] = "stay", False
    parts += [stays, second]
    member, week = np.nonzero(care.ed)
    days = np.argsort(rng.random((len(member), 7)), axis=1)
    after_stay = care.ip[member, week] > 0
    days[after_stay, :3] = 4 + np.argsort(rng.random((int(after_stay.sum()), 3)), axis=1)
    for visit in range(int(care.ed.max(initial=0))):
        more = care.ed[member, week] > visit
        start = _day(weeks[week[more]], days[more, visit])
        visits = pd.DataFrame({"number": member[more], "week": week[more], "kind": "ed", "start": start, "end": start})
        parts.append(visits.assign(transfer=False))
    events = pd.concat([part for part in parts if len(part)] or [stays], ignore_index=True)
    first = ~events.duplicated(["number", "week"])
    due = care.paid[events["number"], events["week"]]
    events["paid"] = np.where(first, np.floor(0.7 * due), 0.0)
    spent = np.zeros_like(care.paid)
    np.add.at(spent, (events["number"].to_numpy(), events["week"].to_numpy()), events["paid"].to_numpy())
    member, week = np.nonzero(care.paid - spent)
    start = _day(weeks[week], rng.integers(0, 7, len(member)))
    office = pd.DataFrame({"number": member, "week": week, "kind": "other", "start": start, "end": start})
    office["paid"], office["transfer"] = (care.paid - spent)[member, week], False
    every = pd.concat([events, office], ignore_index=True)
    every["member"] = identifiers(care)[every["number"]]
    return every.sort_values(["number", "start", "kind"], ignore_index=True)


def claims(care: Care, made: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Claim lines of encounters, with adjustments; columns as a plan's extract has them."""
    base = pd.DataFrame({"member": made["member"], "start": made["start"], "end": made["end"], "paid": made["paid"]})
    stay, ed = made["kind"].isin(("stay", "ed_stay")), made["kind"] == "ed"
    base["bill_type"] = np.select([stay, ed], ["0111", "0131"], "")
    base["revenue"] = np.select([stay, ed], ["0120", "0450"], "")
    base["hcpcs"] = np.where(made["kind"] == "other", "99213", "")
    base["place"] = np.where(made["kind"] == "other", "11", "")
    base["discharge"] = np.select([stay & made["transfer"], stay], ["02", "01"], "")
    base["status"], base["frequency"], base["adjusts"] = "P", "1", ""
    # The ED visit of a stay is billed on the day of admission or on its eve; the doctor bills an ED visit, too.
    eve = base[made["kind"] == "ed_stay"].copy()
    eve["start"] -= pd.to_timedelta(rng.integers(0, 2, len(eve)), unit="D")
    eve["end"] = eve["start"]
    doctor = base[ed & (rng.random(len(made)) < 0.5)].copy()
    for copy, codes in ((eve, ("0131", "0450", "", "", "")), (doctor, ("", "", "99284", "23", ""))):
        copy["bill_type"], copy["revenue"], copy["hcpcs"], copy["place"], copy["discharge"] = codes
        copy["paid"] = 0.0
    table = pd.concat([base, eve, doctor], ignore_index=True)
    table["claim"] = [f"C{care.first_member:07d}-{number:07d}" for number in range(len(table))]
    table["received"] = table["end"] + pd.to_timedelta(1 + rng.gamma(2, LAG_DAYS / 2, len(table)).astype(int), unit="D")
    return _adjusted(table, rng).sort_values(["member", "start", "claim"], ignore_index=True)


def _adjusted(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Adds corrected, voided, restored and denied claims, so that what is in force stays what it was."""
    draw = rng.random(len(table))
    edges = np.cumsum([REPLACED, VOIDED, RESTORED, DENIED])
    replaced, voided, restored, denied = (
        (draw >= low) & (draw < high) for low, high in zip([0, *edges[:-1]], edges, strict=True)
    )
    right = table[replaced].copy()
    right["adjusts"], right["frequency"] = right["claim"], "7"
    right["claim"] += "R"
    table.loc[replaced, "paid"] += 100.0
    phantom = table[voided].copy()  # a claim for what never was: an ED visit beside, cancelled later
    phantom["claim"] += "X"
    phantom["revenue"], phantom["bill_type"], phantom["discharge"] = "0450", "0131", ""
    phantom["end"] = phantom["start"]
    undone = _void(phantom)
    first_void = _void(table[restored])
    second_void = _void(first_void)
    refused = table[denied].copy()
    refused["claim"] += "D"
    refused["revenue"], refused["bill_type"], refused["status"], refused["paid"] = "0450", "0131", "D", 0.0
    later = pd.concat([right, undone, first_void], ignore_index=True)
    later["received"] += pd.to_timedelta(rng.integers(5, 60, len(later)), unit="D")
    second_void["received"] += pd.to_timedelta(rng.integers(70, 90, len(second_void)), unit="D")
    return pd.concat([table, phantom, refused, later, second_void], ignore_index=True)


def _void(claims: pd.DataFrame) -> pd.DataFrame:
    """Claims that cancel these (frequency 8, a negative amount)."""
    void = claims.copy()
    void["adjusts"], void["frequency"] = void["claim"], "8"
    void["claim"] += "V"
    void["paid"] = -void["paid"]
    return void


def _day(week: np.ndarray, of_week: np.ndarray | int) -> np.ndarray:
    """A day of a week, counted from 0."""
    return (FIRST_DAY + 7 * week + of_week).astype("datetime64[s]")

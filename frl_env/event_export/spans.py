"""Care to spans of coverage and to who the members are."""

import numpy as np
import pandas as pd

from frl_env.event_export.care import Care
from frl_env.parameters import AGE_BANDS, GENDERS, RACES

FIRST_DAY = np.datetime64("2024-01-01", "D")
"""Monday of the first decision."""

SPLIT = 0.2
"""Share of spans that are given in two pieces which overlap or touch, as enrolment files do."""


def identifiers(care: Care) -> np.ndarray:
    """Names of the members."""
    return np.asarray([f"M{number:07d}" for number in care.first_member + np.arange(len(care))], dtype=object)


def enrolment(care: Care, rng: np.random.Generator) -> pd.DataFrame:
    """Spans: `member`, `start`, `end` (NaT while coverage lasts)."""
    horizon = care.covered.shape[1]
    padded = np.pad(care.covered, ((0, 0), (1, 1)))
    padded[:, 0] = False
    edges = np.diff(padded.astype(np.int8), axis=1)
    member, first = np.nonzero(edges == 1)
    _, after = np.nonzero(edges == -1)
    start = FIRST_DAY + 7 * first
    entered = first == 0
    start[entered] -= care.members.entry_days[member[entered]].astype(np.int64)
    end = FIRST_DAY + 7 * after - 1
    ended = (care.died[member] == after - 1) | (care.left[member] == after - 1)
    end[(after == horizon) & ~ended] = np.datetime64("NaT")
    # A second piece of some: it starts up to 20 days before the first piece ends, or on the day after.
    long = (first == 0) & (rng.random(len(member)) < SPLIT)
    middle = start + 40 + rng.integers(0, 30, len(member))
    overlap = rng.integers(0, 20, len(member))
    pieces = [
        (member[~long], start[~long], end[~long]),
        (member[long], start[long], middle[long]),
        (member[long], (middle + 1 - overlap)[long], end[long]),
    ]
    columns = [np.concatenate(parts) for parts in zip(*pieces, strict=True)]
    table = pd.DataFrame({"member": identifiers(care)[columns[0]], "start": columns[1], "end": columns[2]})
    return table.sort_values(["member", "start", "end"], ignore_index=True)


def people(care: Care, rng: np.random.Generator) -> pd.DataFrame:
    """Who the members are: `member`, `birth`, `death`, `left`, `gender`, `race_ethnicity`.

    Birthdays are such that nobody changes the age band within a year.
    """
    youngest = np.asarray([int(band.split("-")[0]) for band in AGE_BANDS])
    oldest = np.asarray([int(band.split("-")[1]) for band in AGE_BANDS])
    band = care.members.age_band
    age = rng.integers(youngest[band], oldest[band])
    birth = FIRST_DAY - (age * 365.25 + 20).astype(np.int64) - rng.integers(0, 300, len(care))

    def last_day(week: np.ndarray) -> np.ndarray:
        days = FIRST_DAY + 7 * week + 6
        days[week < 0] = np.datetime64("NaT")
        return days

    return pd.DataFrame({
        "member": identifiers(care),
        "birth": birth,
        "death": last_day(care.died),
        "left": last_day(care.left),
        "gender": np.asarray(GENDERS, dtype=object)[care.members.gender],
        "race_ethnicity": np.asarray(RACES, dtype=object)[care.members.race],
    })  # fmt: skip

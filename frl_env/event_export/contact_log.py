"""Care to the log of a care program, in its own words, with several entries a week.

Beside each attempt of the simulator: a try before it on the same day that nobody answered, a message later in the
week that nobody read, chart reviews that are no contact, calls by the member, and in gaps of coverage contacts that
were planned only.
"""

import numpy as np
import pandas as pd

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.event_export.care import BEFORE, Care
from frl_env.event_export.spans import FIRST_DAY, identifiers

WORDS = {
    "modality": ("", "Telephone", "Text message", "Video call", "Home visit", "Portal message"),
    "provider": ("", "Community health worker", "RN care coordinator", "Clinical pharmacist", "Behavioral therapist"),
    "goal": (
        "", "Taking medicines", "Medication review", "Blood pressure", "Diabetes", "Breathing", "Low mood",
        "Mental health", "Groceries", "Housing",
        "Rides", "Money", "Work", "Primary care visit", "Renewal of coverage", "Teeth",
        "Care transition", "Something else",
    ),
    "urgency": ("normal", "urgent"),
}  # fmt: skip
"""The program's own words, in the order of the levels."""

REACHED, TRIED, PLANNED = "Spoke with member", "No answer", "Scheduled"
REVIEW = "Chart review"
OUTCOMES = {REACHED: "reached", TRIED: "attempted", PLANNED: "planned"}

TRIED_BEFORE, MESSAGE_LATER, REVIEWED = 0.2, 0.1, 0.15
"""Shares of weeks with an attempt."""


def contact_log(care: Care, rng: np.random.Generator) -> pd.DataFrame:
    """Entries: `contact`, `member`, `time`, words of the factors, `outcome`, `direction`."""
    names = identifiers(care)
    contact = (care.levels[..., 0] > 0) & care.observed
    member, week = np.nonzero(contact)
    attempted, reached = care.attempted[member, week], care.reached[member, week]
    outcome = np.select([reached, attempted], [REACHED, TRIED], PLANNED)
    minute = rng.integers(12 * 60, 17 * 60, len(member))
    time = FIRST_DAY.astype("datetime64[m]") + (7 * week + rng.integers(0, 5, len(member))) * 1440 + minute
    log = pd.DataFrame({"member": names[member], "time": time.astype("datetime64[s]")})
    for i, factor in enumerate(MEDICAID_ACTIONS):
        log[factor.name] = np.asarray(WORDS[factor.name], dtype=object)[care.levels[member, week, i]]
    log["outcome"], log["direction"] = outcome.astype(object), "outbound"
    before = log[attempted & (rng.random(len(log)) < TRIED_BEFORE)].copy()
    before["time"] -= pd.Timedelta(hours=3)
    before["outcome"] = TRIED
    later = log[attempted & (rng.random(len(log)) < MESSAGE_LATER)].copy()
    later["time"] += pd.to_timedelta(5, unit="D") - pd.to_timedelta(
        later["time"].dt.day_of_week, unit="D"
    )  # on Saturday
    later["modality"], later["outcome"] = WORDS["modality"][5], TRIED
    review = log[rng.random(len(log)) < REVIEWED].copy()
    review["time"] -= pd.Timedelta(hours=5)
    review["modality"] = REVIEW
    called, week = np.nonzero(care.inbound)
    times = care.inbound[called, week]
    called, week = np.repeat(called, times), np.repeat(week, times)
    minute = rng.integers(0, 7 * 1440, len(called))
    time = FIRST_DAY.astype("datetime64[m]") + (7 * (week - BEFORE)) * 1440 + minute
    inbound = pd.DataFrame({"member": names[called], "time": time.astype("datetime64[s]")})
    inbound["modality"], inbound["provider"], inbound["goal"], inbound["urgency"] = (
        WORDS["modality"][1],
        "",
        "",
        "normal",
    )
    inbound["outcome"], inbound["direction"] = REACHED, "inbound"
    every = pd.concat([log, before, later, review, inbound], ignore_index=True)
    every = every.sort_values(["member", "time", "direction", "modality"], ignore_index=True)
    every.insert(0, "contact", [f"L{care.first_member:07d}-{number:07d}" for number in range(len(every))])
    return every


def crosswalk_toml() -> str:
    """The program's words in the spec."""
    lines = []
    for factor in MEDICAID_ACTIONS:
        lines.append(f"[crosswalk.{factor.name}]")
        lines += [
            f'"{word}" = "{level}"' for word, level in zip(WORDS[factor.name], factor.levels, strict=True) if word
        ]
        if factor.name == "modality":
            lines.append(f'"{REVIEW}" = "ignore"')
    lines.append("[crosswalk.outcome]")
    lines += [f'"{word}" = "{meaning}"' for word, meaning in OUTCOMES.items()]
    return "\n".join(lines) + "\n"

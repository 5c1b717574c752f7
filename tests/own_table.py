"""A table as an analyst has it: own names for columns and levels, own actions, ISO weeks, own minutes and staff.

Made up by a few draws, so that contacts about a member's need are followed by fewer visits for some weeks.
"""

from pathlib import Path

import numpy as np
import pandas as pd

CHANNELS, STAFF, TOPICS = ("", "Phone", "HOME", "Clinic visit"), ("", "RN", "SW"), ("", "meds", "housing", "transport")

FILES = {
    "actions.json": """{
 "factors": [
  {"name": "channel", "levels": ["nothing", "telephone", "home", "clinic"]},
  {"name": "staff", "levels": ["nobody", "nurse", "social worker"]},
  {"name": "topic", "levels": ["none", "medicines", "housing", "transport"]}
 ],
 "contact_factors": ["channel", "staff", "topic"]
}
""",
    "map.toml": """action_schema = "actions.json"
states = ["reached", "ed_visits", "days_in_program"]
demographics = ["region"]

[columns]
member_id = "person"
week = "iso_week"
action_channel = "contact_type"
action_staff = "who"
action_topic = "about"
reward = "went_badly"

[values.action_channel]
"" = "nothing"
Phone = "telephone"
HOME = "home"
"Clinic visit" = "clinic"

[values.action_staff]
"" = "nobody"
RN = "nurse"
SW = "social worker"

[values.action_topic]
"" = "none"
meds = "medicines"

[meaning]
response = "reached"
need_factor = "topic"
skill_factor = "staff"
high_touch = ["home", "clinic"]
spending = ""
contact_counts = ["reached"]

[definitions]
reached = "whether a contact reached the member; yes or no; 7 days before the week"
ed_visits = "emergency department visits; count; 7 days before the week"
days_in_program = "days in the program; days; since enrolment"

[effort.channel]
telephone = 15
home = 75
clinic = 30
""",
    "capacity.toml": """[weekly_minutes.staff]
nurse = 600
"social worker" = 480

[[forbidden]]
channel = "clinic"
staff = "social worker"
""",
    "leave-alone.txt": "P1003\nP1017\n",
}


def write_own_table(folder: Path, *, members: int = 300, weeks: int = 30) -> None:
    """Writes extract.csv and the files that go with it."""
    for name, content in FILES.items():
        (folder / name).write_text(content)
    rng = np.random.default_rng(0)
    need, risk = rng.integers(1, 4, members), rng.gamma(1.0, 0.05, members)
    visits, reached, helped = rng.poisson(risk), np.zeros(members, dtype=int), np.zeros(members)
    parts = []
    for week in range(weeks):
        acts = rng.random(members) < 0.05 + 2 * np.minimum(risk, 0.1)
        channel, staff, topic = (np.where(acts, rng.integers(1, most, members), 0) for most in (4, 3, 4))
        day = pd.Timestamp("2025-12-29") + pd.Timedelta(days=7 * week)
        parts.append(
            pd.DataFrame(
                {
                    "person": [f"P{1_000 + member}" for member in range(members)],
                    "iso_week": day.strftime("%G-W%V"),
                    "reached": reached,
                    "ed_visits": visits,
                    "days_in_program": 30 + 7 * week,
                    "contact_type": np.asarray(CHANNELS)[channel],
                    "who": np.asarray(STAFF)[staff],
                    "about": np.asarray(TOPICS)[topic],
                    "region": np.where(np.arange(members) % 3, "north", "south"),
                }
            )
        )
        reached = (rng.random(members) < np.asarray([0, 0.4, 0.7, 0.5])[channel]).astype(int)
        helped = 0.85 * helped + 0.3 * reached * (topic == need) * np.asarray([0, 0.3, 1, 0.6])[channel]
        visits = rng.poisson(risk * np.maximum(1 - helped, 0.1))
        parts[-1]["went_badly"] = -visits
    pd.concat(parts).to_csv(folder / "extract.csv", index=False)

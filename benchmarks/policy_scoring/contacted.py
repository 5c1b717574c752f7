"""Who is contacted in a rollout: by open needs, risk tier and group, as the simulator knows them."""

from typing import Any

import numpy as np

from frl_env.parameters import AGE_BANDS, GENDERS, RACES, TIERS
from frl_env.simulator.population import Members
from frl_env.simulator.state import Outcome, State, need_flags

NEEDS = ("no open need", "1", "2", "3 or more")
"""Open needs before a contact."""

KINDS: dict[str, tuple[str, ...]] = {
    "open needs": NEEDS,
    "risk tier": TIERS,
    "race_ethnicity": RACES,
    "gender": GENDERS,
    "age_band": AGE_BANDS,
}

GROUP_LABELS = {name: KINDS[name] for name in ("race_ethnicity", "gender", "age_band")}
"""Groups to which a capacity may promise a least chance of a contact."""


class ContactWatch:
    """Watches a rollout, as its `record`; needs are those of the week, the others never change."""

    def __init__(self) -> None:
        """Starts with nothing seen."""
        self._weeks = {name: np.zeros(len(labels)) for name, labels in KINDS.items()}
        self._contacts = {name: np.zeros(len(labels)) for name, labels in KINDS.items()}

    def __call__(
        self, week: int, members: Members, before: State, levels: np.ndarray, after: State, outcome: Outcome
    ) -> None:
        """Adds a week's contacts and member-weeks by group."""
        codes = {
            "open needs": np.minimum(need_flags(before.needs).sum(axis=1), len(NEEDS) - 1).astype(np.int64),
            "risk tier": members.tier,
            "race_ethnicity": members.race,
            "gender": members.gender,
            "age_band": members.age_band,
        }
        for name, code in codes.items():
            size = len(KINDS[name])
            self._weeks[name] += np.bincount(code[before.active], minlength=size)
            self._contacts[name] += np.bincount(code[before.active & outcome.attempted], minlength=size)

    def summary(self) -> dict[str, dict[str, dict[str, float]]]:
        """Contacts a member-week, share of all contacts, share of all member-weeks, by attribute and group."""
        found: dict[str, dict[str, Any]] = {}
        for name, labels in KINDS.items():
            weeks, contacts = self._weeks[name], self._contacts[name]
            found[name] = {
                label: {
                    "contacts_per_week": float(contacts[at] / max(weeks[at], 1.0)),
                    "share_of_contacts": float(contacts[at] / max(contacts.sum(), 1.0)),
                    "share_of_weeks": float(weeks[at] / max(weeks.sum(), 1.0)),
                }
                for at, label in enumerate(labels)
            }
        return found

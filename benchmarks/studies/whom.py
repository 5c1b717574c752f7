"""Whom to contact, and what about: where the gain of FactoredAWR under a budget comes from, and where the rest is.

    python benchmarks/studies/whom.py

Policies that differ in one of the two, at the care team's own minutes. *Whom* is FactoredAWR's, or that of the best
rule that search found on the simulator; *what about* is its own choice, the contacts that the risk ranking is told, or
the two goals that gain most here, in turn. Gains are true values: expected events of a member-year, fewer than under
the care team, on the same members and chances for all.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from benchmarks.result_records.kept_results import Kept
from benchmarks.result_records.study import Study, Unit
from benchmarks.studies.forecast import fitted
from frl_algos.member_model import MemberModel
from frl_algos.member_rankings import VISITS
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.budget_references import best_record_and_contacts
from frl_env.capacity import Budgeted, Capacity
from frl_env.care_effort import care_effort
from frl_env.datasets.collect import collect
from frl_env.parameters import preset
from frl_env.rollout import rollout
from frl_env.simulator.behaviour import BehaviourPolicy
from frl_env.terminal import run_or_say

RESULTS = Kept("benchmarks.studies.whom")
SEED, JUDGES_SEED = 1_801, 1_907
"""Of the first members to learn from, and of those on whom policies are scored; no dataset is collected with them."""

REST = 4
"""Weeks after an attempt in which a member is left alone."""

BEST = (
    {"modality": "HOME_VISIT", "provider": "PHARMACIST", "goal": "MEDICATION_ADHERENCE"},
    {"modality": "HOME_VISIT", "provider": "CHW", "goal": "FOOD_INSECURITY"},
)
"""Of 17 goals at home visits, in FactoredAWR's order of members: the two that alone gain most, by true values."""

OWN = "its own choice"
ABOUT: dict[str, Sequence[Mapping[str, str]] | None] = {
    OWN: None,
    "what the risk ranking is told": VISITS.contacts,
    "the two best goals": BEST,
}
LEARNER, RULE = "FactoredAWR", "the searched rule"
COLUMNS = {
    "Whom": "{whom}",
    "What about": "{about}",
    "Gain over the team": "{gain:+.4f}",
    "Standard error": "{error:.4f}",
    "Least and most of the draws": "{least:+.3f} to {most:+.3f}",
}
STUDY = Study(
    RESULTS,
    "Whom to contact, and what about: where the gain under a budget comes from.",
    {
        "draws": (6, 1, "draws of the members to learn from"),
        "members": (5_000, 20, "members to learn from, of each draw"),
        "eval_members": (10_000, 20, "members on whom policies are scored"),
    },
)


class ModelGains:
    """The gains of a member model, as a policy that a budget is spent by.

    Args:
        model: Estimated.
        contacts: The only ones made, in turn; None for all.
    """

    def __init__(self, model: MemberModel, contacts: Sequence[Mapping[str, str]] | None) -> None:
        """Keeps both."""
        self.model, self.joints = model, MEDICAID_ACTIONS.valid_joints
        self.start_memory = model.start_memory
        self._turns = None if contacts is None else np.searchsorted(self.joints, _joints(contacts))

    def remember(self, memory: np.ndarray, observations: np.ndarray, joints: Int64[np.ndarray, "member"]) -> np.ndarray:
        """The memories after a week."""
        return self.model.remember(memory, observations, np.searchsorted(self.joints, joints))

    def gains(self, observations: np.ndarray, memory: np.ndarray) -> Float[np.ndarray, "member action"]:
        """Gain of each valid action over doing nothing."""
        return self.model.gains(observations, memory, rest=REST, turns=self._turns)


class InTurn:
    """A policy with gains that makes some of its contacts only, in turn.

    Args:
        policy: Offers gains, with a memory.
        contacts: Among its own.
    """

    def __init__(self, policy: Any, contacts: Sequence[Mapping[str, str]]) -> None:
        """Keeps both."""
        self._policy, self.joints = policy, policy.joints
        self._turns = np.searchsorted(self.joints, _joints(contacts))

    def start_memory(self, members: int) -> Float[np.ndarray, "member m"]:
        """The policy's, and how many contacts there were."""
        return np.column_stack([self._policy.start_memory(members), np.zeros(members)])

    def remember(self, memory: np.ndarray, observations: np.ndarray, joints: Int64[np.ndarray, "member"]) -> np.ndarray:
        """The memories after a week."""
        contacts = memory[:, -1] + np.isin(joints, self.joints)
        return np.column_stack([self._policy.remember(memory[:, :-1], observations, joints), contacts])

    def gains(self, observations: np.ndarray, memory: np.ndarray) -> Float[np.ndarray, "member action"]:
        """Gain of the contact whose turn it is; minus infinity for others. Memory's last column counts contacts."""
        gains = self._policy.gains(observations, memory[:, :-1])
        rows = np.arange(len(gains))
        now = self._turns[memory[:, -1].astype(np.int64) % len(self._turns)]
        only = np.full(gains.shape, -np.inf)
        only[rows, now] = gains[rows, now]
        return only


def main(arguments: Sequence[str] | None = None) -> None:
    """Scores every pair of whom and what about, and prints the table."""
    options = STUDY.options(arguments)
    facts = {"eval_members": options.eval_members}
    units = [Unit("rule", partial(of_rule, options.eval_members), facts)]
    units += [
        Unit(
            f"draw{draw}", partial(of_learner, draw, options.members, options.eval_members),
            facts | {"draw": draw, "members": options.members},
        )
        for draw in range(options.draws)
    ]  # fmt: skip
    rule, *draws = STUDY.each(units, options, "drawn")
    rows = [_row(LEARNER, about, [draw[about] for draw in draws]) for about in ABOUT]
    rows += [_row(RULE, about, [gain]) for about, gain in rule.items()]
    for number, row in enumerate(rows):
        rows[number] = {"name": f"{row['whom']}, {row['about']}", **row}
    STUDY.tell(rows, COLUMNS, options, title=f"at the team's own minutes, {options.draws} draws")


def of_rule(members: int) -> dict[str, list[float]]:
    """Gain and its standard error of the searched rule, by what its contacts are about."""
    rule = best_record_and_contacts(preset(), _team(members)[1])
    assert rule is not None
    return {about: gain(rule if named is None else InTurn(rule, named), members) for about, named in ABOUT.items()}


def of_learner(draw: int, members: int, judges: int) -> dict[str, list[float]]:
    """Gains by what contacts are about, with *whom* by FactoredAWR, learned from one draw of the members."""
    logged = collect(preset(), members=members, seed=(SEED + draw, 1))
    model = fitted(logged, need="goal", skill="provider")
    return {about: gain(ModelGains(model, named), judges) for about, named in ABOUT.items()}


def gain(policy: Any, members: int) -> list[float]:
    """Expected events of a member, fewer than under the care team at its own minutes; and the standard error."""
    events, minutes = _team(members)
    fewer = events - _events(Budgeted(policy, care_effort(preset()), Capacity(minutes=minutes)), members)[0]
    return [float(fewer.mean()), float(fewer.std() / np.sqrt(members))]


_TEAMS: dict[int, tuple[np.ndarray, float]] = {}


def _team(members: int) -> tuple[np.ndarray, float]:
    """Events of each member and minutes a member-week under the care team; rolled out once."""
    if members not in _TEAMS:
        _TEAMS[members] = _events(BehaviourPolicy(preset()), members)
    return _TEAMS[members]


def _events(policy: Any, members: int) -> tuple[Float[np.ndarray, "member"], float]:
    """Expected events of each member, and staff minutes a member-week."""
    total, spent = np.zeros(members), np.zeros(2)
    minutes = care_effort(preset()).minutes

    def add(week: int, who: object, before: Any, levels: Any, after: object, outcome: Any) -> None:
        total[:] += outcome.expected
        enrolled = before.active & ~before.gap
        spent[:] += (minutes[MEDICAID_ACTIONS.ravel(levels)] * outcome.attempted).sum(), enrolled.sum()

    rollout(policy, preset(), members=members, seed=(JUDGES_SEED, 1), record=add)
    return total, float(spent[0] / spent[1])


def _joints(contacts: Sequence[Mapping[str, str]]) -> Int64[np.ndarray, "turn"]:
    return np.asarray([MEDICAID_ACTIONS.contact(dict(each), what="contacts") for each in contacts])


def _row(whom: str, about: str, found: Sequence[Sequence[float]]) -> dict[str, Any]:
    gains = np.asarray([each[0] for each in found])
    # Over draws of the members to learn from where there are several; those who are scored are the same for all.
    error = float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else found[0][1]
    own = {"gain": float(gains.mean()), "error": error, "least": float(gains.min()), "most": float(gains.max())}
    return {"whom": whom, "about": about, **own}


if __name__ == "__main__":
    run_or_say(main)

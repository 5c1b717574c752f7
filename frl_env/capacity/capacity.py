"""Capacity: what the staff can do in a week, as data.

A capacity file is TOML; every entry is optional:

    minutes = 2.9                  # staff minutes a member-week, on average over the caseload
    caseload = 1000                # members that the weekly limits are for; see below

    [weekly_minutes.provider]      # staff minutes a week, by level of any factor; without a line, no limit
    PHARMACIST = 1200

    [weekly_contacts.modality]     # contacts a week, by level of any factor
    HOME_VISIT = 40

    [least_chance.race_ethnicity]  # least chance of a contact in a week, by group of members
    BLACK = 0.02

    [[forbidden]]                  # actions that have all of these levels are never taken
    modality = "SMS_TEXT"
    goal = "HOUSING_INSECURITY"

Weekly limits are for the whole caseload. With `caseload` they are for that many members, and half as many members may
use half of them.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from frl_env.actions import ActionSpace
from frl_env.capacity.effort import MOST, Effort, check_effort, null_joint
from frl_env.errors import UserError, check_number, check_whole, make_plain, plain, shorten, unknown_name
from frl_env.files.output_paths import PATH

Table = Mapping[str, Mapping[str, float]]

_KEYS = ("minutes", "caseload", "weekly_minutes", "weekly_contacts", "least_chance", "forbidden")
_MANY = 1e9
"""No real team has more of anything; a larger number is a mistake."""


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What the staff can do in a week.

    Args:
        minutes: Staff minutes a member-week; None for no limit.
        weekly_minutes: Factor to level to staff minutes a week.
        weekly_contacts: Factor to level to contacts a week.
        caseload: Members that the weekly limits are for; None when they are for whoever is enrolled.
        least_chance: Attribute to group to least chance of a contact in a week.
        forbidden: Each a mapping of factor to level; an action that has all of them is never taken.
        source: File that says so, for messages.

    Raises:
        UserError: If a number is out of range. Names of levels are checked once the actions are known, in `check`.
    """

    minutes: float | None = None
    weekly_minutes: Table = field(default_factory=dict)
    weekly_contacts: Table = field(default_factory=dict)
    caseload: int | None = None
    least_chance: Table = field(default_factory=dict)
    forbidden: tuple[Mapping[str, str], ...] = ()
    source: str = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        """Checks every number."""
        if self.minutes is not None:
            check_number("capacity: minutes", self.minutes, low=0, high=MOST)
        if self.caseload is not None:
            check_whole("capacity: caseload", self.caseload, low=1, high=10**9)
        for name, most in (("weekly_minutes", _MANY), ("weekly_contacts", _MANY), ("least_chance", 1.0)):
            tables = getattr(self, name)
            if not isinstance(tables, Mapping):
                raise UserError(f"capacity: {name} must be a table of [{name}.<factor>], not {shorten(repr(tables))}")
            for factor, table in tables.items():
                if not isinstance(table, Mapping):
                    raise UserError(f"capacity: [{name}.{factor}] must be a table of name = number")
                for level, amount in table.items():
                    check_number(f"capacity: {name}.{factor}.{level}", amount, low=0, high=most)
        if not isinstance(self.forbidden, list | tuple) or not all(
            isinstance(each, Mapping) for each in self.forbidden
        ):
            raise UserError(
                f"capacity: forbidden must be tables of factor = level, not {shorten(repr(self.forbidden))}"
            )
        make_plain(self, "minutes", "caseload")

    @property
    def unlimited(self) -> bool:
        """Whether nothing is limited, forbidden or promised: then a policy stays as it is."""
        return self.minutes is None and not (
            self.weekly_minutes or self.weekly_contacts or self.least_chance or self.forbidden
        )

    def check(self, action_space: ActionSpace) -> None:
        """Says so when a factor or level is named that the actions don't have.

        Raises:
            UserError: If so; or if no contact has the level, or every contact is forbidden. Names the file, if any.
        """
        try:
            self._check(action_space)
        except UserError as problem:
            raise UserError(f"{self.source or 'capacity'}: {problem}") from None

    def _check(self, action_space: ActionSpace) -> None:
        """Refuses levels that no contact has, and limits that forbid everything."""
        contacts = None
        for table in (self.weekly_minutes, self.weekly_contacts, *self.forbidden):
            for name, levels in table.items():
                factor = action_space[name]
                for level in levels if isinstance(levels, Mapping) else (levels,):
                    if level not in factor.levels:
                        raise unknown_name(f"level of factor {name!r}:", level, factor.levels)
                    if contacts is None:
                        contacts = action_space.valid_joints[action_space.valid_joints != null_joint(action_space)]
                    number = [item.name for item in action_space].index(name)
                    if not (action_space.joint_levels[contacts, number] == factor.levels.index(level)).any():
                        raise UserError(
                            f"no contact has {name} {level}, so that it can be neither limited nor forbidden; leave it "
                            "out, or name another level"
                        )
        if self.forbidden and not (self.allowed(action_space) & (action_space.valid)).sum() > 1:
            raise UserError("every contact is forbidden; leave at least one")

    def allowed(self, action_space: ActionSpace) -> Bool[np.ndarray, "joint"]:
        """Valid joint actions that are not forbidden; doing nothing always is allowed."""
        fine = action_space.valid.copy()
        for levels in self.forbidden:
            has_all = np.ones(action_space.n_joint, dtype=bool)
            for number, factor in enumerate(action_space):
                if factor.name in levels:
                    has_all &= action_space.joint_levels[:, number] == factor.levels.index(levels[factor.name])
            fine &= ~has_all
        fine[null_joint(action_space)] = True
        return fine

    def limits(self, effort: Effort, members: int) -> "Limits":
        """This week's limits of so many enrolled members.

        Raises:
            UserError: If a factor or level does not exist.
        """
        check_effort(effort)
        space = effort.action_space
        self.check(space)
        contact = np.ones(space.n_joint)
        contact[null_joint(space)] = 0.0
        contact[~space.valid] = 0.0
        names, use, room = [], [], []
        tables = (self.weekly_minutes, self.weekly_contacts)
        limited = {(factor, level) for table in tables for factor, levels in table.items() for level in levels}
        met = [level for _, level in limited]
        if self.minutes is not None:
            names.append("minutes")
            use.append(effort.minutes)
            room.append(self.minutes * members)
        scale = 1.0 if self.caseload is None else members / self.caseload
        for kind, table, each in (
            ("minutes", self.weekly_minutes, effort.minutes),
            ("contacts", self.weekly_contacts, contact),
        ):
            for factor, levels in table.items():
                number = [item.name for item in space].index(factor)
                for level, amount in levels.items():
                    code = space[factor].levels.index(level)
                    names.append(f"{kind} of {level if met.count(level) == 1 else f'{factor} {level}'}")
                    use.append(each * (space.joint_levels[:, number] == code))
                    room.append(float(amount) * scale)
        return Limits(
            names=tuple(names),
            use=np.asarray(use, dtype=np.float64).reshape(len(names), space.n_joint),
            room=np.asarray(room, dtype=np.float64),
            allowed=self.allowed(space),
        )

    def to_json(self) -> dict[str, Any]:
        """What is limited, JSON-able."""
        said = {
            "minutes": self.minutes,
            "caseload": self.caseload,
            "weekly_minutes": _plain(self.weekly_minutes),
            "weekly_contacts": _plain(self.weekly_contacts),
            "least_chance": _plain(self.least_chance),
            "forbidden": [dict(levels) for levels in self.forbidden],
        }
        return {key: value for key, value in said.items() if value not in (None, {}, [])}

    @classmethod
    def from_toml(cls, path: str | Path) -> "Capacity":
        """Reads a capacity file.

        Raises:
            UserError: If it can't be read, is not TOML, or says what it can't; names the file and the entry.
        """
        file = Path(path)
        name = shorten(str(file), PATH)
        try:
            said = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as problem:
            raise UserError(f"can't read {name} ({getattr(problem, 'strerror', None) or 'not UTF-8 text'})") from None
        except (ValueError, RecursionError) as problem:
            raise UserError(
                f"{name} is not TOML ({shorten(str(problem))}); see docs/capacity.md for an example"
            ) from None
        if not said:
            raise UserError(f"{name} sets no limit; see docs/capacity.md for an example, or write 'none'")
        for key, value in said.items():
            if key not in _KEYS:
                raise unknown_name(f"entry in {name}:", key, _KEYS)
            if key in ("weekly_minutes", "weekly_contacts", "least_chance") and not isinstance(value, dict):
                raise UserError(f"{name}: [{key}.<factor>] must be a table of name = number")
        forbidden = said.get("forbidden", [])
        if not isinstance(forbidden, list) or not all(
            isinstance(item, dict) and item and all(isinstance(level, str) for level in item.values())
            for item in forbidden
        ):
            raise UserError(f'{name}: [[forbidden]] must be tables of factor = "LEVEL"')
        try:
            made = cls(**{**said, "forbidden": tuple(forbidden), "source": name})
        except UserError as problem:
            raise UserError(f"{name}: {problem}") from None
        if made.unlimited:
            raise UserError(f"{name} sets no limit; see docs/capacity.md for an example, or write 'none'")
        return made


def _plain(tables: Table) -> dict[str, dict[str, float]]:
    return {name: {key: plain(amount) for key, amount in table.items()} for name, table in tables.items()}


@dataclass(frozen=True, kw_only=True, eq=False)
class Limits:
    """The limits of one week and one caseload, as arrays.

    Attributes:
        names: Of the limits: "minutes", "minutes of PHARMACIST", "contacts of HOME_VISIT"; with the factor where limits
            of several factors have a level of the same name.
        use: What each joint action takes of each limit.
        room: What there is of each.
        allowed: Joint actions that may be taken.
    """

    names: tuple[str, ...]
    use: Float64[np.ndarray, "limit joint"]
    room: Float64[np.ndarray, "limit"]
    allowed: Bool[np.ndarray, "joint"]


def as_capacity(given: object) -> Capacity:
    """A capacity from what is passed for one: itself, or a number of staff minutes a member-week.

    Raises:
        UserError: If it is something else.
    """
    if isinstance(given, Capacity):
        return given
    if isinstance(given, bool | np.bool) or not isinstance(given, int | float | np.integer | np.floating):
        raise UserError(
            "capacity must be a number of staff minutes a member-week, or a frl_env.capacity.Capacity (Capacity() has "
            f"no limit), not {shorten(repr(given))}; parse_budget reads what is typed"
        )
    return Capacity(minutes=float(given))


def parse_budget(text: str, *, team: float | None = None) -> Capacity:
    """A capacity from what is typed after `--budget`.

    Args:
        text: A number (staff minutes a member-week), "team" (the care team's own minutes), "none" (no limit), or a
            capacity file that ends in .toml.
        team: Minutes a member-week of the policy that made the data; None when they are not known.

    Raises:
        UserError: If it is something else, or the team's minutes are not known.
    """
    if not isinstance(text, str):
        raise UserError(f"a budget to be read must be text, not {shorten(repr(text))}")
    word = text.strip()
    if word.lower() == "none":
        return Capacity()
    if word.lower() == "team":
        if team is None:
            raise UserError("budget 'team' needs the care team's own minutes, which this data does not tell")
        return Capacity(minutes=float(team))
    if word.lower().endswith(".toml"):
        return Capacity.from_toml(word)
    try:
        minutes = float(word)
    except ValueError:
        known = "" if team is None else "'team', "
        raise UserError(
            f"budget {shorten(word)!r} is no number of minutes; give one, {known}'none' or a file that ends in .toml"
        ) from None
    check_number("budget: minutes a member-week", minutes, low=0, high=MOST)
    return Capacity(minutes=minutes)


def parse_budgets(text: str, *, team: float | None = None) -> dict[str, Capacity]:
    """Several budgets, separated by commas, by what was typed.

    Raises:
        UserError: If there is none, one is given twice, or one is no good.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise UserError("no budget given; for instance 1.0,team,7.0,none")
    if len(set(words)) != len(words):
        raise UserError(f"a budget is given twice in {shorten(text)!r}")
    return {word: parse_budget(word, team=team) for word in words}

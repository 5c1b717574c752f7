"""`frl worklist`: whom to contact this week, within the hours that there are."""

import datetime
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer

from frl_env.capacity import Capacity, Effort, parse_budget
from frl_env.capacity.effort import null_joint
from frl_env.datasets.table_import import ColumnMap, TableError
from frl_env.datasets.table_import.cells.convert import to_identifiers
from frl_env.datasets.table_import.table_files.source import open_table
from frl_env.errors import UserError, check_number, check_whole, shorten, unknown_name
from frl_env.evaluation.privacy.suppression import roughly
from frl_env.terminal import console, progress_bar
from frl_env.trained_on import check_actions, check_minutes, check_states
from frl_env.worklist import make_worklist, only_group, read_caseload, write_worklist
from frl_env.worklist.writing import chances_file, check_files

ZERO = "0 is within that range: it is not shown that these contacts avoid any event"
"""Said of a list whose interval holds 0."""

SILENT = (
    "warning: the table has no contact of the week before, of anybody; if its log is late, those contacted then may be "
    "listed again: name them in --leave-alone, or wait for the log"
)
"""Said where an empty decision is a week without a contact, and so is a decision that is not in the table yet."""

OF_ALL = "of all groups, not only of those listed here"
"""Said beside --only of numbers of members who have no row of the week, and so no group in it."""

FAR_DAYS = 28
"""Days from today beyond which the last week of a table is hardly the one to decide."""

SAID = 3
"""Problems of a table that one line names."""


def worklist_command(
    model: Annotated[
        Path, typer.Option(help="A .safetensors file of save_model, or a .d3 that you trust: it is a pickle.")
    ],
    members: Annotated[Path, typer.Option(help="A table of member-weeks, as 'frl import' reads it.")],
    capacity: Annotated[
        str, typer.Option(help="Staff minutes a member-week, none (no limit), or a .toml file; docs/capacity.md.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The list: .parquet, .csv or .html.")],
    week: Annotated[
        str | None, typer.Option(help="Week to decide, as the table writes it; by default its last week.")
    ] = None,
    map_file: Annotated[
        Path | None, typer.Option("--map", help="TOML file that says what your columns mean; see docs/own_data.md.")
    ] = None,
    explore: Annotated[
        float, typer.Option(help="Share of the capacity that is drawn by lot, with known chances.")
    ] = 0.0,
    least_weeks: Annotated[int, typer.Option(help="Weeks from one contact of a member to the next, at least.")] = 0,
    leave_alone: Annotated[
        Path | None, typer.Option(help="Text file of member ids, one a line, who must not be contacted.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="COLUMN=GROUP: only members of this group, such as a team, by a demographic column; repeatable."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Seed of the draws of each week and --only; the same one gives the same list.")
    ] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace files of these names.")] = False,
) -> None:
    """Lists whom to contact this week: who gains most by the minute, within capacity. Not to guide care."""
    check_files(out, force=force)
    _check_not_read(out, (model, members, map_file, leave_alone, Path(capacity)))
    check_whole("--seed", seed, low=0, high=2**63)
    check_whole("--least-weeks", least_weeks, low=0, high=10_000)
    check_number("--explore", explore, low=0, high=1)
    if capacity.strip().lower() == "team":
        raise UserError(
            "--capacity 'team' is for the simulator, where a team's minutes are known; give staff minutes a "
            "member-week, 'none' for no limit, or a file that ends in .toml"
        )
    limits = parse_budget(capacity)
    groups = _groups(only or [])
    policy, effort = load_policy(model)
    limits.check(effort.action_space)
    alone = _identifiers(leave_alone)
    with progress_bar() as progress:
        columns = ColumnMap.read(map_file, table=open_table(members).schema)
        _check_fits(policy, columns, model)
        if columns.effort is not None:
            check_minutes(model, effort, Effort(columns.actions, columns.effort))
        for name, _ in groups:
            if name not in columns.demographics:
                raise unknown_name("column of groups for --only:", name, columns.demographics)
        try:
            caseload = read_caseload(members, policy, columns=columns, week=week, progress=progress)
        except TableError as problem:
            more = f"; and {len(problem.problems) - SAID} more" if len(problem.problems) > SAID else ""
            first = "; ".join(str(each) for each in problem.problems[:SAID])
            raise UserError(f"{members} has {problem.summary}: {first}{more}") from None
        everybody = caseload.identifiers
        if groups:
            rules = tuple(replace(rule, why=f"{rule.why} ({OF_ALL})") for rule in caseload.left_out)
            caseload = replace(caseload, left_out=rules)
        for name, group in groups:
            caseload = only_group(caseload, name, group)
        progress("choosing", 0, 1)
        worklist = make_worklist(
            caseload,
            policy,
            effort,
            limits,
            _draws(seed, caseload.week, only or []),
            explore=explore,
            least_weeks=least_weeks,
            leave_alone=alone,
        )
        chances = write_worklist(worklist, out, force=force, words=columns.own_words)
        progress("choosing", 1, 1)
    lines = _told(worklist.summary, limits)
    if week is None:
        lines += _far_off(worklist.summary["week"], datetime.date.today())
    if caseload.silent:
        lines.append(f"  {SILENT}")
    lines += _without_minutes(effort, limits)
    lines += _without_limit(effort, limits)
    lines += _strangers(alone, everybody, leave_alone)
    lines += [f"  not listed: {rule['members']} members: {rule['why']}" for rule in worklist.summary["left_out"]]
    lines.append(f"wrote {out}, and everybody's chances: {chances}. Not to guide care.")
    console.print("\n".join(lines), markup=False)


def _draws(seed: int, week: str, only: Sequence[str]) -> np.random.Generator:
    """Draws of this week and of these groups. By the seed alone the same members would be drawn week after week."""
    return np.random.default_rng([seed, *"\n".join((week, *sorted(only))).encode()])


def _groups(only: Sequence[str]) -> list[tuple[str, str]]:
    """Columns and groups of COLUMN=GROUP.

    Raises:
        UserError: If one is not of that form, or a column is named twice.
    """
    pairs = [text.partition("=") for text in only]
    for text, (name, _, group) in zip(only, pairs, strict=True):
        if not (name and group):
            raise UserError(f"--only takes COLUMN=GROUP, for instance care_team=North, not {shorten(text)!r}")
        if [each for each, *_ in pairs].count(name) > 1:
            raise UserError(
                f"--only names {shorten(name)} twice, and a member is in one group of it; make a list for each"
            )
    return [(name, group) for name, _, group in pairs]


def _told(said: Mapping[str, Any], limits: Capacity) -> list[str]:
    """How many are listed, what that takes, what it may avoid, and for how many there is no time."""
    lines = [f"week {said['week']}: {said['listed']} of {said['caseload']} members listed"]
    for each in said["capacity"]:
        used = "not told" if each["used"] is None else f"{each['used']:,.0f}"
        about = "about " if each["what"] == "minutes" or limits.caseload is not None else ""  # grows with the caseload
        lines.append(f"  {each['what']}: {used} of {about}{each['of']:,.0f}")
    if said["events_avoided"] is not None:
        total, low, high = said["events_avoided"]
        lines.append(
            f"  expected to avoid {total:,.1f} events ({low:,.1f} to {high:,.1f}), in the unit of the reward, by the "
            "model alone"
        )
        if low <= 0 <= high:
            lines.append(f"  {ZERO}")
    lines.append(
        f"  would gain, but there is no time: {said['below_the_line']} members (the .html list names the first)"
    )
    if said["never_made"]:
        lines.append(
            f"  may be listed, though no contact in the table has it: {', '.join(said['never_made'])}; what your staff "
            "can't do, [[forbidden]] in a capacity file keeps off the list (docs/capacity.md)"
        )
    if said["new_members"] != "0":
        lines.append(
            f"  the week before is not on record: {said['new_members']} members; the list goes by this week alone, and "
            "may name again whom last week's did"
        )
    return lines


def _far_off(week: str, today: datetime.date) -> list[str]:
    """A line where the last week of the table is not one to decide any more, or not yet."""
    try:
        since = (today - datetime.date.fromisoformat(week)).days
    except ValueError:  # a number
        return []
    if since < -FAR_DAYS:
        return [
            f"  warning: the last week of the table begins {-since:,} days from today; a slip in the week of one row "
            "makes it the week to decide: correct it, or give --week"
        ]
    if since <= FAR_DAYS:
        return []
    return [
        f"  warning: the last week of the table began {since:,} days ago; a table to train on ends where claims are "
        "complete, and one for a list ends with the week to decide (docs/event_tables.md, A list for next week)"
    ]


def _without_minutes(effort: Effort, limits: Capacity) -> list[str]:
    """A line where contacts that may be listed take no minutes because none were said, so that no limit holds them."""
    free = limits.allowed(effort.action_space) & (effort.minutes == 0)
    free[null_joint(effort.action_space)] = False
    if not (effort.unsaid and free.any()) or (limits.minutes is None and not limits.weekly_minutes):
        return []
    return [
        f"  warning: no staff minutes are said for {', '.join(effort.unsaid)}; such contacts take 0, and no limit of "
        "minutes holds them: say them under [effort.FACTOR] in the map and train again, or forbid these contacts"
    ]


def _without_limit(effort: Effort, capacity: Capacity) -> list[str]:
    """A line where contacts that take minutes count against no limit, as those of a nurse whose line was deleted."""
    limits, space = capacity.limits(effort, 1), effort.action_space
    free = limits.allowed & (effort.minutes > 0) & ~(limits.use > 0).any(axis=0)
    if not (len(limits.names) and free.any()):
        return []
    levels = [
        [factor.levels[level] for level in np.unique(space.joint_levels[free, number])]
        for number, factor in enumerate(space)
        if factor.name in (capacity.weekly_minutes or capacity.weekly_contacts)
    ]
    return [
        f"  warning: the capacity sets no limit for {', '.join(min(levels, key=len))}; everybody who would gain "
        "anything may be listed for them: give each a line, with 0 where there is no time this week"
    ]


def _check_not_read(out: Path, sources: tuple[Path | None, ...]) -> None:
    """Refuses to replace what the list is made from, whatever --force says.

    Raises:
        UserError: If so.
    """
    for written in (out, chances_file(out)):
        for source in sources:
            if source is not None and written.exists() and source.exists() and written.samefile(source):
                raise UserError(
                    f"{source} is what the list is made from, and {written} would replace it; choose another name"
                )


def load_policy(file: Path) -> tuple[Any, Effort]:
    """A trained policy with gains, and the minutes it was told.

    Raises:
        UserError: If it can't be read, or offers no gains.
    """
    try:
        algorithms = importlib.import_module("frl_algos")
    except ModuleNotFoundError as problem:
        raise UserError(f"a model needs {problem.name}; install frl-medicaid with all that it asks for") from None
    if file.suffix == ".d3":
        policy = importlib.import_module("frl_algos.model_files.policy_files").load_d3(file)
    else:
        policy = algorithms.load_model(file)
    if not getattr(policy, "offers_gains", False):
        raise UserError(
            f"{file} holds a policy that knows no gains by member; train FactoredAWR with a response on data whose "
            "contacts have staff minutes ([effort.FACTOR] in the map of the import, or in the spec of frl weeks)"
        )
    return policy, Effort.from_json(policy.config.effort, policy.action_space)


def _check_fits(policy: Any, columns: ColumnMap, model: Path) -> None:
    """Refuses a table of other actions or states than the policy was trained on.

    Raises:
        UserError: If so.
    """
    check_actions(model, policy.action_space, columns.actions)
    check_states(model, policy.config.state_names, columns.states)
    size = int(policy.impl.observation_shape[0])
    if size != len(columns.states):
        raise UserError(
            f"{model} was trained on {size} states and the data have {len(columns.states)}; use the map that the "
            "training data were imported with"
        )


def _strangers(alone: frozenset[str], caseload: np.ndarray, file: Path | None) -> list[str]:
    """A line where ids of members to leave alone are nobody's on the caseload: a slip in one is a call to a member."""
    strange = len(alone - {str(each) for each in caseload})
    if file is None or not alone:
        return [] if file is None else [f"  {file} holds no id of a member"]
    if not strange:
        return []
    who = f"nobody on the caseload is in {file}"
    if strange < len(alone):
        who = f"of the ids in {file}, {roughly(strange)} are nobody's on the caseload"
    return [f"  {who}; ids there must be written as in the table"]


def _identifiers(file: Path | None) -> frozenset[str]:
    """Members who must not be contacted.

    Raises:
        UserError: If the file can't be read.
    """
    if file is None:
        return frozenset()
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise UserError(f"can't read {file} ({getattr(problem, 'strerror', None) or 'not UTF-8 text'})") from None
    # As the table's are read: 1001.0 of a column of numbers is 1001.
    return frozenset(each for each in to_identifiers(pa.array(lines, pa.string()))[0].to_pylist() if each is not None)

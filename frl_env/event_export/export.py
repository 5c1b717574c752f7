"""`frl export --as events`: a folder of raw tables in one format, and the spec that `frl weeks` reads them with."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np

from frl_env.care_effort import care_effort
from frl_env.datasets.recipes import Recipe, recipe
from frl_env.errors import UserError, system_reason, unknown_name
from frl_env.event_export.care import simulate
from frl_env.event_export.contact_log import contact_log, crosswalk_toml
from frl_env.event_export.formats import WRITERS
from frl_env.event_export.services import encounters
from frl_env.event_export.spans import FIRST_DAY, enrolment, people
from frl_env.files import atomic

FORMATS = tuple(WRITERS)

STREAM = 7_919
"""Keeps the draws of the export apart from those of the simulation."""


def export_events(
    dataset: str | Recipe, folder: str | Path, *, kind: str = "flat", progress: Callable[[int, int], None] | None = None
) -> int:
    """Writes the members of a recipe as raw events, whole or not at all.

    Args:
        dataset: A recipe, or the id of one.
        folder: To make; `spec.toml` in it is what `frl weeks` takes.
        kind: One of `FORMATS`.
        progress: Called with (members done, members in all).

    Returns:
        Number of members.

    Raises:
        UserError: If there is no such recipe or format, the folder is there already or can't be written.
    """
    made = dataset if isinstance(dataset, Recipe) else recipe(dataset)
    if kind not in FORMATS:
        raise unknown_name("format of events", kind, FORMATS)
    place = Path(folder)
    if place.exists():
        raise UserError(f"{place} exists already; name a new folder (--force replaces a table alone)")
    done = 0
    try:
        with atomic.whole_folder(place) as aside:
            for shard, members in enumerate(made.shards):
                care = simulate(made, shard, done)
                rng = np.random.default_rng((made.seed, shard, STREAM))
                spans, who = enrolment(care, rng), people(care, rng)
                services = encounters(care, rng)
                log = contact_log(care, rng)
                WRITERS[kind].write(aside, shard, care, spans, who, services, log, rng)
                done += members
                if progress is not None:
                    progress(done, made.members)
            (aside / "spec.toml").write_text(_spec(made, kind), encoding="utf-8")
    except OSError as problem:
        raise UserError(f"can't write {place} ({system_reason(problem)}); free space or choose another place") from None
    return done


def _spec(made: Recipe, kind: str) -> str:
    first = FIRST_DAY.astype(object)
    last = first + timedelta(days=7 * made.horizon - 1)
    lines = [
        f"# Members of {made.dataset_id}, simulated; no real person stands behind them.",
        f'source = "{kind}"',
        "simulated = true",
        "",
        WRITERS[kind].TABLES.strip(),
        "",
        "[tables.contacts]",
        'path = "contacts"',
        'member = "MEMBER_ID"',
        'contact = "CONTACT_ID"',
        'time = "CONTACT_TIME"',
        'modality = "CHANNEL"',
        'provider = "STAFF_ROLE"',
        'goal = "TOPIC"',
        'urgency = "PRIORITY"',
        'outcome = "OUTCOME"',
        'direction = "DIRECTION"',
        "",
        crosswalk_toml(),
        "[effort.modality]                   # staff minutes of a contact",
        *(f"{level} = {minutes:g}" for level, minutes in care_effort(made.parameters).levels["modality"].items()),
        "",
        "[rules.weeks]",
        f"first_day = {first}",
        "",
        "[rules.enrolment]",
        'gaps = "kept"                       # the simulator has a row for weeks without coverage',
        "",
        "[rules.claims]",
        f"complete_through = {last}",
        'known = "at_service"                # in the simulator everything is known at once',
        "",
    ]
    return "\n".join(lines)

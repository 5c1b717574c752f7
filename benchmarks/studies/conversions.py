"""What each rule of a conversion decides: the value reported for the team, and the true value of what is trained.

    python benchmarks/studies/conversions.py

Simulated members are written as raw events (`frl export --as events`) and come back through `frl weeks`, each time by
other rules; some are wrong on purpose. Rows are conversions. Columns: what the team's returns come to in the table; the
true value of FactoredAWR trained on it, as difference to the team's, in the simulator. Every run is kept as soon as
it is done.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

import re
import signal
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.policy_scoring.true_values import Evaluation
from benchmarks.result_records.kept_results import Kept
from benchmarks.result_records.study import Study
from benchmarks.studies.ablations import OURS, values_of
from frl_algos import FactoredReplayBuffer
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.datasets import Recipe
from frl_env.event_export import export_events
from frl_env.events_to_weeks import weeks
from frl_env.parameters import MEASURES
from frl_env.rollout import standard_error
from frl_env.terminal import progress_bar, run_or_say
from frl_env.worlds import World

RESULTS = Kept("benchmarks.studies.conversions")
SEED = 20_260
"""That of `frl/medicaid-synthetic-v0`: with 5,000 members it is that dataset."""

LAST_DAY, RUN_OUT = "2024-12-29", "2024-09-29"
"""Last day of the 52 weeks, and 91 days before."""


@dataclass(frozen=True)
class Conversion:
    """A way to read the same events.

    Attributes:
        label: What is done.
        rules: Rule, as group.name, to its value in TOML.
        edit: What else changes in the spec.
        visits: Whether medical visits are taken for encounters.
    """

    label: str
    rules: tuple[tuple[str, str], ...] = ()
    edit: tuple[str, str] = ("", "")
    visits: bool = False


CONVERSIONS = (
    Conversion("right"),
    Conversion("the last contact of a week", (("contacts.several", '"last"'),)),
    Conversion("the most intensive contact of a week", (("contacts.several", '"most_intensive"'),)),
    Conversion("every try is an attempt", (("contacts.repeats", '"each"'),)),
    Conversion("wrong: reached contacts only", edit=('"No answer" = "attempted"', '"No answer" = "ignore"')),
    Conversion("wrong: medical visits for encounters", visits=True),
    Conversion("an ED visit that becomes a stay counts twice", (("events.ed_to_stay", '"both"'),)),
    Conversion("stays and transfers apart", (("events.stay_gap_days", "-1"), ("events.transfer_days", "-1"))),
    Conversion("every claim is an ED visit", (("events.ed_days", '"each_claim"'),)),
    Conversion("wrong: voids and replacements ignored", (("claims.adjustments", '"ignored"'),)),
    Conversion("wrong: claims not run out, weeks not cut", (("claims.as_of", LAST_DAY),)),
    Conversion(
        "claims not run out, last 91 days cut", (("claims.as_of", LAST_DAY), ("claims.complete_through", RUN_OUT))
    ),
    Conversion("a state knows only what had arrived", (("claims.known", '"when_received"'),)),
    Conversion("weeks in gaps left out", (("enrolment.gaps", '"left_out"'),)),
    Conversion("paid over 4 weeks", (("state.paid_weeks", "4"),)),
    Conversion("days since the first, gaps included", (("state.enrolled_days", '"since_first"'),)),
)


COLUMNS = {
    "conversion": "{conversion}",
    "logged for the team": "{logged:.3f}",
    "true difference to the team": "{difference:+.3f}",
    "SE": "{error:.3f}",
}
STUDY = Study(
    RESULTS,
    str(__doc__).splitlines()[0],
    {
        "members": (5_000, 50, "members"),
        "seeds": (1, 1, "training seeds 0..N-1"),
        "steps": (3_000, 1, "updates a run"),
        "eval_members": (20_000, 2, "members of every rollout"),
    },
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Converts, trains and scores."""
    options = STUDY.options(arguments)
    evaluation = Evaluation(
        environment="frl_env:frl/MedicaidCare-v0", world=World(), horizon=52, members=options.eval_members
    )
    rows = []
    with progress_bar() as tell, tempfile.TemporaryDirectory() as scratch:
        team = evaluation.references(tell)["behaviour"].value
        events = Path(scratch) / "events"
        made = Recipe(dataset_id="bench/conversions-v0", description="", members=options.members, seed=SEED)
        export_events(made, events)
        for done, conversion in enumerate(CONVERSIONS):
            tell("conversions", done, len(CONVERSIONS))
            weeks_of = convert(conversion, events)
            values = values_of(STUDY, OURS, buffer_of(weeks_of), evaluation, options, tell)
            difference = values.mean(axis=0) - team
            rows.append({
                "conversion": conversion.label,
                "logged": float(weeks_of.groupby("member_id")["reward"].sum().mean()),
                "difference": float(difference.mean()),
                "error": standard_error(difference),
            })  # fmt: skip
        tell("conversions", len(CONVERSIONS), len(CONVERSIONS))
    STUDY.tell(rows, COLUMNS, options, title=f"{options.members:,} members, {options.seeds} training seeds")


def convert(conversion: Conversion, events: Path) -> pd.DataFrame:
    """The member-weeks of a conversion, in order."""
    text = (events / "spec.toml").read_text().replace(*conversion.edit, 1)
    for rule, value in conversion.rules:
        group, name = rule.split(".")
        text = re.sub(rf"(?m)^{name} = .*\n", "", text)
        header = f"[rules.{group}]\n"
        text = (
            text.replace(header, f"{header}{name} = {value}\n")
            if header in text
            else f"{text}{header}{name} = {value}\n"
        )
    (events / "changed.toml").write_text(text)
    weeks(events / "changed.toml", events / "weeks.parquet", force=True)
    rows = pd.read_parquet(events / "weeks.parquet").sort_values(["member_id", "week"], ignore_index=True)
    return with_visits(rows, events) if conversion.visits else rows


def with_visits(rows: pd.DataFrame, events: Path) -> pd.DataFrame:
    """Days with a claim in the week before for `num_encounters_last_week`: the mistake."""
    claims = pd.read_parquet(events / "claims", columns=["MEMBER_ID", "FROM_DATE"]).drop_duplicates()
    day = pd.to_datetime(claims["FROM_DATE"])
    week = day - pd.to_timedelta(day.dt.day_of_week, unit="D")
    counts = claims.groupby([claims["MEMBER_ID"], week]).size()
    starts = pd.to_datetime(rows["week"])
    for name, before in (("num_encounters_last_week", 7), ("next_num_encounters_last_week", 0)):
        places = pd.MultiIndex.from_arrays([rows["member_id"], starts - pd.Timedelta(days=before)])
        rows[name] = counts.reindex(places, fill_value=0).to_numpy().astype(np.float32)
    return rows


def buffer_of(rows: pd.DataFrame) -> FactoredReplayBuffer:
    """Runs of consecutive weeks of a member, an episode each."""
    week = pd.to_datetime(rows["week"]).to_numpy().astype("datetime64[D]").astype(np.int64)
    new = (rows["member_id"] != rows["member_id"].shift()).to_numpy() | (np.diff(week, prepend=0) != 7)
    starts = np.flatnonzero(new)
    lengths = np.diff(starts, append=len(rows))
    names = [f"action_{factor.name}" for factor in MEDICAID_ACTIONS]
    return FactoredReplayBuffer(
        observations=rows[list(MEASURES)].to_numpy(dtype=np.float32),
        actions=MEDICAID_ACTIONS.encode(rows[names].to_numpy(dtype=object)),
        rewards=rows["reward"].to_numpy(dtype=np.float32),
        next_observations=rows[[f"next_{name}" for name in MEASURES]].to_numpy(dtype=np.float32),
        lengths=lengths,
        terminated=rows["terminated"].to_numpy()[starts + lengths - 1],
        action_space=MEDICAID_ACTIONS,
    )


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run_or_say(main)

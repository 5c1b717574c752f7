"""Does the loop close? Weekly lists for four quarters on the simulator, learning from what was done.

    python benchmarks/loop.py

Every quarter a policy is trained on everything logged so far and makes the weekly lists, within the care team's own
minutes, a share of which is drawn by lot. Members respond in the simulator; what was done comes back as data with the
chances that the lists stated. Told are the true value by quarter, beside the care team, a loop without exploration and
one that never learns anew, and how often the off-policy interval of the *next* policy holds its true value.
Every replicate is kept as soon as it is done; the same command goes on where a stopped one was.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from benchmarks.result_records.kept_results import Kept
from benchmarks.result_records.study import Study, Unit
from benchmarks.studies.closed_loop.program import replicate
from benchmarks.studies.closed_loop.settings import ARMS, QUARTERS, Settings
from frl_env.errors import check_number
from frl_env.terminal import progress_bar, run_or_say
from frl_env.worlds import World

SEED = 917_000
"""Of the first replicate. No dataset is collected with it. Nothing was chosen by these replicates; the form of
intervals was by others, from 2,711, 810,000 and 905,000 on."""

LISTS = ARMS[1:]
RESULTS = Kept("benchmarks.loop")
COLUMNS = {
    "quarter": "{quarter}",
    "loop": "{loop:+.3f} ({loop_error:.3f})",
    "no exploration": "{none:+.3f} ({none_error:.3f})",
    "never learns anew": "{never:+.3f} ({never_error:.3f})",
    "loop less no exploration": "{lead:+.3f} ({lead_error:.3f})",
    "loop, minutes a week": "{minutes:.2f}",
    "interval holds, by chances": "{weights_held} of {weights_told}",
    "of these withheld": "{withheld}",
    "its half-width": "{weights_width:.2f}",
    "interval holds, by model": "{model_held} of {model_told}",
    "model's half-width": "{model_width:.2f}",
}
FIELDS = {"loop": "loop", "no exploration": "none", "never relearns": "never"}


STUDY = Study(
    RESULTS,
    "Weekly lists for four quarters on the simulator, learning from what was done.",
    {
        "replicates": (20, 1, "caseloads"),
        "members": (1_000, 100, "members of a caseload"),
        "copies": (3, 1, "runs of a member for true values"),
    },
    more=lambda parser: parser.add_argument(
        "--explore", type=float, default=0.2, help="share of the minutes drawn by lot (default 0.2)"
    ),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the replicates that are missing, and tells all."""
    options = STUDY.options(arguments)
    check_number("explore", options.explore, low=0, high=1)
    settings = Settings(members=options.members, explore=options.explore, copies=options.copies)
    with progress_bar() as progress:
        tell = partial(progress, "quarters")
        units = [
            Unit(
                f"replicate-{number:04d}",
                partial(replicate, SEED + number, settings, World().parameters, tell),
                {"settings": asdict(settings), "seed": SEED + number},
            )
            for number in range(options.replicates)
        ]
        found = STUDY.each(units, options, "replicates", tell=progress)
    STUDY.tell(summary(found), COLUMNS, options)


def summary(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row a quarter: gains over the care team, and how often intervals hold the truth.

    Args:
        found: What `replicate` returned, a replicate each.
    """
    rows = []
    for quarter in range(QUARTERS):
        row: dict[str, Any] = {"quarter": quarter + 1}
        own = {name: np.asarray([each["values"][name][quarter] for each in found]) for name in ARMS}
        compared = {FIELDS[name]: own[name] - own["team"] for name in LISTS}
        compared["lead"] = own["loop"] - own["no exploration"]
        for name, gains in compared.items():
            row[name] = float(gains.mean())
            row[f"{name}_error"] = float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else None
        row["minutes"] = float(np.mean([each["minutes"]["loop"][quarter] for each in found]))
        row["team_minutes"] = float(np.mean([each["budget"] for each in found]))
        estimates = [each["estimates"][quarter] for each in found]
        for kind in ("weights", "model"):
            spans = [(each["intervals"][kind], each["truth"]) for each in estimates if kind in each["intervals"]]
            row[f"{kind}_told"] = len(spans)
            row[f"{kind}_held"] = sum(low <= truth <= high for (_, low, high), truth in spans)
            row[f"{kind}_width"] = float(np.mean([(high - low) / 2 for (_, low, high), _ in spans])) if spans else None
            row[f"{kind}_bias"] = float(np.mean([value - truth for (value, *_), truth in spans])) if spans else None
        row["withheld"] = sum(each["refused"] for each in estimates)
        rows.append(row)
    return rows


if __name__ == "__main__":
    run_or_say(main)

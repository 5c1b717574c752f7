"""How often a wrong sign is endorsed, and a right one withheld: headlines against the truth, here and elsewhere.

    python benchmarks/studies/endorsements.py                 all data and policies; goes on where a stopped run was
    python benchmarks/studies/endorsements.py --report        only the table of what is there

A pair is a draw of data and a policy whose true value is known. A headline endorses a sign when its interval of the
difference to behaviour lies on one side of 0; it is wrong when the true difference lies on the other side by more than
three errors of the truth. Care data are drawn anew in the worlds of the datasets, elsewhere the worlds are those of
`benchmarks.worlds`. The rule was chosen by argument. Others were looked at: seed 83,000 before unnormalised weights
were left out as second opinions, for the reason that `frl_env.evaluation.endorsement` gives; seeds 84,000 and 85,000 of
both XOR worlds before the model of propensities chose products and intervals reckoned with its error.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.result_records.kept_results import Kept
from benchmarks.result_records.study import Study, Unit
from benchmarks.studies.known_policies.endorsed_data import SETS
from frl_algos.value_models.counterfactual import Counterfactual
from frl_algos.value_models.value_policy import value_policy
from frl_env.errors import UserError
from frl_env.evaluation import Evaluation
from frl_env.terminal import run_or_say

RESULTS = Kept("benchmarks.studies.endorsements")
SEED = 86_000
"""Of the data; no other study and no dataset uses it."""

COLUMNS = {
    "data": "{data}",
    "pairs": "{pairs}",
    "a sign endorsed": "{endorsed}",
    "of these wrong": "{wrong}",
    "interval over 0": "{undecided}",
    "withheld": "{withheld}",
    "of these the sign was right": "{right_withheld}",
}
STUDY = Study(
    RESULTS,
    "Headlines against the truth.",
    {"draws": (1, 1, "draws of every kind of data")},
    more=lambda parser: parser.add_argument("--report", action="store_true", help="only show what is there"),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures what is missing and shows the table."""
    options = STUDY.options(arguments)
    units = [
        Unit(f"{name}-{draw}", partial(_measured, name, draw), {"data": name, "draw": draw, "seed": SEED})
        for draw in range(options.draws)
        for name in SETS
    ]
    pairs = [pair for pairs in STUDY.each(units, options, "data") for pair in pairs or ()]
    if not pairs:
        raise UserError("nothing measured yet; run without --report")
    rows = [_row(name, [pair for pair in pairs if pair["data"] == name]) for name in SETS]
    STUDY.tell([*(row for row in rows if row["pairs"]), _row("all", pairs)], COLUMNS, options)


def _measured(name: str, draw: int) -> list[dict[str, Any]]:
    return list(_pairs(name, draw))


def _pairs(name: str, draw: int) -> Iterator[dict[str, Any]]:
    """What is said of every policy on one draw, beside the truth."""
    data = SETS[name]((SEED, draw))
    valuation = Counterfactual.fit(data.episodes, rng=np.random.default_rng(SEED), response=data.response)
    for policy, target in data.policies.items():
        found = value_policy(target, data.episodes, valuation=valuation, seed=draw)
        true, error = data.truth[policy]
        yield {"data": name, "draw": draw, "policy": policy, "true": true, "error": error} | _said(found)


def _said(found: Evaluation) -> dict[str, Any]:
    """The headline's estimate and interval, whether it is withheld, and why."""
    result = found.results[found.headline_estimator]
    return {
        "estimator": found.headline_estimator,
        "withheld": found.headline is None,
        "why": found.sentence,
        "difference": result.difference.value,
        "low": result.difference_interval.low,
        "high": result.difference_interval.high,
    }


def _sign(low: float, high: float) -> int:
    return int(low > 0) - int(high < 0)


def _row(name: str, pairs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts of one kind of data."""
    said = [(p, _sign(p["low"], p["high"])) for p in pairs]
    true = [_sign(p["true"] - 3 * p["error"], p["true"] + 3 * p["error"]) for p in pairs]
    told = [(p, sign, truth) for (p, sign), truth in zip(said, true, strict=True)]
    endorsed = [(sign, truth) for p, sign, truth in told if sign and not p["withheld"]]
    withheld = [(sign, truth) for p, sign, truth in told if p["withheld"]]
    return {
        "data": name,
        "pairs": len(pairs),
        "endorsed": len(endorsed),
        "wrong": sum(truth == -sign for sign, truth in endorsed),
        "undecided": len(pairs) - len(endorsed) - len(withheld),
        "withheld": len(withheld),
        "right_withheld": sum(sign != 0 and truth == sign for sign, truth in withheld),
    }


if __name__ == "__main__":
    run_or_say(main)

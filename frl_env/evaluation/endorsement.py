"""When a value may be a headline: the one rule for `evaluate`, the scorecard and the report.

It sees data only, and asks in this order; the first that fails is what the sentence says.

1. Support, people and weights: `Diagnostics.reasons`. An estimate without weights needs as many members as a weighted
   one needs effective members.
2. Agreement. Weighted estimators need known propensities and nothing of a model, so where their weights are usable
   (they pass 1), they and the headline estimate the same number. A difference beyond `AGREE` joint errors means that
   one of them is wrong, and nothing says which.
3. Spread. The interval of the headline is narrower than the analyses that are left to choose from lie apart: other
   usable cut-offs of the weights, and other windows where the headline itself assumes a Markov record. Then the
   choice of the analysis is a larger error than the one that is told.

What is no second opinion: weights that fail 1; weights that are not normalised (PDIS, DR), since what a mean weight is
off 1 counts there times the whole return, although that constant says nothing of the policy; and models that compare
actions given the record alone (DM, FQE), as they may differ from the truth by what the team saw beyond the record.
"""

from collections.abc import Mapping

import numpy as np

from frl_env.evaluation.diagnostics import Diagnostics, Thresholds
from frl_env.evaluation.estimating.estimate import Estimate
from frl_env.evaluation.estimating.estimators import CUMULATIVE, MARGINAL
from frl_env.evaluation.estimating.intervals import Interval

UNNORMALISED = ("PDIS", "DR")

AGREE = 2.0
"""Joint standard errors: what two right estimates differ by in 1 of 20."""


def why_withheld(
    chosen: str,
    differences: Mapping[str, Estimate],
    intervals: Mapping[str, Interval],
    diagnostics: Diagnostics,
    thresholds: Thresholds,
) -> list[str]:
    """Why an estimate is no headline, in words, in the order of the rule; empty when it is one.

    Args:
        chosen: Name of the estimator.
        differences: To the observed returns, of every estimator, by name.
        intervals: Of these.
        diagnostics: Of the weights.
        thresholds: What it has to meet.
    """
    own = differences[chosen]
    # A target that is the behaviour policy has no error at all; sums in another order differ by this.
    rounding = 1e-9 * (1 + float(np.abs(own.plain).max()))
    found = diagnostics.reasons(own.weights, thresholds)
    opinions = {
        name: estimate
        for name, estimate in differences.items()
        if name not in (chosen, *UNNORMALISED) and _speaks(estimate, own, diagnostics, thresholds)
    }
    for name, other in opinions.items():
        joint = float(np.hypot(own.standard_error, other.standard_error))
        if other.weights != own.weights and abs(own.value - other.value) > AGREE * joint + rounding:
            found.append(
                f"{chosen} and {name} disagree on the difference to behaviour by more than their errors "
                f"({own.value:+.4g} and {other.value:+.4g})"
            )
            break
    values = [own.value, *(other.value for other in opinions.values())]
    spread, width = max(values) - min(values), intervals[chosen].high - intervals[chosen].low
    if spread > width + rounding:
        found.append(
            f"its interval ({width:.4g} wide) is narrower than the {spread:.4g} by which defensible analyses differ"
        )
    return found


def _speaks(other: Estimate, own: Estimate, diagnostics: Diagnostics, thresholds: Thresholds) -> bool:
    """Whether an estimate is a second opinion on the headline's value."""
    kind = other.weights or ""
    markov = kind.startswith(MARGINAL) and (own.weights or "").startswith(MARGINAL)
    return (kind.startswith(CUMULATIVE) or markov) and not diagnostics.reasons(kind, thresholds)

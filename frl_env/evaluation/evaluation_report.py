"""What is told of the estimates of a policy: a headline or why there is none, a table, and facts for a file.

Small numbers of real people are left out here, whatever was computed.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from frl_env.evaluation.comparison import Result
from frl_env.evaluation.diagnostics import Diagnostics
from frl_env.evaluation.estimating.estimate import Estimate
from frl_env.evaluation.estimating.estimators import MARGINAL
from frl_env.evaluation.privacy.suppression import SMALLEST, count, effective, rests_on_few
from frl_env.member_months import of_a_group, per_1000_member_months, span

FEW_EVENTS = f"fewer than {SMALLEST} of these members had any event, so that no value may be told"


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """All estimates of one target policy on one set of logged episodes.

    Attributes:
        members, decisions: Size of the data.
        discount: Of the returns.
        behaviour: Mean of the returns as logged.
        results: By estimator, in the order of the table.
        diagnostics: Of the weights.
        headline_estimator: The one whose value is the headline.
        reasons: Why there is no headline, the first in the sentence; empty when there is one.
        passed_over: Which estimator was not taken for the headline, and why; empty when there is nothing to say.
        by_group: The headline estimator's results by attribute and label; None for groups with too few effective
            members.
        group_weeks: Mean number of weeks that the members of each group are followed.
    """

    members: int
    decisions: int
    discount: float
    behaviour: Estimate
    results: dict[str, Result]
    diagnostics: Diagnostics
    headline_estimator: str
    reasons: list[str]
    passed_over: str = ""
    by_group: dict[str, dict[str, Result | None]] = field(default_factory=dict)
    group_weeks: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def simulated(self) -> bool:
        """Whether nobody real stands behind the members."""
        return self.diagnostics.simulated

    @property
    def told(self) -> bool:
        """Whether values may leave the process: of real people not where 1 to 10 of them had all events."""
        return self.simulated or not rests_on_few(self.behaviour.plain)

    @property
    def weeks(self) -> float | None:
        """Mean number of weeks that a member is followed.

        None with a discount, which makes rates meaningless, and where weeks and decisions would tell how few people
        there are.
        """
        told = self.simulated or self.members >= SMALLEST
        return self.decisions / self.members if self.discount == 1.0 and told else None

    @property
    def headline(self) -> Result | None:
        """The value to report, None when the data does not support one."""
        return None if self.reasons else self.results[self.headline_estimator]

    @property
    def sentence(self) -> str:
        """The headline in words, or why there is none."""
        beside = f" {self.passed_over}." if self.passed_over else ""
        if not self.told:
            return f"No estimate: {FEW_EVENTS}."
        if self.reasons:
            return f"No headline ({self.headline_estimator}): {self.reasons[0]}.{beside}"
        result = self.results[self.headline_estimator]
        value, change = result.interval, result.difference_interval
        assumed = (result.estimate.weights or "").startswith(MARGINAL)
        return (
            f"{self.headline_estimator}: value {result.estimate.value:.3f} ({value.level:.0%} interval {value.low:.3f} "
            f"to {value.high:.3f}); difference to behaviour {result.difference.value:+.4f} "
            f"({change.low:+.4f} to {change.high:+.4f}){self._rate(result)}"
            f"{', if the record then holds all of the past that matters' if assumed else ''}.{beside}"
        )

    def _rate(self, result: Result) -> str:
        if self.weeks is None:
            return ""
        rates = result.rates(self.weeks)
        return (
            f" {span(self.weeks)}, per 1,000 member-months {rates['difference']:+.2f} "
            f"({rates['difference_low']:+.2f} to {rates['difference_high']:+.2f})"
        )

    def _group_rates(self, attribute: str, label: str, result: Result) -> dict[str, dict[str, float]]:
        """Rates of a group, over the weeks that its own members are followed."""
        if self.weeks is None:
            return {}
        rates = result.rates(self.group_weeks[attribute][label])
        told = {name: of_a_group(rate, simulated=self.simulated) for name, rate in rates.items()}
        return {"per_1000_member_months": told}

    def table(self) -> pd.DataFrame:
        """One row an estimator: value and difference to behaviour with their intervals, effective members.

        Values are of a member over `weeks`; the last columns are rates per 1,000 member-months. Few effective members
        of real people are missing; it is empty where no value may be told.
        """
        if not self.told:
            return pd.DataFrame()
        diagnostics = self.diagnostics.to_dict()
        rows: dict[str, dict[str, float]] = {
            "behaviour": {"value": self.behaviour.value, "SE": self.behaviour.standard_error}
        }
        for name, result in self.results.items():
            kind = result.estimate.weights
            weights = None if kind is None else diagnostics["weights"][kind]
            members = effective(self.members, simulated=self.simulated) if weights is None else weights["members"]
            rows[name] = {
                "value": result.estimate.value,
                "SE": result.estimate.standard_error,
                "low": result.interval.low,
                "high": result.interval.high,
                "difference": result.difference.value,
                "difference SE": result.difference.standard_error,
                "difference low": result.difference_interval.low,
                "difference high": result.difference_interval.high,
                "members": np.nan if members is None else members,
                "worst week": np.nan if weights is None else weights["worst_week"],
                "clipped": np.nan if weights is None else weights["clipped"],
            }
            if self.weeks is not None:
                rates = result.rates(self.weeks)
                rows[name] |= {f"{key.replace('_', ' ')} per 1,000 member-months": rates[key] for key in rates}
        if self.weeks is not None:
            rows["behaviour"]["value per 1,000 member-months"] = per_1000_member_months(
                self.behaviour.value, self.weeks
            )
            rows = {name: row | {"weeks": self.weeks} for name, row in rows.items()}
        return pd.DataFrame.from_dict(rows, orient="index")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, without anything about a single member; small numbers of real people are left out."""
        headline, hidden = self.headline, self.diagnostics.hidden
        facts = {
            "members": count(self.members, simulated=self.simulated),
            "decisions": self.decisions,
            "discount": self.discount,
            "weeks": self.weeks,
        }
        if not self.told:
            nothing = {"behaviour": None, "headline": None, "results": {}, "by_group": {}, "passed_over": ""}
            return (
                facts
                | nothing
                | {
                    "headline_estimator": self.headline_estimator,
                    "sentence": self.sentence,
                    "reasons": self.reasons,
                    "diagnostics": self.diagnostics.to_dict(),
                }
            )
        return facts | {
            "behaviour": {"value": self.behaviour.value, "standard_error": self.behaviour.standard_error},
            "headline_estimator": self.headline_estimator,
            "headline": None if headline is None else headline.to_dict(self.weeks),
            "sentence": self.sentence,
            "reasons": self.reasons,
            "passed_over": self.passed_over,
            "results": {name: result.to_dict(self.weeks) for name, result in self.results.items()},
            "by_group": {
                name: {
                    label: None if r is None else r.to_dict() | self._group_rates(name, label, r)
                    for label, r in group.items()
                    if label not in hidden[name]
                }
                for name, group in self.by_group.items()
            },
            "diagnostics": self.diagnostics.to_dict(),
        }

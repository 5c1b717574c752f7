"""What a fairness audit looks at: per member a probability of high-touch contact, labels, need, and perhaps a value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64

from frl_env.errors import UserError
from frl_env.evaluation.privacy.suppression import SMALLEST, people

NOT_RECORDED = "NOT RECORDED"
"""Label of members without one: a group like any other."""


def label_missing(column: Any) -> np.ndarray:
    """Labels as text; None, NaN and "" become `NOT_RECORDED`."""
    series = pd.Series(np.asarray(column), dtype=object)
    missing = (series.isna() | (series == "")).to_numpy(dtype=bool)
    return np.where(missing, NOT_RECORDED, series.astype(str)).astype(str)


@dataclass(frozen=True, kw_only=True, eq=False)
class AuditedMembers:
    """What an audit looks at; one entry a member in every array.

    Attributes:
        high_touch: Probability of high-touch contact, mean over the member's weeks.
        attributes: Labels by attribute; None, NaN and "" are labelled `NOT_RECORDED`.
        needs: Measures of need, not negative; NaN where not known. The first one counts.
        allocations: Other probabilities by name, mean over the member's weeks, for instance of each modality.
        values: Value of the policy; None when it is not known.
        weeks: How many weeks each member is followed, where the values are sums over these; None otherwise.
        behaviour_values: Value of the behaviour policy for the same members, under the same chances or as logged.
        weights: Importance weight of each member; None without any.
        simulated: Whether the members are simulated. Only then are small cells shown.
        value_source: Where the values come from, in words.

    Raises:
        UserError: If a shape is wrong, a number is out of range, nothing is known of an attribute or a need, or all
            members are in one group.
    """

    high_touch: Float64[np.ndarray, "member"]
    attributes: Mapping[str, np.ndarray]
    needs: Mapping[str, Float64[np.ndarray, "member"]]
    simulated: bool
    allocations: Mapping[str, Float64[np.ndarray, "member"]] = field(default_factory=dict)
    values: Float64[np.ndarray, "member"] | None = None
    behaviour_values: Float64[np.ndarray, "member"] | None = None
    weeks: Float64[np.ndarray, "member"] | None = None
    weights: Float64[np.ndarray, "member"] | None = None
    value_source: str = ""

    def __post_init__(self) -> None:
        """Checks everything once."""
        n = len(self.high_touch)
        if not self.simulated and n < SMALLEST:
            raise UserError(f"an audit of imported data needs at least {SMALLEST} members, and these are fewer")
        if not self.attributes:
            raise UserError("an audit needs at least one attribute to compare groups of, for instance race_ethnicity")
        if not self.needs:
            raise UserError("an audit needs at least one measure of need, for instance open needs or recorded use")
        columns: dict[str, Any] = {"high_touch": self.high_touch, **self.allocations, **self.needs}
        columns |= {"values": self.values, "behaviour_values": self.behaviour_values, "weights": self.weights}
        columns |= {"weeks": self.weeks}
        checked = {name: self._checked(name, column) for name, column in columns.items() if column is not None}
        for name in ("high_touch", *self.allocations):
            self._refuse((checked[name] < 0) | (checked[name] > 1 + 1e-6), f"{name} is not a probability in 0..1")
        for name in self.needs:
            self._refuse(checked[name] < 0, f"need {name!r} is negative")
            if np.isnan(checked[name]).all():
                raise UserError(f"need {name!r} is missing for all {n:,} members; leave it out or fill it in")
            if not np.nansum(checked[name]):
                raise UserError(f"need {name!r} is 0 for all {n:,} members, so that nothing can be measured against it")
        if self.weeks is not None:
            self._refuse(checked["weeks"] <= 0, "weeks are not positive")
        labels = {name: self._labels(name, column) for name, column in self.attributes.items()}
        object.__setattr__(self, "attributes", labels)
        for name in ("allocations", "needs"):
            object.__setattr__(self, name, {key: checked[key] for key in getattr(self, name)})
        for name in ("high_touch", "values", "behaviour_values", "weights", "weeks"):
            object.__setattr__(self, name, checked.get(name))

    def __len__(self) -> int:
        """Number of members."""
        return len(self.high_touch)

    def _checked(self, name: str, column: Any) -> np.ndarray:
        array = np.asarray(column, dtype=np.float64)
        if array.shape != (len(self.high_touch),):
            raise UserError(f"{name} has shape {array.shape}; one number for each of {len(self.high_touch):,} members")
        bad = ~np.isfinite(array) if name not in self.needs else np.isinf(array)
        self._refuse(bad, f"{name} is not finite")
        return array

    def _labels(self, name: str, column: Any) -> np.ndarray:
        labels = label_missing(column)
        if len(labels) != len(self.high_touch):
            raise UserError(f"attribute {name!r} has {len(labels):,} labels for {len(self.high_touch):,} members")
        if (labels == NOT_RECORDED).all():
            raise UserError(f"attribute {name!r} is missing for all {len(labels):,} members; leave it out of the audit")
        if len(np.unique(labels)) == 1:
            raise UserError(f"attribute {name!r} has one group only, so there is nothing to compare; leave it out")
        return labels

    def _refuse(self, bad: np.ndarray, problem: str) -> None:
        if bad.any():
            number = people(int(bad.sum()), simulated=self.simulated)
            raise UserError(f"{problem} for {number} of {len(bad):,} members; correct or drop these")

"""A list by uplift: how much a contact is estimated to prevent, by an R-learner from scikit-learn's parts.

    tau  =  argmin  sum_i  ( (Y_i - m(x_i)) - tau(x_i) (T_i - e(x_i)) )^2

with Y the events of the next four weeks, T whether there was a contact, m and e their expectations given the record,
each from the other half of the members (Nie and Wager, 2021). Where an observation shows that a contact was answered,
only weeks with an attempt count and T is the answer: those that got none are the control group, which an indication
that nobody recorded touches less than whether somebody was called at all.
"""

from typing import Any

import numpy as np
from jaxtyping import Float64
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from frl_algos.logged_data.replay import FactoredReplayBuffer
from frl_algos.member_rankings.ranking import BOOSTING, LEAST, Ranking
from frl_algos.member_rankings.records import logged_records
from frl_algos.member_rankings.visits import VISITS, Visits
from frl_env.errors import UserError

FEW = BOOSTING | {"max_iter": 50, "min_samples_leaf": 500}
"""For the effect itself, which is small against the noise."""

OVERLAP = 0.01
"""Chances of a contact are kept this far from 0 and 1."""


class UpliftRanking(Ranking):
    """Ranks by estimated uplift. A program uses its staff: the list goes on where the estimates are below zero.

    Args:
        visits: What those at the top get.
        response: Index of an observation whose next value is positive when a contact was answered; None without.
        history: Indices of the observations whose past counts.
    """

    def __init__(self, visits: Visits = VISITS, *, response: int | None = None, history: tuple[int, ...] = ()) -> None:
        """Keeps the rule."""
        super().__init__(visits, history=history)
        self.response = response

    def scores(self, observations: np.ndarray, memory: np.ndarray) -> Float64[np.ndarray, "member"]:
        """Events prevented by a contact, above the least in the data."""
        uplift = -self._effect.predict(self.record.columns(memory, observations))
        return np.maximum(uplift - self._least, 0.0) + LEAST

    def _fit_scores(self, buffer: FactoredReplayBuffer, rng: np.random.Generator) -> None:
        """Fits the effect of an answered contact by the R-learner; what is expected comes from the other half."""
        space, size = buffer.action_space, buffer.observations.shape[1]
        if self.response is not None and not 0 <= self.response < size:
            raise UserError(f"response is observation {self.response}, and there are {size}, counted from 0")
        attempted = (buffer.actions != int(space.ravel(space.null_action))) & space.valid[buffer.actions]
        logged = logged_records(buffer, self.record, rng, None if self.response is None else attempted)
        if self.response is None:
            treated = attempted[logged.rows]
        else:
            treated = buffer.next_observations[logged.rows, self.response] > 0
        persons, person = np.unique(buffer.people, return_inverse=True)
        halves = rng.permutation(len(persons))[person[logged.episodes]] % 2
        counts = [int((treated & (halves == half)).sum()) for half in (0, 1)]
        controls = [int((~treated & (halves == half)).sum()) for half in (0, 1)]
        if min(*counts, *controls) < 2:
            raise UserError(
                "uplift needs at least 2 weeks with and 2 without an answered contact in both halves of the members; "
                "take more members, or leave it out of --algo"
            )
        surprise, exposure = np.empty(len(treated)), np.empty(len(treated))
        for half in (0, 1):
            own, other = halves == half, halves != half
            expected = _regression("squared_error", BOOSTING).fit(logged.columns[other], logged.events[other])
            chance = HistGradientBoostingClassifier(random_state=0, **BOOSTING).fit(
                logged.columns[other], treated[other]
            )
            surprise[own] = logged.events[own] - expected.predict(logged.columns[own])
            exposure[own] = treated[own] - np.clip(
                chance.predict_proba(logged.columns[own])[:, 1], OVERLAP, 1 - OVERLAP
            )
        # The R-learner (Nie & Wager, 2021): events left over treatment left, weighted by the square of the latter.
        self._effect = _regression("squared_error", FEW).fit(
            logged.columns, surprise / exposure, sample_weight=exposure**2
        )
        self._least = float(-self._effect.predict(logged.columns).max())


def _regression(loss: str, settings: dict[str, Any]) -> HistGradientBoostingRegressor:
    return HistGradientBoostingRegressor(loss=loss, random_state=0, **settings)

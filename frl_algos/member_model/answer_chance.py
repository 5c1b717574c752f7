"""Chance that a contact is answered, for the logged attempts.

A logistic regression among attempts, on the leading factor (the modality), recent contacts and the share answered so
far. How fast contacts are forgotten is the fading with the largest likelihood.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from frl_algos.member_model.log_linear import fit_logistic, log_likelihood
from frl_algos.member_model.logged_weeks import LoggedWeeks
from frl_algos.member_model.memory import FADINGS


@dataclass(frozen=True)
class AnswerChance:
    """The regression.

    Attributes:
        weights: Of one, contacts lately, log odds of answers so far, and levels of the leading factor.
        fading: Number of the fading by which contacts are forgotten.
    """

    weights: np.ndarray
    fading: int

    @classmethod
    def fit(cls, sample: LoggedWeeks, lead: Int[np.ndarray, "valid"]) -> "AnswerChance":
        """Fits to the attempts in a sample; `lead` has the level of the leading factor of each valid action."""
        kept = sample.attempted
        target = sample.answered[kept].astype(np.float64)
        best, found = -np.inf, None
        for fading in range(len(FADINGS)):
            x = _answer_features(sample, kept, fading, lead)
            weights = fit_logistic(x, target)
            likelihood = log_likelihood(x, weights, target)
            if likelihood > best:
                best, found = likelihood, cls(weights, fading)
        assert found is not None
        # Being contacted never makes an answer likelier: what says so is that those who answer are contacted.
        found.weights[1] = min(found.weights[1], 0.0)
        return found

    def chance(self, rows: LoggedWeeks, lead: Int[np.ndarray, "valid"]) -> Float[np.ndarray, "attempt"]:
        """Chance of each attempt among some rows."""
        score = _answer_features(rows, rows.attempted, self.fading, lead) @ self.weights
        return 1 / (1 + np.exp(-score))


def _answer_features(rows: LoggedWeeks, kept: np.ndarray, fading: int, lead: Int[np.ndarray, "valid"]) -> np.ndarray:
    contacts = rows.contacts[kept]
    levels = np.eye(int(lead.max()) + 1)[lead[rows.actions[kept]]]
    return np.column_stack([np.ones(len(contacts)), contacts[:, fading], contacts[:, len(FADINGS)], levels])

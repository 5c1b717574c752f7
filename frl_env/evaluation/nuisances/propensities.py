"""Propensities of logged actions when none were logged: a model of who got what, factor by factor.

    pi_b(a | s) = P(act | s) * P(factor 1 | s, act) * P(factor 2 | s, act, factor 1) * ...

Doing nothing has a model of its own (the gate), because it is most of what happens and its errors multiply week by
week; without contact factors there is no gate. Each factor's model sees the state, the week and the factors before it:
gradient-boosted trees for the gate, multinomial logistic regression for the factors, on parts and products of two parts
that a score test chooses (`level_model`). Levels seen in few decisions have the probability of their frequency, so that
nothing that was done has probability 0.

Every model is fitted on the other folds' members, and then calibrated: the log odds of held-out predictions are
stretched and shifted (two numbers for the gate, a temperature for a factor) to fit the members of the other folds. A
factor's odds are shrunk only by what its model is too sure of beyond the error of its weights.

Fitted propensities are not known ones: what chance did in these members is in them. `scores` say in which directions,
so that an interval can reckon with it (`inputs.every_estimate`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

from frl_env.errors import UserError, check_whole
from frl_env.evaluation.dataset_reading.episodes import LoggedEpisodes, check_folds, split_members
from frl_env.evaluation.nuisances.level_model import ROWS, LevelModel
from frl_env.evaluation.nuisances.ridge import state_features

LEAST = 1e-12
"""Probability at least of what was logged: with a handful of members a fit may round it to 0, yet it happened."""

GATE = "act"
"""Name of the gate among the factors."""

RARE = 50
"""Levels seen in fewer training decisions are not modelled, only counted."""

DIRECTIONS = 60
"""Of the scores of one factor, about: more would be as many as there are members."""

_BINS = 10
"""Bins of predicted probability that are compared with what was chosen."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EstimatedPropensities:
    """Cross-fitted, calibrated propensities of the logged actions.

    Attributes:
        logged: Of the whole action; one after the end.
        factors: Of each factor given those before it, by name in order, the gate first; one where it does not apply.
        reliability: Predicted and observed frequency by factor and tenth of the predictions, with the number of
            decisions; `stretch` is what calibration multiplied the log odds with.
        scores: What a member's decisions say against the models: sums of columns times what was logged less what was
            expected. Directions in which the propensities may be off, by what chance did in these members.
    """

    logged: Float64[np.ndarray, "episode step"]
    factors: dict[str, Float64[np.ndarray, "episode step"]]
    reliability: pd.DataFrame
    scores: Float64[np.ndarray, "episode direction"]

    def summary(self) -> pd.DataFrame:
        """One row a factor: how much the model says, and how far its frequencies are off.

        Columns: decisions, mean log probability of what was logged, the same by frequencies alone, mean distance of
        predicted from observed frequencies (expected calibration error), stretch by calibration.
        """
        grouped = self.reliability.groupby("factor", sort=False)
        distance = (self.reliability.predicted - self.reliability.observed).abs() * self.reliability.weight
        return pd.DataFrame(
            {
                "decisions": grouped.decisions.first(),
                "log probability": grouped.log_probability.first(),
                "by frequency": grouped.log_frequency.first(),
                "calibration error": distance.groupby(self.reliability.factor, sort=False).sum(),
                "stretch": grouped.stretch.first(),
            }
        )


def estimate_propensities(
    episodes: LoggedEpisodes,
    *,
    rng: np.random.Generator,
    folds: int = 3,
    calibrate: bool = True,
) -> EstimatedPropensities:
    """Fits the behaviour policy and asks it for the probability of every logged action.

    Args:
        episodes: The logged decisions.
        rng: Source of the folds and of the rows that models are fitted on.
        folds: Of members.
        calibrate: Whether held-out predictions are calibrated.

    Raises:
        UserError: If there are no observations, or too few members.
    """
    check_whole("folds of propensities", folds, low=2, high=10**6)
    check_folds(len(episodes), folds)
    mask, space = episodes.mask, episodes.action_space
    if episodes.observations is None:
        raise UserError("propensities can't be estimated without observations; give them or logged propensities")
    week = np.broadcast_to(np.arange(episodes.steps) / episodes.steps, mask.shape)[mask][:, None]
    raw = np.concatenate([episodes.observation_rows, week], axis=1)
    state = np.concatenate([state_features(episodes.observations, mask, products=False)[mask], week], axis=1)
    levels = space.unravel(episodes.actions[mask])
    fold = np.empty(len(episodes), dtype=np.int64)
    for number, members in enumerate(split_members(len(episodes), folds, rng)):
        fold[members] = number
    row_fold = np.repeat(fold, episodes.lengths)
    acts = np.ones(len(levels), dtype=bool)
    factors: dict[str, np.ndarray] = {}
    tables, scores = [], []
    member = np.repeat(np.arange(len(episodes)), episodes.lengths)
    if space.contact_factors:
        acts = (levels != space.null_action).any(axis=1)
        found = _cross_fit(_Gate, raw, acts.astype(np.int64), row_fold, rng, calibrate, shifts=True)
        factors[GATE] = found.logged
        tables.append(found.reliability(GATE))
        shown = np.concatenate([np.ones((len(state), 1)), _with_steps(state)], axis=1)
        scores.append(_scores(found, shown, member, len(episodes)))
    columns, widths = [_with_steps(state[acts])], [2] * state.shape[1]
    for i, factor in enumerate(space):
        factors[factor.name] = np.ones(len(levels))
        if not acts.any():
            continue  # nobody was ever contacted: there is no contact to tell others from
        inputs = np.concatenate(columns, axis=1)
        kind = partial(LevelModel, widths=tuple(widths))
        found = _cross_fit(kind, inputs, levels[acts, i], row_fold[acts], rng, calibrate, shifts=False)
        factors[factor.name][acts] = found.logged
        tables.append(found.reliability(factor.name))
        assert found.model is not None
        scores.append(_scores(found, found.model.columns(inputs), member[acts], len(episodes)))
        columns.append(np.eye(len(factor))[levels[acts, i]])
        widths.append(len(factor))
    logged = np.prod(list(factors.values()), axis=0)
    return EstimatedPropensities(
        logged=episodes.padded("estimated propensities", logged, 1.0),
        factors={name: episodes.padded(name, values, 1.0) for name, values in factors.items()},
        reliability=pd.concat(tables, ignore_index=True),
        scores=np.concatenate(scores, axis=1),
    )


def _with_steps(state: Float64[np.ndarray, "row k"]) -> Float64[np.ndarray, "row 2k"]:
    """Each measure, and beside it whether it lies above its median: rules of teams have thresholds."""
    above = state > np.median(state, axis=0) if len(state) else np.zeros(state.shape)
    return np.stack([state, above], axis=2).reshape(len(state), 2 * state.shape[1])


@dataclass(frozen=True, kw_only=True, eq=False)
class _Held:
    """Held-out predictions of one factor.

    Attributes:
        probabilities: By class; every row from models that did not see its member.
        levels: What was logged.
        stretch: Of the log odds, by calibration; mean over the folds.
        model: The last fold's, for its columns; None for the gate.
    """

    probabilities: Float64[np.ndarray, "row level"]
    levels: Int64[np.ndarray, "row"]
    stretch: float
    model: LevelModel | None

    @property
    def logged(self) -> Float64[np.ndarray, "row"]:
        """Probability of the level that was logged."""
        return np.maximum(self.probabilities[np.arange(len(self.levels)), self.levels], LEAST)

    def reliability(self, name: str) -> pd.DataFrame:
        """Predicted against observed frequency, over all levels at once, by tenths of the predicted mass."""
        predicted = self.probabilities.ravel()
        observed = np.zeros_like(self.probabilities)
        observed[np.arange(len(self.levels)), self.levels] = 1
        order = np.argsort(predicted, kind="stable")
        # Tenths of the predicted mass, not of the rows: most levels of most decisions are improbable.
        mass = np.cumsum(predicted[order])
        bins = np.minimum((mass / mass[-1] * _BINS).astype(int), _BINS - 1)
        count = np.bincount(bins, minlength=_BINS)
        frequency = np.bincount(self.levels) / max(len(self.levels), 1)
        used = count > 0
        return pd.DataFrame(
            {
                "factor": name,
                "predicted": (np.bincount(bins, predicted[order], _BINS) / np.maximum(count, 1))[used],
                "observed": (np.bincount(bins, observed.ravel()[order], _BINS) / np.maximum(count, 1))[used],
                "weight": np.bincount(bins, predicted[order], _BINS)[used] / max(mass[-1], 1e-300),
                "decisions": len(self.levels),
                "log_probability": float(np.log(self.logged).mean()),
                # What frequencies alone reach, without looking at the state.
                "log_frequency": float((frequency[frequency > 0] * np.log(frequency[frequency > 0])).sum()),
                "stretch": self.stretch,
            }
        )


def _scores(
    found: _Held, columns: Float64[np.ndarray, "row column"], member: Int64[np.ndarray, "row"], members: int
) -> Float64[np.ndarray, "member direction"]:
    """Each member's sums of columns times what was logged less what was expected, of the first `DIRECTIONS` at most."""
    from scipy.sparse import csr_array

    off = -found.probabilities
    off[np.arange(len(off)), found.levels] += 1
    off = off[:, 1:]  # rows sum to 0
    shown = columns[:, : max(1, DIRECTIONS // max(off.shape[1], 1))]
    rows = np.arange(len(member))
    of_member = csr_array((np.ones(len(member)), (member, rows)), shape=(members, len(member)))
    return np.concatenate([of_member @ (shown[:, [c]] * off) for c in range(shown.shape[1])], axis=1)


class _Gate:
    """Whether anything is done: gradient-boosted trees on raw observations, which find thresholds by themselves."""

    def __init__(self, rng: np.random.Generator) -> None:
        from sklearn.ensemble import HistGradientBoostingClassifier  # here: a second that few evaluations need

        settings: dict[str, Any] = {
            "max_iter": 80,
            "learning_rate": 0.05,
            "max_leaf_nodes": 8,
            "min_samples_leaf": 100,
            "l2_regularization": 1.0,
            "early_stopping": False,
            "random_state": int(rng.integers(2**31)),
        }
        self.model = HistGradientBoostingClassifier(**settings)

    def fit(self, inputs: np.ndarray, levels: np.ndarray) -> Any:
        return self.model.fit(inputs, levels)


def _cross_fit(
    kind: Callable[[np.random.Generator], _Gate | LevelModel],
    inputs: Float64[np.ndarray, "row input"],
    levels: Int64[np.ndarray, "row"],
    fold: Int64[np.ndarray, "row"],
    rng: np.random.Generator,
    calibrate: bool,
    *,
    shifts: bool,
) -> _Held:
    """Probabilities of the levels of one factor, each member's from a model of the other folds' members."""
    count = np.bincount(levels)
    probabilities = np.zeros((len(levels), len(count)))
    model: _Gate | LevelModel | None = None
    expected = []
    for number in np.unique(fold):
        held, model = fold == number, kind(rng)
        probabilities[held] = _predict(model, inputs[~held], levels[~held], inputs[held], count > 0)
        if isinstance(model, LevelModel):
            expected.append(model.shrinkage)
    last, shrinkage = (model, float(np.mean(expected))) if isinstance(model, LevelModel) else (None, None)
    if not calibrate:
        return _Held(probabilities=probabilities, levels=levels, stretch=1.0, model=last)
    calibrated, stretches = np.empty_like(probabilities), []
    for number in np.unique(fold):
        others = np.flatnonzero(fold != number)
        others = others if len(others) <= ROWS else rng.choice(others, ROWS, replace=False)
        stretch, shift = _calibration(probabilities[others], levels[others], shifts)
        if shrinkage is not None and stretch < 1:
            # What estimation alone shrinks is no fault: taking it out would fit other members a little better, and
            # leave in the weights what it takes from the dependence of the action on the state.
            stretch = min(1.0, stretch / shrinkage)
        calibrated[fold == number] = _stretched(probabilities[fold == number], stretch, shift)
        stretches.append(stretch)
    return _Held(probabilities=calibrated, levels=levels, stretch=float(np.mean(stretches)), model=last)


def _predict(
    model: _Gate | LevelModel, inputs: np.ndarray, levels: np.ndarray, asked: np.ndarray, possible: np.ndarray
) -> np.ndarray:
    """Probabilities of the levels: modelled where frequent, by their frequency where rare, 0 where nobody had them."""
    count = np.bincount(levels, minlength=len(possible))
    rare = possible & (count < RARE)
    frequent = np.flatnonzero(possible & ~rare)
    probabilities = np.zeros((len(asked), len(possible)))
    probabilities[:, rare] = (count[rare] + 1) / (len(levels) + rare.sum())
    left = 1 - probabilities[0].sum() if len(asked) else 0.0
    if len(frequent) > 1:
        kept = np.isin(levels, frequent)
        probabilities[:, frequent] = left * model.fit(inputs[kept], levels[kept]).predict_proba(asked)
    elif len(frequent):
        probabilities[:, frequent] = left
    else:
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    return probabilities


def _calibration(probabilities: np.ndarray, levels: np.ndarray, shifts: bool) -> tuple[float, float]:
    """Stretch of the log odds, and shift of the second level's, under which the logged levels are most likely."""
    from scipy.optimize import minimize

    rows = np.arange(len(levels))
    if not len(rows):
        return 1.0, 0.0

    def loss(parameters: Sequence[float]) -> float:
        shift = parameters[1] if shifts else 0.0
        return -float(np.log(_stretched(probabilities, np.exp(parameters[0]), shift)[rows, levels]).mean())

    found = minimize(loss, np.zeros(1 + shifts), method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-7})
    return float(np.exp(found.x[0])), float(found.x[1]) if shifts else 0.0


def _stretched(probabilities: np.ndarray, stretch: float, shift: float) -> np.ndarray:
    """Probabilities with their logits multiplied by `stretch`, and that of the second level moved by `shift`."""
    with np.errstate(divide="ignore"):
        scores = stretch * np.log(probabilities)
    scores[:, 1:2] += shift
    scores -= scores.max(axis=1, keepdims=True)
    powers = np.exp(scores)
    return powers / powers.sum(axis=1, keepdims=True)

"""What the answer hangs on that the data can't settle: hidden confounding, propensities, cut-offs, run-out, rewards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64

from frl_env.errors import UserError, check_number, check_whole, unknown_name
from frl_env.evaluation.dataset_reading.episodes import LoggedEpisodes
from frl_env.evaluation.diagnostics import Thresholds, Weights, diagnose
from frl_env.evaluation.estimating.estimate import Estimate
from frl_env.evaluation.estimating.estimators import MARGINAL, ActionValues
from frl_env.evaluation.estimating.intervals import check_members, interval
from frl_env.evaluation.estimating.target import Probabilities, Scores
from frl_env.evaluation.evaluation_report import FEW_EVENTS
from frl_env.evaluation.inputs import CLIPS, WINDOWS, Inputs, every_estimate, prepare, recommended, with_state_ratios
from frl_env.evaluation.nuisances.propensities import estimate_propensities
from frl_env.evaluation.nuisances.ridge import state_features
from frl_env.evaluation.privacy.suppression import effective, rests_on_few
from frl_env.evaluation.sensitivity.confounding import Confounding
from frl_env.evaluation.sensitivity.turning import CONFOUNDING, turning_points, turning_sentence
from frl_env.evaluation.threads import numpy_alone
from frl_env.kinds import check_kind

STRENGTHS = (1.0, 1.1, 1.25, 1.5, 2.0, 3.0)
"""Strengths of confounding, Lambda."""

MIXED = (0.05, 0.2)
"""Shares of the propensities that are replaced by how often the action occurs."""

RUN_OUT = (4, 13)
"""Last weeks of the follow-up of which claims may still be missing: a month, a quarter."""

NOISE = (0.1, 0.3)
"""Standard deviations of errors in the logarithm of the propensities, drawn anew for each decision."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sensitivity:
    """How one target's difference to behaviour moves.

    Attributes:
        estimator: Of all rows but those on confounding.
        tipping_strength: Weakest fresh hidden confounding under which the difference may be zero; infinity beyond 20.
        table: One row a setting: `what` is varied, its `setting`, `value` and `difference` to behaviour, the 95 %
            interval of the difference as `low` and `high`, effective `members` (missing where they are fewer than 11
            real ones). Rows on confounding have no value: they hold the bounds of the difference as `lowest` and
            `highest`, and these with their sampling error as `low` and `high`. Empty where 1 to 10 real people had all
            events, so that no value may be told.
    """

    estimator: str
    tipping_strength: float
    table: pd.DataFrame

    @property
    def turning(self) -> dict[str, list[str]]:
        """By what is varied, the settings at which another conclusion is drawn; see `sensitivity.turning`."""
        return {} if self.table.empty else turning_points(self.table)

    @property
    def sentence(self) -> str:
        """The conclusion, and where it turns, in words."""
        if self.table.empty:
            return f"No estimate: {FEW_EVENTS}."
        weak = self.tipping_strength
        fresh = f" Fresh hidden confounding of Lambda = {weak:.2f} may explain the difference." if weak < 20 else ""
        return turning_sentence(self.table, self.turning) + fresh

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        tipping = self.tipping_strength if np.isfinite(self.tipping_strength) else None
        rows = self.table.astype(object).where(self.table.notna(), None).to_dict(orient="records")
        return {
            "estimator": self.estimator,
            "sentence": self.sentence,
            "tipping_strength": tipping,
            "turning": self.turning,
            "rows": rows,
        }


@numpy_alone()
def sensitivity(
    episodes: LoggedEpisodes,
    target_probabilities: Probabilities | np.ndarray,
    *,
    rng: np.random.Generator,
    q_values: ActionValues | Scores | None = None,
    propensities: str | np.ndarray = "logged",
    discount: float = 1.0,
    estimator: str | None = None,
    strengths: Sequence[float] = STRENGTHS,
    clips: Sequence[float] = CLIPS,
    windows: Sequence[int] = WINDOWS,
    run_out: Sequence[int] = RUN_OUT,
    reward_weights: Sequence[Mapping[str, float]] = (),
    folds: int = 5,
    features: Float64[np.ndarray, "episode step feature"] | None = None,
) -> Sensitivity:
    """One table of how the estimate moves when what it assumes does.

    Of real members no row is told from which the events of 1 to 10 of them would follow, by itself or as a difference
    of two.

    Args:
        episodes: The logged decisions.
        target_probabilities: As in `evaluate`.
        rng: Source of folds and of errors in the propensities.
        q_values: As in `evaluate`.
        propensities: As in `evaluate`.
        discount: In [0, 1].
        estimator: Whose answer is varied; by default that of the headline of `evaluate`.
        strengths: Of hidden confounding, each at least 1, which is always among them; see
            `frl_env.evaluation.sensitivity.confounding`.
        clips: Cut-offs of the weights.
        windows: Weeks that the marginal weights keep as they are.
        run_out: Last weeks of the follow-up whose rewards are left out, since late claims may be missing there; by
            WIS, as for the weights of the reward. Those that leave no week are passed over.
        reward_weights: Weights of the episodes' reward parts, one mapping a row, for instance
            `({"ed_visits": 1, "ip_stays": 5},)`. Values are of the whole reward, so these rows are by WIS.
        folds: Folds of members in which density ratios are cross-fitted.
        features: Of the state; by default smooth features of the observations.

    Raises:
        UserError: If anything does not fit, or there are fewer than 2 members.
    """
    for parts in reward_weights:
        check_kind("weights of the reward", parts, dict)
    for weeks in run_out:
        check_whole("weeks of run-out", weeks, low=1, high=10**6)
    inputs = prepare(
        episodes,
        target_probabilities,
        rng=rng,
        q_values=q_values,
        propensities=propensities,
        discount=discount,
        folds=folds,
        features=features,
        support_members=Thresholds().support_members,
    )
    found, weights = every_estimate(inputs, clips=clips, windows=windows)
    name = estimator or recommended(found)
    if name not in found:
        raise unknown_name("estimator", name, found)
    check_members([found[name]], inputs.observed)
    if not episodes.simulated and rests_on_few(inputs.observed):
        return Sensitivity(estimator=name, tipping_strength=float("nan"), table=pd.DataFrame())
    rows = _Rows(episodes)
    rows.add("as evaluated", name, inputs, found[name], weights)
    tipping = float("nan")
    state = features
    if state is None and episodes.observations is not None:
        state = state_features(episodes.observations, episodes.mask, products=False)
    if state is not None:
        confounding = Confounding(
            inputs.rewards,
            inputs.target,
            inputs.propensities,
            state,
            episodes.mask,
            values=inputs.values,
            discount=discount,
        )
        for strength in (strengths := sorted({1.0, *strengths})):
            bounds = confounding.bounds(strength)
            rows.add_bounds(f"Lambda = {strength:g}", bounds.low, bounds.high, inputs.observed)
        tipping = confounding.tipping_strength(inputs.observed, strengths=strengths)
    marginal = (found[name].weights or "").startswith(MARGINAL)
    for label, changed in _other_propensities(episodes, inputs, propensities, rng).items():
        if marginal:
            changed = with_state_ratios(changed, episodes.mask, folds=folds, rng=rng)
        again, others = every_estimate(changed, clips=clips, windows=windows if marginal else ())
        rows.add("propensities", label, changed, again[name], others)
    full, short = ("WIS", "MIS") if inputs.values is None else ("WDR", "MDR")
    for clip in clips:
        rows.add("cut-off", f"{clip:g}", inputs, found[f"{full} clip {clip:g}"], weights)
    if inputs.state_ratios is not None:
        rows.add("memory", "1 week", inputs, found[short], weights)
        for window in windows:
            rows.add("memory", f"{window} weeks", inputs, found[f"{short} {window} weeks"], weights)
    shorter, weighted = _run_out(episodes, inputs, run_out), _weighted(episodes, inputs, reward_weights)
    for weeks, changed in shorter.items() if len(shorter) > 1 or weighted else ():
        label = f"last {weeks} weeks left out" if weeks else "nothing left out, by WIS"
        rows.add("run-out", label, changed, every_estimate(changed)[0]["WIS"], weights)
    for parts, changed in weighted:
        label = ", ".join(f"{part} x {weight:g}" for part, weight in parts.items())
        rows.add("reward", label, changed, every_estimate(changed)[0]["WIS"], weights)
    return Sensitivity(estimator=name, tipping_strength=tipping, table=pd.DataFrame(rows.rows))


class _Rows:
    """Rows of the table."""

    def __init__(self, episodes: LoggedEpisodes) -> None:
        self.episodes = episodes
        self.rows: list[dict[str, Any]] = []

    def add(self, what: str, setting: str, inputs: Inputs, estimate: Estimate, weights: Mapping[str, Weights]) -> None:
        change = estimate.minus(inputs.observed)
        limits = interval(change, method="normal")
        used = {kind: grid for kind, grid in weights.items() if kind == estimate.weights}
        spread = diagnose(self.episodes, inputs.log_ratios, used).weights
        members = next((own.members for own in spread.values()), float(len(self.episodes)))
        self.rows.append(
            {
                "what": what,
                "setting": setting,
                "value": estimate.value,
                "difference": change.value,
                "low": limits.low,
                "high": limits.high,
                "members": effective(members, simulated=self.episodes.simulated),
            }
        )

    def add_bounds(self, setting: str, low: Estimate, high: Estimate, observed: np.ndarray) -> None:
        """A row of confounding, the weakest first: what it leaves open holds what a weaker one leaves open."""
        lower, upper = (interval(bound.minus(observed), method="normal") for bound in (low, high))
        least = {"lowest": low.minus(observed).value, "low": lower.low}
        most = {"highest": high.minus(observed).value, "high": upper.high}
        weaker = self.rows[-1]
        if weaker["what"] == CONFOUNDING:
            least = {limit: min(value, weaker[limit]) for limit, value in least.items()}
            most = {limit: max(value, weaker[limit]) for limit, value in most.items()}
        self.rows.append({"what": CONFOUNDING, "setting": setting, **least, **most})


def _other_propensities(
    episodes: LoggedEpisodes, inputs: Inputs, used: str | np.ndarray, rng: np.random.Generator
) -> dict[str, Inputs]:
    """The evaluation's inputs with propensities that are wrong on purpose, or from another source; by label."""
    given, mask = inputs.propensities, episodes.mask
    frequency = np.bincount(episodes.actions[mask], minlength=episodes.action_space.n_joint) / mask.sum()
    marginal = np.where(mask, frequency[episodes.actions], 1.0)
    wrong = {f"{share:.0%} frequencies": (1 - share) * given + share * marginal for share in MIXED}
    for spread in NOISE:
        noise = np.where(mask, rng.normal(-(spread**2) / 2, spread, mask.shape), 0.0)
        wrong[f"errors of {spread:g}"] = np.minimum(given * np.exp(noise), 1.0)
    found = {label: replace(inputs, propensities=propensities) for label, propensities in wrong.items()}
    word = used if isinstance(used, str) else ""
    if word != "estimated" and episodes.observations is not None:
        fitted = estimate_propensities(episodes, rng=rng)
        found["estimated"] = replace(inputs, propensities=fitted.logged, scores=fitted.scores)
    if word != "logged" and episodes.propensities is not None:
        found["logged"] = replace(inputs, propensities=episodes.propensities, scores=None)
    return found


def _run_out(episodes: LoggedEpisodes, inputs: Inputs, run_out: Sequence[int]) -> dict[int, Inputs]:
    """The inputs without the rewards of the last weeks, by how many are left out; first with all, and without values.

    Of real members, not where 1 to 10 of them had all events of what is kept, or of the weeks between two that are
    told: value less difference is the mean as logged, so these would follow.
    """
    told = {0: replace(inputs, values=None)}
    last, longest = told[0], int(episodes.lengths.max())
    for weeks in sorted({weeks for weeks in run_out if weeks < longest}):
        kept = np.where(np.arange(episodes.steps) < longest - weeks, episodes.rewards, 0.0)
        changed = replace(told[0], rewards=kept)
        if episodes.simulated or not _rest_on_few(changed.observed, last.observed - changed.observed):
            told[weeks] = last = changed
    return {weeks: told[weeks] for weeks in [0, *run_out] if weeks in told}


def _weighted(
    episodes: LoggedEpisodes, inputs: Inputs, reward_weights: Sequence[Mapping[str, float]]
) -> list[tuple[Mapping[str, float], Inputs]]:
    """The inputs with other weights of what the rewards count, and without values.

    Of real members, none of them where a part, or what they leave of the reward, is events of 1 to 10 of them: it
    would follow as a difference of rows.
    """
    found = []
    for weights in reward_weights:
        if not weights:
            raise UserError("weights of the reward name no part; leave them out or name one")
        rewards = np.zeros(episodes.mask.shape)
        for part, weight in weights.items():
            if part not in episodes.reward_parts:
                raise unknown_name("reward part", part, episodes.reward_parts)
            check_number(f"the weight of {part!r}", weight, low=-1e12, high=1e12)
            rewards += weight * episodes.reward_parts[part]
        found.append((weights, replace(inputs, rewards=rewards, values=None)))
    parts = {part for weights in reward_weights for part in weights}
    alone = [replace(inputs, rewards=episodes.reward_parts[part]).observed for part in sorted(parts)]
    without = [inputs.observed - changed.observed for _, changed in found]
    together = [changed.observed for _, changed in found]
    return [] if not episodes.simulated and _rest_on_few(*alone, *without, *together) else found


def _rest_on_few(*terms: Float64[np.ndarray, "member"]) -> bool:
    """Whether any of these means tells of 1 to 10 members; what is left of a difference by rounding is nothing."""
    return any(rests_on_few(np.where(np.abs(each) < 1e-9, 0.0, each)) for each in terms)

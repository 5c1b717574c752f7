"""The model of a member: what is expected of them, whether they answer, and what an answered contact does.

    gain(i, a) = m_i  x  P(answer | i, a)  x  share(i, a)  x  (1 - d ^ weeks since the last answer)  x  v(i, a)

m_i are the events expected over the credit window (a log-linear forecast from the whole record), the answer is a
logistic model of the action's levels, of how much the member was contacted lately and how often they answered, and the
share is what an answered contact prevents of m_i. What the last answered contact still does can't be done again: the
fourth factor, with d the fading of credit a week. v halves with every answered contact about the same need, and comes
back slowly: a member may have several needs, nobody knows which, a need is met once, and an error about one of them
should not fill all contacts.
Nothing in the model is trained by gradients; `estimating` fills it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor, nn

from frl_algos.member_model.memory import FADINGS, LONG_AGO, MemoryLayout
from frl_env.actions import DECISIONS_AT_ONCE
from frl_env.errors import check_count

AGAIN = 0.5
"""What an answered contact leaves to do about its need."""

MOST = 20.0
"""Expected events are not let above so many times the mean."""


@dataclass(frozen=True, kw_only=True)
class GainParts:
    """What gains are made of; actions are the valid ones, in the order of `ActionSpace.valid_joints`.

    Attributes:
        gains: `(members, valid)`, reward gained over doing nothing, in the credit window; minus infinity while a
            member rests, and for actions that may not be chosen.
        standard_error: `(members, valid)`, of a gain, from the uncertainty of the share alone; where several contacts
            are taken to do equally much, at most that.
        expected_events: `(members,)`, amount of reward lost in the credit window without a contact.
        answer_chance: `(members, valid)`.
        share: `(members, valid)`, of the expected events that an answered contact prevents.
        recovered: `(members,)`, share of a contact's effect that the last answered contact leaves to be had.
        similar_contacts: `(valid,)`, answered contacts in the data of the same leading level and the same need; of real
            people to the nearest 20, and 1 for those of fewer than 11 people.
    """

    gains: Float32[np.ndarray, "member valid"]
    standard_error: Float32[np.ndarray, "member valid"]
    expected_events: Float64[np.ndarray, "member"]
    answer_chance: Float32[np.ndarray, "member valid"]
    share: Float32[np.ndarray, "member valid"]
    recovered: Float64[np.ndarray, "member"]
    similar_contacts: Int64[np.ndarray, "valid"]


class MemberModel(nn.Module):
    """Estimated numbers, kept with the networks of the algorithm.

    Args:
        size: Number of observations, k.
        actions: Number of valid joint actions.
        response: Index of the observation that is positive when a contact was answered.
        leading: Levels of the factor that answers depend on (the modality).
        needs: Levels of the factor that answers to needs (the goal); 1 where there is none.
        indicated: Whether observations indicate actions.

    Attributes:
        usual: Mean of the signed logarithm of each observation; 0 where it can be negative, as no rate is made of it.
        chosen: Observations that the forecast looks at: not those that a contact writes itself.
        center, scale, forecast: Mean and spread of the features, and weights of the log-linear forecast of events.
        knots, bend: Where and how its score is bent so that expected events are right by size.
        answer, fading: Weights of an intercept, the load of attempts and past answers; which fading the load has.
        answer_levels: What each level of the leading factor adds to the log odds of an answer.
        share, share_covariance: Of the expected events that an answer prevents, by action; see `ShareRegression.solve`.
        indicated, indicated_share: Observations that indicate actions, and what meeting one adds to the share.
        similar: Answered contacts in the data of the same leading level and need.
        low, high: Range of each observation, for indications.
        window, decay: Weeks of credit, and what is left of credit after a week.
        unit: Mean events a week.
        nothing, lead, need: Position of doing nothing; each action's leading level, and the need it is about.
        known: Whether anything was estimated.
    """

    usual: Tensor
    chosen: Tensor
    center: Tensor
    scale: Tensor
    forecast: Tensor
    knots: Tensor
    bend: Tensor
    answer: Tensor
    fading: Tensor
    answer_levels: Tensor
    share: Tensor
    share_covariance: Tensor
    indicated: Tensor
    indicated_share: Tensor
    similar: Tensor
    low: Tensor
    high: Tensor
    window: Tensor
    decay: Tensor
    unit: Tensor
    nothing: Tensor
    lead: Tensor
    need: Tensor
    known: Tensor

    def __init__(
        self, size: int, actions: int, *, response: int, leading: int, needs: int = 1, indicated: bool
    ) -> None:
        """Starts as a model of nothing."""
        super().__init__()
        self.layout = MemoryLayout(size, response, needs)
        features = size * (1 + 2 * len(FADINGS))
        shapes: dict[str, tuple[int, ...]] = {"usual": (size,), "center": (features,), "scale": (features,)}
        shapes |= {
            "forecast": (features + 1,),
            "knots": (2,),
            "bend": (4,),
            "answer": (3,),
            "answer_levels": (leading,),
            "share": (actions,),
        }
        shapes |= {"share_covariance": (3, actions), "low": (size,), "high": (size,)}
        shapes |= {"window": (), "decay": (), "unit": ()}
        if indicated:
            shapes |= {"indicated": (size, actions), "indicated_share": (size, actions)}
        # The leading factor's level of each action, and the need that it is about.
        for name in ("lead", "need"):
            self.register_buffer(name, torch.zeros(actions, dtype=torch.int64))
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("chosen", torch.ones(size, dtype=torch.bool))
        self.register_buffer("fading", torch.zeros((), dtype=torch.int64))
        self.register_buffer("similar", torch.zeros(actions, dtype=torch.int64))
        self.register_buffer("nothing", torch.tensor(-1))
        self.register_buffer("known", torch.tensor(False))
        self.indicates = indicated

    def take(self, **found: np.ndarray | float | int | bool) -> None:
        """Keeps what was estimated, by name; features fewer than there is room for leave zeros at the end."""
        for name, value in found.items():
            buffer = getattr(self, name)
            array = torch.as_tensor(np.asarray(value), dtype=buffer.dtype)
            if array.shape != buffer.shape:
                buffer.zero_()
                buffer[: len(array)] = array
            else:
                buffer.copy_(array)
        self.known.fill_(True)

    def start_memory(self, members: int) -> Float32[np.ndarray, "member m"]:
        """Memories of members of whom nothing is known yet."""
        check_count("members", members)
        return self.layout.start(members)

    def remember(
        self, memory: Float32[np.ndarray, "member m"], observations: np.ndarray, positions: Int64[np.ndarray, "member"]
    ) -> Float32[np.ndarray, "member m"]:
        """The memory after a week in which these valid actions, by position, were done."""
        needs = np.where(positions == int(self.nothing), -1, _numpy(self.need)[positions])
        return self.layout.remember(memory, observations, needs)

    def expected(self, memory: np.ndarray, observations: np.ndarray) -> Float64[np.ndarray, "member"]:
        """Events expected over the credit window, in units of reward lost (or gained, for rewards above 0)."""
        x = self.layout.features(memory, observations, _numpy(self.usual), _numpy(self.chosen))
        return self._forecast(x) * float(self.window)

    def _forecast(self, features: np.ndarray) -> Float64[np.ndarray, "member"]:
        """Events expected a week."""
        p = features.shape[1]
        scaled = (features - _numpy(self.center)[:p]) / _numpy(self.scale)[:p]
        weights = _numpy(self.forecast)
        score = weights[0] + np.clip(scaled, -6, 6) @ weights[1 : 1 + p]
        score = bent(score, _numpy(self.knots), _numpy(self.bend))
        return np.exp(np.minimum(score, np.log(MOST * max(float(self.unit), 1e-12))))

    def parts(
        self,
        observations: np.ndarray,
        memory: np.ndarray | None = None,
        *,
        rest: int = 0,
        turns: Int64[np.ndarray, "turn"] | None = None,
    ) -> GainParts:
        """Gains and what they are made of.

        Args:
            observations: `(members, k)`, raw units.
            memory: `(members, m)`, before this week; None for members of whom nothing is known.
            rest: Weeks after an attempt in which a member is left alone.
            turns: Positions of the only contacts that may be made, in turn; they are taken to do equally much, their
                mean. None for all.
        """
        observations = np.asarray(observations, dtype=np.float32)
        memory = self.start_memory(len(observations)) if memory is None else memory
        expected = self.expected(memory, observations)
        contacts = self.layout.contacts(memory, observations).astype(np.float64)
        weights = _numpy(self.answer)
        score = weights[0] + weights[1] * contacts[:, int(self.fading)] + weights[2] * contacts[:, len(FADINGS)]
        by_level = 1 / (1 + np.exp(-(score[:, None] + _numpy(self.answer_levels)[None])))
        chance = by_level.astype(np.float32)[:, _numpy(self.lead)]
        since_attempt, since_answer = contacts[:, -2], contacts[:, -1]
        recovered = np.where(since_answer >= LONG_AGO, 1.0, 1 - float(self.decay) ** since_answer)
        share = np.broadcast_to(_numpy(self.share).astype(np.float32), chance.shape)
        variance, across, added = _numpy(self.share_covariance).astype(np.float32)[:, None]
        if self.indicates:
            low, high = _numpy(self.low), _numpy(self.high)
            signs = ((observations - low) / np.where(high > low, high - low, 1.0)).clip(0, 1).astype(np.float32)
            share = share + signs @ _numpy(self.indicated_share).astype(np.float32)
            met = signs @ _numpy(self.indicated).astype(np.float32)
            # Variance of share + met x indicated share: v + 2 met cov + met^2 v'.
            variance = variance + met * (2 * across + met * added)
        share_error = np.broadcast_to(np.sqrt(np.maximum(variance, 0)), chance.shape)
        scale = (expected * recovered).astype(np.float32)[:, None] * chance
        if turns is None:
            left = self._left_of_needs(self.layout.met(memory, observations))
            gains, error = scale * share * left, scale * share_error * left
        else:
            share = np.repeat(share[:, turns].mean(axis=1, keepdims=True), share.shape[1], axis=1)
            error = scale * share_error[:, turns].mean(axis=1, keepdims=True)
            now = turns[self.layout.attempts(memory) % len(turns)]
            gains = np.full(chance.shape, -np.inf, dtype=np.float32)
            members = np.arange(len(gains))
            gains[members, now] = scale[members, now] * share[members, now]
        # Minus infinity: no price makes such a contact worth it.
        gains[since_attempt <= rest] = -np.inf
        gains[:, int(self.nothing)] = 0.0
        return GainParts(
            gains=gains,
            standard_error=error,
            expected_events=expected,
            answer_chance=chance,
            share=share,
            recovered=recovered,
            similar_contacts=_numpy(self.similar),
        )

    def _left_of_needs(self, met: Float32[np.ndarray, "member need"]) -> Float32[np.ndarray, "member valid"]:
        """What answered contacts about the same need leave to be gained, as a share."""
        need = _numpy(self.need)
        if need.max(initial=0) == need.min(initial=0):
            return np.ones((len(met), len(need)), dtype=np.float32)
        left = (AGAIN**met)[:, need]
        left[:, _numpy(self.share) <= 0] = 1.0
        return left

    def gains(
        self,
        observations: np.ndarray,
        memory: np.ndarray | None = None,
        *,
        rest: int = 0,
        turns: Int64[np.ndarray, "turn"] | None = None,
    ) -> Float32[np.ndarray, "member valid"]:
        """Gains of the valid actions over doing nothing, a chunk of members at a time."""
        memory = self.start_memory(len(observations)) if memory is None else memory
        chunks = [
            self.parts(
                observations[start : start + DECISIONS_AT_ONCE],
                memory[start : start + DECISIONS_AT_ONCE],
                rest=rest,
                turns=turns,
            ).gains
            for start in range(0, len(observations), DECISIONS_AT_ONCE)
        ]
        return np.concatenate(chunks) if chunks else np.zeros((0, len(self.share)), dtype=np.float32)


def bends(score: Float64[np.ndarray, "row"], knots: Float64[np.ndarray, "2"]) -> Float64[np.ndarray, "row 4"]:
    """One, the score, and what it is above each knot."""
    above = np.maximum(score[:, None] - knots, 0.0)
    return np.concatenate([np.ones((len(score), 1)), score[:, None], above], axis=1)


def bent(
    score: Float64[np.ndarray, "row"], knots: Float64[np.ndarray, "2"], coefficients: Float64[np.ndarray, "4"]
) -> Float64[np.ndarray, "row"]:
    """The forecast's logarithm with another slope below, between and above the knots."""
    return bends(score, knots) @ coefficients


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()

"""Lists by risk and by spending: who is at the top gets a visit."""

from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64
from sklearn.ensemble import HistGradientBoostingRegressor

from frl_algos.logged_data.replay import FactoredReplayBuffer
from frl_algos.member_rankings.records import Record, logged_records
from frl_algos.member_rankings.visits import VISITS, LoggedVisits, Visits
from frl_env.actions import ActionSpace
from frl_env.errors import UserError, check_count

BOOSTING: dict[str, Any] = {"max_iter": 100, "learning_rate": 0.1, "min_samples_leaf": 100, "early_stopping": False}
"""scikit-learn's own, with larger leaves: events are rare."""

LEAST = 1e-9
"""Added to scores, so that everybody on a list gains something."""


class Ranking:
    """A list of members, and visits to its top. Subclasses say how members are scored.

    Args:
        visits: What those at the top get; `LoggedVisits` for what the data's own team does most.
        history: Indices of the observations whose past counts; none for the week alone.
    """

    modes = ("gains",)
    batch_size = None

    def __init__(self, visits: Visits | LoggedVisits = VISITS, *, history: tuple[int, ...] = ()) -> None:
        """Keeps the rule."""
        self.chosen_from, self.record = visits, Record(tuple(history))
        self._space: ActionSpace | None = None

    def fit(self, buffer: FactoredReplayBuffer, n_steps: int = 0, **options: Any) -> list[Any]:
        """Fits the scores; in one go, so that numbers of updates mean nothing. The same data give the same list.

        Args:
            buffer: The data.
            n_steps: Not used.
            options: Of d3rlpy; not used.

        Raises:
            UserError: If the visits don't exist among the actions, or an observation that is asked for does not.
        """
        rule = self.chosen_from
        self.visits = rule.of(buffer) if isinstance(rule, LoggedVisits) else rule
        self._turns = self.visits.joints(buffer.action_space)
        self._space = buffer.action_space
        size = buffer.observations.shape[1]
        if any(not 0 <= index < size for index in self.record.history):
            raise UserError(f"history names observations {self.record.history}, and there are {size}, counted from 0")
        self._fit_scores(buffer, np.random.default_rng(buffer.seed))
        return []

    @property
    def joints(self) -> Int64[np.ndarray, "action"]:
        """Joint indices of the columns of `gains`, ascending.

        Raises:
            UserError: If it is not fitted.
        """
        self._fitted()
        return np.unique(self._turns)

    def start_memory(self, members: int) -> Float64[np.ndarray, "member m"]:
        """Memories of members of whom nothing is known.

        Raises:
            UserError: If it is not fitted, or the number is no whole number from 0.
        """
        self._fitted()
        check_count("members", members)
        return np.concatenate([self.visits.start(members), self.record.start(members)], axis=1)

    def remember(
        self, memory: Float64[np.ndarray, "member m"], observations: np.ndarray, joints: Int64[np.ndarray, "member"]
    ) -> Float64[np.ndarray, "member m"]:
        """The memories after a week.

        Args:
            memory: Before it.
            observations: Seen before the week's decisions.
            joints: What was done.

        Raises:
            UserError: If it is not fitted.
        """
        space = self._fitted()
        contacted = (joints != int(space.ravel(space.null_action))) & space.valid[joints]
        visits = self.visits.remember(memory[:, :2], contacted)
        return np.concatenate([visits, self.record.remember(memory[:, 2:], observations)], axis=1)

    def gains(
        self, observations: Float32[np.ndarray, "member k"], memory: Float64[np.ndarray, "member m"] | None = None
    ) -> Float64[np.ndarray, "member action"]:
        """The score of each member, for the visit whose turn it is; minus infinity for others, and while one rests.

        Args:
            observations: Raw units.
            memory: From `start_memory` and `remember`; None for members of whom nothing is known.

        Raises:
            UserError: If it is not fitted.
        """
        kept = self.start_memory(len(observations)) if memory is None else np.asarray(memory)
        columns = np.searchsorted(self.joints, self._turns)
        scores = self.scores(observations, kept[:, 2:])
        return self.visits.gains(scores, kept[:, :2], columns)

    def _fitted(self) -> ActionSpace:
        """The actions of the data."""
        if self._space is None:
            raise UserError(f"{type(self).__name__} has no list yet; call fit first")
        return self._space

    def scores(self, observations: np.ndarray, memory: np.ndarray) -> Float64[np.ndarray, "member"]:
        """The list: higher is nearer to the top; positive."""
        raise NotImplementedError

    def _fit_scores(self, buffer: FactoredReplayBuffer, rng: np.random.Generator) -> None:
        raise NotImplementedError


class RiskRanking(Ranking):
    """Ranks by expected events of the next four weeks: a gradient-boosted Poisson regression on the record."""

    def scores(self, observations: np.ndarray, memory: np.ndarray) -> Float64[np.ndarray, "member"]:
        """Expected events."""
        return self._model.predict(self.record.columns(memory, observations)) + LEAST

    def _fit_scores(self, buffer: FactoredReplayBuffer, rng: np.random.Generator) -> None:
        logged = logged_records(buffer, self.record, rng)
        model = HistGradientBoostingRegressor(loss="poisson", random_state=0, **BOOSTING)
        self._model = model.fit(logged.columns, logged.events)


class SpendingRanking(Ranking):
    """Ranks by past spending, which many programs take for risk.

    Args:
        spending: Index of the observation.
        visits: What those at the top get.
    """

    def __init__(self, spending: int, visits: Visits = VISITS) -> None:
        """Keeps the rule."""
        super().__init__(visits)
        self.spending = spending

    def scores(self, observations: np.ndarray, memory: np.ndarray) -> Float64[np.ndarray, "member"]:
        """Spending; a refund counts as none."""
        return np.maximum(np.asarray(observations[:, self.spending], dtype=np.float64), 0.0) + LEAST

    def _fit_scores(self, buffer: FactoredReplayBuffer, rng: np.random.Generator) -> None:
        size = buffer.observations.shape[1]
        if not 0 <= self.spending < size:
            raise UserError(f"spending is observation {self.spending}, and there are {size}, counted from 0")

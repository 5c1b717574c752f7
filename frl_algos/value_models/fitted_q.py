"""Fitted Q evaluation of a stochastic policy over factored actions, in closed form.

    Q(t, s, a) = psi(t, s, a) . theta,        V(t, s) = sum_a pi(a | s) Q(t, s, a)

psi holds the signed logarithm of the observation and its square, and the terms of the action
(`frl_algos.action_effects.terms`): overall, levels, indications met, the state for any action; each as it is and times
the share of the time left. All 1,080 joint actions are valued through the expectation of some sixty terms under pi. The
horizon is the end of follow-up; an episode that ends before it has ended for good, and nothing follows.

theta solves the equations of Q(lambda) with off-policy corrections (Harutyunyan et al., 2016),

    sum_t e_t (r_t + g V(t+1, s_t+1) - Q(t, s_t, a_t)) = penalty * theta,      e_t = psi_t + g lambda e_t-1.

lambda 0 is the fixed point of fitted Q iteration with these features; it knows only what an action changes in the next
observation. With lambda 1 every later reward counts, without importance weights: what an action changes that no
observation shows is seen as well. Values of a fold of members are fitted on the members of the others.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int64

from frl_algos.action_effects.targets import value_features
from frl_algos.action_effects.terms import Terms
from frl_algos.logged_data.episode_grid import to_grid
from frl_algos.logged_data.kept_parts import KeptParts
from frl_algos.logged_data.member_parts import parts
from frl_algos.logged_data.replay import FactoredReplayBuffer
from frl_algos.policies.policy import Probabilities, ask
from frl_algos.value_models.answers import checked_probabilities
from frl_algos.value_models.histories import Histories, as_episodes
from frl_algos.value_models.nested_mean_model import plain_terms
from frl_env.actions import DECISIONS_AT_ONCE, ActionSpace
from frl_env.errors import check_generator, check_number
from frl_env.evaluation import ActionValues, Estimate, LoggedEpisodes, split_members
from frl_env.evaluation.estimating.target import TargetScores, check_target, supported_actions
from frl_env.evaluation.threads import numpy_alone, one_ahead
from frl_env.kinds import check_kind

NAME = "FQE"

TRACE = 0.0
"""lambda, when nothing else is said."""

STATE_PENALTY, ACTION_PENALTY = 1.0, 100.0
"""In rows of a feature of variance 1: what an action changes is far less than what the state does."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """psi, for one action space and one kind of observation.

    Attributes:
        terms: Columns of the actions.
        mean, spread: Of the observations.
        low, high: Of the observations, for the indications.
        horizon: Steps of follow-up.
    """

    terms: Terms
    mean: Float32[np.ndarray, "k"]
    spread: Float32[np.ndarray, "k"]
    low: Float32[np.ndarray, "k"]
    high: Float32[np.ndarray, "k"]
    horizon: int

    @classmethod
    def of(cls, rows: Histories, indications: Mapping[str, int] | None) -> "Features":
        """Features scaled to logged decisions."""
        observations = rows.observations
        spread = observations.std(axis=0, dtype=np.float64)
        low, high = observations.min(axis=0), observations.max(axis=0)
        space = rows.episodes.action_space
        return cls(
            terms=plain_terms(Terms.of_space(space, observations.shape[1], indications=indications)),
            mean=observations.mean(axis=0, dtype=np.float64).astype(np.float32),
            spread=np.where(spread < 1e-6, 1.0, spread).astype(np.float32),
            low=low,
            high=np.where(high > low, high, low + 1).astype(np.float32),
            horizon=rows.episodes.steps,
        )

    @property
    def penalties(self) -> Float[np.ndarray, "column"]:
        """Ridge penalty of each column: first those of the state, then those of the action."""
        states = 2 * (2 * len(self.mean) + 1) + 1
        actions = 2 * (len(self.terms.groups) + len(self.mean))
        return np.concatenate([np.full(states, STATE_PENALTY), np.full(actions, ACTION_PENALTY)])

    def columns(
        self, observations: Float32[np.ndarray, "row k"], steps: Int64[np.ndarray, "row"], mass: np.ndarray
    ) -> Float32[np.ndarray, "row column"]:
        """Features summed over the valid actions, each times its mass.

        Args:
            observations: Raw units.
            steps: Since the start.
            mass: `(row, valid)`, or the positions `(row,)` of one action each.
        """
        return self.with_terms(observations, steps, self.action_terms(observations, mass))

    def action_terms(
        self, observations: Float32[np.ndarray, "row k"], mass: np.ndarray
    ) -> Float32[np.ndarray, "row term"]:
        """The part of the features for which actions are needed; arguments as in `columns`."""
        signs = self._signs(observations)
        return self.terms.columns(signs, signs, mass) if mass.ndim == 1 else self.terms.expected(signs, signs, mass)

    def with_terms(
        self,
        observations: Float32[np.ndarray, "row k"],
        steps: Int64[np.ndarray, "row"],
        terms: Float32[np.ndarray, "row term"],
    ) -> Float32[np.ndarray, "row column"]:
        """The features, from what `action_terms` returned."""
        state, _, share = self._parts(observations, steps)
        action = np.concatenate([terms, terms[:, :1] * state[:, 1 : 1 + len(self.mean)]], axis=1)
        return np.concatenate([state, share * state, share**2, action, share * action], axis=1, dtype=np.float32)

    def q(
        self,
        observations: Float32[np.ndarray, "row k"],
        steps: Int64[np.ndarray, "row"],
        weights: Float[np.ndarray, "column"],
    ) -> Float[np.ndarray, "row valid"]:
        """Q of every valid action under one theta; arguments as in `columns`."""
        # psi: the state, the state times the share of time left, its square; the action's terms, plain and times share.
        state, signs, share = self._parts(observations, steps)
        size, count, k = state.shape[1], len(self.terms.groups), len(self.mean)
        total = state @ weights[:size] + share[:, 0] * (state @ weights[size : 2 * size])
        total = (total + share[:, 0] ** 2 * weights[2 * size])[:, None]
        for scale, own in zip((1.0, share), np.split(weights[2 * size + 1 :], 2), strict=True):
            joint = self.terms.joint_weights(own[:count])
            effects = joint[0] + self.terms.fixed[:, 0] * (state[:, 1 : 1 + k] @ own[count:])[:, None]
            if self.terms.indicated.any():
                effects = effects + signs @ joint[-k:]
            total = total + scale * effects
        return total

    def _signs(self, observations: np.ndarray) -> np.ndarray:
        return np.clip((observations - self.low) / (self.high - self.low), 0, 1)

    def _parts(self, observations: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Features of the state, observations from 0 to 1, and share of the time left."""
        state = value_features((observations - self.mean) / self.spread)
        return state, self._signs(observations), (self.horizon - steps)[:, None].astype(np.float32) / self.horizon


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedQ:
    """Fitted values of one target policy.

    Attributes:
        space: The actions.
        features: psi.
        weights: theta by fold of members, each from the other folds.
        fold: Fold of each member.
        values: Q of the logged actions and V at every logged decision, cross-fitted.
        scores: Of the target: its probabilities of the logged actions, and its mass on actions that few members got.
        estimate: Mean of V at the start, with the error of theta in the members' terms.
    """

    space: ActionSpace
    features: Features
    weights: Float[np.ndarray, "fold column"]
    fold: Int64[np.ndarray, "episode"]
    values: ActionValues
    scores: TargetScores
    estimate: Estimate

    @property
    def probabilities(self) -> Float[np.ndarray, "episode step"]:
        """Probability of each logged action under the target policy; 1 after the end."""
        return self.scores.logged

    def q(
        self, observations: Float32[np.ndarray, "n k"], steps: Int64[np.ndarray, "n"] | int = 0
    ) -> Float[np.ndarray, "n joint"]:
        """Q of all joint actions for members of no fold; 0 for invalid ones.

        Args:
            observations: Raw units.
            steps: Since the start.
        """
        rows, space = np.asarray(observations, dtype=np.float32), self.space
        found = np.zeros((len(rows), space.n_joint))
        when = np.broadcast_to(np.asarray(steps), len(rows))
        found[:, space.valid_joints] = self.features.q(rows, when, self.weights.mean(axis=0))
        return found


@numpy_alone()
def fitted_q_evaluation(
    data: LoggedEpisodes | FactoredReplayBuffer | Histories,
    target: Probabilities,
    *,
    rng: np.random.Generator,
    indications: Mapping[str, int] | None = None,
    discount: float = 1.0,
    trace: float = TRACE,
    folds: int = 5,
    shown: Callable[[Float32[np.ndarray, "some_rows joint"]], None] | None = None,
) -> FittedQ:
    """Fits Q of a target policy to logged members.

    Args:
        data: Members on which the target policy was not trained; as histories where these are at hand.
        target: Observations to probabilities of all joint actions, asked a chunk at a time.
        rng: Source of the folds.
        indications: Level name to the index of an observation that indicates it; see `FactoredAWRConfig`.
        discount: In [0, 1].
        trace: lambda, in [0, 1].
        folds: Folds of members.
        shown: Called with the target's probabilities of all joint actions, some decisions at a time and every logged
            decision once: for those who want sums of them as well, since asking takes longer than adding up.

    Raises:
        UserError: If a setting is out of range, or data and policy don't fit.
    """
    check_number("discount", discount, low=0, high=1)
    check_number("trace", trace, low=0, high=1)
    check_generator(rng)
    check_kind("indications", indications, dict | None)
    check_kind("folds", folds, int)
    check_target(target)
    rows = data if isinstance(data, Histories) else Histories.of(as_episodes(data))
    episodes = rows.episodes
    features = Features.of(rows, indications)
    fold = np.zeros(len(episodes), dtype=np.int64)
    for number, members in enumerate(split_members(len(episodes), folds, rng)):
        fold[members] = number
    space, steps = episodes.action_space, episodes.lengths
    taken = episodes.actions[episodes.mask]
    probabilities = np.empty(len(taken))
    unsupported = np.empty(len(taken))
    outside, valid = np.flatnonzero(~supported_actions(episodes)), np.asarray(space.valid_joints)

    columns = 6 * len(features.penalties)
    chunks = [
        slice(start, min(start + DECISIONS_AT_ONCE, part.stop))
        for part, _ in parts(steps, columns)
        for start in range(part.start, part.stop, DECISIONS_AT_ONCE)
    ]
    answers = one_ahead((some, ask(target, rows.observations[some])) for some in chunks)

    def asked(part: slice) -> Float32[np.ndarray, "some_rows term"]:
        """Terms expected under the target, which is asked some decisions at a time."""
        found, done = [], part.start
        while done < part.stop:
            some, answer = next(answers)
            observations, done = rows.observations[some], some.stop
            chances = checked_probabilities(answer, len(observations), space.n_joint)
            probabilities[some] = chances[np.arange(len(chances)), taken[some]]
            unsupported[some] = chances.take(outside, axis=1, mode="clip").sum(axis=1, dtype=np.float64)
            found.append(features.action_terms(observations, chances.take(valid, axis=1, mode="clip")))
            if shown is not None:
                shown(chances)
        return np.concatenate(found)

    def pieces(terms_of: Callable[[slice], np.ndarray]) -> Iterator[_Piece]:
        for part, lengths in parts(steps, columns):
            observations, when = rows.observations[part], rows.step[part]
            logged = features.columns(observations, when, rows.actions[part])
            policy = features.with_terms(observations, when, terms_of(part))
            yield _Piece(rows=part, logged=logged, policy=policy, lengths=lengths)

    rewards, size = episodes.rewards[episodes.mask], len(features.penalties)
    squares, products, first = np.zeros((folds, size, size)), np.zeros((folds, size)), np.zeros(size)
    with closing(answers), KeptParts() as kept:
        for piece in pieces(kept.made(asked)):
            ahead, traces = piece.ahead(discount), piece.traces(discount * trace)
            own = fold[rows.member[piece.rows]]
            first += piece.policy[piece.starts].sum(axis=0, dtype=np.float64)
            for number in range(folds):
                some = np.flatnonzero(own == number)
                reached = traces[some]
                squares[number] += reached.T @ ahead[some]
                products[number] += reached.T @ rewards[piece.rows][some]
        first /= len(episodes)
        penalty = np.diag(features.penalties)
        whole, target_sums = squares.sum(axis=0), products.sum(axis=0)
        weights = np.stack(
            [np.linalg.solve(whole - squares[f] + penalty, target_sums - products[f]) for f in range(folds)]
        )
        scores, q, v = np.zeros((len(episodes), size)), np.empty(len(taken)), np.empty(len(taken))
        for piece in one_ahead(pieces(kept.again())):
            member = rows.member[piece.rows]
            own = fold[member]
            q[piece.rows], v[piece.rows] = _crossed(piece.logged, weights, own), _crossed(piece.policy, weights, own)
            left = rewards[piece.rows] - _crossed(piece.ahead(discount), weights, own)
            scores[member[0] : member[-1] + 1] = np.add.reduceat(
                piece.traces(discount * trace) * left[:, None], piece.starts, axis=0
            )
    values = ActionValues(logged=episodes.padded("Q", q), policy=episodes.padded("V", v))
    # The value is a mean over members, and a score counts one of them once more.
    influence = len(episodes) * (scores @ np.linalg.solve((whole + penalty).T, first))
    terms = values.policy[:, 0] + influence - influence.mean()
    return FittedQ(
        space=space,
        features=features,
        weights=weights,
        fold=fold,
        values=values,
        scores=TargetScores(
            logged=episodes.padded("the target's probabilities", np.minimum(probabilities, 1.0), 1.0),
            unsupported=episodes.padded("unsupported mass", unsupported),
        ),
        estimate=Estimate(name=NAME, plain=terms),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Piece:
    """Some whole members: their rows, psi of the logged action and its expectation under the target, their steps."""

    rows: slice
    logged: Float32[np.ndarray, "some_rows column"]
    policy: Float32[np.ndarray, "some_rows column"]
    lengths: Int64[np.ndarray, "some_members"]

    @property
    def starts(self) -> Int64[np.ndarray, "some_members"]:
        """First row of each member."""
        return np.cumsum(self.lengths) - self.lengths

    def ahead(self, discount: float) -> Float[np.ndarray, "some_rows column"]:
        """Rows psi_t - discount psi(pi)_t+1 of the equations; nothing follows a member's last row."""
        following = np.roll(self.policy, -1, axis=0)
        following[np.cumsum(self.lengths) - 1] = 0.0
        return self.logged - discount * following.astype(np.float64)

    def traces(self, decay: float) -> Float[np.ndarray, "some_rows column"]:
        """Eligibility traces e_t = psi_t + decay e_t-1 of each row."""
        if not decay:
            return self.logged.astype(np.float64)
        grid, mask = to_grid(self.logged.astype(np.float64), self.starts, self.lengths)
        running = np.zeros_like(grid[:, 0])
        for t in range(grid.shape[1]):
            running = grid[:, t] + decay * running
            grid[:, t] = running
        return grid[mask]


def _crossed(columns: np.ndarray, weights: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Each row's columns times the weights of its fold."""
    return np.take_along_axis(columns @ weights.T, fold[:, None], axis=1)[:, 0]

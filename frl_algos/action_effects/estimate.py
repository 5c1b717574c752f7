"""What actions do to the return, estimated in closed form before training starts.

Sparse rewards drown in noise what one contact changes, and a care team contacts those who are about to fall ill. So:

1. Returns are credit-weighted, sum_k decay^k r_{t+k}, and taken relative to what the whole history predicts.
2. Where rewards count events (all of one sign), effects are shares of the predicted amount m(s), and rows are weighted
   by the inverse of a variance that grows with it, as for counts.
3. With an observed *response* (a contact that reached the member), attempts that got none are the control group:
   residual ~ m (r - p(s)) phi(s, a) . w + nuisance, among attempts. What made the team attempt the contact is the
   same in both groups. A(s, a) = P(r | s, a) m(s) phi(s, a) . w, and 0 for doing nothing.
   Without one, actions are taken relative to what the state predicts (the R-learner of Nie and Wager, 2021):
   residual ~ m (phi(s, a) - E[phi | s]) . w, and A(s, a) = m(s) phi(s, a) . w.
4. The coefficients w are shrunk, group by group, as far as the data asks for (`frl_algos.action_effects.shrinkage`),
   and so are those of P(r | s, a), whose noise in a pair of levels would be picked along with A. How effects differ by
   state is most of all columns. Whether these come in can be decided by held-out people
   (`frl_algos.factored_awr.critic_selection.held_out`).

The same is done on two halves of the people: what one half recommends can be valued by the other. Whom else an action
suits than those it was chosen for is asked of the choices themselves (`frl_algos.action_effects.suitability`), of all
of them for both halves. Levels that the choices tell apart are taken to do the same for those who need them but for a
known, small spread: their outcomes, few and noisy, would be multiplied with the needs. The chances of a response, of
which choices say nothing, keep their priors.
"""

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

from frl_algos.action_effects.regression_rows import RegressionRows, Variance
from frl_algos.action_effects.regression_sums import RegressionSums, drawn_groups
from frl_algos.action_effects.shrinkage import posterior_mean, variational_posterior
from frl_algos.action_effects.suitability import Suitability
from frl_algos.action_effects.targets import Targets
from frl_algos.action_effects.terms import Terms
from frl_algos.logged_data.scaled_rows import Rows, mean_and_spread, numbers_of, shared_range

ROWS_A_COLUMN = 200
"""Unless it is said whether the state has terms, it has where there are so many rows for each column."""


@dataclass(frozen=True, kw_only=True)
class Effects:
    """Estimated effects, as weights of `[1, states, signs]`; see `Terms.joint_weights`.

    Attributes:
        weights: `(state_term, valid)`, effects as shares of the predicted amount (or of the return's spread).
        halves: The same from each half of the people.
        response: `(state_term, valid)`, probability of a response; None without one.
        amount: Weights of the predicted amount on `value_features`; None where effects are not relative.
        unit: Reward that an effect of 1 is worth at an amount of 1.
        center, spread: Of the squashed observations, to make states of them.
        low, high: Of the observations that indicate something, to make signs of them (`shared_range`).
    """

    weights: Float32[np.ndarray, "state_term valid"]
    halves: tuple[np.ndarray, np.ndarray]
    response: Float32[np.ndarray, "state_term valid"] | None
    amount: np.ndarray | None
    unit: float
    center: np.ndarray
    spread: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def suited(self, found: Suitability) -> "Effects":
        """Effects on whom it may be, from those on whom the actions were chosen for.

        An indication shows the need itself: what an action does beyond, where it meets one, depends on skill only. And
        where few need it there is less to gain, but no less harm: what harms on average stays as it is.
        """
        shown = 1 + len(self.center)
        # On average over states, which are centred, without an indication; and what meeting one adds.
        gains = np.repeat(self.weights[:1] > 0, len(self.weights), axis=0)
        gains[shown:] = self.weights[shown:] > 0
        factors = np.repeat(found.skills[None], len(self.weights), axis=0)
        factors[:shown] *= found.needs
        factors = np.where(gains, factors, 1.0).astype(np.float32)
        first, second = self.halves
        return dataclasses.replace(self, weights=self.weights * factors, halves=(first * factors, second * factors))


class EffectRegression:
    """The regression of all effects: its sums, made once, and the effects with some of its terms or all.

    Args:
        terms: Columns of the model.
        targets: Of every row of the dataset.
        observations: Scaled as the networks see them.
        respond: Whether the targets' responses are to be used.
        seed: Of the posterior draws.
        some: Which rows to learn from; None for all.
    """

    def __init__(
        self,
        terms: Terms,
        targets: Targets,
        observations: Rows,
        *,
        respond: bool,
        seed: int,
        some: Bool[np.ndarray, "row"] | None = None,
    ) -> None:
        """Makes X'X and X'y of each half of the people; what depends on priors comes later."""
        low, high = shared_range(observations, targets.people[targets.episodes], terms.indicated.any(axis=0))
        relative = targets.sign != 0
        mean, sd = mean_and_spread(len(targets.returns), lambda some: _absolute(targets.returns[some], relative))
        unit = float(mean if relative else sd) or 1.0
        variance = Variance.fit(targets, unit)
        wanted = [which for which in (targets.attempted if respond else None, some) if which is not None]
        chosen = numbers_of(np.logical_and.reduce(wanted)) if wanted else None
        rows = RegressionRows(observations, targets, chosen, unit=unit, variance=variance, low=low, high=high)
        self.terms = terms
        self._rng = np.random.default_rng(seed)
        problem = RegressionSums(terms, rows, respond, self._rng)
        self._halves = [problem.moments(half) for half in (0, 1)]
        self._groups, self._noise, self._rows = problem.groups, problem.noise(), len(rows)
        self._known = {
            "response": problem.response,
            "amount": targets.value_weights * targets.sign / unit if relative else None,
            "unit": unit,
            "center": rows.center,
            "spread": rows.spread,
            "low": low,
            "high": high,
        }

    def many_rows(self) -> str:
        """Whether the state has terms if nothing else decides it; one of `STATES`."""
        crossed = self.terms.states != "none" and self._rows >= ROWS_A_COLUMN * self._wanted("levels").sum()
        return "levels" if crossed else "none"

    def sampled(self, states: str, *, told: Collection[str] = ()) -> Effects:
        """Effects by sampling, the sizes of all groups averaged over.

        Args:
            states: Which terms of the state are used, one of `STATES`.
            told: Factors whose levels choices tell apart: the spread of their effects is known.
        """
        wanted, known = self._wanted(states), self.terms.told_apart(told)
        # Every group draws, so that one without columns would change what the others draw.
        drawing, groups = drawn_groups(self.terms, self._groups[wanted], pairs=states == "pairs")

        def solved(moments: tuple[np.ndarray, np.ndarray], sweeps: int = 200) -> np.ndarray:
            squares, products = (moment / self._noise for moment in moments)
            found = np.zeros(len(wanted))
            # A column of zeros (a level never tried) has nothing but its prior.
            found[wanted] = posterior_mean(
                squares[np.ix_(wanted, wanted)],
                products[wanted],
                groups,
                self.terms.scales[drawing],
                self._rng,
                known=known[drawing],
                sweeps=sweeps,
            )
            return self.terms.joint_weights(found[: len(self.terms.groups)])

        return Effects(
            weights=solved(self._both, sweeps=400),
            halves=(solved(self._halves[0]), solved(self._halves[1])),
            **self._known,
        )

    def settled(self, states: str, *, scales: Mapping[str, float], told: Collection[str] = ()) -> Effects:
        """Effects with the likeliest sizes of all groups, which are learned from all rows also for the halves.

        Args:
            states: Which terms of the state are used, one of `STATES`.
            scales: Prior scale of each kind of term.
            told: Factors whose levels choices tell apart: the spread of their effects is known.
        """
        wanted = np.flatnonzero(self._wanted(states))
        block = np.ix_(wanted, wanted)
        squares, products = (moment / self._noise for moment in self._both)
        *_, prior = variational_posterior(
            squares[block],
            products[wanted],
            self._groups[wanted],
            np.asarray([scales[kind] for kind in self.terms.kinds]),
            self.terms.told_apart(told),
            solves=20,
            mean_within=0.0,
            sizes_within=0.1,  # a twentieth of a standard deviation
        )

        def solved(moments: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
            squares, products = (moment / self._noise for moment in moments)
            found = np.zeros(len(self._groups))
            found[wanted] = np.linalg.solve(squares[block] + np.diag(prior), products[wanted])
            return self.terms.joint_weights(found[: len(self.terms.groups)])

        return Effects(
            weights=solved(self._both), halves=(solved(self._halves[0]), solved(self._halves[1])), **self._known
        )

    @property
    def _both(self) -> tuple[np.ndarray, np.ndarray]:
        """X'X and X'y of all rows: those of the two halves of the people, added."""
        (first, one), (second, two) = self._halves
        return first + second, one + two

    def _wanted(self, states: str) -> np.ndarray:
        """Which columns take part where only some terms of the state are wanted."""
        left_out = {"none": ("state", "state_pairs"), "levels": ("state_pairs",), "pairs": ()}[states]
        # Columns of no group, -1, are always used.
        used = np.asarray([kind not in left_out for kind in self.terms.kinds])
        return np.append(used, True)[self._groups]


def _absolute(values: np.ndarray, relative: bool) -> np.ndarray:
    return np.abs(values) if relative else values

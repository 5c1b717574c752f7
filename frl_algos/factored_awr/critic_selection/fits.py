"""The candidates on one dataset, each estimated from either half of the people.

Effects of all kinds, planned values, expectile values, and the mean of the last two.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from frl_algos.action_effects.estimate import EffectRegression, Effects
from frl_algos.action_effects.logged_steps import MOST_STATES, LoggedSteps, recurring
from frl_algos.action_effects.planning import Planned, plan
from frl_algos.action_effects.suitability import Suitability
from frl_algos.action_effects.targets import Targets, compute_targets
from frl_algos.action_effects.terms import (
    CAUTIOUS_SCALES,
    JOINT,
    MOST_COLUMNS,
    OPEN_SCALES,
    STATES,
    Terms,
)
from frl_algos.factored_awr.critic_selection.candidates import Candidate
from frl_algos.factored_awr.critic_selection.small_fits import quick_expectile
from frl_algos.factored_awr.settings import FactoredAWRSettings
from frl_algos.logged_data.replay import FactoredReplayBuffer
from frl_env.errors import UserError
from frl_env.evaluation.privacy.suppression import SMALLEST

CREDITS = (0.9, 0.0, 1.0)
"""`td_lambda` to choose from; the first is used where nothing is chosen."""

TRIAL_ROWS = 60_000
"""Rows from which effects with another credit are learned for the comparison; from all, if they are chosen."""

MOST_PRODUCTS = 5e9
"""Multiplications for the sums of one regression, at most, where all terms are tried with every credit."""

WORDS = {
    "none": "effects that are the same in all states",
    "levels": "effects of levels by state",
    "pairs": "effects of pairs of levels by state",
    JOINT: "effects of joint actions by state",
}


def structure_of(settings: FactoredAWRSettings) -> str:
    """How the terms of effects share evidence between actions: as the encoder does."""
    return settings.encoder if settings.encoder in ("independent", "flat") else "factored"


class Fits:
    """Estimates of each candidate; none is made twice.

    Attributes:
        buffer, scaled, settings, critics: As given.
        credits: Credits to choose from, the first of them first.
        targets: Returns with the first credit.
        respond: Whether a response is observed.
        people: Person of each row, numbered from 0.
        steps: The rows by state, where states recur and may be planned over; else None.
        kept: States of these whose planned values are followed and kept in files. Of real people they are those that 11
            of them were in: another may be known of one person only.
        asked: Where advantages are wanted of candidates that are no effects: scaled observations, and their states
            where there are `steps`. Set before such a candidate is estimated.

    Args:
        buffer: The data.
        scaled: Its observations as the networks see them.
        following: Its next observations, likewise.
        settings: Of the algorithm.
        suited: Whom actions suit.
        critics: Which critics may be chosen.

    Raises:
        UserError: If planned values are asked for and states don't recur.
    """

    def __init__(
        self,
        buffer: FactoredReplayBuffer,
        scaled: Float32[np.ndarray, "row k"],
        following: Float32[np.ndarray, "row k"],
        settings: FactoredAWRSettings,
        suited: Suitability,
        critics: Sequence[str],
    ) -> None:
        """Computes what all candidates share."""
        self.buffer, self.scaled, self._following = buffer, scaled, following
        self.settings, self.critics, self._suited = settings, critics, suited
        self.credits = CREDITS if settings.td_lambda is None else (settings.td_lambda,)
        if int(buffer.lengths.max()) == 1:
            self.credits = self.credits[:1]  # nothing follows a decision, so that credit is all one
        self._terms = Terms.of_space(
            buffer.action_space,
            scaled.shape[1],
            structure=structure_of(settings),
            states="pairs",
            indications=settings.indications,
            scales=CAUTIOUS_SCALES,
        )
        self._joint: Terms | None = None
        if self._of_any_order():
            self._joint = Terms.of_space(
                buffer.action_space, scaled.shape[1], structure="flat", states=JOINT, scales=CAUTIOUS_SCALES
            )
        self.targets = self.returns(self.credits[0])
        # Where nobody did anything, nobody responded either.
        self.respond = settings.response is not None and bool(self.targets.attempted.any())
        self.people = np.repeat(np.unique(buffer.people, return_inverse=True)[1], buffer.lengths)
        # People drawn until there are enough rows: further credits are tried on these alone.
        order = np.random.default_rng((buffer.seed, 10)).permutation(int(self.people.max()) + 1)
        few = order[np.cumsum(np.bincount(self.people)[order]) <= TRIAL_ROWS]
        self._some = None if len(self.people) <= TRIAL_ROWS else np.isin(self.people, few)
        self.steps = self._recurring()
        self.kept = self._kept()
        self._made: dict[object, list[Candidate]] = {}
        self.asked, self._asked_states = scaled[:0], np.zeros(0, dtype=np.int64)

    def ask(self, observations: Float32[np.ndarray, "asked k"], states: np.ndarray | slice) -> None:
        """Says where advantages are wanted.

        Args:
            observations: Scaled.
            states: Theirs, where there are `steps`.
        """
        self.asked, self._asked_states = observations, states

    def returns(self, credit: float) -> Targets:
        """Returns with a credit, and what else is computed from them."""
        decay, response = self.settings.gamma * credit, self.settings.response
        first = getattr(self, "targets", None)
        return compute_targets(self.buffer, self.scaled, decay=decay, response=response, like=first)

    def first(self) -> tuple[Effects, str, str]:
        """The estimate to follow where nothing can be judged, from many rows on with terms of the state; its words."""
        regression = self._regression(self.targets)
        effects, label = self._cautious(regression)
        return effects, f"{label}, credit {self.credits[0]:g}", regression.many_rows()

    @property
    def light(self) -> bool:
        """Whether all terms may be tried with every credit."""
        return min(len(self.scaled), TRIAL_ROWS) * len(self._terms.groups) ** 2 <= MOST_PRODUCTS

    def by_terms(self, credit: float) -> list[Candidate]:
        """Effects with one credit and more and more terms; the first as they are with nothing to choose by."""
        if credit not in self._made:
            self._made[credit] = self._fit_terms(self._credited(credit), credit)
        return self._made[credit]

    def with_terms(self, credit: float, states: str) -> Candidate:
        """Effects with one credit and the terms given."""
        if (credit, states) not in self._made:
            targets = self._credited(credit)
            self._made[credit, states] = [self._open(self._regression(targets, states), credit, states, targets)]
        return self._made[credit, states][0]

    def expectile(self) -> Candidate:
        """Expectile values."""
        if "expectile" not in self._made:
            self._made["expectile"] = [self._other("expectile values", "expectile", self._expectile_halves)]
        return self._made["expectile"][0]

    def planned(self) -> list[Candidate]:
        """Planned values; where wanted, also the mean of expectile values and planned ones without caution."""
        assert self.steps is not None
        if "planned" not in self._made:
            found = plan(self.steps, self.targets.halves)
            made = [self._other("planned values", "planned", self._where_asked(found), found)]
            if "averaged" in self.critics:
                pairs = zip(self._where_asked(self._bold), self._expectile_halves, strict=True)
                halves = [(planned + expectile) / 2 for planned, expectile in pairs]
                made.append(self._other("the mean of planned and expectile values", "planned", halves))
            self._made["planned"] = made
        return self._made["planned"]

    def from_all(self, best: Candidate) -> tuple[Effects | None, Planned | None]:
        """The effects or the planned values of a candidate, from all rows."""
        if best.critic == "planned":
            return None, (best.planned or self._averaged()).only(self.kept)
        if best.effects is None or best.targets is self.targets or self._some is None:
            return best.effects, None
        terms = self._terms_of(best.states)
        regression = EffectRegression(terms, best.targets, self.scaled, respond=False, seed=self.buffer.seed)
        effects = regression.settled(terms.states, scales=OPEN_SCALES, told=self._suited.told)
        return effects.suited(self._suited), None

    def _averaged(self) -> Planned:
        """The mean of planned and expectile values, in all states."""
        bold, expectile = self._bold, [self._quick_expectile(np.arange(len(self.scaled))), *self._expectile_fits]
        pairs = zip((bold.advantages, *bold.halves), expectile, strict=True)
        whole, first, second = ((planned + other.numpy()) / 2 for planned, other in pairs)
        return Planned(states=bold.states, advantages=whole, halves=(first, second))

    @cached_property
    def _bold(self) -> Planned:
        """Planned values that are not lowered for their uncertainty (`caution=0`)."""
        assert self.steps is not None
        return plan(self.steps, self.targets.halves, caution=0.0)

    @cached_property
    def _expectile_fits(self) -> list[Tensor]:
        """Expectile values by each half of the people: in all states where there are `steps`, else where asked."""
        return [self._quick_expectile(np.flatnonzero(self.targets.halves == half)) for half in (0, 1)]

    @property
    def _expectile_halves(self) -> list[Tensor]:
        """Expectile values by each half of the people, in the states that candidates are judged in."""
        return self._expectile_fits if self.steps is None else [fit[self._asked_states] for fit in self._expectile_fits]

    def _fit_terms(self, targets: Targets, credit: float) -> list[Candidate]:
        """Candidates with one credit: cautious priors first, then open ones with ever more terms of the state."""
        regression = self._regression(targets)
        made = []
        if credit == self.credits[0]:
            effects, label = self._cautious(regression)
            made.append(self._candidate(label, credit, regression.many_rows(), targets, effects))
        for states in STATES[: STATES.index(self._terms.states) + 1]:
            if self.respond and states == regression.many_rows():
                continue
            made.append(self._open(regression, credit, states, targets))
        if self._joint is not None:
            made.append(self._open(self._regression(targets, JOINT), credit, JOINT, targets))
        return made

    def _of_any_order(self) -> bool:
        """Whether interactions of more than two factors are tried: where there are any, and joint actions are few."""
        space, settings = self.buffer.action_space, self.settings
        several = len(space.nvec) > 2 and len(space.valid_joints) <= MOST_COLUMNS
        told = settings.response is not None or bool(settings.indications)
        return several and not told and structure_of(settings) == "factored"

    def _terms_of(self, states: str) -> Terms:
        if states != JOINT:
            return self._terms.crossed_with(states)
        assert self._joint is not None
        return self._joint

    def _cautious(self, regression: EffectRegression) -> tuple[Effects, str]:
        states = regression.many_rows()
        effects = regression.sampled(states, told=self._suited.told)
        return effects.suited(self._suited), f"{WORDS[states]}, cautious priors"

    def _open(self, regression: EffectRegression, credit: float, states: str, targets: Targets) -> Candidate:
        scales = CAUTIOUS_SCALES if self.respond else OPEN_SCALES
        used = regression.terms.states if states == JOINT else states
        effects = regression.settled(used, scales=scales, told=self._suited.told).suited(self._suited)
        return self._candidate(WORDS[states], credit, states, targets, effects)

    def _candidate(self, label: str, credit: float, states: str, targets: Targets, effects: Effects) -> Candidate:
        return Candidate(
            label=f"{label}, credit {credit:g}", critic="effects", td_lambda=credit, states=states, targets=targets,
            effects=effects,
        )  # fmt: skip

    def _other(self, label: str, critic: str, halves: Sequence[Tensor], planned: Planned | None = None) -> Candidate:
        """A candidate that is no effects."""
        if critic == "planned":
            followed = torch.as_tensor(self.kept[self._asked_states])[:, None]
            halves = [half * followed for half in halves]
        return Candidate(
            label=label, critic=critic, td_lambda=self.credits[0], states="none", targets=self.targets, effects=None,
            planned=planned, halves=halves,
        )  # fmt: skip

    def _where_asked(self, planned: Planned) -> list[Tensor]:
        """Planned values of each half of the people, in the states that candidates are judged in."""
        return [torch.as_tensor(half[self._asked_states]) for half in planned.halves]

    def _quick_expectile(self, rows: np.ndarray) -> Tensor:
        """Expectile values from some rows, in all states where these recur, else in those asked for."""
        wanted = self.asked if self.steps is None else self.steps.states.states
        unit = float(self.targets.returns.std()) or 1.0
        return quick_expectile(
            self.buffer, self.scaled, self._following, self.targets.actions, rows, self.settings,
            unit=unit, wanted=wanted,
        )  # fmt: skip

    def _credited(self, credit: float) -> Targets:
        return self.targets if credit == self.credits[0] else self.returns(credit)

    def _recurring(self) -> LoggedSteps | None:
        """The rows by state, where states recur and may be planned over.

        Raises:
            UserError: If planned values are asked for and states don't recur.
        """
        buffer = self.buffer
        wanted = "planned" in self.critics and not self.respond
        several = int(buffer.lengths.max()) > 1 and structure_of(self.settings) == "factored"
        asked = wanted and "effects" not in self.critics
        if not wanted or not (several or asked):
            return None
        states = recurring(self.scaled, self._following)
        if asked and states is None:
            raise UserError(
                f"critic 'planned' needs states that recur, and there are more than {MOST_STATES:,} different "
                "observations; leave critic out"
            )
        if states is None or not (asked or states.often):
            return None
        return LoggedSteps(
            states=states, actions=self.targets.actions, rewards=buffer.rewards, ended=buffer.terminals,
            episodes=self.targets.episodes, valid=len(buffer.action_space.valid_joints), gamma=self.settings.gamma,
        )  # fmt: skip

    def _kept(self) -> Bool[np.ndarray, "state"]:
        if self.steps is None:
            return np.zeros(0, dtype=bool)
        states = self.steps.states
        return states.shared(self.people, 1 if self.buffer.simulated else SMALLEST)

    def _regression(self, targets: Targets, states: str | None = None) -> EffectRegression:
        """The regression of effects on returns with one credit."""
        terms = self._terms if states is None else self._terms_of(states)
        # Another credit than the first is tried on fewer rows.
        some = None if targets is self.targets else self._some
        return EffectRegression(terms, targets, self.scaled, respond=self.respond, seed=self.buffer.seed, some=some)

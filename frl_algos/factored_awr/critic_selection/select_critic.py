"""Which critic to follow, how far back to give credit, and whether to leave the behaviour policy at all: by the data.

Candidates compete, the simpler first:

    effects, credit 0.9           the estimate with cautious priors; terms of the state where rows are very many
    effects, open priors          without terms of the state, with levels by state, with pairs of levels by state, and
                                  of each joint action by state, where there are three factors or more
    the same with credit 0 and with credit 1; of the terms chosen so far, where more would take long
    expectile values              a small network, trained for a moment

Where states recur often, planned values (`frl_algos.effects.planning`) come before all others: they assume nothing of
how effects depend on the state.

Each is estimated from one half of the people and judged by the other, both ways (`held_out`). Two comparisons follow:

1. Candidates of one credit, by their own credit-weighted returns, which vary least. The first that is within one
   standard error of the best is taken; differences are in pairs by person.
2. The best of each credit, the planned and the expectile values, by the whole return, which is what counts. The first
   that is within two standard errors of the best is taken.

Where states recur and tell what matters of the past, candidates are judged by the value of their whole policy instead
(`model_judge`): the first-order gain is largest for the best first step away from the behaviour policy, which is not
the best policy.

Where candidates claim more than an episode can pay, decisions don't add up so far from the behaviour policy
(`plausibility`). If no decision ends an episode, and what the steps pay at once is half of what there is, credit 0 is
taken. Else all are judged at a milder temperature, the lowest at which none does; if there is none, the policy is the
clone's. A policy that stays so near is taken as a whole: its greedy form does what it most likely does, and not what
has the largest advantage.

Only candidates whose own gain is shown take part: a policy follows its advantages equally far however small they are,
so that noise would be followed as far as an effect. A gain is shown where it is above what the largest of so many
candidates' gains reaches by chance (`held_out.bar`). By the whole return, the one taken must not lose more than one
standard error, nor a small step along the same advantages more than two (`held_out.SMALL_STEP`); that varies far less.
Where none is taken, small steps say what is shown: what gains by them, and does not lose as a whole, is followed. If
there are none, the policy is the clone's. With a response only the terms compete: other critics can't use what it
tells, and inherit confounding. There the first candidate gives way, also to the clone, to what is two standard errors
better only.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from frl_algos.effects.estimate import EffectRegression, Effects
from frl_algos.effects.indication import effect_of_acting
from frl_algos.effects.model_value import LoggedSteps
from frl_algos.effects.planning import MOST_STATES, Planned, Recurring, plan, recurring
from frl_algos.effects.suitability import Suitability
from frl_algos.effects.targets import Targets, compute_targets
from frl_algos.effects.terms import (
    CAUTIOUS_SCALES,
    JOINT,
    MOST_COLUMNS,
    OPEN_SCALES,
    STATES,
    Terms,
    null_position,
)
from frl_algos.factored_awr.critic_selection.candidates import (
    Candidate,
    first_of_best,
    loses,
    nearby_gains,
    own_gains,
    reaches,
)
from frl_algos.factored_awr.critic_selection.chosen_critic import Choice, Chosen
from frl_algos.factored_awr.critic_selection.held_out import (
    SCORED_AT_ONCE,
    HeldOut,
    Worth,
    bar,
    mean_and_error,
    surprise,
)
from frl_algos.factored_awr.critic_selection.model_judge import ModelJudge
from frl_algos.factored_awr.critic_selection.plausibility import MILD, pays_at_once, plausible, room
from frl_algos.factored_awr.critic_selection.small_fits import quick_clone, quick_expectile
from frl_algos.factored_awr.settings import FactoredAWRSettings
from frl_algos.logged.replay import FactoredReplayBuffer
from frl_algos.networks.effect_critic import EffectCritic, LazyScores
from frl_env.errors import UserError

CREDITS = (0.9, 0.0, 1.0)
"""`td_lambda` to choose from; the first is used where nothing is chosen."""

TRIAL_ROWS = 60_000
"""Rows from which effects with another credit are learned for the comparison; from all, if they are chosen."""

CLEARLY = 2.0
"""Standard errors by which another credit or critic must lead: several of them try, by returns that vary much. With a
response the first candidate, which knows what contacts are for, is left for nothing less."""

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


class Contest:
    """The candidates on one dataset, and the choice between them.

    Args:
        buffer: The data.
        scaled: Its observations as the networks see them.
        following: Its next observations, likewise.
        settings: Of the algorithm.
        suited: Whom actions suit.
        critics: Which critics may be chosen, of "effects", "expectile", "planned" and "none".
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
        self._buffer, self._scaled, self._following = buffer, scaled, following
        self._settings, self._suited, self._critics = settings, suited, critics
        self._credits = CREDITS if settings.td_lambda is None else (settings.td_lambda,)
        if int(buffer.lengths.max()) == 1:
            self._credits = self._credits[:1]  # nothing follows a decision, so that credit is all one
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
        self.targets = self._targets(self._credits[0])
        # Where nobody did anything, nobody responded either.
        self._respond = settings.response is not None and bool(self.targets.attempted.any())
        people = np.repeat(np.unique(buffer.people, return_inverse=True)[1], buffer.lengths)
        order = np.random.default_rng((buffer.seed, 10)).permutation(int(people.max()) + 1)
        few = order[np.cumsum(np.bincount(people)[order]) <= TRIAL_ROWS]
        self._some = None if len(people) <= TRIAL_ROWS else np.isin(people, few)
        self._judges = HeldOut(self.targets, people, valid=len(buffer.action_space.valid_joints), seed=buffer.seed)
        self._whole: np.ndarray | None = None
        self._step: np.ndarray | None = None
        self._mild: float | None = None
        self._fitted: dict[Any, list[Candidate]] = {}
        self._states = self._recurring()
        self._model = self._model_judge(people)
        # Where candidates' advantages are wanted: in all states, or else in the judged rows.
        self._asked = scaled[self._judges.rows]
        if self._model is not None and self._states is not None:
            self._asked = self._states.states
        self._tried: list[Candidate] = []

    def choose(self) -> Chosen:
        """The critic to follow."""
        if not self._judges.enough:
            return self._unjudged()
        self._take_behaviour()
        candidates, others = self._candidates()
        if self._believed():
            return self._decided(candidates, others)
        paying = self._paying()
        if paying:
            return self._decided(paying[:1], paying[1:])
        for self._mild in MILD:
            self._tried = []
            candidates, others = self._candidates()
            if self._believed():
                return self._decided(candidates, others)
        chosen = self._decided(candidates, others)
        return self._clone(chosen) if "none" in self._critics else chosen

    def _believed(self) -> bool:
        """Whether no candidate claims more than an episode can pay; not asked where the temperature is set.

        With a response each attempt is a trial of its own; a model of the states values whole policies.
        """
        buffer = self._buffer
        adds_up = self._respond or self._model is not None or int(buffer.lengths.max()) == 1
        if adds_up or self._settings.temperature is not None:
            return True
        worths = [candidate.worth for candidate in self._tried if candidate.worth is not None]
        return plausible(worths, self._room(), ends=self._ends)

    @property
    def _ends(self) -> bool:
        """Whether decisions end episodes: those that end for good are not all as long."""
        ended = self._buffer.lengths[self._buffer.terminated.astype(bool)]
        return len(ended) > 0 and bool(np.ptp(ended) > 0)

    def _room(self) -> float:
        return room(self._buffer.rewards, self._buffer.lengths, self._buffer.people)

    def _paying(self) -> list[Candidate]:
        """Candidates with credit for the step alone that gain enough by it, the best one first."""
        if self._ends:
            return []
        most = self._room()
        paying = [
            candidate
            for candidate in self._tried
            if candidate.critic == "effects" and candidate.td_lambda == 0
            and candidate.worth is not None and pays_at_once(candidate.worth, most)
        ]  # fmt: skip
        if not paying:
            return []
        best = first_of_best(paying, lambda worth: worth.own)
        return [best, *(candidate for candidate in paying if candidate is not best)]

    def _candidates(self) -> tuple[list[Candidate], list[Candidate]]:
        """Those of the second comparison, at the temperatures tried now, and the rest of the first where it is all."""
        if "effects" not in self._critics:
            return [self._expectile() if self._states is None else self._planned(self._states)], []
        same_credit = self._by_terms(self.targets, self._credits[0])
        best = first_of_best(self._shown(same_credit), lambda worth: worth.own, CLEARLY if self._respond else 1.0)
        across = [best]
        if not self._respond:
            if self._states is not None:
                across.insert(0, self._planned(self._states))
            across += [self._by_credit(credit, best.states) for credit in self._credits[1:]]
            if "expectile" in self._critics and structure_of(self._settings) == "factored":
                across.append(self._expectile())
        others = [candidate for candidate in same_credit if candidate is not best]
        return across, others if len(across) == 1 else []

    def _unjudged(self) -> Chosen:
        """The first candidate."""
        if "effects" not in self._critics and self._states is not None:
            planned = self._plan(self._states)
            choice = Choice(
                critic="planned", td_lambda=self._credits[0], states="none", temperature=None, label="planned values",
                table=len(planned.states),
            )  # fmt: skip
            return Chosen(choice=choice, targets=self.targets, effects=None, planned=planned)
        if "effects" not in self._critics:
            label = "expectile values"
            choice = Choice(
                critic="expectile", td_lambda=self._credits[0], states="none", temperature=None, label=label
            )
            return Chosen(choice=choice, targets=self.targets, effects=None)
        regression = self._regression(self.targets)
        effects, label = self._first(regression)
        choice = Choice(
            critic="effects",
            td_lambda=self._credits[0],
            states=regression.many_rows(),
            temperature=None,
            label=f"{label}, credit {self._credits[0]:g}",
        )
        return Chosen(choice=choice, targets=self.targets, effects=effects)

    def _decided(self, candidates: list[Candidate], others: Sequence[Candidate] = ()) -> Chosen:
        by_whole = len(candidates) > 1

        def gains(worth: Worth) -> np.ndarray:
            return worth.whole if by_whole else worth.own

        shown = self._reaching(candidates)
        best = first_of_best(shown or candidates, gains, CLEARLY)
        believed = bool(shown) and not (by_whole and loses(best))
        by_step = () if believed else self._nearby(candidates, gains)
        if by_step:
            best, believed = first_of_best(by_step, gains, CLEARLY), True
        worth = best.worth
        assert worth is not None
        rivals = [c for c in [*candidates, *others] if c is not best and c.worth is not None]
        rival = max(rivals, key=lambda c: gains(c.worth).mean(), default=None) if rivals else None
        gain, error = mean_and_error(gains(worth))
        choice = Choice(
            critic=best.critic, td_lambda=best.td_lambda, states=best.states, temperature=worth.temperature,
            label=best.label, gain=gain, gain_error=error, people=len(worth.own),
            table=0 if best.planned is None else len(best.planned.states), mild=self._mild is not None,
        )  # fmt: skip
        if rival is not None and rival.worth is not None:
            margin, margin_error = mean_and_error(gains(worth) - gains(rival.worth))
            choice = dataclasses.replace(choice, runner_up=rival.label, margin=margin, margin_error=margin_error)
        if by_step:
            step_gain, step_error = mean_and_error(worth.nearby)
            choice = dataclasses.replace(choice, step_gain=step_gain, step_error=step_error)
        chosen = Chosen(choice=choice, targets=best.targets, effects=self._from_all(best), planned=best.planned)
        if not believed and "none" in self._critics:
            # It is the clone for want of a gain, not of claims that can be believed.
            return self._clone(dataclasses.replace(chosen, choice=dataclasses.replace(choice, mild=False)))
        return chosen

    def _clone(self, chosen: Chosen) -> Chosen:
        """The clone, instead of what was chosen."""
        choice = chosen.choice
        if choice.critic == "none":
            return chosen
        choice = dataclasses.replace(
            choice, critic="none", label="the clone of the behaviour policy", runner_up=choice.label, gain=0.0,
            gain_error=0.0, margin=-choice.gain, margin_error=choice.gain_error, step_gain=0.0, step_error=0.0,
            table=0,
        )  # fmt: skip
        return Chosen(choice=choice, targets=chosen.targets, effects=None)

    def _bar(self, gains: Callable[[Worth], np.ndarray] = own_gains) -> float:
        """Standard errors above 0 at which a gain is shown; with a response, below 0 at which harm is."""
        if self._respond:
            return -CLEARLY
        return bar([gains(candidate.worth) for candidate in self._tried if candidate.worth is not None])

    def _reaching(self, candidates: list[Candidate]) -> list[Candidate]:
        """Those whose gain over the behaviour policy is shown."""
        least = self._bar()
        return [candidate for candidate in candidates if reaches(candidate, least)]

    def _nearby(self, candidates: list[Candidate], gains: Callable[[Worth], np.ndarray]) -> list[Candidate]:
        """Those of which a small step is shown to gain, and that gain anything themselves.

        None where decisions follow reasons that the observations don't show: a small step would show these, too.
        """
        if self._respond:
            return []
        least = self._bar(nearby_gains)
        gaining = [
            candidate
            for candidate in candidates
            if reaches(candidate, least, nearby_gains) and reaches(candidate, 0.0, gains)
        ]
        acting = effect_of_acting(self._scaled, self.targets) if gaining else None
        return [] if acting is not None and acting.harms else gaining

    def _shown(self, candidates: list[Candidate]) -> list[Candidate]:
        """Those whose gain over the behaviour policy is shown; all where none is."""
        return self._reaching(candidates) or candidates

    def _by_terms(self, targets: Targets, credit: float) -> list[Candidate]:
        """Effects with one credit and more and more terms; the first as they are with nothing to choose by."""
        if credit not in self._fitted:
            self._fitted[credit] = self._fit_terms(targets, credit)
        return [self._judged(candidate) for candidate in self._fitted[credit]]

    def _fit_terms(self, targets: Targets, credit: float) -> list[Candidate]:
        """The candidates of `_by_terms`, not judged yet."""
        regression = self._regression(targets)
        made = []
        if credit == self._credits[0]:
            effects, label = self._first(regression)
            made.append(self._candidate(label, credit, regression.many_rows(), targets, effects))
        for states in STATES[: STATES.index(self._terms.states) + 1]:
            if self._respond and states == regression.many_rows():
                continue
            made.append(self._open(regression, credit, states, targets))
        if self._joint is not None:
            made.append(self._open(self._regression(targets, JOINT), credit, JOINT, targets))
        return made

    def _of_any_order(self) -> bool:
        """Whether interactions of more than two factors are tried: where there are any, and joint actions are few."""
        space, settings = self._buffer.action_space, self._settings
        several = len(space.nvec) > 2 and len(space.valid_joints) <= MOST_COLUMNS
        told = settings.response is not None or bool(settings.indications)
        return several and not told and structure_of(settings) == "factored"

    def _terms_of(self, states: str) -> Terms:
        if states != JOINT:
            return self._terms.crossed_with(states)
        assert self._joint is not None
        return self._joint

    def _by_credit(self, credit: float, states: str) -> Candidate:
        """Effects with another credit: with the best terms for it, or those given where all would take long."""
        targets = self._targets(credit)
        if min(len(self._scaled), TRIAL_ROWS) * len(self._terms.groups) ** 2 <= MOST_PRODUCTS:
            return first_of_best(self._shown(self._by_terms(targets, credit)), lambda worth: worth.own)
        if (credit, states) not in self._fitted:
            self._fitted[credit, states] = [self._open(self._regression(targets, states), credit, states, targets)]
        return self._judged(self._fitted[credit, states][0])

    def _first(self, regression: EffectRegression) -> tuple[Effects, str]:
        states = regression.many_rows()
        effects = regression.sampled(states, told=self._suited.told)
        return effects.suited(self._suited), f"{WORDS[states]}, cautious priors"

    def _open(self, regression: EffectRegression, credit: float, states: str, targets: Targets) -> Candidate:
        scales = CAUTIOUS_SCALES if self._respond else OPEN_SCALES
        used = regression.terms.states if states == JOINT else states
        effects = regression.settled(used, scales=scales, told=self._suited.told).suited(self._suited)
        return self._candidate(WORDS[states], credit, states, targets, effects)

    def _candidate(self, label: str, credit: float, states: str, targets: Targets, effects: Effects) -> Candidate:
        return Candidate(
            label=f"{label}, credit {credit:g}", critic="effects", td_lambda=credit, states=states, targets=targets,
            effects=effects,
        )  # fmt: skip

    def _judged(self, candidate: Candidate) -> Candidate:
        """With its worth, and counted among those that had a chance to pass by luck."""
        effects = candidate.effects
        if effects is None:
            worth = self._worth(candidate.halves, temperature=self._settings.temperature)
        else:
            x = torch.as_tensor(self._asked)
            critic = EffectCritic(x.shape[1], effects.weights.shape[1], indicated=bool(self._settings.indications))
            critic.take(effects)
            chance = None
            if self._respond:
                logged = torch.as_tensor(self._judges.actions)[:, None]
                few = zip(x.split(SCORED_AT_ONCE), logged.split(SCORED_AT_ONCE), strict=True)
                answers = torch.cat([critic.chance(states).gather(1, mine)[:, 0] for states, mine in few])
                chance = answers.numpy().clip(0.02, 0.98).astype(np.float64)
            own = surprise(candidate.targets, self._judges.rows, chance)
            worth = self._worth([LazyScores(critic, x, torch.as_tensor(half)) for half in effects.halves], own)
        judged = dataclasses.replace(candidate, worth=worth)
        self._tried.append(judged)
        return judged

    def _expectile(self) -> Candidate:
        if "expectile" not in self._fitted:
            self._fitted["expectile"] = [self._fit_expectile()]
        return self._judged(self._fitted["expectile"][0])

    def _fit_expectile(self) -> Candidate:
        halves: list[Tensor] = []
        unit = float(self.targets.returns.std()) or 1.0
        for half in (0, 1):
            mine = np.flatnonzero(self.targets.halves == half)
            halves.append(
                quick_expectile(
                    self._buffer, self._scaled, self._following, self.targets.actions, mine, self._settings,
                    unit=unit, wanted=self._asked,
                )
            )  # fmt: skip
        return Candidate(
            label="expectile values", critic="expectile", td_lambda=self._credits[0], states="none",
            targets=self.targets, effects=None, halves=halves,
        )  # fmt: skip

    def _recurring(self) -> Recurring | None:
        """States that recur, where they may be planned over.

        Raises:
            UserError: If planned values are asked for and states don't recur.
        """
        wanted = "planned" in self._critics and not self._respond
        several = int(self._buffer.lengths.max()) > 1 and structure_of(self._settings) == "factored"
        asked = wanted and "effects" not in self._critics
        if not wanted or not (several or asked):
            return None
        states = recurring(self._scaled, self._following)
        if asked and states is None:
            raise UserError(
                f"critic 'planned' needs states that recur, and there are more than {MOST_STATES:,} different "
                "observations; leave critic out"
            )
        return states if asked or (states is not None and states.often) else None

    def _plan(self, states: Recurring) -> Planned:
        return plan(
            states,
            self.targets.actions,
            self._buffer.rewards,
            self._buffer.terminals,
            self.targets.halves,
            valid=len(self._buffer.action_space.valid_joints),
            gamma=self._settings.gamma,
        )

    def _model_judge(self, people: np.ndarray) -> ModelJudge | None:
        """Where states recur often and tell what matters of the past."""
        if self._states is None or not self._states.often:
            return None
        space = self._buffer.action_space
        steps = LoggedSteps(
            states=self._states, actions=self.targets.actions, rewards=self._buffer.rewards,
            ended=self._buffer.terminals, episodes=self.targets.episodes, valid=len(space.valid_joints),
            gamma=self._settings.gamma,
        )  # fmt: skip
        judge = ModelJudge(steps, self.targets.halves, people)
        taken = space.joint_levels[space.valid_joints]
        levels = [taken[:, f] == level for f, size in enumerate(space.nvec) for level in range(size)]
        return judge if judge.fits(np.stack(levels, axis=1).astype(np.float64)) else None

    def _planned(self, states: Recurring) -> Candidate:
        planned = self._plan(states)
        asked = slice(None) if self._model is not None else states.before[self._judges.rows]
        halves = [torch.as_tensor(half[asked]) for half in planned.halves]
        return self._judged(
            Candidate(
                label="planned values", critic="planned", td_lambda=self._credits[0], states="none",
                targets=self.targets, effects=None, planned=planned, halves=halves,
            )
        )  # fmt: skip

    def _worth(
        self, halves: Sequence[Tensor | LazyScores], own: np.ndarray | None = None, temperature: float | None = None
    ) -> Worth:
        """By the model where states recur, else by the held-out rows; `own` None for the whole return's surprise."""
        if self._model is not None:
            return self._model.worth([half[:] for half in halves], temperature)
        if self._respond and own is not None:
            return self._judges.worth(halves, own, own, own, temperature)
        if self._whole is None or self._step is None:
            psi = [surprise(self._targets(credit), self._judges.rows, None) for credit in (1.0, 0.0)]
            self._whole, self._step = psi
        at = self._mild if temperature is None else temperature
        return self._judges.worth(halves, self._whole if own is None else own, self._whole, self._step, at)

    def _take_behaviour(self) -> None:
        acted = np.flatnonzero(self.targets.attempted)
        space = self._buffer.action_space
        log_what = quick_clone(
            self._scaled[acted], self.targets.actions[acted], space, null=null_position(space),
            wanted=self._asked, seed=self._buffer.seed,
        )  # fmt: skip
        (self._model or self._judges).take_behaviour(log_what, self._settings.support_threshold)

    def _regression(self, targets: Targets, states: str | None = None) -> EffectRegression:
        terms = self._terms if states is None else self._terms_of(states)
        # Another credit than the first is tried on fewer rows.
        some = None if targets is self.targets else self._some
        return EffectRegression(terms, targets, self._scaled, respond=self._respond, seed=self._buffer.seed, some=some)

    def _from_all(self, best: Candidate) -> Effects | None:
        """The effects of a candidate from all rows."""
        if best.effects is None or best.targets is self.targets or self._some is None:
            return best.effects
        terms = self._terms_of(best.states)
        regression = EffectRegression(terms, best.targets, self._scaled, respond=False, seed=self._buffer.seed)
        return regression.settled(terms.states, scales=OPEN_SCALES, told=self._suited.told).suited(self._suited)

    def _targets(self, credit: float) -> Targets:
        decay, response = self._settings.gamma * credit, self._settings.response
        first = getattr(self, "targets", None)
        return compute_targets(self._buffer, self._scaled, decay=decay, response=response, like=first)

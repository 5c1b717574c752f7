"""Which critic to follow, how far back to give credit, and whether to leave the behaviour policy at all: by the data.

Candidates compete, the simpler first:

    effects, credit 0.9           the estimate with cautious priors; terms of the state where rows are very many
    effects, open priors          without terms of the state, with levels by state, with pairs of levels by state, and
                                  of each joint action by state, where there are three factors or more
    the same with credit 0 and with credit 1; of the terms chosen so far, where more would take long
    expectile values              a small network, trained for a moment

Where states recur often, planned values (`frl_algos.action_effects.planning`) come before all others, as they assume
nothing of how effects depend on the state, and then their mean with expectile values, which learn from states that look
alike: each errs in its own way.

Each is estimated from one half of the people and judged by the other, both ways (`held_out`). Two comparisons follow:

1. Candidates of one credit, by their own credit-weighted returns, which vary least. The first that is within one
   standard error of the best is taken; differences are in pairs by person.
2. The best of each credit, the planned and the expectile values, by the whole return, which is what counts. The first
   that is within two standard errors of the best is taken.

Where states recur and tell what matters of the past, candidates are judged by the value of their whole policy instead
(`model_judge`): the first-order gain is largest for the best first step away from the behaviour policy, which is not
the best policy. Each is compared at its best temperature; the one taken is followed at the highest that is not clearly
worse.

Where candidates claim more than an episode can pay, decisions don't add up so far from the behaviour policy
(`plausibility`). If no decision ends an episode, and what the steps pay at once is half of what there is, credit 0 is
taken. Else all are judged at a milder temperature, the lowest at which none does; if there is none, the policy is the
clone's. A policy that stays so near is taken as a whole: its greedy form does what it most likely does, and not what
has the largest advantage.

Only candidates whose own gain is shown take part: a policy follows its advantages equally far however small they are,
so that noise would be followed as far as an effect. A gain is shown where it is above what the largest of so many
candidates' gains reaches by chance (`held_out.bar`), each counted at every temperature it was tried at. By the whole
return, the one taken must not lose more than one standard error, nor a small step along the same advantages more than
two (`held_out.SMALL_STEP`); that varies far less. Where none is taken, small steps say what is shown: what gains by
them, and does not lose as a whole, is followed. If there are none, or too few people to judge by, the policy is the
clone's. With a response only the terms compete: other critics can't use what it tells, and inherit confounding. There
the first candidate gives way, also to the clone, to what is two standard errors better only.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from frl_algos.action_effects.indication import effect_of_acting
from frl_algos.action_effects.planning import plan
from frl_algos.action_effects.terms import null_position
from frl_algos.factored_awr.critic_selection.candidates import (
    Candidate,
    first_of_best,
    loses,
    nearby_gains,
    own_gains,
    reaches,
)
from frl_algos.factored_awr.critic_selection.chosen_critic import Choice, Chosen
from frl_algos.factored_awr.critic_selection.fits import Fits, structure_of
from frl_algos.factored_awr.critic_selection.held_out import (
    CLEARLY,
    SCORED_AT_ONCE,
    HeldOut,
    Worth,
    bar,
    mean_and_error,
    surprise,
)
from frl_algos.factored_awr.critic_selection.model_judge import ModelJudge
from frl_algos.factored_awr.critic_selection.plausibility import MILD, pays_at_once, plausible, room
from frl_algos.factored_awr.critic_selection.small_fits import quick_clone
from frl_algos.networks.effect_critic import EffectCritic, LazyScores


class Contest:
    """The candidates on one dataset, and the choice between them.

    Args:
        fits: What is estimated from either half; its `critics` are those that may be chosen, of "effects", "expectile",
            "planned", "averaged" and "none".
    """

    def __init__(self, fits: Fits) -> None:
        """Finds who can judge, people or a model of the states, and where candidates are asked for."""
        self._fits, self._settings, self._critics = fits, fits.settings, fits.critics
        self._buffer, self._scaled = fits.buffer, fits.scaled
        self.targets, self._respond = fits.targets, fits.respond
        valid = len(self._buffer.action_space.valid_joints)
        self._judges = HeldOut(self.targets, fits.people, valid=valid, seed=self._buffer.seed)
        self._model = self._model_judge()
        # Where candidates' advantages are wanted: in all states, or else in the judged rows.
        steps = fits.steps
        if self._model is not None and steps is not None:
            fits.ask(steps.states.states, slice(None))
        else:
            states = slice(0) if steps is None else steps.states.before[self._judges.rows]
            fits.ask(self._scaled[self._judges.rows], states)
        # Surprises by the whole return and by the step's own reward, made when asked for; a milder temperature, if any.
        self._whole: np.ndarray | None = None
        self._step: np.ndarray | None = None
        self._mild: float | None = None
        self._tried: list[Candidate] = []

    def choose(self) -> Chosen:
        """The critic to follow."""
        if not self._judges.enough:
            first = self._unjudged()
            return first if self._respond or "none" not in self._critics else self._clone(first)
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
        buffer = self._buffer
        return room(buffer.rewards, buffer.lengths, buffer.people, self.targets.attempted)

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
        """Candidates of the second comparison, and the losers of the first one where only its best goes on."""
        fits = self._fits
        if "effects" not in self._critics:
            return self._planned() or [self._judged(fits.expectile())], []
        same_credit = [self._judged(candidate) for candidate in fits.by_terms(fits.credits[0])]
        best = first_of_best(self._shown(same_credit), lambda worth: worth.own, CLEARLY if self._respond else 1.0)
        across = [best]
        if not self._respond:
            across = self._planned() + across
            across += [self._by_credit(credit, best.states) for credit in fits.credits[1:]]
            if "expectile" in self._critics and structure_of(self._settings) == "factored":
                across.append(self._judged(fits.expectile()))
        others = [candidate for candidate in same_credit if candidate is not best]
        return across, others if len(across) == 1 else []

    def _unjudged(self) -> Chosen:
        """The first candidate, where too few people are there to judge it by."""
        fits, states = self._fits, "none"
        effects, planned, label = None, None, "expectile values"
        if "effects" in self._critics:
            effects, label, states = fits.first()
        elif fits.steps is not None:
            planned, label = plan(fits.steps, self.targets.halves).only(fits.kept), "planned values"
        critic = "effects" if effects is not None else "planned" if planned is not None else "expectile"
        choice = Choice(
            critic=critic, td_lambda=fits.credits[0], states=states, temperature=None, label=label,
            table=0 if planned is None else len(planned.states),
        )  # fmt: skip
        return Chosen(choice=choice, targets=self.targets, effects=effects, planned=planned)

    def _decided(self, candidates: list[Candidate], others: Sequence[Candidate] = ()) -> Chosen:
        """The best candidate with all that is said of the choice; the clone where no gain is shown.

        With several candidates gains are by the whole return, with one by its own credit.
        """
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
        followed = worth.calmer or worth
        gain, error = mean_and_error(gains(followed))
        choice = Choice(
            critic=best.critic, td_lambda=best.td_lambda, states=best.states, temperature=followed.temperature,
            label=best.label, gain=gain, gain_error=error, people=len(worth.own),
            table=int(self._fits.kept.sum()) if best.critic == "planned" else 0, mild=self._mild is not None,
            whole=self._model is not None,
        )  # fmt: skip
        if rival is not None and rival.worth is not None:
            margin, margin_error = mean_and_error(gains(worth) - gains(rival.worth))
            choice = dataclasses.replace(choice, runner_up=rival.label, margin=margin, margin_error=margin_error)
        if by_step:
            step_gain, step_error = mean_and_error(worth.nearby)
            choice = dataclasses.replace(choice, step_gain=step_gain, step_error=step_error)
        if not believed and "none" in self._critics:
            # It is the clone for want of a gain, not of claims that can be believed.
            unlike = dataclasses.replace(choice, mild=False)
            return self._clone(Chosen(choice=unlike, targets=best.targets, effects=None))
        effects, planned = self._fits.from_all(best)
        return Chosen(choice=choice, targets=best.targets, effects=effects, planned=planned)

    def _clone(self, chosen: Chosen) -> Chosen:
        """The clone, named as what beat the choice that was made."""
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
        worths = [candidate.worth for candidate in self._tried if candidate.worth is not None]
        passed_over = [gains(other) for worth in worths for other in worth.passed_over]
        return bar([*map(gains, worths), *passed_over])

    def _reaching(self, candidates: list[Candidate]) -> list[Candidate]:
        """Candidates whose gain over the behaviour policy is larger than chance explains."""
        least = self._bar()
        return [candidate for candidate in candidates if reaches(candidate, least)]

    def _nearby(self, candidates: list[Candidate], gains: Callable[[Worth], np.ndarray]) -> list[Candidate]:
        """Candidates with a gain above 0, of which a small step gains more than chance explains.

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
        """Candidates whose gain over the behaviour policy is larger than chance explains; all where there are none."""
        return self._reaching(candidates) or candidates

    def _by_credit(self, credit: float, states: str) -> Candidate:
        """Effects with another credit: with the best terms for it, or those given where all would take long."""
        if not self._fits.light:
            return self._judged(self._fits.with_terms(credit, states))
        judged = [self._judged(candidate) for candidate in self._fits.by_terms(credit)]
        return first_of_best(self._shown(judged), lambda worth: worth.own)

    def _planned(self) -> list[Candidate]:
        """Planned values, and their mean with others; none where states don't recur."""
        return [] if self._fits.steps is None else [self._judged(candidate) for candidate in self._fits.planned()]

    def _judged(self, candidate: Candidate) -> Candidate:
        """The candidate with its `worth`. It is counted as tried: the more are, the higher `_bar` has to be."""
        effects, at = candidate.effects, self._settings.temperature
        if effects is None:
            worth = self._worth(candidate.halves, temperature=at)
        else:
            x = torch.as_tensor(self._fits.asked)
            critic = EffectCritic(x.shape[1], effects.weights.shape[1], indicated=bool(self._settings.indications))
            critic.take(effects)
            chance = None
            if self._respond:
                logged = torch.as_tensor(self._judges.actions)[:, None]
                few = zip(x.split(SCORED_AT_ONCE), logged.split(SCORED_AT_ONCE), strict=True)
                answers = torch.cat([critic.chance(states).gather(1, mine)[:, 0] for states, mine in few])
                chance = answers.numpy().clip(0.02, 0.98).astype(np.float64)
            own = surprise(candidate.targets, self._judges.rows, chance)
            worth = self._worth([LazyScores(critic, x, torch.as_tensor(half)) for half in effects.halves], own, at)
        judged = dataclasses.replace(candidate, worth=worth)
        self._tried.append(judged)
        return judged

    def _model_judge(self) -> ModelJudge | None:
        """A judge by a model of the states; None unless states recur often and tell what matters of the past."""
        steps, space = self._fits.steps, self._buffer.action_space
        if steps is None or not steps.states.often:
            return None
        judge = ModelJudge(steps, self.targets.halves, self._fits.people)
        taken = space.joint_levels[space.valid_joints]
        levels = [taken[:, f] == level for f, size in enumerate(space.nvec) for level in range(size)]
        return judge if judge.fits(np.stack(levels, axis=1).astype(np.float64)) else None

    def _worth(
        self, halves: Sequence[Tensor | LazyScores], own: np.ndarray | None = None, temperature: float | None = None
    ) -> Worth:
        """Gains of a candidate, by the model of the states if there is one, else by the held-out rows.

        `own` holds each row's surprise at the candidate's own credit; None takes that of the whole return.
        """
        if self._model is not None:
            return self._model.worth([half[:] for half in halves], temperature)
        if self._respond and own is not None:
            return self._judges.worth(halves, own, own, own, temperature)
        if self._whole is None or self._step is None:
            psi = [surprise(self._fits.returns(credit), self._judges.rows, None) for credit in (1.0, 0.0)]
            self._whole, self._step = psi
        at = self._mild if temperature is None else temperature
        return self._judges.worth(halves, self._whole if own is None else own, self._whole, self._step, at)

    def _take_behaviour(self) -> None:
        """Fits a quick clone of the behaviour policy, from which the judges form ratios."""
        acted = np.flatnonzero(self.targets.attempted)
        space = self._buffer.action_space
        log_what = quick_clone(
            self._scaled[acted], self.targets.actions[acted], space, null=null_position(space),
            wanted=self._fits.asked, seed=self._buffer.seed,
        )  # fmt: skip
        (self._model or self._judges).take_behaviour(log_what, self._settings.support_threshold)

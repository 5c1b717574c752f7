"""What a policy is worth to people it was not estimated from, where states recur: its whole value, not its first step.

The first-order gain of `held_out` asks what one other decision would change, with the behaviour policy before and
after it. The best policy by that measure is the best *first* step away from the behaviour policy, and not the best
policy; far from the behaviour policy the two differ much. Where states recur, the other half's rows make a model of
what follows, which values the policy all the way (`frl_algos.action_effects.model_value`). That supposes that a state
tells what matters of the past; `ModelJudge.fits` asks the data.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from frl_algos.action_effects.logged_steps import LoggedSteps
from frl_algos.action_effects.model_value import ModelOfSteps
from frl_algos.factored_awr.critic_selection.held_out import CLEARLY, SMALL_STEP, Worth, bar, mean_and_error
from frl_algos.factored_awr.extraction import TEMPERATURES, supported

LOWER = (0.03, 0.01)
"""Temperatures to choose from besides `TEMPERATURES`: whole values see what becomes of a policy that does the same
thing over and over."""


class ModelJudge:
    """The process that each half of the people estimates; each values the policies of the other half.

    Args:
        steps: All rows.
        halves: Half of the people of each row, 0 or 1.
        people: Person of each row, numbered from 0.
    """

    def __init__(self, steps: LoggedSteps, halves: Int[np.ndarray, "row"], people: Int[np.ndarray, "row"]) -> None:
        """Estimates both."""
        self._models = [ModelOfSteps(steps, halves == half) for half in (0, 1)]
        first = np.unique(steps.episodes, return_index=True)[1]
        self._person = people[first]
        size, valid = len(steps.states.states), steps.valid
        self._visits = torch.as_tensor(sum(model.visits for model in self._models), dtype=torch.float32)
        self._log_what = torch.zeros(size, valid)
        self._clone = np.zeros(0)

    def fits(self, levels: Float[np.ndarray, "valid level"]) -> bool:
        """Whether what comes after the next state has nothing to do with any level taken before it, but for chance.

        Args:
            levels: 1 where an action has a level.
        """
        moments = np.zeros((int(self._person.max(initial=-1)) + 1, levels.shape[1]))
        for model in self._models:
            np.add.at(moments, self._person[model.episodes], model.afterwards(levels))
        both = [*moments.T, *-moments.T]
        least = bar(both)
        return all(mean <= least * error for mean, error in map(mean_and_error, both))

    def take_behaviour(self, log_what: Float[Tensor, "state valid"], threshold: float) -> None:
        """Takes the behaviour policy's log-probabilities in all states; unsupported ones drop out."""
        self._log_what = supported(log_what, threshold)
        self._clone = self._gains([torch.zeros_like(log_what)] * 2, SMALL_STEP)

    def worth(self, halves: Sequence[Float[Tensor, "state valid"]], temperature: float | None = None) -> Worth:
        """What the policies of two halves are worth to each other, by the whole return.

        Args:
            halves: Advantages in all states, from each half.
            temperature: None for the best; critics are compared each at its own.
        """
        temperatures = (*TEMPERATURES, *LOWER) if temperature is None else (temperature,)
        nearby = self._gains(halves, SMALL_STEP) - self._clone
        tried = {}
        for each in temperatures:
            gains = self._gains(halves, each)
            tried[each] = Worth(own=gains, whole=gains, later=np.zeros(len(gains)), nearby=nearby, temperature=each)
        best = max(tried.values(), key=lambda worth: worth.whole.mean())
        behind = {each: mean_and_error(best.whole - worth.whole) for each, worth in tried.items()}
        calmer = next(tried[each] for each, (less, error) in behind.items() if less <= CLEARLY * error)
        passed_over = [worth for worth in tried.values() if worth is not best]
        return dataclasses.replace(best, calmer=None if calmer is best else calmer, passed_over=passed_over)

    def _gains(self, halves: Sequence[Float[Tensor, "state valid"]], temperature: float) -> Float[np.ndarray, "person"]:
        """Gain of each person over the logged decisions, by the model of the half whose values were not used.

        Each half's advantages tilt the clone (the learned behaviour policy); where they are all equal, the clone stays.
        """
        gains = np.zeros(int(self._person.max(initial=-1)) + 1)
        chances = self._log_what.exp()
        for half, mine in enumerate(halves):
            mean = (chances * mine).sum(dim=1, keepdim=True)
            variance = (chances * (mine - mean) ** 2).sum(dim=1)
            spread = float(((self._visits * variance).sum() / self._visits.sum()).sqrt())
            tilt = mine / (temperature * spread) if spread >= 1e-12 else 0.0
            policy = torch.softmax(self._log_what + tilt, dim=1).numpy().astype(np.float64)
            model = self._models[1 - half]
            np.add.at(gains, self._person[model.episodes], model.gains(policy))
        return gains

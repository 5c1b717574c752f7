"""Keeps to the behaviour policy where its decisions follow what the observations don't show, and no response helps."""

import dataclasses

import numpy as np
from jaxtyping import Float32

from frl_algos.action_effects.indication import effect_of_acting
from frl_algos.factored_awr.critic_selection.chosen_critic import Chosen


def unless_indicated(chosen: Chosen, scaled_observations: Float32[np.ndarray, "row k"]) -> Chosen:
    """The choice; the clone where whatever is done is followed by worse than doing nothing, beyond chance.

    Args:
        chosen: Among critics that know of no response.
        scaled_observations: As the networks see them.
    """
    if chosen.choice.critic == "none":
        return chosen
    acting = effect_of_acting(scaled_observations, chosen.targets)
    if acting is None or not acting.harms:
        return chosen
    choice = dataclasses.replace(
        chosen.choice,
        critic="none",
        label="the clone of the behaviour policy, since its decisions follow reasons that the observations don't show "
        f"(doing anything is followed by {acting.effect:.2g}, standard error {acting.error:.1g}, against doing "
        "nothing; name a response if there is one)",
        runner_up=chosen.choice.label,
        gain=0.0,
        gain_error=0.0,
        margin=-chosen.choice.gain,
        margin_error=chosen.choice.gain_error,
        step_gain=0.0,
        step_error=0.0,
        mild=False,
        table=0,
    )
    return dataclasses.replace(chosen, choice=choice, effects=None, planned=None)

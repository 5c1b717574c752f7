"""What comes before the first update, in closed form: scaling, the critic to follow, how often to act, gains.

`build_with_dataset` and `fit` do these in order: `buffer_of`, `fit_scaler`, `suited_to`, `choose_critic`, `take_over`.
All of it follows from the dataset and the settings alone.
"""

import json
import math
from typing import Any

import numpy as np
import torch
from d3rlpy.logging import LOG
from d3rlpy.preprocessing import StandardObservationScaler

from frl_algos.action_effects.action_rate import steady_rate
from frl_algos.action_effects.suitability import Suitability, suitability
from frl_algos.action_effects.targets import compute_targets, positions_of
from frl_algos.action_effects.terms import Terms, null_position
from frl_algos.factored_awr.critic_selection.chosen_critic import Choice, Chosen
from frl_algos.factored_awr.critic_selection.fits import CREDITS, Fits, structure_of
from frl_algos.factored_awr.critic_selection.indicated import unless_indicated
from frl_algos.factored_awr.critic_selection.select_critic import Contest
from frl_algos.factored_awr.settings import FactoredAWRSettings
from frl_algos.factored_awr.updating.update import FactoredAWRImpl
from frl_algos.logged_data.memory_map import release
from frl_algos.logged_data.replay import FactoredReplayBuffer, factored_buffer
from frl_algos.logged_data.scaled_rows import ScaledRows, mean_and_spread, numbers_of
from frl_algos.member_model.estimating import estimate_member_model
from frl_algos.networks.effect_critic import EffectCritic
from frl_algos.networks.state_critic import StateCritic
from frl_env.actions import ActionSpace
from frl_env.capacity.effort import Effort
from frl_env.errors import UserError

SAMPLE_ROWS = 2_000
"""Rows of the dataset, drawn once, over which scales, temperature and rate are measured."""

SAMPLE_SCORES = 2**23
"""Scores of joint actions in all those rows, at most: fewer rows where there are many actions."""


def buffer_of(dataset: Any, config: FactoredAWRSettings, impl: Any) -> FactoredReplayBuffer:
    """The replay buffer of whatever `fit` was given; the settings take its actions and staff minutes.

    Raises:
        UserError: If it is no replay buffer, its actions or states are not those of the settings, or nothing says which
            actions it has.
    """
    space = ActionSpace.from_json(config.action_schema) if config.action_schema else None
    buffer = factored_buffer(dataset, space, "set action_schema=space.to_json() in FactoredAWRConfig", impl)
    config.action_schema = buffer.action_space.to_json()
    names = list(buffer.state_names)
    if config.state_names and names and config.state_names != names:
        raise UserError(
            f"the algorithm was made for the states {', '.join(config.state_names)}, the dataset has "
            f"{', '.join(names)}; give it data with these states in this order"
        )
    config.state_names = config.state_names or names
    if not config.effort and buffer.effort is not None:
        config.effort = json.dumps(buffer.effort.to_json())
    return buffer


def fit_scaler(config: FactoredAWRSettings, buffer: FactoredReplayBuffer) -> None:
    """Fits the scaler of the settings, or the usual one where there is none."""
    scaler = config.observation_scaler
    if scaler is not None and not scaler.built and not isinstance(scaler, StandardObservationScaler):
        scaler.fit_with_transition_picker(buffer.episodes, buffer.transition_picker)
    if scaler is None or not scaler.built:
        mean, std = mean_and_spread(buffer.transition_count, buffer.observations.__getitem__, np.float64)
        release(buffer.observations)
        own = {} if scaler is None else {"eps": scaler.eps}
        config.observation_scaler = StandardObservationScaler(mean=mean, std=std, **own)


def scaled_by(config: FactoredAWRSettings, observations: np.ndarray) -> ScaledRows:
    """Observations as the networks see them, made when they are asked for."""
    scaler = config.observation_scaler
    return ScaledRows(observations, None if scaler is None else scaler.transform_numpy)


def suited_to(buffer: FactoredReplayBuffer, config: FactoredAWRSettings) -> Suitability:
    """Whom actions suit, by the logged decisions to do something."""
    space = buffer.action_space
    actions = positions_of(buffer)
    acted = numbers_of((actions >= 0) & (actions != (-1 if (null := null_position(space)) is None else null)))
    episode = (np.searchsorted(buffer.starts, acted, side="right") - 1).astype(np.int32)
    return suitability(
        space,
        actions[acted],
        buffer.people[episode],
        need=config.need_factor,
        skill=config.skill_factor,
    )


def choose_critic(
    buffer: FactoredReplayBuffer,
    scaled: ScaledRows,
    suited: Suitability,
    config: FactoredAWRSettings,
    impl: FactoredAWRImpl | None,
) -> Chosen:
    """The critic to follow, said in a sentence; what is set is not chosen.

    Args:
        buffer: The data.
        scaled: Its observations, scaled.
        suited: Whom actions suit.
        config: The settings, which take the choice.
        impl: Networks that are there already, and stay what they are; None where there are none.
    """
    critics: tuple[str, ...] = {"auto": ("effects", "expectile", "planned", "averaged", "none")}.get(
        config.critic, (config.critic,)
    )
    if config.critic == "auto" and impl is not None:
        kinds = {EffectCritic: ("effects", "none"), StateCritic: ("planned", "averaged")}
        critics = kinds.get(type(impl.modules.critic), ("expectile",))
    set_already = config.critic == "expectile" and config.temperature is not None
    if config.critic in ("returns", "none") or set_already:
        credit = CREDITS[0] if config.td_lambda is None else config.td_lambda
        targets = compute_targets(buffer, scaled, decay=config.gamma * credit, response=config.response)
        choice = Choice(critic=config.critic, td_lambda=credit, states="none", temperature=None, label="")
        return Chosen(choice=choice, targets=targets, effects=None)
    following = scaled_by(config, buffer.next_observations) if {"expectile", "planned"} & set(critics) else scaled
    chosen = Contest(Fits(buffer, scaled, following, config, suited, critics)).choose()
    if config.response is None and "none" in critics:
        chosen = unless_indicated(chosen, scaled)
    LOG.info(f"FactoredAWR {chosen.choice}")
    config.choice = chosen.choice.to_json()
    return chosen


def take_over(
    impl: FactoredAWRImpl,
    chosen: Chosen,
    buffer: FactoredReplayBuffer,
    scaled: ScaledRows,
    config: FactoredAWRSettings,
    device: Any,
) -> None:
    """Gives the networks what was estimated: effects, how often to act, gains, and the rows over which scales are."""
    space, targets = buffer.action_space, chosen.targets
    kept = min(SAMPLE_ROWS, SAMPLE_SCORES // len(space.valid_joints))
    rows = np.random.default_rng(0).permutation(buffer.transition_count)[:kept]
    sample = torch.as_tensor(scaled[rows], device=device)
    halves = None
    judged = chosen.choice.mild or chosen.choice.whole  # at the temperature of the choice, and no other
    critic = impl.modules.critic
    if isinstance(critic, EffectCritic):
        critic.forget()
        if chosen.effects is not None:
            critic.take(chosen.effects)
            if not judged:
                halves = (torch.as_tensor(chosen.effects.halves[0]), torch.as_tensor(chosen.effects.halves[1]))
    elif isinstance(critic, StateCritic) and chosen.planned is not None:
        critic.take(chosen.planned)
        if not judged:
            halves = (torch.as_tensor(chosen.planned.halves[0]), torch.as_tensor(chosen.planned.halves[1]))
    rate = math.nan if config.action_rate is None else config.action_rate
    if config.response is not None and config.action_rate is None and targets.attempted.any():
        levels = Terms.of_space(space, scaled.shape[1], structure=structure_of(config)).levels
        rate = steady_rate(targets.attempted, targets.responses, targets.actions, levels, buffer.lengths)
    model = impl.modules.gains
    if model is not None and targets.sign:
        estimate_member_model(
            model,
            buffer,
            decay=config.gamma * chosen.choice.td_lambda,
            minutes=Effort.from_json(config.effort, space).minutes[space.valid_joints],
            indications=config.indications,
            need=config.need_factor,
            skill=config.skill_factor,
        )
    impl.prepare(targets, sample, halves, rate, chosen.choice.temperature)
    impl.calibrate()

"""How the value of a trained policy moves with what the data can't settle, on some of the logged members."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from frl_algos.policies.policy import Probabilities
from frl_algos.value_models.fitted_q import fitted_q_evaluation
from frl_env.evaluation import LoggedEpisodes, Sensitivity, sensitivity
from frl_env.evaluation.nuisances.propensities import EstimatedPropensities
from frl_env.evaluation.privacy.suppression import part_of, rests_on_few
from frl_env.evaluation.threads import numpy_alone

MEMBERS = 2_000
"""Drawn at random, at most: it is asked how an answer moves, and every setting is an evaluation of its own."""

FEWEST = 100
"""Members that are needed, as for a headline."""

STAYS = (0.2, 5.0)
"""What a hospital stay weighs beside an ED visit, where the reward counts both: a fifth, and five times as much."""


@numpy_alone()
def policy_sensitivity(
    target: Probabilities,
    episodes: LoggedEpisodes,
    *,
    seed: int = 0,
    indications: Mapping[str, int] | None = None,
    propensities: Any = None,
    members: int = MEMBERS,
) -> Sensitivity | None:
    """All that the doubly robust estimate of a policy hangs on, in one table; None with fewer members than `FEWEST`.

    None as well where 1 to 10 real people had all events of the members who are looked at, or of the others: beside a
    value of all, a value of some tells of the rest.

    Args:
        target: The policy.
        episodes: Members on which it was not trained.
        seed: Of members, folds and errors that are drawn.
        indications: Of fitted Q evaluation; see `frl_algos.fitted_q_evaluation`.
        propensities: As `evaluate` takes them; None for the logged ones, or estimated ones where none are logged.
        members: How many are looked at, at most.
    """
    if len(episodes) < FEWEST:
        return None
    rng = np.random.default_rng(seed)
    looked_at = part_of(len(episodes), members)
    if len(episodes) > looked_at:
        chosen = np.sort(rng.choice(len(episodes), looked_at, replace=False))
        if not episodes.simulated and rests_on_few(np.delete(episodes.returns(), chosen)):
            return None
        episodes, propensities = episodes.subset(chosen), _of_members(propensities, episodes, chosen)
    if not episodes.simulated and rests_on_few(episodes.returns()):
        return None
    if propensities is None:
        propensities = "estimated" if episodes.propensities is None else "logged"
    fitted = fitted_q_evaluation(episodes, target, rng=rng, indications=indications)
    first, *others = episodes.reward_parts or ("",)
    return sensitivity(
        episodes,
        fitted.probabilities,
        rng=rng,
        q_values=fitted.values,
        propensities=propensities,
        reward_weights=[{first: 1.0} | dict.fromkeys(others, weight) for weight in STAYS] if others else (),
    )


def _of_members(propensities: Any, episodes: LoggedEpisodes, chosen: np.ndarray) -> Any:
    """Propensities of some of the members; the words "logged" and "estimated" stay."""
    if propensities is None or isinstance(propensities, str):
        return propensities
    if not isinstance(propensities, EstimatedPropensities):
        return episodes.padded("propensities", propensities, 1.0)[chosen]
    return replace(
        propensities,
        logged=propensities.logged[chosen],
        factors={name: each[chosen] for name, each in propensities.factors.items()},
        scores=propensities.scores[chosen],
    )

"""What a dataset is about: names and validity of its actions, names of its observations and groups, who is behind it.

Our datasets say so in their metadata. `minari.combine_datasets` and `minari.DataCollector` copy none of it; then the
environment says it, where the dataset names one that can, or the datasets that were combined, where these are in the
local store and agree. What can't be found out is said, and nothing is guessed.
"""

import json
from typing import Any

import gymnasium
import minari

from frl_env.actions import ActionSpace
from frl_env.errors import UserError, shorten

SCHEMA, OBSERVATIONS, VOCABULARIES = "frl_action_schema", "frl_observation_names", "frl_vocabularies"

REPORTS = "frl_reports_propensities_of"
"""Said by an environment whose infos hold propensities of another policy than the one that acts in it."""

COMBINED = "combined_datasets"


def facts_of(dataset: Any) -> dict[str, Any]:
    """Metadata of a Minari dataset, with what is missing of it from its environment or from its parts.

    Args:
        dataset: A `minari.MinariDataset`.
    """
    own = dict(dataset.storage.metadata)
    if not {"frl_recipe", "frl_import"}.isdisjoint(own):
        return own
    for other in _parts(own) or ():
        own = {key: value for key, value in other.items() if key.startswith("frl_")} | own
    return _of_environment(dataset) | own


def action_space_of(dataset: Any) -> ActionSpace:
    """Names and validity of a Minari dataset's actions.

    Raises:
        UserError: If they are no flat `MultiDiscrete`, or were lost when datasets were combined.
    """
    name, space = dataset.spec.dataset_id, multi_discrete(dataset)
    facts = facts_of(dataset)
    if schema := facts.get(SCHEMA):
        return ActionSpace.from_json(json.dumps(schema))
    if COMBINED in facts and _parts(facts) is None:
        raise UserError(
            f"dataset {name!r} was combined from {', '.join(map(str, facts[COMBINED]))}, and the names and validity of "
            "its actions were lost with it; pass action_space=, for instance action_space_of(one of these)"
        )
    return ActionSpace.from_nvec(space.nvec.tolist())


def state_names_of(dataset: Any) -> list[str]:
    """Names of a Minari dataset's observations, in order; empty where nothing says them."""
    return [str(name) for name in facts_of(dataset).get(OBSERVATIONS) or ()]


def fitting_actions(dataset: Any, action_space: ActionSpace | None) -> ActionSpace:
    """Names and validity of a dataset's actions as the caller gives them, checked; without, those of `action_space_of`.

    Raises:
        UserError: If they are no `ActionSpace`, or one of other factors than the dataset's.
    """
    space = multi_discrete(dataset)
    if action_space is None:
        return action_space_of(dataset)
    if not isinstance(action_space, ActionSpace):
        raise UserError(
            f"action_space must be a frl_env.ActionSpace, not a {type(action_space).__name__}; without it, levels have "
            "no names, and every joint action can be taken"
        )
    if action_space.nvec != tuple(int(n) for n in space.nvec):
        raise UserError(f"action space {action_space} does not fit the dataset's {space}")
    return action_space


def check_flat_observations(dataset: Any) -> None:
    """Says so where a dataset's observations are not one row of numbers each, or it is no dataset.

    Raises:
        UserError: If so.
    """
    if not hasattr(dataset, "spec") or not hasattr(dataset, "storage"):
        raise UserError(
            f"a Minari dataset is needed, not a {type(dataset).__name__}; minari.load_dataset(its name) loads one"
        )
    space = dataset.spec.observation_space
    if not isinstance(space, gymnasium.spaces.Box) or len(space.shape) != 1:
        raise UserError(
            f"dataset {dataset.spec.dataset_id!r} has observations {shorten(str(space))}; a flat Box is needed: one "
            "row of numbers a step, as gymnasium.wrappers.FlattenObservation or gymnasium.spaces.flatten make them"
        )
    if space.shape[0] == 0:
        raise UserError(
            f"dataset {dataset.spec.dataset_id!r} has observations without numbers; give them one, which may be "
            "constant"
        )


def multi_discrete(dataset: Any) -> gymnasium.spaces.MultiDiscrete:
    """The action space as Minari has it.

    Raises:
        UserError: If it is no flat `MultiDiscrete`.
    """
    space = dataset.spec.action_space
    if not isinstance(space, gymnasium.spaces.MultiDiscrete) or space.nvec.ndim != 1:
        raise UserError(
            f"dataset {dataset.spec.dataset_id!r} has actions {shorten(str(space))}; a flat MultiDiscrete is needed: a "
            "whole number a factor (numpy.unravel_index makes them of one index for all factors)"
        )
    return space


def propensities_are_logged(dataset: Any) -> bool:
    """Whether infos on propensities, where there are any, are those of the policy that was recorded."""
    facts = facts_of(dataset)
    return REPORTS not in facts or not {"frl_recipe", "frl_import"}.isdisjoint(facts)


def is_simulated(dataset: Any) -> bool:
    """Whether a Minari dataset was made by this project's simulator; anything else may hold real people."""
    facts = facts_of(dataset)
    return "frl_import" not in facts and ("frl_recipe" in facts or REPORTS in facts)


def _parts(metadata: dict[str, Any]) -> list[dict[str, Any]] | None:
    """What the metadata of combined datasets have in common; None where one is not in the store, or they disagree.

    Parts without any metadata of ours have nothing in common that could be lost.
    """
    if COMBINED not in metadata:
        return []
    found = []
    for part in metadata[COMBINED]:
        try:
            found.append(facts_of(minari.load_dataset(part)))
        except (OSError, ValueError, KeyError):
            return None
    alike = {
        key: value
        for key, value in found[0].items()
        if key in (SCHEMA, OBSERVATIONS, VOCABULARIES) and all(other.get(key) == value for other in found[1:])
    }
    if any(key in other and key not in alike for other in found for key in (SCHEMA,)):
        return None
    for key in ("frl_recipe", "frl_import"):
        if all(key in other for other in found):
            alike[key] = {"combined": True}
    return [alike]


def _of_environment(dataset: Any) -> dict[str, Any]:
    """What the class of the dataset's environment says of datasets recorded in it."""
    spec = dataset.spec.env_spec
    if spec is None or spec.entry_point is None:
        return {}
    try:
        creator: Any = spec.entry_point
        if isinstance(creator, str):
            creator = gymnasium.envs.registration.load_env_creator(creator)
    except (ImportError, AttributeError):
        return {}
    tell = getattr(creator, "dataset_facts", None)
    if tell is None:
        return {}
    facts = tell(**(spec.kwargs or {}))
    # Wrappers of the recording may have changed either space.
    nvec = [len(factor["levels"]) for factor in facts[SCHEMA]["factors"]]
    actions, shape = dataset.spec.action_space, dataset.spec.observation_space.shape
    if not isinstance(actions, gymnasium.spaces.MultiDiscrete) or actions.nvec.tolist() != nvec:
        del facts[SCHEMA]
    if shape != (len(facts[OBSERVATIONS]),):
        del facts[OBSERVATIONS]
    return facts

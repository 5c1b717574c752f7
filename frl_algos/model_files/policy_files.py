"""Trained policies from their files, whatever wrote them."""

import os
from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from frl_algos.model_files.saving import SUFFIX, load_model
from frl_algos.policies.adapter import adapt
from frl_env.actions import ActionSpace
from frl_env.errors import UserError
from frl_env.evaluation.dataset_reading.dataset_facts import action_space_of, state_names_of
from frl_env.files.integrity import check_beside
from frl_env.meaning import meaning_of
from frl_env.trained_on import check_actions, check_states


def load_policy(path: str | os.PathLike[str], space: ActionSpace, states: Sequence[str] = ()) -> Any:
    """A trained algorithm.

    Args:
        path: A `.safetensors` file of `frl_algos.save_model`, or d3rlpy's `.d3`, which is a pickle: open one only if
            you trust where it comes from.
        space: Actions of the data that it is to be asked about.
        states: Names of their states, in order, if they have names.

    Raises:
        UserError: If there is no such file, or it is no policy over these actions and states.
    """
    file = Path(path)
    if file.suffix == SUFFIX:
        algorithm = load_model(file)
    elif file.suffix == ".d3":
        algorithm = adapt(load_d3(file), space)
    else:
        raise UserError(f"{file} is no trained policy; name a {SUFFIX} file of save_model, or a .d3 file of d3rlpy")
    own = getattr(algorithm, "action_space", None)
    if isinstance(own, ActionSpace):
        check_actions(file, own, space)
    check_states(file, getattr(getattr(algorithm, "config", None), "state_names", ()), states)
    return algorithm


def load_d3(file: Path) -> Any:
    """What d3rlpy's own `save` wrote. It is a pickle: open one only if you trust where it comes from.

    Raises:
        UserError: If there is no such file, it is damaged, or it holds an algorithm of a package that is not imported.
    """
    import d3rlpy  # after frl_algos, which keeps what d3rlpy imports from talking

    try:
        check_beside(file)
        return d3rlpy.load_learnable(str(file))
    except FileNotFoundError:
        raise UserError(f"there is no file {file}; check the path, or write one with save_model") from None
    except UserError:
        raise
    except KeyError as problem:
        raise UserError(
            f"{file} holds an algorithm {problem} that d3rlpy does not know in this process; import the package that "
            "registers it first (import frl_algos for FactoredAWR)"
        ) from None
    except RuntimeError as problem:  # torch's word for weights that are not those of the networks
        raise UserError(
            f"{file} holds other weights than its algorithm has in this version of frl-medicaid; load it with the "
            "version that wrote it, or train it again"
        ) from problem
    except (OSError, EOFError, ValueError, TypeError, AttributeError, UnpicklingError) as problem:
        raise UserError(
            f"{file} can't be read as a model of d3rlpy ({type(problem).__name__}); it is cut off, damaged or of "
            "another program: copy or train it again"
        ) from problem


def told_by(algorithm: Any, dataset: Any) -> tuple[int | None, dict[str, int]]:
    """Index of the observation that shows a response, and what indicates a level, for the valuation of a policy.

    Args:
        algorithm: Whose configuration says so; what it does not say, the dataset does (`frl_env.meaning`).
        dataset: The `minari.MinariDataset` of the members that value it.

    Raises:
        UserError: If the dataset says what can't be read.
    """
    names = state_names_of(dataset)
    meaning = meaning_of(dataset, names, action_space_of(dataset))
    config: Any = getattr(algorithm, "config", None)
    response = getattr(config, "response", None)
    if response is None and meaning.response is not None:
        response = names.index(meaning.response)
    known = {level: names.index(state) for level, state in meaning.indications.items()}
    return response, dict(getattr(config, "indications", None) or known)


def high_touch_of(dataset: Any) -> tuple[str, ...]:
    """Levels that take a person's presence, as a dataset says, or by the contract's own names.

    Args:
        dataset: A `minari.MinariDataset`.

    Raises:
        UserError: If there are none, or the dataset says what can't be read.
    """
    names = state_names_of(dataset)
    found = meaning_of(dataset, names, action_space_of(dataset)).high_touch
    if not found:
        raise UserError(
            f"nothing says which levels of dataset {dataset.spec.dataset_id!r} are high-touch contact; name them with "
            "high_touch=, or under [meaning] in the map of the import"
        )
    return found

"""The names that `--algo` knows: ours, stock d3rlpy's, those of installed packages, and `package.module:Name`.

All get the same data, the same scaling of observations, the same number of updates of the same size, and settings
chosen by the same rule from equally many candidates (`benchmarks/tune.py`).
"""

import copy
import importlib
import importlib.metadata
import importlib.util
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks.training import awr_lines, factored_lines, peer_lines, stock_lines
from benchmarks.training.column_roles import Told, told
from benchmarks.training.makers import Maker, Settings
from frl_algos.member_rankings import VISITS
from frl_algos.policies.adapter import adapt
from frl_env.actions import MEDICAID_ACTIONS, MOST_JOINTS, ActionSpace
from frl_env.errors import UserError, shorten, unknown_name

ENTRY_POINTS = "frl.algorithms"
"""Group of entry points by which an installed package offers algorithms."""

REFERENCES = (
    "no_program", "random", "behaviour", "heuristic", "best_observation_only", "best_record_and_contacts", "oracle"
)  # fmt: skip
"""Policies of the simulator that every scorecard holds; naming one trains nothing."""

BY_TRUTH: dict[str, str] = {
    "factored_awr": "rules and prior scales, not counted",
    "factored_awr_same_contacts": "the same, and contacts that risk ranking was given",
    "risk_ranking": "6",
    "risk_ranking_history": "6",
    "spending_ranking": "2",
}
"""Policies that were tried by true values, on other members, before a line was as it is; 0 for those not named."""

PEERS = ("risk_ranking", "risk_ranking_history", "risk_ranking_team_contacts", "spending_ranking", "uplift")
"""What programs do already: rankings, fitted in one go. They act within a budget only, and are not tuned."""

NAMED_CONTACTS = ("factored_awr_same_contacts", *(name for name in PEERS if name != "risk_ranking_team_contacts"))
"""What is told by hand which contacts to make, those of `VISITS`."""

TUNED_AS = {"factored_awr_same_contacts": "factored_awr"}
"""Lines that take the settings which tuning chose for another."""

TUNED = Path(__file__).with_name("tuned.json")
"""Settings chosen by `benchmarks/tune.py`."""

AIMED = ("factored_awr", "factored_awr_same_contacts")
"""Lines that `--action-rate` is for."""

ALGORITHMS: dict[str, Maker] = {
    **awr_lines.LINES, **stock_lines.LINES, **factored_lines.LINES, **awr_lines.PUBLISHED, **peer_lines.LINES
}  # fmt: skip
"""Name to a maker of the algorithm, given the dataset's actions, what its columns mean, and settings."""

LABELS = {
    "factored_awr": "FactoredAWR",
    "factored_awr_same_contacts": "FactoredAWR, told the ranking's contacts",
    "factored_awr_told_nothing": "FactoredAWR, told nothing",
    "discrete_bc": "DiscreteBC (stock, beta 0)",
    "discrete_bc_default": "DiscreteBC (stock, d3rlpy's default)",
    "cql": "DiscreteCQL (stock)",
    "iql": "IQL (stock, relaxed actions)",
    "bcq": "DiscreteBCQ (stock)",
    "awac": "AWAC (stock, relaxed actions)",
    "dqn": "DQN (stock)",
    "factored_iql": "Factored IQL",
    "autoregressive_iql": "Autoregressive IQL",
    "decoupled_cql": "Decoupled CQL (sum of factors)",
    "seed_awr": "AWR as published",
    "risk_ranking": "Risk ranking (the week's record)",
    "risk_ranking_history": "Risk ranking (record and history)",
    "risk_ranking_team_contacts": "Risk ranking (the team's own contacts)",
    "spending_ranking": "Spending ranking",
    "uplift": "Uplift ranking (R-learner)",
}
"""What to call them in a table; anybody else's algorithm goes by its name."""


def parse_names(text: str) -> list[str]:
    """Names of algorithms, from a comma list or "all"; each once.

    Raises:
        UserError: If one is unknown; says which are near. Or if one of the form `package.module:Name` can't be made.
    """
    names: list[str] = []
    for name in text.split(","):
        names += [*ALGORITHMS, *REFERENCES] if name.strip() == "all" else [name.strip()]
    for name in names:
        if ":" not in name and name not in known_names():
            raise _unknown(name)
        if ":" in name:
            adapt(_offered(name), MEDICAID_ACTIONS)
    return list(dict.fromkeys(names))


def known_names() -> list[str]:
    """Every name but those of the form `package.module:Name`."""
    return [*ALGORITHMS, *REFERENCES, *(name for name in _installed() if name not in ALGORITHMS)]


def create(
    name: str,
    observation_names: Sequence[str],
    space: ActionSpace,
    settings: Settings | None = None,
    known: Told | None = None,
) -> Any:
    """An algorithm, untrained.

    Args:
        name: Of `known_names`, references excepted, or `package.module:Name`.
        observation_names: Of the dataset.
        space: Its actions.
        settings: Instead of the tuned ones; for algorithms of this file only.
        known: What the observations mean; by default what the contract's own names do.

    Raises:
        UserError: If there is no such algorithm, or it can't be made.
    """
    if name in ALGORITHMS:
        chosen = tuned(name) if settings is None else settings
        return ALGORITHMS[name](space, known or told(observation_names, space), chosen)
    # A copy: of an object, a training would go on from the one before, and with its scales.
    return adapt(copy.deepcopy(_offered(name)), space)


def label(name: str) -> str:
    """What to call an algorithm in a table."""
    return LABELS.get(name, name)


def tried(name: str) -> int:
    """Policies among which tuning chose this one, none of them by a true value; 1 where it was not tuned."""
    entry = _tuned().get(TUNED_AS.get(name, name))
    return 1 if entry is None else sum(each.get("policies", 1) for each in entry["tried"])


def tuned(name: str) -> dict[str, Any]:
    """The settings that tuning chose; empty where it was not tuned."""
    return dict(_tuned().get(TUNED_AS.get(name, name), {}).get("chosen", {}))


def label_of(name: str, algorithm: Any) -> str:
    """What to call a made algorithm: as it says itself, but where two lines are of one kind."""
    own = getattr(algorithm, "label", None)
    return label(name) if own is None or name.startswith("discrete_bc") else str(own)


def check_fits(name: str, space: ActionSpace, known: Told | None = None) -> None:
    """Says before any training that an algorithm can't be trained on such actions.

    Args:
        name: Of `known_names`.
        space: The actions.
        known: What the observations mean; None to look at the actions alone.

    Raises:
        UserError: If so; says why.
    """
    if space.n_joint > MOST_JOINTS:
        raise UserError(
            f"{name} enumerates joint actions, and these are {space.n_joint:,} (at most {MOST_JOINTS:,}); "
            "merge levels or leave out a factor"
        )
    if name in NAMED_CONTACTS:
        try:
            VISITS.joints(space)
        except UserError as problem:
            raise UserError(f"{name} can't make its contacts with these actions ({problem}); leave it out") from None
    if known is not None and name in NAMED_CONTACTS:
        try:
            ALGORITHMS[name](space, known, {})
        except UserError as problem:
            raise UserError(f"{name} can't be made for this dataset ({problem}); leave it out") from None


def fitting(text: str, names: Sequence[str], space: ActionSpace, known: Told) -> tuple[list[str], list[str]]:
    """The algorithms asked for that fit the data. A peer that only "all" asked for is left out with a reason.

    Args:
        text: As the user named them.
        names: What that came to.
        space: The actions.
        known: What the observations mean.

    Returns:
        Names, and a sentence for each that was left out.

    Raises:
        UserError: If one that was asked for by its own name does not fit, or none is left.
    """
    asked = [name.strip() for name in text.split(",")]
    kept, left_out, last = [], [], None
    for name in names:
        try:
            check_fits(name, space, known)
            kept.append(name)
        except UserError as problem:
            if name in asked:
                raise
            last = problem
            left_out.append(f"left out of all: {problem}")
    if last is not None and not kept:
        raise last
    return kept, left_out


def program_of(name: str) -> str | Path:
    """What makes an algorithm, so that a change of it, or of what it imports, makes other results.

    Args:
        name: Of `known_names`, references excepted, or `package.module:Name`.

    Returns:
        The module of its maker for algorithms of `ALGORITHMS`; its own file for anybody else's.

    Raises:
        UserError: If there is no such algorithm.
    """
    if name in ALGORITHMS:
        return ALGORITHMS[name].__module__
    offered = _offered(name)
    module = importlib.import_module(getattr(offered, "__module__", type(offered).__module__))
    return Path(str(module.__file__))


def _unknown(name: str) -> UserError:
    """Error for a name that no algorithm has; one of the user's own goes by its module and name."""
    own = name.isidentifier() and importlib.util.find_spec(name) is not None
    module = name if own else "my_algorithm"
    problem = str(unknown_name("algorithm", name, known_names()))
    end = "" if problem.endswith("?") else "."
    return UserError(f"{problem}{end} For one of your own write module:Name, for instance {module}:RareActions")


def _offered(name: str) -> Any:
    """What a package offers under a name."""
    if ":" not in name:
        return _installed()[name].load()
    module, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), attribute)):
        raise UserError(
            f"{shorten(name)!r} is no algorithm; write package.module:Name, or a name of the list in --help"
        )
    if module.endswith(".py"):
        raise UserError(f"--algo {shorten(name)} names a file; write {module.removesuffix('.py')}:{attribute}")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as problem:
        missing = str(problem.name)
        if module != missing and not module.startswith(f"{missing}."):  # it is there, and what it imports is not
            raise UserError(
                f"module {module!r} of --algo {name} can't be imported: it imports {missing!r}, which is not installed"
            ) from problem
        raise UserError(f"no module {missing!r} for --algo {name}; run from its folder or install it") from problem
    except AttributeError as problem:
        raise UserError(f"module {module!r} has no {attribute!r}") from problem
    except SystemExit as problem:
        raise UserError(
            f"module {module!r} of --algo {name} ends Python when it is imported; put what runs it under "
            'if __name__ == "__main__":'
        ) from problem
    except Exception as problem:
        why = shorten(" ".join(f"{type(problem).__name__}: {problem}".split()))
        raise UserError(
            f"module {module!r} of --algo {name} can't be imported ({why}); put it right first"
        ) from problem


def _installed() -> dict[str, Any]:
    return {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}


@lru_cache(maxsize=1)
def _tuned() -> dict[str, Any]:
    return json.loads(TUNED.read_text())["algorithms"] if TUNED.exists() else {}

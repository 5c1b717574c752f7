"""The names that `--algo` knows: ours, stock d3rlpy's, those of installed packages, and `package.module:Name`.

All get the same data, the same scaling of observations, the same number of updates of the same size, and settings
chosen by the same rule from equally many candidates (`benchmarks/tune.py`).
"""

import dataclasses
import importlib
import importlib.metadata
import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks.training.told import Told, told
from frl_algos import AutoregressiveIQLConfig, DecoupledCQLConfig, FactoredAWRConfig, FactoredIQLConfig
from frl_algos.baselines.algorithm import BaselineConfig
from frl_algos.peers import VISITS, LoggedVisits, RiskRanking, SpendingRanking, UpliftRanking
from frl_algos.policies.adapter import adapt
from frl_algos.policies.stock import create_stock
from frl_env.actions import MEDICAID_ACTIONS, MOST_JOINTS, ActionSpace
from frl_env.errors import UserError, shorten, unknown_name
from frl_env.meaning import SPENDING

BATCH_SIZE = 512
"""Rows of an update, the same for every algorithm of this file."""

HIDDEN = 128
"""Units of each of the two hidden layers of every network, likewise."""

TARGET_UPDATES = 100
"""Updates after which DQN, both CQLs and BCQ renew their target networks. d3rlpy's own 8,000 is more than a run has."""

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

Settings = Mapping[str, Any]
Maker = Callable[[ActionSpace, Told, Settings], Any]


def told_nothing() -> FactoredAWRConfig:
    """FactoredAWR as it comes: it knows neither what shows a response nor what goals answer to."""
    return FactoredAWRConfig(batch_size=BATCH_SIZE, hidden_size=HIDDEN)


def factored_awr(observation_names: Sequence[str], space: ActionSpace, known: Told | None = None) -> FactoredAWRConfig:
    """FactoredAWR, told what the observations mean.

    A completed contact is the response of a member, where the dataset records it; a screening result indicates the goal
    of the same name; goals answer to needs, which providers are not all as able to do something about.

    Args:
        observation_names: Of the dataset.
        space: Its actions.
        known: What they mean; by default what the contract's own names do.
    """
    known = known or told(observation_names, space)
    return dataclasses.replace(
        told_nothing(),
        response=known.response,
        indications=known.indications,
        need_factor=known.meaning.need_factor,
        # Skills count in what they do about needs.
        skill_factor=known.meaning.skill_factor if known.meaning.need_factor else None,
    )


def same_contacts(known: Told, space: ActionSpace) -> FactoredAWRConfig:
    """FactoredAWR that makes the contacts of the risk ranking and no others: what is left is who gets them."""
    contacts = [dict(contact) for contact in VISITS.contacts]
    return dataclasses.replace(factored_awr(known.states, space, known), contacts=contacts)


def seed_awr() -> FactoredAWRConfig:
    """The published system as its document describes it: AWR on raw returns, embeddings of 32 that are learned.

    Its published code leaves them as drawn; that is the variant "published settings" of
    `benchmarks/studies/ablations.py`.
    """
    return FactoredAWRConfig.seed_preset(encoder="learned", batch_size=BATCH_SIZE, hidden_size=HIDDEN)


def _stock(name: str, **base: Any) -> Maker:
    """A stock algorithm with settings of its own, which tuned ones replace."""

    def make(space: ActionSpace, known: Told, settings: Settings) -> Any:
        shared = {"action_space": space, "batch_size": BATCH_SIZE, "hidden_sizes": (HIDDEN, HIDDEN)}
        return create_stock(name, **shared | base | dict(settings))

    return make


def _factored(config: type[BaselineConfig], **base: Any) -> Maker:
    """A factored baseline with settings of its own, which tuned ones replace."""
    shared = {"batch_size": BATCH_SIZE, "hidden_size": HIDDEN}
    return lambda space, known, settings: config(**shared | base | dict(settings)).create()


def _awr(make: Callable[[Told, ActionSpace], FactoredAWRConfig]) -> Maker:
    return lambda space, known, settings: dataclasses.replace(make(known, space), **settings).create()


def _risk(space: ActionSpace, known: Told, settings: Settings) -> RiskRanking:
    return RiskRanking(**_visits(settings))


def _team_contacts(space: ActionSpace, known: Told, settings: Settings) -> RiskRanking:
    home = space["modality"].levels if any(factor.name == "modality" for factor in space) else ()
    among = {"modality": "HOME_VISIT"} if "HOME_VISIT" in home else {}
    return RiskRanking(LoggedVisits(among=among), history=known.history, **settings)


def _spending(space: ActionSpace, known: Told, settings: Settings) -> SpendingRanking:
    if known.meaning.spending is None:
        raise UserError(
            f"spending_ranking needs an observation of what was paid ({SPENDING!r}, or spending under [meaning] in the "
            "map of the import), which this dataset does not have"
        )
    return SpendingRanking(known.states.index(known.meaning.spending), **_visits(settings))


def _uplift(space: ActionSpace, known: Told, settings: Settings) -> UpliftRanking:
    return UpliftRanking(response=known.response, **_visits(settings))


def _visits(settings: Settings) -> dict[str, Any]:
    """Settings of a ranking; `contacts` and `rest` are those of its visits."""
    own = {key: value for key, value in settings.items() if key in ("contacts", "rest")}
    rest = {key: value for key, value in settings.items() if key not in own}
    return {"visits": dataclasses.replace(VISITS, **own)} | rest


ALGORITHMS: dict[str, Maker] = {
    "factored_awr": _awr(lambda known, space: factored_awr(known.states, space, known)),
    "factored_awr_same_contacts": _awr(same_contacts),
    "factored_awr_told_nothing": _awr(lambda known, space: told_nothing()),
    # d3rlpy penalises squared logits by default (beta 0.5), which keeps cloning from cloning.
    "discrete_bc": _stock("discrete_bc", beta=0.0),
    "discrete_bc_default": _stock("discrete_bc"),
    "cql": _stock("discrete_cql", target_update_interval=TARGET_UPDATES),
    "iql": _stock("iql"),
    "bcq": _stock("discrete_bcq", target_update_interval=TARGET_UPDATES),
    "awac": _stock("awac"),
    "dqn": _stock("dqn", target_update_interval=TARGET_UPDATES),
    "factored_iql": _factored(FactoredIQLConfig),
    "autoregressive_iql": _factored(AutoregressiveIQLConfig),
    "decoupled_cql": _factored(DecoupledCQLConfig, target_update_interval=TARGET_UPDATES),
    "seed_awr": _awr(lambda known, space: seed_awr()),
    "risk_ranking": _risk,
    "risk_ranking_history": lambda space, known, settings: _risk(space, known, {"history": known.history, **settings}),
    "risk_ranking_team_contacts": _team_contacts,
    "spending_ranking": _spending,
    "uplift": _uplift,
}
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
            raise unknown_name("algorithm", name, known_names())
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
    return adapt(_offered(name), space)


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
    """Of the algorithms asked for, those that fit; a peer that only "all" asked for is left out, and why is said.

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


def source_of(name: str) -> str | None:
    """File of an algorithm that is not ours, so that a change of it makes other results; None for ours."""
    if name in ALGORITHMS:
        return None
    offered = _offered(name)
    module = importlib.import_module(getattr(offered, "__module__", type(offered).__module__))
    return getattr(module, "__file__", None)


def _offered(name: str) -> Any:
    """What a package offers under a name."""
    if ":" not in name:
        return _installed()[name].load()
    module, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), attribute)):
        raise UserError(
            f"{shorten(name)!r} is no algorithm; write package.module:Name, or a name of the list in --help"
        )
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as problem:
        raise UserError(f"no module {problem.name!r} for --algo {name}; run from its folder or install it") from problem
    except AttributeError as problem:
        raise UserError(f"module {module!r} has no {attribute!r}") from problem
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

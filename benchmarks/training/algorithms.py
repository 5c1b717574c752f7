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

from frl_algos import FactoredAWRConfig
from frl_algos.peers import VISITS, LoggedVisits, RiskRanking, SpendingRanking, UpliftRanking
from frl_algos.policies.adapter import adapt
from frl_algos.policies.stock import create_stock
from frl_env.actions import MOST_JOINTS, ActionSpace
from frl_env.errors import UserError, unknown_name

BATCH_SIZE = 512
"""Rows of an update, the same for every algorithm of this file."""

HIDDEN = 128
"""Units of each of the two hidden layers of every network, likewise."""

TARGET_UPDATES = 100
"""Updates after which DQN, CQL and BCQ renew their target networks. d3rlpy's own 8,000 is more than a run has."""

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

SPENDING = "total_paid"
"""Observation by which `spending_ranking` ranks."""

PEERS = ("risk_ranking", "risk_ranking_history", "risk_ranking_team_contacts", "spending_ranking", "uplift")
"""What programs do already: rankings, fitted in one go. They act within a budget only, and are not tuned."""

NAMED_CONTACTS = ("factored_awr_same_contacts", *(name for name in PEERS if name != "risk_ranking_team_contacts"))
"""What is told by hand which contacts to make, those of `VISITS`."""

TUNED_AS = {"factored_awr_same_contacts": "factored_awr"}
"""Lines that take the settings which tuning chose for another."""

TUNED = Path(__file__).with_name("tuned.json")
"""Settings chosen by `benchmarks/tune.py`."""

Settings = Mapping[str, Any]
Maker = Callable[[Sequence[str], ActionSpace, Settings], Any]


def told_nothing() -> FactoredAWRConfig:
    """FactoredAWR as it comes: it knows neither what shows a response nor what goals answer to."""
    return FactoredAWRConfig(batch_size=BATCH_SIZE, hidden_size=HIDDEN)


def factored_awr(observation_names: Sequence[str], space: ActionSpace) -> FactoredAWRConfig:
    """FactoredAWR, told what the observations mean.

    A completed contact is the response of a member, where the dataset records it; a screening result indicates the goal
    of the same name; goals answer to needs, which providers are not all as able to do something about.
    """
    names = list(observation_names)
    contact = "num_encounters_last_week"
    levels = [level for factor in space for level in factor.levels]
    told = {"goal", "provider"} <= {factor.name for factor in space}
    return dataclasses.replace(
        told_nothing(),
        response=names.index(contact) if contact in names else None,
        indications={
            level: names.index(f"screened_{str(level).lower()}")
            for level in levels
            if f"screened_{str(level).lower()}" in names
        },
        need_factor="goal" if told else None,
        skill_factor="provider" if told else None,
    )


def same_contacts(observation_names: Sequence[str], space: ActionSpace) -> FactoredAWRConfig:
    """FactoredAWR that makes the contacts of the risk ranking and no others: what is left is who gets them."""
    return dataclasses.replace(
        factored_awr(observation_names, space), contacts=[dict(contact) for contact in VISITS.contacts]
    )


def seed_awr() -> FactoredAWRConfig:
    """The published system as its document describes it: AWR on raw returns, embeddings of 32 that are learned.

    Its published code leaves them as drawn; that is the variant "published settings" of
    `benchmarks/studies/ablations.py`.
    """
    return FactoredAWRConfig.seed_preset(encoder="learned", batch_size=BATCH_SIZE, hidden_size=HIDDEN)


def _stock(name: str, **base: Any) -> Maker:
    """A stock algorithm with settings of its own, which tuned ones replace."""

    def make(observation_names: Sequence[str], space: ActionSpace, settings: Settings) -> Any:
        shared = {"action_space": space, "batch_size": BATCH_SIZE, "hidden_sizes": (HIDDEN, HIDDEN)}
        return create_stock(name, **shared | base | dict(settings))

    return make


def _awr(make: Callable[[Sequence[str], ActionSpace], FactoredAWRConfig]) -> Maker:
    return lambda names, space, settings: dataclasses.replace(make(names, space), **settings).create()


def _risk(names: Sequence[str], space: ActionSpace, settings: Settings) -> RiskRanking:
    return RiskRanking(**_visits(settings))


def _team_contacts(names: Sequence[str], space: ActionSpace, settings: Settings) -> RiskRanking:
    home = space["modality"].levels if any(factor.name == "modality" for factor in space) else ()
    among = {"modality": "HOME_VISIT"} if "HOME_VISIT" in home else {}
    return RiskRanking(LoggedVisits(among=among), history=_recorded(names), **settings)


def _spending(names: Sequence[str], space: ActionSpace, settings: Settings) -> SpendingRanking:
    if SPENDING not in names:
        raise UserError(f"spending_ranking needs an observation {SPENDING!r}, which this dataset does not have")
    return SpendingRanking(list(names).index(SPENDING), **_visits(settings))


def _uplift(names: Sequence[str], space: ActionSpace, settings: Settings) -> UpliftRanking:
    return UpliftRanking(response=factored_awr(names, space).response, **_visits(settings))


def _visits(settings: Settings) -> dict[str, Any]:
    """Settings of a ranking; `contacts` and `rest` are those of its visits."""
    own = {key: value for key, value in settings.items() if key in ("contacts", "rest")}
    rest = {key: value for key, value in settings.items() if key not in own}
    return {"visits": dataclasses.replace(VISITS, **own)} | rest


def _recorded(names: Sequence[str]) -> tuple[int, ...]:
    """Observations that tell of events and spending; the counts of contacts say what the team did, not who is ill."""
    written = ("num_encounters_last_week", "num_calls_last_week", "num_texts_last_week")
    return tuple(index for index, name in enumerate(names) if name not in written)


ALGORITHMS: dict[str, Maker] = {
    "factored_awr": _awr(factored_awr),
    "factored_awr_same_contacts": _awr(same_contacts),
    "factored_awr_told_nothing": _awr(lambda names, space: told_nothing()),
    # d3rlpy penalises squared logits by default (beta 0.5), which keeps cloning from cloning.
    "discrete_bc": _stock("discrete_bc", beta=0.0),
    "discrete_bc_default": _stock("discrete_bc"),
    "cql": _stock("discrete_cql", target_update_interval=TARGET_UPDATES),
    "iql": _stock("iql"),
    "bcq": _stock("discrete_bcq", target_update_interval=TARGET_UPDATES),
    "awac": _stock("awac"),
    "dqn": _stock("dqn", target_update_interval=TARGET_UPDATES),
    "seed_awr": _awr(lambda names, space: seed_awr()),
    "risk_ranking": _risk,
    "risk_ranking_history": lambda names, space, settings: _risk(
        names, space, {"history": _recorded(names), **settings}
    ),
    "risk_ranking_team_contacts": _team_contacts,
    "spending_ranking": _spending,
    "uplift": _uplift,
}
"""Name to a maker of the algorithm, given the dataset's observation names, its actions, and settings."""

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
        UserError: If one is unknown; says which are near.
    """
    names: list[str] = []
    for name in text.split(","):
        names += [*ALGORITHMS, *REFERENCES] if name.strip() == "all" else [name.strip()]
    for name in names:
        if ":" not in name and name not in known_names():
            raise unknown_name("algorithm", name, known_names())
    return list(dict.fromkeys(names))


def known_names() -> list[str]:
    """Every name but those of the form `package.module:Name`."""
    return [*ALGORITHMS, *REFERENCES, *(name for name in _installed() if name not in ALGORITHMS)]


def create(name: str, observation_names: Sequence[str], space: ActionSpace, settings: Settings | None = None) -> Any:
    """An algorithm, untrained.

    Args:
        name: Of `known_names`, references excepted, or `package.module:Name`.
        observation_names: Of the dataset.
        space: Its actions.
        settings: Instead of the tuned ones; for algorithms of this file only.

    Raises:
        UserError: If there is no such algorithm, or it can't be made.
    """
    if name in ALGORITHMS:
        return ALGORITHMS[name](observation_names, space, tuned(name) if settings is None else settings)
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


def check_fits(name: str, space: ActionSpace) -> None:
    """Says before any training that an algorithm can't be trained on such actions.

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
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as problem:
        raise UserError(f"no module {problem.name!r} for --algo {name}; run from its folder or install it") from problem
    except AttributeError as problem:
        raise UserError(f"module {module!r} has no {attribute!r}") from problem


def _installed() -> dict[str, Any]:
    return {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}


@lru_cache(maxsize=1)
def _tuned() -> dict[str, Any]:
    return json.loads(TUNED.read_text())["algorithms"] if TUNED.exists() else {}

"""Lines of the benchmark that are FactoredAWR: as it is meant, told less, held to given contacts, and as published."""

import dataclasses
from collections.abc import Callable, Sequence

from benchmarks.training.column_roles import Told, told
from benchmarks.training.makers import BATCH_SIZE, HIDDEN, Maker
from frl_algos import FactoredAWRConfig
from frl_algos.member_rankings import VISITS
from frl_env.actions import ActionSpace


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


def _awr(make: Callable[[Told, ActionSpace], FactoredAWRConfig]) -> Maker:
    """Makes FactoredAWR from its configuration for some columns, with the settings of a run put over it."""
    return lambda space, known, settings: dataclasses.replace(make(known, space), **settings).create()


LINES: dict[str, Maker] = {
    "factored_awr": _awr(lambda known, space: factored_awr(known.states, space, known)),
    "factored_awr_same_contacts": _awr(same_contacts),
    "factored_awr_told_nothing": _awr(lambda known, space: told_nothing()),
}
PUBLISHED: dict[str, Maker] = {
    "seed_awr": _awr(lambda known, space: seed_awr()),
}

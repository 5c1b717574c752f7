"""Lines of the benchmark that are what care programs do already: rankings."""

import dataclasses
from typing import Any

from benchmarks.training.column_roles import Told
from benchmarks.training.makers import Maker, Settings
from frl_algos.member_rankings import VISITS, LoggedVisits, RiskRanking, SpendingRanking, UpliftRanking
from frl_env.actions import ActionSpace
from frl_env.errors import UserError
from frl_env.meaning import SPENDING


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


LINES: dict[str, Maker] = {
    "risk_ranking": _risk,
    "risk_ranking_history": lambda space, known, settings: _risk(space, known, {"history": known.history, **settings}),
    "risk_ranking_team_contacts": _team_contacts,
    "spending_ranking": _spending,
    "uplift": _uplift,
}

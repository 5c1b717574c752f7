"""Settings that would do nothing, which are refused: who sets one expects something of it.

Each rule names settings, what they belong to, and whether that is asked for. A setting counts as set where it differs
from its default.
"""

import dataclasses
from typing import Any

from frl_env.errors import UserError

EFFECTS = ("response", "indications", "need_factor", "skill_factor")
EXPECTILE = ("expectile", "critic_learning_rate", "critic_weight_decay")
FAIRNESS = ("fairness_weight", "fairness_slack", "high_touch")


def check_idle(settings: Any) -> None:
    """Refuses settings that do nothing beside the others.

    Args:
        settings: A `FactoredAWRSettings`, its values checked.

    Raises:
        UserError: If there are any; names them and what they belong to.
    """
    critic, regression = settings.critic, settings.extraction == "regression"
    _refuse(settings, EFFECTS, critic not in ("auto", "effects"), "critic 'auto' or 'effects'", f"critic is {critic!r}")
    _refuse(
        settings,
        EXPECTILE,
        critic not in ("auto", "expectile"),
        "critic 'auto' or 'expectile'",
        f"critic is {critic!r}",
    )
    _refuse(settings, ("temperature",), critic == "none", "a critic", "critic is 'none'")
    _refuse(settings, ("max_weight",), not regression, "extraction 'regression'", "extraction is 'closed_form'")
    _refuse(settings, ("support_threshold",), regression, "extraction 'closed_form'", "extraction is 'regression'")
    _refuse(settings, FAIRNESS, settings.fairness == "none", "fairness 'parity' or 'need'", "fairness is 'none'")
    _refuse(settings, ("rest",), settings.response is None, "a response", "response is None")
    if critic in ("expectile", "planned") and settings.encoder in ("independent", "flat"):
        own = "embeddings of its own" if critic == "expectile" else "no embeddings"
        raise UserError(
            f"encoder {settings.encoder!r} would change the clone only: critic {critic!r} has {own}; "
            "leave encoder out, or set critic to 'effects', whose terms follow it"
        )


def check_rate(action_rate: float | None, null: int | None, space: Any) -> None:
    """Refuses a rate of acting where every action does something.

    Args:
        action_rate: As set.
        null: Position of "do nothing"; None where there is none.
        space: For the message.

    Raises:
        UserError: If so.
    """
    if action_rate is not None and null is None:
        raise UserError(
            f"action_rate {action_rate:g} says how often to do anything, but {space} has no action that does nothing; "
            "leave action_rate out, or name contact_factors in the action space"
        )


def _refuse(settings: Any, names: tuple[str, ...], idle: bool, needed: str, instead: str) -> None:
    if not idle:
        return
    fields = {field.name: field for field in dataclasses.fields(settings)}
    for name in names:
        field = fields[name]
        factory = field.default_factory
        default = field.default if factory is dataclasses.MISSING else factory()
        if getattr(settings, name) != default:
            raise UserError(f"{name} does nothing here: it belongs to {needed}, and {instead}; leave it out")

"""What can go wrong in training while every loss looks fine, said in plain words.

Each rule looks at what was measured and returns a sentence, or None. The thresholds are far from what a healthy run
shows; a warning is a reason to look, not a verdict.
"""

import math
from collections.abc import Collection, Mapping

Measured = Mapping[str, float]

MIN_WEIGHT_SHARE = 0.01
"""Effective sample size of the regression weights, as a share of the batch."""
MIN_WEIGHT_ROWS = 2.0
"""The same in rows: in a small batch one row alone is more than a hundredth."""
MAX_CLIPPED = 0.5
COLLAPSED, MANY = 1.5, 5.0
"""Effective numbers of joint actions: of a collapsed policy, and of a clone that uses many."""
MAX_OUTSIDE = 0.9
"""Share of what the policy does that the data all but never shows, above which this is said."""

ALWAYS, NEVER = 0.99, 0.01
TIMES = 5.0
"""How many times as often the clone must do the other thing, for always or never to be the policy's own doing."""


def degenerate_weights(measured: Measured, rows: int) -> str | None:
    """A handful of rows carries the regression."""
    share = measured.get("weight_ess", math.nan)
    if not share < max(MIN_WEIGHT_SHARE, MIN_WEIGHT_ROWS / rows):
        return None
    return (
        f"the regression rests on {share * rows:.1f} of {rows} rows a batch (weight_ess {share:.3f}); "
        "raise temperature or lower max_weight"
    )


def clipped_weights(measured: Measured, rows: int) -> str | None:
    """Most weights are equal because they are clipped."""
    share = measured.get("weight_clipped", math.nan)
    if not share > MAX_CLIPPED:
        return None
    return f"{share:.0%} of the regression weights are clipped, so they no longer tell actions apart; raise temperature"


def collapsed_policy(measured: Measured, rows: int) -> str | None:
    """Whatever the state, the policy does the same."""
    ours, cloned = (measured.get(f"{who}_effective_joints", math.nan) for who in ("policy", "clone"))
    if not (ours < COLLAPSED and cloned >= MANY):
        return None
    return (
        f"when it acts, the policy does all but one and the same thing in every state (effective number of joint "
        f"actions {ours:.1f}, in the data {cloned:.0f}); raise temperature, or look at what the effects rest on"
    )


def outside_support(measured: Measured, rows: int) -> str | None:
    """The policy does what the data all but never shows."""
    share = measured.get("policy_rare_mass", math.nan) / max(measured.get("policy_action_share", 1.0), 1e-12)
    if not share > MAX_OUTSIDE:
        return None
    return (
        f"{min(share, 1.0):.0%} of what the policy does was all but never done in such states (cloned probability "
        "below 1e-5): its value is a guess; raise temperature or support_threshold"
    )


def saturated_gate(measured: Measured, rows: int) -> str | None:
    """The policy acts nearly always or never, and the behaviour policy does not."""
    ours, cloned = (measured.get(f"{who}_action_share", math.nan) for who in ("policy", "clone"))
    if ours > ALWAYS and 1 - cloned > TIMES * (1 - ours):
        often = "nearly always"
    elif ours < NEVER and cloned > TIMES * ours:
        often = "nearly never"
    else:
        return None
    return f"the policy acts {often} (on {ours:.1%} of steps; in the data {cloned:.1%}); look at action_rate"


RULES = (degenerate_weights, clipped_weights, collapsed_policy, outside_support, saturated_gate)


def troubles(measured: Measured, rows: int, *, wanted: Collection[str] = ()) -> dict[str, str]:
    """A sentence for each kind of trouble found, by the name of its rule.

    Args:
        measured: Metrics of one mini-batch; a rule whose metrics are missing finds nothing.
        rows: Of the mini-batch.
        wanted: Rules of which nothing is said, because a setting asks for what they would find.
    """
    found = ((rule.__name__, rule(measured, rows)) for rule in RULES if rule.__name__ not in wanted)
    return {kind: sentence for kind, sentence in found if sentence is not None}

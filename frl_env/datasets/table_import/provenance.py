"""What a table that `frl weeks` made says of itself: by which rules member-weeks were counted, and what was found."""

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

WEEKS_KEY = b"frl_weeks"
"""Entry of the table's metadata; an import copies it to `frl_import.member_weeks`."""


FOR_LISTS = (
    "the table goes on to less than run_out_days before the newest claim: its last weeks look free of events, because "
    "claims have not arrived; take it for a list (frl worklist), and never train on it"
)
"""Warning of a table that ends too late to learn from."""


def made_by_weeks(schema: pa.Schema) -> dict[str, Any]:
    """Rules and figures of the conversion; nothing if the table is no such."""
    said = (schema.metadata or {}).get(WEEKS_KEY)
    try:
        facts = json.loads(said) if said is not None else {}
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def gaps_are_meant(schema: pa.Schema) -> bool:
    """Whether a missing week is one that was not observed, so that it ends an episode and is no mistake."""
    return made_by_weeks(schema).get("gaps") == "left_out"


def for_lists(facts: Mapping[str, Any]) -> bool:
    """Whether the table is one to make a list of, whose last weeks lack claims; `facts` as of `made_by_weeks`."""
    return FOR_LISTS in facts.get("figures", {}).get("response", {}).get("warnings", ())


def states_know_less(facts: Mapping[str, Any]) -> bool:
    """Whether states count only the claims that had arrived, so that they may hold far fewer events than rewards."""
    return facts.get("spec", {}).get("rules", {}).get("claims", {}).get("known") == "when_received"

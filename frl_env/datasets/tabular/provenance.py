"""What a table that `frl weeks` made says of itself: by which rules member-weeks were counted, and what was found."""

import json
from typing import Any

import pyarrow as pa

WEEKS_KEY = b"frl_weeks"
"""Entry of the table's metadata; an import copies it to `frl_import.member_weeks`."""


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

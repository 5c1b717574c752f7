"""The name of a result that is kept: the same for the same run, another one whenever its numbers could be others."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from benchmarks.record.code_key import code_key


def run_key(*programs: str, alone: tuple[str, ...] = (), **facts: Any) -> str:
    """Hash of everything that a result depends on: 24 hexadecimal digits.

    Args:
        programs: Modules whose code, with all that they import, makes the result; the study's own among them.
        alone: Modules whose imports are not followed; see `benchmarks.record.code_key`.
        facts: All else, JSON-able: checksum of the data, settings, updates, seed, members.

    Raises:
        TypeError: If a fact is no JSON.
    """
    everything: Mapping[str, Any] = {"code": code_key(*programs, alone=alone), "facts": facts}
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:24]

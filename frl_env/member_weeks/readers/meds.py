"""Placeholder replaced below."""
from typing import Any
def read_meds(engine: Any, spec: Any) -> Any:
    raise NotImplementedError

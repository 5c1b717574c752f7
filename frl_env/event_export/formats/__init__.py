"""One format a file: its tables of events, and their part of the spec."""

from types import ModuleType

from frl_env.event_export.formats import flat, meds, omop, synthea, tuva

WRITERS: dict[str, ModuleType] = {"flat": flat, "omop": omop, "synthea": synthea, "meds": meds, "tuva": tuva}
"""Modules with TABLES, the part of the spec, and `write`, which adds one shard to a folder."""

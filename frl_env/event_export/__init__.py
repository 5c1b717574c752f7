"""The simulator's datasets as raw events, as a plan or a researcher would have them: to try `frl weeks` and to test it.

    recipe -> care (the same members, simulated again) -> spans, services, contact log -> one format's tables and
    their spec

Coming back through `frl weeks` the events give the dataset's own member-weeks.
"""

from frl_env.event_export.export import FORMATS, export_events

__all__ = ["FORMATS", "export_events"]

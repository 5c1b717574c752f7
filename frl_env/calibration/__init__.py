"""Does the simulator reproduce what was published? Anchors, measurements, and a report with a verdict on each."""

from frl_env.calibration.anchors import ANCHORS, NOT_TESTED, Anchor
from frl_env.calibration.measure import measure
from frl_env.calibration.report import Verdict, judge, markdown

__all__ = ["ANCHORS", "NOT_TESTED", "Anchor", "Verdict", "judge", "markdown", "measure"]

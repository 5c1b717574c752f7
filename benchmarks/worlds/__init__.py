"""Small worlds of other people's kinds, whose best policy is known: does an algorithm work away from home?

Stored datasets name `benchmarks.worlds:make_environment`.
"""

from benchmarks.worlds.environment import make_environment

__all__ = ["make_environment"]

"""Threads of numpy beside those of torch; see `frl_env.evaluation.threads`."""

from frl_env.evaluation.threads import numpy_alone

__all__ = ["numpy_alone"]

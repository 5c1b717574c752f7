"""ICU-Sepsis as a factored problem: environment, dataset, study. Nothing else imports it.

Stored datasets name `benchmarks.sepsis:make_environment`.
"""

from benchmarks.sepsis.environment import make_environment

__all__ = ["make_environment"]

"""The composition root: the only place where the problem and its solutions meet."""

import frl_env  # isort: skip  # noqa: F401 - first of all, so that Ctrl-C while the rest is imported is one line
from benchmarks.sweep.temporary_folder import watch_over

watch_over()

import frl_algos  # noqa: E402, F401 - imports d3rlpy without the noise of the dead `gym` package, before anyone else does

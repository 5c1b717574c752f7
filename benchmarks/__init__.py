"""The composition root: the only place where the problem and its solutions meet."""

import frl_algos  # noqa: F401 - imports d3rlpy without the noise of the dead `gym` package, before anyone else does

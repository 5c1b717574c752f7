"""What the makers of algorithms share: the form of a maker, and the sizes that are the same for every algorithm."""

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.training.column_roles import Told
from frl_env.actions import ActionSpace

BATCH_SIZE = 512
"""Rows of an update, the same for every algorithm."""

HIDDEN = 128
"""Units of each of the two hidden layers of every network, likewise."""

TARGET_UPDATES = 100
"""Updates after which DQN, both CQLs and BCQ renew their target networks. d3rlpy's own 8,000 is more than a run has."""

Settings = Mapping[str, Any]
Maker = Callable[[ActionSpace, Told, Settings], Any]

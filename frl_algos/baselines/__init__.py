"""Factored baselines that d3rlpy does not have, each as its paper has it, on valid joint actions.

    factored_iql         implicit Q-learning; the policy's factors are independent given the state
    autoregressive_iql   the same critic; each factor of the policy sees those before it
    decoupled_cql        conservative Q-learning; the value is a sum over factors

They are d3rlpy algorithms: importing this package registers them.
"""

from frl_algos.baselines.autoregressive_iql import AutoregressiveIQLConfig
from frl_algos.baselines.decoupled_cql import DecoupledCQLConfig
from frl_algos.baselines.factored_iql import FactoredIQLConfig

__all__ = ["AutoregressiveIQLConfig", "DecoupledCQLConfig", "FactoredIQLConfig"]

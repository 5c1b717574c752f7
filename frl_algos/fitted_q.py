"""Fitted Q evaluation of a stochastic policy over factored actions, in closed form.

    Q(t, s, a) = psi(t, s, a) . theta,        V(t, s) = sum_a pi(a | s) Q(t, s, a)

psi holds smooth features of the observation (`frl_env.evaluation.state_features`) and the time left, which shrink to
nothing at the horizon, and the terms of the action (`frl_algos.terms`): overall, levels, indications met, the state for
any action. So all 1,080 joint actions are valued through the mean of some thirty terms under pi. The horizon is the end
of follow-up; an episode that ends before it has ended for good, and nothing follows.

theta solves the fitted equations of Q(lambda) with off-policy corrections (Harutyunyan et al., 2016),

    sum_t e_t (r_t + g V(t+1, s_t+1) - Q(t, s_t, a_t)) = penalty * theta,      e_t = psi_t + g lambda e_t-1.

lambda 0 is the fixed point of fitted Q iteration with these features; it knows only what an action changes in the next
observation. With lambda 1 every later reward counts, without importance weights: what an action changes that no
observation shows, as here, is seen as well. Values of a fold of members are fitted on the members of the others.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int64

from frl_algos.histories import as_episodes
from frl_algos.nested import plain_terms
from frl_algos.replay import FactoredReplayBuffer
from frl_algos.terms import Terms
from frl_env.errors import check_number
from frl_env.evaluation import ActionValues, Estimate, LoggedEpisodes, split_members, state_features

Probabilities = Callable[[np.ndarray], np.ndarray]
"""Observations `(n, k)` float32 in raw units to probabilities of all joint actions, `(n, n_joint)`."""

CHUNK = 4_096
"""Decisions scored at once."""

LAMBDA = 1.0

STATE_PENALTY, ACTION_PENALTY = 10.0, 1_000.0
"""In rows of a feature of variance 1: what an action changes is far less than what the state does."""

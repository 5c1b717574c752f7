"""Away from home, FactoredAWR with its defaults does not collapse: never far below the clone, in any random world."""

import d3rlpy
import pytest
from d3rlpy.logging import NoopAdapterFactory
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from random_worlds import RandomWorld

from frl_algos import FactoredAWRConfig

QUIET = {"show_progress": False, "logger_adapter": NoopAdapterFactory()}


def _fitted(buffer, steps, **chosen):
    d3rlpy.seed(0)
    buffer.reseed(buffer.seed)
    algorithm = FactoredAWRConfig(hidden_size=64, batch_size=256, learning_rate=3e-3, **chosen).create()
    algorithm.fit(buffer, n_steps=steps, n_steps_per_epoch=steps, **QUIET)
    return algorithm


def _shortfall(world, rows, steps=400, draw=0):
    """How far the default stays below the clone, as a share of the range from random to best."""
    buffer = world.buffer(rows, seed=world.seed + draw)
    ours, clone = (_fitted(buffer, steps, **chosen) for chosen in ({}, {"critic": "none"}))
    values = [world.value(each.predict_probabilities) for each in (ours, clone)]
    return (values[1] - values[0]) / world.span(), ours


@st.composite
def worlds(draw):
    factors = draw(st.integers(2, 3))
    return RandomWorld(
        seed=draw(st.integers(0, 10_000)),
        nvec=tuple(draw(st.integers(2, 5)) for _ in range(factors)),
        horizon=draw(st.sampled_from([1, 1, 3, 6])),
        size=draw(st.integers(1, 5)),
        noise=draw(st.sampled_from([0.3, 1.0, 3.0, 10.0])),
        sharpness=draw(st.sampled_from([0.0, 0.5, 1.5])),
    )


NOISY = RandomWorld(seed=2, nvec=(4, 4), horizon=3, size=5, noise=10.0, sharpness=0.5)
"""Ten times as much noise as the actions make a difference: no candidate's gain is shown."""


# A failing world is told as it is: to make it smaller would train for hours.
@pytest.mark.slow
@pytest.mark.timeout(3_600)
@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
    report_multiple_bugs=False,
)
@example(NOISY, 20_000)
@given(worlds(), st.sampled_from([2_000, 5_000, 20_000]))
def test_in_random_worlds_the_default_is_never_far_below_the_clone(one_thread, world, rows):
    shortfall, algorithm = _shortfall(world, rows)
    if shortfall < 0.1:
        return
    # In one of forty datasets without effects a gain is shown by chance. Where the default collapses, it does so again.
    others = [_shortfall(world, rows, draw=draw)[0] for draw in (100_000, 200_000)]
    assert max(others) < 0.1, (world, rows, shortfall, others, str(algorithm.choice))

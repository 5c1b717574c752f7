"""Estimates don't depend on how many rows are held at once, and memory grows by a few numbers a row only."""

import tracemalloc

import numpy as np
import pytest
import torch
from d3rlpy.preprocessing import StandardObservationScaler

from frl_algos import FactoredAWRConfig, FactoredReplayBuffer
from frl_algos.action_effects import regression_rows, regression_sums
from frl_algos.action_effects.estimate import EffectRegression
from frl_algos.action_effects.targets import compute_targets
from frl_algos.action_effects.terms import Terms
from frl_algos.logged_data import member_parts, scaled_rows
from frl_algos.logged_data.scaled_rows import ScaledRows, mean_and_spread, numbers_of
from frl_algos.member_model import cross_fitted_forecast, estimating
from frl_env.actions import ActionSpace, Factor

WEEKS, SEEN = 20, 4
SPACE = ActionSpace(
    factors=(
        Factor(name="modality", levels=("NONE", "CALL", "VISIT")),
        Factor(name="goal", levels=("NONE", "FOOD", "SLEEP")),
    ),
    contact_factors=("modality", "goal"),
)
SLOPE = 80
"""Bytes a row, at most: returns, what is predicted of them, a temporary copy of each, and the numbers of rows."""


def _buffer(members: int) -> FactoredReplayBuffer:
    rng = np.random.default_rng(0)
    rows = members * WEEKS
    seen = rng.gamma(1.0, size=(rows + 1, SEEN)).astype(np.float32)
    acts = rng.random(rows) < 0.4
    actions = np.where(acts[:, None], rng.integers(1, 3, size=(rows, 2)), 0)
    seen[1:, 0] = (rng.random(rows) < 0.5) & acts
    return FactoredReplayBuffer(
        observations=seen[:-1], actions=actions, rewards=-(rng.random(rows) < 0.2).astype(np.float32),
        next_observations=seen[1:], lengths=np.full(members, WEEKS), terminated=np.zeros(members, dtype=bool),
        action_space=SPACE,
    )  # fmt: skip


def _few_rows(monkeypatch) -> None:
    monkeypatch.setattr(scaled_rows, "ROWS_AT_ONCE", 700)
    monkeypatch.setattr(regression_sums, "ROWS_AT_ONCE", 700)
    for module in (regression_rows, regression_sums):
        monkeypatch.setattr(module, "CHUNK", 500)
    monkeypatch.setattr(regression_sums, "CHUNK_NUMBERS", 6_000)
    monkeypatch.setattr(member_parts, "VALUES", 20_000)
    monkeypatch.setattr(estimating, "PART", 37)
    monkeypatch.setattr(cross_fitted_forecast, "MOST_ROWS", 300)


@pytest.mark.long
@pytest.mark.parametrize("response", [0, None])
def test_estimates_in_parts_are_those_at_once(monkeypatch, response):
    found = []
    for few in (False, True):
        if few:
            _few_rows(monkeypatch)
        torch.manual_seed(0)
        algorithm = FactoredAWRConfig(response=response, need_factor="goal").create()
        algorithm.build_with_dataset(_buffer(400))
        modules = algorithm.impl.modules
        found.append((modules.critic.state_dict(), modules.statistics.state_dict(), algorithm.choice))
    for whole, parts in zip(found[0][:2], found[1][:2], strict=True):
        for name, value in whole.items():
            np.testing.assert_allclose(parts[name], value, rtol=1e-4, atol=1e-6, err_msg=name)
    assert found[0][2].label == found[1][2].label


@pytest.mark.parametrize("respond", [True, False])
def test_memory_grows_by_a_few_numbers_a_row(monkeypatch, respond):
    _few_rows(monkeypatch)
    buffers = [_buffer(members) for members in (2_000, 4_000)]
    terms = Terms.of_space(SPACE, SEEN, states="pairs")

    def peak(buffer: FactoredReplayBuffer) -> int:
        scaler = StandardObservationScaler(mean=np.full(SEEN, 0.5), std=np.ones(SEEN))
        scaled = ScaledRows(buffer.observations, scaler.transform_numpy)
        tracemalloc.start()
        targets = compute_targets(buffer, scaled, decay=0.9, response=0)
        EffectRegression(terms, targets, scaled, respond=respond, seed=0)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(buffers[0])
    small, large = map(peak, buffers)
    assert large - small < SLOPE * 2_000 * WEEKS


def test_sums_over_parts_are_those_of_all_rows(monkeypatch):
    rows = np.random.default_rng(0).normal(3.0, 2.0, size=(2_000, 3)).astype(np.float32)
    monkeypatch.setattr(scaled_rows, "ROWS_AT_ONCE", 123)
    mean, spread = mean_and_spread(len(rows), rows.__getitem__, np.float64)
    np.testing.assert_allclose(mean, rows.mean(axis=0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(spread, rows.std(axis=0, dtype=np.float64), rtol=1e-12)
    assert np.array_equal(numbers_of(rows[:, 0] > 3), np.flatnonzero(rows[:, 0] > 3))
    twice = ScaledRows(rows, lambda some: 2.0 * some)
    assert np.array_equal(np.asarray(twice), 2 * rows)
    assert np.array_equal(twice[np.asarray([5, 7])], 2 * rows[[5, 7]])

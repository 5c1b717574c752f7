"""Sums by action are those of the columns themselves, whatever they are crossed with."""

import numpy as np
import pytest

from frl_algos import FactoredReplayBuffer
from frl_algos.action_effects import regression_sums
from frl_algos.action_effects.estimate import EffectRegression
from frl_algos.action_effects.moments import ProductColumns
from frl_algos.action_effects.targets import compute_targets
from frl_algos.action_effects.terms import Terms
from frl_env.actions import ActionSpace, Factor

PLAIN = ActionSpace.from_nvec((3, 2))
NULL = ActionSpace(
    factors=tuple(
        Factor(name=f"f{i}", levels=tuple(f"L{level}" for level in range(n))) for i, n in enumerate((3, 4, 2))
    ),
    contact_factors=("f0", "f1"),
)


def _buffer(space, rows=1_200):
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(rows + 1, 4)).astype(np.float32)
    return FactoredReplayBuffer(
        observations=seen[:-1],
        actions=space.unravel(space.valid_joints[rng.integers(len(space.valid_joints), size=rows)]),
        rewards=-(rng.random(rows) < 0.2).astype(np.float32),
        next_observations=seen[1:],
        lengths=np.full(rows // 6, 6),
        terminated=np.ones(rows // 6, bool),
        action_space=space,
    )


@pytest.mark.parametrize("states", ["none", "levels", "pairs"])
@pytest.mark.parametrize("space", [PLAIN, NULL], ids=["plain", "null"])
def test_sums_by_action_are_those_of_the_columns(monkeypatch, space, states):
    buffer = _buffer(space)
    targets = compute_targets(buffer, buffer.observations, decay=0.9, response=None)
    terms = Terms.of_space(space, 4, states=states)
    assert terms.states == states
    by_action = EffectRegression(terms, targets, buffer.observations, respond=False, seed=0)
    monkeypatch.setattr(ProductColumns, "fits", lambda columns, known: False)
    monkeypatch.setattr(regression_sums, "CHUNK", 500)
    by_column = EffectRegression(terms, targets, buffer.observations, respond=False, seed=0)
    assert by_action._noise == pytest.approx(by_column._noise, rel=1e-5)
    for mine, theirs in zip(by_action._halves, by_column._halves, strict=True):
        for one, other in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(other).max())


def test_indications_have_no_such_sums():
    space = ActionSpace(factors=(Factor(name="goal", levels=("NONE", "FOOD")), Factor(name="who", levels=("A", "B"))))
    assert ProductColumns.of_terms(Terms.of_space(space, 4, indications={"FOOD": 2}), 4) is None

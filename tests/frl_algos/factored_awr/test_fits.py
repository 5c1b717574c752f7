"""Candidates of the contest: made once, and the mean of planned and expectile values."""

import numpy as np
import torch

from frl_algos import FactoredAWRConfig, FactoredReplayBuffer
from frl_algos.action_effects.planning import plan
from frl_algos.action_effects.suitability import Suitability
from frl_algos.factored_awr.critic_selection.fits import Fits
from frl_algos.factored_awr.preparing import suited_to
from frl_env.actions import ActionSpace

CRITICS = ("effects", "expectile", "planned", "averaged", "none")


def _walks(people=200, seed=0):
    """Three places, two steps each, logged at random."""
    rng = np.random.default_rng(seed)
    places = rng.integers(3, size=(people, 3))
    seen = np.eye(3, dtype=np.float32)
    return FactoredReplayBuffer(
        observations=seen[places[:, :2].ravel()],
        actions=rng.integers(2, size=(2 * people, 2)),
        rewards=rng.normal(size=2 * people).astype(np.float32),
        next_observations=seen[places[:, 1:].ravel()],
        lengths=np.full(people, 2),
        terminated=np.ones(people, bool),
        action_space=ActionSpace.from_nvec((2, 2)),
    )


def _fits(critics=CRITICS):
    buffer, settings = _walks(), FactoredAWRConfig(gamma=0.9)
    suited: Suitability = suited_to(buffer, settings)
    fits = Fits(buffer, buffer.observations, buffer.next_observations, settings, suited, critics)
    assert fits.steps is not None
    fits.ask(fits.steps.states.states, slice(None))
    return fits


def test_the_mean_is_that_of_planned_values_without_caution_and_expectile_values():
    fits = _fits()
    careful, mean = fits.planned()
    bold = plan(fits.steps, fits.targets.halves, caution=0.0)
    for half in (0, 1):
        both = (torch.as_tensor(bold.halves[half]) + fits.expectile().halves[half]) / 2
        torch.testing.assert_close(mean.halves[half], both)
    assert not np.allclose(careful.planned.advantages, bold.advantages)


def test_the_mean_from_all_people_is_a_table_of_all_states():
    fits = _fits()
    _, mean = fits.planned()
    effects, planned = fits.from_all(mean)
    assert effects is None
    assert planned.advantages.shape == (3, 4)
    for half in (0, 1):
        torch.testing.assert_close(torch.as_tensor(planned.halves[half]), mean.halves[half])
    assert not any(np.allclose(planned.advantages, half) for half in planned.halves)


def test_the_mean_takes_part_only_where_it_is_wanted():
    assert [candidate.label for candidate in _fits(("planned",)).planned()] == ["planned values"]


def test_no_candidate_is_estimated_twice():
    fits = _fits()
    assert fits.planned() is fits.planned()
    assert fits.expectile() is fits.expectile()
    assert fits.by_terms(1.0) is fits.by_terms(1.0)
    assert fits.with_terms(0.0, "levels") is fits.with_terms(0.0, "levels")

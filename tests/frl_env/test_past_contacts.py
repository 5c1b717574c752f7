"""The program's own past contacts as observations, and that nothing else changes by them."""

import gymnasium
import numpy as np
import pytest

from frl_env import MEDICAID_ACTIONS, UserError, World
from frl_env.datasets import RECIPES, collect
from frl_env.references import UniformRandom
from frl_env.simulator.state import PAST_CONTACT_NAMES, observation_names


def episodes(world: World, policy=None):
    return collect(world.parameters, members=80, seed=3, horizon=20, policy=policy)


def test_they_are_what_was_attempted():
    seen = episodes(World(past_contacts=True), UniformRandom())
    attempted = seen.information["attempted"][:, 1:, 0]
    modality = np.where(attempted, seen.actions[:, :, 0], 0)
    groups = ((3, 4), (1,), (2, 5))  # video and home; phone; text and EHR message
    for member in range(80):
        for week in range(int(seen.lengths[member]) + 1):
            past = modality[member, :week][::-1]
            told = seen.observations[member, week, 7:]
            for number, group in enumerate(groups):
                weeks = np.flatnonzero(np.isin(past, group))
                assert told[number] == (weeks[0] + 1 if len(weeks) else 99) or not seen.mask[member, week - 1]
            assert told[3] == (past[:8] > 0).sum() or not seen.mask[member, week - 1]


@pytest.mark.parametrize("screening", [None, 1.0])
def test_nothing_else_changes(screening):
    plain, more = episodes(World(screening=screening)), episodes(World(screening=screening, past_contacts=True))
    width = plain.observations.shape[2]
    assert more.observations.shape[2] == width + 4
    assert np.array_equal(more.observations[:, :, :width], plain.observations)
    assert np.array_equal(more.actions, plain.actions)
    assert observation_names(screening=bool(screening), past_contacts=True)[-4:] == PAST_CONTACT_NAMES


def test_one_member_and_many_agree():
    one = gymnasium.make("frl_env:frl/MedicaidCareContacts-v0")
    many = gymnasium.make_vec("frl_env:frl/MedicaidCareContacts-v0", num_envs=1)
    first, _ = one.reset(seed=4)
    batch, _ = many.reset(seed=4)
    assert np.array_equal(first, batch[0])
    call = MEDICAID_ACTIONS.encode(("PHONE_CALL", "CHW", "CARE", "ROUTINE"))
    for _ in range(5):
        first = one.step(call)[0]
        batch = many.step(call[None])[0]
        assert np.array_equal(first, batch[0])
        assert one.observation_space.contains(first)
    assert first[7:].tolist() == [99, 1, 99, 5]


def test_earlier_datasets_keep_their_recipe():
    """A build of before stays current: the dial that it did not have is no part of its fingerprint."""
    world = RECIPES["frl/medicaid-synthetic-v0"].fingerprint()["world"]
    assert set(world) == {"effects", "strength", "insight", "exploration", "goal_insight", "screening"}
    contacts = RECIPES["frl/medicaid-synthetic-contacts-v0"]
    assert contacts.fingerprint()["world"]["past_contacts"] is True
    assert contacts.env_spec().id == "frl_env:frl/MedicaidCareContacts-v0"
    assert contacts.seed == RECIPES["frl/medicaid-synthetic-v0"].seed
    with pytest.raises(UserError, match="true or false"):
        World(past_contacts=0.5)

"""Numbers from arrays: NumPy's do wherever Python's do, and what is kept of them can be written as JSON."""

import json

import numpy as np
import pytest

from frl_env import World
from frl_env.capacity import Capacity
from frl_env.datasets.recipes import Recipe
from frl_env.env import MedicaidCareEnv
from frl_env.errors import UserError, check_number, check_whole
from frl_env.evaluation import Thresholds
from frl_env.vector import MedicaidCareVectorEnv


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int8, np.uint64, int, float])
def test_a_number_is_a_number_whatever_its_precision(kind):
    check_number("share", kind(1), low=0, high=1)
    with pytest.raises(UserError, match=r"share must be a number in 0..1"):
        check_number("share", kind(2), low=0, high=1)


@pytest.mark.parametrize("kind", [np.int16, np.int64, np.uint8, int])
def test_a_whole_number_is_one_whatever_its_size(kind):
    check_whole("members", kind(3), low=1, high=9)
    with pytest.raises(UserError, match=r"members must be a whole number in 1..9"):
        check_whole("members", kind(10), low=1, high=9)


@pytest.mark.parametrize("bad", [True, np.True_, np.float32("nan"), np.nan, None, "1", 1j, np.ones(1)])
def test_what_is_no_number_is_refused(bad):
    with pytest.raises(UserError, match="must be a number"):
        check_number("share", bad, low=0, high=1)


@pytest.mark.parametrize("bad", [np.float32(3), 3.0, np.True_, np.ones(1, dtype=int)])
def test_what_is_no_whole_number_is_refused(bad):
    with pytest.raises(UserError, match="must be a whole number"):
        check_whole("members", bad, low=0, high=9)


def test_what_settings_keep_of_numpy_numbers_is_json():
    capacity = Capacity(
        minutes=np.float32(2.5),
        caseload=np.int64(40),
        weekly_contacts={"modality": {"HOME_VISIT": np.int32(3)}},
        least_chance={"site": {"A": np.float32(0.25)}},
    )
    assert json.loads(json.dumps(capacity.to_json()))["least_chance"] == {"site": {"A": 0.25}}
    assert capacity.to_json()["minutes"] == 2.5
    assert type(Thresholds(week_share=np.float32(0.5)).week_share) is float
    world = World(strength=np.float32(0.5))
    assert world == World(strength=0.5)
    json.dumps(world.dials())
    recipe = Recipe(dataset_id="me/one-v0", description="", members=np.int64(5), seed=np.int64(1), horizon=np.int64(4))
    json.dumps([recipe.members, recipe.seed, recipe.horizon])
    assert type(MedicaidCareEnv(horizon=np.int64(4)).horizon) is int
    assert type(MedicaidCareVectorEnv(num_envs=np.int64(4)).num_envs) is int

"""Model files leave the house: no number in one is what only a few people have, or pass."""

import d3rlpy
import numpy as np
import pytest
from safetensors.numpy import load_file

from frl_algos import FactoredAWRConfig, FactoredReplayBuffer, save_model
from frl_algos.logged_data.scaled_rows import shared_range
from frl_algos.model_files.export import ExportedPolicy
from frl_algos.model_files.export_gains import ExportedGains
from frl_env.actions import ActionSpace, Factor
from frl_env.capacity.effort import Effort

SPACE = ActionSpace(
    factors=(
        Factor(name="channel", levels=("NONE", "TEXT", "VISIT"), null="NONE"),
        Factor(name="topic", levels=("NONE", "FOOD", "PILLS"), null="NONE"),
    ),
    contact_factors=("channel", "topic"),
)
MEMBERS, WEEKS = 60, 12


def _buffer() -> FactoredReplayBuffer:
    """Observed are whether contacts were answered, last week's events, and two measurements of which no two agree."""
    rng = np.random.default_rng(0)
    shape = (MEMBERS, WEEKS + 1)
    observations = np.stack(
        [rng.random(shape) < 0.3, rng.poisson(0.5, shape), rng.lognormal(3, 2, shape), rng.lognormal(3, 2, shape)],
        axis=2,
    ).astype(np.float32)
    actions = rng.integers(1, 3, (MEMBERS, WEEKS, 2)) * (rng.random((MEMBERS, WEEKS, 1)) < 0.5)
    buffer = FactoredReplayBuffer(
        observations=observations[:, :-1].reshape(-1, 4),
        actions=actions.reshape(-1, 2),
        rewards=-observations[:, 1:, 1].reshape(-1),
        next_observations=observations[:, 1:].reshape(-1, 4),
        lengths=np.full(MEMBERS, WEEKS),
        terminated=np.zeros(MEMBERS, dtype=bool),
        action_space=SPACE,
    )
    buffer.effort = Effort.of_levels(SPACE, {"channel": {"TEXT": 2, "VISIT": 60}})
    return buffer


def _numbers(algorithm, file) -> dict[str, np.ndarray]:
    """All numbers of a model file, and of what is exported to others, by name."""
    save_model(algorithm, file)
    found = {f"model {name}": array for name, array in load_file(file).items()}
    for kind, exported in (("policy", ExportedPolicy), ("gains", ExportedGains)):
        found |= {f"{kind} {name}": tensor.numpy() for name, tensor in exported(algorithm).state_dict().items()}
    return found


@pytest.mark.parametrize("indications", [{}, {"FOOD": 3}])
def test_no_extreme_of_a_few_people_is_in_a_model_file(indications, tmp_path) -> None:
    buffer = _buffer()
    d3rlpy.seed(0)
    algorithm = FactoredAWRConfig(response=0, critic="effects", need_factor="topic", indications=indications).create()
    algorithm.fit(buffer, n_steps=2, show_progress=False, logger_adapter=d3rlpy.logging.NoopAdapterFactory())
    assert algorithm.offers_gains
    numbers = _numbers(algorithm, tmp_path / "model.safetensors")
    if indications:
        assert numbers["gains model.high"][3] > 1, "the range of what indicates is kept"
    for values in (buffer.observations, algorithm._scaled(buffer.observations)):
        for column in values.T[2:]:
            by_person = column.reshape(MEMBERS, WEEKS)
            few = column[
                [
                    (by_person.min(axis=1) <= own).sum() < 11 or (by_person.max(axis=1) >= own).sum() < 11
                    for own in column
                ]
            ]
            few = few[np.abs(few) > 0.7]  # above all weights of a network, of which one may be the same by chance
            assert len(few) >= 10
            for name, array in numbers.items():
                held = np.isin(array.astype(np.float32), few).any()
                assert not held, f"{name} holds a number that fewer than 11 people have or pass"


def test_numbers_of_contacts_tell_of_no_few_people(tmp_path) -> None:
    buffer = _buffer()
    rows = np.arange(len(buffer.actions))
    null, text, visit, other = (int(SPACE.ravel(np.asarray(each))) for each in ([0, 0], [1, 1], [2, 1], [2, 2]))
    buffer.actions[:] = np.where(rows % 3 == 0, text, null)
    buffer.actions[rows < 10 * WEEKS] = visit  # of ten people
    buffer.actions[rows >= 59 * WEEKS] = null
    buffer.next_observations[:, 0] = True
    found = {}
    for simulated in (False, True):
        buffer.simulated = simulated
        algorithm = FactoredAWRConfig(response=0, critic="effects", need_factor="topic").create()
        algorithm.fit(buffer, n_steps=2, show_progress=False, logger_adapter=d3rlpy.logging.NoopAdapterFactory())
        similar = _numbers(algorithm, tmp_path / "model.safetensors")["model gains.similar"]
        found[simulated] = [int(similar[np.searchsorted(SPACE.valid_joints, joint)]) for joint in (text, visit, other)]
    assert found[True] == [49 * WEEKS // 3, 10 * WEEKS, 0]
    assert found[False] == [200, 1, 0]


def test_what_eleven_people_have_or_pass_is_the_range() -> None:
    people = np.repeat(np.arange(30), 2)
    values = np.stack([people * (1 - np.arange(60) % 2), np.arange(60) % 2, people], axis=1).astype(np.float32)
    low, high = shared_range(values, people, np.array([True, True, False]))
    assert low.tolist() == [0, 0, 0]
    assert high.tolist() == [19, 1, 1]  # 19 to 29 are eleven people; the last column is not wanted
    low, high = shared_range(values[40:], people[40:] - 20, np.ones(3, dtype=bool))
    assert (low.tolist(), high.tolist()) == ([0, 0, 0], [1, 1, 1])  # ten people

"""What FactoredAWR makes of the model of a member, under a budget and when it is asked."""

import d3rlpy
import numpy as np
import pytest
from gains_program import MEMBERS, SPACE, WEEKS, fitted, fold, program

from frl_algos import FactoredAWRConfig, FactoredReplayBuffer, load_model, save_model
from frl_algos.member_model.memory import NEED_FADING
from frl_algos.policies.policy import has_gains
from frl_env.capacity.capacity import Capacity
from frl_env.errors import UserError


def test_history_and_memory_say_the_same(algorithm, buffer: FactoredReplayBuffer) -> None:  # type: ignore[no-untyped-def]
    memory, now = fold(algorithm, buffer, 5)
    past = buffer.observations.reshape(MEMBERS, WEEKS, 2)[:, :5]
    joints = buffer.actions.reshape(MEMBERS, WEEKS)[:, :5]
    first = algorithm.predict_gains(now, memory=memory).gains
    assert np.array_equal(first, algorithm.predict_gains(now, history=(past, joints)).gains)
    assert np.array_equal(first, algorithm.gains(now, memory))
    with pytest.raises(UserError, match="instead of a memory"):
        algorithm.predict_gains(now, history=(past, joints[:, :4]))


def test_members_rest_after_an_attempt(algorithm) -> None:  # type: ignore[no-untyped-def]
    space = algorithm.action_space
    visit = int(space.ravel(np.asarray([2, 1])))
    now = np.zeros((1, 2), dtype=np.float32)
    memory = algorithm.remember(algorithm.start_memory(1), now, np.asarray([visit]))
    resting = []
    for _ in range(algorithm.config.rest + 1):
        gains = algorithm.gains(now, memory)[0]
        resting.append(bool(np.isneginf(gains[1:]).all()))
        assert gains[0] == 0
        memory = algorithm.remember(memory, now, np.asarray([0]))
    assert resting == [True] * algorithm.config.rest + [False]
    with pytest.raises(UserError, match="1 of 1 actions are not valid"):
        algorithm.remember(memory, now, np.asarray([1]))


def test_a_need_that_was_met_gives_way_to_another(algorithm) -> None:  # type: ignore[no-untyped-def]
    """Every answered contact about it halves what is left, which comes back slowly; one without an answer does not."""
    told = fitted(program(), need_factor="topic", rest=0)
    quiet, answered = np.zeros((1, 2), dtype=np.float32), np.ones((1, 2), dtype=np.float32) * [[1.0, 0.0]]
    visit, other = (int(SPACE.ravel(np.asarray(levels))) for levels in ([2, 1], [2, 2]))
    columns = np.searchsorted(SPACE.valid_joints, [visit, other])

    def odds(memory, now):  # type: ignore[no-untyped-def]
        gains = told.gains(now.astype(np.float32), memory)[0, columns]
        return gains[0] / gains[1]

    start = odds(told.start_memory(1), quiet)
    memory = told.remember(told.start_memory(1), quiet, np.asarray([visit]))
    assert odds(memory, quiet) == pytest.approx(start, rel=1e-4)
    assert odds(memory, answered) == pytest.approx(0.5 * start, rel=1e-4)
    memory = told.remember(memory, answered.astype(np.float32), np.asarray([visit]))
    assert odds(memory, answered) == pytest.approx(0.5 ** (1 + NEED_FADING) * start, rel=1e-4)
    memory = told.remember(memory, answered.astype(np.float32), np.asarray([0]))
    for _ in range(200):
        memory = told.remember(memory, quiet, np.asarray([0]))
    assert odds(memory, quiet) == pytest.approx(start, rel=0.02)


def test_a_budget_is_kept_and_goes_to_those_who_need_it(algorithm, buffer: FactoredReplayBuffer) -> None:  # type: ignore[no-untyped-def]
    memory, now = fold(algorithm, buffer, 20)
    caseload = algorithm.budget(3.0).start(MEMBERS)
    caseload.memory = memory
    decided = caseload.decide(now, np.random.default_rng(0))
    assert decided.minutes <= 3.0 * MEMBERS
    assert decided.minutes > 0.95 * 3.0 * MEMBERS
    chosen = decided.joints != 0
    expected = algorithm.predict_gains(now, memory=memory).expected_events
    assert expected[chosen].mean() > 2 * expected.mean()
    again = caseload.decide(now, np.random.default_rng(0))
    assert not (chosen & (again.joints != 0)).any()  # they rest


def test_named_contacts_are_made_in_turn_and_no_others(algorithm, buffer: FactoredReplayBuffer, tmp_path) -> None:  # type: ignore[no-untyped-def]
    names = [factor.name for factor in SPACE]
    levels = [dict(zip(names, SPACE.decode(np.asarray(each)), strict=True)) for each in ([2, 1], [2, 2])]
    joints = SPACE.ravel(np.asarray([[2, 1], [2, 2]]))
    told = fitted(buffer, contacts=levels, rest=0)
    memory, now = fold(algorithm, buffer, 20)
    attempts = (buffer.actions.reshape(MEMBERS, WEEKS)[:, :20] != 0).sum(axis=1)
    gains = told.gains(now, memory)
    turn = np.searchsorted(SPACE.valid_joints, joints)[attempts % 2]
    open_to = np.isfinite(gains)
    assert open_to[:, 0].all()
    assert np.array_equal(open_to[:, 1:].argmax(axis=1) + 1, turn)
    assert (open_to.sum(axis=1) == 2).all()
    parts = told.predict_gains(now, memory=memory)
    assert np.ptp(parts.share) < 1e-6, "they are taken to do equally much"
    caseload = told.budget(3.0).start(MEMBERS)
    caseload.memory = memory
    done = caseload.decide(now, np.random.default_rng(0)).joints
    assert set(np.unique(done)) == {0, *joints.tolist()}
    save_model(told, tmp_path / "model.safetensors")
    assert np.array_equal(load_model(tmp_path / "model.safetensors").gains(now, memory), gains)
    with pytest.raises(UserError, match="contacts: level of factor"):
        fitted(buffer, contacts=[{SPACE.factors[0].name: "nowhere"}])
    with pytest.raises(UserError, match="need a response"):
        FactoredAWRConfig(contacts=levels)
    with pytest.raises(UserError, match="contacts is empty"):
        FactoredAWRConfig(response=0, contacts=[])


def test_model_files_keep_the_gains(algorithm, buffer: FactoredReplayBuffer, tmp_path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "model.safetensors"
    save_model(algorithm, file)
    memory, now = fold(algorithm, buffer, 3)
    assert np.array_equal(load_model(file).gains(now, memory), algorithm.gains(now, memory))


@pytest.mark.long
def test_without_minutes_or_response_there_are_no_gains(algorithm, buffer: FactoredReplayBuffer) -> None:  # type: ignore[no-untyped-def]
    untold = FactoredAWRConfig(td_lambda=0.8).create()
    untold.fit(buffer, n_steps=1, show_progress=False, logger_adapter=d3rlpy.logging.NoopAdapterFactory())
    assert not untold.offers_gains
    with pytest.raises(UserError, match="offers no gains"):
        untold.gains(buffer.observations[:1])
    assert not has_gains(untold)
    assert has_gains(algorithm)
    with pytest.raises(UserError):
        algorithm.budget(-1.0)
    assert algorithm.budget(Capacity(minutes=1.0)).capacity.minutes == 1.0


def test_a_caseload_of_another_size_is_refused_and_started_anew(algorithm, buffer: FactoredReplayBuffer) -> None:  # type: ignore[no-untyped-def]
    now, rng = buffer.observations[:20], np.random.default_rng(0)
    policy = algorithm.budget(3.0)
    with pytest.raises(UserError, match="observations must"):
        policy.decide(now[:5, :1], rng)
    policy.decide(now, rng)
    before = policy.memory
    with pytest.raises(UserError, match=r"19 members are to be decided about, and 20 are remembered.*start\(members\)"):
        policy.decide(now[:19], rng)
    assert policy.memory is before
    assert len(policy.start(19).decide(now[:19], rng).joints) == 19
    assert len(policy.decide(now, rng).joints) == 20


def test_what_gains_can_not_be_asked_is_said(algorithm, buffer: FactoredReplayBuffer) -> None:  # type: ignore[no-untyped-def]
    now = buffer.observations[:6]
    kept, idle = algorithm.start_memory(6), np.zeros(6, dtype=np.int64)
    gone = kept.copy()
    gone[2] = np.nan
    past, done = np.zeros((6, 3, 2)), np.zeros((6, 3), dtype=np.int64)
    assert algorithm.predict_gains(now, history=(past, done)).gains.shape == (6, 5)
    for ask, words in (
        (lambda: algorithm.start_memory(-1), "members must be a whole number from 0, not -1"),
        (lambda: algorithm.start_memory(2.5), "members must be a whole number"),
        (lambda: algorithm.gains(now, kept[:4]), "memories have shape"),
        (lambda: algorithm.gains(now, kept[:, :4]), "memories are float32 of shape"),
        (lambda: algorithm.gains(now, gone), "1 of 6 memories hold NaN"),
        (lambda: algorithm.predict_gains(now, memory=kept[:, 0]), "memories are"),
        (lambda: algorithm.remember(kept, now, idle[:4]), "joint index for each of 6 members"),
        (lambda: algorithm.remember(kept, now, np.zeros((6, 2), dtype=np.int64)), "action_space.ravel makes them"),
        (lambda: algorithm.remember(kept, now, idle + 0.5), "joint index for each"),
        (lambda: algorithm.remember(kept[:3], now, idle), "memories have shape"),
        (lambda: algorithm.gains([[1.0, 2.0], [1.0]]), "observations must be numbers"),
        (
            lambda: algorithm.predict_gains(now, history=([[[1.0, 2.0]], [[1.0, 2.0], [0.0, 0.0]]], done)),
            "a history is",
        ),
        (lambda: algorithm.predict_gains(now, history=3), "a history is"),
        (lambda: algorithm.predict_gains(now, history=(past, done[:, :2])), "a history is"),
        (lambda: algorithm.budget("team"), "capacity must be a number of staff minutes"),
        (lambda: algorithm.budget(None), "capacity must be a number of staff minutes"),
        (lambda: algorithm.budget(True), "capacity must be a number of staff minutes"),
    ):
        with pytest.raises(UserError, match=words):
            ask()

"""A contract test that anybody can run on their own algorithm, in the manner of gymnasium's `check_env`.

    from frl_algos.testing import check_algorithm
    check_algorithm(MyConfig)

What passes it trains and is scored by `benchmarks/run.py --algo mypackage.module:MyConfig`.
"""

import copy
import inspect
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from d3rlpy.logging import NoopAdapterFactory

from frl_algos.logged_data.replay import FactoredReplayBuffer
from frl_algos.policies.adapter import adapt, invalid_choices, modes
from frl_algos.policies.policy import LearnedPolicy, has_gains, has_probabilities
from frl_algos.quiet import quiet_d3rlpy
from frl_env.actions import MEDICAID_ACTIONS, ActionSpace
from frl_env.errors import UserError, check_whole
from frl_env.kinds import check_kind

EPISODES, STEPS = 40, 10
UPDATES = 20
UNITS = np.asarray([1, 1, 1, 1, 1, 100, 1_000], dtype=np.float32)


def check_algorithm(offered: Any, *, action_space: ActionSpace = MEDICAID_ACTIONS, seed: int = 0) -> None:
    """Trains an algorithm twice on a small made-up dataset and checks all that the benchmark relies on.

    Args:
        offered: What `frl_algos.policies.adapter.adapt` takes: a configuration, its class, or an algorithm's class.
        action_space: The actions to try it on.
        seed: Of the made-up data and of the training.

    Raises:
        UserError: At the first thing that does not hold: says what, and what to do.
    """
    check_kind("action_space", action_space, ActionSpace)
    try:
        with quiet_d3rlpy():
            _check(offered, action_space, seed)
    except SystemExit as problem:
        raise UserError("the algorithm ends Python (SystemExit); raise an error instead, which is told") from problem


def _check(offered: Any, action_space: ActionSpace, seed: int) -> None:
    buffer = made_up_buffer(action_space, seed=seed)
    observations = buffer.observations[:64]
    first = _trained(offered, buffer, seed)
    batch_size = getattr(first, "batch_size", None)
    if batch_size is not None:
        check_whole("batch_size", batch_size, low=1, high=2**31)
    joints = _check_predictions(first, observations, action_space)
    if has_probabilities(first) and "stochastic" in modes(first):
        _check_probabilities(first, observations, action_space)
    if hasattr(first, "draw") and "stochastic" in modes(first):
        _check_draws(first, observations, action_space)
    if has_gains(first):
        _check_gains(first, observations, action_space)
    for mode in modes(first):
        levels = LearnedPolicy(first, action_space, mode)(observations, np.random.default_rng(seed))
        _require(bool(action_space.is_valid(levels).all()), f"the {mode} policy takes actions that are not valid")
    again = _trained(offered, buffer, seed)
    _require(
        np.array_equal(joints, again.predict(observations)) and _answers_alike(first, again, observations),
        "two trainings from the same seed end in different policies; draw from torch's global generator or the buffer",
    )
    _check_save(first)


def _answers_alike(first: Any, again: Any, observations: np.ndarray) -> bool:
    """Whether two trained algorithms say the same of probabilities and gains, as far as they have them."""
    alike = True
    if has_probabilities(first) and "stochastic" in modes(first):
        alike = _alike(first.predict_probabilities(observations), again.predict_probabilities(observations))
    if has_gains(first):
        of_both = []
        for algorithm in (first, again):
            memory = () if not hasattr(algorithm, "start_memory") else (algorithm.start_memory(len(observations)),)
            of_both.append(algorithm.gains(observations, *memory))
        alike = alike and _alike(*of_both)
    return alike


def _alike(first: Any, second: Any) -> bool:
    return bool(np.allclose(np.asarray(first), np.asarray(second), rtol=1e-4, atol=1e-7))


def made_up_buffer(action_space: ActionSpace, *, seed: int = 0) -> FactoredReplayBuffer:
    """A small dataset with seven heavy-tailed observations, sparse rewards and mostly idle decisions."""
    rng = np.random.default_rng(seed)
    rows = EPISODES * STEPS
    observations = rng.lognormal(size=(rows + 1, 7)).astype(np.float32) * UNITS
    joints = rng.choice(action_space.valid_joints, rows)
    joints[rng.random(rows) < 0.5] = action_space.valid_joints[0]
    ended = np.arange(EPISODES) % 4 == 0
    return FactoredReplayBuffer(
        observations=observations[:-1],
        actions=action_space.unravel(joints),
        rewards=-rng.poisson(0.1, rows).astype(np.float32),
        next_observations=observations[1:],
        lengths=np.full(EPISODES, STEPS),
        terminated=ended,
        action_space=action_space,
        seed=seed,
    )


def _trained(offered: Any, buffer: FactoredReplayBuffer, seed: int) -> Any:
    algorithm = adapt(copy.deepcopy(offered), buffer.action_space)
    before = [array.copy() for array in _arrays(buffer)]
    torch.manual_seed(seed)
    buffer.reseed(seed)
    options: dict[str, Any] = {
        "n_steps": UPDATES,
        "n_steps_per_epoch": UPDATES // 2,
        "show_progress": False,
        "logger_adapter": NoopAdapterFactory(),
        "callback": lambda algo, epoch, step: None,
        "epoch_callback": lambda algo, epoch, step: None,
    }
    _check_takes(algorithm.fit, buffer, options)
    algorithm.fit(buffer, **options)
    same = all(np.array_equal(old, new) for old, new in zip(before, _arrays(buffer), strict=True))
    _require(same, "fit changes the arrays of the buffer, which other algorithms train from; copy them first")
    return algorithm


def _check_takes(fit: Callable[..., Any], buffer: FactoredReplayBuffer, options: Mapping[str, Any]) -> None:
    """Says so where `fit` can't be called as the benchmark calls it."""
    try:
        signature = inspect.signature(fit)
    except ValueError:
        return  # of compiled code; calling it says
    try:
        signature.bind(buffer, **options)
    except TypeError as problem:
        raise UserError(
            f"fit is called with the buffer and the arguments {', '.join(options)} ({problem}); "
            "take those that are needed by name, and the rest as **others"
        ) from None


def _arrays(buffer: FactoredReplayBuffer) -> tuple[np.ndarray, ...]:
    return buffer.observations, buffer.actions, buffer.rewards, buffer.next_observations, buffer.terminals


def _ask(algorithm: Any, method: str, *asked: np.ndarray) -> np.ndarray:
    """What a method answers, as an array; it may not write into what it is asked about."""
    given = [array.copy() for array in asked]
    answer = getattr(algorithm, method)(*given)
    same = all(np.array_equal(old, new) for old, new in zip(asked, given, strict=True))
    _require(same, f"{method} changes the arrays it is given, which others go on with; copy them first")
    if isinstance(answer, torch.Tensor):
        raise UserError(f"{method} gives a torch tensor, not a NumPy array; return tensor.detach().cpu().numpy()")
    _require(isinstance(answer, np.ndarray), f"{method} gives a {type(answer).__name__}, not a NumPy array")
    return answer


def _check_predictions(algorithm: Any, observations: np.ndarray, action_space: ActionSpace) -> np.ndarray:
    joints = _ask_actions(algorithm, action_space, "predict", observations)
    _require(
        bool(np.array_equal(joints, _ask(algorithm, "predict", observations))),
        "predict gives other actions the second time; it has to be greedy (draws belong into predict_probabilities)",
    )
    alone = np.concatenate([_ask(algorithm, "predict", observations[i : i + 1]) for i in range(8)])
    _require(
        bool(np.mean(alone == joints[:8]) > 0.8),
        "predict gives other actions for a state alone than in a batch; leave batch statistics out when predicting",
    )
    return joints


def _ask_actions(algorithm: Any, action_space: ActionSpace, method: str, *asked: np.ndarray) -> np.ndarray:
    """What a method chooses, once it is known to be valid joint actions, one a state."""
    joints, n = _ask(algorithm, method, *asked), len(asked[0])
    _require(
        joints.shape == (n,) and np.issubdtype(joints.dtype, np.integer),
        f"{method} gives {joints.dtype} of shape {joints.shape} for {n} observations; "
        "one whole number each is needed, the joint index of an action",
    )
    outside = int(((joints < 0) | (joints >= action_space.n_joint)).sum())
    _require(outside == 0, f"{method} gives {outside} joint indices outside 0..{action_space.n_joint - 1}")
    invalid = int((~action_space.valid[joints]).sum())
    if invalid:
        raise invalid_choices(invalid, len(joints), method)
    return joints


def _check_draws(algorithm: Any, observations: np.ndarray, action_space: ActionSpace) -> None:
    n = len(observations)
    asked = (observations, np.random.default_rng(0).random((n, 2), dtype=np.float32))
    joints = _ask_actions(algorithm, action_space, "draw", *asked)
    _require(
        bool(np.array_equal(joints, _ask(algorithm, "draw", *asked))),
        "draw gives other actions for the same uniform numbers; all chance has to come from these",
    )
    if has_probabilities(algorithm):
        never = int((_ask(algorithm, "predict_probabilities", observations)[np.arange(n), joints] == 0).sum())
        _require(never == 0, f"draw gives {never} of {n} actions whose predict_probabilities are 0")


def _check_probabilities(algorithm: Any, observations: np.ndarray, action_space: ActionSpace) -> None:
    chances = _ask(algorithm, "predict_probabilities", observations)
    expected = (len(observations), action_space.n_joint)
    _require(chances.shape == expected, f"predict_probabilities gives shape {chances.shape}, not {expected}")
    _require(
        bool(np.isfinite(chances).all() and (chances >= 0).all() and np.allclose(chances.sum(axis=1), 1, atol=1e-4)),
        "predict_probabilities gives rows that are not probabilities: not finite, negative, or not summing to 1",
    )
    outside = float(chances[:, ~action_space.valid].sum(axis=1).max(initial=0.0))
    _require(
        outside < 1e-6, f"predict_probabilities gives up to {outside:.2g} to actions that are not valid; mask them"
    )
    few = _ask(algorithm, "predict_probabilities", observations[:8])
    _require(
        bool(np.allclose(few, chances[:8], rtol=1e-3, atol=1e-5)),
        "predict_probabilities gives other numbers for eight states alone than for all; states are asked a part at a "
        "time, so it must not compare them with each other, or draw",
    )


def _check_gains(algorithm: Any, observations: np.ndarray, action_space: ActionSpace) -> None:
    n = len(observations)
    own = [name for name in ("start_memory", "remember") if callable(getattr(algorithm, name, None))]
    _require(
        len(own) != 1,
        f"it has {' and '.join(own)} alone; what is kept in mind takes both start_memory(members) and "
        "remember(memory, observations, joints), and gains(observations, memory)",
    )
    memory = _start_memory(algorithm, n) if own else None
    _require(
        memory is None or (memory.ndim == 2 and len(memory) == n),
        f"start_memory({n}) gives shape {np.shape(memory)}, not ({n}, m): a row a member",
    )
    asked = (observations,) if memory is None else (observations, memory)
    try:
        inspect.signature(algorithm.gains).bind(*asked)
    except TypeError as problem:
        raise UserError(
            f"gains can't be asked with {len(asked)} arguments ({problem}): gains(observations), or with start_memory "
            "and remember gains(observations, memory)"
        ) from None
    gains = _ask(algorithm, "gains", *asked)
    wanted = (n, len(action_space.valid_joints))
    _require(
        gains.shape == wanted and np.issubdtype(gains.dtype, np.floating),
        f"gains gives {gains.dtype} of shape {gains.shape}, not floating-point numbers of shape {wanted}: "
        "a row a member, a column an action of buffer.action_space.valid_joints",
    )
    wrong = int((np.isnan(gains) | np.isposinf(gains)).any(axis=1).sum())
    _require(wrong == 0, f"gains gives NaN or infinity in {wrong} of {n} members; minus infinity says never")
    few = _ask(algorithm, "gains", *(array[:8] for array in asked))
    _require(
        few.shape == (8, wanted[1]) and np.allclose(few, gains[:8], rtol=1e-3, atol=1e-6),
        "gains gives other numbers for eight members alone than for all; members are asked a part at a time, so it "
        "must not compare them with each other, or draw",
    )
    if memory is None:
        return
    idle = np.repeat(action_space.valid_joints[0], n)
    contacts = np.resize(action_space.valid_joints, n)
    for joints in (idle, contacts):
        after = _ask(algorithm, "remember", memory, observations, joints)
        _require(
            after.shape == memory.shape, f"remember gives shape {after.shape} for memories of shape {memory.shape}"
        )


def _start_memory(algorithm: Any, members: int) -> np.ndarray:
    try:
        inspect.signature(algorithm.start_memory).bind(members)
    except TypeError as problem:
        raise UserError(f"start_memory is called with the number of members alone ({problem})") from None
    memory = algorithm.start_memory(members)
    _require(isinstance(memory, np.ndarray), f"start_memory gives a {type(memory).__name__}, not a NumPy array")
    return memory


def _check_save(algorithm: Any) -> None:
    if not hasattr(algorithm, "save"):
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model"
        algorithm.save(str(file))
        written = sorted(path.name for path in Path(folder).iterdir())
        _require(written == ["model"], f"save wrote {written or 'nothing'} where one file 'model' was asked for")
        _require(file.is_file(), "save made a folder where one file 'model' was asked for")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise UserError(otherwise)

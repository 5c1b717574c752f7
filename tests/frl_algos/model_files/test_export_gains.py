"""Exported gains: week for week the same gains, and the same memory, as the algorithm's own."""

import json
import warnings

import d3rlpy
import numpy as np
import pytest
import torch

from frl_algos import FactoredAWRConfig, export_gains, load_replay_buffer
from frl_algos.baselines import FactoredIQLConfig
from frl_env.errors import UserError

QUIET = {"show_progress": False, "logger_adapter": d3rlpy.logging.NoopAdapterFactory()}
GOALS = ("FOOD_INSECURITY", "HYPERTENSION")
SETTINGS = {
    "told all": {"response": 0, "need_factor": "goal", "skill_factor": "provider", "rest": 2},
    "told a response only": {"response": 0, "rest": 0},
    "indications": {"response": 0, "need_factor": "goal", "indications": {"HYPERTENSION": 2}, "rest": 1},
    "contacts in turn": {
        "response": 0,
        "contacts": [{"modality": "HOME_VISIT", "provider": "CHW", "goal": goal} for goal in GOALS],
        "rest": 3,
    },
}


@pytest.fixture(scope="module")
def algorithm(request, tiny_dataset):
    settings = SETTINGS[request.param]
    algorithm = FactoredAWRConfig(**settings).create()
    algorithm.fit(
        load_replay_buffer(tiny_dataset, seed=1),
        n_steps=2,
        show_progress=False,
        logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
    )
    assert algorithm.offers_gains
    return algorithm


def _weeks(algorithm, buffer):
    """Members' first weeks: observations, joint indices of what was done."""
    starts = np.flatnonzero(buffer.lengths >= 6)[:40]
    for week in range(6):
        rows = buffer.starts[starts] + week
        yield np.asarray(buffer.observations[rows], dtype=np.float32), np.asarray(buffer.actions[rows], dtype=np.int64)


def _agree(algorithm, buffer, run):
    space = algorithm.action_space
    own = algorithm.start_memory(40)
    theirs = own.copy()
    resting, tried = 0, 0
    for observations, joints in _weeks(algorithm, buffer):
        expected = algorithm.gains(observations, own)
        gains, theirs = run(observations, theirs, joints)
        assert (gains.dtype, theirs.dtype) == (np.float32, np.float32)
        valid = gains[:, space.valid_joints]
        np.testing.assert_array_equal(np.isneginf(valid), np.isneginf(expected))
        open_ = np.isfinite(expected)
        np.testing.assert_allclose(valid[open_], expected[open_], rtol=2e-4, atol=1e-7)
        assert np.isneginf(np.delete(gains, space.valid_joints, axis=1)).all(), "nothing invalid is offered"
        own = algorithm.remember(own, observations, joints)
        np.testing.assert_allclose(theirs, own, rtol=1e-5, atol=1e-6)
        resting += int(np.isneginf(expected).any(axis=1).sum())
        tried += int((np.nan_to_num(expected, neginf=0.0) != 0).any(axis=1).sum())
    assert tried, "there is something to compare"
    assert resting or not algorithm.config.rest
    return theirs


def _metadata_holds(algorithm, texts):
    assert json.loads(texts["frl_memory"]) == algorithm.start_memory(1)[0].tolist()
    assert json.loads(texts["frl_action_schema"]) == json.loads(algorithm.action_space.to_json())
    assert json.loads(texts["frl_state_names"]) == algorithm.config.state_names
    assert len(algorithm.config.state_names) == 7
    minutes = json.loads(texts["frl_minutes"])
    assert minutes == algorithm.budget(1.0).effort.minutes.tolist()
    assert max(minutes) > 0


# An ONNX file takes seconds; the operations are those of the other format.
@pytest.mark.long
@pytest.mark.parametrize(
    "algorithm",
    [name if name == "told all" else pytest.param(name, marks=pytest.mark.slow) for name in SETTINGS],
    indirect=True,
)
def test_onnx_gives_the_same(algorithm, tiny_buffer, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    export_gains(algorithm, tmp_path / "gains.onnx")
    assert b"/frl_algos/" not in (tmp_path / "gains.onnx").read_bytes(), "no path of this machine"
    session = onnxruntime.InferenceSession(str(tmp_path / "gains.onnx"))

    def run(observations, memory, joints):
        return session.run(None, {"observations": observations, "memory": memory, "joints": joints})

    memory = _agree(algorithm, tiny_buffer, run)
    _metadata_holds(algorithm, session.get_modelmeta().custom_metadata_map)
    nobody, none_left = run(np.zeros((0, 7), np.float32), memory[:0], np.zeros(0, np.int64))
    assert nobody.shape == (0, algorithm.action_space.n_joint)
    assert none_left.shape == (0, memory.shape[1])


@pytest.mark.parametrize("algorithm", SETTINGS, indirect=True)
def test_torchscript_gives_the_same(algorithm, tiny_buffer, tmp_path):
    export_gains(algorithm, tmp_path / "gains.pt")
    texts = dict.fromkeys(("frl_memory", "frl_action_schema", "frl_state_names", "frl_minutes"), "")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", DeprecationWarning)
        loaded = torch.jit.load(tmp_path / "gains.pt", _extra_files=texts)

    def run(observations, memory, joints):
        with torch.no_grad():
            return [part.numpy() for part in loaded(*map(torch.as_tensor, (observations, memory, joints)))]

    memory = _agree(algorithm, tiny_buffer, run)
    _metadata_holds(algorithm, texts)
    observations, joints = next(_weeks(algorithm, tiny_buffer))
    spoilt, wrong = observations.copy(), joints.copy()
    spoilt[3, 1], spoilt[5, 2] = np.nan, np.inf
    invalid = int(np.flatnonzero(~algorithm.action_space.valid)[0])
    wrong[[7, 8, 9]] = -1, algorithm.action_space.n_joint, invalid
    clean = run(observations, memory, joints)
    gains, after = run(spoilt, memory, wrong)
    assert np.isnan(gains[[3, 5]]).all(), "no advice without an observation"
    np.testing.assert_array_equal(after[[3, 5]], memory[[3, 5]])
    assert np.isnan(after[[7, 8, 9]]).all(), "what can't be done is not remembered as something else"
    others = np.setdiff1d(np.arange(40), [3, 5])
    np.testing.assert_array_equal(gains[others], clean[0][others])
    others = np.setdiff1d(others, [7, 8, 9])
    np.testing.assert_array_equal(after[others], clean[1][others])


def test_what_has_no_gains_is_one_line(tiny_buffer, tmp_path):
    untold = FactoredAWRConfig().create()
    untold.fit(tiny_buffer, n_steps=1, **QUIET)
    for algorithm, words in ((untold, "offers no gains"), (FactoredIQLConfig().create(), "takes FactoredAWR")):
        with pytest.raises(UserError, match=words):
            export_gains(algorithm, tmp_path / "gains.onnx")
    with pytest.raises(UserError, match="can't tell the format"):
        export_gains(untold, tmp_path / "gains.txt")
    assert not list(tmp_path.iterdir())

"""Exported policies: the same probabilities and actions, without this project."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.preprocessing import MinMaxObservationScaler, StandardObservationScaler

import frl_algos
from frl_algos import FactoredAWRConfig, export_policy
from frl_algos.model_files.export import ExportedPolicy
from frl_env.actions import MEDICAID_ACTIONS, ActionSpace
from frl_env.errors import UserError

SETTINGS = [
    {"response": 0, "indications": {"HYPERTENSION": 2}},
    {"encoder": "flat", "extraction": "regression"},
]


def _algorithm(size=6, space=MEDICAID_ACTIONS, **settings):
    """As if trained: every number that training sets is another one, and the gate is open about half of the time."""
    d3rlpy.seed(0)
    numbers = np.random.default_rng(0).gamma(1.0, size=(2, size))
    settings = {"observation_scaler": StandardObservationScaler(mean=numbers[0], std=numbers[1])} | settings
    algorithm = FactoredAWRConfig(action_schema=space.to_json(), **settings).create()
    algorithm.create_impl((size,), space.n_joint)
    modules = algorithm.impl.modules
    for module in (modules.clone, modules.actor, modules.critic, modules.statistics):
        for tensor in module.state_dict().values():
            tensor.add_(torch.randn_like(tensor) * 0.2)
    with torch.no_grad():
        for statistic in (modules.statistics.temperature, modules.statistics.advantage_scale):
            statistic.fill_(0.7)
        scaled = torch.as_tensor(algorithm._scaled(_numbers(size)))
        gate = algorithm.impl._decisions.gate(modules.actor.encode(scaled))
        if gate is not None:
            modules.statistics.threshold.fill_(float(gate.sort().values[len(gate) // 2 : len(gate) // 2 + 2].mean()))
    return algorithm


def _numbers(size, n=300):
    return np.random.default_rng(1).gamma(1.0, size=(n, size)).astype(np.float32)


def _session(file):
    onnxruntime = pytest.importorskip("onnxruntime")
    return onnxruntime.InferenceSession(str(file))


def _agree(algorithm, run, observations):
    """For any number of rows, and row by row."""
    for rows in (observations, observations[:1], observations[:0], observations[:37]):
        probabilities, greedy = run(rows)
        np.testing.assert_allclose(probabilities, algorithm.predict_probabilities(rows), atol=1e-5)
        np.testing.assert_array_equal(greedy, algorithm.predict(rows))
        assert (probabilities.dtype, greedy.dtype) == (np.float32, np.int64)
    spoilt = observations[:4].copy()
    spoilt[1, 0], spoilt[2, 1] = np.nan, np.inf
    probabilities, greedy = run(spoilt)
    assert greedy[[1, 2]].tolist() == [-1, -1], "no advice without an observation"
    assert np.isnan(probabilities[[1, 2]]).all()
    np.testing.assert_array_equal(greedy[[0, 3]], algorithm.predict(spoilt[[0, 3]]))
    np.testing.assert_allclose(probabilities[[0, 3]], algorithm.predict_probabilities(spoilt[[0, 3]]), atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_onnx_gives_the_same(tmp_path, settings):
    algorithm = _algorithm(**settings)
    observations = _numbers(6)
    assert len(set(algorithm.predict(observations))) > 2, "there is something to tell apart"
    export_policy(algorithm, tmp_path / "policy.onnx")
    session = _session(tmp_path / "policy.onnx")
    _agree(algorithm, lambda rows: session.run(None, {"observations": rows}), observations)


@pytest.mark.long
def test_small_chances_are_right_in_onnx_too(tmp_path):
    """Where almost always nothing is done: findings/onnxruntime-sigmoid-small.sh."""
    algorithm = _algorithm(**SETTINGS[1])
    modules = algorithm.impl.modules
    for tensor in modules.actor.gate.state_dict().values():
        tensor.zero_()
    modules.statistics.shift.fill_(-17.0)
    observations = _numbers(6)
    export_policy(algorithm, tmp_path / "policy.onnx")
    probabilities, _ = _session(tmp_path / "policy.onnx").run(None, {"observations": observations})
    expected = algorithm.predict_probabilities(observations)
    valid = MEDICAID_ACTIONS.valid_joints
    assert (expected[:, MEDICAID_ACTIONS.ravel(MEDICAID_ACTIONS.null_action)] > 1 - 1e-6).all()
    np.testing.assert_allclose(probabilities[:, valid], expected[:, valid], rtol=1e-2, atol=1e-30)


@pytest.mark.parametrize("space", [MEDICAID_ACTIONS, ActionSpace.from_nvec([3, 2])], ids=["medicaid", "no_null"])
@pytest.mark.parametrize(
    "settings",
    [
        {"encoder": "learned", "support_threshold": 0.0},
        {"encoder": "frozen", "extraction": "regression"},
        {"encoder": "one_hot", "observation_scaler": None},
        {"encoder": "independent", "critic": "none"},
    ],
    ids=str,
)
def test_the_module_and_torchscript_give_the_same(tmp_path, space, settings):
    algorithm = _algorithm(space=space, **settings)
    module = ExportedPolicy(algorithm)
    export_policy(algorithm, tmp_path / "policy.pt")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", DeprecationWarning)
        loaded = torch.jit.load(tmp_path / "policy.pt")
    for policy in (module, loaded):
        _agree(algorithm, lambda rows, policy=policy: [t.numpy() for t in policy(torch.as_tensor(rows))], _numbers(6))


@pytest.mark.parametrize("fairness", ["none", "parity"])
@pytest.mark.parametrize("choice", [{"critic": "effects", "mild": True}, {"critic": "planned", "table": 40}], ids=str)
def test_the_greedy_action_is_the_likeliest_where_the_algorithms_own_is(tmp_path, choice, fairness):
    """Where advantages hold near the behaviour policy only, and where they are of single states of a table."""
    algorithm = _algorithm(choice=json.dumps(choice), fairness=fairness)
    modules, observations = algorithm.impl.modules, _numbers(6)
    scaled = torch.as_tensor(algorithm._scaled(observations))
    if choice["critic"] == "planned":
        modules.critic.states.copy_(scaled[:40])
    if modules.tilt is not None:
        modules.tilt.weights.add_(torch.randn_like(modules.tilt.weights) * 0.2)
    greedy = algorithm.predict(observations)
    acts = greedy != MEDICAID_ACTIONS.ravel(MEDICAID_ACTIONS.null_action)
    largest = MEDICAID_ACTIONS.valid_joints[modules.critic(scaled).argmax(dim=1).numpy()]
    assert (greedy[acts] != largest[acts]).any(), "the largest advantage is another action"
    export_policy(algorithm, tmp_path / "policy.pt")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", DeprecationWarning)
        loaded = torch.jit.load(tmp_path / "policy.pt")
    for policy in (ExportedPolicy(algorithm), loaded):
        _agree(algorithm, lambda rows, policy=policy: [t.numpy() for t in policy(torch.as_tensor(rows))], observations)


@pytest.mark.long
def test_a_trained_policy_on_the_dataset(trained, tiny_buffer, tmp_path):
    export_policy(trained, tmp_path / "policy.onnx")
    assert str(Path(frl_algos.__file__).parent).encode() not in (tmp_path / "policy.onnx").read_bytes()
    session = _session(tmp_path / "policy.onnx")
    _agree(trained, lambda rows: session.run(None, {"observations": rows}), tiny_buffer.observations)
    names = session.get_modelmeta().custom_metadata_map
    assert names["frl_action_schema"] == MEDICAID_ACTIONS.to_json()
    assert json.loads(names["frl_state_names"]) == list(tiny_buffer.state_names) != []
    scaler = json.loads(names["frl_observation_scaler"])
    np.testing.assert_array_equal(scaler["mean"], trained.config.observation_scaler.mean)


def test_rounding_is_not_a_feature(trained):
    """In the tiny dataset an observation never changes among attempts; its spread used to be 1e-8 instead of 0."""
    assert float(trained.impl.modules.critic.spread.min()) > 1e-4


@pytest.mark.long
def test_torchscript_runs_with_torch_alone(trained, observations, tmp_path):
    export_policy(trained, tmp_path / "policy.pt")
    np.savez(tmp_path / "rows.npz", rows=observations)
    code = """
import json, sys, numpy, torch
extra = {"frl_action_schema": ""}
policy = torch.jit.load(sys.argv[1] + "/policy.pt", _extra_files=extra)
probabilities, greedy = policy(torch.as_tensor(numpy.load(sys.argv[1] + "/rows.npz")["rows"]))
assert not {"d3rlpy", "frl_algos", "frl_env", "gymnasium"} & set(sys.modules)
factors = [factor["levels"] for factor in json.loads(extra["frl_action_schema"])["factors"]]
levels = numpy.unravel_index(int(greedy[0]), [len(names) for names in factors])
names = [names[level] for names, level in zip(factors, levels)]
numpy.savez(sys.argv[1] + "/out.npz", probabilities=probabilities, greedy=greedy, names=names)
"""
    subprocess.run([sys.executable, "-I", "-c", code, str(tmp_path)], check=True, capture_output=True)
    out = np.load(tmp_path / "out.npz")
    np.testing.assert_allclose(out["probabilities"], trained.predict_probabilities(observations), atol=1e-5)
    np.testing.assert_array_equal(out["greedy"], trained.predict(observations))
    assert out["names"].tolist() == trained.predict_names(observations)[0].tolist()


def test_exporting_leaves_the_algorithm_as_it_was(trained, observations, tmp_path):
    before = trained.predict_probabilities(observations)
    export_policy(trained, tmp_path / "policy", format="torchscript")
    np.testing.assert_array_equal(trained.predict_probabilities(observations), before)
    assert all(p.requires_grad for p in trained.impl.modules.clone.parameters())
    assert [f.name for f in tmp_path.iterdir()] == ["policy"]


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_a_missing_package_is_named_with_its_extra(trained, tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"package {package}, .*pip install 'frl-medicaid\[export\]'"):
        export_policy(trained, tmp_path / "policy.onnx")


def test_what_cannot_be_exported(trained, tmp_path):
    with pytest.raises(UserError, match=r"can't tell the format of .*policy\.bin; end it in \.onnx or \.pt"):
        export_policy(trained, tmp_path / "policy.bin")
    with pytest.raises(UserError, match="unknown export format 'onyx'; did you mean onnx"):
        export_policy(trained, tmp_path / "policy.pt", format="onyx")
    with pytest.raises(UserError, match="not trained"):
        export_policy(FactoredAWRConfig().create(), tmp_path / "policy.pt")
    with pytest.raises(UserError, match="not DiscreteBC"):
        export_policy(d3rlpy.algos.DiscreteBCConfig().create(), tmp_path / "policy.pt")
    other = _algorithm(observation_scaler=MinMaxObservationScaler(minimum=np.zeros(6), maximum=np.ones(6)))
    with pytest.raises(UserError, match="not MinMaxObservationScaler"):
        export_policy(other, tmp_path / "policy.pt")
    with pytest.raises(UserError, match=r"can't write .*No such file"):
        export_policy(trained, tmp_path / "none" / "policy.pt")
    assert not list(tmp_path.iterdir())

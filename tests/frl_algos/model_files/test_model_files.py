"""Model files: what is loaded predicts the same, bit for bit; what is not a model file gets one clear line."""

import errno
import json
import os
import pickle
import sys

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.logging import NoopAdapterFactory
from d3rlpy.preprocessing import MinMaxObservationScaler, StandardObservationScaler
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from frl_algos import FactoredAWR, FactoredAWRConfig, load_model, save_model
from frl_algos.model_files.policy_files import load_policy
from frl_env.actions import MEDICAID_ACTIONS, ActionSpace, Factor
from frl_env.errors import UserError
from frl_env.files.integrity import checksum_beside


def _algorithm(size=6, space=MEDICAID_ACTIONS, **settings):
    """As if trained: every number that training sets is another one."""
    d3rlpy.seed(0)
    algorithm = FactoredAWRConfig(action_schema=space.to_json(), **settings).create()
    algorithm.create_impl((size,), space.n_joint)
    modules = algorithm.impl.modules
    for module in (modules.clone, modules.actor, modules.critic, modules.statistics):
        for tensor in module.state_dict().values():
            tensor.add_(torch.rand_like(tensor) * 0.1)
    modules.statistics.rate.fill_(float("nan"))
    return algorithm


def _agree(one, two, observations):
    uniform = np.random.default_rng(0).random((len(observations), 2))
    actions = one.predict(observations)
    for name, more in (
        ("predict", ()),
        ("predict_probabilities", ()),
        ("predict_value", (actions,)),
        ("draw", (uniform,)),
    ):
        np.testing.assert_array_equal(getattr(one, name)(observations, *more), getattr(two, name)(observations, *more))


@pytest.fixture
def file(trained, tmp_path):
    save_model(trained, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def _rewrite(file, *, metadata=None, model=None, tensors=None, settings=None):
    """The file with some of its contents changed."""
    with safe_open(file, framework="pt") as content:
        old = content.metadata()
    described = json.loads(old["frl_model"]) | (model or {})
    described["settings"] |= settings or {}
    kept = {name: t for name, t in (load_file(file) | (tensors or {})).items() if t is not None}
    save_file(kept, file, {"frl_model": json.dumps(described)} if metadata is None else metadata)


@pytest.mark.long
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"response": 0},
        {"indications": {"HYPERTENSION": 2}, "gamma": 0.9, "temperature": 0.3},
        {"response": 0, "indications": {"HYPERTENSION": 2}, "extraction": "regression"},
        {"critic": "returns", "extraction": "regression"},
        {"critic": "none", "support_threshold": 0.0, "action_rate": 0.3},
        {"encoder": "frozen"},
        {"encoder": "one_hot"},
        {"encoder": "independent"},
        {"encoder": "flat", "extraction": "regression"},
    ],
    ids=str,
)
def test_a_loaded_model_predicts_the_same(tmp_path, settings):
    observations = np.random.default_rng(0).normal(size=(50, 6))
    algorithm = _algorithm(**settings)
    save_model(algorithm, tmp_path / "m.safetensors")
    before = torch.random.get_rng_state()
    loaded = load_model(str(tmp_path / "m.safetensors"))
    assert torch.equal(torch.random.get_rng_state(), before), "loading draws no random numbers of the caller's"
    assert type(loaded) is FactoredAWR
    assert loaded.config.serialize() == algorithm.config.serialize()
    _agree(algorithm, loaded, observations)
    assert (loaded.impl.modules.actor is loaded.impl.modules.clone) == (loaded.config.extraction == "closed_form")


@pytest.mark.parametrize("kind", ["float32", "min_max", "none"])
def test_every_scaler_comes_back(tmp_path, kind):
    """A float32 scaler computes in float32: the same again when loaded."""
    numbers = np.random.default_rng(0).gamma(1.0, size=(2, 6)).astype(np.float32)
    scaler = {
        "float32": StandardObservationScaler(mean=numbers[0], std=numbers[1]),
        "min_max": MinMaxObservationScaler(minimum=numbers[0], maximum=numbers[0] + numbers[1]),
        "none": None,
    }[kind]
    algorithm = _algorithm(observation_scaler=scaler)
    save_model(algorithm, tmp_path / "m.safetensors")
    _agree(algorithm, load_model(tmp_path / "m.safetensors"), np.random.default_rng(1).normal(size=(50, 6)))


def test_a_space_without_doing_nothing_comes_back(tmp_path):
    algorithm = _algorithm(4, ActionSpace.from_nvec([3, 2]))
    save_model(algorithm, tmp_path / "m.safetensors")
    _agree(algorithm, load_model(tmp_path / "m.safetensors"), np.random.default_rng(0).normal(size=(5, 4)))


def test_a_trained_model_comes_back_and_trains_on(trained, file, tiny_buffer, observations, tmp_path):
    loaded = load_model(file)
    _agree(trained, loaded, observations)
    save_model(loaded, tmp_path / "again.safetensors")
    assert file.read_bytes() == (tmp_path / "again.safetensors").read_bytes()
    loaded.fit(tiny_buffer, n_steps=2, show_progress=False, logger_adapter=NoopAdapterFactory())


def test_loading_unpickles_nothing(file):
    """The interpreter itself reports every class that a pickle asks for."""
    seen, watching = [], [True]
    sys.addaudithook(lambda event, _: seen.append(event) if watching and event.startswith("pickle.") else None)
    pickle.loads(pickle.dumps(_Harmless()))
    assert seen, "the watch works"
    seen.clear()
    load_model(file)
    assert not seen
    watching.clear()


@pytest.mark.parametrize("moment", ["write", "fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(trained, file, monkeypatch, moment):
    old = file.read_bytes()

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    if moment == "write":  # /dev/full fails at the write itself
        monkeypatch.setattr("pathlib.Path.open", lambda *_, **__: open("/dev/full", "wb"))  # noqa: SIM115
    else:
        monkeypatch.setattr(os, moment, full)
    with pytest.raises(UserError, match=r"can't write .*model\.safetensors \(No space left on device\)"):
        save_model(trained, file)
    monkeypatch.undo()
    assert file.read_bytes() == old
    assert [f.name for f in file.parent.iterdir()] == [file.name]


def test_what_cannot_be_saved(trained, tmp_path):
    with pytest.raises(UserError, match="not DiscreteBC"):
        save_model(d3rlpy.algos.DiscreteBCConfig().create(), tmp_path / "m.safetensors")
    with pytest.raises(UserError, match="not trained"):
        save_model(FactoredAWRConfig().create(), tmp_path / "m.safetensors")
    with pytest.raises(UserError, match=r"write to .*m\.safetensors instead"):
        save_model(trained, tmp_path / "m.d3")
    with pytest.raises(UserError, match=r"can't write .*No such file or directory"):
        save_model(trained, tmp_path / "none" / "m.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(UserError, match=r"can't write .*directory"):
        save_model(trained, tmp_path / "folder.safetensors")
    assert [f.name for f in tmp_path.iterdir()] == ["folder.safetensors"]


class _Harmless:
    pass


class _Bomb:
    def __reduce__(self):
        return os._exit, (66,)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.d3", pickle.dumps(_Bomb()), "is a pickle.*only if you trust.*d3rlpy.load_learnable.*save_model"),
        ("m.safetensors", pickle.dumps(_Bomb()), "is a pickle"),
        ("m.safetensors", b"", "not a safetensors file, or cut off at its start"),
        ("m.safetensors", b"PK\3\4" + b"\0" * 99, "not a safetensors file"),
        ("m.safetensors", (2**40).to_bytes(8, "little") + b"{}", "cut off or damaged"),
        ("m.safetensors", (2).to_bytes(8, "little") + b"{}", "holds tensors but no model of this project"),
    ],
)
def test_other_files_are_told_apart(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        load_model(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbers_that_are_not_finite_are_refused(trained, tmp_path):
    from safetensors import safe_open
    from safetensors.torch import save_file

    save_model(trained, tmp_path / "m.safetensors")
    with safe_open(tmp_path / "m.safetensors", framework="pt") as content:
        tensors, metadata = {name: content.get_tensor(name) for name in content.keys()}, content.metadata()  # noqa: SIM118
    name = next(name for name in sorted(tensors) if name.startswith("clone.") and tensors[name].is_floating_point())
    tensors[name].view(-1)[0] = float("nan")
    save_file(tensors, tmp_path / "bad.safetensors", metadata)
    with pytest.raises(UserError, match=f"tensor {name} holds numbers that are not finite"):
        load_model(tmp_path / "bad.safetensors")


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(UserError, match=r"no model file .*m\.safetensors"):
        load_model(tmp_path / "m.safetensors")
    with pytest.raises(UserError, match=r"can't read .*directory"):
        load_model(tmp_path)


def test_every_cut_is_noticed(file):
    whole = file.read_bytes()
    for size in (5, 9, 500, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        with pytest.raises(UserError, match="cut off"):
            load_model(file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metadata": {"format": "other"}}, "no model of this project"),
        ({"model": {"format_version": 8}}, "format version 8, and this version of frl-medicaid reads 7"),
        ({"metadata": {"frl_model": "{"}}, "settings that make no model"),
        ({"metadata": {"frl_model": "[]"}}, "settings that make no model"),
        ({"model": {"type": "cql"}}, "type 'cql'; 'factored_awr' is known"),
        ({"model": {"observation_shape": [3]}}, "settings that make no model|scales another number"),
        ({"model": {"observation_shape": [-3]}}, "settings that make no model"),
        ({"settings": {"later": 1}}, r"another version \(later\)"),
        ({"settings": {"encoder": "transformer"}}, "unknown encoder 'transformer'"),
        ({"settings": {"hidden_size": "x"}}, "settings that make no model"),
        ({"settings": {"hidden_size": 64}}, r"tensor clone\..* is \(1, .*128\) float32 where .*64\) float32"),
        ({"settings": {"action_schema": "{}"}}, "not an action schema"),
        ({"settings": {"extraction": "regression"}}, r"lacks tensors \(actor.* and \d+ more\)"),
        ({"settings": {"observation_scaler": {"type": "os.system", "params": {}}}}, "settings that make no model"),
        ({"tensors": {"clone.gate.bias": None}}, r"lacks tensors \(clone\.gate\.bias\)"),
        ({"tensors": {"clone.more": torch.zeros(1)}}, r"unknown tensors \(clone\.more\)"),
        ({"tensors": {"clone.gate.bias": torch.zeros(7)}}, r"clone\.gate\.bias is \(7,\) float32 where .*\(1, 1, 1\)"),
        ({"tensors": {"clone.gate.bias": torch.zeros(1, 1, 1).double()}}, r"\(1, 1, 1\) float64 where"),
    ],
    ids=str,
)
def test_changed_contents_are_noticed(file, change, message):
    _rewrite(file, **change)
    with pytest.raises(UserError, match=message) as caught:
        load_model(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps({"a": 1}), pickle.dumps([1])[:4]])
def test_a_foreign_or_damaged_d3_file_is_one_line(content, tmp_path):
    (tmp_path / "policy.d3").write_bytes(content)
    with pytest.raises(UserError, match=r"policy.d3 (can.t be read as a model of d3rlpy|holds an algorithm)"):
        load_policy(tmp_path / "policy.d3", MEDICAID_ACTIONS)


@pytest.mark.parametrize("name", ["policy.safetensors", "policy.d3"])
def test_a_policy_over_other_levels_of_the_same_number_is_refused(name, tmp_path):
    """Number 1 would be a call to the policy and a visit in the data."""
    spaces = [
        ActionSpace(factors=(Factor(name="contact", levels=("NOTHING", *levels)),))
        for levels in (("CALL", "VISIT"), ("VISIT", "CALL"))
    ]
    algorithm = _algorithm(space=spaces[0])
    file = tmp_path / name
    save_model(algorithm, file) if name.endswith("s") else algorithm.save(str(file))
    assert load_policy(file, spaces[0]).action_space.to_json() == spaces[0].to_json()
    with pytest.raises(UserError, match=r"other actions \(.*CALL, VISIT.*\) than the data have \(.*VISIT, CALL"):
        load_policy(file, spaces[1])


@pytest.mark.parametrize("name", ["policy.safetensors", "policy.d3"])
def test_a_policy_of_the_same_states_in_another_order_is_refused(name, tmp_path):
    algorithm = _algorithm(size=2, state_names=["age", "visits"])
    file = tmp_path / name
    save_model(algorithm, file) if name.endswith("s") else algorithm.save(str(file))
    for known in (["age", "visits"], []):
        assert load_policy(file, MEDICAID_ACTIONS, known).config.state_names == ["age", "visits"]
    with pytest.raises(UserError, match=f"{name} was trained on 2 states .*number 1 is age there and visits here"):
        load_policy(file, MEDICAID_ACTIONS, ["visits", "age"])


def test_a_d3_file_of_another_version_says_so(tmp_path, monkeypatch):
    algorithm = _algorithm()
    algorithm.impl.modules.statistics.register_buffer("of_another_version", torch.zeros(()))
    algorithm.save(str(tmp_path / "policy.d3"))
    with pytest.raises(UserError, match=r"policy.d3 holds other weights .* in this version .*; load it with the ver"):
        load_policy(tmp_path / "policy.d3", MEDICAID_ACTIONS)


def test_a_d3_file_is_compared_with_the_checksum_beside_it(tmp_path):
    for name, said in checksum_beside("policy.d3", b"what was written").items():
        (tmp_path / name).write_bytes(said)
    (tmp_path / "policy.d3").write_bytes(b"what was Written")
    with pytest.raises(UserError, match=r"policy.d3 is damaged: it is not what policy.d3.sha256 beside it"):
        load_policy(tmp_path / "policy.d3", MEDICAID_ACTIONS)

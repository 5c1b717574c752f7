"""From policy file and dataset to an audit: what it rests on, what it says, and what it must not say."""

import json
import shutil
from dataclasses import replace

import h5py
import minari
import numpy as np
import pytest

from frl_algos import save_model
from frl_algos.policies.stock import create_stock
from frl_algos.policy_reports.policy_audit import audit_fairness, audit_policy
from frl_algos.value_models.allocations import member_allocations, recorded_use
from frl_env.actions import MEDICAID_ACTIONS, ActionSpace
from frl_env.datasets import dataset_place
from frl_env.errors import UserError
from frl_env.evaluation import load_episodes
from frl_env.evaluation.dataset_reading.member_records import load_members
from frl_env.evaluation.fairness.allocations import allocation_table, joints_with
from frl_env.evaluation.fairness.audited_members import label_missing

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = "tests/tiny-v0"
NAMES = (
    "num_encounters_last_week",
    "num_ed_visits_last_week",
    "num_ip_visits_last_week",
    "num_calls_last_week",
    "num_texts_last_week",
    "enrolled_days",
    "total_paid",
)


@pytest.fixture
def file(trained, tmp_path):
    save_model(trained, tmp_path / "policy.safetensors")
    return tmp_path / "policy.safetensors"


@pytest.fixture
def imported(tiny_dataset):
    """The tiny dataset as if it had been imported, and a way to change its infos."""

    def make(**changed):
        place = dataset_place("tests/imported-v0")
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(dataset_place(TINY), place)
        described = json.loads((place / "data" / "metadata.json").read_text())
        described["dataset_id"] = "tests/imported-v0"
        del described["frl_recipe"]
        described["frl_import"] = {}
        del described["frl_files"]  # which this changes
        (place / "data" / "metadata.json").write_text(json.dumps(described))
        with h5py.File(place / "data" / "main_data.hdf5", "r+") as store:
            for key, codes in changed.items():
                for number, code in enumerate(codes):
                    infos = store[f"episode_{number}/infos"]
                    values = np.full_like(infos[key], code)
                    del infos[key]
                    infos[key] = values
        return "tests/imported-v0"

    yield make
    shutil.rmtree(dataset_place("tests/imported-v0"), ignore_errors=True)


def test_allocations_are_sums_over_joint_actions():
    table = allocation_table(MEDICAID_ACTIONS, ["HOME_VISIT", "THERAPIST"])
    levels = MEDICAID_ACTIONS.joint_levels
    assert np.array_equal(table["high_touch"], (levels[:, 0] == 4) | (levels[:, 1] == 4))
    assert np.array_equal(table["digital"], np.isin(levels[:, 0], (2, 3, 5)))
    assert np.array_equal(table["contact"], levels.any(axis=1))
    assert "modality: NONE" not in table
    assert "urgency: ROUTINE" in table
    plain = allocation_table(ActionSpace.from_nvec((2, 3)), ["L1"])
    assert list(plain) == ["high_touch", *(f"factor_{f}: L{i}" for f, n in ((0, 2), (1, 3)) for i in range(n))]
    with pytest.raises(UserError, match="unknown action level 'HOUSE_VISIT'; did you mean HOME_VISIT"):
        joints_with(MEDICAID_ACTIONS, ["HOUSE_VISIT"])


def test_member_allocations_are_means_over_the_members_own_weeks(trained, tiny_dataset):
    episodes = load_episodes(tiny_dataset)
    found, logged = member_allocations(trained.predict_probabilities, episodes, ["HOME_VISIT"])
    home = joints_with(MEDICAID_ACTIONS, ["HOME_VISIT"])
    rows = 0
    for member in range(len(episodes)):
        length = episodes.lengths[member]
        chances = trained.predict_probabilities(episodes.observations[member, :length])
        assert found["high_touch"][member] == pytest.approx(chances[:, home].sum() / length, rel=1e-5)
        own = chances[np.arange(length), episodes.actions[member, :length]]
        assert logged[rows : rows + length] == pytest.approx(own, rel=1e-5)
        rows += length
    contact = sum(found[f"modality: {level}"] for level in MEDICAID_ACTIONS["modality"].levels[1:])
    assert found["contact"] == pytest.approx(contact, abs=1e-5)


def test_the_logged_decisions_are_a_policy_too(tiny_dataset):
    episodes = load_episodes(tiny_dataset)
    found, _ = member_allocations(None, episodes, ["HOME_VISIT"])
    modality = MEDICAID_ACTIONS.unravel(episodes.actions)[:, :, 0]
    assert found["high_touch"] == pytest.approx(((modality == 4) & episodes.mask).sum(axis=1) / episodes.lengths)


def test_records_of_members_are_what_the_simulator_says(tiny_dataset):
    records = load_members(tiny_dataset)
    assert records.simulated
    first = [episode.infos for episode in tiny_dataset.iterate_episodes()]
    assert records.needs["open_needs"].tolist() == [int(infos["open_needs"][0].sum()) for infos in first]
    races = ("WHITE", "HISPANIC", "BLACK", "OTHER")
    assert records.labels["race_ethnicity"].tolist() == [races[infos["race_ethnicity"][0, 0]] for infos in first]
    risk = load_members(tiny_dataset, attributes=["gender"], needs=["risk_tier", "open_needs"])
    assert list(risk.needs) == ["risk_tier", "open_needs"]
    assert list(risk.labels) == ["gender"]


def test_recorded_use_is_a_mean_over_weeks(tiny_dataset):
    episodes = load_episodes(tiny_dataset)
    use = recorded_use(episodes, NAMES)
    own = episodes.observations[3, : episodes.lengths[3]]
    assert use["recorded events"][3] == pytest.approx(own[:, 1:3].sum(axis=1).mean())
    assert use["recorded spending"][3] == pytest.approx(own[:, 6].mean())
    assert recorded_use(episodes, ["a"] * 7) == {}


def test_use_of_which_nothing_is_recorded_is_no_need_and_a_refund_is_none(tiny_dataset):
    episodes = load_episodes(tiny_dataset)
    episodes.observations[..., 1:3] = 0.0
    episodes.observations[..., 6] = -400.0
    assert recorded_use(episodes, NAMES) == {}
    episodes.observations[0, 0, 6] = 10_000.0
    use = recorded_use(episodes, NAMES)
    assert [*use] == ["recorded spending"]
    assert use["recorded spending"][0] > 0
    assert not use["recorded spending"][1:].any()


@pytest.mark.long
def test_an_audit_from_files(file, tmp_path):
    told = []
    result = audit_fairness(
        file, TINY, tmp_path / "audit", minimum=5, value=False, progress=lambda what, done, total: told.append(what)
    )
    assert list(dict.fromkeys(told)) == ["reading", "asking the policy", "comparing groups"]
    assert result.simulated
    assert result.attributes == ("race_ethnicity", "gender", "age_band")
    assert result.needs == ("open_needs", "recorded events", "recorded spending")
    assert {group.name for group in result.of("gender")} == {"FEMALE", "MALE"}
    for group in result.of("gender"):
        assert 0 < group.measures["effective_members"].value <= group.members
        assert 0 <= group.measures["high_touch"].value <= group.measures["contact"].value <= 1
    written = {path.name for path in (tmp_path / "audit").iterdir()}
    assert {"audit.json", "groups.csv", "contrasts.csv", "gaps.csv", "high_touch.svg", "allocation.svg"} <= written
    report = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert report["members"] == 60
    assert "no real person" in report["privacy"]


@pytest.mark.long
def test_the_same_seed_gives_the_same_files(file, tmp_path):
    for name in ("one", "two"):
        audit_fairness(file, TINY, tmp_path / name, attributes=["gender"], minimum=5, value=False, seed=3)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_values_are_the_off_policy_estimate_of_each_group(trained, tiny_dataset):
    from frl_algos.value_models.counterfactual import Counterfactual

    records = load_members(tiny_dataset, attributes=["gender"])
    episodes = replace(load_episodes(tiny_dataset), groups=records.labels)
    result = audit_policy(
        trained, episodes, needs=records.needs, simulated=True, rng=np.random.default_rng(4), minimum=5, resamples=20
    )
    rng = np.random.default_rng(4)
    valuation = Counterfactual.fit(episodes, rng=rng)
    estimate = valuation.estimate(trained.predict_probabilities, rng)
    for group in result.of("gender"):
        own = records.labels["gender"] == group.name
        assert group.measures["value"].value == pytest.approx(estimate.plain[own].mean())
        change = (estimate.plain - episodes.returns())[own].mean()
        assert group.measures["value_change"].value == pytest.approx(change)
    assert "off-policy" in result.value_source


def test_a_policy_that_never_did_what_was_logged_is_audited(tiny_dataset):
    """No weight says anything of it then, and no member counts as effective."""
    records = load_members(tiny_dataset, attributes=["gender"])
    episodes = replace(load_episodes(tiny_dataset), groups=records.labels)
    done = np.bincount(episodes.actions[episodes.mask], minlength=MEDICAID_ACTIONS.n_joint)
    never = np.flatnonzero(MEDICAID_ACTIONS.valid & (done == 0))[0]

    def target(observations):
        chances = np.zeros((len(observations), MEDICAID_ACTIONS.n_joint), dtype=np.float32)
        chances[:, never] = 1.0
        return chances

    result = audit_policy(
        target, episodes, needs=records.needs, simulated=True, rng=np.random.default_rng(4), minimum=5, resamples=20,
        value=False,
    )  # fmt: skip
    assert [group.measures["effective_members"].value for group in result.of("gender")] == [0.0, 0.0]


@pytest.mark.long
def test_other_kinds_of_policies(tiny_buffer, tmp_path):
    from d3rlpy.logging import NoopAdapterFactory

    stock = create_stock("discrete_bc", batch_size=32)
    stock.fit(tiny_buffer, n_steps=2, n_steps_per_epoch=2, show_progress=False, logger_adapter=NoopAdapterFactory())
    stock.save(str(tmp_path / "stock.d3"))
    options = {"attributes": ["gender"], "minimum": 5, "value": False}
    cloned = audit_fairness(tmp_path / "stock.d3", TINY, tmp_path / "out", **options)
    assert cloned.overall["high_touch"].value > 0
    logged = audit_fairness(None, TINY, tmp_path / "out", **options)
    assert logged.value_source == "mean returns as logged"
    assert "effective_members" not in logged.of("gender")[0].measures


def test_imported_members_are_protected_in_every_file(file, imported, tmp_path):
    races = [0] * 30 + [1] * 24 + [2] * 6
    name = imported(race_ethnicity=races, gender=[i % 2 for i in range(60)])
    result = audit_fairness(
        file, name, tmp_path / "out", attributes=["race_ethnicity", "gender"], minimum=11, value=False
    )
    assert not result.simulated
    by_name = {group.name: group for group in result.of("race_ethnicity")}
    assert (by_name["BLACK"].members, by_name["HISPANIC"].members, by_name["WHITE"].members) == (None, None, 30)
    for path in (tmp_path / "out").iterdir():
        for line in path.read_text().splitlines():
            if "BLACK" in line:
                assert "suppressed" in line or '"name"' in line, (path.name, line)
    for group in result.groups:
        assert group.measures.get("effective_members") is None or group.measures["effective_members"].value >= 11


def test_what_does_not_fit_is_said(file, imported, tmp_path):
    out = tmp_path / "out"
    for policy, data, options, said in (
        (file, "tests/nowhere-v0", {}, "no Minari dataset or table 'tests/nowhere-v0'"),
        (file, tmp_path / "members.parquet", {}, "there is no table"),
        (tmp_path / "policy.onnx", TINY, {}, "is no trained policy"),
        (tmp_path / "policy.d3", TINY, {}, "there is no file"),
        (tmp_path / "none.safetensors", TINY, {}, "there is no model file"),
        (
            file,
            TINY,
            {"attributes": ["race"]},
            "no infos 'race' in some or all of its episodes; the first .* has acuity",
        ),
        (file, TINY, {"needs": ["hunger"]}, "no infos 'hunger'"),
        (file, TINY, {"high_touch": ["HOUSE_VISIT"]}, "unknown action level"),
    ):
        with pytest.raises(UserError, match=said):
            audit_fairness(policy, data, out, minimum=11, value=False, **options)
    for codes, said in (
        ({"race_ethnicity": [4, *[0] * 59]}, "not among its 4 names, for fewer than 11 of 60 members"),
        ({"gender": [1] * 60}, "'gender' has one group only"),
        ({"gender": [-1] * 60}, "'gender' is missing for all 60 members"),
    ):
        with pytest.raises(UserError, match=said):
            audit_fairness(None, imported(**codes), out, minimum=11)
    assert not out.exists()


def test_whose_attribute_is_not_recorded_is_in_no_named_group(imported):
    dataset = minari.load_dataset(imported(gender=[-1, 0, 1] * 20))
    episodes = load_episodes(dataset, groups=("gender",))
    own = load_members(dataset, attributes=["gender"]).labels["gender"]
    assert own[:3].tolist() == [None, "FEMALE", "MALE"]
    assert episodes.groups["gender"].tolist() == label_missing(own).tolist()
    with pytest.raises(UserError, match="not among its 2 names, for fewer than 11 of 60 members"):
        load_episodes(minari.load_dataset(imported(gender=[2, *[0] * 59])), groups=("gender",))


def test_a_dataset_in_another_format_reads_the_same(tiny_dataset, monkeypatch, tmp_path):
    direct = load_members(tiny_dataset)
    monkeypatch.setattr(
        "frl_env.evaluation.dataset_reading.minari_reading.Path", lambda place: tmp_path
    )  # no HDF5 file there
    other = load_members(tiny_dataset)
    assert other.needs["open_needs"].tolist() == direct.needs["open_needs"].tolist()
    assert other.labels["gender"].tolist() == direct.labels["gender"].tolist()

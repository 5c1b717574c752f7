"""However a record is cut into spells, nobody is counted twice: the same values, errors, intervals and counts."""

import dataclasses
import itertools
import json
from dataclasses import replace

import gymnasium
import minari
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from minari.data_collector import EpisodeBuffer

from benchmarks.policy_scoring import logged_values
from benchmarks.policy_scoring.panel import panel_of
from benchmarks.policy_scoring.policy_behaviour import portrait
from frl_algos import evaluate_policy, load_replay_buffer, save_model
from frl_algos.factored_awr.fairness_penalty import PenaltyData
from frl_algos.policy_reports.policy_audit import audit_fairness
from frl_algos.value_models.counterfactual import Counterfactual
from frl_algos.value_models.evaluators import policy_evaluators
from frl_algos.value_models.histories import as_episodes
from frl_algos.value_models.value_policy import value_policy
from frl_env.datasets import Recipe, build_dataset, export_table, import_table
from frl_env.errors import UserError
from frl_env.evaluation import LoggedEpisodes, action_space_of, evaluate, load_episodes, sensitivity
from frl_env.evaluation.dataset_reading.member_records import load_members, load_people
from frl_env.evaluation.dataset_reading.people import People

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:`eval_env` is set to None", "ignore:env_spec is None"),
]

GROUPS = ("gender",)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """150 imported members, each in one piece."""
    file = tmp_path_factory.mktemp("spells") / "members.parquet"
    made = Recipe(dataset_id="tests/to-be-cut-v0", description="for tests", members=150, seed=5, horizon=10)
    export_table(build_dataset(made), file)
    return import_table(file, "tests/whole-v0").load()


def cut(dataset, name: str, seed: int, *, shuffled: bool = True, missing: bool = False):
    """The same records as spells at random, in any order; with `missing`, a week of each cut is left out."""
    rng = np.random.default_rng(seed)
    buffers = []
    for episode in dataset.iterate_episodes():
        length = len(episode.rewards)
        cuts = np.flatnonzero(rng.random(length - 1) < 0.3) + 1 if length > 1 else []
        bounds = [0, *cuts, length]
        for start, end in itertools.pairwise(bounds):
            start += missing and start > 0
            if start == end:
                continue
            closed = slice(start, end + 1)
            buffers.append(
                EpisodeBuffer(
                    observations=episode.observations[closed],
                    actions=episode.actions[start:end],
                    rewards=episode.rewards[start:end],
                    terminations=episode.terminations[start:end],
                    truncations=np.arange(start, end) == end - 1,
                    infos={key: values[closed] for key, values in episode.infos.items()},
                )
            )
    if shuffled:
        # The first spells keep their order, by which persons are numbered; the rest may lie anywhere.
        met, first, rest = set(), [], []
        for buffer in buffers:
            member = int(buffer.infos["member"][0, 0])
            (rest if member in met else first).append(buffer)
            met.add(member)
        buffers = [*first, *(rest[i] for i in rng.permutation(len(rest)))]
    made = minari.create_dataset_from_buffers(
        name, buffers, observation_space=dataset.observation_space, action_space=dataset.action_space,
        author="a", author_email="a@b.c", code_permalink="c", algorithm_name="a", description="d",
    )  # fmt: skip
    kept = {
        key: value for key, value in dataset.storage.metadata.items() if key.startswith("frl_") and "files" not in key
    }
    made.storage.update_metadata(kept)
    return minari.load_dataset(name)


@pytest.fixture(scope="module", params=[(0, False), (1, True)], ids=["in order", "in any order"])
def spells(request, whole):
    seed, shuffled = request.param
    return cut(whole, f"tests/cut-{seed}-v0", seed, shuffled=shuffled)


def policy(space):
    """Prefers some actions, by state."""

    def probabilities(observations):
        weights = np.where(space.valid, 1.0, 0.0) * (1 + (np.arange(space.n_joint) % 7) * (observations[:, :1] > 0))
        weights[:, 0] *= 4_000
        return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)

    return probabilities


def told(dataset):
    episodes = load_episodes(dataset, groups=GROUPS)
    episodes = replace(episodes, simulated=True)  # every number is to be compared
    return value_policy(policy(episodes.action_space), episodes, response=0).to_dict()


def test_no_value_error_interval_or_count_changes(whole, spells):
    assert spells.total_episodes > 2 * whole.total_episodes
    assert json.dumps(told(spells)) == json.dumps(told(whole))


def test_with_estimated_propensities_and_what_the_answer_hangs_on(whole, spells):
    found = []
    for dataset in (whole, spells):
        episodes = load_episodes(dataset)
        assert episodes.resumed is None
        answer = sensitivity(
            episodes, policy(episodes.action_space), rng=np.random.default_rng(0), propensities="estimated",
            strengths=(1.5,), clips=(30.0,), windows=(4,),
        )  # fmt: skip
        found.append(json.dumps(answer.to_dict()))
    assert found[0] == found[1]


def test_the_evaluators_of_a_buffer(whole, spells):
    found = []
    for dataset in (whole, spells):
        buffer = load_replay_buffer(dataset)
        assert len(as_episodes(buffer)) == 150
        found.append(Counterfactual.fit(buffer, rng=np.random.default_rng(0)).estimate(
            policy(buffer.action_space), np.random.default_rng(1)
        ).plain)  # fmt: skip
        assert policy_evaluators(buffer, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(*found)


@pytest.mark.long
def test_the_audit(whole, spells, tmp_path):
    texts = []
    for dataset in (whole, spells):
        audit_fairness(None, dataset.spec.dataset_id, tmp_path / "audit", attributes=GROUPS, minimum=11, value=False)
        texts.append((tmp_path / "audit" / "audit.json").read_text())
    assert texts[0] == texts[1]
    records = load_members(spells, attributes=GROUPS).of(load_people(spells))
    assert records.labels["gender"].tolist() == load_members(whole, attributes=GROUPS).labels["gender"].tolist()


@pytest.mark.long
def test_missing_weeks_are_marked_and_nobody_becomes_two(whole):
    gaps = cut(whole, "tests/gaps-v0", 3, missing=True)
    one, other = load_episodes(whole), load_episodes(gaps)
    assert len(other) == len(one) == 150
    assert other.resumed is not None
    lost = one.lengths.sum() - other.lengths.sum()
    assert 0 < lost <= other.resumed.sum() + 150
    share = other.lengths.sum() / one.lengths.sum()
    assert other.returns().sum() / one.returns().sum() == pytest.approx(share, abs=0.2)
    # Each week is missing or not by chance, so that the error shrinks with the weeks and not with the spells.
    errors = [np.std(e.returns()) / np.sqrt(len(e)) for e in (one, other)]
    assert errors[1] == pytest.approx(errors[0] * np.sqrt(share), rel=0.3)


@pytest.mark.long
def test_what_came_of_a_decision_before_missing_weeks_is_not_read_off_the_week_after(whole):
    from frl_algos.value_models.histories import Histories

    gaps = load_episodes(cut(whole, "tests/gaps-two-v0", 4, missing=True))
    rows = Histories.of(gaps)
    before = np.append(gaps.resumed[gaps.mask][1:], False)
    assert rows.unfollowed[before].all()
    assert not rows.last[before].any()
    assert (rows.next_values(5)[before] == 0).all()
    assert (rows.next_values(5)[~rows.unfollowed] > 0).all()


@pytest.mark.long
def test_a_removed_week_in_a_table_as_people_have_it(tmp_path):
    """The way out that import offers for gaps: value and error of the members, not of their halves."""
    from frl_env.datasets import ImportOptions

    made = Recipe(dataset_id="tests/to-be-holed-v0", description="for tests", members=120, seed=8, horizon=12)
    export_table(build_dataset(made), tmp_path / "all.parquet")
    table = pd.read_parquet(tmp_path / "all.parquet")
    table[table["week"] != 5].to_parquet(tmp_path / "holed.parquet")
    full = load_episodes(import_table(tmp_path / "all.parquet", "tests/full-v0").load())
    dataset = import_table(tmp_path / "holed.parquet", "tests/holed-v0", options=ImportOptions(on_error="drop")).load()
    holed = load_episodes(dataset)
    assert dataset.total_episodes > 200
    assert len(holed) == len(full) == 120
    kept = np.delete(np.where(full.mask, full.rewards, 0), 5, axis=1).sum(axis=1)
    np.testing.assert_allclose(holed.returns(), kept)


@pytest.mark.long
def test_overlapping_spells_are_refused_and_combined_parts_told_apart(whole):
    with pytest.raises(UserError, match="overlap in time, for fewer than 11 of 2 members"):
        People.of(np.array([0, 0, 1]), starts=np.array([1, 3, 1]), ends=np.array([4, 6, 2]))
    both = minari.combine_datasets([whole, minari.load_dataset("tests/full-v0")], "tests/both-v0")
    assert len(load_people(both)) == 150 + 120
    part = minari.split_dataset(both, [100], seed=0)[0]
    assert len(load_people(part)) == 100


@pytest.mark.parametrize(("kind", "first"), [(np.int64, 0), (np.uint8, 0), (np.uint32, 0), (np.uint64, 2**63)])
def test_combined_parts_are_told_apart_by_members_of_any_whole_number(kind, first):
    parts = []
    for name in "ab":
        buffers = [
            EpisodeBuffer(
                id=number, observations=np.float32([[0.0], [1.0]]), actions=np.zeros(1, dtype=np.int64), rewards=[0.0],
                terminations=[False], truncations=[True], infos={"member": np.full(2, first + number, dtype=kind)},
            )
            for number in range(3)
        ]  # fmt: skip
        parts.append(
            minari.create_dataset_from_buffers(
                f"tests/{np.dtype(kind).name}-{name}-v0", buffer=buffers, description="for tests",
                algorithm_name="none", code_permalink="none", author="none", author_email="none",
                observation_space=gymnasium.spaces.Box(0, 1, (1,)),
                action_space=gymnasium.spaces.Discrete(2),
            )
        )  # fmt: skip
    assert len(load_people(parts[0])) == 3
    both = minari.combine_datasets(parts, f"tests/{np.dtype(kind).name}-both-v0")
    assert len(load_people(both)) == 6


def test_rows_with_people_named(whole):
    episodes = LoggedEpisodes.from_rows(
        rewards=np.arange(6.0), actions=np.zeros(6, dtype=int), lengths=np.array([1, 2, 3]),
        action_space=action_space_of(whole),
        groups={"g": np.array(["a", "b", "a"])}, people=People.of(np.array([7, 3, 7])),
    )  # fmt: skip
    assert episodes.rewards[:, :4].tolist() == [[0, 3, 4, 5], [1, 2, 0, 0]]
    assert episodes.groups["g"].tolist() == ["a", "b"]
    assert episodes.resumed[0].tolist() == [False, True, False, False]


@pytest.mark.long
def test_fairness_and_suitability_count_people(whole):
    one = load_replay_buffer(whole, groups=["gender"])
    several = load_replay_buffer(cut(whole, "tests/cut-penalty-v0", 3, missing=False), groups=["gender"])
    assert len(several.lengths) > len(one.lengths)
    before, after = (PenaltyData.of_buffer(buffer, by_need=False) for buffer in (one, several))
    assert after.groups.shape == before.groups.shape
    assert sorted(map(tuple, after.groups.tolist())) == sorted(map(tuple, before.groups.tolist()))
    weights = [np.bincount(data.member.numpy(), data.share.numpy()) for data in (before, after)]
    assert np.allclose(weights[0], 1)
    assert np.allclose(weights[1], 1)  # people weigh alike, however many spells


@pytest.fixture(scope="module")
def mixed(whole):
    """Spells in any order."""
    return cut(whole, "tests/cut-mixed-v0", 2)


@pytest.fixture(scope="module")
def model(trained, tmp_path_factory):
    """A policy in a file."""
    file = tmp_path_factory.mktemp("model") / "policy.safetensors"
    save_model(trained, file)
    return file


@pytest.mark.long
def test_evaluate_policy_and_the_audit_of_a_policy_write_the_same(whole, mixed, model, tmp_path):
    for name in ("whole", "spells"):
        dataset = {"whole": whole, "spells": mixed}[name]
        evaluate_policy(model, dataset.spec.dataset_id, tmp_path / name)
        audit_fairness(model, dataset.spec.dataset_id, tmp_path / name, minimum=11)
    files = sorted(file.name for file in (tmp_path / "whole").iterdir())
    assert {"summary.json", "values.csv", "actions.csv", "audit.json", "groups.csv"} <= {*files}
    for file in files:
        assert (tmp_path / "spells" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file


@pytest.mark.long
def test_the_benchmarks_estimates_audit_and_portrait_are_the_same(whole, mixed, trained):
    """What `run.py --ope` puts into the scorecard, and what the report shows."""
    found = []
    for dataset in (whole, mixed):
        name = dataset.spec.dataset_id
        estimates, audit = logged_values.estimate(trained, "stochastic", name, fairness=True)
        panel = panel_of(dataset, members=0, validation=name)
        seen = portrait(trained, ["stochastic", "greedy"], panel)
        found.append(json.dumps([estimates, audit, seen]).replace(name, "ID"))
    assert found[0] == found[1]


@pytest.mark.long
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), shuffled=st.booleans())
def test_any_cut_leaves_episodes_people_and_diagnostics_as_they_are(few, seed, shuffled):
    name = f"tests/any-cut-{seed}-v0"
    spells = cut(few, name, seed, shuffled=shuffled)
    try:
        one, other = load_episodes(few, groups=GROUPS), load_episodes(spells, groups=GROUPS)
        for field in dataclasses.fields(one):
            np.testing.assert_equal(getattr(other, field.name), getattr(one, field.name), err_msg=field.name)
        assert len(load_people(spells)) == len(load_people(few)) == len(one)
        told = [
            evaluate(
                replace(each, simulated=True), policy(each.action_space), rng=np.random.default_rng(0), resamples=20
            ).to_dict()
            for each in (one, other)
        ]
        assert json.dumps(told[0]) == json.dumps(told[1])
    finally:
        minari.delete_dataset(name)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Twelve members in one piece."""
    file = tmp_path_factory.mktemp("few") / "members.parquet"
    made = Recipe(dataset_id="tests/to-be-cut-anyhow-v0", description="for tests", members=12, seed=6, horizon=8)
    export_table(build_dataset(made), file)
    return import_table(file, "tests/few-whole-v0").load()

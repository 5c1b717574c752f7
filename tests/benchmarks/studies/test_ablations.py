from dataclasses import fields

import numpy as np
import pytest

from benchmarks.studies import ablations
from benchmarks.sweep.statistics import bootstrap_interval, interquartile_mean
from frl_algos import FactoredReplayBuffer
from frl_algos.logged_data.memory_map import FlatArrays
from frl_algos.policies.stacked_history import HistoryPolicy, stack_history
from frl_algos.testing import made_up_buffer
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.care_effort import care_effort
from frl_env.errors import UserError
from frl_env.parameters import preset


def test_interquartile_mean_by_hand():
    assert interquartile_mean(np.array([100.0, 1.0, 2.0, 3.0, -50.0, 4.0, 5.0, 6.0])) == 3.5
    assert interquartile_mean(np.array([[7.0], [8.0]])).tolist() == [7.0, 8.0]
    # Of five, the middle three count 0.75, 1, 0.75 (in fifths of the middle half).
    assert interquartile_mean(np.array([0.0, 1.0, 2.0, 4.0, 9.0])) == pytest.approx((0.75 * 1 + 2 + 0.75 * 4) / 2.5)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(100):
        values = rng.normal(size=(1, 5)).T * 0.3 + rng.normal(size=(1, 80))
        low, high = bootstrap_interval(values, rng, draws=200)
        inside += low < 0 < high
    assert 0.8 < inside / 100 <= 1


def test_history_keeps_weeks_of_one_member_together(tiny_buffer):
    stacked = stack_history(tiny_buffer, 3)
    k = tiny_buffer.observations.shape[1]
    start = tiny_buffer.starts[4]
    assert stacked.observations.shape[1] == 3 * k
    np.testing.assert_array_equal(stacked.observations[start], np.tile(tiny_buffer.observations[start], 3))
    row = stacked.observations[start + 5].reshape(3, k)
    np.testing.assert_array_equal(row, tiny_buffer.observations[[start + 5, start + 4, start + 3]])
    following = stacked.next_observations[start + 5].reshape(3, k)
    np.testing.assert_array_equal(following[0], tiny_buffer.next_observations[start + 5])
    np.testing.assert_array_equal(following[1:], tiny_buffer.observations[[start + 5, start + 4]])
    with pytest.raises(UserError, match="at least 1 step"):
        stack_history(tiny_buffer, 0)


def test_history_keeps_whose_episodes_are_and_what_actions_cost():
    buffer = made_up_buffer(MEDICAID_ACTIONS)
    spells = len(buffer.lengths)
    told = FactoredReplayBuffer.from_arrays(
        FlatArrays(**{field.name: getattr(buffer, field.name) for field in fields(FlatArrays)}),
        MEDICAID_ACTIONS,
        people=np.arange(spells) // 2,
        simulated=True,
    )
    told.effort = care_effort(preset())
    stacked = stack_history(told, 2)
    np.testing.assert_array_equal(stacked.people, np.arange(spells) // 2)
    np.testing.assert_array_equal(stacked.since, told.since)
    assert stacked.simulated
    assert stacked.effort is told.effort


def test_history_says_which_state_is_of_which_step(tiny_buffer):
    names = tiny_buffer.state_names
    stacked = stack_history(tiny_buffer, 3)
    assert len(stacked.state_names) == stacked.observations.shape[1]
    assert stacked.state_names[: len(names)] == names
    assert stacked.state_names[len(names)] == f"{names[0]}, 1 step before"
    assert stacked.state_names[-1] == f"{names[-1]}, 2 steps before"
    assert stack_history(tiny_buffer, 1).state_names == names
    assert stack_history(made_up_buffer(MEDICAID_ACTIONS), 2).state_names == ()


def test_a_history_policy_sees_what_training_saw(tiny_buffer):
    stacked = stack_history(tiny_buffer, 3)
    member = slice(tiny_buffer.starts[4], tiny_buffer.starts[4] + tiny_buffer.lengths[4])
    seen = []
    policy = HistoryPolicy(lambda x, rng: seen.append(x), 3)
    for observation in tiny_buffer.observations[member]:
        policy(observation[None], np.random.default_rng(0))
    np.testing.assert_array_equal(np.concatenate(seen), stacked.observations[member])


@pytest.mark.long
def test_the_command_resumes_and_shows_every_variant(tiny_dataset, tmp_path, capsys, monkeypatch):
    arguments = ["--dataset", "tests/tiny-v0", "--seeds", "1", "--steps", "3", "--eval-members", "40"]
    arguments += ["--out", str(tmp_path), "--first", "3"]
    ablations.main(arguments)
    first = capsys.readouterr().out
    for variant in ablations.VARIANTS[:3]:
        assert variant.label in first
    assert len(list(tmp_path.iterdir())) == 3
    monkeypatch.setattr(ablations, "_run", None)  # nothing is trained twice
    ablations.main(arguments)
    assert capsys.readouterr().out == first


def test_learners_along_the_dial_are_other_worlds():
    worlds = [ablations._dial(ablations.DATASET, insight) for insight in ablations.INSIGHTS]
    assert [recipe.world.insight for recipe in worlds] == [0.0, 0.5, 1.0]
    assert len({recipe.dataset_id for recipe in worlds}) == 3
    one, two = (ablations.replicate(ablations.DATASET, number) for number in (0, 1))
    assert one.world == two.world
    assert one.seed != two.seed
    with pytest.raises(UserError, match="unknown dataset"):
        ablations.main(["--study", "replicates", "--dataset", "no/such-v0"])
    with pytest.raises(UserError, match="--seeds must be at least 1"):
        ablations.main(["--seeds", "0"])


def test_first_holds_for_the_dial_too(tmp_path, capsys, monkeypatch):
    asked = []

    def study(world, variants, options, tell):
        asked.append([variant.label for variant in variants])
        return {variant.label: {"share": 1.0, "low": 0.0, "high": 2.0} for variant in variants}

    monkeypatch.setattr(ablations, "_study", study)
    ablations.main(["--study", "confounding", "--first", "2", "--out", str(tmp_path)])
    assert asked == [[variant.label for variant in ablations.LEARNERS[:2]]] * 3
    assert ablations.LEARNERS[2].label not in capsys.readouterr().out


@pytest.mark.parametrize("variant", [*ablations.VARIANTS[3:-1], *ablations.IQLS], ids=lambda variant: variant.label)
def test_every_variant_is_a_sound_configuration(variant):
    algorithm = variant.create(("num_encounters_last_week",))
    for name, value in variant.settings.items():
        assert getattr(algorithm.config, name) == value


def test_stock_learners_run_as_variants(tiny_dataset, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(ablations.STUDIES, "variants", ablations.LEARNERS[-3:])
    arguments = ["--dataset", "tests/tiny-v0", "--seeds", "1", "--steps", "2", "--eval-members", "20"]
    ablations.main([*arguments, "--out", str(tmp_path)])
    assert "IQL (stock, 31-d relaxation)" in capsys.readouterr().out


@pytest.mark.long
def test_replicates_are_summed_up(tiny_dataset, tmp_path, capsys, monkeypatch, tiny_recipe, empty_store):
    import dataclasses

    def other(dataset_id, number):
        return dataclasses.replace(tiny_recipe, dataset_id=f"tests/replicate-{number}-v0", seed=10 + number)

    monkeypatch.setattr(ablations, "replicate", other)
    arguments = ["--study", "replicates", "--replicates", "2", "--seeds", "1", "--steps", "2", "--eval-members", "30"]
    arguments += ["--first", "2", "--out", str(tmp_path / "runs")]
    shares = {"tests/replicate-0-v0": (30.0, 10.0), "tests/replicate-1-v0": (20.0, 25.0)}

    def study(made, variants, options, tell):
        real = real_study(made, variants, options, tell)
        assert list(real) == [variant.label for variant in variants]
        return {label: {"share": share} for label, share in zip(real, shares[made.dataset_id], strict=True)}

    real_study = ablations._study
    monkeypatch.setattr(ablations, "_study", study)
    ablations.main(arguments)
    ours, other = [line.split("│")[-3:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    assert [cell.strip() for cell in ours] == ["25", ""]
    assert [cell.strip() for cell in other] == ["18", "+7.5 (12.5), 1 of 2"]

import numpy as np
import pytest
import torch

from benchmarks.result_records.figures import read_figure
from benchmarks.studies import encodings
from benchmarks.studies.encodings import AUTOREGRESSIVE, ENCODERS, AutoregressivePolicy, _error_by_member, main
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.datasets import Recipe, build_dataset
from frl_env.errors import UserError


def test_the_autoregressive_policy_is_exact_and_normalised():
    torch.manual_seed(0)
    policy = AutoregressivePolicy(7, MEDICAID_ACTIONS)
    x = torch.randn(5, 7)
    log_probabilities = policy(x)
    assert log_probabilities.shape == (5, len(MEDICAID_ACTIONS.valid_joints))
    torch.testing.assert_close(log_probabilities.exp().sum(dim=1), torch.ones(5))
    actions = torch.tensor([0, 1, 200, 500, 680])
    torch.testing.assert_close(policy.log_likelihood(x, actions), log_probabilities[torch.arange(5), actions])


def test_the_command_shows_all_and_does_nothing_twice(tiny_dataset, tmp_path, capsys, monkeypatch, own_figures):
    build_dataset(Recipe(dataset_id="tests/tiny-others-v0", description="", members=30, seed=4, horizon=8))
    arguments = ["--train", "tests/tiny-v0", "--test", "tests/tiny-others-v0", "--updates", "5", "--seeds", "1"]
    arguments += ["--out", str(tmp_path), "--figure"]
    main(arguments)
    shown = capsys.readouterr().out
    monkeypatch.setattr(encodings, "_measure", pytest.fail)
    main(arguments)
    assert capsys.readouterr().out == shown
    figure = read_figure("encodings")
    assert figure.command == f"python benchmarks/studies/encodings.py {' '.join(arguments[:8])}"
    assert figure.table().count("\n") == 2 + len(ENCODERS)
    for label in (*ENCODERS.values(), AUTOREGRESSIVE):
        assert label in shown


def test_those_trained_on_are_no_test(tiny_dataset, tmp_path):
    with pytest.raises(UserError, match="the validation data are the training data"):
        main(["--train", "tests/tiny-v0", "--test", "tests/tiny-v0", "--out", str(tmp_path)])


def test_the_error_of_steps_that_are_alike_within_a_member(tiny_buffer):
    """Alike within members, the error is that of as many numbers as there are members."""
    members = np.random.default_rng(0).normal(size=len(tiny_buffer.lengths))
    steps = np.repeat(members, tiny_buffer.lengths)
    alike = np.sqrt((tiny_buffer.lengths * (members - steps.mean())) @ (tiny_buffer.lengths * (members - steps.mean())))
    assert _error_by_member(steps, tiny_buffer) == pytest.approx(alike / len(steps))
    assert _error_by_member(steps, tiny_buffer) > 3 * steps.std() / np.sqrt(len(steps))

import torch

from benchmarks.candidates import AutoregressivePolicy, main
from frl_env.actions import MEDICAID_ACTIONS


def test_the_autoregressive_policy_is_exact_and_normalised():
    torch.manual_seed(0)
    policy = AutoregressivePolicy(7, MEDICAID_ACTIONS)
    x = torch.randn(5, 7)
    log_probabilities = policy(x)
    assert log_probabilities.shape == (5, len(MEDICAID_ACTIONS.valid_joints))
    torch.testing.assert_close(log_probabilities.exp().sum(dim=1), torch.ones(5))
    actions = torch.tensor([0, 1, 200, 500, 680])
    torch.testing.assert_close(policy.log_likelihood(x, actions), log_probabilities[torch.arange(5), actions])


def test_the_command_shows_both(tiny_dataset, capsys):
    main(["--updates", "5", "--seeds", "1", "--train", "tests/tiny-v0", "--test", "tests/tiny-v0"])
    shown = capsys.readouterr().out
    assert "gate and joint softmax" in shown
    assert "autoregressive" in shown

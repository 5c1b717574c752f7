import itertools

import numpy as np
import pytest
import torch

from frl_algos.networks.joint_scores import JointPolicy, JointScores, Linear
from frl_env.actions import MEDICAID_ACTIONS

VALID = torch.as_tensor(MEDICAID_ACTIONS.valid_joints)


def _policy(size, nvec, joints, null):
    policy = JointPolicy(_scores(size, nvec, joints), hidden_size=16, null=null)
    torch.nn.init.normal_(policy.gate.weight)  # at its start, one half, the gate hides which side it is on
    return policy


def _scores(size, nvec, joints, **options):
    return JointScores(size, nvec, joints, hidden_size=16, embedding_size=8, **options)


@pytest.mark.parametrize("nvec", [(6, 5, 18, 2), (5, 5), (4, 5, 4, 3), (2,) * 10, (7,)])
@pytest.mark.parametrize("null", [None, 0])
def test_probabilities_of_all_joint_actions_sum_to_one_for_any_space(nvec, null):
    joints = torch.arange(int(np.prod(nvec)))
    policy = _policy(3, nvec, joints, null)
    log_probabilities = policy(torch.randn(7, 3))
    assert log_probabilities.shape == (7, len(joints))
    torch.testing.assert_close(log_probabilities.exp().sum(dim=1), torch.ones(7))
    actions = torch.randint(0, len(joints), (7,))
    x = torch.randn(7, 3)
    torch.testing.assert_close(policy.log_likelihood(x, actions), policy(x)[torch.arange(7), actions])


def test_likelihood_without_and_with_only_nulls():
    policy = _policy(7, MEDICAID_ACTIONS.nvec, VALID, 0)
    x = torch.randn(5, 7)
    for actions in (torch.zeros(5, dtype=torch.long), torch.tensor([3, 9, 680, 1, 1])):
        torch.testing.assert_close(policy.log_likelihood(x, actions), policy(x)[torch.arange(5), actions])
        policy.log_likelihood(x, actions).sum().backward()


def test_scores_match_brute_force():
    """Every joint action scored on its own, from the formula in the module's docstring."""
    torch.manual_seed(0)
    net = _scores(7, MEDICAID_ACTIONS.nvec, VALID, copies=3)
    torch.nn.init.normal_(net.query.weight)
    x = torch.randn(3, 7)
    query = net.query(net.state_encoder(x))
    first = np.cumsum([0, *MEDICAID_ACTIONS.nvec[:-1]])
    expected = torch.zeros(3, 3, len(VALID))
    for copy, table in enumerate(net.action_encoder.tables):
        for position, joint in enumerate(VALID.tolist()):
            levels = MEDICAID_ACTIONS.unravel(np.asarray(joint))
            rows = [table[row + level] for row, level in zip(first, levels, strict=True)]
            pairs = [one * two for one, two in itertools.combinations(rows, 2)]
            embedding = torch.cat([sum(rows) / 2, sum(pairs) / 6**0.5])
            expected[copy, :, position] = query[copy] @ embedding
    torch.testing.assert_close(net(x), expected, rtol=1e-4, atol=1e-4)
    chosen = torch.tensor([0, 5, 680])
    torch.testing.assert_close(net.of_logged(x, chosen), net(x)[:, torch.arange(3), chosen], rtol=1e-4, atol=1e-4)


def test_copies_share_nothing():
    torch.manual_seed(0)
    net = _scores(4, (3, 3), torch.arange(9), copies=2)
    x = torch.randn(6, 4)
    before = net(x).detach()
    net(x)[0].sum().backward()
    with torch.no_grad():
        for parameter in net.parameters():
            assert not parameter.grad[1].any()
            parameter[0] += 1
    after = net(x).detach()
    torch.testing.assert_close(after[1], before[1])
    assert not torch.allclose(after[0], before[0])


def test_a_copy_is_a_linear_layer():
    layer = Linear(2, 3, 4)
    x = torch.randn(5, 3)
    for copy in range(2):
        expected = torch.nn.functional.linear(x, layer.weight[copy].T, layer.bias[copy, 0])
        torch.testing.assert_close(layer(x[None])[copy], expected)


def test_factors_are_not_assumed_independent():
    """It can learn 'a phone call only with a CHW, a text only with a pharmacist', which no product of marginals can."""
    torch.manual_seed(0)
    policy = JointPolicy(
        JointScores(1, (2, 2), torch.arange(4), hidden_size=8, embedding_size=8), hidden_size=8, null=None
    )
    optimiser = torch.optim.Adam(policy.parameters(), lr=0.02)
    x, target = torch.ones(64, 1), torch.tensor([0, 3]).repeat(32)
    for _ in range(200):
        loss = -policy.log_likelihood(x, target).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    probabilities = policy(x[:1]).exp()[0].tolist()
    assert probabilities[0] == pytest.approx(0.5, abs=0.05)
    assert probabilities[3] == pytest.approx(0.5, abs=0.05)

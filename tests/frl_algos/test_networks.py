import itertools

import numpy as np
import pytest
import torch

from frl_algos.networks import JointScores
from frl_env.actions import MEDICAID_ACTIONS


@pytest.mark.parametrize("nvec", [(6, 5, 18, 2), (5, 5), (4, 5, 4, 3), (2,) * 10])
def test_probabilities_of_all_joint_actions_sum_to_one_for_any_space(nvec):
    joints = torch.arange(int(np.prod(nvec)))
    net = JointScores(3, nvec, joints, hidden_size=16, embedding_size=8, joint_size=12)
    probabilities = torch.softmax(net(torch.randn(7, 3)), dim=1)
    assert probabilities.shape == (7, len(joints))
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(7))


def test_scores_match_brute_force():
    """Every joint action scored on its own, from the formula in the module's docstring."""
    torch.manual_seed(0)
    joints = torch.as_tensor(MEDICAID_ACTIONS.valid_joints)
    net = JointScores(7, MEDICAID_ACTIONS.nvec, joints, hidden_size=16, embedding_size=8, joint_size=12)
    torch.nn.init.normal_(net.query.weight)
    x = torch.randn(3, 7)
    query = net.query(net.state_encoder(x))
    encoder = net.action_encoder
    expected = torch.zeros(3, len(joints))
    for position, joint in enumerate(joints.tolist()):
        levels = MEDICAID_ACTIONS.unravel(np.asarray(joint))
        parts = [encoder.tables[f].weight[level] for f, level in enumerate(levels)]
        parts += [parts[i] * parts[j] for i, j in itertools.combinations(range(4), 2)]
        expected[:, position] = query @ encoder.project(torch.cat(parts))
    torch.testing.assert_close(net(x), expected, rtol=1e-4, atol=1e-4)
    chosen = torch.tensor([0, 5, 680])
    torch.testing.assert_close(net.of_logged(x, chosen), net(x)[torch.arange(3), chosen], rtol=1e-4, atol=1e-4)


def test_factors_are_not_assumed_independent():
    """It can learn 'a phone call only with a CHW, a text only with a pharmacist', which no product of marginals can."""
    torch.manual_seed(0)
    joints = torch.arange(4)
    net = JointScores(1, (2, 2), joints, hidden_size=8, embedding_size=8, joint_size=8)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.02)
    x, target = torch.ones(64, 1), torch.tensor([0, 3]).repeat(32)
    for _ in range(200):
        loss = torch.nn.functional.cross_entropy(net(x), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    probabilities = torch.softmax(net(x[:1]), dim=1)[0].tolist()
    assert probabilities[0] == pytest.approx(0.5, abs=0.05)
    assert probabilities[3] == pytest.approx(0.5, abs=0.05)

import numpy as np
import pytest
import torch

from frl_algos.networks.expectile_critic import ExpectileCritic, expectile_loss, td_loss
from frl_algos.networks.joint_scores import Linear

NVEC = (2, 2)
GAMMA = 0.9
REWARDS = torch.tensor([[0.0, 1.0, -1.0, 2.5], [1.5, -1.0, 0.0, -2.0]])
"""Of each joint action in each of two states; the last factor's level 1 leads to state 1, level 0 to state 0."""


def _critic(size=2):
    torch.manual_seed(0)
    return ExpectileCritic(size, NVEC, torch.arange(4), hidden_size=32, embedding_size=8)


def _fitted(targets, expectile):
    """The least of the loss, by gradient descent."""
    value = torch.zeros((), requires_grad=True)
    for _ in range(300):
        (gradient,) = torch.autograd.grad(
            expectile_loss(value.expand(len(targets)), targets, expectile=expectile)[0], value
        )
        value = (value - 0.5 * gradient).detach().requires_grad_()
    return value.item()


def test_half_the_expectile_is_the_mean_and_nine_tenths_lie_above():
    targets = torch.tensor([0.0, 1.0, 5.0, 2.0, -1.0])
    assert _fitted(targets, 0.5) == pytest.approx(1.4, abs=1e-4)
    high = _fitted(targets, 0.9)
    assert 2.0 < high < 5.0
    above, below = (targets - high).clamp(min=0).sum(), (high - targets).clamp(min=0).sum()
    assert float(0.9 * above) == pytest.approx(float(0.1 * below), rel=1e-3)  # the definition of the expectile
    assert _fitted(targets, 0.1) < 1.4


def test_td_loss_by_hand():
    values = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    loss, metrics = td_loss(
        values, torch.tensor([1.0, 1.0]), torch.tensor([2.0, 50.0]), torch.tensor([0.0, 1.0]), gamma=0.5
    )
    assert loss.item() == pytest.approx((1.0 + 1.0) / 2 + (4.0 + 1.0) / 2)
    assert not metrics["advantage_loss"].requires_grad


def _transitions(rows, generator):
    states = torch.randint(2, (rows,), generator=generator)
    actions = torch.randint(4, (rows,), generator=generator)
    terminals = (torch.rand(rows, generator=generator) < 0.2).float()
    eye = torch.eye(2)
    return eye[states], actions, REWARDS[states, actions], eye[actions % 2], terminals


def _true_values(greedy):
    """Action values under the uniform behaviour policy, or of the best policy, by iteration."""
    following = torch.tensor([0, 1, 0, 1])
    q = torch.zeros(2, 4)
    for _ in range(500):
        v = q.amax(dim=1) if greedy else q.mean(dim=1)
        q = REWARDS + 0.8 * GAMMA * v[following]
    return q


@pytest.mark.parametrize(("expectile", "greedy"), [(0.5, False), (0.95, True)])
def test_advantages_rank_all_actions_of_a_known_problem(expectile, greedy):
    critic = _critic()
    optim = torch.optim.Adam([p for p in critic.parameters() if p.requires_grad], lr=3e-3, fused=True)
    generator = torch.Generator().manual_seed(1)
    for _ in range(500):
        loss, _ = critic.loss(*_transitions(64, generator), gamma=GAMMA, expectile=expectile)
        optim.zero_grad()
        loss.backward()
        optim.step()
        critic.update_target(0.05)
    true = _true_values(greedy)
    with torch.no_grad():
        advantages, values = critic(torch.eye(2)), critic.state_value(torch.eye(2))
    assert true.sort(dim=1).values.diff(dim=1).min() > 0.25
    assert advantages.argsort(dim=1).tolist() == true.argsort(dim=1).tolist()
    if not greedy:
        torch.testing.assert_close(values, true.mean(dim=1), atol=0.2, rtol=0)
        torch.testing.assert_close(advantages, true - true.mean(dim=1, keepdim=True), atol=0.3, rtol=0)
    else:  # an expectile below 1 stays below the best action, and well above the mean
        assert (values > _true_values(False).mean(dim=1) + 0.5).all()
        assert (values < true.amax(dim=1) + 0.2).all()


def test_nothing_flows_into_targets():
    critic = _critic()
    observations, actions, rewards, following, terminals = _transitions(16, torch.Generator().manual_seed(2))
    following = following.clone().requires_grad_()
    loss, metrics = critic.loss(observations, actions, rewards, following, terminals, gamma=GAMMA, expectile=0.7)
    loss.backward()
    assert following.grad is None
    assert all(p.grad is None for p in critic.target.parameters())
    assert not any(value.requires_grad for value in metrics.values())
    # The action loss leaves the state value alone and the other way round.
    value_loss, _ = expectile_loss(
        critic.state_value(observations), critic.target.of_logged(observations, actions).amin(dim=0), expectile=0.7
    )
    alone = torch.autograd.grad(value_loss, list(critic.state_level.parameters()))
    for parameter, gradient in zip(critic.state_level.parameters(), alone, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    assert any(p.grad.abs().sum() > 0 for p in critic.values.parameters())


def test_terminal_states_have_no_future():
    critic = _critic()
    observations, actions, rewards, _, _ = _transitions(16, torch.Generator().manual_seed(3))
    ends = torch.ones(16)
    losses = [
        critic.loss(observations, actions, rewards, following, ends, gamma=GAMMA, expectile=0.7)[0]
        for following in (torch.zeros(16, 2), torch.full((16, 2), 9.0))
    ]
    torch.testing.assert_close(*losses)


def test_the_slow_copy_moves_its_share_of_the_way():
    critic = _critic()
    assert [name for name, p in critic.named_parameters() if not p.requires_grad] == [
        f"target.{name}" for name, _ in critic.values.named_parameters()
    ]
    with torch.no_grad():
        for parameter in critic.values.parameters():
            parameter += 1
    before = [p.clone() for p in critic.target.parameters()]
    critic.update_target(0.25)
    for old, new in zip(before, critic.target.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.25)


def test_all_actions_at_once_and_one_by_one_agree_and_the_smaller_copy_counts():
    critic = _critic()
    for layer in critic.modules():
        if isinstance(layer, Linear):
            torch.nn.init.normal_(layer.weight)
    x = torch.randn(5, 2)
    every = critic.target(x)
    assert every.shape == (2, 5, 4)
    for action in range(4):
        chosen = critic.target.of_logged(x, torch.full((5,), action))
        torch.testing.assert_close(chosen, every[:, :, action], rtol=1e-4, atol=1e-4)
    expected = np.minimum(*every.detach().numpy()) - critic.state_value(x).detach().numpy()[:, None]
    np.testing.assert_allclose(critic(x).detach().numpy(), expected, rtol=1e-5, atol=1e-5)

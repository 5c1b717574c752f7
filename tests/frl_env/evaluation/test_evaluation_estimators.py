"""Point estimators against problems solved by hand and against loops written straight from the formulas."""

import numpy as np
import pytest

from frl_env.errors import UserError
from frl_env.evaluation import (
    ActionValues,
    direct_method,
    doubly_robust,
    marginal_weights,
    marginalised_doubly_robust,
    marginalised_importance_sampling,
    per_decision_importance_sampling,
    weighted_doubly_robust,
    weighted_importance_sampling,
)

# Two states, two actions, two steps, everybody starts in state 0. Rewards r(0, .) = 1, -1 and r(1, .) = 2, 4. Action 1
# in state 0 leads to state 1 half of the time, action 0 never. By hand:
#   target, P(action 1) = 1/2 in state 0, 3/4 in state 1:    V_1 = 0, 3.5; Q_0(0, .) = 1, 0.75; V_0 = 0.875
#   behaviour, P(action 1) = 1/4 in state 0, 1/2 in state 1: V_1 = 0.5, 3; V_0 = 1.3125
#   P(state 1 at step 1) is 1/4 under the target, 1/8 under behaviour: density ratios 6/7 and 2
REWARD = np.array([[1.0, -1.0], [2.0, 4.0]])
TARGET = np.array([[0.5, 0.5], [0.25, 0.75]])
BEHAVIOUR = np.array([[0.75, 0.25], [0.5, 0.5]])
TARGET_VALUE, BEHAVIOUR_VALUE = 0.875, 1.3125


class TwoStates:
    """64 members in exactly the proportions that the behaviour policy expects, so that nothing is left to chance."""

    def __init__(self, target=TARGET):
        paths = [(0, 0, 0)] * 36 + [(0, 0, 1)] * 12  # first action, second state, second action
        paths += [(1, 0, 0)] * 6 + [(1, 0, 1)] * 2 + [(1, 1, 0)] * 4 + [(1, 1, 1)] * 4
        first, second_state, second = np.array(paths).T
        self.states = np.stack([np.zeros_like(first), second_state], axis=1)
        self.actions = np.stack([first, second], axis=1)
        self.rewards = REWARD[self.states, self.actions]
        self.log_ratios = np.log(target[self.states, self.actions] / BEHAVIOUR[self.states, self.actions])
        self.state_ratios = np.array([[1.0, np.nan], [6 / 7, 2.0]])[[0, 1], self.states]

    def values(self, *, right: bool, target=TARGET) -> ActionValues:
        q = (
            np.array([[[1.0, 0.75], [np.nan, np.nan]], REWARD])
            if right
            else np.array([[[5.0, -3], [0, 0]], 7 - REWARD])
        )
        v = np.einsum("sa,tsa->ts", target, q)
        steps = np.array([0, 1])
        return ActionValues(logged=q[steps, self.states, self.actions], policy=v[steps, self.states])


@pytest.fixture
def problem() -> TwoStates:
    return TwoStates()


def test_importance_sampling_by_hand(problem):
    for estimator in (per_decision_importance_sampling, weighted_importance_sampling):
        assert estimator(problem.rewards, problem.log_ratios).value == pytest.approx(TARGET_VALUE, abs=1e-12)
    # Discount 1/2: E[r_0] = 0, E[r_1] = 0.875.
    assert per_decision_importance_sampling(problem.rewards, problem.log_ratios, discount=0.5).value == pytest.approx(
        0.4375, abs=1e-12
    )


def test_direct_method_is_what_the_values_say(problem):
    assert direct_method(problem.values(right=True)).value == pytest.approx(TARGET_VALUE, abs=1e-12)
    assert direct_method(problem.values(right=False)).value == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("estimator", [doubly_robust, weighted_doubly_robust])
def test_doubly_robust_with_right_weights_needs_no_right_values(problem, estimator, right):
    estimate = estimator(problem.rewards, problem.log_ratios, problem.values(right=right))
    assert estimate.value == pytest.approx(TARGET_VALUE, abs=1e-12)


@pytest.mark.parametrize("estimator", [doubly_robust, weighted_doubly_robust])
def test_doubly_robust_with_right_values_needs_no_right_weights(problem, estimator):
    wrong = problem.log_ratios + 0.7 * problem.actions
    values = problem.values(right=True)
    # What the right values did not foresee is the draw of the second state alone, in exact proportion to its chances.
    assert estimator(problem.rewards, wrong, values).value == pytest.approx(TARGET_VALUE, abs=1e-12)
    assert estimator(problem.rewards, wrong, problem.values(right=False)).value != pytest.approx(TARGET_VALUE, abs=1e-3)


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize(("right_values", "right_ratios"), [(True, True), (False, True), (True, False)])
def test_marginalised_doubly_robust_needs_one_of_both(problem, normalise, right_values, right_ratios):
    ratios = problem.state_ratios if right_ratios else np.full((64, 2), 0.7) + problem.states
    values = problem.values(right=right_values)
    estimate = marginalised_doubly_robust(problem.rewards, problem.log_ratios, ratios, values, normalise=normalise)
    assert estimate.value == pytest.approx(TARGET_VALUE, abs=1e-12)
    assert estimate.decomposes is not normalise


def test_marginalised_importance_sampling_by_hand(problem):
    right = marginalised_importance_sampling(problem.rewards, problem.log_ratios, problem.state_ratios)
    assert right.value == pytest.approx(TARGET_VALUE, abs=1e-12)
    without = marginalised_importance_sampling(problem.rewards, problem.log_ratios, np.ones((64, 2)))
    assert without.value == pytest.approx(
        0 + 7 / 8 * 0 + 1 / 8 * 3.5, abs=1e-12
    )  # states as the behaviour policy left them


def all_estimates(rewards, log_ratios, values, state_ratios, discount=1.0):
    return [
        direct_method(values),
        per_decision_importance_sampling(rewards, log_ratios, discount=discount),
        weighted_importance_sampling(rewards, log_ratios, discount=discount),
        doubly_robust(rewards, log_ratios, values, discount=discount),
        weighted_doubly_robust(rewards, log_ratios, values, discount=discount),
        marginalised_importance_sampling(rewards, log_ratios, state_ratios, discount=discount),
        marginalised_doubly_robust(rewards, log_ratios, state_ratios, values, discount=discount),
    ]


def test_the_behaviour_policy_has_the_value_that_was_observed():
    problem = TwoStates(BEHAVIOUR)
    observed = problem.rewards.sum(axis=1)
    values = problem.values(right=False, target=BEHAVIOUR)
    advantage = (values.logged - values.policy).sum(axis=1)
    for estimate in all_estimates(problem.rewards, problem.log_ratios, values, np.ones((64, 2)))[1:]:
        assert estimate.value == pytest.approx(BEHAVIOUR_VALUE, abs=1e-12), estimate.name
        # Not only on average: each member's term is that member's own return, but for the luck of its own actions.
        luck = advantage if "DR" in estimate.name else 0.0
        assert np.allclose(estimate.minus(observed).terms + luck, 0, atol=1e-12), estimate.name


def test_no_difference_where_actions_change_nothing():
    rng = np.random.default_rng(0)
    n, steps = 20_000, 3
    propensity = rng.uniform(0.2, 0.8, (n, steps))
    action = rng.random((n, steps)) < propensity
    target = rng.uniform(0.3, 0.7, (n, steps))
    log_ratios = np.log(np.where(action, target, 1 - target) / np.where(action, propensity, 1 - propensity))
    risk = rng.normal(size=(n, 1))
    rewards = risk + rng.normal(size=(n, steps))
    left = np.arange(steps, 0, -1)
    values = ActionValues(logged=risk * left, policy=risk * left)
    for estimate in all_estimates(rewards, log_ratios, values, np.ones((n, steps))):
        difference = estimate.minus(rewards.sum(axis=1))
        assert abs(difference.value) < 4 * difference.standard_error, estimate.name
        assert difference.standard_error < 0.05, estimate.name


@pytest.fixture
def bandit():
    """One decision, two actions, reward 1.079 x (2a - 1) + noise; the best policy earns 0.861, the worst -0.861."""
    rng = np.random.default_rng(1)
    n = 40_000
    x = rng.normal(size=n)
    good = rng.random(n) < 0.533  # the behaviour policy hardly looks at x: value 0.057
    action = np.where(good, x > 0, x <= 0).astype(int)
    rewards = 1.079 * x * (2 * action - 1) + 0.3 * rng.normal(size=n)
    q = 1.079 * x[:, None] * np.array([-1.0, 1.0])  # a well fitted model
    best = np.stack([x <= 0, x > 0], axis=1).astype(float)
    policies = {0.861: best, -0.861: 1 - best, -0.001: np.full((n, 2), 0.5)}
    propensity = np.where(good, 0.533, 0.467)
    return rewards[:, None], action, propensity, q, policies


def test_the_bandit_on_which_the_published_formula_sees_parity(bandit):
    rewards, action, propensity, q, policies = bandit
    rows = np.arange(len(action))
    published, ours = {}, {}
    for true_value, pi in policies.items():
        with np.errstate(divide="ignore"):
            log_ratios = np.log(pi[rows, action] / propensity)[:, None]
        logged = q[rows, action][:, None]
        right = ActionValues(logged=logged, policy=(pi * q).sum(axis=1)[:, None])
        wrong = ActionValues(logged=logged, policy=logged)  # direct term Q(s, a_logged)
        published[true_value] = doubly_robust(rewards, log_ratios, wrong).value
        ours[true_value] = {
            e.name: e
            for e in (
                direct_method(right),
                doubly_robust(rewards, log_ratios, right),
                weighted_doubly_robust(rewards, log_ratios, right),
                marginalised_doubly_robust(rewards, log_ratios, np.ones_like(rewards), right),
                per_decision_importance_sampling(rewards, log_ratios),
                weighted_importance_sampling(rewards, log_ratios),
            )
        }
    # Every policy looks like the behaviour policy, good, bad or random.
    assert np.allclose(list(published.values()), 0.057, atol=0.015)
    for true_value, estimates in ours.items():
        for name, estimate in estimates.items():
            assert estimate.value == pytest.approx(true_value, abs=0.02), (true_value, name)
    for name in ours[0.861]:
        assert min(ours, key=lambda value: ours[value][name].value) == -0.861, (
            f"{name} does not rank the bad policy last"
        )


@pytest.fixture
def arrays():
    """Random arrays of unequal length, padded as `LoggedEpisodes` pads."""
    rng = np.random.default_rng(2)
    lengths = rng.integers(1, 7, size=40)
    mask = np.arange(6) < lengths[:, None]
    rewards, logs, logged, policy = (np.where(mask, rng.normal(size=mask.shape), 0) for _ in range(4))
    return lengths, rewards, logs, ActionValues(logged=logged, policy=policy)


def test_importance_sampling_agrees_with_loops(arrays):
    lengths, rewards, logs, _ = arrays
    n, discount = len(lengths), 0.9
    steps = rewards.shape[1]
    weights = np.ones((n, steps))
    for i in range(n):
        w = 1.0
        for t in range(steps):
            if t < lengths[i]:
                w *= np.exp(logs[i, t])
            weights[i, t] = w
    plain = sum(discount**t * weights[i, t] * rewards[i, t] for i in range(n) for t in range(lengths[i])) / n
    normalised = sum(
        discount**t * weights[i, t] / weights[:, t].sum() * rewards[i, t] for i in range(n) for t in range(lengths[i])
    )
    assert per_decision_importance_sampling(rewards, logs, discount=discount).value == pytest.approx(plain, abs=1e-10)
    assert weighted_importance_sampling(rewards, logs, discount=discount).value == pytest.approx(normalised, abs=1e-10)


@pytest.mark.parametrize("clip", [None, 1.5])
def test_doubly_robust_agrees_with_loops_in_its_other_form(arrays, clip):
    lengths, rewards, logs, values = arrays
    n, discount = len(lengths), 0.9
    plain = normalised = 0.0
    before = np.ones(n)
    product = np.ones(n)
    for t in range(rewards.shape[1]):
        for i in range(n):
            if t < lengths[i]:
                product[i] *= np.exp(logs[i, t])
        now = product.copy() if clip is None else np.array([min(w, clip) for w in product])
        for i in range(n):
            surprise, expected = rewards[i, t] - values.logged[i, t], values.policy[i, t]
            plain += discount**t * (now[i] * surprise + before[i] * expected) / n
            normalised += discount**t * (now[i] / now.sum() * surprise + before[i] / before.sum() * expected)
        before = now
    estimate = doubly_robust(rewards, logs, values, discount=discount, clip=clip)
    assert estimate.value == pytest.approx(plain, abs=1e-10)
    estimate = weighted_doubly_robust(rewards, logs, values, discount=discount, clip=clip)
    assert estimate.value == pytest.approx(normalised, abs=1e-10)


def test_terms_have_the_value_as_mean_and_the_spread_of_a_jackknife(arrays):
    lengths, rewards, logs, values = arrays
    ratios = np.exp(np.random.default_rng(3).normal(size=rewards.shape) / 3)
    for estimate in all_estimates(rewards, 0.3 * logs, values, ratios):
        n = len(lengths)
        assert estimate.terms.mean() == pytest.approx(estimate.value, abs=1e-12)
        left_out = np.array([estimate.of(np.arange(n) != i).value for i in range(n)])
        jackknife = np.sqrt((n - 1) * np.var(left_out))
        assert estimate.linear_error == pytest.approx(jackknife, rel=1e-9 if estimate.decomposes else 0.1), (
            estimate.name
        )
        assert estimate.standard_error >= jackknife * (1 - 1e-9), estimate.name


def test_errors_are_the_larger_of_leaving_each_member_out_and_of_the_spread_of_all_members():
    """Both written out: the estimate without each member, and the covariance of what is weighted."""
    rng, larger = np.random.default_rng(0), []
    for case in range(40):
        n, steps = int(rng.integers(2, 9)), int(rng.integers(1, 5))
        log_ratios = rng.normal(scale=1.5, size=(n, steps))
        if case % 4 == 0:  # one member alone has all weight, from a week on
            log_ratios[1:, -1] = -np.inf
        if case % 4 == 1:  # in the last week nobody has any
            log_ratios[:, -1] = -np.inf
        rewards, logged, policy = rng.normal(size=(3, n, steps))
        policy *= 3  # so that the plain part, V_0, counts, too
        rows = np.arange(n)

        def value(kept, rewards=rewards, log_ratios=log_ratios, logged=logged, policy=policy):
            of = ActionValues(logged=logged[kept], policy=policy[kept])
            return weighted_doubly_robust(rewards[kept], log_ratios[kept], of, discount=0.9)

        without = np.array([value(rows != left).value for left in rows])
        jackknife = np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum())
        following = np.column_stack([policy[:, 1:], np.zeros(n)])
        unforeseen = (rewards + 0.9 * following - logged) * 0.9 ** np.arange(steps)
        weights = np.exp(np.cumsum(log_ratios, axis=1))
        a = np.column_stack([np.ones(n), weights / np.maximum(weights.mean(axis=0), 1e-300)])
        covariance = np.atleast_2d(np.cov(np.column_stack([policy[:, 0], unforeseen]), rowvar=False))
        pooled = np.sqrt(np.einsum("ij,jk,ik->", a, covariance, a)) / n
        assert value(rows).sampling_error == pytest.approx(max(jackknife, pooled), rel=1e-9)
        larger.append((jackknife > pooled, case % 4 == 0))
    assert {(True, True), (True, False), (False, False)} <= set(larger)


def test_windows_reach_from_one_week_to_all_of_them(arrays):
    lengths, rewards, logs, values = arrays
    steps = rewards.shape[1]
    densities = np.where(logs != 0, np.exp(np.random.default_rng(3).normal(size=rewards.shape) / 3), 1)
    densities[:, 0] = 1
    for window in (1, 2, steps, 99):
        found = marginal_weights(logs, densities, lengths=lengths, window=window)
        for i in range(len(lengths)):
            for t in range(steps):
                end = min(t, lengths[i] - 1)
                start = max(end - window + 1, 0)
                by_hand = densities[i, start] * np.exp(logs[i, start : end + 1].sum())
                assert found[i, t] == pytest.approx(by_hand)
    all_weeks = marginalised_doubly_robust(rewards, logs, densities, values, lengths=lengths, window=steps)
    assert all_weeks.value == pytest.approx(weighted_doubly_robust(rewards, logs, values).value)


def test_weights_of_any_size_give_numbers(arrays):
    _, rewards, _, values = arrays
    huge = np.where(rewards != 0, 400.0, 0.0)
    huge[0, 0] = -np.inf
    for estimate in all_estimates(rewards, huge, values, np.ones_like(rewards)):
        assert np.isfinite(estimate.value), estimate.name
    never = np.where(rewards != 0, -np.inf, 0.0)
    assert weighted_importance_sampling(rewards, never).value == 0.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a | {"log_ratios": a["log_ratios"][:, :-1]}, "log_ratios have shape"),
        (
            lambda a: a | {"rewards": np.where(a["rewards"] > 1, np.nan, a["rewards"])},
            r"rewards are not finite in \d+ of 40 members",
        ),
        (
            lambda a: a | {"log_ratios": np.where(a["rewards"] > 1, np.inf, 0)},
            r"log_ratios are not finite in \d+ of 40 members",
        ),
        (lambda a: a | {"clip": 0.0}, "clip must be a positive cut-off"),
        (lambda a: a | {"clip": float("nan")}, "clip must be a positive cut-off"),
        (lambda a: a | {"discount": 1.5}, "discount must be a number in 0..1"),
    ],
)
def test_clear_errors(arrays, change, message):
    _, rewards, logs, values = arrays
    arguments = change({"rewards": rewards, "log_ratios": logs, "values": values})
    with pytest.raises(UserError, match=message):
        weighted_doubly_robust(**arguments)

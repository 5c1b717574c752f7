"""The nested model on small worlds whose truth is known, hidden confounding included."""

import dataclasses

import numpy as np
import pytest
from scipy.special import expit

from frl_algos.action_effects.terms import Terms
from frl_algos.value_models.counterfactual import Counterfactual
from frl_algos.value_models.fitted_q import fitted_q_evaluation
from frl_algos.value_models.histories import Histories
from frl_algos.value_models.nested_mean_model import plain_terms
from frl_algos.value_models.responses import Responses
from frl_algos.value_models.value_policy import value_policy
from frl_env.actions import ActionSpace, Factor
from frl_env.errors import UserError
from frl_env.evaluation import LoggedEpisodes, evaluate

SPACE = ActionSpace(
    factors=(
        Factor(name="modality", levels=("NONE", "CALL", "VISIT")),
        Factor(name="goal", levels=("NONE", "FOOD", "CARE")),
    ),
    contact_factors=("modality", "goal"),
)
NOTHING, CALL, VISIT = 0, int(SPACE.ravel([1, 1])), int(SPACE.ravel([2, 1]))
STEPS = 20
TIRING = 0.4
SHOWN, EVENTS, CALLS = range(3)


def simulate(
    attempt, *, members: int, seed: int, effect: float = 0.6, tiring: tuple[float, float] = (1.0, 1.0)
) -> LoggedEpisodes:
    """Half the members are ill, which nothing shows; visits that reach a member spare events for some weeks.

    Args:
        attempt: From a flag for illness to the joint actions of a step.
        members: How many.
        seed: Of everything.
        effect: Share of the events that a visit spares in its week.
        tiring: Load that a call and a visit leave.
    """
    rng = np.random.default_rng(seed)
    ill = rng.random(members) < 0.5
    relief, load, last = np.zeros(members), np.zeros(members), np.zeros((members, 3))
    observations, actions = np.zeros((members, STEPS, 3)), np.zeros((members, STEPS), dtype=int)
    rewards = np.zeros((members, STEPS))
    for t in range(STEPS):
        chosen = attempt(ill, rng)
        reached = (chosen != NOTHING) & (rng.random(members) < 0.6 * np.exp(-TIRING * load))
        load = 0.9 * (load + np.select([chosen == CALL, chosen == VISIT], tiring, 0.0))
        relief = np.maximum(0.9 * relief, effect * (reached & (chosen == VISIT)))
        events = rng.poisson(np.where(ill, 0.3, 0.1) * (1 - relief))
        observations[:, t], actions[:, t], rewards[:, t] = last, chosen, -events
        # The ill get in touch on their own, too.
        called = rng.random(members) < np.where(ill, 0.1, 0.02)
        last = np.stack([reached * 1.0 + called, events, chosen == CALL], axis=1)
    return LoggedEpisodes(
        rewards=rewards,
        lengths=np.full(members, STEPS),
        actions=actions,
        action_space=SPACE,
        observations=observations.astype(np.float32),
    )


def team(ill: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Contacts the ill three times as often."""
    acts = rng.random(len(ill)) < np.where(ill, 0.3, 0.1)
    return np.where(acts, rng.choice([CALL, VISIT], len(ill)), NOTHING)


def always(joint: int, share: float = 1.0):
    probabilities = np.zeros(SPACE.n_joint, dtype=np.float32)
    probabilities[joint] = share
    probabilities[NOTHING] += 1 - share
    return lambda observations: np.tile(probabilities, (len(observations), 1))


def true_value(joint: int, share: float) -> float:
    def attempt(ill, rng):
        return np.where(rng.random(len(ill)) < share, joint, NOTHING)

    return float(simulate(attempt, members=60_000, seed=9).returns().mean())


@pytest.fixture(scope="module")
def logged() -> LoggedEpisodes:
    return simulate(team, members=6_000, seed=1)


@pytest.fixture(scope="module")
def valuation(logged) -> Counterfactual:
    return Counterfactual.fit(logged, rng=np.random.default_rng(0), response=SHOWN)


@pytest.fixture(scope="module")
def behaviour() -> float:
    return float(simulate(team, members=60_000, seed=9).returns().mean())


def test_answers_and_calls_are_told_apart(logged):
    rows = Histories.of(logged)
    responses = Responses.fit(rows, plain_terms(Terms.of_space(SPACE, 3)), SHOWN)
    assert responses.fading == 0.9
    for joint in (CALL, VISIT):
        slope = responses.slopes[SPACE.valid_joints.tolist().index(joint)]
        assert -0.9 < slope < -TIRING, "a logistic slope is steeper than the logarithm's"
    fresh = rows.attempted & (rows.step == 0)
    assert abs(responses.chance[fresh].mean() - 0.6) < 0.05
    assert abs(responses.chance_unprompted.mean() - 0.06) < 0.01
    assert (responses.chance[~rows.attempted] == 0).all()


def test_each_action_tires_as_much_as_it_does():
    """A policy that only calls is answered as one that only calls would be."""

    def lot(ill, rng):
        return rng.choice([NOTHING, CALL, VISIT], len(ill))

    logged = simulate(lot, members=4_000, seed=4, tiring=(0.1, 1.0))
    responses = Responses.fit(Histories.of(logged), plain_terms(Terms.of_space(SPACE, 3)), SHOWN)
    call, visit = (responses.slopes[SPACE.valid_joints.tolist().index(joint)] for joint in (CALL, VISIT))
    assert visit < -0.3
    assert -0.15 < call < 0.05
    assert responses.slopes[0] == 0


@pytest.mark.parametrize(("joint", "share"), [(NOTHING, 0.0), (VISIT, 0.1), (VISIT, 0.3), (CALL, 0.3)])
def test_it_sees_through_hidden_confounding(joint, share, logged, valuation, behaviour):
    estimate = valuation.estimate(always(joint, share), np.random.default_rng(0)).minus(valuation.returns)
    truth = true_value(joint, share) - behaviour
    assert abs(estimate.value - truth) < 3 * estimate.standard_error + 0.05, (estimate.value, truth)


def test_it_ranks_what_a_naive_fit_turns_round(logged, valuation):
    policies = {"visits": always(VISIT, 0.3), "nothing": always(NOTHING)}
    ours = {key: valuation.estimate(policy, np.random.default_rng(0)).value for key, policy in policies.items()}
    naive = {
        key: fitted_q_evaluation(logged, policy, rng=np.random.default_rng(0)).estimate.value
        for key, policy in policies.items()
    }
    assert true_value(VISIT, 0.3) - true_value(NOTHING, 0.0) > 0.3
    assert ours["visits"] - ours["nothing"] > 0.15
    assert naive["visits"] < naive["nothing"], "the team visits the ill: a naive fit blames the visits"


@pytest.mark.long
def test_the_spread_of_the_terms_is_the_error(behaviour):
    """Over replicates, the estimates vary as their standard errors say."""
    found = []
    for seed in range(20):
        logged = simulate(team, members=800, seed=100 + seed)
        valuation = Counterfactual.fit(logged, rng=np.random.default_rng(0), response=SHOWN)
        estimate = valuation.estimate(always(VISIT, 0.3), np.random.default_rng(0)).minus(valuation.returns)
        found.append((estimate.value, estimate.standard_error))
    values, errors = np.asarray(found).T
    assert 0.8 < errors.mean() / values.std(ddof=1) < 2.5, "wider, by what the prior leaves open"


def test_what_the_team_may_have_known_widens_every_interval(logged, valuation):
    """The logged weeks can't show it, so the value stays and the error that members share grows, by a known amount."""
    rows = valuation.model.rows
    often = np.bincount(logged.actions[logged.mask], minlength=SPACE.n_joint) / len(rows.actions)

    def alike(observations):
        return np.tile(often.astype(np.float32), (len(observations), 1))

    blind, wary = (
        Counterfactual(model=valuation.model, insight=insight).estimate(alike, np.random.default_rng(0))
        for insight in (0.0, 0.1)
    )
    assert blind.value == wary.value
    np.testing.assert_array_equal(blind.terms, wary.terms)
    worth = float(
        np.abs(valuation.model.amount * valuation.model.expected(np.arange(len(rows.actions)))[:, 0]).sum()
    ) / len(logged)
    assert worth > 0
    assert np.sqrt(wary.shared**2 - blind.shared**2) == pytest.approx(0.1 * worth)

    naive = Counterfactual.fit(logged.subset(np.arange(500)), rng=np.random.default_rng(0), insight=0.1)
    bare = Counterfactual(model=naive.model, insight=0.0)
    shared = {model.estimate(alike, np.random.default_rng(0)).shared for model in (naive, bare)}
    assert len(shared) == 1, "without a response it is confounding, which no interval holds"


def test_a_belief_moves_estimates_and_narrows_no_interval(logged):
    """Levels of other factors are shrunk harder; that they might differ as much stays in the error."""
    few = logged.subset(np.arange(60))
    by_modality, by_goal = (
        Counterfactual.fit(few, rng=np.random.default_rng(0), response=SHOWN, leading=leading).model
        for leading in (None, "goal")
    )
    modality, goal = (np.flatnonzero(by_modality.terms.groups == group) for group in (1, 2))
    for columns, believing, doubting in ((modality, by_modality, by_goal), (goal, by_goal, by_modality)):
        assert np.abs(believing.weights[:, columns]).max() > 5 * np.abs(doubting.weights[:, columns]).max()
        for model in (believing, doubting):
            assert (np.sqrt(np.diag(model.prior)[columns]) > 0.6 * model.terms.scales[1]).all()
    with pytest.raises(UserError, match="unknown factor 'channel'"):
        Counterfactual.fit(few, rng=np.random.default_rng(0), response=SHOWN, leading="channel")


def test_what_pairs_of_levels_may_do_widens_intervals_where_the_record_does_not_show_it(logged, valuation):
    model = valuation.model
    off_record = int(SPACE.ravel([2, 2]))
    places = {joint: place for place, joint in enumerate(SPACE.valid_joints.tolist())}
    levels = model.terms.fixed
    # An effect that levels add up to is taken up by them, but for the prior: nothing is left open.
    taken = model.taken.T @ levels[:, 0]
    assert levels @ taken[: levels.shape[1]] == pytest.approx(levels[:, 0], abs=0.2)

    def beside(target):
        found, exposure, _ = valuation._change(target, np.arange(len(logged)), np.random.default_rng(0))
        return np.sqrt(model.beside_levels(exposure, found.mean(axis=0))), exposure

    (same, exposure), (other, _) = beside(always(VISIT)), beside(always(off_record))
    assert exposure[places[VISIT]] < 0 < exposure[places[CALL]], "in the sign of the rewards"
    assert other > 1.3 * same > 0
    estimate = valuation.estimate(always(off_record), np.random.default_rng(0))
    assert estimate.shared > other
    without = dataclasses.replace(valuation, model=dataclasses.replace(model, pairs=model.pairs[:, :0]))
    narrower = without.estimate(always(off_record), np.random.default_rng(0))
    assert narrower.value == estimate.value
    assert narrower.shared**2 + other**2 == pytest.approx(estimate.shared**2)


def test_where_nothing_helps_nothing_is_found():
    logged = simulate(team, members=4_000, seed=2, effect=0.0)
    valuation = Counterfactual.fit(logged, rng=np.random.default_rng(0), response=SHOWN)
    estimate = valuation.estimate(always(VISIT, 0.3), np.random.default_rng(0)).minus(valuation.returns)
    assert abs(estimate.value) < 3 * estimate.standard_error
    assert estimate.standard_error < 0.2


def test_without_a_response_actions_are_compared_given_the_record():
    """Contacts by lot need no response to be valued."""

    def lot(ill, rng):
        return np.where(rng.random(len(ill)) < 0.2, rng.choice([CALL, VISIT], len(ill)), NOTHING)

    logged = simulate(lot, members=8_000, seed=3)
    valuation = Counterfactual.fit(logged, rng=np.random.default_rng(0))
    visits, calls = (
        valuation.estimate(always(joint, 0.2), np.random.default_rng(0)).minus(valuation.returns)
        for joint in (VISIT, CALL)
    )
    gap = true_value(VISIT, 0.2) - true_value(CALL, 0.2)
    assert gap > 0.3
    assert abs(visits.value - calls.value - gap) < 3 * np.hypot(visits.standard_error, calls.standard_error)
    assert visits.value - calls.value > 0.1


def test_the_target_meets_its_own_echo(logged, valuation):
    """A policy that calls again only after a call sees its own last call, not the team's."""
    asked = []

    def again(observations):
        asked.append(observations)
        probabilities = always(CALL)(observations)
        stop = observations[:, CALLS] > 0
        probabilities[stop] = always(NOTHING)(observations[stop])
        return probabilities

    valuation.estimate(again, np.random.default_rng(0), members=1_000)
    assert (asked[1][:, CALLS] == 1).all()
    assert (asked[2][:, CALLS] == 0).all()
    assert (asked[3][:, CALLS] == 1).all()


def test_members_left_alone_longer_than_anybody_was_are_beyond_the_record():
    """A team that attempts nearly always shows nobody rested; one that leaves some alone shows all there is."""

    def always(ill, rng):
        return np.where(rng.random(len(ill)) < 0.95, rng.choice([CALL, VISIT], len(ill)), NOTHING)

    def seldom(observations):
        return np.tile(np.where(np.arange(SPACE.n_joint) == NOTHING, 0.9, 0.1 * np.eye(SPACE.n_joint)[VISIT]),
                       (len(observations), 1))  # fmt: skip

    def often(observations):
        return np.tile(0.5 * (np.eye(SPACE.n_joint)[CALL] + np.eye(SPACE.n_joint)[VISIT]), (len(observations), 1))

    busy = simulate(always, members=1_500, seed=0)
    model = Counterfactual.fit(busy, rng=np.random.default_rng(0), response=SHOWN)
    assert model.response_doubt is None
    rested, tired = (model.estimate(target, np.random.default_rng(0)) for target in (seldom, often))
    assert rested.outside > 0.5
    assert tired.outside == 0
    assert model.support_doubt(tired) is None
    doubt = model.support_doubt(rested)
    assert doubt is not None
    assert "left members alone longer" in doubt
    found = value_policy(seldom, busy, valuation=model, propensities=np.full(busy.mask.shape, 0.475))
    assert found.headline_estimator != "SNM"
    assert doubt in found.sentence
    mixed = Counterfactual.fit(simulate(team, members=1_500, seed=0), rng=np.random.default_rng(0), response=SHOWN)
    assert mixed.estimate(seldom, np.random.default_rng(0)).outside == 0


def test_a_sample_of_members_gives_nearly_the_same(valuation):
    whole = valuation.estimate(always(VISIT, 0.3), np.random.default_rng(0)).minus(valuation.returns)
    part = valuation.estimate(always(VISIT, 0.3), np.random.default_rng(0), members=1_000).minus(valuation.returns)
    assert whole.value != part.value
    assert abs(whole.value - part.value) < 3 * np.sqrt(part.standard_error**2 - whole.standard_error**2)
    assert whole.standard_error < part.standard_error < 1.5 * whole.standard_error


def test_a_discount_counts_early_weeks_more(logged, valuation):
    undiscounted = valuation.estimate(always(VISIT, 0.3), np.random.default_rng(0)).minus(valuation.returns)
    discounted = Counterfactual(model=valuation.model, discount=0.9)
    np.testing.assert_allclose(discounted.returns, logged.returns(0.9))
    change = discounted.estimate(always(VISIT, 0.3), np.random.default_rng(0)).minus(discounted.returns)
    assert 0.2 * undiscounted.value < change.value < 0.7 * undiscounted.value


def test_mistakes_are_said(logged):
    with pytest.raises(UserError, match=r"^fewer than 10 attempts got a response"):  # how many is not said
        Counterfactual.fit(logged.subset(np.arange(5)), rng=np.random.default_rng(0), response=SHOWN)
    with pytest.raises(UserError, match="folds need"):
        Counterfactual.fit(logged.subset(np.arange(3)), rng=np.random.default_rng(0))
    with pytest.raises(UserError, match="insight must be a number in 0"):
        Counterfactual.fit(logged, rng=np.random.default_rng(0), insight=-0.1)
    everything = LoggedEpisodes(
        rewards=np.zeros((30, 4)),
        lengths=np.full(30, 4),
        actions=np.zeros((30, 4), dtype=int),
        action_space=ActionSpace.from_nvec([2, 2]),
        observations=np.zeros((30, 4, 2), dtype=np.float32),
    )
    with pytest.raises(UserError, match="does nothing"):
        Counterfactual.fit(everything, rng=np.random.default_rng(0), response=0)
    idle = Counterfactual.fit(everything, rng=np.random.default_rng(0))
    uniform = idle.estimate(lambda x: np.full((len(x), 4), 0.25), np.random.default_rng(0))
    assert uniform.value == 0


def test_it_stands_beside_the_other_estimators(logged, valuation):
    """In the report of `evaluate`, also as its headline."""
    members = np.arange(400)
    some = Counterfactual.fit(logged.subset(members), rng=np.random.default_rng(0), response=SHOWN)
    estimate = some.estimate(always(VISIT, 0.3), np.random.default_rng(0))
    report = evaluate(
        logged.subset(members),
        always(VISIT, 0.3),
        rng=np.random.default_rng(0),
        propensities=np.full((400, STEPS), 0.5),
        others=[estimate],
        headline="SNM",
        resamples=50,
    )
    assert report.headline is not None
    assert report.headline.estimate.value == estimate.value
    assert estimate.decomposes


def test_chances_of_an_answer_are_those_of_their_log_odds():
    """Also far out, where an exponential of log odds is no number in single precision."""
    levels, odds = np.array([0.0, -2.0, 3.0, 90.0, -90.0]), np.array([0.0, 1.5, -200.0, 200.0])
    none = np.zeros(len(odds))
    responses = Responses(
        fading=0.9, slopes=levels, levels=levels, odds=odds, chance=none, chance_unprompted=none, reached=none,
        called=none,
    )  # fmt: skip
    found = responses.chances(np.full(4, -0.5), np.arange(4), null=0)
    expected = expit(np.clip(levels, -40, 40) + np.clip(odds - 0.5, -40, 40)[:, None])
    expected[:, 0] = 0
    np.testing.assert_allclose(found, expected, rtol=1e-5)

"""However few members there are, a person reads a sentence: an estimate, why there is none, or what to do."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from frl_algos.policy_reports.policy_audit import audit_policy
from frl_algos.value_models.policy_sensitivity import policy_sensitivity
from frl_algos.value_models.selection import select_policy
from frl_algos.value_models.value_policy import value_policy
from frl_env.actions import ActionSpace, Factor
from frl_env.errors import UserError
from frl_env.evaluation import LoggedEpisodes
from frl_env.evaluation.nuisances.propensities import estimate_propensities

pytestmark = pytest.mark.usefixtures("one_thread")

SPACE = ActionSpace(factors=(Factor(name="way", levels=("NONE", "CALL", "TEXT")),), contact_factors=("way",))


def care(members: int, seed: int, *, logged: bool, simulated: bool) -> LoggedEpisodes:
    """Up to 6 weeks a member; half of the attempts are answered."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 7, size=members)
    mask = np.arange(6) < lengths[:, None]
    actions = np.where(mask, rng.choice(3, size=mask.shape, p=[0.5, 0.25, 0.25]), 0)
    seen = np.zeros((*mask.shape, 2), dtype=np.float32)
    seen[:, :, 0] = rng.random(mask.shape) < 0.4
    seen[:, :, 1] = rng.normal(size=mask.shape)
    return LoggedEpisodes(
        rewards=np.where(mask, -rng.poisson(0.1, size=mask.shape).astype(float), 0.0),
        lengths=lengths,
        actions=actions,
        action_space=SPACE,
        observations=seen,
        propensities=np.where(actions > 0, 0.25, 0.5) if logged else None,
        groups={"gender": np.where(rng.random(members) < 0.5, "F", "M")},
        simulated=simulated,
    )


def target(observations):
    return np.tile([0.2, 0.5, 0.3], (len(observations), 1))


def said(make) -> str:
    """What a person reads."""
    try:
        return make()
    except UserError as problem:
        return str(problem)


FEW = {
    "members": st.integers(1, 25),
    "seed": st.integers(0, 1_000),
    "logged": st.booleans(),
    "simulated": st.booleans(),
    "response": st.sampled_from((None, 0)),
}


@pytest.mark.slow
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(**FEW)
def test_fifty_times_a_sentence_and_no_traceback(members, seed, logged, simulated, response):
    _reads_a_sentence(members, seed, logged, simulated, response)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(**FEW)
@example(members=5, seed=73, logged=False, simulated=False, response=None)  # a fit that is certain
@example(members=5, seed=32, logged=False, simulated=False, response=None)  # variances that round below 0
def test_a_sentence_and_no_traceback(members, seed, logged, simulated, response):
    _reads_a_sentence(members, seed, logged, simulated, response)


def _reads_a_sentence(members, seed, logged, simulated, response):
    episodes = care(members, seed, logged=logged, simulated=simulated)
    rng = np.random.default_rng(seed)
    value = said(lambda: value_policy(target, episodes, response=response).sentence)
    assert value.startswith(("No headline (", "No estimate: fewer than 11", "5 folds need", "fewer than 10 attempts"))
    chosen = said(lambda: select_policy({"own": target}, episodes, rng=rng, response=response).best)
    assert chosen == "own" or chosen.startswith(("5 folds need", "fewer than 10 attempts"))
    needs = {"need": rng.random(members)}
    audited = said(
        lambda: audit_policy(None, episodes, needs=needs, simulated=simulated, rng=rng, high_touch=("CALL",)).privacy
    )
    assert audited
    if not simulated:
        assert not {str(n) for n in range(6, 11)} & set(value.replace("fewer than 10 attempts", "").split()), (
            "tells how few they are"
        )


@pytest.mark.parametrize("given", ["estimated once", "an array"])
def test_sensitivity_of_some_members_takes_the_chances_of_all(given):
    everybody = care(150, 3, logged=False, simulated=True)
    chances = estimate_propensities(everybody, rng=np.random.default_rng(0))
    found = policy_sensitivity(
        target, everybody, propensities=chances if given == "estimated once" else chances.logged, members=120
    )
    assert found is not None
    assert np.isfinite(found.table.value[0])


@pytest.mark.parametrize(("events", "members"), [(5, 150), (30, 40), (60, 139)])
def test_no_sensitivity_where_few_real_people_had_the_events_of_some_members_or_of_the_others(events, members):
    """Of 150 members with 30 events about 8 are among 40, and with 60 about 4 among the 11 that 139 leave."""
    everybody = care(150, 3, logged=True, simulated=False)
    rewards = np.where((np.arange(6) == 0) & (np.arange(150)[:, None] < events), -1.0, 0.0)
    real = replace(everybody, rewards=rewards)
    assert policy_sensitivity(target, real, members=members) is None
    assert policy_sensitivity(target, replace(real, simulated=True), members=members) is not None

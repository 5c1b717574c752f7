"""The reference policies, the search among policies on the observations, and the stored figures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from frl_env import UserError, World, reference_returns
from frl_env.parameters import VERSION
from frl_env.reference_returns import ladder_check, measure_references, reference_policies, reference_scores
from frl_env.references import NoProgram
from frl_env.rollout import rollout, standard_error
from frl_env.search.policy_search import LinearPolicy, best_observation_only, features, search
from frl_env.simulator.dynamics import enter
from frl_env.simulator.population import draw_members
from frl_env.simulator.state import observe
from frl_env.worlds import LADDER

ROOT = Path(__file__).resolve().parents[2]


def test_the_order_holds_with_five_standard_errors_in_the_stored_figures():
    for name in ("frl/MedicaidCare-v0", "frl/MedicaidCareScreened-v0"):
        rows = reference_scores(LADDER[name], horizon=52, members=0)
        order = ["no_program", "behaviour", "heuristic", "best_observation_only", "oracle"]
        assert [key for key in rows if key != "random"] == order
        for key in order[1:]:
            assert rows[key]["above_previous"] > 5 * rows[key]["above_previous_se"], (name, key)
        assert rows["oracle"]["members"] >= 50_000
    gap = rows["best_observation_only"]["above_behaviour"] / rows["oracle"]["above_behaviour"]
    assert gap > 1 / 3
    assert "Every step" in ladder_check(rows)
    assert "does not hold" in ladder_check(
        reference_scores(LADDER["frl/MedicaidCareProgram-v0"], horizon=52, members=0)
    )


def test_the_page_is_what_the_stored_figures_say():
    stored = reference_returns._stored()
    page = reference_returns.markdown(stored["worlds"], members=stored["members"], command=stored["command"])
    assert (ROOT / "docs/references.md").read_text() == page


def test_the_stored_figures_are_those_of_this_code():
    """A fresh, smaller measurement agrees with every stored figure of the base world."""
    stored = reference_scores(World(), horizon=52, members=0)
    fresh = measure_references(World(), members=4_000, seed=5)
    for name, row in fresh.items():
        error = np.hypot(row["above_previous_se"], stored[name]["above_previous_se"])
        assert abs(row["above_previous"] - stored[name]["above_previous"]) <= 4 * error, name
    assert reference_returns._stored()["parameters_version"] == VERSION
    assert set(reference_returns._stored()["worlds"]) == set(LADDER)


def test_screening_is_worth_something():
    plain, screened = (
        reference_scores(LADDER[f"frl/MedicaidCare{name}-v0"], horizon=52, members=0)["best_observation_only"]
        for name in ("", "Screened")
    )
    assert screened["value"] > plain["value"] + 0.02


def test_stronger_effects_give_the_oracle_a_larger_gap():
    gaps = []
    for strength in (0.0, 0.5, 1.0, 1.5):
        world = World(strength=strength)
        values = {
            name: rollout(policy, world.parameters, members=3_000, seed=2).value
            for name, policy in reference_policies(world).items()
            if name in ("no_program", "oracle")
        }
        gaps.append((values["oracle"] - values["no_program"]).mean())
    assert gaps[0] == 0
    assert gaps == sorted(gaps)
    assert gaps[-1] > 2 * gaps[1]


def test_policies_for_observations_see_nothing_else():
    """Everything latent changed, everything recorded kept: they decide the same."""
    world = World(screening=1.0)
    rng = np.random.default_rng(4)
    members = draw_members(rng, 300, world.parameters)
    state = enter(members, rng, world.parameters)
    shuffle = rng.permutation(300)
    others = replace(
        members, tier=members.tier[shuffle], race=members.race[shuffle], reach=members.reach[shuffle],
        age_band=members.age_band[shuffle], ed_base=members.ed_base[shuffle],
    )  # fmt: skip
    hidden = replace(state, needs=state.needs[shuffle], acuity=state.acuity[shuffle], since_ip=state.since_ip[shuffle],
                     fatigue=state.fatigue + 1, week=state.week + np.int16(9))  # fmt: skip
    policies = reference_policies(world)
    for name in ("heuristic", "best_observation_only", "random", "no_program"):
        one, two = (
            policies[name].act(who, when, np.random.default_rng(1))
            for who, when in ((members, state), (others, hidden))
        )
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(policies["oracle"].act(members, state, rng), policies["oracle"].act(others, hidden, rng))


def test_the_score_gradient_is_the_gradient_of_the_log_probability():
    rng = np.random.default_rng(0)
    world = World(screening=1.0).parameters
    observations = []
    rollout(NoProgram(), world, members=30, seed=3, horizon=3, record=lambda w, m, b, *_: observations.append(
        observe(b, screening=True)))  # fmt: skip
    x = observations[-1]
    width = features(x).shape[1]
    shapes = {"contact": (width, 1), "modality": (width, 5), "goal": (width, 17), "urgency": (width, 1)}
    weights = {name: 0.3 * rng.standard_normal(shape) for name, shape in (shapes | {"provider": (17, 4)}).items()}
    policy = LinearPolicy(weights, screening=True)
    levels = policy.decide(x, rng)
    advantage = rng.standard_normal(len(x))

    def objective():
        z = features(x)
        contact = levels[:, 0] > 0
        logit = (z @ weights["contact"])[:, 0]
        total = np.where(contact, -np.log1p(np.exp(-logit)), -np.log1p(np.exp(logit)))
        for i in np.flatnonzero(contact):
            for head, column in (("modality", 0), ("goal", 2)):
                scores = z[i] @ weights[head]
                total[i] += scores[levels[i, column] - 1] - np.log(np.exp(scores).sum())
            scores = weights["provider"][levels[i, 2] - 1]
            total[i] += scores[levels[i, 1] - 1] - np.log(np.exp(scores).sum())
            urgent = (z[i] @ weights["urgency"])[0]
            total[i] -= np.log1p(np.exp(-urgent if levels[i, 3] else urgent))
        return (advantage * total).sum()

    gradient = policy.score_gradient(x, levels, advantage)
    for name, value in gradient.items():
        place = np.unravel_index(np.abs(value).argmax(), value.shape)
        weights[name][place] += 1e-5
        above = objective()
        weights[name][place] -= 2e-5
        below = objective()
        weights[name][place] += 1e-5
        assert value[place] == pytest.approx((above - below) / 2e-5, rel=1e-4), name


@pytest.mark.long
def test_search_finds_something_better_than_where_it_starts():
    world = World(strength=2.0)
    found = search(world.parameters, members=1_500, updates=15, learning_rate=0.3)
    start = LinearPolicy({name: np.zeros_like(value) for name, value in found.weights.items()})
    start.weights["contact"][0] = -1.5
    better, first = (rollout(p, world.parameters, members=6_000, seed=8).value for p in (found, start))
    assert (better - first).mean() > 3 * standard_error(better - first)
    again = LinearPolicy.from_json(found.to_json())
    values = rollout(again, world.parameters, members=500, seed=1).value
    assert np.isfinite(values).all()
    one = search(world.parameters, members=50, updates=1)
    assert any(weights.any() for weights in one.weights.values()), "even one update is averaged"
    with pytest.raises(UserError, match="updates must be a whole number"):
        search(world.parameters, updates=0)
    assert best_observation_only(world) is None, "none was searched for at this strength"

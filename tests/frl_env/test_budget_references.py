"""References at a budget: the rule, the oracle, the bound, their order, and what is stored."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from frl_env import World, budget_references, cli
from frl_env.capacity import Budgeted, Capacity, parse_budgets
from frl_env.care_effort import care_effort
from frl_env.references import NoProgram
from frl_env.rollout import rollout
from frl_env.search.capacity_bound import relax
from frl_env.search.oracle_gains import OracleGains
from frl_env.search.record_rule import RecordRule, RuleNumbers
from frl_env.search.rule_search import search_rule

WORLD = World()
EFFORT = care_effort(WORLD.parameters)


@pytest.fixture(scope="module")
def relaxed():
    return relax(WORLD.parameters, members=30, seed=3, prices=(0.0, 0.0011), horizon=26)


@pytest.fixture(scope="module")
def measured(relaxed):
    """Small: 3,000 members, half a year, one budget."""
    budgets = parse_budgets("team", team=budget_references.team_minutes(WORLD))
    return budget_references.measure_budget_references(WORLD, budgets, members=3_000, relaxed=relaxed, horizon=26)[
        "team"
    ]


def test_who_is_chosen_by_what_they_know_is_better_in_this_order(measured):
    above = {name: row["above_behaviour"] for name, row in measured.items()}
    assert above["no_program"] < above["heuristic"] < above["best_record_and_contacts"] < above["oracle"]
    assert above["oracle"] < above["upper_bound"]
    assert above["best_record_and_contacts"] > 0.015
    for name, row in measured.items():
        if name not in ("no_program", "upper_bound"):
            assert 0.9 * 2.9023 < row["effort_minutes_per_week"] <= 2.9024
        assert row["budget"] == "team"


def test_the_rule_sees_the_record_and_its_own_contacts_only():
    """Members who look alike are decided on alike, whatever is latent; and a contact moves the next decision."""
    rule = RecordRule()
    observations = np.zeros((2, 7), dtype=np.float32)
    observations[:, 6] = 3_000
    memory = rule.start_memory(2)
    gains = rule.gains(observations, memory)
    assert np.array_equal(gains[0], gains[1])
    assert gains.shape == (2, len(rule.joints))
    assert (np.diff(rule.joints) > 0).all()
    memory = rule.remember(memory, observations, np.asarray([0, rule.joints[-1]]))
    after = rule.gains(observations, memory)
    assert np.isfinite(after).sum(axis=1).min() == 48
    assert np.nanmax(np.where(np.isfinite(after[1]), after[1], np.nan)) < np.nanmax(gains[0][np.isfinite(gains[0])])
    assert RecordRule.from_json(json.loads(json.dumps(rule.to_json()))) == rule
    assert RuleNumbers.from_vector(rule.numbers.to_vector()) == rule.numbers


def test_no_policy_passes_the_bound_even_with_staff_for_everybody(relaxed):
    policy = Budgeted(OracleGains(WORLD.parameters), EFFORT, Capacity(minutes=20.0))
    runs = [rollout(each, WORLD.parameters, members=2_000, seed=4, horizon=26).value for each in (policy, NoProgram())]
    assert runs[0].mean() - runs[1].mean() < relaxed.at(20.0)[0]
    spared = [relaxed.at(minutes)[0] for minutes in (0.0, 1.0, 3.0, 10.0)]
    assert spared == sorted(spared)
    assert relaxed.at(None)[0] == relaxed.gain[0]


def test_where_contacts_do_nothing_every_difference_is_exactly_zero():
    world = World(effects="null")
    budgets = parse_budgets("1.0,none")
    rows = budget_references.measure_budget_references(
        world, budgets, members=1_000, horizon=10, relaxed=relax(world.parameters, seed=3, horizon=10)
    )
    for by_budget in rows.values():
        assert {row["above_behaviour"] for row in by_budget.values()} == {0.0}


def test_the_search_is_deterministic_and_improves():
    settings = {"members": 200, "generations": 1, "candidates": 6, "seed": 5}
    first, second = (search_rule(WORLD.parameters, Capacity(minutes=3.0), **settings) for _ in range(2))
    assert first == second
    assert first != RecordRule()


def test_stored_figures_are_of_these_worlds_budgets_and_rules():
    figures = budget_references._read(budget_references._FIGURES)
    assert set(figures["worlds"]) == set(budget_references.WORLDS)
    for name, by_budget in figures["worlds"].items():
        world = budget_references.LADDER[name]
        for label, capacity in parse_budgets("1.0,team,7.0", team=budget_references.team_minutes(world)).items():
            rows = budget_references.budget_references(world, label, capacity)
            assert rows is by_budget[label]["references"]
            assert list(rows)[-1] == "upper_bound"
    base, null = (figures["worlds"][f"frl/MedicaidCare{name}-v0"] for name in ("", "Null"))
    assert not budget_references.broken_steps(base["team"]["references"])
    assert {row["above_behaviour"] for row in null["7.0"]["references"].values()} == {0.0}


def test_the_page_has_the_stored_figures():
    page = (Path(__file__).parents[2] / "docs" / "capacity.md").read_text()
    shown = ("no_program", "heuristic", "best_observation_only", "best_record_and_contacts", "oracle", "upper_bound")
    for label, found in budget_references._read(budget_references._FIGURES)["worlds"]["frl/MedicaidCare-v0"].items():
        budget = f"team ({found['capacity']['minutes']:.1f})" if label == "team" else label
        cells = [f"{found['references'][name]['above_behaviour']:+.3f}" for name in shown]
        assert f"| {' | '.join([budget, *cells])} |" in page


def test_the_command_measures_and_says_bad_budgets(monkeypatch, tmp_path):
    monkeypatch.setattr(budget_references, "WORLDS", ("frl/MedicaidCareNull-v0",))
    report = ["--report", str(tmp_path / "page.md")]
    done = CliRunner().invoke(cli.app, ["capacity", "--budgets", "1.0", "--members", "1000", *report])
    assert done.exit_code == 0, done.output
    assert "oracle" in done.output
    assert "Written by `frl capacity --members 1000 --budgets 1.0`; don't edit." in (tmp_path / "page.md").read_text()
    done = CliRunner().invoke(cli.app, ["capacity", "--budgets", "fast"])
    assert done.exit_code == 1
    assert "no number of minutes" in str(done.exception)


def test_the_command_refuses_a_capacity_file_before_it_simulates(tmp_path, monkeypatch):
    monkeypatch.setattr(budget_references, "team_minutes", lambda world: pytest.fail("too late"))
    file = tmp_path / "staff.toml"
    for text, words in (
        ("[weekly_contacts.modality]\nFAX = 3", "staff.toml: unknown level of factor 'modality': 'FAX'"),
        ("[least_chance.gender]\nFEMALE = 0.1", "promises groups a least chance"),
    ):
        file.write_text(text)
        done = CliRunner().invoke(cli.app, ["capacity", "--budgets", str(file), "--members", "1000"])
        assert words in str(done.exception)

"""Where the conclusion on the leading policy turns: rows from the scorecard, the estimate as it is told first."""

from types import SimpleNamespace

from benchmarks.sweep_report.assumptions import analyses, assumptions
from frl_env.evaluation.sensitivity.turning import turning_points


def result(low: float, high: float) -> dict:
    return {"difference": (low + high) / 2, "difference_interval": {"low": low, "high": high}}


def _results(*entries: dict) -> SimpleNamespace:
    leading = ("a", "greedy")
    told = {"name": lambda policy: "A, greedy", "has_truth": False, "gained": "gain"}
    return SimpleNamespace(card={"ope": entries}, leading=leading, behaviour="the care team", **told)


def test_every_estimate_is_one_row_by_what_is_varied():
    found = analyses(
        {
            "headline_estimator": "WDR clip 30",
            "results": {
                "PDIS": result(-9, 9),
                "WDR clip 1": result(-0.1, 0.1),
                "WDR clip 30": result(0.1, 0.2),
                "WDR clip 100": result(0.05, 0.3),
                "MDR 4 weeks": result(0.1, 0.4),
            },
        }
    )
    assert list(zip(found["what"], found["setting"], strict=True)) == [
        ("as evaluated", "WDR clip 30"),
        ("cut-off", "WDR clip 1"),
        ("cut-off", "WDR clip 100"),
        ("memory", "MDR 4 weeks"),
        ("estimator", "PDIS"),
    ]
    assert turning_points(found) == {"cut-off": ["WDR clip 1"], "memory": [], "estimator": ["PDIS"]}


def test_the_section_says_where_the_conclusion_turns_or_why_there_is_none():
    told = {"algo": "a", "mode": "greedy", "seed": 0, "headline_estimator": "SNM", "headline": {"difference": 0.15}}
    told |= {"results": {"SNM": result(0.1, 0.2), "FQE": result(-0.1, 0.2)}}
    results = _results(told)
    found = assumptions(results)
    assert "another conclusion is drawn with estimator (FQE)" in found.text[0]
    assert [table.name for table in found.tables] == ["assumptions"]
    drawn, height = found.parts[0].draw(760)
    assert "FQE" in drawn
    assert height > 0
    assert "without off-policy estimates" in assumptions(_results({"algo": "a", "mode": "greedy"})).missing


def test_the_seed_by_which_a_policy_leads_is_shown_and_what_is_withheld_says_so():
    entries = [
        {"algo": "a", "mode": "greedy", "seed": seed, "headline_estimator": "SNM", "results": {"SNM": result(low, 1)}}
        for seed, low in enumerate((-0.3, 0.1, 0.2))
    ]
    entries[1]["headline"], entries[2]["headline"] = {"difference": 0.55}, {"difference": 0.6}
    found = assumptions(_results(*entries))
    assert found.tables[0].rows[0][2] == entries[2]["results"]["SNM"]["difference"]
    assert found.parts[0].title.endswith("A, greedy, seed 2")
    withheld = assumptions(_results(entries[0]))
    assert "is withheld" in withheld.text[0]
    assert "seed 0" in withheld.parts[0].title


def test_no_hidden_confounding_is_what_hidden_confounding_is_compared_with():
    def row(what, setting, low, high, middle=True):
        return {"what": what, "setting": setting, "difference": 0.0 if middle else None, "low": low, "high": high}

    told = {"algo": "a", "mode": "greedy", "seed": 0, "headline_estimator": "SNM", "results": {"SNM": result(-1, 1)}}
    bounds = {"1": (0.2, 0.3), "2": (0.1, 0.4), "3": (-0.1, 0.5)}
    moved = [row("hidden confounding", f"Lambda = {at}", *ends, middle=False) for at, ends in bounds.items()]
    told["sensitivity"] = {"rows": [row("as evaluated", "WDR", -0.1, 0.3), *moved]}
    found = assumptions(_results(told))
    assert "hidden confounding (from Lambda = 3)" in found.text[1]
    assert [r[1] for r in found.tables[0].rows if r[-1]] == ["Lambda = 3"]


def test_what_the_sweep_varied_is_compared_with_its_own_first_row():
    def row(what, setting, low, high, middle=True):
        return {"what": what, "setting": setting, "difference": (low + high) / 2 if middle else None,
                "low": low, "high": high, "value": None}  # fmt: skip

    told = {"algo": "a", "mode": "greedy", "seed": 0, "headline_estimator": "SNM", "results": {"SNM": result(0.1, 0.2)}}
    told["sensitivity"] = {
        "rows": [
            row("as evaluated", "WDR clip 30", -0.1, 0.3),
            row("hidden confounding", "Lambda = 1.1", -0.2, 0.4, middle=False),
            row("hidden confounding", "Lambda = 2", -0.9, -0.1, middle=False),
            row("propensities", "errors of 0.1", 0.1, 0.3),
            row("cut-off", "3", -0.1, 0.1),
            row("run-out", "nothing left out, by WIS", -0.1, 0.1),
            row("run-out", "last 4 weeks left out", -0.2, 0.1),
            row("reward", "ed_visits x 1, ip_stays x 5", -0.3, -0.1),
        ]
    }
    found = assumptions(_results(told))
    rows = [(r[0], r[1], r[-1]) for r in found.tables[0].rows]
    assert rows == [
        ("as evaluated", "SNM", False),
        ("propensities", "as they are, by WDR clip 30", False),
        ("propensities", "errors of 0.1", True),
        ("hidden confounding", "Lambda = 1.1", False),
        ("hidden confounding", "Lambda = 2", True),
        ("run-out", "nothing left out, by WIS", False),
        ("run-out", "last 4 weeks left out", False),
        ("reward", "ed_visits x 1, ip_stays x 5", True),
    ]
    drawn, _ = found.parts[0].draw(760)
    assert "Lambda = 2" in drawn

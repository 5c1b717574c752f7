"""Where the conclusion on the leading policy turns: rows from the scorecard, the estimate as it is told first."""

from types import SimpleNamespace

from benchmarks.reporting.assumptions import analyses, assumptions
from frl_env.evaluation.turning import turning_points


def result(low: float, high: float) -> dict:
    return {"difference": (low + high) / 2, "difference_interval": {"low": low, "high": high}}


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
    told = {"algo": "a", "mode": "greedy", "headline_estimator": "SNM"}
    told |= {"results": {"SNM": result(0.1, 0.2), "FQE": result(-0.1, 0.2)}}
    results = SimpleNamespace(card={"ope": [told]}, leading=("a", "greedy"), name=lambda policy: "A, greedy")
    found = assumptions(results)
    assert "Another conclusion is drawn with estimator (FQE)" in found.text[0]
    assert [table.name for table in found.tables] == ["assumptions"]
    drawn, height = found.parts[0].draw(760)
    assert "FQE" in drawn
    assert height > 0
    nothing = SimpleNamespace(card={"ope": [{"algo": "a", "mode": "greedy"}]}, leading=("a", "greedy"))
    assert "without off-policy estimates" in assumptions(nothing).missing

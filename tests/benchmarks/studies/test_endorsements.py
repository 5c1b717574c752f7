"""The table of endorsements counts what was said beside what is true."""

from benchmarks.studies.endorsements import _row


def pair(low: float, high: float, true: float, *, withheld: bool = False, error: float = 0.1) -> dict[str, object]:
    return {"low": low, "high": high, "true": true, "error": error, "withheld": withheld}


def test_signs_are_counted_as_endorsed_wrong_undecided_and_withheld():
    pairs = [
        pair(1, 2, 1.5),
        pair(-2, -1, -0.5),
        pair(1, 2, -1.5),
        pair(-2, -1, 0.5),
        pair(1, 2, -0.2),  # within three errors of 0: no sign is wrong
        pair(-1, 1, -1),
        pair(1, 2, 1.5, withheld=True),
        pair(1, 2, -1.5, withheld=True),
        pair(-1, 1, 1.5, withheld=True),
    ]
    assert _row("any", pairs) == {
        "data": "any",
        "pairs": 9,
        "endorsed": 5,
        "wrong": 2,
        "undecided": 1,
        "withheld": 3,
        "right_withheld": 1,
    }

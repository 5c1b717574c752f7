"""A study that was stopped can be looked at, and is no figure of a page."""

import pytest

from benchmarks.result_records.kept_results import Kept
from benchmarks.result_records.study import Study, Unit
from frl_env.errors import UserError

STUDY = Study(
    Kept("benchmarks.result_records.figures"), "A study.", {},
    lambda parser: parser.add_argument("--report", action="store_true"),
)  # fmt: skip
UNITS = [Unit(f"seed{seed}", lambda seed=seed: seed, {"seed": seed}) for seed in range(3)]


def test_what_is_there_of_a_stopped_study_is_shown_and_is_no_figure(tmp_path):
    def options(*given):
        return STUDY.options([*given, "--out", str(tmp_path)])

    assert STUDY.each(UNITS[:2], options(), "trained") == [0, 1]
    assert STUDY.each(UNITS, options("--report"), "trained") == [0, 1, None]
    with pytest.raises(UserError, match=r"1 of 3 \(trained\) are missing; run without --report"):
        STUDY.each(UNITS, options("--report", "--figure"), "trained")
    assert STUDY.each(UNITS, options("--figure"), "trained") == [0, 1, 2]
    assert STUDY.each(UNITS, options("--report", "--figure"), "trained") == [0, 1, 2]

"""How far the code goes that a true value, an estimate or an audit depends on."""

import pytest

from benchmarks.result_records.code_key import ROOT, code_files

LEARNER = ("frl_algos/factored_awr/", "frl_algos/model_files/", "frl_algos/policy_reports/policy_audit")
VALUING = ("audits", "logged_values", "member_table", "panel", "policy_behaviour", "true_values")


@pytest.mark.parametrize("name", VALUING)
def test_what_values_a_policy_does_not_depend_on_the_learner(name):
    reached = [file.relative_to(ROOT).as_posix() for file in code_files(f"benchmarks.policy_scoring.{name}")]
    assert [file for file in reached if file.startswith(LEARNER)] == []

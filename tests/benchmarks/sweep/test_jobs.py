"""A job is named by all that its run depends on."""

from benchmarks.sweep.jobs import Job


def test_other_settings_and_other_code_are_other_runs():
    base = dict(algo="discrete_bc", dataset="d", seed=0, steps=3, eval_members=9, settings="{}", code="c", data="x")
    keys = {Job(**base).key}
    for change in (
        {"algo": "cql"}, {"seed": 1}, {"steps": 4}, {"eval_members": 8}, {"settings": "{1}"}, {"code": "e"},
        {"data": "y"},
    ):  # fmt: skip
        keys.add(Job(**base | change).key)
    assert len(keys) == 8


def test_other_validation_members_of_the_same_name_are_another_run():
    base = dict(algo="cql", dataset="d", seed=0, steps=3, eval_members=9, settings="{}", code="c", data="x")
    keys = {Job(**base, validation="v", validation_data=content).key for content in ("one", "other")}
    assert len(keys) == 2

"""Arguments of the wrong kind end in one line that says what is needed."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from frl_env import (
    MEDICAID_ACTIONS,
    ActionSpace,
    Factor,
    JointActions,
    MedicaidCareEnv,
    World,
    build_dataset,
    generate_synthetic_data,
)
from frl_env.datasets import collect, ensure_dataset
from frl_env.errors import UserError
from frl_env.evaluation import load_episodes, score_target
from frl_env.kinds import check_kinds
from frl_env.parameters import preset
from frl_env.references import NoProgram
from frl_env.rollout import rollout

KIND = Factor(name="kind", levels=("A", "B"))


@dataclass(kw_only=True)
class Settings:
    """One of each kind."""

    rate: float = 0.5
    size: int = 1
    flag: bool = False
    name: str | None = None
    levels: list[str] = field(default_factory=list)
    table: dict[str, int] = field(default_factory=dict)
    space: ActionSpace = MEDICAID_ACTIONS


def test_fields_are_of_the_kind_that_they_declare():
    fine = [{"rate": 1}, {"rate": np.float32(0.5)}, {"size": np.int64(3)}, {"flag": np.bool_(True)}, {"name": "x"},
            {"levels": ("a",)}, {"table": {}}]  # fmt: skip
    for each in fine:
        check_kinds(Settings(**each))
    for name, value, said in (
        ("rate", "0.5", "rate must be a number, not '0.5'"),
        ("rate", None, "rate must be a number, not None"),
        ("rate", True, "rate must be a number, not True"),
        ("size", 2.0, "size must be a whole number, not 2.0"),
        ("size", [1], "size must be a whole number, not a list"),
        ("flag", 1, "flag must be True or False, not 1"),
        ("name", 3, "name must be text or None, not 3"),
        ("levels", "ab", "levels must be a list, not 'ab'"),
        ("table", [], "table must be a dictionary, not a list"),
        ("space", ActionSpace, "space must be an ActionSpace, not the class ActionSpace"),
    ):
        with pytest.raises(UserError) as problem:
            check_kinds(Settings(**{name: value}))
        assert str(problem.value) == said


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Factor(name="a", levels=("X",), aliases=["X"]), "aliases must be a dictionary, not a list"),
        (lambda: Factor(name="a", levels=("X",), null=0), "null must be text or None, not 0"),
        (lambda: Factor(name=1, levels=("X",)), "the name of a factor must be text, not 1"),
        (lambda: ActionSpace(factors=KIND), "factors must be several Factor.* not a Factor"),
        (lambda: ActionSpace(factors=(KIND,), contact_factors=None), "contact_factors must be a tuple, not None"),
        (lambda: ActionSpace.from_nvec(3), "nvec must be a number of levels for each factor, not 3"),
        (lambda: ActionSpace.from_nvec([2.5]), "levels of a factor must be a whole number"),
        (lambda: JointActions(MedicaidCareEnv), "takes an environment, not the class MedicaidCareEnv"),
        (lambda: JointActions(MedicaidCareEnv(), [6, 5]), "factors must be an ActionSpace or text or None, not a list"),
        (lambda: generate_synthetic_data("10"), "n_patients must be a whole number, not '10'"),
        (lambda: generate_synthetic_data(2, 10**9), r"horizon must be a whole number in 1\.\.5,200, not 1000000000"),
        (lambda: collect(preset(), members=2.5, seed=0), r"members must be a whole number in .*, not 2\.5"),
        (lambda: rollout(NoProgram(), World(), members=2, seed=0), "parameters must be a Parameters, not a World"),
        (lambda: rollout(NoProgram(), preset(), members=2, seed=0, horizon=33_000), "horizon .*, not 33000"),
        (lambda: build_dataset(3), "dataset must be text or a Recipe, not 3"),
        (lambda: ensure_dataset(None), "dataset must be text or a Recipe, not None"),
    ],
)
def test_public_constructors_say_so(make, said):
    with pytest.raises(UserError, match=said):
        make()


def test_a_target_that_is_no_function_of_observations_is_said(tiny_dataset):
    class Policy:
        def __call__(self, observations, rng):
            raise AssertionError

        def probabilities(self, observations):
            raise AssertionError

    episodes = load_episodes(tiny_dataset)
    for target, said in (
        (Policy, "the target is the class Policy"),
        (Policy(), "pass its method probabilities instead"),
    ):
        with pytest.raises(UserError, match=said):
            score_target(episodes, target)

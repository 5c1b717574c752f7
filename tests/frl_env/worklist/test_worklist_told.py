"""What the command says may be wrong with a list, and of a policy of other actions."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from worklist_members import EFFORT, ByRisk, frl

from frl_env.actions import MEDICAID_ACTIONS as SPACE
from frl_env.actions import ActionSpace, Factor
from frl_env.capacity import Capacity, Effort
from frl_env.commands import worklist as command
from frl_env.errors import UserError


def test_the_terminal_says_what_may_be_wrong(table, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "load_policy", lambda file: (ByRisk(), EFFORT))
    monkeypatch.setattr(command, "_check_fits", lambda *given: None)
    alone = tmp_path / "alone.txt"

    def said(members: Path, ids: str) -> str:
        alone.write_text(ids)
        arguments = ["--model", "m.d3", "--capacity", "20", "-o", tmp_path / "x.csv", "--force", "--leave-alone", alone]
        assert frl("worklist", "--members", members, *arguments) == 0
        return " ".join(capsys.readouterr().out.split())

    whole = said(table, "m000\nm001\n")
    assert "minutes: 1,1" in whole
    assert "of about 1,200 " in whole  # of 58 members 1,160; told roughly, since it tells how many there are
    assert "not on record" not in whole
    assert "no contact in the table has it: modality PHONE_CALL" in whole
    assert "nobody's" not in whole
    frame = pd.read_parquet(table)
    last = tmp_path / "last.parquet"
    frame[frame.week == frame.week.max()].to_parquet(last)
    assert "the week before is not on record: about 60 members; the list goes by this week alone" in said(last, "m000")
    assert "no contact of the week before" not in whole + said(last, "m000")
    late = frame.copy()
    actions = ["action_modality", "action_provider", "action_goal", "action_urgency"]
    late.loc[late.week == late.week.max() - 1, actions] = ["NONE", "NONE", "NONE", "ROUTINE"]
    late.to_parquet(last)
    assert "warning: the table has no contact of the week before, of anybody" in said(last, "m000")
    assert "of the ids in" in said(table, "\n".join(["m000", *"abcdefghijkl"]))
    assert "about 20 are nobody's on the caseload" in said(table, "\n".join(["m000", *"abcdefghijklmnop"]))
    assert "fewer than 11 are nobody's on the caseload" in said(table, "m000\n0m01\n")
    assert "nobody on the caseload is in" in said(table, "M000\n")
    assert "holds no id of a member" in said(table, "\n\n")
    frame.iloc[:, :4].to_parquet(last)
    assert frl("worklist", "--model", "m.d3", "--capacity", "2", "--members", last, "-o", tmp_path / "y.csv") == 2
    problem = " ".join(capsys.readouterr().err.split())
    assert " problems: " in problem
    assert "; and " in problem
    assert "\\n" not in problem


def test_contacts_that_no_minutes_were_said_of_are_told():
    """A list has one for everybody who would gain anything."""
    kept_off = Capacity(minutes=20.0, forbidden=({"modality": "EHR_COMMUNICATION"},))
    free = Effort(SPACE, {"modality": {**EFFORT.levels["modality"], "EHR_COMMUNICATION": 0}})  # which is meant
    for effort, capacity, told in (
        (EFFORT, Capacity(minutes=20.0), True),
        (EFFORT, Capacity(weekly_minutes={"provider": {"CHW": 60}}), True),
        (EFFORT, kept_off, False),
        (EFFORT, Capacity(), False),
        (free, Capacity(minutes=20.0), False),
    ):
        said = " ".join(command._without_minutes(effort, capacity))
        assert ("no staff minutes are said for EHR_COMMUNICATION;" in said) == bool(said) == told


def test_staff_whom_no_limit_holds_are_told():
    """Whoever is away has 0: where their line is deleted, the list has everybody for them."""
    others = "CARE_COORDINATOR, PHARMACIST, THERAPIST"
    team = {"provider": {"CHW": 60, "CARE_COORDINATOR": 60, "PHARMACIST": 60, "THERAPIST": 0}}
    forbidden = tuple({"provider": each} for each in others.split(", "))
    for capacity, told in (
        (Capacity(weekly_minutes={"provider": {"CHW": 60}}), others),
        (Capacity(weekly_minutes={"provider": {"CHW": 60}}, weekly_contacts={"modality": {"HOME_VISIT": 3}}), others),
        (Capacity(weekly_contacts={"modality": {"HOME_VISIT": 3}}), "PHONE_CALL, SMS_TEXT, VIDEO_VISIT"),
        (Capacity(weekly_minutes={"provider": {"CHW": 60}}, forbidden=forbidden), ""),
        (Capacity(weekly_minutes={"provider": {"CHW": 60}}, minutes=2.9), ""),
        (Capacity(weekly_minutes=team), ""),
        (Capacity(forbidden=forbidden), ""),
    ):
        said = " ".join(command._without_limit(EFFORT, capacity))
        assert (f"no limit for {told};" in said) if told else not said


OTHER_ACTIONS = (
    ({"levels": ("nobody", "doctor", "nurse")}, "staff: ..., nurse, doctor", "staff: ..., doctor, nurse"),
    ({"levels": ("nobody", "nurse")}, "staff: ..., doctor", "staff: ..., no more levels"),
    ({"levels": ("nobody", *"abcdef")}, "staff: ..., nurse, doctor", "staff: ..., a, b, c, ..."),
    ({"name": "role"}, "staff: nobody, nurse, doctor", "role: nobody, nurse, doctor"),
    (None, "topic: none, diet", "no more factors"),
    (
        {"null": "doctor"},
        "nothing is staff nobody, topic none; contact_factors staff",
        "nothing is staff doctor, topic none; contact_factors staff",
    ),
)


@pytest.mark.parametrize(("change", "trained_on", "has"), OTHER_ACTIONS)
def test_a_policy_of_other_actions_is_told_by_what_differs(change, trained_on, has):
    """Levels in another order have the same sizes."""
    staff, topic = _staff_and_topic()
    other = (staff,) if change is None else (replace(staff, **change), topic)
    with pytest.raises(UserError) as problem:
        _check((staff, topic), other)
    assert str(problem.value) == (
        f"m.d3 was trained on other actions ({trained_on}) than the data have ({has}); use the map that the training "
        "data were imported with"
    )


def test_other_spellings_of_a_level_are_the_same_actions():
    staff, topic = _staff_and_topic()
    _check((staff, topic), (replace(staff, aliases={"RN": "nurse"}), topic))


def _staff_and_topic() -> tuple[Factor, Factor]:
    staff = Factor(name="staff", levels=("nobody", "nurse", "doctor"))
    return staff, Factor(name="topic", levels=("none", "diet"))


def _check(trained: tuple[Factor, ...], table: tuple[Factor, ...]) -> None:
    spaces = [ActionSpace(factors=factors, contact_factors=(factors[0].name,)) for factors in (trained, table)]
    _check_table(_policy(spaces[0], []), spaces[1], ("age", "visits"))


def _policy(space: ActionSpace, states: list[str]) -> SimpleNamespace:
    config = SimpleNamespace(state_names=states)
    return SimpleNamespace(action_space=space, impl=SimpleNamespace(observation_shape=(2,)), config=config)


def _check_table(policy: SimpleNamespace, space: ActionSpace, states: tuple[str, ...]) -> None:
    command._check_fits(policy, SimpleNamespace(actions=space, states=states), Path("m.d3"))


@pytest.mark.parametrize(
    ("trained_on", "has", "said"),
    [
        (
            ["age", "visits"],
            ("visits", "age"),
            "on 2 states .*; number 1 is age there and visits here",
        ),
        (["age", "visits"], ("age",), "on 2 states .*; number 2 is visits there and none here"),
        ([], ("age",), "on 2 states and the data have 1"),
    ],
)
def test_a_policy_of_other_states_is_told_by_the_first_that_differs(trained_on, has, said):
    """The same columns in another order are as many."""
    space = ActionSpace(factors=_staff_and_topic())
    with pytest.raises(UserError, match=f"^m.d3 was trained {said}; use the map that the training data were imported"):
        _check_table(_policy(space, trained_on), space, has)
    _check_table(_policy(space, trained_on), space, ("age", "visits"))

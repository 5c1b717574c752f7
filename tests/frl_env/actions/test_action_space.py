"""Any factors: names, levels and joint indices say the same, and what is wrong with one is named."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frl_env.actions import MEDICAID_ACTIONS, ActionSpace, Factor
from frl_env.errors import UserError


def test_round_trip_over_all_joint_actions():
    assert MEDICAID_ACTIONS.n_valid == MEDICAID_ACTIONS.valid.sum()
    joints = np.arange(MEDICAID_ACTIONS.n_joint)
    levels = MEDICAID_ACTIONS.unravel(joints)
    names = MEDICAID_ACTIONS.decode(levels)
    np.testing.assert_array_equal(MEDICAID_ACTIONS.encode(names), levels)
    np.testing.assert_array_equal(MEDICAID_ACTIONS.ravel(levels), joints)
    np.testing.assert_array_equal(joints, np.ravel_multi_index(tuple(levels.T), (6, 5, 18, 2)))


names = st.text(st.characters(min_codepoint=65, max_codepoint=90), min_size=1, max_size=6)


@st.composite
def action_spaces(draw):
    n_factors = draw(st.integers(1, 5))
    factors = [
        Factor(name=f"f{i}", levels=tuple(draw(st.lists(names, min_size=1, max_size=5, unique=True))))
        for i in range(n_factors)
    ]
    contact = draw(st.lists(st.sampled_from([f.name for f in factors]), unique=True))
    return ActionSpace(factors=tuple(factors), contact_factors=tuple(contact))


@settings(max_examples=60, deadline=None)
@given(action_spaces())
def test_any_vocabulary_round_trips(space):
    joints = np.arange(space.n_joint)
    levels = space.unravel(joints)
    np.testing.assert_array_equal(space.ravel(space.encode(space.decode(levels))), joints)
    read = ActionSpace.from_json(space.to_json())
    assert read == space
    assert read.nvec == space.nvec
    np.testing.assert_array_equal(read.valid, space.valid)
    assert space.n_valid == space.valid.sum()
    assert space.valid[space.ravel(space.null_action)]


def test_the_same_factors_in_another_way_are_the_same():
    assert ActionSpace.from_json(MEDICAID_ACTIONS.to_json()) == MEDICAID_ACTIONS
    said = Factor(name="how", levels=("NONE", "CALL"), null="NONE")
    assert Factor(name="how", levels=["NONE", "CALL"]) == said
    assert (
        ActionSpace(factors=[said]) == ActionSpace(factors=(each for each in (said,))) == ActionSpace(factors=(said,))
    )


def test_custom_vocabulary_of_another_program():
    space = ActionSpace.from_nvec((4, 5, 4, 3))
    assert space.n_joint == 240
    assert space.valid.all()
    np.testing.assert_array_equal(space.unravel(np.asarray([239])), [[3, 4, 3, 2]])


@pytest.mark.parametrize(
    ("action", "text"),
    [
        ([1, 1, 1], "needs 4 levels"),
        ([6, 0, 0, 0], "'modality' takes 0..5"),
        ([0, -1, 0, 0], "'provider' takes 0..4"),
        ([0.5, 0, 0, 0], "whole numbers"),
        ([np.nan, 0, 0, 0], "whole numbers"),
        (["NONE", "NONE", "NONE", "ROUTINE"], "encode names first"),
    ],
)
def test_bad_levels_are_named(action, text):
    with pytest.raises(UserError, match=text):
        MEDICAID_ACTIONS.check(action)


def test_contacts_are_what_does_something():
    kind, dose = (
        Factor(name="kind", levels=("NONE", "A", "B")),
        Factor(name="dose", levels=("LOW", "NONE"), null="NONE"),
    )
    assert ActionSpace(factors=(kind, dose)).contacts.all()  # no action does nothing
    space = ActionSpace(factors=(kind, dose), contact_factors=("kind",))
    named = space.decode(space.joint_levels[space.contacts]).tolist()
    assert named == [["A", "LOW"], ["A", "NONE"], ["B", "LOW"], ["B", "NONE"]]
    assert int(MEDICAID_ACTIONS.contacts.sum()) == MEDICAID_ACTIONS.n_valid - 1


def test_bad_names_are_named_with_a_count_and_the_nearest():
    with pytest.raises(UserError, match=r"'PHONE'; did you mean PHONE_CALL"):
        MEDICAID_ACTIONS.encode(("PHONE", "CHW", "CARE", "ROUTINE"))
    with pytest.raises(
        UserError, match=r"'modality': 2 of 2 rows hold an unknown level; the nearest .* PHONE_CALL"
    ) as e:
        MEDICAID_ACTIONS.encode([("PHONE_CALL John Doe", "CHW", "CARE", "ROUTINE")] * 2)
    assert "John" not in str(e.value)
    with pytest.raises(UserError, match="4 columns"):
        MEDICAID_ACTIONS.encode(("PHONE_CALL", "CHW"))
    with pytest.raises(UserError, match="1 missing"):
        MEDICAID_ACTIONS["goal"].encode(["CARE", None])
    with pytest.raises(UserError, match=r"outside 0\.\.1079"):
        MEDICAID_ACTIONS.unravel(np.asarray([1080]))


def test_a_bad_schema_is_refused():
    for text in ("", "{}", '{"factors": [{"name": "a"}]}', "[1]"):
        with pytest.raises(UserError, match="not an action schema"):
            ActionSpace.from_json(text)
    with pytest.raises(UserError, match="twice"):
        Factor(name="a", levels=("X", "X"))
    with pytest.raises(UserError, match="not a level"):
        Factor(name="a", levels=("X",), aliases={"Y": "Z"})


def test_factors_of_other_kinds_are_said():
    pump = Factor(name="pump", levels=("OFF", "ON"))
    for factors, kind in (((("pump", ("OFF", "ON")),), "tuple"), ({"pump": ("OFF", "ON")}, "str")):
        with pytest.raises(UserError, match=f"levels=.* each, not a {kind}"):
            ActionSpace(factors=factors)
    with pytest.raises(UserError, match=r"several names, not one text: \('pump',\)"):
        ActionSpace(factors=(pump,), contact_factors="pump")
    for levels in ("ABC", 3):
        with pytest.raises(UserError, match="factor 'pump': levels must be the names of the levels, one each"):
            Factor(name="pump", levels=levels)

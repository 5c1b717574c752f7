"""The actions of the care program are those that its words say."""

import numpy as np

from frl_env.actions import MEDICAID_ACTIONS


def test_shape_and_validity():
    assert MEDICAID_ACTIONS.nvec == (6, 5, 18, 2)
    assert MEDICAID_ACTIONS.n_joint == 1080
    assert MEDICAID_ACTIONS.valid.sum() == 5 * 4 * 17 * 2 + 1
    assert repr(MEDICAID_ACTIONS) == (
        "ActionSpace(modality[6] x provider[5] x goal[18] x urgency[2]: 1080 joint actions, 681 valid)"
    )


def test_validity_rule_agrees_with_the_words():
    for levels in MEDICAID_ACTIONS.joint_levels:
        modality, provider, goal, urgency = MEDICAID_ACTIONS.decode(levels)
        nothing = (modality, provider, goal, urgency) == ("NONE", "NONE", "NONE", "ROUTINE")
        contact = "NONE" not in (modality, provider, goal)
        assert MEDICAID_ACTIONS.is_valid(levels) == (nothing or contact)


def test_one_action_by_name():
    levels = MEDICAID_ACTIONS.encode(("PHONE_CALL", "CHW", "FOOD_INSECURITY", "ROUTINE"))
    np.testing.assert_array_equal(levels, [1, 1, 8, 0])
    assert MEDICAID_ACTIONS.ravel(levels) == 232
    assert MEDICAID_ACTIONS.decode(levels) == ("PHONE_CALL", "CHW", "FOOD_INSECURITY", "ROUTINE")


def test_alias_of_the_published_code_is_mental_health():
    goal = MEDICAID_ACTIONS["goal"]
    np.testing.assert_array_equal(goal.encode(["OTHER_MENTAL_BEHAVIORAL", "MENTAL_HEALTH"]), [7, 7])

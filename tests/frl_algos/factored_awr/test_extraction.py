"""How far to follow an advantage: the rule for the temperature, against halves whose agreement is known."""

import torch

from frl_algos.factored_awr.extraction import TEMPERATURES, best_temperature

STATES = 50


def _rule(first, second):
    """What the rule says of two halves' advantages of four actions, all equally likely under the clone."""
    log_what = torch.full((STATES, 4), 0.25).log()
    halves = [torch.tensor(half).expand(STATES, 4) for half in (first, second)]
    return best_temperature(log_what, torch.ones(STATES), halves)


def test_halves_that_agree_are_followed_closely():
    assert _rule([0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.0, 3.0]) == min(TEMPERATURES)


def test_halves_that_contradict_each_other_are_followed_less():
    assert _rule([0.0, 1.0, 2.0, 3.0], [3.0, 2.0, 1.0, 0.0]) == max(TEMPERATURES)


def test_halves_that_disagree_about_the_best_only_are_followed_less():
    """Two of the actions are good, and each half holds another one for the best: both are to be taken."""
    assert _rule([0.0, 0.1, 2.6, 3.0], [0.0, 0.1, 3.0, 2.6]) == max(TEMPERATURES)


def test_where_nothing_has_an_effect_the_policy_stays_nearer_the_data():
    assert _rule([0.0] * 4, [0.0] * 4) == max(TEMPERATURES)

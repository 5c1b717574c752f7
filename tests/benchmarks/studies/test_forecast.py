import numpy as np

from benchmarks.studies import forecast, whom
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.datasets.collect import collect
from frl_env.parameters import preset


def test_events_ahead_are_those_of_the_member_and_the_forecast_ranks_them():
    episodes = collect(preset(), members=400, seed=(3, 1))
    weeks = forecast.walked(forecast.fitted(episodes), episodes)
    member = 5
    rewards = -episodes.rewards[member, : episodes.lengths[member]]
    own = weeks.members == member
    credit = forecast.DECAY ** np.arange(len(rewards))
    assert np.isclose(weeks.events[own][0], rewards @ credit)
    assert np.isclose(weeks.weeks[own][0], credit.sum())
    assert weeks.soon[own][0] == bool(rewards[: forecast.AHEAD].any())
    everybody, *tenths = forecast.calibration(weeks, episodes)[:11]
    assert abs(everybody["ratio"] - 1) < 0.1, "on the members that it learned from"
    assert tenths[-1]["rate"] > 2 * tenths[0]["rate"]


def test_a_group_that_a_draw_has_nobody_of_is_no_other_group():
    def rows(**ratios):
        return [{"name": name, "rate": 0.1, "ratio": ratio, "error": 0.2} for name, ratio in ratios.items()]

    found = forecast.over_draws([rows(all=1.0, old=0.8, young=2.0), rows(all=1.2, young=3.0)])
    assert [(row["name"], row["ratio"]) for row in found] == [("all", 1.1), ("young", 2.5)]
    assert forecast.over_draws([rows(all=1.0, old=0.8)])[1]["error"] == 0.2


def test_contacts_in_turn_are_the_named_ones_whose_turn_it_is():
    class Equal:
        joints = MEDICAID_ACTIONS.valid_joints
        start_memory = staticmethod(lambda members: np.zeros((members, 1)))
        remember = staticmethod(lambda memory, observations, joints: memory)
        gains = staticmethod(lambda observations, memory: np.ones((len(observations), len(Equal.joints))))

    policy = whom.InTurn(Equal(), whom.BEST)
    memory, seen = policy.start_memory(1), []
    for _ in range(3):
        gains = policy.gains(np.zeros((1, 7)), memory)[0]
        assert np.isfinite(gains).sum() == 1
        seen.append(int(policy.joints[gains.argmax()]))
        memory = policy.remember(memory, np.zeros((1, 7)), np.asarray(seen[-1:]))
    assert seen == [*whom._joints(whom.BEST), whom._joints(whom.BEST)[0]]

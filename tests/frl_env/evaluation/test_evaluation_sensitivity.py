"""The table of what an estimate hangs on, where members are few, real, or have all left before the others."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from frl_env.actions import ActionSpace
from frl_env.errors import UserError
from frl_env.evaluation import LoggedEpisodes, Sensitivity, sensitivity

WEEKS = 8
BOTH, VISITS = {"visits": 1.0, "stays": 1.0}, {"visits": 1.0, "stays": 5.0}


def mostly(observations: np.ndarray) -> np.ndarray:
    return np.tile([0.4, 0.6], (len(observations), 1))


def care(*, early: int, late: int = 0, stays: int = 0, members: int = 120, simulated: bool = False) -> LoggedEpisodes:
    """So many members with a visit in week 1, with one in week 6, and with a stay in week 2."""
    rng = np.random.default_rng(0)
    visits, stayed = np.zeros((members, WEEKS)), np.zeros((members, WEEKS))
    visits[:early, 1] = visits[members - late :, 6] = -1
    stayed[members - stays :, 2] = -1
    return LoggedEpisodes(
        rewards=visits + stayed, lengths=np.full(members, WEEKS), actions=rng.integers(0, 2, (members, WEEKS)),
        action_space=ActionSpace.from_nvec([2]), observations=rng.normal(size=(members, WEEKS, 1)).astype(np.float32),
        propensities=np.full((members, WEEKS), 0.5), reward_parts={"visits": visits, "stays": stayed},
        simulated=simulated,
    )  # fmt: skip


def moved(episodes: LoggedEpisodes, **options) -> Sensitivity:
    return sensitivity(episodes, mostly, rng=np.random.default_rng(0), strengths=(), clips=(30.0,), windows=(),
                       reward_weights=(BOTH, VISITS), **options)  # fmt: skip


def logged(found: Sensitivity, members: int) -> set[int]:
    """Weighted events as logged that follow from the table."""
    told = (found.table["value"] - found.table["difference"]).dropna() * -members
    return {round(number) for number in told}


def test_rows_whose_difference_is_events_of_few_real_people_are_not_told():
    few_late, few_stays = {"early": 60, "late": 3, "stays": 20}, {"early": 60, "late": 20, "stays": 3}
    assert logged(moved(care(**few_late, simulated=True)), 120) == {83, 80, 63 + 5 * 20}
    assert logged(moved(care(**few_late)), 120) == {83, 63 + 5 * 20}
    assert logged(moved(care(**few_stays, simulated=True)), 120) == {83, 63, 80 + 5 * 3}
    assert logged(moved(care(**few_stays)), 120) == {83, 63}
    many = care(early=60, late=20, stays=20)
    assert logged(moved(many), 120) == logged(moved(replace(many, simulated=True)), 120) == {100, 80, 80 + 5 * 20}


def test_weeks_between_two_rows_of_run_out_are_not_told_either():
    """The last 2 weeks hold 20 members' events, and the week before these 4 members'."""
    episodes = care(early=60, late=20)
    visits = episodes.rewards.copy()
    visits[:4, 5] = -1
    few = replace(episodes, rewards=visits, reward_parts={"visits": visits, "stays": 0 * visits})
    for weeks, told in (((2, 3), {"2"}), ((3, 2), {"2"}), ((3,), {"3"})):
        table = sensitivity(few, mostly, rng=np.random.default_rng(0), strengths=(), run_out=weeks).table
        settings = table.setting[table.what == "run-out"].tolist()[1:]
        assert settings == [f"last {each} weeks left out" for each in sorted(told)]


def test_nothing_is_told_where_few_real_people_had_any_event():
    found = moved(care(early=5))
    assert found.table.empty
    assert found.sentence == "No estimate: fewer than 11 of these members had any event, so that no value may be told."
    assert found.turning == {}
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["rows"] == []
    assert not moved(care(early=5, simulated=True)).table.empty
    assert not moved(care(early=0)).table.empty


def test_weeks_in_which_none_of_some_members_is_followed_are_no_weeks():
    everybody = care(early=60, late=20, stays=20, simulated=True)
    episodes = replace(everybody, lengths=np.where(np.arange(120) < 110, WEEKS - 2, WEEKS)).subset(np.arange(110))
    short = replace(
        episodes,
        **{
            name: getattr(episodes, name)[:, : WEEKS - 2]
            for name in ("rewards", "actions", "observations", "propensities")
        },
        reward_parts={name: part[:, : WEEKS - 2] for name, part in episodes.reward_parts.items()},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = moved(episodes, run_out=(1, 4, 6))
    rows = ~found.table.setting.str.startswith(("errors", "estimated"))  # which draw for each week
    pd.testing.assert_frame_equal(found.table[rows], moved(short, run_out=(1, 4, 6)).table[rows])
    assert found.tipping_strength == moved(short).tipping_strength


def test_one_member_and_weights_of_other_kinds_are_said():
    one = LoggedEpisodes(
        rewards=np.ones((1, 2)), lengths=np.array([2]), actions=np.zeros((1, 2), dtype=int),
        action_space=ActionSpace.from_nvec([2]), propensities=np.full((1, 2), 0.5),
    )  # fmt: skip
    with pytest.raises(UserError, match="an interval needs at least 2 members"):
        sensitivity(one, np.full((1, 2), 0.5), rng=np.random.default_rng(0))
    for weights, said in (
        (BOTH, "weights of the reward must be a dictionary, not 'visits'"),
        (({"visits": "5"},), "the weight of 'visits' must be a number"),
    ):
        with pytest.raises(UserError, match=said):
            sensitivity(care(early=20), mostly, rng=np.random.default_rng(0), reward_weights=weights)

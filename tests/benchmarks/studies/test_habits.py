import numpy as np
import pytest

from benchmarks.studies import habits
from frl_env.errors import UserError


def _levels(buffer):
    return buffer.action_space.unravel(buffer.actions)


def _pairs(buffer):
    """Goals of contacts and whose they are."""
    levels = _levels(buffer)
    acts = levels[:, 0] > 0
    return levels[acts, 2], np.repeat(np.arange(len(buffer.lengths)), buffer.lengths)[acts]


def _repeats(buffer):
    """Of pairs of successive contacts of a member, the share that is about the same goal."""
    goals, who = _pairs(buffer)
    same = who[1:] == who[:-1]
    return (goals[1:] == goals[:-1])[same].mean()


def test_a_team_with_a_habit_repeats_itself_with_a_member():
    plain, habit = (habits.logged(habits.Habit("", 0.0, share), members=400, seed=5) for share in (0.0, 0.9))
    assert _repeats(plain) < 0.2
    assert 0.75 < _repeats(habit) < 0.95


def test_habits_come_from_as_many_goals_as_said():
    buffer = habits.logged(habits.Habit("", 0.0, 1.0, 3), members=200, seed=5)
    goals, who = _pairs(buffer)
    assert len(set(goals)) <= 3 + 2  # and a few of the share that explores
    assert (np.bincount(goals).max() / len(goals)) > 0.25
    assert all(len(set(goals[who == member])) <= 2 for member in range(10))


def test_the_rest_of_the_team_is_as_it_was():
    plain, habit = (habits.logged(habits.Habit("", 0.0, share), members=400, seed=5) for share in (0.0, 1.0))
    rates = [np.bincount(_levels(buffer)[:, 0], minlength=6) / len(buffer.actions) for buffer in (plain, habit)]
    np.testing.assert_allclose(rates[1], rates[0], atol=0.01)
    assert habit.action_space.valid[habit.actions].all()


@pytest.mark.long
def test_the_command_resumes_and_shows_every_team(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(habits, "HABITS", habits.HABITS[:2])
    arguments = ["--replicates", "2", "--members", "60", "--steps", "2", "--eval-members", "20", "--out", str(tmp_path)]
    habits.main(arguments)
    first = capsys.readouterr().out
    assert "needs, and habit" in first
    assert " of 2 " in first
    assert len(list(tmp_path.iterdir())) == 8
    monkeypatch.setattr("benchmarks.studies.ablations._run", None)  # nothing is trained twice
    habits.main(arguments)
    assert capsys.readouterr().out == first


def test_nonsense_is_refused(tmp_path):
    with pytest.raises(UserError, match="--members must be at least 2"):
        habits.main(["--members", "1", "--out", str(tmp_path)])

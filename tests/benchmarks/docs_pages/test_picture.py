"""README's picture is of the leaderboard's numbers."""

import pytest

from benchmarks.docs_pages import picture
from benchmarks.result_records.figures import read_figure, write_figure
from frl_env.errors import UserError


def test_the_picture_is_of_todays_numbers(tmp_path, monkeypatch):
    picture.main(["--check"])
    figure = read_figure("leaderboard")
    drawn = picture.draw(figure)
    assert drawn == picture.draw(figure)
    assert all(label in drawn for _, label, _, _ in picture.LINES)
    rows = [dict(row) for row in figure.rows]
    next(row for row in rows if row["name"] == picture.LINES[0][0])["gain"] += 0.01
    write_figure("leaderboard", rows, columns=figure.columns, command="none", programs=["benchmarks"], folder=tmp_path)
    monkeypatch.setattr(picture, "read_figure", lambda study: read_figure(study, tmp_path))
    with pytest.raises(UserError, match="make pages"):
        picture.main(["--check"])

"""The table of rooms is the code's: what each is for, and what it imports. Names on the page are rooms or files."""

import re

import pytest

from benchmarks.docs_pages import rooms
from frl_env.errors import UserError


@pytest.mark.long
def test_the_page_shows_the_rooms_there_are(tmp_path, monkeypatch):
    rooms.main(["--check"])
    text = rooms.PAGE.read_text()
    for package in rooms.PACKAGES:
        for room in (rooms.ROOT / package).glob("*/__init__.py"):
            assert f"| `{room.parent.name}` | " in text
    changed = tmp_path / "architecture.md"
    changed.write_text(text.replace("`logged_data`", "`lodged_data`"))
    monkeypatch.setattr(rooms, "PAGE", changed)
    with pytest.raises(UserError, match="make pages"):
        rooms.main(["--check"])
    rooms.main([])
    assert changed.read_text() == text


def test_imports_inside_functions_count(tmp_path):
    file = tmp_path / "module.py"
    file.write_text("def f():\n    from frl_algos.logged_data.replay import x\n    from frl_algos import networks\n")
    assert rooms._imported(file, "frl_algos") == {"logged_data", "networks"}


def test_every_room_and_file_that_the_page_names_is_there():
    text = rooms.PAGE.read_text()
    named = re.findall(r"^\| `(\w+)` \|", text.partition("## Names that recur")[2], flags=re.MULTILINE)
    way = text.partition("## The way of the data")[2].partition("## The rooms")[0]
    named += re.findall(r"`([a-z_]+(?:/[a-z_]+)*/?)(?:\.py)?`", way)
    assert len(named) > 40
    there = {f"/{file.relative_to(rooms.ROOT).with_suffix('')}" for package in rooms.PACKAGES
             for file in (rooms.ROOT / package).rglob("*")}  # fmt: skip
    there |= {f"/{package}" for package in rooms.PACKAGES}
    assert [name for name in named if not any(place.endswith(f"/{name.strip('/')}") for place in there)] == []

"""The page of a worklist: what it says, and that everybody can read it."""

import itertools
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from worklist_members import worklist_of

from frl_env.capacity import Capacity
from frl_env.commands.worklist import _told
from frl_env.worklist.writing import _words, page


def test_the_page_says_first_what_it_is_not(table):
    text = page(worklist_of(table, Capacity(minutes=20.0)))
    assert text.index("Not to guide care") < text.index("<table")
    assert "http" not in text.replace("http-equiv", "")
    assert text.count("<h2") == len(re.findall("<section", text))
    assert "A contact that was tried and reached nobody" in text
    assert "@media (max-width" not in text  # a sheet of paper is narrow, too, and prints tables all the same


def test_the_page_says_what_the_list_does_not_know_and_what_is_not_shown(table):
    worklist = worklist_of(table, Capacity(minutes=8.0), explore=0.2)
    text = " ".join(page(worklist).split())
    assert "not whether the member was reached" in text
    assert "in hospital today" in text
    assert "leave out the last ranks" in text
    assert "The list has no time for these members" in text
    assert "Of all who are not listed" not in text  # some were drawn to be left alone; and limits have prices
    assert "What is scarcer counts for more" in text
    assert "Who was drawn to be left alone is not among them" in text
    assert "An answered contact, one that reached the member, is like this one where" in text
    assert "Time that is available and not used was that of members who were then drawn" in text
    assert "who goes: pharmacist" in text
    shown = "0 is within that range"
    assert shown not in text
    for low, high, said in ((-1.0, 3.0, True), (1.0, 3.0, False), (-3.0, -1.0, False)):
        summary = worklist.summary | {"events_avoided": [(low + high) / 2, low, high]}
        assert (shown in page(replace(worklist, summary=summary))) == said
        assert (shown in " ".join(_told(summary, Capacity(minutes=20.0)))) == said


@pytest.mark.parametrize(
    ("level", "said"),
    [("HOME_VISIT", "home visit"), ("SMS_TEXT", "SMS text"), ("RN07", "RN07"), ("RN_07", "RN_07"), ("Ana", "Ana")],
)
def test_levels_in_words(level, said):
    assert _words(level) == said


class _Page(HTMLParser):
    """What a reader with a screen reader or a keyboard needs of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("h1", "h2", "h3"):
            self.headings.append(tag)


def _contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio of two colours #rrggbb or #rgb."""

    def light(colour: str) -> float:
        digits = colour if len(colour) == 6 else "".join(2 * each for each in colour)
        parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lights = sorted((light(one), light(other)))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def test_the_page_can_be_read_by_everybody(table):
    text = page(worklist_of(table, Capacity(minutes=8.0), explore=0.2))
    seen = _Page(text)
    by_tag = {tag: [attributes for each, attributes in seen.tags if each == tag] for tag, _ in seen.tags}
    assert by_tag["html"][0]["lang"] == "en"
    assert "<title>Worklist, week 17</title>" in text
    assert seen.headings[0] == "h1"
    assert seen.headings.count("h1") == 1
    assert "h3" not in seen.headings
    assert all(each.get("scope") in ("col", "row") for each in by_tag["th"])
    assert len(by_tag["main"]) == len(by_tag["header"]) == 1
    known = {attributes["id"] for _, attributes in seen.tags if attributes.get("id")}
    assert all(each["aria-labelledby"] in known for each in by_tag["section"])
    assert all(each.get("type") == "button" for each in by_tag["button"])
    assert "aria-sort" in text
    assert "a" not in by_tag
    for block in re.findall(r":root \{([^}]*)\}", text):
        colours = dict(re.findall(r"--(\w+): #(\w+)", block))
        for ink, paper in itertools.product(("ink", "quiet"), ("paper", "note")):
            if {ink, paper} <= set(colours):
                assert _contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)
        if "focus" in colours:
            assert _contrast(colours["focus"], colours["paper"]) >= 3

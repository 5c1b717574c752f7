"""The page of a worklist: what it says, and that everybody can read it."""

import itertools
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from worklist_members import EFFORT, SHORT, ByRisk, worklist_of

from frl_env.actions import ActionSpace, Factor
from frl_env.capacity import Capacity, Effort
from frl_env.commands.worklist import _told
from frl_env.worklist import make_worklist, read_caseload, write_worklist
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
    assert "Their number is in the unit of the reward" in text
    shown = "0 is within that range"
    assert shown not in text
    for low, high, said in ((-1.0, 3.0, True), (1.0, 3.0, False), (-3.0, -1.0, False)):
        summary = worklist.summary | {"events_avoided": [(low + high) / 2, low, high]}
        assert (shown in page(replace(worklist, summary=summary))) == said
        assert (shown in " ".join(_told(summary, Capacity(minutes=20.0)))) == said


def test_a_list_of_one_is_said_of_one(table):
    text = page(worklist_of(table, Capacity(minutes=1.25, forbidden=(*SHORT, {"modality": "VIDEO_VISIT"}))))
    assert "1 of about 60 members is listed." in text


@pytest.mark.parametrize(
    ("level", "said"),
    [("HOME_VISIT", "home visit"), ("SMS_TEXT", "SMS text"), ("RN07", "RN07"), ("RN_07", "RN_07"), ("Ana", "Ana")],
)
def test_levels_in_words(level, said):
    assert _words(level) == said


def test_factors_may_be_called_as_columns_of_the_list_are(table, tmp_path):
    """Why a contact is made and how long it is are factors that a program may have."""
    factors = {"staff": ("nobody", "nurse"), "reason": ("none", "Food", "Pills"), "minutes": ("zero", "Short", "Long")}
    space = ActionSpace(
        factors=tuple(Factor(name=name, levels=levels) for name, levels in factors.items()), contact_factors=(*factors,)
    )
    effort = Effort(space, {"minutes": {"Short": 10, "Long": 30}})
    valid = space.valid_joints

    class OfFood(ByRisk):
        def gains(self, observations, memory):
            gains = np.full((len(observations), len(valid)), 0.01, dtype=np.float32)
            gains[:, 0] = 0
            gains[: len(gains) // 2, space.joint_levels[valid, 1] == 1] = 0.02
            return gains

    caseload = replace(read_caseload(table, ByRisk()), made=np.zeros(0, dtype=np.int64))  # the table's are others
    made = make_worklist(caseload, OfFood(), effort, Capacity(minutes=5.0), np.random.default_rng(0))
    write_worklist(made, tmp_path / "list.csv", words={"reason": {"Food": "Hunger"}})
    rows, chances = pd.read_csv(tmp_path / "list.csv"), made.chances.set_index("member_id")
    assert len(rows) == 30
    for column in ("action_reason", "action_minutes"):
        named = rows[column].replace({"Hunger": "Food"})
        assert named.tolist() == chances.loc[rows["member_id"], column].tolist()
    assert set(rows["action_reason"]) == {"Hunger"}
    assert set(rows["minutes"]) == {10.0}
    assert rows["reason"].str.contains("contact").all()
    text = page(made)
    assert len(re.findall('data-name="Reason">(Food|Pills)</td>', text)) == 30 + len(made.below)
    assert text.count('data-name="Minutes">Short</td>') == 30 + len(made.below)


def test_who_rests_by_the_policy_alone_is_told(table):
    class Resting(ByRisk):
        def gains(self, observations, memory):
            gains = super().gains(observations, memory)
            gains[:13, 1:] = -np.inf
            return gains

    for policy, told in ((Resting(), ["about 20"]), (ByRisk(), [])):
        for explore in (0.0, 0.4):
            made = make_worklist(
                read_caseload(table, policy), policy, EFFORT, Capacity(minutes=20.0), np.random.default_rng(0),
                explore=explore,
            )  # fmt: skip
            rules = [rule for rule in made.summary["left_out"] if "the policy has no contact for them" in rule["why"]]
            assert [rule["members"] for rule in rules] == told


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

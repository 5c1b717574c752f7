"""The audit on arrays: measures by hand, findings, refusals, and files that give nothing away."""

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from frl_env.errors import UserError
from frl_env.evaluation.fairness.audit import NOT_RECORDED, AuditedMembers, audit
from frl_env.evaluation.fairness.files import write_audit

QUICK = {"resamples": 60, "permutations": 100}


def members(n=400, *, seed=0, simulated=True, **changes):
    """Two attributes that have nothing to do with anything."""
    rng = np.random.default_rng(seed)
    columns = {
        "high_touch": rng.beta(2, 20, n),
        "attributes": {
            "race_ethnicity": rng.choice(["WHITE", "BLACK", "OTHER"], n, p=[0.5, 0.3, 0.2]),
            "gender": rng.choice(["FEMALE", "MALE"], n),
        },
        "needs": {"open_needs": rng.poisson(2.5, n).astype(float)},
        "simulated": simulated,
    }
    return AuditedMembers(**columns | changes)


def by_group(result, attribute, measure):
    return {group.name: group.measures[measure].value for group in result.of(attribute)}


@pytest.fixture(scope="module")
def by_hand():
    """12 members, 6 in each group; everything can be counted on fingers."""
    who = AuditedMembers(
        high_touch=np.array([0.1, 0.1, 0.2, 0.2, 0.4, 0.2, 0.4, 0.4, 0.8, 0.6, 0.4, 0.4]),
        attributes={"group": np.repeat(["A", "B"], 6)},
        needs={
            "need": np.array([1.0, 1, 2, 4, 4, np.nan, 1, 1, 4, 2, 1, 3]),
            "use": np.repeat([1.0, 3.0], 6),
        },
        simulated=True,
        values=np.repeat([-1.0, -2.0], 6),
        behaviour_values=np.repeat([-1.5, -1.9], 6),
        weights=np.array([1.0, 1, 1, 1, 1, 1, 6, 0, 0, 0, 0, 0]),
        allocations={"modality: HOME_VISIT": np.repeat([0.1, 0.3], 6)},
    )
    return audit(who, rng=np.random.default_rng(0), minimum=2, **QUICK)


def test_where_nobody_gets_anything_nothing_goes_by_need():
    result = audit(members(high_touch=np.zeros(400)), rng=np.random.default_rng(0), **QUICK)
    for group in result.of("gender"):
        assert group.measures["high_touch"].value == 0
        assert "need_ratio (open_needs)" not in group.measures


def test_without_tests_there_are_intervals_and_no_p_values():
    tested, quick = (audit(members(), rng=np.random.default_rng(0), resamples=60, permutations=n) for n in (100, 0))
    assert [(c.attribute, c.score, c.difference) for c in quick.contrasts] == [
        (c.attribute, c.score, c.difference) for c in tested.contrasts
    ]
    assert all(c.low < c.high and (c.p_value, c.adjusted, c.found) == (None, None, False) for c in quick.contrasts)
    assert quick.sentences[0] == "Differences between groups were not tested."
    json.dumps(quick.to_dict(), allow_nan=False)


def test_measures_by_hand(by_hand):
    assert by_group(by_hand, "group", "high_touch") == pytest.approx({"A": 0.2, "B": 0.5})
    # p 4.0 for need 24.0 among the eleven whose need is known: A has 1.0 for 12, B 3.0 for 12.
    assert by_group(by_hand, "group", "need_ratio (need)") == pytest.approx({"A": 0.5, "B": 1.5})
    assert by_group(by_hand, "group", "beyond_need") == pytest.approx({"A": 0.2 - 2.4 / 6, "B": 0.5 - 2.0 / 6})
    # By use as need, everything but fair: B has 3 times the use and 2.5 times the high touch.
    assert by_group(by_hand, "group", "need_ratio (use)") == pytest.approx({"A": 0.2 / 0.35 * 2, "B": 0.5 / 0.35 / 1.5})
    # Need 3.5 and up: members 4 and 5 of A, member 3 of B.
    assert by_group(by_hand, "group", "value_change") == pytest.approx({"A": 0.5, "B": -0.1})
    assert by_group(by_hand, "group", "value") == pytest.approx({"A": -1.0, "B": -2.0})
    assert by_group(by_hand, "group", "effective_members") == pytest.approx({"A": 6.0, "B": 1.0})
    assert by_group(by_hand, "group", "modality: HOME_VISIT") == pytest.approx({"A": 0.1, "B": 0.3})
    assert by_hand.overall["high_touch"].value == pytest.approx(0.35)
    assert by_hand.gap("group").difference == pytest.approx(0.3)
    assert by_hand.gap("group").ratio == pytest.approx(0.4)
    assert by_hand.gap("group", "value_change").ratio is None


def test_opportunity_given_need_looks_at_members_in_high_need_only():
    who = members(attributes={"group": np.tile(["A", "B"], 200)}, needs={"need": np.repeat([1.0, 5.0], 200)})
    result = audit(who, rng=np.random.default_rng(0), **QUICK)
    assert result.high_need == 5.0
    high = who.high_touch[200:]
    wanted = {"A": high[::2].mean(), "B": high[1::2].mean()}
    assert by_group(result, "group", "high_touch_given_need") == pytest.approx(wanted)


def test_calibration_compares_members_who_get_as_much():
    # B gets more, and at each level of high touch its members are in need by 1 more.
    group = np.repeat(["A", "B"], 200)
    level = np.concatenate([np.tile([0.1, 0.2], 100), np.tile([0.2, 0.3], 100)])
    need = 10 * level + (group == "B")
    result = audit(
        members(high_touch=level, attributes={"group": group}, needs={"need": need}),
        rng=np.random.default_rng(0),
        **QUICK,
    )
    points = {(point.group, round(point.high_touch, 3)): point.need for point in result.calibration}
    assert points == pytest.approx({("A", 0.1): 1, ("A", 0.2): 2, ("B", 0.2): 3, ("B", 0.3): 4})
    # Where both are, at 0.2, A is half below and B half above the mean of 2.5.
    assert by_group(result, "group", "need_given_high_touch") == pytest.approx({"A": -0.25, "B": 0.25})


def test_intervals_hold_the_estimate_and_shrink_with_members():
    def width(n):
        groups = audit(members(n), rng=np.random.default_rng(0), **QUICK).of("gender")
        for group in groups:
            for name in ("high_touch", "need_ratio (open_needs)", "beyond_need"):
                measured = group.measures[name]
                assert measured.low <= measured.value <= measured.high
        return groups[0].measures["high_touch"].high - groups[0].measures["high_touch"].low

    assert width(4_000) == pytest.approx(width(400) / np.sqrt(10), rel=0.4)


def test_a_disparity_is_found_and_named_and_nothing_else():
    who = members(800)
    barred = who.attributes["race_ethnicity"] == "BLACK"
    result = audit(
        members(800, high_touch=np.where(barred, 0.6, 1.0) * who.high_touch), rng=np.random.default_rng(1), **QUICK
    )
    assert {(c.first, c.second) for c in result.found if c.score == "high_touch" and " & " not in c.attribute} == {
        ("BLACK", "OTHER"),
        ("BLACK", "WHITE"),
    }
    assert any(
        re.match(r"race_ethnicity, BLACK less WHITE: high_touch -\d\.\d+ points", line) for line in result.sentences
    )
    assert not audit(who, rng=np.random.default_rng(1), **QUICK).found
    assert "No difference" in audit(who, rng=np.random.default_rng(1), **QUICK).sentences[0]


def test_missing_labels_are_a_group():
    labels = np.array(["A", "B", None, ""] * 100, dtype=object)
    result = audit(members(attributes={"group": labels}), rng=np.random.default_rng(0), **QUICK)
    assert {group.name: group.members for group in result.of("group")} == {"A": 100, "B": 100, NOT_RECORDED: 200}


def test_small_groups_are_counted_but_not_measured():
    labels = np.repeat(["A", "B", "C"], [195, 200, 5])
    result = audit(members(attributes={"group": labels}), rng=np.random.default_rng(0), **QUICK)
    small = result.of("group")[2]
    assert (small.members, small.measures) == (5, {})
    assert small.withheld == "fewer than 30 members"
    assert not any("C" in (c.first, c.second) for c in result.contrasts)


ALIKE = {"group": np.repeat(["A"], 400)}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"attributes": {}}, "at least one attribute"),
        ({"attributes": {"group": np.full(400, None)}}, "'group' is missing for all 400 members"),
        ({"attributes": ALIKE}, "'group' has one group only"),
        ({"attributes": {"group": np.repeat(["A", "B"], 199)}}, "398 labels for 400 members"),
        ({"needs": {"need": np.full(400, np.nan)}}, "'need' is missing for all 400 members"),
        ({"needs": {"need": np.zeros(400)}}, "'need' is 0 for all"),
        ({"needs": {"need": -np.ones(400)}}, "'need' is negative for 400 of 400"),
        ({"needs": {}}, "at least one measure of need"),
        ({"high_touch": np.full(400, 1.5)}, "high_touch is not a probability in 0..1 for 400 of 400"),
        ({"high_touch": np.append(np.full(399, 0.1), np.nan)}, "high_touch is not finite for 1 of 400"),
        ({"values": np.zeros(3)}, "values has shape"),
    ],
)
def test_what_cannot_be_audited_is_said(changes, said):
    with pytest.raises(UserError, match=said):
        members(**changes)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"minimum": 1}, "minimum must be"),
        ({"minimum": 300}, "no attribute has two groups of at least 300 members"),
        ({"intersections": [("gender", "race")]}, "unknown attribute of an intersection 'race'"),
        ({"level": 1.0}, "level must be"),
    ],
)
def test_settings_that_make_no_sense_are_said(options, said):
    with pytest.raises(UserError, match=said):
        audit(members(), rng=np.random.default_rng(0), **QUICK | options)


def test_large_groups_that_a_small_one_hides_are_not_said_to_be_small():
    """A group of 5 is suppressed, and one of 195 with it, or its size would follow: one of 200 is left alone."""
    labels = {"gender": np.repeat(["F", "M", "X"], [200, 195, 5])}
    with pytest.raises(UserError, match="groups of 1 to 10 people are suppressed") as said:
        audit(members(simulated=False, attributes=labels), rng=np.random.default_rng(0), **QUICK)
    assert "gender: two groups of at least 30 members" in str(said.value)
    assert not re.search(r"\b(5|195|200)\b", str(said.value))


def test_groups_of_an_attribute_with_an_ampersand_in_its_name_are_suppressed():
    rng = np.random.default_rng(0)
    labels = {
        "race & ethnicity": np.repeat(["A", "B", "C", "D"], [200, 193, 20, 7]),
        "gender": rng.choice(["F", "M"], 420),
    }
    result = audit(members(420, simulated=False, attributes=labels), rng=rng, resamples=20, permutations=0)
    assert {g.name for g in result.of("race & ethnicity") if g.members is None} == {"C", "D"}
    assert not [group for group in result.groups if group.members is not None and group.members < 11]


def test_messages_about_real_people_say_no_small_number():
    touch = np.append(np.full(399, 0.1), 7.0)
    with pytest.raises(UserError, match="for fewer than 11 of 400 members"):
        members(simulated=False, high_touch=touch)
    with pytest.raises(UserError, match="at least 11 members, and these are fewer") as said:
        members(8, simulated=False)
    assert "8" not in str(said.value)
    with pytest.raises(UserError, match=r"minimum must be a whole number in 11"):
        audit(members(simulated=False), rng=np.random.default_rng(0), minimum=5, **QUICK)


def test_an_unknown_name_is_said(by_hand):
    with pytest.raises(UserError, match="unknown attribute 'grop'; did you mean group"):
        by_hand.of("grop")
    with pytest.raises(UserError, match="no gap of 'vale'"):
        by_hand.gap("group", "vale")


@pytest.fixture
def imported():
    """Real people, as it were: 7 of group TINY, 9 women of group SOME."""
    race = np.repeat(["TINY", "SOME", "MOST", "MANY"], [7, 60, 500, 300])
    gender = np.where(np.arange(867) % 2, "FEMALE", "MALE")
    gender[7:67] = "MALE"
    gender[7:16] = "FEMALE"
    rng = np.random.default_rng(3)
    allocations = {
        "modality: HOME_VISIT": rng.random(867),
        "provider: CHW": rng.random(867),
        "digital": rng.random(867),
    }
    return members(867, simulated=False, attributes={"race": race, "gender": gender}, allocations=allocations)


def numbers_of_people(thing):
    """Every count of people in a nested JSON value."""
    if isinstance(thing, dict):
        own = [thing["members"]] if isinstance(thing.get("members"), int) else []
        return own + [n for value in thing.values() for n in numbers_of_people(value)]
    return [n for value in thing for n in numbers_of_people(value)] if isinstance(thing, list) else []


def rows_of(file):
    with file.open() as lines:
        return list(csv.DictReader(lines))


def test_no_file_of_imported_data_holds_a_small_cell_or_what_it_follows_from(imported, tmp_path):
    result = audit(imported, rng=np.random.default_rng(0), minimum=11, **QUICK)
    files = write_audit(result, tmp_path)
    assert {file.suffix for file in files} == {".json", ".csv", ".svg"}
    assert sorted(tmp_path.iterdir()) == sorted(files)  # nothing half-written
    report = json.loads((tmp_path / "audit.json").read_text())
    counts = numbers_of_people(report)
    counts += [int(row["members"]) for row in rows_of(tmp_path / "groups.csv") if row["members"]]
    assert counts
    assert min(counts) >= 11
    # What is left of each attribute when its groups are taken from the total is no small cell either.
    for attribute in ("race", "gender", "race & gender"):
        left = 867 - sum(g["members"] or 0 for g in report["groups"] if g["attribute"] == attribute)
        assert left == 0 or left >= 11
    # Nothing is said of the small groups but that they are suppressed: not their share, not their mean.
    tiny = {"7", f"{7 / 867:.2f}", f"{imported.high_touch[:7].mean():.6f}", f"{imported.high_touch[7:16].mean():.6f}"}
    for file in files:
        text = file.read_text()
        for line in text.splitlines():
            if "TINY" in line or "SOME, FEMALE" in line:
                assert "suppressed" in line or '"name"' in line, (file.name, line)
        words = set(re.findall(r"(?<![\w.#-])\d+(?:\.\d+)?(?![\w.])", re.sub(r"<[^>]*>", " ", text)))
        assert not {word for word in words if word in tiny}, file.name
        assert f"{imported.high_touch[:7].mean():.6f}" not in text
    assert "suppressed" in (tmp_path / "high_touch.svg").read_text()
    assert result.privacy in result.sentences
    assert "suppressed everywhere" in result.privacy


def test_simulated_members_are_exempt_and_the_audit_says_so(imported, tmp_path):
    same = {"attributes": imported.attributes, "allocations": imported.allocations}
    result = audit(members(867, **same), rng=np.random.default_rng(0), minimum=11, **QUICK)
    assert result.of("race")[3].members == 7
    assert "no real person" in json.loads(write_audit(result, tmp_path)[4].read_text())["privacy"]


def test_an_attribute_of_which_everything_is_hidden_is_left_out(tmp_path):
    labels = {"gender": np.repeat(["FEMALE", "MALE"], [395, 5]), "group": np.tile(["A", "B"], 200)}
    result = audit(members(simulated=False, attributes=labels), rng=np.random.default_rng(0), **QUICK)
    assert {group.attribute for group in result.groups} == {"group"}
    for file in write_audit(result, tmp_path):
        assert "FEMALE" not in file.read_text()


def test_files_are_whole_and_the_same_every_time(by_hand, tmp_path):
    first = {file.name: file.read_bytes() for file in write_audit(by_hand, tmp_path / "new" / "place")}
    assert first == {file.name: file.read_bytes() for file in write_audit(by_hand, tmp_path / "new" / "place")}
    row = rows_of(tmp_path / "new" / "place" / "groups.csv")[0]
    assert (row["group"], row["members"], row["measure"]) == ("A", "6", "high_touch")
    assert float(row["value"]) == pytest.approx(0.2)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can't write to"):
        write_audit(by_hand, tmp_path / "file")


def test_means_that_few_people_make_up_are_left_out_with_what_tells_them():
    n = 400
    gender = np.where(np.arange(n) < 200, "F", "M")
    rare, common = np.zeros(n), np.zeros(n)
    rare[:4], rare[200:300], common[::3] = 0.5, 0.5, 0.5
    about = {"allocations": {"rare": rare, "common": common}, "attributes": {"gender": gender}}
    real = audit(members(n, simulated=False, **about), rng=np.random.default_rng(0), **QUICK)
    told = {group.name: group.measures for group in real.of("gender")}
    assert "rare" not in told["F"]
    assert "rare" not in told["M"]  # with the mean of all it would tell that of the others
    assert {"common", "high_touch"} <= set(told["F"]) & set(told["M"])
    open_ = audit(members(n, **about), rng=np.random.default_rng(0), **QUICK)
    assert all("rare" in group.measures for group in open_.of("gender"))


def test_a_group_too_small_to_compare_does_not_follow_from_the_mean_of_all():
    n = 424
    race = np.asarray(["A"] * 220 + ["B"] * 180 + ["C"] * 24)
    rare = np.zeros(n)
    rare[:200:2], rare[220:300], rare[400:403] = 0.5, 0.5, 0.5  # C: 3 of 24 people
    about = {"allocations": {"rare": rare}, "attributes": {"race": race}}
    real = audit(members(n, simulated=False, **about), rng=np.random.default_rng(0), **QUICK)
    assert {group.name for group in real.groups if "rare" in group.measures} == {"A"}
    assert real.overall["rare"].value == pytest.approx(rare.mean())
    open_ = audit(members(n, **about), rng=np.random.default_rng(0), **QUICK)
    assert {group.name for group in open_.groups if "rare" in group.measures} == {"A", "B"}


def test_a_joint_group_does_not_follow_from_the_groups_of_one_attribute():
    n = 600
    race, gender = np.repeat(["A", "B"], 300), np.tile(["F", "M"], 300)
    rare = np.where(np.arange(n) % 3 == 0, 0.5, 0.0)
    rare[(race == "A") & (gender == "M")] = 0.0
    rare[[1, 3, 5]] = 0.5  # A, M: 3 of 150 people
    about = {"allocations": {"rare": rare}, "attributes": {"race": race, "gender": gender}}
    real = audit(members(n, simulated=False, **about), rng=np.random.default_rng(0), **QUICK)
    assert {group.name for group in real.groups if "rare" in group.measures} == {"A", "B", "F", "M"}
    open_ = audit(members(n, **about), rng=np.random.default_rng(0), **QUICK)
    assert sum("rare" in group.measures for group in open_.groups) == 8


def test_contrasts_go_with_the_means_they_are_made_of():
    n = 400
    touch = np.zeros(n)
    touch[:4], touch[200:] = 0.5, np.linspace(0.2, 0.9, 200)
    about = {"high_touch": touch, "attributes": {"gender": np.where(np.arange(n) < 200, "F", "M")}}
    real = audit(members(n, simulated=False, **about), rng=np.random.default_rng(0), **QUICK)
    assert all("high_touch" not in group.measures for group in real.groups)
    assert not [pair for pair in real.contrasts if pair.score == "high_touch"]
    assert not [gap for gap in real.gaps if gap.measure == "high_touch"]
    open_ = audit(members(n, **about), rng=np.random.default_rng(0), **QUICK)
    assert [pair for pair in open_.contrasts if pair.score == "high_touch"]


def test_who_has_no_need_is_in_no_great_need():
    used = np.where(np.arange(400) % 5 < 1, 2.0, 0.0)  # a fifth
    touch = np.where(used > 0, 0.3, 0.1)
    result = audit(members(high_touch=touch, needs={"use": used}), rng=np.random.default_rng(0), **QUICK)
    assert result.high_need == 0  # a quantile, and not the least that anybody has
    for group in result.of("gender"):
        assert group.measures["high_touch_given_need"].value == pytest.approx(0.3)


def in_two_bins(first, second, needs):
    """Members of A and B: so many of each in a lower, and in an upper half of high touch."""
    race = np.repeat(["A", "B"] * 2, [*first, *second])
    touch = np.where(np.arange(len(race)) < sum(first), 0.1, 0.4)
    return {"attributes": {"race": race}, "high_touch": touch, "needs": {"visits": needs(len(race))}}


@pytest.mark.parametrize(
    ("first", "second", "needs", "told"),
    [
        ((60, 60), (60, 60), lambda n: np.arange(n) % 4, {("A", 1), ("B", 1), ("A", 2), ("B", 2)}),
        # B's 7 of the lower half would be those of the bin less A's, and those of the upper half less what B is.
        ((60, 7), (60, 60), lambda n: np.arange(n) % 4, set()),
        # 3 of B's in the lower half have any need: A has none, and all of the bin have these.
        ((60, 60), (60, 60), lambda n: np.isin(np.arange(n), [70, 80, 90, *range(120, n, 3)]), {("A", 2), ("B", 2)}),
    ],
)
def test_no_small_number_follows_from_need_by_high_touch(first, second, needs, told):
    about = in_two_bins(first, second, lambda n: needs(n).astype(float))
    n = sum(first) + sum(second)
    real = audit(members(n, simulated=False, **about), rng=np.random.default_rng(0), **QUICK)
    assert {(point.group, point.bin) for point in real.calibration} == told
    open_ = audit(members(n, **about), rng=np.random.default_rng(0), **QUICK)
    assert len(open_.calibration) == 4 - (7 in first)


def test_dollar_signs_in_names_of_groups_are_text(imported, tmp_path):
    races = np.where(imported.attributes["race"] == imported.attributes["race"][-1], "$5_$", "$a$")
    result = audit(replace(imported, attributes={"race": races}), rng=np.random.default_rng(0), minimum=11, **QUICK)
    write_audit(result, tmp_path)
    assert "$5_$" in (tmp_path / "high_touch.svg").read_text()


def test_figures_of_what_few_people_get_and_of_many_needs(tmp_path):
    """The mean of all is not told where it is that of few; a figure has colours for so many needs, and then again."""
    few = np.where(np.arange(400) < 5, 0.5, 0.0)
    result = audit(members(high_touch=few, simulated=False), rng=np.random.default_rng(0), **QUICK)
    assert "high_touch" not in result.overall
    write_audit(result, tmp_path)
    assert "line: everyone" not in (tmp_path / "high_touch.svg").read_text()
    rng = np.random.default_rng(0)
    needs = {f"need {number}": rng.random(400) for number in range(9)}
    write_audit(audit(members(needs=needs), rng=rng, **QUICK), tmp_path)
    assert "need 8" in (tmp_path / "need_ratio.svg").read_text()


def test_a_seed_is_no_generator():
    with pytest.raises(UserError, match=r"rng must be a numpy\.random\.Generator, not 0"):
        audit(members(), rng=0, **QUICK)

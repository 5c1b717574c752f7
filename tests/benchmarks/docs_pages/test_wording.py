"""What is counted on a page: sentences, wide lines, words that nobody explained."""

import pytest

from benchmarks.docs_pages import wording
from frl_env.errors import UserError

PAGE = """# A heading of as many words as anybody likes, which is no sentence and has no full stop

Short. {long} And `code of many words that count as one` ends here.

| a | table |
|---|---|
| {long} | is not read |

    {long} in code is not read either {long}

{wide}
"""
LONG = " ".join(["word"] * 25) + " end."


def test_sentences_and_lines_are_counted():
    wide = "x " * 60 + "."
    found = wording.measure("page.md", PAGE.format(long=LONG, wide=wide), ())
    assert found.sentences == 4
    assert [len(each.split()) for each in found.long] == [61, 26]
    assert len(found.wide) == 2  # the paragraph of long sentences, and the wide line
    assert wording.measure("page.md", "Short. Shorter.\n", ()).faults == ()
    assert found.faults
    marked = (
        "Half <!-- figure: a study with a long name | and a row with a long name | {share:.0f} % -->7 %<!-- end --> of"
    )
    assert not wording.measure("page.md", marked, ()).wide
    once = wording.measure("page.md", "So many: " + marked * 2 + " 9.", ("row",))
    assert not once.long, "nobody reads a marker"
    assert not once.unexplained


def test_a_word_is_explained_by_emphasis_or_a_link():
    words = wording.glossary("# Glossary\n\n- **rung**: one world.\n\n## Words of the field\n\n- **greedy**: always.\n")
    assert words == ("rung",)
    for text, left in (
        ("A rung comes first.", ("rung",)),
        ("A *rung* is one world. The rung is high.", ()),
        ("Each [rung](glossary.md) is a world.", ()),
        ("The rung. A *rung* is one world.", ("rung",)),
        ("Nothing of the kind.", ()),
    ):
        assert wording.measure("page.md", text, words).unexplained == left


def test_a_page_that_is_not_there_is_one_line():
    with pytest.raises(UserError, match=r"there is no page docs/nowhere\.md"):
        wording.main(["docs/nowhere.md"])


@pytest.mark.parametrize("page", ["docs/good.md", "docs/bad.md"])
def test_a_check_prints_what_breaks_a_rule_alone(page, tmp_path, monkeypatch, capsys):
    (tmp_path / "docs").mkdir()
    (tmp_path / wording.GLOSSARY).write_text("# Glossary\n\n- **rung**: one world.\n")
    (tmp_path / "docs/good.md").write_text("Short. Shorter.\n")
    (tmp_path / "docs/bad.md").write_text(f"Short.\nThe rung.\n{'word ' * 30}.\n\n{'wide ' * 24}\n")
    monkeypatch.setattr(wording, "ROOT", tmp_path)
    if page == "docs/good.md":
        wording.main(["--check", page])
        assert capsys.readouterr().out == ""
        return
    with pytest.raises(SystemExit, match="1 page breaks a rule"):
        wording.main(["--check", "docs/good.md", page])
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [
        "docs/bad.md:3",
        "docs/bad.md:5",
        *["docs/bad.md"] * 2,
        "  31 words",
    ]
    assert "'rung' stands before it is explained" in lines[2]
    assert "1 of 4 sentences" in lines[3]

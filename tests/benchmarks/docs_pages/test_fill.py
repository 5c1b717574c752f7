"""Pages hold what the figures say; a number that was typed over is noticed."""

import pytest
from markdown_it import MarkdownIt

from benchmarks.docs_pages import fill
from benchmarks.result_records.figures import write_figure
from frl_env.errors import UserError

PAGE = """# Page

<!-- figure: teams -->
<!-- end -->

It closes <!-- figure: teams | needs | {share:.0f} % -->?<!-- end --> of the gap. <!-- measured: teams --><!-- end -->
Examples such as `<!-- figure: STUDY -->` stay.
"""


@pytest.fixture
def folder(tmp_path):
    write_figure(
        "teams",
        [{"team": "needs", "share": 94.04}],
        columns={"team": "{team}", "share": "{share:.1f}"},
        command="python benchmarks/studies/habits.py",
        programs=["benchmarks.result_records.figures"],
        folder=tmp_path / "figures",
    )
    return tmp_path / "figures"


def test_tables_numbers_and_sentences_are_filled(folder):
    full = fill.filled(PAGE, folder)
    assert "| team | share |\n|---|---:|\n| needs | 94.0 |\n" in full
    assert "| {share:.0f} % -->94 %<!-- end --> of the gap." in full
    assert "-->Measured by `python benchmarks/studies/habits.py`.<!-- end -->" in full
    assert fill.filled(full, folder) == full


def test_a_sentence_with_a_line_of_its_own_is_a_paragraph(folder):
    """What follows a comment on the line that the comment begins is raw HTML to Markdown, backticks and all."""
    full = fill.filled("Before.\n\n<!-- measured: teams --><!-- end -->\n\nAfter.", folder)
    assert "<!-- measured: teams -->\n\nMeasured by `python benchmarks/studies/habits.py`.\n\n<!-- end -->" in full
    assert "<p>Measured by <code>" in MarkdownIt().render(full)
    assert fill.filled(full, folder) == full
    long = fill._of_its_own(f"Measured by `python {'--option value ' * 9}--last`; it has changed since then.", True)
    assert [line[:8] for line in long.strip().splitlines()] == ["Measured", "`python ", "it has c"]
    (folder / "commands.toml").write_text('habits = "benchmarks/studies/habits.py"\n')
    once = fill.filled("<!-- figure: habits -->\n<!-- end -->\n\n<!-- measured: habits --><!-- end -->", folder)
    assert once.count("Not measured yet.") == 1
    alone = fill.filled("<!-- measured: habits --><!-- end -->", folder)
    assert "\n\nNot measured yet.\n\n" in alone


@pytest.mark.parametrize("before", ["It closes\n", "- ", "  "])
def test_a_number_may_not_begin_a_line(folder, before):
    with pytest.raises(UserError, match="begins a line"):
        fill.filled(f"{before}<!-- figure: teams | needs | {{share:.0f}} % --><!-- end --> of the gap", folder)


def test_a_number_edited_by_hand_turns_the_check_red(folder, tmp_path, monkeypatch, capsys):
    page = tmp_path / "README.md"
    page.write_text(fill.filled(PAGE, folder))
    monkeypatch.setattr(fill, "ROOT", tmp_path)
    monkeypatch.setattr(fill, "pages", lambda: [page])
    monkeypatch.setattr(fill, "filled", lambda text, filled=fill.filled: filled(text, folder))
    fill.main(["--check"])
    page.write_text(page.read_text().replace("-->94 %<", "-->95 %<"))
    edited = page.read_text()
    with pytest.raises(UserError, match=r"README\.md, line 11: run 'make pages'"):
        fill.main(["--check"])
    assert page.read_text() == edited
    fill.main([])
    fill.main(["--check"])


def test_what_nobody_measured_yet_says_by_which_command(folder):
    (folder / "commands.toml").write_text('habits = "benchmarks/studies/habits.py --seeds 1"\n')
    page = "<!-- figure: habits --><!-- end --> <!-- figure: habits | a | {b} -->7<!-- end -->"
    full = fill.filled(page, folder)
    assert "Not measured yet. `make figures` does, by\n`python benchmarks/studies/habits.py --seeds 1`." in full
    assert "-->\N{EN DASH}<!-- end -->" in full
    with pytest.raises(UserError, match="unknown figure 'habit'"):
        fill.filled("<!-- figure: habit --><!-- end -->", folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- figure: teams | needs | {share} -->", "not closed"),
        ("<!-- figure: teams | <!-- figure: teams --> <!-- end -->", "not closed"),
        ("<!-- figure: teams | needs --><!-- end -->", "a marker must be"),
        ("<!-- figure: team --><!-- end -->", "teams"),
        ("A <!-- figure: teams | need | {share} --><!-- end -->", "needs"),
        ("A <!-- figure: teams | needs | {shares} --><!-- end -->", "can't be written"),
    ],
)
def test_mistakes_are_one_line(folder, text, message):
    with pytest.raises(UserError, match=message) as found:
        fill.filled(text, folder)
    assert "\n" not in str(found.value)


@pytest.mark.long
def test_the_projects_pages_agree_with_its_figures():
    fill.main(["--check"])

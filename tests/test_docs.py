"""The Python blocks of a page run, one after the other, as a newcomer would type them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["README.md", *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md"))]


def _blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.parametrize("page", [page for page in PAGES if _blocks((ROOT / page).read_text(), "python")])
def test_python_blocks_run(page, tmp_path):
    blocks = _blocks((ROOT / page).read_text(), "python")
    assert blocks
    done = subprocess.run([sys.executable, "-c", "\n".join(blocks)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text()):
        if not target.startswith("http"):
            assert ((ROOT / page).parent / target).exists(), target


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_generated_pages_are_what_their_commands_write(tmp_path):
    for page, *command in (
        ("docs/calibration.md", "calibrate"),
        ("docs/sensitivity.md", "sensitivity"),
        ("docs/references.md", "references", "--members", "50000"),
    ):
        script = "import sys; from frl_env.cli import main; main()"
        report = tmp_path / "docs" / Path(page).name
        report.parent.mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-c", script, *command, "--report", page], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert report.read_text() == (ROOT / page).read_text(), page

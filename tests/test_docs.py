"""The Python blocks of a page run, one after the other, as a newcomer would type them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.parametrize("page", ["README.md", "docs/factored_awr.md"])
def test_python_blocks_run(page, tmp_path):
    blocks = _blocks((ROOT / page).read_text(), "python")
    assert blocks
    done = subprocess.run([sys.executable, "-c", "\n".join(blocks)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("page", ["README.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").glob("*.md"))])
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text()):
        if not target.startswith("http"):
            assert ((ROOT / page).parent / target).exists(), target


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_commands_of_the_environment_page_run(tmp_path):
    page = (ROOT / "docs/environment.md").read_text()
    script = re.search(r'    python -c "\n(.*?)\n    "\n', page, flags=re.DOTALL)
    assert script is not None
    code = "\n".join(line.removeprefix("    ") for line in script.group(1).split("\n"))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.strip().splitlines():
        name, ed, ip, _ = line.split()
        assert f"| `{name}` | {float(ed):.3f} | {float(ip):.3f}" in page

"""What pages tell a reader to type."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "benchmarks/LEADERBOARD.md",
    *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md")),
]
COMMAND = re.compile(r"(?:^(?: {4}|\$ )|`)((?:\.venv/bin/)?(?:python3?|frl|minari|make) [^`\n]*)", flags=re.MULTILINE)
"""A command on a line of its own, or between backticks."""


CONTINUED = re.compile(r"\\\n {4}")
"""Where a command of a block goes on at the next line, as a shell reads it."""


def commands() -> dict[str, str]:
    """Every command that a page names, with the page it was first met on."""
    found: dict[str, str] = {}
    for page in PAGES:
        whole = CONTINUED.sub("", (ROOT / page).read_text())
        for text in COMMAND.findall(whole):
            command = re.split(r"\s{2,}#|\s#\s|\s{3,}|\\$", text)[0].strip()
            found.setdefault(command.removeprefix(".venv/bin/"), page)
    return found

"""Builds the documentation as pages with search, which open from the disk without a network.

    make docs    # build/site/index.html

The pages are those of docs/, with the leaderboard, CONTRIBUTING and CHANGELOG beside them, and a page of what each
package exports. Warnings are errors: a link that leads nowhere, a heading that does not exist, a docstring that can't
be read.
"""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE, SITE = ROOT / "build" / "site-source", ROOT / "build" / "site"
KEPT_ELSEWHERE = ("benchmarks/LEADERBOARD.md", "CONTRIBUTING.md", "CHANGELOG.md")
PACKAGES = ("frl_env", "frl_algos")

SETTINGS = '''import re

project = "FRL"
copyright = "the FRL authors; Apache-2.0"
html_title = "Care management with factored actions"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "furo"
exclude_patterns = []
myst_heading_anchors = 4
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_use_ivar = True
suppress_warnings = ["myst.header"]
highlight_language = "none"


def as_markdown(app, what, name, obj, options, lines):
    """Docstrings are Markdown: single backticks are code, and tables stand as they are."""
    found = []
    for line in lines:
        table, before = line.lstrip().startswith("|"), bool(found) and found[-1].lstrip().startswith("|")
        if table and not before:
            indent = line[: len(line) - len(line.lstrip())]
            found += ["", indent + "::", ""]
        if before and not table and line.strip():
            found.append("")
        found.append("    " + line if table else re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\\1``", line))
    lines[:] = found


def setup(app):
    app.connect("autodoc-process-docstring", as_markdown, priority=900)
'''

SECTIONS = {
    "Tutorials": ("tutorial", "event_tables", "own_factored_data", "own_algorithm"),
    "How to": ("own_data", "worklist", "report", "reproducing"),
    "Explanation": (
        "capacity", "factored_awr", "evaluation", "policy_values", "fairness", "architecture", "sensitivity"
    ),
    "Reference": (
        "environment", "dataset_card", "benchmark", "LEADERBOARD", "factored_awr_measured", "evaluation_measured",
        "elsewhere", "calibration", "references", "budget_references", "d3rlpy", "performance", "model_card",
        "glossary", "frl_env", "frl_algos",
    ),
    "Project": ("CONTRIBUTING", "CHANGELOG"),
}  # fmt: skip
"""Pages by kind; what docs/ holds and this does not name is an error."""


def main() -> None:
    """Gathers the pages and builds the site."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    shutil.copytree(ROOT / "docs", SOURCE)
    for path in KEPT_ELSEWHERE:
        shutil.copy(ROOT / path, SOURCE)
    for page in SOURCE.glob("*.md"):
        page.write_text(_links_within(page.read_text()).replace("```csv", "```text"))
    for package in PACKAGES:
        (SOURCE / f"{package}.md").write_text(_reference(package))
    start = SOURCE / "README.md"
    (SOURCE / "index.md").write_text(start.read_text() + _contents())
    start.unlink()
    (SOURCE / "conf.py").write_text(SETTINGS)
    finished = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(SOURCE), str(SITE)], cwd=ROOT
    )
    if finished.returncode:
        sys.exit(finished.returncode)
    print(f"site: {(SITE / 'index.html').relative_to(ROOT)}")


def _contents() -> str:
    """The pages by kind, for the side of every page."""
    there = {page.stem for page in SOURCE.glob("*.md")} - {"README", "index"}
    named = {name for names in SECTIONS.values() for name in names}
    if there - named:
        sys.exit(f"docs: {', '.join(sorted(there - named))} is in no section of packaging/site.py; name it there")
    parts = []
    for title, names in SECTIONS.items():
        pages = "\n".join(name for name in names if name in there)
        parts.append(f"\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n{pages}\n```\n")
    return "".join(parts)


def _links_within(text: str) -> str:
    """Links to pages that are kept elsewhere lead to their copies; files that are no pages are named, not linked."""

    def place(match: re.Match[str]) -> str:
        words, target, anchor = match["words"], match["target"], match["anchor"] or ""
        if "://" in target or "/" not in target:
            return match[0].replace("README.md", "index.md")
        if target.endswith(".md"):
            return f"[{words}]({Path(target).name.replace('README.md', 'index.md')}{anchor})"
        return match[0] if target.startswith("figures/") else f"{words} (`{target.removeprefix('../')}`)"

    return re.sub(r"\[(?P<words>[^\]]*)\]\((?P<target>[^)#\s]+)(?P<anchor>#[^)]*)?\)", place, text)


def _reference(package: str) -> str:
    """Everything that a package exports, by its `__all__`."""
    tree = ast.parse((ROOT / package / "__init__.py").read_text())
    names: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "__all__" for target in node.targets):
            names = ast.literal_eval(node.value)
    kinds = {"class": [n for n in names if n[0].isupper() and not n.isupper()]}
    kinds["function"] = [n for n in names if n[0].islower()]
    directives = []
    for kind in ("function", "class"):
        for name in sorted(kinds[kind], key=str.lower):
            options = "   :members:\n" if kind == "class" else ""
            directives.append(f".. auto{kind}:: {package}.{name}\n{options}")
    body = "\n".join(directives)
    constants = ", ".join(f"`{name}`" for name in names if name.isupper())
    also = f"Constants: {constants}." if constants else ""
    return f"# Python: {package}\n\n{ast.get_docstring(tree)}\n\n{also}\n\n```{{eval-rst}}\n{body}\n```\n"


if __name__ == "__main__":
    main()

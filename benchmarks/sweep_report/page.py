"""A report as one HTML page: no script, no network, one style sheet inside."""

import re

from markupsafe import Markup, escape

from benchmarks.charts.svg import NARROW, WIDE
from benchmarks.sweep_report.document import Report, typeset
from benchmarks.sweep_report.sentence_templates import pages


def page(report: Report, *, files: str) -> str:
    """The page.

    Args:
        report: What to show.
        files: Name of the folder beside it that holds every number.
    """
    templates = pages()
    templates.filters["inline"] = _inline
    return templates.get_template("page.html").render(report=report, files=files, wide=WIDE, narrow=NARROW) + "\n"


def _inline(text: str) -> Markup:
    """Escaped, with `code`."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(typeset(text)))))

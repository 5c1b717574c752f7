"""A report as one HTML page: no script, no network, one style sheet inside."""

import re
from html import escape
from pathlib import Path

from benchmarks.drawing.svg import NARROW, WIDE
from benchmarks.reporting.document import Figure, Report, Section, Table, typeset

STYLE = Path(__file__).with_name("page.css")


def page(report: Report, *, files: str) -> str:
    """The page.

    Args:
        report: What to show.
        files: Name of the folder beside it that holds every number.
    """
    contents = "".join(f'<li><a href="#{part.anchor}">{_inline(part.title)}</a></li>' for part in report.sections)
    facts = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in report.facts)
    body = "\n".join(_section(part, first=number == 0) for number, part in enumerate(report.sections))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{escape(report.title)}: {escape(report.subtitle)}</title>
<style>
{STYLE.read_text(encoding="utf-8")}</style>
</head>
<body>
<a class="skip" href="#summary">Skip to the summary</a>
<div class="frame">
<header class="top">
<h1>{escape(report.title)}</h1>
<p class="subtitle">{_inline(report.subtitle)}</p>
<dl class="facts">{facts}</dl>
<p class="warning"><strong>{_inline(report.warning)}</strong></p>
</header>
<nav aria-label="Sections"><div><h2>In this report</h2><ol>{contents}</ol></div></nav>
<main>
{body}
</main>
<footer>Every number in the figures is in the tables under them, and as CSV and JSON in the folder
<code>{escape(files)}</code> beside this page.</footer>
</div>
</body>
</html>
"""


def _section(section: Section, *, first: bool) -> str:
    parts = [
        f'<section id="{section.anchor}" aria-labelledby="{section.anchor}-title"{" class=lead" if first else ""}>'
    ]
    parts.append(f'<h2 id="{section.anchor}-title">{_inline(section.title)}</h2>')
    parts += [f"<p>{_inline(text)}</p>" for text in section.text]
    if section.points:
        points = "".join(
            f"<div><dt>{_inline(name)}</dt><dd>{_inline(text)}</dd></div>" for name, text in section.points
        )
        parts.append(f'<dl class="points">{points}</dl>')
    for part in section.parts:
        if isinstance(part, Figure):
            parts.append(_figure(part))
        elif part.shown:
            parts.append(_table(part))
    if section.missing:
        parts.append(f'<p class="missing">{_inline(section.missing)}</p>')
    return "\n".join([*parts, "</section>"])


def _figure(figure: Figure) -> str:
    notes = "".join(f"<p>{_inline(note)}</p>" for note in figure.notes)
    drawings = "".join(_svg(figure, width, kind) for width, kind in ((WIDE, "wide"), (NARROW, "narrow")))
    return (
        f"<figure>\n<figcaption><h3>{_inline(figure.title)}</h3></figcaption>\n"
        f'<div class="drawing">{drawings}</div>\n<div class="notes">{notes}</div>\n'
        f"<details><summary>The numbers of this figure: {_inline(figure.title)}</summary>\n{_table(figure.table)}\n"
        "</details>\n</figure>"
    )


def _svg(figure: Figure, width: int, kind: str) -> str:
    inner, height = figure.draw(width)
    name = f"{figure.table.name}-{kind}"
    return (
        f'<svg class="{kind}" viewBox="0 0 {width} {height:.0f}" width="{width}" height="{height:.0f}" role="img" '
        f'aria-labelledby="{name}-t {name}-d"><title id="{name}-t">{escape(figure.title)}</title>'
        f'<desc id="{name}-d">{escape(figure.description)}</desc>{inner}</svg>'
    )


def _table(table: Table) -> str:
    numbers = [bool(column.how) for column in table.columns]
    head = "".join(
        f'<th scope="col"{_number(is_number)}>{escape(column.name)}</th>'
        for column, is_number in zip(table.columns, numbers, strict=True)
    )
    rows = []
    for row in table.rows:
        cells = [
            f"<td{_number(is_number)}>{escape(column.show(value))}</td>"
            for column, value, is_number in zip(table.columns, row, numbers, strict=True)
        ]
        cells[0] = re.sub(r"^<td(.*)</td>$", r'<th scope="row"\1</th>', cells[0])
        rows.append(f"<tr>{''.join(cells)}</tr>")
    body = "\n".join(rows)
    named = f'aria-labelledby="{table.name}-caption"'
    return (
        f'<p class="caption" id="{table.name}-caption">{_inline(table.caption)}</p>'
        f'<div class="scroll" role="region" tabindex="0" {named}><table {named}>'
        f"<thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>"
    )


def _number(is_number: bool) -> str:
    return ' class="n"' if is_number else ""


def _inline(text: str) -> str:
    """Escaped, with `code`."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(typeset(text)))

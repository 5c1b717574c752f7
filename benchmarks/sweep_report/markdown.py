"""The same report in Markdown: every sentence and every table, figures by their description."""

import re

from benchmarks.sweep_report.document import Figure, Report, Section, Table, typeset


def markdown(report: Report, *, files: str) -> str:
    """The text.

    Args:
        report: What to write.
        files: Name of the folder beside it that holds every number.
    """
    lines = [f"# {_plain(report.title)}", "", _plain(report.subtitle), ""]
    lines += [f"- {_plain(name)}: {_plain(value)}" for name, value in report.facts]
    lines += ["", f"**{_plain(report.warning)}**"]
    for section in report.sections:
        lines += ["", *_section(section, files)]
    return "\n".join(lines) + "\n"


def _section(section: Section, files: str) -> list[str]:
    lines = [f"## {_plain(section.title)}"]
    for text in section.text:
        lines += ["", _plain(text)]
    if section.points:
        lines += ["", *(f"- **{_plain(name)}.** {_plain(text)}" for name, text in section.points)]
    for part in section.parts:
        if isinstance(part, Figure):
            lines += ["", f"### {_plain(part.title)}", "", _plain(part.description)]
            for note in part.notes:
                lines += ["", _plain(note)]
            lines += ["", *_table(part.table)]
        elif part.shown:
            lines += ["", *_table(part)]
        else:
            lines += ["", f"{_plain(part.caption)} See `{files}/{part.name}.csv`."]
    if section.missing:
        lines += ["", f"*Missing:* {_plain(section.missing)}"]
    return lines


def _table(table: Table) -> list[str]:
    rows = [[column.show(value) for column, value in zip(table.columns, row, strict=True)] for row in table.rows]
    return [
        _plain(table.caption),
        "",
        f"| {' | '.join(_plain(column.name) for column in table.columns)} |",
        f"|{'|'.join('---:' if column.how else '---' for column in table.columns)}|",
        *(f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows),
    ]


def _cell(text: str) -> str:
    """Text for a table cell, with pipes escaped: there a pipe opens a column even in code."""
    return re.sub(r"(?<!\\)\|", r"\\|", _plain(text))


def _plain(text: str) -> str:
    """Text that Markdown takes for text, but for code."""
    parts = re.split(r"(`[^`]+`)", re.sub(r"[ \t\r\n\f\v]+", " ", typeset(text)))  # a line break would end a row
    return "".join(p if p.startswith("`") and len(p) > 1 else re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", p) for p in parts)

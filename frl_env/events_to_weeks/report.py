"""The report of a conversion: on the terminal, and as one HTML page without scripts or links to elsewhere."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from frl_env.events_to_weeks.conversion import MemberWeeks
from frl_env.terminal import write_atomically

HIDDEN = "-"
MARK = '<meta name="generator" content="frl weeks">'
"""By which the command knows a page of its own, which it may replace."""

SECTIONS = ("enrolment", "claims", "events", "contacts", "rows")

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">{{ mark }}<title>Member-weeks: what was counted</title><style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: .5em 0 1.5em } td, th { padding: .15em .8em; text-align: left }
td + td, th + th { text-align: right } tr:nth-child(even) { background: #f4f4f4 } .warning { color: #a00; font-weight:
600 } svg { display: block; margin: .5em 0 1.5em } details { margin: 1em 0 }
</style></head><body>
<h1>Member-weeks: what was counted</h1>
<p>Complete through <b>{{ facts.complete_through }}</b> ({{ cut }}): weeks that end later are left out.
{% if not facts.spec.simulated %}Counts of 1 to 10, those of what as few members have, and what
would give them away, are not shown; others are to the nearest 20.{% endif %}</p>
{% for warning in facts.figures.response.warnings %}<p class="warning">{{ warning }}</p>{% endfor %}
{% for section in sections %}
<h2>{{ section | capitalize }}</h2>
<table>{% for name, number in facts.figures[section].items() %}
<tr><td>{{ name }}</td><td>{{ number | number }}</td></tr>{% endfor %}</table>
{% endfor %}
<h2>By month of service</h2>
<p>Bars are rows in force. The line is the cut: to its right claims are still arriving, so few rows do not mean
few events.{% if untold %} Months with ? are not shown, for they would tell of few.{% endif %}</p>
{{ chart }}
<table><tr><th>month</th>{% for name in facts.figures.months %}<th>{{ name }}</th>{% endfor %}</tr>
{% for month in months %}<tr><td>{{ month }}</td>{% for counts in facts.figures.months.values() %}
<td>{{ counts.get(month, 0) | number }}</td>{% endfor %}</tr>{% endfor %}</table>
{% for section, counts in facts.figures.items() if section.startswith("contacts by") %}
<h2>{{ section | capitalize }}</h2>
<table><tr><th></th><th>attempts</th><th>reached</th></tr>{% for level in counts.attempts %}
<tr><td>{{ level }}</td><td>{{ counts.attempts[level] | number }}</td><td>{{ counts.reached[level] | number }}</td></tr>
{% endfor %}</table>{% endfor %}
<h2>Does the contact log say what it must?</h2>
<p>The week after an attempt shows an encounter in {{ facts.figures.response.after_attempt | share }} of cases, the week
after no attempt in {{ facts.figures.response.without_attempt | share }}. A log of attempts gives about .3 and .05.</p>
<details><summary>Rules</summary>{% for group, rules in facts.spec.rules.items() %}
<h3>{{ group }}</h3><table>{% for name, value in rules.items() %}<tr><td>{{ name }}</td>
<td>{{ value | join(", ") if value is sequence and value is not string else value }}</td></tr>{% endfor %}</table>
{% endfor %}</details></body></html>
"""


def show_report(made: MemberWeeks, console: Console) -> None:
    """Prints the figures."""
    figures = made.facts["figures"]
    table = Table("what", "number", title="member-weeks: what was counted", title_justify="left")
    for section in SECTIONS:
        for name, number in figures[section].items():
            table.add_row(f"{section}: {name}", _number(number))
    console.print(table)
    months = Table("month of service", *figures["months"], title_justify="left")
    complete = made.facts["complete_through"]
    for month in _months(figures["months"]):
        cut = " (cut)" if month == complete[:7] else ""
        months.add_row(month + cut, *(_number(counts.get(month, 0)) for counts in figures["months"].values()))
    console.print(months)
    for name in [name for name in figures if name.startswith("contacts by")]:
        levels = Table(name, "attempts", "reached")
        for level, attempts in figures[name]["attempts"].items():
            levels.add_row(level, _number(attempts), _number(figures[name]["reached"].get(level)))
        console.print(levels)
    if not made.facts["spec"]["simulated"]:
        console.print("counts are to the nearest 20, because real people may stand behind them")
    console.print(f"complete through {complete} ({_cut(made.facts)}): weeks that end later are left out", markup=False)
    response = figures["response"]
    console.print(
        f"encounter in the week after: {_share(response['after_attempt'])} of attempts, "
        f"{_share(response['without_attempt'])} of other weeks"
    )
    for warning in response["warnings"]:
        console.print(f"warning: {warning}", style="bold red", markup=False)


def _cut(facts: Mapping[str, Any]) -> str:
    """Who said where the table is cut, and by which rule."""
    rules = facts["spec"]["rules"]["claims"]
    if rules["complete_through"] is not None:
        return "complete_through under [rules.claims]"
    newest = "the newest claim" if rules["as_of"] is None else "as_of, or the newest claim if that is older"
    return f"{rules['run_out_days']} days before {newest}: run_out_days under [rules.claims]"


def write_page(made: MemberWeeks, file: Path) -> None:
    """Writes the page, whole or not at all."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(autoescape=True)
    environment.filters |= {"number": _number, "share": _share}
    months = _months(made.facts["figures"]["months"])
    page = environment.from_string(_PAGE).render(
        facts=made.facts,
        mark=Markup(MARK),
        cut=_cut(made.facts),
        sections=SECTIONS,
        months=months,
        chart=_chart(made.facts, months),
        untold=None in made.facts["figures"]["months"]["rows in force"].values(),
    )
    write_atomically(file, page)


def _months(table: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """All months from the first to the last that anything happened in."""
    known = sorted({month for counts in table.values() for month in counts})
    if not known:
        return []
    first, last = (int(month[:4]) * 12 + int(month[5:]) - 1 for month in (known[0], known[-1]))
    if last - first > 600:
        return known
    return [f"{month // 12}-{month % 12 + 1:02d}" for month in range(first, last + 1)]


def _chart(facts: Mapping[str, Any], months: list[str]) -> Any:
    """Bars of rows in force by month, with the cut."""
    from markupsafe import Markup

    counts = facts["figures"]["months"]["rows in force"]
    tallest = max((count or 0 for count in counts.values()), default=0) or 1
    width = max(2.0, min(14.0, 800 / max(len(months), 1)))
    bars, cut = [], None
    for i, month in enumerate(months):
        if month in counts and counts[month] is None:  # no bar would say that there was nothing
            bars.append(f'<text x="{i * width:.1f}" y="110" font-size="{width:.1f}" fill="#666">?</text>')
        height = 100 * (counts.get(month, 0) or 0) / tallest
        place = f'x="{i * width:.1f}" y="{110 - height:.1f}" width="{width * 0.8:.1f}" height="{height:.1f}"'
        bars.append(f'<rect {place} fill="#4a7ba6"/>')
        if month == facts["complete_through"][:7]:
            cut = (i + int(facts["complete_through"][8:]) / 31) * width
    line = (
        ""
        if cut is None
        else f'<line x1="{cut:.1f}" x2="{cut:.1f}" y1="0" y2="110" stroke="#a00" stroke-dasharray="4 3"/>'
    )
    return Markup(
        f'<svg viewBox="0 0 {len(months) * width:.0f} 112" width="{len(months) * width:.0f}" height="112" role="img" '
        f'aria-label="rows in force by month of service">{"".join(bars)}{line}</svg>'
    )


def _number(number: Any) -> str:
    return HIDDEN if number is None else f"{number:,}" if isinstance(number, int) else str(number)


def _share(share: float | None) -> str:
    return "not shown" if share is None else f"{share:.2f}"

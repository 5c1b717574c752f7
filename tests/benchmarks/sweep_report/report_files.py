"""A report of results, written and changed."""

import json

from benchmarks import report


def alter(file, change):
    """Changes the content of a JSON file."""
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def written(results, *options):
    """The page, its twin in Markdown, and the folder of its tables."""
    out = results.parent / "report.html"
    report.main([str(results), "-o", str(out), *options])
    return out.read_text(), out.with_suffix(".md").read_text(), out.with_name("report-data")

"""What the report says, from templates: Python computes, `templates/` has the words.

    words("doubts", "few_seeds", seeds=3)

is the block `few_seeds` of `templates/doubts.txt`, filled, as one line of plain text. It is escaped where it is shown.
"""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2

FOLDER = Path(__file__).with_name("templates")


class _OneLine(jinja2.FileSystemLoader):
    """Lines of a template are wrapped for whoever edits it, and are one line in the report."""

    def get_source(self, environment: jinja2.Environment, template: str) -> tuple[str, str, Any]:
        """The text of a template without its line breaks."""
        source, file, fresh = super().get_source(environment, template)
        return re.sub(r"\s*\n\s*", " ", source), file, fresh


@lru_cache(maxsize=1)
def pages() -> jinja2.Environment:
    """Templates of pages: what is filled in is escaped, and a name that is not given is an error."""
    return jinja2.Environment(loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, undefined=jinja2.StrictUndefined)


@lru_cache(maxsize=1)
def _sentences() -> jinja2.Environment:
    found = jinja2.Environment(loader=_OneLine(FOLDER), undefined=jinja2.StrictUndefined)
    # Templates format numbers with it: {{ gain | f("+.4f") }}.
    found.filters["f"] = lambda value, how: format(value, how)
    return found


def words(section: str, block: str, **facts: Any) -> str:
    """A sentence or more.

    Args:
        section: The template's name.
        block: Which of its blocks.
        facts: What is filled in.

    Raises:
        KeyError: If there is no such block.
        jinja2.UndefinedError: If a fact is not given.
    """
    template = _sentences().get_template(f"{section}.txt")
    return re.sub(" {2,}", " ", "".join(template.blocks[block](template.new_context(facts)))).strip()


def named(section: str, block: str, **facts: Any) -> tuple[str, str]:
    """A point of a list: its heading, which stands before the first colon of the block, and its sentences."""
    name, _, text = words(section, block, **facts).partition(": ")
    return name, text

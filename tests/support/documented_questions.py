"""The questions that the documentation and the dashboards ask."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.deploying import DASHBOARDS, as_sql, queries

_ROOT = Path(__file__).resolve().parents[2]
_PAGES = [_ROOT / "README.md", *sorted((_ROOT / "docs").rglob("*.md"))]
_COMMAND = re.compile(r"switchboard query (?:\\\n\s*)?([\"'])(.*?)\1", re.DOTALL)
_BLOCK = re.compile(r"^```sql\n(.*?)^```", re.DOTALL | re.MULTILINE)
_VARIABLES = {"tenant": ["default"], "channel": ["email", "chat"]}


def documented_questions() -> list[str]:
    """Return the statements of all pages and dashboards, without repetitions."""
    return list(dict.fromkeys([*_of_pages(), *_of_dashboards()]))


def _of_pages() -> Iterator[str]:
    for page in _PAGES:
        text = page.read_text("utf-8")
        for _, sql in _COMMAND.findall(text):
            # A variable of the shell in these pages is a table's name.
            yield re.sub(r"\$\w+", "communications", sql)
        for block in _BLOCK.findall(text):
            yield from filter(None, map(str.strip, block.split(";\n")))


def _of_dashboards() -> Iterator[str]:
    for path in DASHBOARDS:
        for _, sql in queries(path, "rawSql"):
            yield as_sql(sql, _VARIABLES)

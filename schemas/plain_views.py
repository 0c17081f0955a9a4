"""Views that a migration writes out in plain SQL and that `columns/` does not declare.

The reference page lists them with the columns, types and comments of their CREATE VIEW.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from schemas.columns import DeclarationError, relations

_TEXT = r"'((?:[^'\\]|\\.|'')*)'"
_CREATE = re.compile(
    r"((?:^--[^\n]*\n)*)\s*^CREATE (?:OR REPLACE )?VIEW (?:IF NOT EXISTS )?(\w+)\s", re.M | re.I
)
_DROP = re.compile(r"^DROP VIEW (?:IF EXISTS )?(\w+)", re.M | re.I)
_END = re.compile(rf"(?:{_TEXT}|--[^\n]*|[^;'])*?;", re.S)
_COLUMN = re.compile(rf"(\w+)\s+(.+?)\s+COMMENT\s+{_TEXT}", re.S | re.I)
_COMMENT = re.compile(rf"\)?\s*COMMENT\s+{_TEXT}\s*;\s*$", re.I)
_PARAMETER = re.compile(r"\{\w+\s*:\s*\w+")


@dataclass(frozen=True, slots=True)
class PlainView:
    """A view by its SQL; `columns` are name, type and comment, and none if it has parameters."""

    name: str
    comment: str
    columns: tuple[tuple[str, str, str], ...]


def plain_views(migrations: Mapping[str, str]) -> dict[str, PlainView]:
    """Return the undeclared views that exist after migrations, by name; the last definition counts.

    Raises DeclarationError, with file and view, where a view's columns have no comments.
    """
    views: dict[str, PlainView] = {}
    for file, sql in migrations.items():
        for dropped in _DROP.findall(sql):
            views.pop(dropped, None)
        for found in _CREATE.finditer(sql):
            remarks, name = found.groups()
            if name not in relations():
                end = _END.match(sql, found.end())
                body = sql[found.end() : end.end() if end else len(sql)]
                earlier = views[name].comment if name in views else ""
                views[name] = _view(file, name, body, _words(remarks) or earlier)
    return views


def _view(file: str, name: str, body: str, remarks: str) -> PlainView:
    if _PARAMETER.search(body):
        return PlainView(name, remarks, ())
    comment = _COMMENT.search(body)
    columns = tuple(_columns(body)) if body.lstrip().startswith("(") else ()
    if not columns or comment is None:
        raise DeclarationError(
            f"{file}: the view {name} is not on the reference page, for it lacks comments: write"
            f" its columns as (name Type COMMENT '…', …), and COMMENT '…' at its end; or declare it"
            " in schemas/clickhouse/columns/"
        )
    for column in columns:
        if column[2] == "":
            raise DeclarationError(f"{file}: the column {name}.{column[0]} has no COMMENT '…'")
    return PlainView(name, _unquoted(comment[1]), columns)


def _columns(body: str) -> Iterator[tuple[str, str, str]]:
    for part in _split(body.lstrip()[1:]):
        if match := _COLUMN.fullmatch(part.strip()):
            yield match[1], match[2], _unquoted(match[3])
        else:
            yield part.split()[0], "", ""


def _split(text: str) -> Iterator[str]:
    """Yield the parts of a list up to its closing bracket, split at its own commas."""
    depth, start = 0, 0
    for token in re.finditer(rf"{_TEXT}|[(),]", text):
        mark = token[0]
        if depth == 0 and mark in ",)":
            yield text[start : token.start()]
            start = token.end()
            if mark == ")":
                return
        depth += {"(": 1, ")": -1}.get(mark, 0)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)|''", lambda match: match[1] or "'", text)


def _words(remarks: str) -> str:
    return " ".join(line.removeprefix("--").strip() for line in remarks.splitlines())

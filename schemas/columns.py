"""Declarations of all tables and views of the history: every column once, with type and comment.

They are in `schemas/clickhouse/columns/*.toml`, one section per table or view:

    [communication_rows]                      # a table
    COMMENT = "…"
    ORDER_BY = "record_id"                    # ENGINE = "…" where it is not ReplacingMergeTree
    record_id = ["UUID", "comment"]           # or with options: ["UUID", "comment", { since = 13 }]
    tenant = "shared"                         # the column of that name in another section

    [communications]                          # a view of the current rows of a table
    COMMENT = "…"
    LIKE = "communication_rows"               # all its columns but version and retracted
    thread_id = ["UUID", "comment", { after = "conversation_id" }]
    quality_flags = { as = "SQL of the view's SELECT" }

    [heads]                                   # more columns of a table, at its end
    PART_OF = "communication_rows"

Options: `since`, the migration that adds the column; `default`, its SQL; `after`, the column before
it; `as`, how a view computes it (a template, as migrations are), and `as_since`, from which
migration on; `comment`, a view's own. `schemas/released/comments.json` has the comments that
released migrations set and later ones changed, under the last migration that set them, for a
released migration must render to the same text for ever (`schemas/migrations.py`).
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from typing import Any

FOLDER = resources.files("schemas") / "clickhouse"
RELEASED = resources.files("schemas") / "released"

_ENGINE = "ReplacingMergeTree"
# Options whose names are not those of the fields: `as` is a keyword of Python.
_FIELDS = {"as": "expression", "as_since": "expression_since"}
# Which row counts, and whether it counts at all: a view shows only rows that do.
_INTERNAL = frozenset({"version", "retracted"})


class DeclarationError(ValueError):
    """A declaration of a table, view or column is wrong; the message names it."""


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment, with its earlier texts by the last migration that set them."""

    text: str
    earlier: Mapping[int, str] = field(default_factory=dict)

    def at(self, migration: int) -> str:
        """Return the text that a migration sets.

        >>> Comment("Staff member", {11: "Our person"}).at(11)
        'Our person'
        >>> Comment("Staff member", {11: "Our person"}).at(12)
        'Staff member'
        """
        later = [number for number in self.earlier if number >= migration]
        return self.earlier[min(later)] if later else self.text


@dataclass(frozen=True, slots=True)
class ColumnDeclaration:
    """A column: its ClickHouse type, its comment, and the migration that adds it to its table."""

    name: str
    type: str
    comment: Comment
    since: int = 0
    default: str = ""
    after: str = ""
    expression: str = ""
    expression_since: int = 0

    def expression_at(self, migration: int) -> str:
        """Return the SQL by which a view computes the column in a migration, or ""."""
        return self.expression if self.expression_since <= migration else ""


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, or a view: `rows` names the table whose current rows a view shows."""

    name: str
    comment: Comment
    columns: tuple[ColumnDeclaration, ...]
    order_by: str = ""
    engine: str = _ENGINE
    rows: str = ""
    where: str = ""

    @property
    def is_table(self) -> bool:
        """Whether it is a table; else it is a view."""
        return bool(self.order_by)

    def at(self, migration: int) -> tuple[ColumnDeclaration, ...]:
        """Return the columns that exist once a migration was applied."""
        return tuple(column for column in self.columns if column.since <= migration)


@cache
def relations() -> Mapping[str, Relation]:
    """Return all tables and views by name; raises DeclarationError."""
    sections: dict[str, dict[str, Any]] = {}
    for file in sorted((FOLDER / "columns").iterdir(), key=lambda file: file.name):
        for name, section in tomllib.loads(file.read_text("utf-8")).items():
            if name in sections:
                raise DeclarationError(f"{name} is declared twice, again in {file.name}")
            sections[name] = section
    earlier = json.loads((RELEASED / "comments.json").read_text("utf-8"))
    reader = _Reader(sections, {int(number): texts for number, texts in earlier.items()})
    return {
        name: reader.relation(name)
        for name, section in sections.items()
        if name != "shared" and "PART_OF" not in section
    }


class _Reader:
    """Resolves references between sections."""

    def __init__(
        self,
        sections: Mapping[str, Mapping[str, Any]],
        earlier: Mapping[int, Mapping[str, Mapping[str, str]]],
    ) -> None:
        self._sections = sections
        self._earlier = earlier

    def relation(self, name: str) -> Relation:
        section = self._sections[name]
        if "COMMENT" not in section:
            raise DeclarationError(f"{name} has no COMMENT")
        rows = section.get("LIKE", "")
        return Relation(
            name,
            self._comment(name, "COMMENT", Comment(section["COMMENT"])),
            self._view_columns(name, rows) if rows else self._columns(name),
            section.get("ORDER_BY", ""),
            section.get("ENGINE", _ENGINE),
            rows,
            section.get("WHERE", ""),
        )

    def _columns(self, relation: str) -> tuple[ColumnDeclaration, ...]:
        parts = [
            name
            for name, section in self._sections.items()
            if name == relation or section.get("PART_OF") == relation
        ]
        # The table's own columns come first, whichever file was read first.
        parts.sort(key=lambda part: part != relation)
        return tuple(
            self._column(part, name)
            for part in parts
            for name in self._sections[part]
            if not name.isupper()
        )

    def _column(self, relation: str, name: str) -> ColumnDeclaration:
        entry = self._sections.get(relation, {}).get(name)
        match entry:
            case str():
                column = self._column(entry, name)
            case [str(type_), str(text)]:
                column = ColumnDeclaration(name, type_, Comment(text))
            case [str(type_), str(text), dict(options)]:
                column = _with(ColumnDeclaration(name, type_, Comment(text)), options)
            case _:
                raise DeclarationError(f"{relation}.{name} is declared as {entry!r}")
        return replace(column, comment=self._comment(relation, name, column.comment))

    def _view_columns(self, view: str, rows: str) -> tuple[ColumnDeclaration, ...]:
        columns = {
            column.name: replace(column, comment=self._comment(view, column.name, column.comment))
            for column in self._columns(rows)
            if column.name not in _INTERNAL
        }
        for name, entry in self._sections[view].items():
            if name.isupper():
                continue
            if isinstance(entry, dict):
                columns[name] = _with(columns[name], entry)
                continue
            column = self._column(view, name)
            known = list(columns)
            columns[name] = column
            if name not in known and column.after:
                place = known.index(column.after) + 1
                columns = {key: columns[key] for key in [*known[:place], name, *known[place:]]}
        return tuple(replace(column, default="") for column in columns.values())

    def _comment(self, relation: str, name: str, comment: Comment) -> Comment:
        own = {
            number: texts[relation][name]
            for number, texts in self._earlier.items()
            if name in texts.get(relation, {})
        }
        return replace(comment, earlier={**comment.earlier, **own})


def _with(column: ColumnDeclaration, options: Mapping[str, Any]) -> ColumnDeclaration:
    renamed = {_FIELDS.get(name, name): value for name, value in options.items()}
    if "comment" in renamed:
        renamed["comment"] = replace(column.comment, text=renamed["comment"])
    try:
        return replace(column, **renamed)
    except TypeError as error:
        raise DeclarationError(f"column {column.name}: {error}") from error

"""Turns a user's statement into a question that the engine may run.

ClickHouse's own parser reads the statement, and its formatter writes it again: without comments,
with plain names. The rules decide on that text, and that text is what runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from pipeline.sinks.query_guard.rules import (
    STATEMENTS,
    EngineNames,
    format_refusal,
    has_settings,
    refusal,
)
from pipeline.sinks.warehouse import WarehouseError

Ask = Callable[[str, Mapping[str, Any]], bytes]
"""Runs a statement of ours with parameters and returns JSONEachRow."""

# In hexadecimal: the formatter writes the bytes of a text, which need not be UTF-8.
_FORMAT_SQL = "SELECT hex(formatQuerySingleLine({sql:String})) AS sql"
_NAMES_SQL = """
SELECT
    (SELECT groupUniqArray(lower(name)) FROM system.functions) AS functions,
    (SELECT groupUniqArray(lower(name)) FROM system.table_functions) AS table_functions,
    (SELECT groupUniqArray(lower(name)) FROM system.databases) AS databases,
    lower(currentDatabase()) AS own
"""
_VIEW_SQL = """
SELECT count() AS views FROM system.tables
WHERE database = currentDatabase() AND name = {name:String} AND engine = 'View'
"""
# What an error about the user's statement says of ours.
_SCOPE = re.compile(
    r"[. ]*: In scope SELECT hex\(formatQuerySingleLine\(.*\)\) AS sql\.", re.DOTALL
)
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_SEVERAL = "Multi-statements are not allowed"
_READONLY = 164
# The program's own queries are a few dozen and always the same.
_REMEMBERED = 1_000


def _as_text(formatted: bytes) -> str:
    """Return a formatted statement with the bytes that are no UTF-8 as escapes.

    They stand in quotes only, and never behind a single backslash.

    >>> _as_text(b"SELECT '\\xe4\\xb8\\xad \\xff'")
    "SELECT '中 \\\\xFF'"
    """
    text = formatted.decode("utf-8", "surrogateescape")
    return _NOT_UTF8.sub(lambda match: f"\\x{ord(match[0]) - 0xDC00:02X}", text)


@dataclass(frozen=True)
class Question:
    """A statement that passed: the text to run, and whether it changes settings."""

    sql: str
    has_settings: bool


class QueryGuard:
    """Accepts questions only; remembers the accepted ones."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._passed: dict[str, Question] = {}
        self._engine: EngineNames | None = None

    def check(self, sql: str, fmt: str) -> Question:
        """Return the question; raises WarehouseError, with code READONLY if it is none."""
        if reason := format_refusal(fmt):
            raise WarehouseError(f"{reason} (READONLY)", _READONLY)
        if (passed := self._passed.get(sql)) is not None:
            return passed
        formatted = self._formatted(sql)
        if reason := refusal(formatted, self._names()):
            raise WarehouseError(f"{reason} (READONLY)", _READONLY)
        if len(self._passed) >= _REMEMBERED:
            self._passed.clear()
        question = Question(formatted, has_settings(formatted))
        self._passed[sql] = question
        return question

    def _formatted(self, sql: str) -> str:
        if not sql.strip():
            raise WarehouseError(f"the question is empty: write one of {STATEMENTS}", _READONLY)
        try:
            (row,) = self._ask(_FORMAT_SQL, {"sql": sql}).splitlines()
        except WarehouseError as error:
            if _SEVERAL in str(error):
                raise WarehouseError(
                    "only one statement at a time is allowed (READONLY)", _READONLY
                ) from error
            raise type(error)(_SCOPE.sub(".", str(error)), error.code) from error
        return _as_text(bytes.fromhex(orjson.loads(row)["sql"]))

    def _names(self) -> EngineNames:
        if self._engine is None:
            names = orjson.loads(self._ask(_NAMES_SQL, {}))
            self._engine = EngineNames(
                frozenset(names["functions"]),
                frozenset(names["table_functions"]),
                frozenset(names["databases"]),
                names["own"],
                self._is_own_view,
            )
        return self._engine

    def _is_own_view(self, name: str) -> bool:
        return int(orjson.loads(self._ask(_VIEW_SQL, {"name": name}))["views"]) > 0

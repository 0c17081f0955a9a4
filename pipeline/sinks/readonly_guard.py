"""Allows queries only: one statement that reads the history.

readonly=1 alone is not enough, as tried on ClickHouse 26.9: SYSTEM STOP MERGES and KILL QUERY are
executed; the embedded engine writes INTO OUTFILE, reads any file by the function `file()`, and runs
a second statement after a semicolon; DESCRIBE of a table function opens its file or address.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pipeline.sinks.warehouse import WarehouseError

NORMALIZE_SQL = "SELECT normalizeQueryKeepNames({sql:String}) AS sql"
"""Returns a statement without literals and comments, by ClickHouse's own lexer."""

_READING = ("SELECT", "WITH", "FROM", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS")
_FIRST_WORD = re.compile(r"[\s(]*(\w*)")
_OUTFILE = re.compile(r"\bINTO\s+OUTFILE\b", re.IGNORECASE)
_FILE = re.compile(r"""(?<![\w.])[`"]?file[`"]?\s*\(""", re.IGNORECASE)
_DESCRIBED_FUNCTION = re.compile(
    r"""DESC(?:RIBE)?\s+(?:TABLE\s+)?(?!TABLE\b)[`"\w.]+\s*\(""", re.IGNORECASE
)
_READONLY = 164
# The program's own queries are a few dozen and always the same.
_REMEMBERED = 1_000


class ReadOnlyGuard:
    """Rejects statements that do more than read the history; caches the accepted ones."""

    def __init__(self, normalized: Callable[[str], str]) -> None:
        self._normalized = normalized
        self._passed: set[str] = set()

    def check(self, sql: str) -> None:
        """Raise WarehouseError with code READONLY if a statement is not a query of the history."""
        if sql in self._passed:
            return
        if reason := _refusal(self._normalized(sql).strip().removesuffix(";").strip()):
            raise WarehouseError(f"{reason} (READONLY)", _READONLY)
        if len(self._passed) >= _REMEMBERED:
            self._passed.clear()
        self._passed.add(sql)


def _refusal(bare: str) -> str:
    word = _FIRST_WORD.match(bare)
    if word is None or word[1].upper() not in _READING:
        return f"only read-only statements are allowed: {', '.join(_READING)}"
    if ";" in bare:
        return "only one statement at a time is allowed"
    if _OUTFILE.search(bare):
        return "INTO OUTFILE is not allowed: redirect the output of the command"
    if _FILE.search(bare) or _DESCRIBED_FUNCTION.match(bare):
        return "only the history can be read, not files and addresses"
    return ""

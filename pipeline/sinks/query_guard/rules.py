"""The rules of a question, over the tokens of a formatted statement.

A name before a bracket must be allowed. A name that stands alone may be a column, or a function
that another one is to call (`arrayMap(file, …)`, `APPLY file`): it is refused if the engine has a
function of that name that is not allowed. `a.b` is refused if `a` is another database.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from pipeline.sinks.query_guard.allowed import (
    FORMATS,
    SETTINGS,
    SYSTEM_DATABASES,
    SYSTEM_TABLES,
    is_allowed_function,
    may_be_called,
)
from pipeline.sinks.query_guard.tokens import Token, TokenKind, UnknownTextError, tokens

STATEMENTS = "SELECT, WITH, SHOW, DESCRIBE, EXPLAIN, EXISTS"
_QUESTION = ("SELECT", "WITH", "(")
_SHOW = re.compile(
    r"SHOW (?:(?:EXTENDED |FULL |CHANGED )*(?:TABLES|COLUMNS|INDEXES|FUNCTIONS|DATABASES)"
    r"|CREATE (?:TABLE|VIEW))\b"
)
_EXISTS = re.compile(r"EXISTS (?:TABLE|VIEW)\b")
_EXPLAIN_KINDS = {"AST", "SYNTAX", "QUERY", "TREE", "PLAN", "PIPELINE", "ESTIMATE"}
# The formatter writes keywords in capitals. Of these words a bracket may follow, and none is the
# name of a function.
_KEYWORDS = frozenset(
    re.findall(
        r"\w+",
        """
    ALL AND ANTI ANY APPLY ARRAY AS ASC ASOF BETWEEN BY CASE COLUMNS CROSS CUBE DESC DISTINCT ELSE
    END EXCEPT EXISTS FROM FULL GLOBAL GROUPING HAVING ILIKE IN INNER INTERPOLATE INTERSECT IS JOIN
    LEFT LIKE LIMIT MATERIALIZED NOT OFFSET ON OR ORDER OVER PARTITION PASTE PREWHERE QUALIFY
    REGEXP REPLACE RIGHT ROLLUP SELECT SEMI SETS STEP STRICT TABLE THEN TO UNION USING WHEN WHERE
    WITH
        """,
    )
)
_IDENTIFIER_PARAMETER = re.compile(r":\s*Identifier\b", re.IGNORECASE)
_END = Token(TokenKind.SYMBOL, "")


@dataclass(frozen=True)
class EngineNames:
    """What the engine has, in lower case: functions, table functions, databases; and our own.

    `is_own_view` returns whether our database has a view of a name, which may have parameters:
    `customer_history(customer = …)`.
    """

    functions: frozenset[str]
    table_functions: frozenset[str]
    databases: frozenset[str]
    own_database: str
    is_own_view: Callable[[str], bool]


def refusal(sql: str, engine: EngineNames) -> str:
    """Return why a formatted statement is no question, or an empty string."""
    try:
        words = tokens(sql)
    except UnknownTextError as error:
        return f"{str(error)!r} is not allowed in a question: write it in another way"
    return next(_Statement(words, engine).refusals(), "")


def format_refusal(name: str) -> str:
    """Return why a result cannot have an output format, or an empty string."""
    if name.casefold() in FORMATS:
        return ""
    return f"the format {name} is not allowed: use one such as CSV, JSONEachRow or Parquet"


def has_settings(sql: str) -> bool:
    """Return whether a formatted statement that passed changes settings."""
    return any(token == (TokenKind.WORD, "SETTINGS") for token in tokens(sql))


class _Statement:
    def __init__(self, words: Sequence[Token], engine: EngineNames) -> None:
        self._words = words
        self._engine = engine
        self._text = " ".join(word.value for word in words[:4])

    def refusals(self) -> Iterator[str]:
        if not self._is_reading():
            yield (
                f"only read-only statements are allowed: {STATEMENTS}; this one is"
                f" {self._text[:40] or 'empty'}"
            )
        for at in range(len(self._words)):
            yield from self._of_token(at)

    def _at(self, index: int) -> Token:
        return self._words[index] if 0 <= index < len(self._words) else _END

    def _is_reading(self) -> bool:
        first = self._at(0).value
        if self._at(0).kind not in (TokenKind.WORD, TokenKind.SYMBOL):
            return False
        if first in _QUESTION or (
            first == "DESCRIBE" and self._at(1).value == "TABLE" and self._at(2) != _END
        ):
            return True
        if first == "EXPLAIN":
            return self._explained() in _QUESTION
        return bool(_SHOW.match(self._text) or _EXISTS.match(self._text))

    def _explained(self) -> str:
        """Return the first word of the statement that EXPLAIN explains, behind its options."""
        at = 1
        while self._at(at).value in _EXPLAIN_KINDS:
            at += 1
        while self._at(at + 1).value == "=":
            at += 3 + (self._at(at + 3).value == ",")
        return self._at(at).value

    def _of_token(self, at: int) -> Iterator[str]:
        token, after = self._words[at], self._at(at + 1)
        if token.kind is TokenKind.PARAMETER and _IDENTIFIER_PARAMETER.search(token.value):
            yield f"the parameter {token.value} is a name: write the name itself into the statement"
        if token.value == ";" and token.kind is TokenKind.SYMBOL:
            yield "only one statement at a time is allowed"
        if token.kind is TokenKind.WORD:
            yield from self._of_keyword(at, token.value, after)
        if token.is_name:
            yield from self._of_name(at, token)

    def _of_keyword(self, at: int, word: str, after: Token) -> Iterator[str]:
        if (word, after.value) == ("INTO", "OUTFILE"):
            yield "INTO OUTFILE is not allowed: redirect the output of the command"
        if (word, after.value) == ("PARALLEL", "WITH"):
            yield "only one statement at a time is allowed"
        if word == "FORMAT" and after.is_name:
            yield from filter(None, [format_refusal(after.value)])
        if word.upper() == "SETTINGS":
            yield from self._of_settings(at + 1)

    def _of_settings(self, at: int) -> Iterator[str]:
        while True:
            name, sign, value = (self._at(at + shift) for shift in range(3))
            if not name.is_name or sign.value != "=":
                yield "SETTINGS is a keyword: give the column another name by AS"
                return
            if reason := _setting_refusal(name.value, value):
                yield reason
            if self._at(at + 3).value != ",":
                return
            at += 4

    def _of_name(self, at: int, token: Token) -> Iterator[str]:
        before, after = self._at(at - 1), self._at(at + 1)
        if before.value == "." and before.kind is TokenKind.SYMBOL:
            if after.value == "(":
                yield _unknown_function(token.value)
            return
        if after.value == "." or "." in token.value:
            yield from self._of_qualified(at, token)
        if after.value == "(" and after.kind is TokenKind.SYMBOL:
            yield from self._of_call(at, token, before)
        elif self._words[0].value in ("SHOW", "EXISTS") and self._is_foreign(token.value):
            yield _foreign(token.value, self._engine.own_database)
        elif before != (TokenKind.WORD, "AS") and self._is_refused_function(token.value):
            yield (
                f"{token.value} is the name of a function that a question may not use: if it is a"
                f" column or an alias, write t.{token.value} or give it another name by AS"
            )

    def _of_call(self, at: int, token: Token, before: Token) -> Iterator[str]:
        if token.kind is TokenKind.WORD and token.value in _KEYWORDS:
            return
        name = token.value.casefold()
        # A name that the engine does not know can only be the question's own (WITH … AS name, or
        # WITH name(columns) AS (…)) or a view's.
        if name not in self._engine.functions | self._engine.table_functions and (
            before == (TokenKind.WORD, "AS")
            or token.value in self._aliases
            or self._names_columns(at)
            or self._engine.is_own_view(token.value)
        ):
            return
        if not may_be_called(token.value):
            yield _unknown_function(token.value)

    def _names_columns(self, at: int) -> bool:
        end = at + 2
        while self._at(end).is_name or self._at(end) == (TokenKind.SYMBOL, ","):
            end += 1
        return [self._at(end + shift).value for shift in range(3)] == [")", "AS", "("]

    @cached_property
    def _aliases(self) -> frozenset[str]:
        return frozenset(
            self._at(at + 1).value
            for at in range(len(self._words))
            if self._at(at) == (TokenKind.WORD, "AS") and self._at(at + 1).is_name
        )

    def _of_qualified(self, at: int, token: Token) -> Iterator[str]:
        name, position = token.value, at
        while self._at(position + 1).value == "." and self._at(position + 2).is_name:
            name += "." + self._at(position + 2).value
            position += 2
        database = name.partition(".")[0].casefold()
        if not self._is_foreign(database) and database not in SYSTEM_DATABASES:
            return
        # Behind a table's name there may be a column's.
        if ".".join(name.casefold().split(".")[:2]) not in SYSTEM_TABLES:
            yield _foreign(name, self._engine.own_database)

    def _is_foreign(self, name: str) -> bool:
        lower = name.casefold()
        return (
            lower in {"default", *self._engine.databases}
            and lower not in SYSTEM_DATABASES
            and lower != self._engine.own_database
        )

    def _is_refused_function(self, name: str) -> bool:
        return name.casefold() in self._engine.functions and not is_allowed_function(name)


def _unknown_function(name: str) -> str:
    return (
        f"{name} is not among the functions that a question may use: it may read more than the"
        " history"
    )


def _foreign(name: str, own_database: str) -> str:
    return (
        f"{name} is not part of the history: a question may read the tables and views of"
        f" {own_database} (SHOW TABLES lists them)"
    )


def _setting_refusal(name: str, value: Token) -> str:
    if name not in SETTINGS:
        return f"a question may not change the setting {name}; it may change {', '.join(SETTINGS)}"
    limits = SETTINGS[name]
    if limits is None:
        return "" if value.kind is TokenKind.TEXT else f"the setting {name} needs a text"
    if value.value in ("true", "false"):
        return ""
    if not value.value.isdecimal() or int(value.value) not in limits:
        return f"the setting {name} may be {limits.start} to {limits.stop - 1} in a question"
    return ""

"""Splits a statement into tokens, as ClickHouse's formatter writes statements.

The formatter leaves out comments, resolves escapes in names, writes keywords in capitals and quotes
every name that is not a plain word. What it never writes is an error here, so that a token is
always what the engine takes it for.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple


class TokenKind(Enum):
    """What a token is."""

    WORD = "word"
    NAME = "name"
    TEXT = "text"
    NUMBER = "number"
    PARAMETER = "parameter"
    SYMBOL = "symbol"


class Token(NamedTuple):
    """A token: quoted names and texts without their quotes, parameters without their braces."""

    kind: TokenKind
    value: str

    @property
    def is_name(self) -> bool:
        """Whether it may name something: a bare word may, or be a keyword."""
        return self.kind in (TokenKind.WORD, TokenKind.NAME)


class UnknownTextError(ValueError):
    """The statement has text that ClickHouse's formatter does not write."""


_TOKEN = re.compile(
    r"""
      (?P<space> \s+ )
    | (?P<word> [A-Za-z_][A-Za-z0-9_]* )
    | `(?P<name> (?: [^`\\] | \\. | `` )* )`
    | '(?P<text> (?: [^'\\] | \\. | '' )* )'
    | (?P<number> \d+ (?: \.\d* )? (?: [eE][+-]?\d+ )? (?![A-Za-z0-9_]) )
    | \{ (?P<parameter> \w+ : [\w(), ]+ (?: '[\w/ +-]*' [\w(), ]* )* ) \}
    | (?P<symbol> -> | <=> | :: | \|\| | <> | [<>!=]= | [()\[\]{},.:;*+/%=<>^&|@] | -(?!-) )
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
# `/` and `*` are operators, but together they begin or end a comment.
_COMMENT = re.compile(r"/[*/]|\*/")


def tokens(sql: str) -> list[Token]:
    """Return the tokens of a formatted statement; raises UnknownTextError.

    >>> [token.value for token in tokens("SELECT `a b`, {x:String} FROM t WHERE c = '(x'")]
    ['SELECT', 'a b', ',', 'x:String', 'FROM', 't', 'WHERE', 'c', '=', '(x']
    """
    result, position = [], 0
    while position < len(sql):
        match = _TOKEN.match(sql, position)
        if match is None or _COMMENT.match(sql, position):
            raise UnknownTextError(sql[position : position + 20])
        if match.lastgroup and match.lastgroup != "space":
            result.append(Token(TokenKind(match.lastgroup), match[match.lastgroup]))
        position = match.end()
    return result

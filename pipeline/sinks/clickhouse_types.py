"""ClickHouse's names of types, taken apart: Nullable(DateTime64(3, 'UTC')) is Nullable of
DateTime64 of 3 and 'UTC'.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_NAMED = re.compile(r"^(?:`((?:[^`\\]|\\.)*)`|([A-Za-z_][A-Za-z0-9_]*)) (?=\S)")


@dataclass(frozen=True, slots=True)
class TypeName:
    """A type: its name and what stands in its brackets, each argument as text."""

    name: str
    arguments: tuple[str, ...] = ()


@lru_cache(maxsize=4096)
def parse_type(text: str) -> TypeName:
    """Return a type's name and arguments; text that is no type gives itself as the name."""
    name, bracket, rest = text.strip().partition("(")
    return TypeName(name, tuple(_arguments(rest[:-1])) if bracket else ())


def _arguments(text: str) -> list[str]:
    """Split at the commas outside of brackets and quotes."""
    found, depth, quote, start, place = [], 0, "", 0, 0
    while place < len(text):
        sign = text[place]
        if quote:
            if sign == "\\":
                place += 1
            elif sign == quote:
                quote = ""
        elif sign in "'`\"":
            quote = sign
        elif sign in "()":
            depth += 1 if sign == "(" else -1
        elif sign == "," and not depth:
            found.append(text[start:place].strip())
            start = place + 1
        place += 1
    return [*found, text[start:].strip()]


def tuple_element(argument: str) -> tuple[str | None, str]:
    """Return the name (None: it has none) and the type of a tuple's element."""
    match = _NAMED.match(argument)
    if match is None:
        return None, argument
    quoted, bare = match.groups()
    return (re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else bare), argument[
        match.end() :
    ]

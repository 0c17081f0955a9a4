"""Parses the names of ClickHouse types, such as Nullable(DateTime64(3, 'UTC'))."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_NAMED = re.compile(r"^(?:`((?:[^`\\]|\\.)*)`|([A-Za-z_][A-Za-z0-9_]*)) (?=\S)")


@dataclass(frozen=True, slots=True)
class TypeName:
    """A parsed type: its name and the text of each argument in its brackets."""

    name: str
    arguments: tuple[str, ...] = ()


@lru_cache(maxsize=4096)
def parse_type(text: str) -> TypeName:
    """Return the name and arguments of a type; other text is returned as the name.

    >>> parse_type("Map(String, Array(UInt8))")
    TypeName(name='Map', arguments=('String', 'Array(UInt8)'))
    """
    name, bracket, rest = text.strip().partition("(")
    return TypeName(name, tuple(_arguments(rest[:-1])) if bracket else ())


def _arguments(text: str) -> list[str]:
    """Split at the commas outside of brackets and quotes."""
    arguments, depth, quote, start, index = [], 0, "", 0, 0
    while index < len(text):
        character = text[index]
        if quote:
            if character == "\\":
                index += 1
            elif character == quote:
                quote = ""
        elif character in "'`\"":
            quote = character
        elif character in "()":
            depth += 1 if character == "(" else -1
        elif character == "," and not depth:
            arguments.append(text[start:index].strip())
            start = index + 1
        index += 1
    return [*arguments, text[start:].strip()]


def tuple_element(argument: str) -> tuple[str | None, str]:
    """Return the name, or None, and the type of a tuple's element.

    >>> tuple_element("at DateTime"), tuple_element("String")
    (('at', 'DateTime'), (None, 'String'))
    """
    match = _NAMED.match(argument)
    if match is None:
        return None, argument
    quoted, bare = match.groups()
    return (re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else bare), argument[
        match.end() :
    ]

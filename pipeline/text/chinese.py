"""Convert traditional Chinese characters to simplified ones, one for one."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib import resources
from typing import Any, Final, NamedTuple

_FILE: Final = "traditional_chinese.toml"


class AmbiguousCharacter(NamedTuple):
    """A character that is traditional in some words, and a simplified character in others.

    It becomes `simplified` in the words of `only_in`, or if that is empty in all words but those of
    `except_in`. Words have two characters.
    """

    simplified: str
    only_in: frozenset[str]
    except_in: frozenset[str]


class SimplificationTable(NamedTuple):
    """The simplified character of each traditional one, and the ambiguous characters."""

    characters: Mapping[str, str]
    ambiguous: Mapping[str, AmbiguousCharacter]


def to_simplified(text: str) -> str:
    """Return a text with simplified instead of traditional Chinese characters, of the same length.

    Text in simplified characters, or in another language, is returned unchanged.

    >>> to_simplified("快遞員會提前給您打電話，請回覆")
    '快递员会提前给您打电话，请回复'
    >>> to_simplified("看著一本名著，覆蓋原文")
    '看着一本名著，覆盖原文'
    """
    if text.isascii():
        return text
    table = simplification_table()

    def simplified(match: re.Match[str]) -> str:
        character = table.characters.get(match[0])
        return simplified_in_context(text, match.start()) if character is None else character

    return _pattern().sub(simplified, text)


def simplified_in_context(text: str, position: int) -> str:
    """Return what the ambiguous character at a position becomes, by the characters next to it.

    >>> simplified_in_context("回覆", 1), simplified_in_context("覆蓋", 0)
    ('复', '覆')
    """
    rule = simplification_table().ambiguous[text[position]]
    words = (text[max(position - 1, 0) : position + 1], text[position : position + 2])
    in_word = any(word in (rule.only_in or rule.except_in) for word in words)
    return rule.simplified if in_word == bool(rule.only_in) else text[position]


@cache
def simplification_table() -> SimplificationTable:
    """Return the table shipped with the package.

    Raises ValueError if the strings of a row have different lengths.
    """
    content: dict[str, Any] = tomllib.loads(_content().decode("utf-8"))
    characters: dict[str, str] = {}
    for row in content["rows"]:
        traditional, simplified = row["traditional"], row["simplified"]
        if len(traditional) != len(simplified):
            raise ValueError(f"{_FILE}: rows of different length: {traditional!r}, {simplified!r}")
        characters.update(zip(traditional, simplified, strict=True))
    ambiguous = {
        row["character"]: AmbiguousCharacter(
            row["simplified"],
            frozenset(row.get("only_in", "").split()),
            frozenset(row.get("except_in", "").split()),
        )
        for row in content["ambiguous"]
    }
    return SimplificationTable(characters, ambiguous)


def convertible_characters() -> str:
    """Return all characters that `to_simplified` may change."""
    table = simplification_table()
    return "".join([*table.characters, *table.ambiguous])


@cache
def simplification_version() -> str:
    """Return a hash of the table, on which the features and rules of models depend."""
    return sha256(_content()).hexdigest()[:12]


@cache
def _pattern() -> re.Pattern[str]:
    return re.compile(f"[{convertible_characters()}]")


def _content() -> bytes:
    return resources.files("pipeline.text").joinpath(_FILE).read_bytes()

"""Convert traditional Chinese characters to simplified ones, one for one."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib import resources
from itertools import product
from typing import Any, Final, NamedTuple

from pipeline.text.scripts import has_han

_FILE: Final = "traditional_chinese.toml"


class AmbiguousCharacter(NamedTuple):
    """A character that is traditional in some words, and a simplified character in others.

    It becomes `simplified` in the words of `only_in`, or if that is empty in all words but those of
    `except_in`. These have two characters; the file says what the other fields mean.
    """

    simplified: str
    only_in: frozenset[str]
    except_in: frozenset[str]
    but_after: frozenset[str]
    but_before: frozenset[str]
    but_in: frozenset[str]
    except_first: frozenset[str]
    subjects: frozenset[str]

    def stays(self, text: str, position: int) -> bool:
        """Return whether the character at a position of a text is a simplified one there."""
        before, after = text[max(position - 1, 0) : position], text[position + 1 : position + 2]
        ending, beginning = before + text[position], text[position] + after
        if self.only_in:
            return ending not in self.only_in and beginning not in self.only_in
        phrase = text[max(position - 2, 0) : position + 1]
        if ending in self.except_in and after not in self.but_before and phrase not in self.but_in:
            return True
        if beginning in self.except_in:
            return before not in self.but_after
        if beginning in self.except_first:
            return before in self.subjects or not has_han(before)
        return not has_han(before) and not has_han(after)


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
    return text[position] if rule.stays(text, position) else rule.simplified


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
    written: dict[str, list[str]] = defaultdict(list)
    for traditional, simplified in characters.items():
        written[simplified].append(traditional)

    def spellings(row: dict[str, str], name: str) -> frozenset[str]:
        """Return the words of a field, each with every mix of simplified and other characters."""
        return frozenset(
            "".join(spelling)
            for word in row.get(name, "").split()
            for spelling in product(*([character, *written[character]] for character in word))
        )

    ambiguous = {
        row["character"]: AmbiguousCharacter(
            row["simplified"],
            *(spellings(row, name) for name in AmbiguousCharacter._fields[1:]),
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

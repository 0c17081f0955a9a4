"""The normal form of text that the features and rules of models read."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Final

from pipeline.text.chinese import (
    convertible_characters,
    simplification_table,
    simplification_version,
    simplified_in_context,
)

# The first characters of a message say what it is about, and a limit bounds the cost of any text.
READ_CHARACTERS: Final = 2_000
# Increase this whenever the code changes the normal form of a text.
_VERSION: Final = 3

_APOSTROPHES: Final = "\u2019\u2018\u02bc\u00b4`"
# Invisible marks inside words, from editors or to hide words: soft hyphen, zero width, direction,
# variation selectors.
_INVISIBLE: Final = "".join(
    chr(code)
    for first, last in (
        (0xAD, 0xAD),
        (0x200B, 0x200F),
        (0x202A, 0x202E),
        (0x2060, 0x206F),
        (0xFE00, 0xFE0F),
        (0xFEFF, 0xFEFF),
    )
    for code in range(first, last + 1)
)
_WITHOUT_INVISIBLE: Final = str.maketrans(dict.fromkeys(_INVISIBLE, ""))

# How the compatibility decompositions begin, such as those of full-width forms and "…"; the first
# plane has all common ones.
_COMPATIBLE: Final = "<"
_PLANE: Final = 0x10000


def normalise(text: str) -> str:
    """Return the normal form: NFKC, lower case, simplified Chinese, one apostrophe, visible marks.

    At most the first `READ_CHARACTERS` characters are read and returned. Any `str` is accepted,
    also lone surrogates.

    >>> normalise("Don’t　ＡＳＫ，請回電")
    "don't ask,请回电"
    """
    read = text[:READ_CHARACTERS]
    if read.isascii():
        return read.lower().replace("`", "'")
    read = _nfkc(read).lower()[:READ_CHARACTERS]
    replacements, pattern = _replacements()

    def replacement(match: re.Match[str]) -> str:
        simple = replacements.get(match[0])
        return _ambiguous(read, match.start()) if simple is None else simple

    return pattern.sub(replacement, read)


def normal_form_version() -> str:
    """Return what the normal form depends on besides the text: code, Unicode, Chinese table."""
    return f"{_VERSION}/{unicodedata.unidata_version}/{simplification_version()}"


def _ambiguous(text: str, position: int) -> str:
    before = text[:position].translate(_WITHOUT_INVISIBLE)
    return simplified_in_context(
        before + text[position:].translate(_WITHOUT_INVISIBLE), len(before)
    )


def _nfkc(text: str) -> str:
    if unicodedata.is_normalized("NFKC", text):
        return text
    # A text with some of its characters in normal form has the same normal form, and mostly is in
    # normal form already, which is quick to verify. This takes a third of the time for Chinese,
    # because its commas alone make `normalize` decompose every character.
    compatible, pattern = _compatible()
    return unicodedata.normalize("NFKC", pattern.sub(lambda match: compatible[match[0]], text))


@cache
def _compatible() -> tuple[dict[str, str], re.Pattern[str]]:
    characters = [
        character
        for character in map(chr, range(_PLANE))
        if unicodedata.decomposition(character).startswith(_COMPATIBLE)
    ]
    forms = {character: unicodedata.normalize("NFKC", character) for character in characters}
    return forms, re.compile("[" + re.escape("".join(forms)) + "]")


@cache
def _replacements() -> tuple[dict[str, str], re.Pattern[str]]:
    marks = dict.fromkeys(_APOSTROPHES, "'") | dict.fromkeys(_INVISIBLE, "")
    characters = "".join(marks) + convertible_characters()
    return marks | dict(simplification_table().characters), re.compile(f"[{characters}]")

"""One normal form of text and one classification of characters, shared by the features and the rules."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from functools import cache
from importlib import resources
from typing import Final

import numpy as np
import numpy.typing as npt

# Decided in the design: what a message is about stands in its first characters, and a cap bounds the cost of any text.
READ_CHARACTERS: Final = 2_000

SPACE: Final = 0
WORD: Final = 1
SINGLE: Final = 2
MARK: Final = 3

# Scripts written without spaces: every character is a token of its own (Thai, Lao, Myanmar, Khmer, kana, Bopomofo, Han).
_UNSPACED_RANGES: Final = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x3005, 0x3007),
    (0x3031, 0x3035),
    (0x3041, 0x312F),
    (0x31A0, 0x31BF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
_CODE_POINTS: Final = 0x110000
# Planes above the first two hold Han only (covered by a range above), tags and private use: nothing to classify there.
_CATEGORISED: Final = 0x20000
_APOSTROPHES: Final = "\u2019\u2018\u02bc\u00b4`"


def normalise(text: str) -> str:
    """Return the form in which text is read: NFKC, lower case, traditional Han folded to simplified, one apostrophe.

    At most the first `READ_CHARACTERS` characters are read and returned; any `str` is accepted, lone surrogates too.
    """
    read = text[:READ_CHARACTERS]
    if read.isascii():
        return read.lower().replace("`", "'")
    read = unicodedata.normalize("NFKC", read).lower()[:READ_CHARACTERS]
    variants, pattern = _variants()
    return pattern.sub(lambda match: variants[match[0]], read)


@cache
def _variants() -> tuple[dict[str, str], re.Pattern[str]]:
    table = tomllib.loads(resources.files("pipeline.models").joinpath("lexicon/han_variants.toml").read_text("utf-8"))
    variants = dict.fromkeys(_APOSTROPHES, "'")
    for row in table["rows"]:
        traditional, simplified = row["traditional"], row["simplified"]
        if len(traditional) != len(simplified):
            raise ValueError(f"han_variants.toml: rows of unequal length: {traditional!r} and {simplified!r}")
        variants.update(zip(traditional, simplified, strict=True))
    return variants, re.compile("[" + "".join(variants) + "]")


@cache
def character_classes() -> npt.NDArray[np.uint8]:
    """Return the class (`SPACE`, `WORD`, `SINGLE`, `MARK`) of every Unicode code point, shape (1,114,112,)."""
    classes = np.zeros(_CODE_POINTS, dtype=np.uint8)
    classes[:_CATEGORISED] = [_class_of(chr(code)) for code in range(_CATEGORISED)]
    for first, last in _UNSPACED_RANGES:
        span = classes[first : last + 1]
        span[span != SPACE] = SINGLE
    classes[0x20000:0x40000] = SINGLE
    classes.flags.writeable = False
    return classes


def _class_of(character: str) -> int:
    category = unicodedata.category(character)
    if category[0] in "LMN" or category == "Pc":
        return WORD
    if category == "So":  # emoji and pictographs carry meaning one by one, not as a run
        return SINGLE
    return MARK if category[0] in "PS" else SPACE

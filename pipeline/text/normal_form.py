"""The one normal form of text that features and rules read."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from functools import cache
from importlib import resources
from typing import Final

# Decided in the design: what a message is about stands in its first characters, and a cap bounds
# the cost of any text.
READ_CHARACTERS: Final = 2_000

_APOSTROPHES: Final = "\u2019\u2018\u02bc\u00b4`"
# Marks that nobody sees, put into words by editors or to hide them: soft hyphen, zero width,
# direction, variation.
_UNSEEN: Final = "".join(
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


# How the decomposition of what stands for other characters begins, as of full-width forms and "…";
# the first plane has all that are common.
_COMPATIBLE: Final = "<"
_PLANE: Final = 0x10000


def normalise(text: str) -> str:
    """Return the form in which text is read: NFKC, lower case, traditional Han folded to
    simplified, one apostrophe, unseen marks dropped.

    At most the first `READ_CHARACTERS` characters are read and returned; any `str` is accepted,
    lone surrogates too.
    """
    read = text[:READ_CHARACTERS]
    if read.isascii():
        return read.lower().replace("`", "'")
    read = _nfkc(read).lower()[:READ_CHARACTERS]
    variants, pattern = _variants()
    return pattern.sub(lambda match: variants[match[0]], read)


def _nfkc(text: str) -> str:
    if unicodedata.is_normalized("NFKC", text):
        return text
    # A text with some of its characters in normal form already has the same normal form, and mostly
    # is it by then, which is seen at once: a third of the cost for Chinese, whose commas alone make
    # `normalize` take every character apart.
    compatible, pattern = _compatible()
    return unicodedata.normalize("NFKC", pattern.sub(lambda match: compatible[match[0]], text))


@cache
def _compatible() -> tuple[dict[str, str], re.Pattern[str]]:
    characters = [
        one
        for one in map(chr, range(_PLANE))
        if unicodedata.decomposition(one).startswith(_COMPATIBLE)
    ]
    forms = {one: unicodedata.normalize("NFKC", one) for one in characters}
    return forms, re.compile("[" + re.escape("".join(forms)) + "]")


@cache
def _variants() -> tuple[dict[str, str], re.Pattern[str]]:
    table = tomllib.loads(
        resources.files("pipeline.models").joinpath("lexicon/han_variants.toml").read_text("utf-8")
    )
    variants = dict.fromkeys(_APOSTROPHES, "'") | dict.fromkeys(_UNSEEN, "")
    for row in table["rows"]:
        traditional, simplified = row["traditional"], row["simplified"]
        if len(traditional) != len(simplified):
            raise ValueError(
                f"han_variants.toml: rows of unequal length: {traditional!r} and {simplified!r}"
            )
        variants.update(zip(traditional, simplified, strict=True))
    return variants, re.compile("[" + "".join(variants) + "]")

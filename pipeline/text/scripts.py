"""Scripts: which characters are Han, and which scripts are written without spaces."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

# CJK Unified Ideographs with extension A, compatibility ideographs, and the ideographs of the
# supplementary planes.
HAN_RANGES: Final = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3134F),
)
# Scripts written without spaces, whose every character is a token: Thai, Lao, Myanmar, Khmer, kana,
# Bopomofo, Han.
UNSPACED_RANGES: Final = (
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


def character_class(ranges: Iterable[tuple[int, int]]) -> str:
    """Return ranges of code points as the inside of a character class of a regular expression.

    >>> character_class([(0x61, 0x7A), (0x4E00, 0x4E03)])
    'a-z一-七'
    """
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)


HAN: Final = character_class(HAN_RANGES)
_HAN: Final = re.compile(f"[{HAN}]")


def has_han(text: str) -> bool:
    """Return whether a text contains a Chinese character.

    >>> has_han("call 我"), has_han("call me"), has_han("カナ")
    (True, False, False)
    """
    return not text.isascii() and _HAN.search(text) is not None

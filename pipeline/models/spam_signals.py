"""Signals of mass mail besides words: links, phone numbers, prices, shouting, exclamation marks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from pipeline.models.jit import compiled
from pipeline.models.term_scan import TermScan, code_points_matching, code_points_of

# Numba's cache of a compiled function notices changes of its own file only, so every constant that
# the function uses is defined in this file.

# Bit flags of a scan of the characters. The first three say that a regular expression may match and
# is worth its search; the other two are final.
_LINKED: Final = 1
_NUMBERED: Final = 2
_PRICED: Final = 4
_SHOUTED: Final = 8
_EXCLAIMED: Final = 16

_LINK: Final = re.compile(r"https?:|www\.|\.(?:com|net|org|cn|info|biz|ru)\b")
_LONG_NUMBER: Final = re.compile(r"[\dx]{5,}|\d{3,4}-\d{3,}")
_MONEY: Final = re.compile(r"[$£€¥]\s?\d|\d\s?(?:元|万|usd|gbp|p/)|\d%")
# What each expression needs for a match: a character next to a dot or a colon, this many digits in
# a row, a character before or after a digit.
_BEFORE_COLON: Final = tuple(np.uint32(ord(mark)) for mark in "ps")
_BEFORE_DOT: Final = np.uint32(ord("w"))
_BEHIND_DOT: Final = tuple(np.uint32(ord(mark)) for mark in "cnoibr")
_DIGITS: Final = 3
_BEFORE_DIGIT: Final = tuple(np.uint32(ord(mark)) for mark in "$£€¥")
_BEHIND_DIGIT: Final = tuple(np.uint32(ord(mark)) for mark in "元万ugp%")

_DOT, _COLON = np.uint32(ord(".")), np.uint32(ord(":"))
_MARK, _HIDDEN_DIGIT = np.uint32(ord("!")), np.uint32(ord("x"))
_A, _Z = np.uint32(ord("A")), np.uint32(ord("Z"))
# A word of this many letters, all capitals, shouts; abbreviations are shorter, and one or two names
# are no shouting.
_SHOUT: Final = 4
_SHOUTS: Final = 3
_EXCLAMATIONS: Final = 3

_LETTER: Final = 1
_DIGIT: Final = 2
_BLANK: Final = 4


def detect_signals(raws: Sequence[str], scan: TermScan) -> list[int]:
    """Return the flags of each text's signals, for `signal_weight`; `raws` are texts as written."""
    flags = np.zeros(len(raws), dtype=np.uint8)
    _detect_signals(*code_points_of(raws), scan.codes, scan.text_bounds, _kinds(), flags)
    return flags.tolist()


def signal_weight(signals: int, text: str) -> float:
    """Return the weight of a text's signals, from its `detect_signals` flags and normal form."""
    if not signals:
        return 0.0
    weight = 0.0
    for flag, pattern in ((_LINKED, _LINK), (_NUMBERED, _LONG_NUMBER), (_PRICED, _MONEY)):
        if signals & flag and pattern.search(text):
            weight += 1.0
    if signals & _SHOUTED:
        weight += 1.0
    if signals & _EXCLAIMED:
        weight += 0.5
    return weight


@cache
def _kinds() -> npt.NDArray[np.uint8]:
    """Return the classes (word, digit, blank) of each code point as bits, shape (1,114,112,)."""
    kinds = (
        code_points_matching(r"\w") * _LETTER
        | code_points_matching(r"\d") * _DIGIT
        | code_points_matching(r"\s") * _BLANK
    )
    return kinds.astype(np.uint8)


@compiled
def _detect_signals(
    raw_codes: npt.NDArray[np.uint32],
    raw_bounds: npt.NDArray[np.int32],
    codes: npt.NDArray[np.uint32],
    bounds: npt.NDArray[np.int32],
    kinds: npt.NDArray[np.uint8],
    flags: npt.NDArray[np.uint8],
) -> None:
    for text in range(len(flags)):
        flags[text] = _signals(codes[bounds[text] : bounds[text + 1]], kinds)
        if _shouts(raw_codes[raw_bounds[text] : raw_bounds[text + 1]], kinds) >= _SHOUTS:
            flags[text] |= _SHOUTED


@compiled
def _signals(codes: npt.NDArray[np.uint32], kinds: npt.NDArray[np.uint8]) -> int:
    flags, exclamations, run = 0, 0, 0
    for position in range(len(codes)):
        code = codes[position]
        if kinds[code] & _DIGIT:
            run += 1
            if _near(codes, position, -1, kinds, _BEFORE_DIGIT) or _near(
                codes, position, 1, kinds, _BEHIND_DIGIT
            ):
                flags |= _PRICED
        elif code == _HIDDEN_DIGIT:
            run += 1
        else:
            run = 0
            exclamations += code == _MARK
            if (code == _COLON and position > 0 and codes[position - 1] in _BEFORE_COLON) or (
                code == _DOT
                and (
                    (position > 0 and codes[position - 1] == _BEFORE_DOT)
                    or (position + 1 < len(codes) and codes[position + 1] in _BEHIND_DOT)
                )
            ):
                flags |= _LINKED
        if run >= _DIGITS:
            flags |= _NUMBERED
    return flags | _EXCLAIMED if exclamations >= _EXCLAMATIONS else flags


@compiled
def _near(
    codes: npt.NDArray[np.uint32],
    position: int,
    step: int,
    kinds: npt.NDArray[np.uint8],
    marks: tuple[np.uint32, ...],
) -> bool:
    """Return whether one of the marks is next to a character, possibly after one blank."""
    beside = position + step
    if 0 <= beside < len(codes) and kinds[codes[beside]] & _BLANK:
        beside += step
    return 0 <= beside < len(codes) and codes[beside] in marks


@compiled
def _shouts(codes: npt.NDArray[np.uint32], kinds: npt.NDArray[np.uint8]) -> int:
    """Return the number of words of four letters or more that are all capitals."""
    shouts, length, capitals = 0, 0, 0
    for position in range(len(codes)):
        code = codes[position]
        if kinds[code] & _LETTER:
            length += 1
            capitals += _A <= code <= _Z
        else:
            shouts += length == capitals and length >= _SHOUT
            length, capitals = 0, 0
    return shouts + (length == capitals and length >= _SHOUT)

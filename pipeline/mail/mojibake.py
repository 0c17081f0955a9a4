"""Undo mojibake: text that was decoded with the wrong charset before it was sent."""

from __future__ import annotations

import re

from pipeline.mail.charset_evidence import (
    SAMPLE_BYTES,
    decode_strictly,
    detect_asian_codec,
    is_mostly_eight_bit,
)
from pipeline.mail.charset_tables import FREQUENT_CHINESE

# Frequent characters are half of Chinese text and nearly none of UTF-8 that was decoded as gbk
# (measured: 0.5 to 0.7, below 0.05).
_WRONG_SHARE = 0.15

# ftfy takes a second for a million characters of noise; a letter with mojibake is shorter than
# this.
_MAX_FIXED = 50_000

# UTF-8 of a Latin-1 or punctuation character decoded as windows-1252: its lead byte, then what a
# continuation byte turns into.
_LATIN_MOJIBAKE = re.compile(
    "[\u00c2-\u00f4][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc‐-›€™]"
)
_LATIN_LETTERS = re.compile("[\u00a1-\u00ff]{2}")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_HAN = re.compile("[\u4e00-\u9fff]")
# No character above this comes from windows-1252, whose last one is the trade mark sign, U+2122.
_ABOVE_LATIN = "\u2200"


def undo_mojibake(text: str) -> str:
    """Return the text with one wrong decoding undone, or the same object if there is no mojibake.

    UTF-8 or an Asian charset decoded as Latin, in the whole text; UTF-8 decoded as Latin in places,
    by `ftfy.fix_encoding` (never `fix_text`, which alters correct Chinese punctuation); UTF-8
    decoded as gbk, in the whole text.

    >>> undo_mojibake("schÃ¶ne GrÃ¼ÃŸe")
    'schöne Grüße'
    """
    fixed = text
    if _LATIN_LETTERS.search(text) and max(text) < _ABOVE_LATIN:
        fixed = _asian_read_as_latin(text)
    if fixed is text and _LATIN_MOJIBAKE.search(text):
        fixed = _fixed_lines(text)
    if fixed is text and not _has_frequent_chinese(text):
        fixed = _utf8_read_as_gbk(text)
    return text if fixed == text else _LONE_SURROGATE.sub("\ufffd", fixed)


def _asian_read_as_latin(text: str) -> str:
    """Undo UTF-8 or an Asian charset decoded as Latin, where nearly all non-ASCII text is."""
    # Registers the codec; few texts meet it.
    import ftfy.bad_codecs  # noqa: F401

    for codec in ("sloppy-windows-1252", "latin_1"):
        try:
            raw = text.encode(codec)
        except UnicodeEncodeError:
            continue
        if not is_mostly_eight_bit(raw):
            return text
        asian = detect_asian_codec(raw)
        fixed = decode_strictly(raw, "utf_8") or (
            decode_strictly(raw, asian) if asian is not None else None
        )
        if fixed is not None:
            return fixed
    return text


def _fixed_lines(text: str) -> str:
    # Every stage reads addresses, which may be encoded; few meet mojibake.
    import ftfy

    lines, budget = text.split("\n"), _MAX_FIXED
    for i, line in enumerate(lines):
        if len(line) <= budget and _LATIN_MOJIBAKE.search(line):
            budget -= len(line)
            lines[i] = ftfy.fix_encoding(line)
    return "\n".join(lines)


def _has_frequent_chinese(text: str) -> bool:
    """Return whether Chinese text has frequent characters, or there is none.

    UTF-8 decoded as gbk has only rare ones.
    """
    chinese = _HAN.findall(text[:SAMPLE_BYTES])[:200]
    return len(chinese) < 3 or sum(
        map(FREQUENT_CHINESE.__contains__, chinese)
    ) > _WRONG_SHARE * len(chinese)


def _utf8_read_as_gbk(text: str) -> str:
    try:
        fixed = text.encode("gb18030").decode("utf_8")
    except UnicodeError:
        return text
    # Rare characters that happen to be valid UTF-8 decode to unassigned characters.
    return fixed if "".join(fixed.split()).isprintable() else text

"""Detect the charset of bytes: frequent characters, byte pairs and letters, then chardet."""

from __future__ import annotations

import re

import chardet

from pipeline.mail.charset_tables import (
    DETECTABLE_CHARSETS,
    DETECTABLE_LATIN_CHARSETS,
    FREQUENT_CHARACTERS,
)

# The longest character of these codecs: gb18030 and utf-8 use four bytes. A text that is cut inside
# its last character is still a text in its charset.
_LONGEST_CHARACTER = 4

# Below this many characters chance is strong: one pair of gb bytes in five is valid UTF-8, and
# names have no frequent characters.
SHORT_TEXT = 40

# Detection reads this many bytes from the first 8-bit one on: the answer is stable within a few
# hundred, and the cost grows with the size.
SAMPLE_BYTES = 3_000

# Frequent characters are half or more of a real text (measured: 0.55 to 0.8) and one in twenty in
# the wrong charset.
_FREQUENT_SHARE = 0.25

# Chinese decoded as Korean has more frequent syllables by chance, most of all in short names; real
# Korean has 0.6 (measured).
_FREQUENT_SHARE_KOREAN, _FREQUENT_SHARE_SHORT_KOREAN = 0.35, 0.5

# chardet's confidence in a right answer on one sentence with a few letters of its own is 0.15 to
# 0.35, in a wrong one 0 to 0.1.
_SHORT_TEXT_CONFIDENCE = 0.12

# No word has a symbol between letters, or a capital after a small accented letter. Polish decoded
# as windows-1252 has the first (pB9czka), Spanish decoded as windows-1250 the second (the inverted
# question mark becomes a letter).
_ODD_IN_WORD = re.compile(
    "[^\\W\\d_][^\\w\x00-\x7f’][^\\W\\d_]|[ß-öø-ÿąćęłńśźżčďěňřšťůžőűğışľĺŕ][A-Z]"
)

EIGHT_BIT_BYTES = bytes(range(0x80, 0x100))
EIGHT_BIT_RUN = re.compile(rb"[\x80-\xff]+")
_EIGHT_BIT = re.compile(rb"[\x80-\xff]")
_NON_ASCII = re.compile("[^\x00-\x7f]")
# ASCII between the non-ASCII words, except one byte that may be the second half of a character.
_SEVEN_BIT_RUN = re.compile(rb"(?<=[\x00-\x7f])[\x00-\x7f]{2,}")
# ASCII without its letters, and the no-break space of Latin charsets.
_NOT_LETTERS = bytes(c for c in range(0x80) if not chr(c).isalpha()) + b"\xa0"
# The first level of gb2312 (3,755 common characters) and its punctuation.
GB_COMMON = re.compile(rb"(?:[\xb0-\xd7\xa1\xa3][\xa1-\xfe])+")
# The first level of Big5 (5,401 characters, lead bytes A4 to C6) and its punctuation; the second
# byte may be ASCII.
_BIG5_COMMON = re.compile(rb"(?:[\xa1-\xc6][\x40-\x7e\xa1-\xfe])+")
_BIG5_RUN = re.compile(rb"(?:[\x80-\xff][\x40-\x7e\x80-\xff])+|[\x80-\xff]")
_COMMON_BY_CHARSET = {"gb18030": (EIGHT_BIT_RUN, GB_COMMON), "big5": (_BIG5_RUN, _BIG5_COMMON)}
_GB_PAIRS = re.compile(rb"(?:[\xa1-\xa3\xb0-\xf7][\xa1-\xfe])+")


def has_only_common_characters(raw: bytes, charset: str) -> bool:
    """Return whether all 8-bit bytes are common characters of a Chinese charset.

    Then its label needs no further evidence: short and repeated words (啊啊啊啊) have no frequent
    characters, and their bytes are valid in other charsets too.
    """
    if charset not in _COMMON_BY_CHARSET:
        return False
    run, common = _COMMON_BY_CHARSET[charset]
    return all(map(common.fullmatch, run.findall(raw)))


def decode_strictly(raw: bytes, codec: str) -> str | None:
    """Decode strictly, but allow that the last character was cut; None where it does not fit.

    The cut character becomes one U+FFFD if others before it prove the charset.
    """
    try:
        return raw.decode(codec)
    except UnicodeDecodeError as error:
        cut = error.start
    except UnicodeError:
        return None
    if cut < len(raw) - _LONGEST_CHARACTER + 1 or raw[:cut].isascii():
        return None
    return raw[:cut].decode(codec, "replace") + "\ufffd"


def detect_asian_codec(raw: bytes) -> str | None:
    """Return the codec under which the bytes are mostly frequent characters of its language.

    Common gb2312 characters are accepted as well; None where no codec fits.
    """
    first = _EIGHT_BIT.search(raw)
    if first is None:
        return None
    region = raw[first.start() : first.start() + SAMPLE_BYTES * 4]
    sample = _SEVEN_BIT_RUN.sub(b" ", region)[: SAMPLE_BYTES // 2]
    best, best_share = None, 0.0
    for codec, common in FREQUENT_CHARACTERS.items():
        # The sample may end inside a character.
        text = sample.decode(codec, "replace").removesuffix("\ufffd")
        non_ascii = _NON_ASCII.findall(text)
        # A few bad bytes are a damaged text; one in ten means another charset.
        if text.count("\ufffd") * 10 > len(non_ascii):
            continue
        share = sum(map(common.__contains__, non_ascii)) / max(1, len(non_ascii))
        if share > max(_needed_share(codec, len(non_ascii)), best_share) and len(non_ascii) > 1:
            best, best_share = codec, share
    if best is None and _is_common_gb(sample):
        return "gb18030"
    return best


def _needed_share(codec: str, characters: int) -> float:
    if codec != "cp949":
        return _FREQUENT_SHARE
    return _FREQUENT_SHARE_SHORT_KOREAN if characters < SHORT_TEXT else _FREQUENT_SHARE_KOREAN


def _is_common_gb(sample: bytes) -> bool:
    """Return whether the bytes are whole gb2312 pairs, many of them common characters.

    This accepts short names and terms, whose characters need not be frequent.
    """
    runs = EIGHT_BIT_RUN.findall(sample)
    total = sum(map(len, runs))
    if total < 4 or not all(len(run) > 2 and _GB_PAIRS.fullmatch(run) for run in runs):
        return False
    common = sum(
        GB_COMMON.fullmatch(run[i : i + 2]) is not None
        for run in runs
        for i in range(0, len(run), 2)
    )
    return common * 4 >= total


def has_frequent_characters(text: str, codecs: tuple[str, ...]) -> bool:
    """Return whether a text has the frequent characters of the language its codecs are for.

    True where the language of the codecs is unknown.
    """
    return not _common_characters(codecs) or frequent_share(text, codecs) >= _FREQUENT_SHARE


def _common_characters(codecs: tuple[str, ...]) -> frozenset[str]:
    return frozenset().union(
        *(FREQUENT_CHARACTERS[codec] for codec in codecs if codec in FREQUENT_CHARACTERS)
    )


def frequent_share(text: str, codecs: tuple[str, ...]) -> float:
    """Return which share of the characters outside ASCII is frequent in the codecs' languages.

    It is 1 where there are none; the beginning of the text is read.
    """
    non_ascii = _NON_ASCII.findall(text[:SAMPLE_BYTES])
    common = _common_characters(codecs)
    return sum(map(common.__contains__, non_ascii)) / len(non_ascii) if non_ascii else 1.0


def is_mostly_eight_bit(raw: bytes) -> bool:
    """Return whether most letters are outside ASCII: another alphabet, whatever the label says."""
    letters = raw[: SAMPLE_BYTES * 4].translate(None, _NOT_LETTERS)
    high = len(letters) - len(letters.translate(None, EIGHT_BIT_BYTES))
    return high >= 4 and high * 2 > len(letters)


def detect_codec(raw: bytes) -> str | None:
    """Return the charset that chardet detects, checked for Latin text; None where it finds none."""
    first = _EIGHT_BIT.search(raw)
    start = max(0, first.start() - SAMPLE_BYTES // 3) if first is not None else 0
    sample = raw[start : start + SAMPLE_BYTES]
    if is_mostly_eight_bit(sample):
        return chardet.detect(
            sample, include_encodings=DETECTABLE_CHARSETS, compat_names=False, prefer_superset=True
        )["encoding"]
    detected = chardet.detect(
        sample,
        include_encodings=DETECTABLE_LATIN_CHARSETS,
        compat_names=False,
        prefer_superset=True,
    )
    name = detected["encoding"] or "cp1252"
    if not _shows_language(sample, name, detected["confidence"]):
        return "windows-1252"
    return _iso_or_windows(sample) if name == "cp1250" else name


def _shows_language(sample: bytes, codec: str, confidence: float) -> bool:
    """Return whether letters, not just quotes and dashes, prove a charset other than cp1252."""
    text = sample.decode(codec, "replace")
    letters = sum(map(str.isalpha, _NON_ASCII.findall(text)))
    if letters < 4 and (letters == 0 or confidence < _SHORT_TEXT_CONFIDENCE):
        return False
    return len(_ODD_IN_WORD.findall(text)) <= len(
        _ODD_IN_WORD.findall(sample.decode("cp1252", "replace"))
    )


def _iso_or_windows(sample: bytes) -> str:
    """Choose between the two Central European charsets by which yields more letters."""
    letters = {
        codec: sum(map(str.isalpha, sample.decode(codec, "replace")))
        for codec in ("cp1250", "iso8859_2")
    }
    return "cp1250" if letters["cp1250"] >= letters["iso8859_2"] else "iso-8859-2"

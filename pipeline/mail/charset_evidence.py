"""What bytes say about their own character set: frequent characters, pairs, letters, and chardet's
word where they do not.
"""

from __future__ import annotations

import re

import chardet

from pipeline.mail.charset_tables import DETECTABLE, DETECTABLE_LATIN, FREQUENT

# The longest character of the codecs here: gb18030 and utf-8 use four bytes. A text cut inside its
# last one is no less a text of its set.
_LONGEST_CHARACTER = 4

# Characters below which chance is strong: one pair of gb bytes in five is valid UTF-8, names have
# no frequent characters.
SHORT = 40

# Detection reads this many bytes from the first 8-bit one on: the answer settles within a few
# hundred, the cost grows.
SAMPLE = 3_000

# Frequent characters are half or more of a real text (measured: .55 to .8), one in twenty of a
# wrong reading.
_FREQUENT_SHARE = 0.25

# Chinese read as Korean meets frequent syllables more often, most of all in short names; real
# Korean has .6 (measured).
_FREQUENT_SHARE_KOREAN, _FREQUENT_SHARE_SHORT_KOREAN = 0.35, 0.5

# chardet's confidence in a right answer on one sentence with a few letters of its own is .15 to
# .35, in a wrong one 0 to .1.
_SHORT_TEXT_CONFIDENCE = 0.12

# What no word has: a sign between letters, or a capital after a small foreign letter. Polish read
# as windows-1252 has the one (pB9czka), Spanish read as windows-1250 the other (the inverted
# question mark becomes a letter).
_ODD_IN_WORD = re.compile(
    "[^\\W\\d_][^\\w\x00-\x7f’][^\\W\\d_]|[ß-öø-ÿąćęłńśźżčďěňřšťůžőűğışľĺŕ][A-Z]"
)

EIGHT_BIT_BYTES = bytes(range(0x80, 0x100))
EIGHT_BIT_RUN = re.compile(rb"[\x80-\xff]+")
_EIGHT_BIT = re.compile(rb"[\x80-\xff]")
_FOREIGN = re.compile("[^\x00-\x7f]")
# ASCII between the foreign words, but for one byte that may be the second half of a character.
_SEVEN_BIT_RUN = re.compile(rb"(?<=[\x00-\x7f])[\x00-\x7f]{2,}")
# ASCII but its letters, and the no-break space of Latin sets.
_NOT_LETTERS = bytes(c for c in range(0x80) if not chr(c).isalpha()) + b"\xa0"
# gb2312's first level (its 3,755 everyday characters) and its punctuation; then both levels.
GB_EVERYDAY = re.compile(rb"(?:[\xb0-\xd7\xa1\xa3][\xa1-\xfe])+")
# Big5's first level (5,401 characters, lead bytes A4 to C6) and its punctuation; the second byte
# may be ASCII.
_BIG5_EVERYDAY = re.compile(rb"(?:[\xa1-\xc6][\x40-\x7e\xa1-\xfe])+")
_BIG5_RUN = re.compile(rb"(?:[\x80-\xff][\x40-\x7e\x80-\xff])+|[\x80-\xff]")
_EVERYDAY = {"gb18030": (EIGHT_BIT_RUN, GB_EVERYDAY), "big5": (_BIG5_RUN, _BIG5_EVERYDAY)}
_GB_PAIRS = re.compile(rb"(?:[\xa1-\xa3\xb0-\xf7][\xa1-\xfe])+")


def is_everyday(raw: bytes, charset: str) -> bool:
    """Tell whether all 8-bit bytes are everyday characters of a Chinese set: then its label needs
    no more evidence.

    Short and repeated words (啊啊啊啊) have no frequent characters, and their bytes read as well in
    other sets.
    """
    if charset not in _EVERYDAY:
        return False
    run, everyday = _EVERYDAY[charset]
    return all(map(everyday.fullmatch, run.findall(raw)))


def strictly(raw: bytes, codec: str) -> str | None:
    """Decode strictly, but for a last character that was cut: it becomes one U+FFFD if others
    before it prove the set.
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


def asian_codec(raw: bytes) -> str | None:
    """Return the codec under which the bytes are mostly frequent characters of its language, or
    everyday gb2312.
    """
    first = _EIGHT_BIT.search(raw)
    if first is None:
        return None
    region = raw[first.start() : first.start() + SAMPLE * 4]
    sample = _SEVEN_BIT_RUN.sub(b" ", region)[: SAMPLE // 2]
    best, best_share = None, 0.0
    for codec, common in FREQUENT.items():
        # The sample may end inside a character.
        text = sample.decode(codec, "replace").removesuffix("\ufffd")
        foreign = _FOREIGN.findall(text)
        # A few bad bytes are a damaged text; one in ten is another character set.
        if text.count("\ufffd") * 10 > len(foreign):
            continue
        share = sum(map(common.__contains__, foreign)) / max(1, len(foreign))
        if share > max(_needed_share(codec, len(foreign)), best_share) and len(foreign) > 1:
            best, best_share = codec, share
    if best is None and _is_everyday_gb(sample):
        return "gb18030"
    return best


def _needed_share(codec: str, characters: int) -> float:
    if codec != "cp949":
        return _FREQUENT_SHARE
    return _FREQUENT_SHARE_SHORT_KOREAN if characters < SHORT else _FREQUENT_SHARE_KOREAN


def _is_everyday_gb(sample: bytes) -> bool:
    """Accept short names and terms, whose characters need not be frequent: whole gb2312 pairs, most
    of them everyday.
    """
    runs = EIGHT_BIT_RUN.findall(sample)
    total = sum(map(len, runs))
    if total < 4 or not all(len(run) > 2 and _GB_PAIRS.fullmatch(run) for run in runs):
        return False
    everyday = sum(
        GB_EVERYDAY.fullmatch(run[i : i + 2]) is not None
        for run in runs
        for i in range(0, len(run), 2)
    )
    return everyday * 4 >= total


def is_usual_asian(text: str, codecs: tuple[str, ...]) -> bool:
    """Tell whether a text has the frequent characters of the language that is written in a set with
    these codecs, if known.
    """
    foreign = _FOREIGN.findall(text[:SAMPLE])
    common: frozenset[str] = frozenset().union(
        *(FREQUENT[codec] for codec in codecs if codec in FREQUENT)
    )
    if not common:
        return True
    return sum(map(common.__contains__, foreign)) >= _FREQUENT_SHARE * len(foreign)


def is_mostly_eight_bit(raw: bytes) -> bool:
    """Tell whether most letters are beyond ASCII: then it is another alphabet, whatever Western
    label it carries.
    """
    letters = raw[: SAMPLE * 4].translate(None, _NOT_LETTERS)
    high = len(letters) - len(letters.translate(None, EIGHT_BIT_BYTES))
    return high >= 4 and high * 2 > len(letters)


def detected_codec(raw: bytes) -> str | None:
    first = _EIGHT_BIT.search(raw)
    start = max(0, first.start() - SAMPLE // 3) if first is not None else 0
    sample = raw[start : start + SAMPLE]
    if is_mostly_eight_bit(sample):
        return chardet.detect(
            sample, include_encodings=DETECTABLE, compat_names=False, prefer_superset=True
        )["encoding"]
    found = chardet.detect(
        sample, include_encodings=DETECTABLE_LATIN, compat_names=False, prefer_superset=True
    )
    name = found["encoding"] or "cp1252"
    if not _shows_language(sample, name, found["confidence"]):
        return "windows-1252"
    return _iso_or_windows(sample) if name == "cp1250" else name


def _shows_language(sample: bytes, codec: str, confidence: float) -> bool:
    """Tell whether a Latin set other than the usual one is shown by letters of its own, not by
    quotes and dashes.
    """
    text = sample.decode(codec, "replace")
    letters = sum(map(str.isalpha, _FOREIGN.findall(text)))
    if letters < 4 and (letters == 0 or confidence < _SHORT_TEXT_CONFIDENCE):
        return False
    return len(_ODD_IN_WORD.findall(text)) <= len(
        _ODD_IN_WORD.findall(sample.decode("cp1252", "replace"))
    )


def _iso_or_windows(sample: bytes) -> str:
    """Choose between the two Central European sets, which differ in a few letters, by what makes
    more letters.
    """
    letters = {
        codec: sum(map(str.isalpha, sample.decode(codec, "replace")))
        for codec in ("cp1250", "iso8859_2")
    }
    return "cp1250" if letters["cp1250"] >= letters["iso8859_2"] else "iso-8859-2"

"""Local times as exports write them.

Digits of any script, halves of the day in many languages, time zones, the repeated hour of a clock
change.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Literal

from pipeline.text.nfkc import nfkc
from schemas.types import in_range

# Invisible characters that control the direction of text: LRM, RLM, ALM, embeddings, isolates; and
# the byte order mark.
DIRECTION_MARKS = "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"

# Every decimal digit of Unicode lies in the first two planes.
_DIGITS = {
    code: str(unicodedata.decimal(chr(code))) for code in range(0x20000) if chr(code).isdecimal()
}
_SPACES = dict.fromkeys(
    map(
        ord,
        "\t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000",
    ),
    " ",
)
_MARKS = {ord(mark): None for mark in DIRECTION_MARKS}
_ANY_MARK = re.compile(f"[{DIRECTION_MARKS}]")
_PLAIN: dict[int, str | None] = {**_DIGITS, **_SPACES, **_MARKS}


class DateOrder(StrEnum):
    """The order of day, month and year in a written date."""

    DMY = "dmy"
    MDY = "mdy"
    YMD = "ymd"


def plain_text(text: str) -> str:
    r"""Return the text with ASCII digits, ordinary blanks and no direction marks.

    >>> plain_text("\u200e١٢\u00a0号")
    '12 号'
    """
    return text.translate(_PLAIN)


def strip_direction_marks(text: str) -> str:
    r"""Return the text without direction marks.

    >>> strip_direction_marks("\u200eAnn")
    'Ann'
    """
    return _ANY_MARK.sub("", text)


# ---- halves of the day

DayHalf = Literal["am", "pm", "noon"]

# CLDR's day periods (https://cldr.unicode.org/translation/date-time/date-time-symbols) of the
# languages whose phones show twelve hours. Chinese also names parts of a half: 凌晨, 清晨, 早上
# before noon, 中午 around noon, 傍晚, 晚上 after noon.
_HALVES: dict[DayHalf, str] = {
    "am": (
        "am a.m. 上午 凌晨 清晨 早上 午前 오전 새벽 SA ص صباحًا ق.ظ पूर्वाह्न πμ ÖÖ de. PD vorm."
        " vm. fm. ap. PG לפנה״צ ก่อนเที่ยง পূর্বাহ্ণ முற்பகல் ጥዋት дп dop. قبل‌ازظهر"
    ),
    "pm": (
        "pm p.m. 下午 傍晚 晚上 午後 午后 오후 CH م مساءً ب.ظ अपराह्न μμ ÖS du. MD nachm. nm. em."
        " ip. PTG אחה״צ หลังเที่ยง অপরাহ্ণ பிற்பகல் ከሰዓት пп odp. بعدازظهر"
    ),
    "noon": "中午",
}


def _half_key(word: str) -> str:
    folded = nfkc(plain_text(word)).casefold()
    return "".join(char for char in folded if char.isalpha() or unicodedata.combining(char))


_HALF_OF: dict[str, DayHalf] = {}
for _half, _words in _HALVES.items():
    for _word in _words.split():
        _HALF_OF[_half_key(_word)] = _half


def parse_day_half(word: str) -> DayHalf | None:
    """Return the half of the day that a word names, or None for any other word.

    >>> parse_day_half("p. m."), parse_day_half("上午"), parse_day_half("often")
    ('pm', 'am', None)
    """
    return _HALF_OF.get(_half_key(word))


def to_24_hours(hour: int, half: DayHalf | None) -> int | None:
    """Return the hour of the 24-hour clock, or None where there is no such hour.

    Real exports write both 12:08 a.m. and 00:08 a.m., and some keep the word beside hours above
    twelve; both are accepted.

    >>> to_24_hours(12, "am"), to_24_hours(3, "pm"), to_24_hours(24, None)
    (0, 15, None)
    """
    if half is not None and hour <= 12:
        if half == "noon":
            # 中午 runs from eleven to two.
            return hour + 12 if hour <= 2 else hour
        hour = hour % 12 + (12 if half == "pm" else 0)
    return hour if 0 <= hour <= 23 else None


# ---- dates

# The Buddhist era of Thai phones is 543 years ahead; no other calendar in use has years above 2400.
_BUDDHIST_FROM, _BUDDHIST_AHEAD = 2400, 543
# Years of two digits: 70 to 99 belong to the last century, whose mail and calls a company may still
# have; the others belong to this one.
_CENTURY_PIVOT = 70


def full_year(digits: str) -> int:
    """Return the Gregorian year of a written year of two or four digits.

    >>> full_year("26"), full_year("99"), full_year("2569")
    (2026, 1999, 2026)
    """
    year = int(digits)
    if len(digits) <= 2:
        return year + (1900 if year >= _CENTURY_PIVOT else 2000)
    return year - _BUDDHIST_AHEAD if year > _BUDDHIST_FROM else year


def parse_date(parts: tuple[str, str, str], order: DateOrder) -> date | None:
    """Return the date that three numbers name in this order, or None if there is no such day.

    >>> parse_date(("13", "2", "26"), DateOrder.DMY), parse_date(("13", "2", "26"), DateOrder.MDY)
    (datetime.date(2026, 2, 13), None)
    """
    first, second, third = parts
    if order is DateOrder.YMD:
        year, month, day = first, second, third
    elif order is DateOrder.MDY:
        month, day, year = first, second, third
    else:
        day, month, year = first, second, third
    # A month or day of three or four digits is a year: the order is another one.
    if len(month) > 2 or len(day) > 2 or len(year) == 3:
        return None
    try:
        return date(full_year(year), int(month), int(day))
    except ValueError:
        return None


# ---- time zones


def to_utc(
    local: datetime, zone: tzinfo, not_before: datetime | None = None, near: datetime | None = None
) -> datetime | None:
    """Return the UTC instant of a local time, or None outside the supported years.

    In the hour that a clock change repeats, the first pass is taken, unless it lies before
    `not_before` and the second does not, or the second is closer to `near`. A time that a clock
    change skips is read with the offset before the change.
    """
    # Outside of these years the conversion itself may overflow.
    if not 1969 <= local.year <= 2200:
        return None
    chosen = first = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    second = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    # In a skipped hour `second` is the earlier one; only a repeated hour is ambiguous.
    if second > first:
        if near is not None:
            chosen = min(first, second, key=lambda moment: abs(moment - near))
        elif not_before is not None and first < not_before <= second:
            chosen = second
    return chosen if in_range(chosen) else None


def rfc3339(moment: datetime) -> str:
    """Return a UTC instant as RFC 3339 text with Z, with as many decimals as it has.

    >>> rfc3339(datetime(2026, 11, 1, 9, 30, tzinfo=UTC))
    '2026-11-01T09:30:00Z'
    """
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def seconds_between(start: datetime, end: datetime) -> float:
    """Return the seconds from start to end."""
    return (end - start) / timedelta(seconds=1)

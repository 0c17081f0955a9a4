"""Read dates as programs write them in the language of their users, not as RFC 5322 says."""

from __future__ import annotations

import re
from typing import NamedTuple

from pipeline.mail.mime.date_words import month_of_numeral, month_of_word
from pipeline.text.zone_names import ZONE_MINUTES

_TIME = re.compile(
    r"(?<![\d:])(\d{1,2})\s{0,3}:\s{0,3}(\d{2})(?:\s{0,3}:\s{0,3}(\d{2}))?(?:[.,]\d{1,9})?(?!\d)"
)
# Dotted or lettered times count only where none has a colon, and outside the date.
_OTHER_TIME = re.compile(
    r"(?<![\d.])(\d{1,2})[.](\d{2})(?:[.](\d{2}))?(?![\d.]\d)"
    r"|(?<!\d)(\d{1,2})\s?(?:[hH]|[时時点點시]\s?)(\d{2})?(?:[分분]\s?(\d{2})?)?"
)
_PM = re.compile(r"\b[pP]\.?\s?[mM]\b|下午|晚上|午後|오후")
_AM = re.compile(r"\b[aA]\.?\s?[mM]\b|上午|凌晨|早上|午前|오전")
_YEAR_FIRST = re.compile(
    r"(?<!\d)(\d{4})\s?[-/.年년]\s?(\d{1,2})\s?[-/.月월]\s?(\d{1,2})(?!\d)[日일.]?"
)
_DAY_FIRST = re.compile(r"(?<!\d)(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4})(?!\d)")
_WITH_SLASHES = re.compile(r"(?<!\d)(\d{1,2})[/-](\d{1,2})[/-](\d{4})(?!\d)")
_MONTH_NUMERAL = re.compile(
    r"(\d{1,2}|[一二三四五六七八九十]{1,2})\s?[月월]|\b(?:thg|tháng)\s?(\d{1,2})"
)
_WORD = re.compile(r"[^\W\d_]+")
_NUMBER = re.compile(r"(?<!\d)\d{1,4}(?!\d)")
_HALVES = r"(?>\s{0,9}(?:[ap]\.?\s?m\b\.?)?\s{0,9}(?:Uhr\b|hrs?\b|h\b|часов|ч\.)?)"
# What stands behind the time: an offset, or a word that is no month.
_ZONE = re.compile(
    _HALVES + r"\s{0,9}[(\[]?(?:(?:GMT|UTC|UT|Z)?\s{0,3}([+\-−–])\s?(\d{1,2})(?::?(\d{2}))?(?!\d)"
    r"|([A-Za-z][A-Za-z/_]{0,39})\b)",
    re.IGNORECASE,
)


class WrittenDate(NamedTuple):
    """The fields of a date; `offset_min` is None without a zone, and where `zone_unknown`."""

    year: int
    month: int
    day: int
    hour: int
    minute: int
    second: int
    offset_min: int | None
    zone_unknown: bool


def read_written_date(text: str) -> WrittenDate | None:
    """Read a date with a time in one of many languages; None where a part is missing or unclear.

    >>> read_written_date("So., 15 Nov. 2026 22:50:55 GMT+08:00")[:7]
    (2026, 11, 15, 22, 50, 55, 480)
    """
    dates = (_YEAR_FIRST.search(text), _DAY_FIRST.search(text), _WITH_SLASHES.search(text))
    numeric = next(filter(None, dates), None)
    time = _TIME.search(text)
    if time is None:
        rest = text if numeric is None else _blank(text, numeric.span())
        time = _OTHER_TIME.search(rest)
    if time is None:
        return None
    hour, minute, second = _clock(time, text)
    rest = _blank(text, time.span())
    offset, zone_unknown, end = _zone(text, time.end())
    rest = _blank(rest, (time.end(), end))
    day = _numeric_date(numeric) if numeric is not None else _worded_date(rest)
    if day is None:
        return None
    return WrittenDate(*day, hour, minute, second, offset, zone_unknown)


def _blank(text: str, span: tuple[int, int]) -> str:
    """Return a text with a range blanked out; offsets stay."""
    return text[: span[0]] + " " * (span[1] - span[0]) + text[span[1] :]


def _clock(time: re.Match[str], text: str) -> tuple[int, int, int]:
    hour, minute, second = (int(number or 0) for number in _three(time))
    if _PM.search(text) and hour < 12:
        hour += 12
    elif hour == 12 and _AM.search(text):
        hour = 0
    return hour, minute, second


def _three(match: re.Match[str]) -> tuple[str | None, ...]:
    groups = match.groups()
    return groups[:3] if groups[0] is not None else groups[3:]


def _zone(text: str, at: int) -> tuple[int | None, bool, int]:
    """Return the offset in minutes, whether an unknown zone is named, and where the zone ends."""
    zone = _ZONE.match(text, at)
    if zone is None:
        return None, False, at
    sign, hours, minutes, name = zone.groups()
    if sign:
        offset = int(hours) * 60 + int(minutes or 0)
        return (offset if sign == "+" else -offset), False, zone.end()
    known = ZONE_MINUTES.get(name.upper())
    if known is not None:
        return known, False, zone.end()
    # Behind the time of `10:00, 2 nov 2026` stands the date.
    if month_of_word(name) is not None or len(name) < 3:
        return None, False, at
    return None, True, zone.end()


def _numeric_date(match: re.Match[str]) -> tuple[int, int, int] | None:
    first, second, third = map(int, match.groups())
    if match.re is _YEAR_FIRST:
        return first, second, third
    if match.re is _DAY_FIRST:
        return third, second, first
    # Day and month, or month and day: clear only where one of them is no month.
    if first > 12 >= second:
        return third, second, first
    return (third, first, second) if second > 12 >= first else None


def _worded_date(text: str) -> tuple[int, int, int] | None:
    """Return year, month and day of a date with the name of a month."""
    numeral = _MONTH_NUMERAL.search(text)
    month = month_of_numeral(numeral[1] or numeral[2]) if numeral is not None else None
    if numeral is not None and month is not None:
        span = numeral.span()
    else:
        # A weekday may look like a month (martes, mardi); it stands before the month.
        found = [(month_of_word(word[0]), word.span()) for word in _WORD.finditer(text)]
        named = [(value, span) for value, span in found if value is not None]
        if not named:
            return None
        month, span = named[-1]
    numbers = [(match[0], match.start()) for match in _NUMBER.finditer(_blank(text, span))]
    years = [(digits, start) for digits, start in numbers if len(digits) == 4]
    days = [(digits, start) for digits, start in numbers if len(digits) <= 2]
    if len(years) != 1 or len(days) != 1:
        return None
    return int(years[0][0]), month, int(days[0][0])

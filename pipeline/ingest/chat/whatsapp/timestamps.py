"""Parses the timestamp at the start of each message of a WhatsApp export."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from pipeline.ingest.local_times import (
    DIRECTION_MARKS,
    DateOrder,
    parse_date,
    parse_day_half,
    plain_text,
    to_24_hours,
)

# A timestamp has up to some forty characters with its direction marks; only so much of a line is
# looked at.
TIMESTAMP_CHARS = 80

_OPENING = re.compile(rf"[{DIRECTION_MARKS}\s]*")
# Android writes `date, time - `. A dash inside a date has no blanks around it.
_DASH = re.compile(
    rf"(?<![{DIRECTION_MARKS}])[{DIRECTION_MARKS}]*+\s[{DIRECTION_MARKS}]*+"
    rf"[-–][{DIRECTION_MARKS}]*+(?:\s[{DIRECTION_MARKS}]*+|$)"
)

_DATE = (
    r"(?P<a>\d{1,4}) ?(?P<s1>[./年년-]) ?(?P<b>\d{1,2}) ?(?P<s2>[./月월-]) ?(?P<c>\d{1,4})"
    # Korean and Hungarian dates end in a dot, Chinese, Japanese and Korean ones in 日 or 일,
    # Bulgarian ones in г.
    r"(?: ?(?:\.|日|일|г\.?))?"
)
_CLOCK = (
    # Canada's French writes 9 h 05 min 10 s.
    r"(?P<before>[^\d\s,:]{1,12}?)? ?(?P<hour>\d{1,2})(?:[:.時时h]| h) ?(?P<minute>\d{2})"
    r"(?:(?:[:.分]| min) ?(?P<second>\d{2}))?(?:[分秒]| min\b| s\b)?"
    r"(?: ?(?P<after>[^\d,:]{1,14}))?"
)
# Words between date and time: Finnish klo, German um, English at, French à, Portuguese às, Spanish
# a las, Russian в, Croatian u …
_LINK = r"(?:klo|kl\.?|um|at|à|a las|às|alle|ore|в|о|у|u|om|saat|lúc|pukul|ob|v|o)"
_BETWEEN = rf"(?:[,،、] ?| |(?=\D))(?:{_LINK} )?"
_DATE_FIRST = re.compile(rf"{_DATE}{_BETWEEN}{_CLOCK}", re.IGNORECASE)
_TIME_FIRST = re.compile(rf"{_CLOCK}{_BETWEEN}{_DATE}", re.IGNORECASE)
# Eras in front of a year: Japan's Reiwa and Heisei, whose first year is 元, and the Republic of
# China's. A year of three digits is Taiwan's.
_ERA_STARTS = {"令和": 2018, "R": 2018, "平成": 1988, "H": 1988, "民國": 1911, "民国": 1911}
_ERA_YEAR = re.compile(
    r"(?P<era>令和|平成|R|H|民國|民国)\s?(?P<year>元|\d{1,3})(?=\s?[年/.-])|(?P<roc>1\d\d)(?=[年/.-])"
)
# Words for the era, and Thai "o'clock", which say nothing that the digits do not.
_ERA_WORDS = re.compile(r"\s?(?:พ\.ศ\.|ค\.ศ\.|\bBE\b|\bAD\b|น\.|เวลา)")
# WhatsApp began in 2009, the Buddhist year 2552. A year of two digits from 52 on is a Buddhist one.
_BUDDHIST_SHORT = 52
_PAIRS = {("年", "月"), ("년", "월"), ("/", "/"), (".", "."), ("-", "-")}


Style = Literal["bracket", "dash", "colon"]


@dataclass(frozen=True, slots=True)
class TimestampFormat:
    """What all timestamps of an export have in common.

    A line whose timestamp has another format is text that somebody pasted. `style` is how the
    timestamp ends: `[…]` on iOS, ` - ` on Android, `: ` before 2017. `long_year` is where four
    digits are.
    """

    style: Style
    separator: str
    date_first: bool
    with_seconds: bool
    twelve_hours: bool
    long_year: Literal["first", "last", "none"]


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A timestamp whose date order is not decided yet; the text starts at `end`.

    `marked` means that a direction mark is in front of it: iOS puts one before the bracket of lines
    about media.
    """

    parts: tuple[str, str, str]
    hour: int
    minute: int
    second: int
    format: TimestampFormat
    end: int
    marked: bool

    def local(self, order: DateOrder) -> datetime | None:
        """Return the local time, or None if there is no such day in this order."""
        day = self.date(order)
        return (
            datetime(day.year, day.month, day.day, self.hour, self.minute, self.second)
            if day
            else None
        )

    def date(self, order: DateOrder) -> date | None:
        """Return the date in this order; four digits in front are always a year."""
        order = DateOrder.YMD if self.format.long_year == "first" else order
        at = 0 if order is DateOrder.YMD else 2
        year = self.parts[at]
        if len(year) == 2 and int(year) >= _BUDDHIST_SHORT:
            year = f"25{year}"
        first, second, third = self.parts
        return parse_date((year, second, third) if at == 0 else (first, second, year), order)


def may_start_with_timestamp(data: bytes) -> bool:
    """Return whether a line may start with a timestamp: a cheap test of its first byte.

    >>> may_start_with_timestamp(b"[02/11/2026, 09:14] Ann: hi"), may_start_with_timestamp(b"hello")
    (True, False)
    """
    first = data[:1]
    return (
        first == b"["
        or first.isdigit()
        or first >= b"\x80"
        or first in (b" ", b"a", b"p", b"A", b"P", b"R", b"H")
    )


def parse_timestamp(line: str) -> Timestamp | None:
    """Return the timestamp at the start of a line, or None.

    >>> parse_timestamp("2026/11/2 09:03 - Ann: hi").parts
    ('2026', '11', '2')
    >>> parse_timestamp("hello") is None
    True
    """
    head = line[:TIMESTAMP_CHARS]
    opening = _OPENING.match(head)
    begin = opening.end() if opening else 0
    marked = any(char in DIRECTION_MARKS and char != "\ufeff" for char in head[:begin])
    if head[begin : begin + 1] == "[":
        close = head.find("]", begin)
        end = close + 2 if head[close + 1 : close + 2] == " " else close + 1
        return _parse(head[begin + 1 : close], "bracket", end, marked) if close > 0 else None
    if dash := _DASH.search(head, begin):
        return _parse(head[begin : dash.start()], "dash", dash.end(), marked)
    colon = head.find(": ", begin)
    return _parse(head[begin:colon], "colon", colon + 2, marked) if colon > 0 else None


def _gregorian(match: re.Match[str]) -> str:
    if match["roc"]:
        return str(int(match["roc"]) + _ERA_STARTS["民國"])
    year = 1 if match["year"] == "元" else int(match["year"])
    return str(_ERA_STARTS[match["era"]] + year)


def _parse(text: str, style: Style, end: int, marked: bool) -> Timestamp | None:
    header = _ERA_WORDS.sub("", plain_text(text)).strip()
    if era := _ERA_YEAR.match(header):
        header = f"{_gregorian(era)}{header[era.end() :]}"
    match, date_first = _DATE_FIRST.fullmatch(header), True
    if not match:
        match, date_first = _TIME_FIRST.fullmatch(header), False
    if not match or (match["s1"], match["s2"]) not in _PAIRS:
        return None
    word = (match["before"] or match["after"] or "").strip()
    half = parse_day_half(word) if word else None
    if (match["before"] and match["after"]) or (word and half is None):
        return None
    hour = to_24_hours(int(match["hour"]), half)
    minute, second = int(match["minute"]), int(match["second"] or 0)
    if hour is None or minute > 59 or second > 60:
        return None
    parts = (match["a"], match["b"], match["c"])
    long_year: Literal["first", "last", "none"] = (
        "first" if len(parts[0]) > 2 else "last" if len(parts[2]) > 2 else "none"
    )
    format_ = TimestampFormat(
        style, match["s1"], date_first, match["second"] is not None, half is not None, long_year
    )
    # Some phones write a leap second as 60, which Python's datetime does not have.
    return Timestamp(parts, hour, minute, min(second, 59), format_, end, marked)

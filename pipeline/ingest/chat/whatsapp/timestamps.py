"""The stamp that begins each message of a WhatsApp export, in every form that phones write it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from pipeline.ingest.local_times import MARKS, DateOrder, date_of, half_of_day, hour_of_day, plain

# A stamp has up to some forty characters, marks among them; what stands later in a line is never
# one.
STAMP_CHARS = 80

_OPENING = re.compile(rf"[{MARKS}\s]*")
# Android writes `date, time - `; a dash inside a date has no blanks around it.
_DASH = re.compile(rf"[{MARKS}]*\s[{MARKS}]*[-–][{MARKS}]*(?:\s[{MARKS}]*|$)")

_DATE = (
    r"(?P<a>\d{1,4}) ?(?P<s1>[./年년-]) ?(?P<b>\d{1,2}) ?(?P<s2>[./月월-]) ?(?P<c>\d{1,4})"
    # Korean and Hungarian dates end in a dot, Chinese, Japanese and Korean ones in 日 or 일,
    # Bulgarian ones in г.
    r"(?: ?(?:\.|日|일|г\.?))?"
)
_CLOCK = (
    r"(?P<before>[^\d\s,:]{1,12}?)? ?(?P<hour>\d{1,2})[:.時时h] ?(?P<minute>\d{2})(?:[:.分]"
    r" ?(?P<second>\d{2}))?[分秒]?"
    r"(?: ?(?P<after>[^\d,:]{1,14}))?"
)
# Words between date and time: Finnish klo, German um, English at, French à, Portuguese às, Spanish
# a las, Russian в, Croatian u …
_LINK = r"(?:klo|kl\.?|um|at|à|a las|às|alle|ore|в|о|у|u|om|saat|lúc|pukul|ob|v|o)"
_BETWEEN = rf"(?:[,،、] ?| |(?=\D))(?:{_LINK} )?"
_DATE_FIRST = re.compile(rf"{_DATE}{_BETWEEN}{_CLOCK}", re.IGNORECASE)
_TIME_FIRST = re.compile(rf"{_CLOCK}{_BETWEEN}{_DATE}", re.IGNORECASE)
_PAIRS = {("年", "月"), ("년", "월"), ("/", "/"), (".", "."), ("-", "-")}


Style = Literal["bracket", "dash", "colon"]


@dataclass(frozen=True, slots=True)
class Shape:
    """What all stamps of one export share; a line of another shape is text that somebody pasted.

    `style` is how the stamp ends: `[…]` on iOS, ` - ` on Android, `: ` before 2017. `long_year`
    tells where four digits stand.
    """

    style: Style
    separator: str
    date_first: bool
    with_seconds: bool
    twelve_hours: bool
    long_year: Literal["first", "last", "none"]


@dataclass(frozen=True, slots=True)
class Stamp:
    """A stamp before the order of its date is known; `end` is where the text after it begins,
    `marked` whether a mark stands before it.

    iOS puts a direction mark before the bracket where the line is about media.
    """

    parts: tuple[str, str, str]
    hour: int
    minute: int
    second: int
    shape: Shape
    end: int
    marked: bool

    def local(self, order: DateOrder) -> datetime | None:
        """Return the local time, or None where there is no such day in this order."""
        day = self.date(order)
        return (
            datetime(day.year, day.month, day.day, self.hour, self.minute, self.second)
            if day
            else None
        )

    def date(self, order: DateOrder) -> date | None:
        """Return the date in this order; four digits in front are always a year."""
        return date_of(self.parts, DateOrder.YMD if self.shape.long_year == "first" else order)


def may_begin(data: bytes) -> bool:
    """Return whether a line of bytes may begin with a stamp: a bracket, a digit, a half of the day
    or a mark; cheap.
    """
    first = data[:1]
    return (
        first == b"["
        or first.isdigit()
        or first >= b"\x80"
        or first in (b" ", b"a", b"p", b"A", b"P")
    )


def read_stamp(line: str) -> Stamp | None:
    """Return the stamp that a line begins with, or None."""
    head = line[:STAMP_CHARS]
    opening = _OPENING.match(head)
    begin = opening.end() if opening else 0
    marked = any(char in MARKS and char != "\ufeff" for char in head[:begin])
    if head[begin : begin + 1] == "[":
        close = head.find("]", begin)
        end = close + 2 if head[close + 1 : close + 2] == " " else close + 1
        return _parse(head[begin + 1 : close], "bracket", end, marked) if close > 0 else None
    if dash := _DASH.search(head, begin):
        return _parse(head[begin : dash.start()], "dash", dash.end(), marked)
    colon = head.find(": ", begin)
    return _parse(head[begin:colon], "colon", colon + 2, marked) if colon > 0 else None


def _parse(text: str, style: Style, end: int, marked: bool) -> Stamp | None:
    header = plain(text).strip()
    match, date_first = _DATE_FIRST.fullmatch(header), True
    if not match:
        match, date_first = _TIME_FIRST.fullmatch(header), False
    if not match or (match["s1"], match["s2"]) not in _PAIRS:
        return None
    word = (match["before"] or match["after"] or "").strip()
    half = half_of_day(word) if word else None
    if (match["before"] and match["after"]) or (word and half is None):
        return None
    hour = hour_of_day(int(match["hour"]), half)
    minute, second = int(match["minute"]), int(match["second"] or 0)
    if hour is None or minute > 59 or second > 60:
        return None
    parts = (match["a"], match["b"], match["c"])
    long_year: Literal["first", "last", "none"] = (
        "first" if len(parts[0]) > 2 else "last" if len(parts[2]) > 2 else "none"
    )
    shape = Shape(
        style, match["s1"], date_first, match["second"] is not None, half is not None, long_year
    )
    # A leap second is written as 60 by some phones; no clock of ours has one.
    return Stamp(parts, hour, minute, min(second, 59), shape, end, marked)

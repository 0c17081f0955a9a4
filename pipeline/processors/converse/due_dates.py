"""Finds when something is due: "tomorrow afternoon", "within 3 business days", 下周一, 24小时内.

Text is normalized (`sentences.normalize`), and read relative to the instant at which it was
said, in the zone of the business hours. A day without a time is due at its close of business,
for nobody can be reached after that. "Before Friday" is due when Friday's business opens; 周五之前
is due at its close, for in Chinese usage the day is included. Of several times the first that has
not passed is the due time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from pipeline.processors.converse.business_hours import DAY_MINUTES, BusinessHours, from_ms, to_ms
from pipeline.processors.converse.clock_times import (
    ClockMention,
    ClockTime,
    DayPart,
    PartMention,
    clock_mentions,
    part_mentions,
    without_bits,
)
from pipeline.processors.converse.day_words import DayMention, day_mentions
from pipeline.processors.converse.number_words import EN_NUMBERS, parse_number

_HOUR_MS = 3_600_000
# What "at once", "later" and "soon" mean without a time: an hour, half a working day, a working
# day of eight hours.
AT_ONCE_MS, LATER_MS, SOON_MS = _HOUR_MS, 4 * _HOUR_MS, 8 * _HOUR_MS

_EN_NUMBER = rf"\d{{1,3}}|{'|'.join(EN_NUMBERS)}"
_EN_SPAN = re.compile(
    rf"\b(?P<lead>within|in|after|over|under|next|max(?:imum)?|less than|no more than|up"
    rf" to)\s+(?:the\s+)?(?:next\s+|about\s+|around\s+)?"
    rf"(?:a\s+)?(?:(?:{_EN_NUMBER})\s*(?:-|–|to|or)\s*)?(?P<number>{_EN_NUMBER}|half"
    r" an)\s*(?:of\s+)?(?:full\s+)?"
    r"(?P<business>business\s+|working\s+|work\s+)?(?P<unit>minutes?|mins?|hours?|hrs?|h|days?|weeks?)\b"
)
_EN_NEXT_HOUR = re.compile(r"\bthe (?:next |coming )?hour\b")
_EN_BARE_SPAN = re.compile(
    rf"\b(?:(?:{_EN_NUMBER})\s*(?:-|–|to)\s*)?(?P<number>{_EN_NUMBER})\s*(?P<business>business|working)\s+(?P<unit>hours?|days?)\b"
)
_ZH_NUMBER = r"\d{1,3}|[一二两三四五六七八九十几]{1,3}|半"
_ZH_SPAN = re.compile(
    rf"(?:(?:{_ZH_NUMBER})\s*(?:-|–|~|到|至))?(?P<number>{_ZH_NUMBER})\s*+(?:个\s*+)?(?P<half>半)?(?P<unit>分钟|分鐘|小时|钟头|工作日|工作天|营业日|天|日(?!\d|期)|周|星期|礼拜|月)"
    r"\s*(?:半)?(?P<tail>之内|以内|内|左右|之后|以后|后|时间)"
)
# "At 3 in the afternoon": what may lie between a clock time and the part of the day that it is in.
_GLUE = re.compile(r"[\s,]*+(?:in the|in|at|的)?\s*+")
_EN_AT_ONCE = re.compile(
    r"\b(right away|immediately|straight ?away|at once|in a"
    r" (?:moment|minute|second|bit)|momentarily|right now|now)\b"
)
_EN_SHORTLY = re.compile(r"\b(shortly|later|in a while|in due course)\b")
_ZH_AT_ONCE = re.compile(r"马上|立即|立刻|这就|现在就?|第一时间|即刻|立马")
_ZH_LATER = re.compile(r"稍后|稍候|晚点|晚些|迟点|一会|待会|等会|等下|等一下|过会|回头|随后")


@dataclass(frozen=True, slots=True)
class DueTime:
    """When something is due, UTC, and whether the text states that time or it is assumed."""

    at: datetime
    stated: bool


@dataclass(frozen=True, slots=True)
class _Moment:
    """What a text names of one time: a local day, a part of it, a clock time; `end` in the text.

    `before` means before the day or part begins.
    """

    end: int
    day: date | None = None
    part: DayPart | None = None
    clock: ClockTime | None = None
    before: bool = False


def due_time(words: str, said_at: datetime, hours: BusinessHours) -> DueTime:
    """Return when a normalized text is due that was said at an instant; never before that instant.

    >>> from zoneinfo import ZoneInfo
    >>> from pipeline.processors.converse.business_hours import default_hours
    >>> said_at = datetime.fromisoformat("2026-11-19T10:00:00Z")
    >>> print(due_time("i will call you tomorrow.", said_at, default_hours(ZoneInfo("UTC"))).at)
    2026-11-20 18:00:00+00:00
    """
    local = said_at.astimezone(hours.zone)
    # One space each, so that no pattern has to read runs of them.
    words = without_bits(_EN_NEXT_HOUR.sub("1 hour", " ".join(words.split())))
    span = _EN_SPAN.search(words) or _EN_BARE_SPAN.search(words) or _ZH_SPAN.search(words)
    if span is not None:
        return DueTime(_after_span(span, said_at, hours), True)
    dues = [_resolve(moment, said_at, hours) for moment in _moments(words, local.date(), hours)]
    if not dues:
        return DueTime(_default_due(words, said_at, hours), False)
    # "Today" said after closing time means until midnight; a time that is still in the past was
    # meant for another day.
    return DueTime(next((due for due in dues if due > said_at), _midnight(said_at, hours)), True)


def _after_span(span: re.Match[str], said_at: datetime, hours: BusinessHours) -> datetime:
    unit, groups = span["unit"], span.groupdict()
    number = 0.5 if groups["number"] in ("half an", "半") else float(parse_number(groups["number"]))
    number += 0.5 if groups.get("half") else 0
    if unit in ("工作日", "工作天", "营业日") or (
        groups.get("business") and unit.startswith("day")
    ):
        start = said_at.astimezone(hours.zone).date()
        return max(hours.closing(hours.working_day_after(start, round(number))), said_at)
    if groups.get("business"):
        return hours.after(said_at, number * 3_600)
    if unit.startswith(("min", "分")):
        return said_at + timedelta(minutes=number)
    if unit[0] in "h小钟":
        return said_at + timedelta(hours=number)
    days = {"w": 7, "周": 7, "星": 7, "礼": 7, "月": 30}.get(unit[0], 1)
    return said_at + timedelta(days=days * number)


def _moments(words: str, today: date, hours: BusinessHours) -> Iterator[_Moment]:
    """Yield the times that a text names, in its order."""
    mentions: list[DayMention | PartMention | ClockMention] = [
        *day_mentions(words, today, hours),
        *part_mentions(words),
        *clock_mentions(words),
    ]
    current: _Moment | None = None
    for mention in sorted(mentions, key=lambda mention: mention.start):
        joined = None if current is None else _joined(current, mention, words, today)
        if joined is None:
            if current is not None:
                yield current
            joined = _joined(_Moment(mention.start), mention, words, today)
        current = joined
    if current is not None:
        yield current


def _joined(
    moment: _Moment, mention: DayMention | PartMention | ClockMention, words: str, today: date
) -> _Moment | None:
    """Return a moment with what else is said of it; None if that is about another one."""
    if isinstance(mention, ClockMention):
        if moment.clock is not None:
            return None
        return replace(moment, end=mention.end, clock=mention.clock)
    if isinstance(mention, DayMention):
        if moment.day not in (None, mention.day):
            return None
        before = moment.before or mention.before
        return replace(moment, end=mention.end, day=mention.day, before=before)
    day = moment.day if mention.days is None else today + timedelta(days=mention.days)
    # "At 3, for we close in the evening" is not about the evening.
    apart = moment.clock is not None and not _GLUE.fullmatch(words, moment.end, mention.start)
    if moment.part is not None or moment.day not in (None, day) or apart:
        return None
    before = moment.before or mention.before
    return replace(moment, end=mention.end, day=day, part=mention.part, before=before)


def _resolve(moment: _Moment, said_at: datetime, hours: BusinessHours) -> datetime:
    """Return the instant of a moment, which may have passed if its day is named."""
    today = said_at.astimezone(hours.zone).date()
    day = today if moment.day is None else moment.day
    due = _on_day(moment, day, hours)
    if due > said_at:
        return due
    if moment.day is None:
        return _on_day(moment, today + timedelta(days=1), hours)
    clock = moment.clock
    if clock is not None and moment.part is None and not clock.exact:
        # "Today at 8", said at ten in the morning.
        return hours.at(day, clock.alone + DAY_MINUTES // 2)
    return due


def _on_day(moment: _Moment, day: date, hours: BusinessHours) -> datetime:
    part = moment.part
    if moment.clock is not None:
        return hours.at(day, part.place(moment.clock) if part else moment.clock.alone)
    if part is None and moment.before:
        spans = hours.spans(day)
        return hours.at(day, spans[0][0] if spans else 0)
    hour = None if part is None else part.begin if moment.before else part.end
    return hours.closing(day) if hour is None else hours.at(day, hour * 60)


def _midnight(said_at: datetime, hours: BusinessHours) -> datetime:
    """Return the end of the local day of an instant."""
    return hours.at(said_at.astimezone(hours.zone).date(), DAY_MINUTES)


def _default_due(words: str, said_at: datetime, hours: BusinessHours) -> datetime:
    if _EN_AT_ONCE.search(words) or _ZH_AT_ONCE.search(words):
        wait = AT_ONCE_MS
    elif _EN_SHORTLY.search(words) or _ZH_LATER.search(words):
        wait = LATER_MS
    else:
        wait = SOON_MS
    return from_ms(hours.due_ms(to_ms(said_at), wait))

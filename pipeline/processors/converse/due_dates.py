"""Finds when something is due: "tomorrow afternoon", "within 3 business days", 下周一, 24小时内.

Text is normalized (`sentences.normalize`), and read relative to the instant at which it was
said, in the zone of the business hours. A day without a time is due at its close of business,
for nobody can be reached after that. "Before Friday" is due when Friday's business opens; 周五之前
is due at its close, for in Chinese usage the day is included.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from pipeline.processors.converse.business_hours import DAY_MINUTES, BusinessHours, from_ms, to_ms

_HOUR_MS = 3_600_000
# What "at once", "later" and "soon" mean without a time: an hour, half a working day, a working
# day of eight hours.
AT_ONCE_MS, LATER_MS, SOON_MS = _HOUR_MS, 4 * _HOUR_MS, 8 * _HOUR_MS

_EN_NUMBER_WORDS = (
    "zero|a an one|two couple|three few|four|five|six|seven|eight|nine|ten|eleven|twelve"
)
_EN_NUMBERS = {
    word: number
    for number, words in enumerate(_EN_NUMBER_WORDS.split("|"))
    for word in words.split()
}
_ZH_DIGITS = {char: number for number, char in enumerate("零一二三四五六七八九")} | {
    "两": 2,
    "几": 3,
}
_EN_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_EN_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

_EN_MONTH = "|".join(f"{month}[a-z]*" for month in _EN_MONTHS)
_EN_NUMBER = rf"\d{{1,3}}|{'|'.join(_EN_NUMBERS)}"
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
_EN_DAY = re.compile(
    r"\b(?P<word>today|tonight|tomorrow|the day after tomorrow|end of (?:the"
    r" )?(?:business|day)|eod|cob|close of business"
    r"|end of (?:the |this )?week|eow|this week|next week|end of (?:the |this )?month)\b"
    rf"|\b(?:(?P<which>next|this|coming)\s+)?(?P<weekday>{'|'.join(_EN_DAYS)}|(?:mon|tues?|wed|thu(?:rs)?|fri|sat|sun)(?=[\s,.]|$))\b"
    rf"|\b(?P<month>{_EN_MONTH})\.?\s+(?P<dom>\d{{1,2}})(?:st|nd|rd|th)?\b"
    rf"|\b(?P<dom2>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?(?P<month2>{_EN_MONTH})\b"
    r"|\b(?P<iso>\d{4}-\d{2}-\d{2})\b"
)
_EN_BEFORE = re.compile(r"\bbefore\s+(?:the\s+)?(?:next\s+|this\s+|coming\s+)?$")
_EN_CLOCK = re.compile(
    r"\b(?P<h>\d{1,2})(?:[:.](?P<m>\d{2}))?\s*(?P<half>am|pm)\b|\b(?P<h24>\d{1,2}):(?P<m24>\d{2})\b|\b(?P<noon>noon|midday)\b"
    r"|\b(?:at|by|before|until|around)\s+(?P<bare>\d{1,2})(?:\s*o'?clock\b|(?=[\s,.!]*(?:$|on"
    r" |tomorrow|today|\w*day\b)))"
)
_EN_PART = re.compile(
    r"\b(first thing|(?:early |late )?(?:morning|afternoon|evening)|lunch ?time|lunch|tonight)\b"
)
_EN_PART_ENDS = {
    "first thing": 10,
    "early morning": 10,
    "morning": 12,
    "lunch": 14,
    "afternoon": 18,
    "evening": 21,
    "tonight": 21,
}
_EN_AT_ONCE = re.compile(
    r"\b(right away|immediately|straight ?away|at once|in a"
    r" (?:moment|minute|second|bit)|momentarily|right now|now)\b"
)
_EN_SHORTLY = re.compile(r"\b(shortly|later|in a while|in due course)\b")

_ZH_NUMBER = r"\d{1,3}|[一二两三四五六七八九十几]{1,3}|半"
_ZH_SPAN = re.compile(
    rf"(?:(?:{_ZH_NUMBER})\s*(?:-|–|~|到|至))?(?P<number>{_ZH_NUMBER})\s*个?\s*(?P<half>半)?(?P<unit>分钟|分鐘|小时|钟头|工作日|工作天|营业日|天|日(?!\d|期)|周|星期|礼拜|月)"
    r"\s*(?:半)?(?P<tail>之内|以内|内|左右|之后|以后|后|时间)"
)
_ZH_DAY = re.compile(
    r"(?P<word>今天|今日|今儿|今晚|今早|当天|当日|明天|明日|明儿|明早|明晚|后天|大后天|本周内|这周内|本周之内|下班前|月底|月末)"
    r"|(?P<which>下下|下个?|这个?|本)?(?:周|星期|礼拜)(?P<weekday>[一二三四五六日天末])"
    r"|(?P<week>下周|下个?星期|下个?礼拜|本周|这周)"
    r"|(?:(?P<month>\d{1,2})月)?(?P<dom>\d{1,2})(?:日(?!内|之内)|号(?!码|线|楼|店|房|机|门|院|单))"
)
_ZH_CLOCK = re.compile(
    r"(?P<h>\d{1,2}|[一二两三四五六七八九十]{1,3})\s*(?:点|时(?!间|候|段|内))(?:钟|整)?(?P<half>半)?(?P<m>\d{1,2}|[一二三四五十]{1,3})?分?"
    r"|(?<!\d)(?P<h24>\d{1,2}):(?P<m24>\d{2})(?!\d)"
)
_ZH_PART = re.compile(
    r"(?P<part>凌晨|一早|清早|早上|上午|明早|今早|中午|午后|下午|傍晚|晚上|今晚|明晚|晚间|下班)"
)
_ZH_PART_ENDS = dict.fromkeys(("一早", "清早", "早上", "明早", "今早"), 10)
_ZH_PART_ENDS |= {"凌晨": 6, "上午": 12, "中午": 13, "午后": 18, "下午": 18, "下班": 18, "傍晚": 19}
_ZH_PART_ENDS |= dict.fromkeys(("晚上", "今晚", "明晚", "晚间"), 21)
_ZH_AFTERNOON = frozenset({"中午", "午后", "下午", "傍晚", "晚上", "今晚", "明晚", "晚间"})
_ZH_AT_ONCE = re.compile(r"马上|立即|立刻|这就|现在就?|第一时间|即刻|立马")
_ZH_LATER = re.compile(r"稍后|稍候|晚点|晚些|迟点|一会|待会|等会|等下|等一下|过会|回头|随后")


@dataclass(frozen=True, slots=True)
class DueTime:
    """When something is due, UTC, and whether the text states that time or it is assumed."""

    at: datetime
    stated: bool


@dataclass(frozen=True, slots=True)
class _Moment:
    """A local day and a minute of it, as far as a text names them; or the opening of the day."""

    day: date | None = None
    minute: int | None = None
    opening: bool = False


def due_time(words: str, said_at: datetime, hours: BusinessHours) -> DueTime:
    """Return when a normalized text is due that was said at an instant; never before that instant.

    >>> from zoneinfo import ZoneInfo
    >>> from pipeline.processors.converse.business_hours import default_hours
    >>> said_at = datetime.fromisoformat("2026-11-19T10:00:00Z")
    >>> print(due_time("i will call you tomorrow.", said_at, default_hours(ZoneInfo("UTC"))).at)
    2026-11-20 18:00:00+00:00
    """
    local = said_at.astimezone(hours.zone)
    words = _EN_NEXT_HOUR.sub("1 hour", words)
    span = _EN_SPAN.search(words) or _EN_BARE_SPAN.search(words) or _ZH_SPAN.search(words)
    if span is not None:
        return DueTime(_after_span(span, said_at, hours), True)
    day = _day(words, local.date(), hours)
    minute = _minute(words)
    if day is not None or minute is not None:
        return DueTime(
            _resolve(
                _Moment(day.day, minute, day.opening) if day else _Moment(minute=minute),
                said_at,
                hours,
            ),
            True,
        )
    return DueTime(_default_due(words, said_at, hours), False)


def _after_span(span: re.Match[str], said_at: datetime, hours: BusinessHours) -> datetime:
    unit, groups = span["unit"], span.groupdict()
    number = 0.5 if groups["number"] in ("half an", "半") else float(_number(groups["number"]))
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


def _number(word: str) -> int:
    if word.isascii() and word.isdigit():
        return int(word)
    if word in _EN_NUMBERS:
        return _EN_NUMBERS[word]
    if "十" in word:
        tens, _, ones = word.partition("十")
        return (_ZH_DIGITS.get(tens, 1) if tens else 1) * 10 + (
            _ZH_DIGITS.get(ones, 0) if ones else 0
        )
    return _ZH_DIGITS[word[-1]]


def _day(words: str, today: date, hours: BusinessHours) -> _Moment | None:
    match = _EN_DAY.search(words)
    if match is not None:
        day = _english_day(match, today, hours)
        before = _EN_BEFORE.search(words, 0, match.start()) is not None
        return _Moment(day, opening=before) if day else None
    match = _ZH_DAY.search(words)
    day = _chinese_day(match, today, hours) if match else None
    return _Moment(day) if day else None


def _english_day(match: re.Match[str], today: date, hours: BusinessHours) -> date | None:
    if word := match["word"]:
        if word.startswith("the day after"):
            return today + timedelta(days=2)
        if "month" in word:
            return _month_end(today)
        if word == "next week":
            return _week_end(today + timedelta(days=7), hours)
        if "week" in word or word == "eow":
            return _week_end(today, hours)
        return today + timedelta(days=1) if word == "tomorrow" else today
    if weekday := match["weekday"]:
        return _weekday(
            today,
            [name[:3] for name in _EN_DAYS].index(weekday[:3]),
            {"next": 1}.get(match["which"], 0),
        )
    if iso := match["iso"]:
        return _dated(*map(int, iso.split("-")))
    month = _EN_MONTHS.index((match["month"] or match["month2"])[:3]) + 1
    return _coming(today, month, int(match["dom"] or match["dom2"]))


def _chinese_day(match: re.Match[str], today: date, hours: BusinessHours) -> date | None:
    if word := match["word"]:
        if word.startswith("明"):
            return today + timedelta(days=1)
        if word in ("后天", "大后天"):
            return today + timedelta(days=len(word))
        if word.startswith("月"):
            return _month_end(today)
        return _week_end(today, hours) if "周" in word else today
    if weekday := match["weekday"]:
        weeks = {"下": 1, "下个": 1, "下下": 2}.get(match["which"] or "", 0)
        number = {"末": 6, "天": 6, "日": 6}.get(weekday) or _ZH_DIGITS.get(weekday, 1) - 1
        return _weekday(today, number, weeks, this=bool(match["which"]) and weeks == 0)
    if week := match["week"]:
        return _week_end(today + timedelta(days=7 if week.startswith("下") else 0), hours)
    if match["month"]:
        return _coming(today, int(match["month"]), int(match["dom"]))
    return _coming_day(today, int(match["dom"]))


def _weekday(today: date, weekday: int, weeks: int, this: bool = False) -> date:
    """Return the next date of a weekday.

    With `weeks` it is so many weeks after the current week, as in 下周一 and next Monday.
    """
    monday = today - timedelta(days=today.weekday())
    if weeks or this:
        return monday + timedelta(days=7 * weeks + weekday)
    return today + timedelta(days=(weekday - today.weekday() - 1) % 7 + 1)


def _week_end(day: date, hours: BusinessHours) -> date:
    """Return the last open day of a day's week."""
    sunday = day + timedelta(days=6 - day.weekday())
    open_days = (sunday - timedelta(days=back) for back in range(7))
    return next((candidate for candidate in open_days if hours.is_open_on(candidate)), sunday)


def _month_end(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


def _dated(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _coming(today: date, month: int, day: int) -> date | None:
    this_year = _dated(today.year, month, day)
    return (
        this_year if this_year is None or this_year >= today else _dated(today.year + 1, month, day)
    )


def _coming_day(today: date, day: int) -> date | None:
    """Return the next day of that number in a month."""
    this_month = _dated(today.year, today.month, day)
    if this_month is not None and this_month >= today:
        return this_month
    following = _month_end(today) + timedelta(days=1)
    return _dated(following.year, following.month, day)


def _minute(words: str) -> int | None:
    if match := _EN_CLOCK.search(words):
        return _english_minute(match)
    part = _ZH_PART.search(words)
    if match := _ZH_CLOCK.search(words):
        return _chinese_minute(match, part["part"] if part else "")
    if part:
        return _ZH_PART_ENDS[part["part"]] * 60
    if match := _EN_PART.search(words):
        return next(hour for name, hour in _EN_PART_ENDS.items() if name in match[0]) * 60
    return None


def _english_minute(match: re.Match[str]) -> int | None:
    if match["noon"]:
        return 12 * 60
    if match["h"]:
        hour = int(match["h"]) % 12 + (12 if match["half"] == "pm" else 0)
        return _in_day(hour, int(match["m"] or 0))
    if match["h24"]:
        return _in_day(int(match["h24"]), int(match["m24"]))
    return _in_day(_business_hour(int(match["bare"])), 0)


def _chinese_minute(match: re.Match[str], part: str) -> int | None:
    if match["h24"]:
        hour, minute = int(match["h24"]), int(match["m24"])
    else:
        hour = _number(match["h"])
        minute = 30 if match["half"] else _number(match["m"]) if match["m"] else 0
    if part in _ZH_AFTERNOON and hour < 11:
        hour += 12
    return _in_day(hour if part else _business_hour(hour), minute)


def _business_hour(hour: int) -> int:
    """Return the hour of the day that a bare hour means: nobody calls back at three at night."""
    return hour + 12 if 1 <= hour <= 7 else hour


def _in_day(hour: int, minute: int) -> int | None:
    return hour * 60 + minute if hour <= 24 and minute < 60 else None


def _resolve(moment: _Moment, said_at: datetime, hours: BusinessHours) -> datetime:
    today = said_at.astimezone(hours.zone).date()
    if moment.day is None:
        due = hours.at(today, moment.minute or 0)
        return due if due > said_at else hours.at(today + timedelta(days=1), moment.minute or 0)
    if moment.minute is not None:
        due = hours.at(moment.day, moment.minute)
    elif moment.opening:
        spans = hours.spans(moment.day)
        due = hours.at(moment.day, spans[0][0] if spans else 0)
    else:
        due = hours.closing(moment.day)
    # "Today" said after closing time means until midnight; a time that is still in the past was
    # meant for another day.
    if due <= said_at:
        due = hours.at(max(moment.day, today), DAY_MINUTES)
    return due


def _default_due(words: str, said_at: datetime, hours: BusinessHours) -> datetime:
    if _EN_AT_ONCE.search(words) or _ZH_AT_ONCE.search(words):
        wait = AT_ONCE_MS
    elif _EN_SHORTLY.search(words) or _ZH_LATER.search(words):
        wait = LATER_MS
    else:
        wait = SOON_MS
    return from_ms(hours.due_ms(to_ms(said_at), wait))

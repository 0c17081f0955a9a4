"""Finds the days that a text names: "tomorrow", "next Tuesday", 12月5日, 下周一, 月底."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from pipeline.processors.converse.business_hours import BusinessHours

_EN_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_EN_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ZH_DAYS = "一二三四五六日"

# No promise is further away; the calendar ends at the year 9999.
_MAX_YEARS = 100

_EN_MONTH = "|".join(f"{month}[a-z]*" for month in _EN_MONTHS)
_EN_DAY = re.compile(
    r"\b(?P<word>today|tomorrow|(?:the )?day after tomorrow"
    r"|(?:end of (?:the |this )?|this )week|eow|next week"
    r"|end of (?:the |this )?month|(?:end of )?next month|end of (?:the |this )?year)\b"
    rf"|\b(?:(?P<which>next|this|coming)\s)?(?P<weekday>{'|'.join(_EN_DAYS)}|(?:mon|tues?|wed|thu(?:rs)?|fri|sat|sun)(?=[\s,.]|$))\b"
    rf"|\b(?P<month>{_EN_MONTH})\.?\s(?P<dom>\d{{1,2}})(?:st|nd|rd|th)?\b"
    rf"|\b(?P<dom2>\d{{1,2}})(?:st|nd|rd|th)?\s(?:of\s)?(?P<month2>{_EN_MONTH})\b"
    r"|\b(?P<iso>\d{4}-\d{2}-\d{2})\b"
)
_EN_BEFORE = re.compile(r"\bbefore (?:the )?(?:next |this |coming )?$")
# As long as what `_EN_BEFORE` matches.
_BEFORE_CHARS = len(" before the coming ")
_ZH_DAY = re.compile(
    r"(?P<word>今[天日儿]|当[天日]|明[天日儿]|大?后天|[本这]周之?内|下个?月(?:底|末)|月[底末]|(?<![去明前后])年[底末])"
    r"|(?P<which>下下|下个?|这个?|本)?(?:周|星期|礼拜)(?P<weekday>[一二三四五六日天末])"
    r"|(?P<week>下周|下个?星期|下个?礼拜|本周|这周)"
    r"|(?:(?P<month>\d{1,2})月|(?P<next_month>下个?月))?(?P<dom>\d{1,2})(?:日(?!内|之内)|号(?!码|线|楼|店|房|机|门|院|单))"
)


@dataclass(frozen=True, slots=True)
class DayMention:
    """A day in a text, and where it is; `before`: what is due is due before the day begins."""

    start: int
    end: int
    day: date
    before: bool = False


def day_mentions(words: str, today: date, hours: BusinessHours) -> Iterator[DayMention]:
    """Yield the days that a normalized text names on a local day, English ones first.

    "Before Friday" is before Friday begins; 周五之前 is by its end.
    """
    for match in _EN_DAY.finditer(words):
        if day := _english_day(match, today, hours):
            start = match.start()
            before = _EN_BEFORE.search(words, max(start - _BEFORE_CHARS, 0), start) is not None
            yield DayMention(start, match.end(), day, before)
    for match in _ZH_DAY.finditer(words):
        if day := _chinese_day(match, today, hours):
            yield DayMention(match.start(), match.end(), day)


def _english_day(match: re.Match[str], today: date, hours: BusinessHours) -> date | None:
    if word := match["word"]:
        if "day after" in word:
            return today + timedelta(days=2)
        if "month" in word:
            return _month_end(_month_end(today) + timedelta(days=1) if "next" in word else today)
        if "year" in word:
            return date(today.year, 12, 31)
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
        day = _dated(*map(int, iso.split("-")))
        return None if day is None or abs(day.year - today.year) > _MAX_YEARS else day
    month = _EN_MONTHS.index((match["month"] or match["month2"])[:3]) + 1
    return _coming(today, month, int(match["dom"] or match["dom2"]))


def _chinese_day(match: re.Match[str], today: date, hours: BusinessHours) -> date | None:
    if word := match["word"]:
        if word.startswith("明"):
            return today + timedelta(days=1)
        if word in ("后天", "大后天"):
            return today + timedelta(days=len(word))
        if word.startswith("年"):
            return date(today.year, 12, 31)
        if "月" in word:
            return _month_end(_month_end(today) + timedelta(days=1) if "下" in word else today)
        return _week_end(today, hours) if "周" in word else today
    if weekday := match["weekday"]:
        weeks = {"下": 1, "下个": 1, "下下": 2}.get(match["which"] or "", 0)
        number = 6 if weekday in "末天" else _ZH_DAYS.index(weekday)
        return _weekday(today, number, weeks, this=bool(match["which"]) and weeks == 0)
    if week := match["week"]:
        return _week_end(today + timedelta(days=7 if week.startswith("下") else 0), hours)
    if match["month"]:
        return _coming(today, int(match["month"]), int(match["dom"]))
    if match["next_month"]:
        following = _month_end(today) + timedelta(days=1)
        return _dated(following.year, following.month, int(match["dom"]))
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

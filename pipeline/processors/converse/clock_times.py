"""Finds parts of a day and clock times: "this evening at 8", "close of business", 今晚八点, 下班前.

A part of a day decides which half of the day a following clock time lies in; without a part a clock
time without am or pm lies in business hours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.processors.converse.number_words import parse_number

# Nobody calls back at three at night: until this hour a bare hour is one of the afternoon.
_LAST_BARE_PM = 7


@dataclass(frozen=True, slots=True)
class DayPart:
    """A part of a day, in hours of the day.

    A clock time in it is one of the twelve hours from `clock_from`: so "tonight at 1" is an hour
    after midnight. What is due in a part is due at its end; an end of None is the close of
    business.
    """

    clock_from: int
    begin: int
    end: int | None

    def place(self, clock: ClockTime) -> int:
        """Return the minute of the day of a clock time in this part; above 1440 on the next day."""
        hour = clock.hour
        if not clock.exact:
            hour = self.clock_from + (hour - self.clock_from) % 12
        elif hour + 24 < self.clock_from + 12:
            hour += 24
        return hour * 60 + clock.minute


@dataclass(frozen=True, slots=True)
class ClockTime:
    """A clock time; `exact` if it has am or pm, or can only be one of 24 hours.

    >>> EVENING.place(ClockTime(8, 30, exact=False)) == 20 * 60 + 30
    True
    """

    hour: int
    minute: int
    exact: bool

    @property
    def alone(self) -> int:
        """The minute of the day without a part of a day beside it."""
        bare_pm = not self.exact and 1 <= self.hour <= _LAST_BARE_PM
        return (self.hour + 12 * bare_pm) * 60 + self.minute


@dataclass(frozen=True, slots=True)
class PartMention:
    """A part of a day in a text: where it is, and how many days from today if it says so.

    `before`: what is due must be done before the part begins.
    """

    start: int
    end: int
    part: DayPart
    days: int | None
    before: bool


@dataclass(frozen=True, slots=True)
class ClockMention:
    """A clock time in a text, and where it is."""

    start: int
    end: int
    clock: ClockTime


SMALL_HOURS = DayPart(0, 0, 6)
FIRST_THING = DayPart(1, 9, 10)
EARLY_MORNING = DayPart(0, 6, 10)
MORNING = DayPart(1, 9, 12)
LUNCH = DayPart(10, 12, 14)
NOON_HOURS = DayPart(10, 12, 13)
AFTERNOON = DayPart(12, 12, 18)
DUSK = DayPart(12, 17, 19)
EVENING = DayPart(16, 18, 21)
CLOSING = DayPart(12, 18, None)

_EN_PARTS = {
    "first thing": FIRST_THING,
    "early morning": EARLY_MORNING,
    "morning": MORNING,
    "lunch": LUNCH,
    "afternoon": AFTERNOON,
    "evening": EVENING,
    "night": EVENING,
}
_EN_PART = re.compile(
    # Greetings, and what was before today.
    r"(?<!\bgood )(?<!\bgreat )(?<!\bnice )(?<!\blovely )(?<!\bpleasant )(?<!\byour )"
    r"(?<!\blast )(?<!\byesterday )"
    r"\b(?:(?P<this>this )?(?P<part>first thing|(?:early |late )?(?:morning|afternoon|evening)"
    r"|lunch ?time|lunch|(?:(?<=\bat )|(?<=day )|(?<=tomorrow ))night)|(?P<tonight>tonight)"
    r"|(?P<closing>(?:end|close) of (?:the )?(?:business|(?:working |work |business )?day|play)"
    r"|eod|eob|cob))\b"
)
_EN_BEFORE = re.compile(r"\bbefore (?:the )?$")
# As long as what `_EN_BEFORE` matches.
_BEFORE_CHARS = len(" before the ")

_ZH_PARTS = (
    dict.fromkeys(("一早", "一大早", "清早", "清晨", "早晨", "早上", "早"), EARLY_MORNING)
    | dict.fromkeys(("凌晨", "半夜"), SMALL_HOURS)
    | dict.fromkeys(("上午", "午前"), MORNING)
    | dict.fromkeys(("中午", "正午", "午间"), NOON_HOURS)
    | dict.fromkeys(("下午", "午后"), AFTERNOON)
    | dict.fromkeys(("傍晚", "黄昏"), DUSK)
    | dict.fromkeys(
        ("晚上", "晚间", "晚", "夜里", "夜间", "夜晚", "深夜", "下班后", "下班以后", "下班之后"),
        EVENING,
    )
    | dict.fromkeys(("下班", "收工", "打烊"), CLOSING)
)
# Longer names first, so that none hides another; 早 and 晚 alone need a clock time.
_ZH_PART_NAMES = "|".join(sorted((name for name in _ZH_PARTS if name[1:]), key=len, reverse=True))
_ZH_HOUR = r"\d{1,2}|[零一二两三四五六七八九十]{1,3}"
_ZH_PART = re.compile(
    # 今晚, 明早: a day and its part; 周五晚8点: only before a clock time, for 晚点 means later.
    rf"(?P<bound>[今明当])(?P<bound_part>早上?|晨|晚上?|夜)(?![些点])"
    rf"|(?P<short>[早晚])(?=\s?(?:{_ZH_HOUR})(?:[点时:]))"
    # Greetings (晚上好), and what was before today.
    rf"|(?<!昨)(?<![昨前][天日晚])"
    rf"(?P<part>{_ZH_PART_NAMES})(?!好|愉快|快乐)"
)
_ZH_PART_BEFORE = re.compile("[之以]?前")

_EN_HOUR_WORD = "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
_EN_CLOCK = re.compile(
    r"\b(?P<h>\d{1,2})(?:[:.](?P<m>\d{2}))?\s?(?P<half>am|pm)\b"
    r"|\b(?P<h24>\d{1,2}):(?P<m24>\d{2})\b"
    r"|\b(?P<noon>noon|midday)\b|\b(?P<midnight>midnight)\b"
    rf"|\b(?P<oclock>\d{{1,2}}|{_EN_HOUR_WORD})\s?o'?clock\b"
    # Not "one by one".
    rf"|\b(?:by(?= \d)|at|before|until|around) (?P<bare>\d{{1,2}}|{_EN_HOUR_WORD})\b"
    r"(?:\.(?P<bare_m>\d{2}))?"
    # "At 5" is a time at the end, and before what goes on a sentence about a time.
    r"(?=[\s,.!]{0,8}(?:$|(?:on|in the|at night|this|tonight|today|tomorrow|next|sharp|and|or"
    r"|but|so|with|if|when|because|for|about|please)\b|(?:mon|tues|wednes|thurs|fri|satur|sun)day\b))"
)
_ZH_TENS = "[二三四五]?十[一二三四五六七八九]?"
_ZH_CLOCK = re.compile(
    rf"(?<![\d.])(?P<h>{_ZH_HOUR})\s?(?:点|时(?!间|候|段|内))(?:钟|整)?"
    rf"(?:(?P<half>半)|(?P<quarter>[一三])刻"
    rf"|(?P<m>\d{{1,2}}(?![\d个名位天小])|{_ZH_TENS}|零[一二三四五六七八九]|[一二三四五六七八九](?=分)))?分?"
    r"|(?<!\d)(?P<h24>\d{1,2}):(?P<m24>\d{2})(?!\d)"
)
# 一点 is one o'clock beside a part of a day, a day or what makes a clock time of it; else "a bit".
_ZH_BIT = re.compile(
    r"(?<![上午早晨里间夜天日号在到于至十])(?<![今明]晚)(?<![周期拜][一二三四五六])一点"
    r"(?![钟整半左\d零十]|[一三]刻|[一二三四五六七八九]分|[二三四五]十|[之以]?[前后])"
)


def without_bits(words: str) -> str:
    """Return a text of the same length in which 一点 stands only where it is one o'clock.

    >>> without_bits("晚一点联系您"), without_bits("下午一点联系您")
    ('晚一些联系您', '下午一点联系您')
    """
    return _ZH_BIT.sub("一些", words)


def part_mentions(words: str) -> Iterator[PartMention]:
    """Yield the parts of a day that a normalized text names, English ones first."""
    for match in _EN_PART.finditer(words):
        days = 0 if match["this"] or match["tonight"] else None
        if match["closing"]:
            yield PartMention(match.start(), match.end(), CLOSING, days, before=False)
            continue
        name = match["part"] or "night"
        part = next(part for key, part in _EN_PARTS.items() if key in name)
        start = match.start()
        before = _EN_BEFORE.search(words, max(start - _BEFORE_CHARS, 0), start) is not None
        yield PartMention(start, match.end(), part, days, before)
    for match in _ZH_PART.finditer(words):
        name = match["bound_part"] or match["short"] or match["part"]
        part = EVENING if name == "夜" else EARLY_MORNING if name == "晨" else _ZH_PARTS[name]
        days = int(match["bound"] == "明") if match["bound"] else None
        # 周五前 includes Friday, and 晚上前 the evening; 中午前 is before noon.
        before = part is NOON_HOURS and _ZH_PART_BEFORE.match(words, match.end()) is not None
        yield PartMention(match.start(), match.end(), part, days, before)


def clock_mentions(words: str) -> Iterator[ClockMention]:
    """Yield the clock times that a normalized text names, English ones first."""
    for pattern, parse in ((_EN_CLOCK, _english_clock), (_ZH_CLOCK, _chinese_clock)):
        for match in pattern.finditer(words):
            clock = parse(match)
            if clock.hour <= 24 and clock.minute < 60:
                yield ClockMention(match.start(), match.end(), clock)


def _english_clock(match: re.Match[str]) -> ClockTime:
    if match["noon"] or match["midnight"]:
        return ClockTime(12 if match["noon"] else 24, 0, exact=True)
    if match["h"]:
        hour = int(match["h"]) % 12 + (12 if match["half"] == "pm" else 0)
        return ClockTime(hour, int(match["m"] or 0), exact=True)
    if match["h24"]:
        return _of_digits(match["h24"], int(match["m24"]))
    return _of_digits(match["oclock"] or match["bare"], int(match["bare_m"] or 0))


def _chinese_clock(match: re.Match[str]) -> ClockTime:
    if match["h24"]:
        return _of_digits(match["h24"], int(match["m24"]))
    if match["quarter"]:
        minute = 15 * parse_number(match["quarter"])
    else:
        minute = 30 if match["half"] else parse_number(match["m"]) if match["m"] else 0
    return _of_digits(match["h"], minute)


def _of_digits(word: str, minute: int) -> ClockTime:
    """Return a clock time without am or pm; 03:30, 0:30 and 15:30 can mean one time only."""
    hour = parse_number(word)
    return ClockTime(hour, minute, exact=word.startswith("0") or not 1 <= hour <= 12)

"""When a text says that something is due: parts of a day, clock times and days together."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.processors.converse.business_hours import default_hours, parse_hours
from pipeline.processors.converse.due_dates import due_time
from pipeline.processors.converse.sentences import normalize

ZONE = ZoneInfo("Asia/Shanghai")
HOURS = default_hours(ZONE)
# A Thursday, ten in the morning.
SAID = datetime(2026, 11, 19, 10, 0, tzinfo=ZONE)

# One time a line, as month-day hour:minute, and the words that say it.
STATED = """
11-19 18:00 by close of business
11-19 18:00 before end of day
11-20 18:00 by close of business tomorrow
11-20 18:00 before close of business tomorrow
11-20 18:00 tomorrow by close of play
11-20 18:00 EOD tomorrow
11-20 18:00 by EOD Friday
11-20 18:00 end of day Friday
11-23 18:00 by the end of the business day on Monday
11-20 17:30 close of business tomorrow, at 5:30
11-19 20:00 this evening at 8
11-19 20:00 at 8 this evening
11-19 20:00 at eight this evening, I will call
11-19 20:30 this evening at 8:30
11-19 21:00 tonight at 9
11-19 21:00 at 9 tonight
11-19 21:00 tonight at 21:00
11-20 00:00 tonight at 12
11-20 00:00 tonight at midnight
11-20 01:00 tonight at 1
11-20 00:30 tonight at 00:30
11-20 02:00 tonight at 2 am
11-20 00:00 by midnight
11-20 21:00 tomorrow night
11-20 22:00 tomorrow night at 10
11-20 15:00 tomorrow afternoon at 3
11-20 15:00 tomorrow at 3 in the afternoon
11-20 15:00 at 3 tomorrow afternoon
11-20 15:00 tomorrow at 3 and bring the papers
11-20 09:00 tomorrow at 9 in the morning
11-20 07:00 tomorrow morning at 7
11-20 07:00 tomorrow at 07:00
11-20 15:30 tomorrow at 3:30
11-20 15:30 tomorrow afternoon, at 3.30
11-20 09:00 nine o'clock tomorrow
11-20 12:00 noon tomorrow
11-20 12:00 tomorrow by noon
11-20 12:00 before lunch tomorrow
11-20 13:00 tomorrow over lunch at 1
11-19 12:00 before this afternoon
11-20 12:00 tomorrow at 12
11-19 20:00 today at 8
11-20 09:00 at 9
11-19 15:00 at 3, and we close in the evening
11-20 15:00 good morning, tomorrow at 3
11-20 18:00 we tried last night, and will again tomorrow
11-21 18:00 day after tomorrow
12-31 18:00 by the end of next month
11-20 09:00 this morning at 9 or tomorrow morning at 9
11-19 18:00 今天下班前
11-20 18:00 明天下班前
11-20 18:00 周五下班前
11-20 18:00 明天收工前
11-20 17:30 明天下班前，5点半
11-19 21:00 今天下班后
11-19 20:00 今晚8点
11-19 20:00 今晚八点
11-19 20:00 今天晚上八点
11-19 20:30 今晚8:30
11-19 20:15 今晚八点一刻
11-19 20:05 今晚八点零五分
11-19 20:17 今晚八点十七
11-20 00:00 今晚12点
11-20 00:00 今晚零点
11-20 01:00 今天晚上一点
11-20 01:00 今晚一点
11-20 21:00 明晚
11-20 19:00 明晚7点
11-20 09:00 明早9点
11-20 07:00 明早7点
11-20 10:00 明早
11-20 02:00 明天凌晨两点
11-20 13:00 明天中午
11-20 12:00 明天中午前
11-20 12:00 明天中午12点
11-20 13:00 明天中午一点
11-20 15:00 明天下午3点
11-20 13:00 明天一点
11-20 14:45 明天下午两点三刻
11-20 20:00 周五晚8点
11-20 08:00 周五早8点
11-19 20:00 今天8点
11-19 18:00 早上好，今天下午
11-20 18:00 晚上好，明天
11-20 18:00 昨天下午没接通，明天再联系
11-20 18:00 明天晚一点
11-20 18:00 明天晚点
11-20 18:00 需要一点时间，明天
12-31 18:00 下个月底
12-05 18:00 下个月5号
12-31 18:00 年底前
"""


def due(text: str, said_at: datetime = SAID) -> tuple[str, bool]:
    result = due_time(normalize(text), said_at, HOURS)
    return result.at.astimezone(ZONE).strftime("%m-%d %H:%M"), result.stated


@pytest.mark.parametrize("line", STATED.strip().splitlines())
def test_days_parts_and_clock_times_are_read_together(line: str) -> None:
    expected, text = line[:11], line[12:]
    assert due(text) == (expected, True)


@pytest.mark.parametrize("text", ["晚一点联系您", "好的，有一点问题", "one by one", "good evening"])
def test_what_is_no_time_states_none(text: str) -> None:
    assert not due(text)[1]


def test_the_close_of_business_is_that_of_the_hours() -> None:
    hours = parse_hours(("Mon-Thu 8-17", "Fri 8-13"), ZONE)
    for text in ("end of day tomorrow", "明天下班前"):
        at = due_time(text, SAID, hours).at
        assert at.astimezone(ZONE) == datetime(2026, 11, 20, 13, tzinfo=ZONE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("this evening", "11-20 00:00"),
        ("this morning", "11-20 00:00"),
        ("today or tomorrow", "11-20 18:00"),
        ("今晚9点", "11-20 00:00"),
        ("今天下午或明天上午", "11-20 12:00"),
    ],
)
def test_a_time_of_today_that_has_passed_is_by_midnight(text: str, expected: str) -> None:
    assert due(text, SAID.replace(hour=22)) == (expected, True)


_ENGLISH = (
    "tonight|tomorrow|before|at 8|by|noon|12 am|midnight|feb 29|end of day|0001-01-01|9999-12-31"
    "|in the morning|this evening|25:70"
)
_CHINESE = "今晚|八点|明天|下班前|12点|一点|半|零点|31号|周日|前|凌晨"
WORDS = st.lists(st.sampled_from(f"{_ENGLISH}|{_CHINESE}".split("|")), max_size=6).map(" ".join)


@given(WORDS, st.integers(0, 23))
@example("今天 24:00", 23)
def test_no_due_time_lies_before_the_promise(text: str, hour: int) -> None:
    said_at = SAID.replace(hour=hour)
    assert due_time(normalize(text), said_at, HOURS).at > said_at

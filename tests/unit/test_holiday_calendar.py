"""Holiday calendars: public holidays are closed, working weekends (调休) are open."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from pipeline.processors.converse.business_hours import parse_hours
from pipeline.processors.converse.holiday_calendar import calendar_days


def test_a_chinese_week_of_national_day() -> None:
    days = calendar_days("CN")
    hours = parse_hours(
        ("Mon-Fri 09:00-18:00",), ZoneInfo("Asia/Shanghai"), days.holidays, days.working_days
    )
    assert not hours.is_open_on(date(2026, 10, 1))
    assert not hours.is_open_on(date(2026, 10, 7))
    assert hours.is_open_on(date(2026, 10, 10)), "a Saturday that makes up for the 7th"
    assert hours.working_day_after(date(2026, 9, 30), 1) == date(2026, 10, 8)


def test_regions_have_holidays_of_their_own() -> None:
    epiphany = date(2026, 1, 6)
    assert epiphany in calendar_days("DE-BY").holidays
    assert epiphany not in calendar_days("DE-BE").holidays


@pytest.mark.parametrize("name", ["XX", "DE-QQ", "", "China"])
def test_an_unknown_calendar_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match="no known holiday calendar"):
        calendar_days(name)

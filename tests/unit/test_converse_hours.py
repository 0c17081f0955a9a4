"""Business time: additive, monotone, invertible, right when clocks change and on holidays."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.processors.converse.business_hours import BusinessHours, default_hours, parse_hours

SHANGHAI, BERLIN, NEW_YORK = (
    ZoneInfo("Asia/Shanghai"),
    ZoneInfo("Europe/Berlin"),
    ZoneInfo("America/New_York"),
)
HOURS = (
    default_hours(SHANGHAI),
    parse_hours(("Mon-Sun 00:00-24:00",), BERLIN),
    parse_hours(
        ("Mon-Fri 22:00-06:00", "Sat 10:00-12:00, 13:00-15:30"), NEW_YORK, [date(2026, 12, 25)]
    ),
    parse_hours(
        ("周一至周五 9:00-18:00",),
        SHANGHAI,
        [date(2026, 10, 1), date(2026, 10, 2)],
        [date(2026, 10, 10)],
    ),
)
hours = st.sampled_from(HOURS)
instants = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
)
seconds = st.integers(0, 60 * 24 * 3_600)


@given(hours, instants, instants, instants)
def test_elapsed_time_adds_up(hours: BusinessHours, a: datetime, b: datetime, c: datetime) -> None:
    assert hours.elapsed(a, b) + hours.elapsed(b, c) == pytest.approx(hours.elapsed(a, c), abs=1e-6)


@given(hours, instants, instants)
def test_elapsed_time_lies_between_zero_and_real_time(
    hours: BusinessHours, a: datetime, b: datetime
) -> None:
    first, last = sorted((a, b))
    assert 0 <= hours.elapsed(first, last) <= (last - first).total_seconds()


@given(hours, instants, seconds)
@settings(deadline=None)
def test_after_is_the_inverse_of_elapsed(
    hours: BusinessHours, start: datetime, wanted: int
) -> None:
    due = hours.after(start, wanted)
    assert hours.elapsed(start, due) == wanted
    assert due >= start
    if wanted:
        assert hours.elapsed(start, due - timedelta(milliseconds=1)) < wanted


@given(hours, instants, seconds, seconds)
@settings(deadline=None)
def test_after_is_additive(hours: BusinessHours, start: datetime, one: int, two: int) -> None:
    assert hours.after(hours.after(start, one), two) == hours.after(start, one + two)


def local(zone: ZoneInfo, *parts: int) -> datetime:
    return datetime(*parts, tzinfo=zone)  # type: ignore[misc,arg-type]


def test_weekends_do_not_count() -> None:
    friday, monday = local(SHANGHAI, 2026, 11, 20, 17), local(SHANGHAI, 2026, 11, 23, 10)
    assert HOURS[0].elapsed(friday, monday) == 2 * 3_600
    assert HOURS[0].after(friday, 2 * 3_600) == monday


def test_holidays_are_closed_and_working_days_open() -> None:
    before, after = local(SHANGHAI, 2026, 9, 30, 17), local(SHANGHAI, 2026, 10, 5, 10)
    assert HOURS[3].elapsed(before, after) == 2 * 3_600
    saturday = local(SHANGHAI, 2026, 10, 10, 9)
    assert HOURS[3].elapsed(saturday, saturday + timedelta(hours=9)) == 9 * 3_600
    assert HOURS[0].elapsed(saturday, saturday + timedelta(hours=9)) == 0


@pytest.mark.parametrize(
    ("day", "length"), [((2026, 3, 29), 23), ((2026, 10, 25), 25), ((2026, 6, 1), 24)]
)
def test_a_day_with_a_clock_change_has_its_real_length(
    day: tuple[int, int, int], length: int
) -> None:
    start = local(BERLIN, *day)
    end = local(BERLIN, *((start + timedelta(days=1)).timetuple()[:3]))
    assert HOURS[1].elapsed(start, end) == length * 3_600


def test_a_night_shift_with_a_clock_change_has_its_real_length() -> None:
    night = local(NEW_YORK, 2026, 3, 6, 22)
    assert HOURS[2].elapsed(night, local(NEW_YORK, 2026, 3, 7, 6)) == 8 * 3_600
    sunday_shift = parse_hours(("Sat 22:00-06:00",), NEW_YORK)
    assert (
        sunday_shift.elapsed(local(NEW_YORK, 2026, 3, 7, 12), local(NEW_YORK, 2026, 3, 8, 12))
        == 7 * 3_600
    )


def test_overlapping_spans_count_once() -> None:
    twice = parse_hours(("Mon 09:00-12:00", "Mon 11:00-13:00"), SHANGHAI)
    assert twice.elapsed(local(SHANGHAI, 2026, 11, 23), local(SHANGHAI, 2026, 11, 24)) == 4 * 3_600


def test_working_days_skip_closed_days() -> None:
    friday = date(2026, 11, 20)
    assert HOURS[0].working_day_after(friday, 0) == friday
    assert HOURS[0].working_day_after(friday, 1) == date(2026, 11, 23)
    assert HOURS[0].working_day_after(date(2026, 11, 21), 0) == date(2026, 11, 23)
    assert HOURS[0].working_day_after(date(2026, 11, 21), 1) == date(2026, 11, 23)
    assert HOURS[3].working_day_after(date(2026, 10, 9), 1) == date(2026, 10, 10)


@pytest.mark.parametrize(
    ("line", "open_days"),
    [
        ("Mon-Fri 9-18", 5),
        ("Fri-Mon 09:00-18:00", 4),
        ("周一到周六 09:00-18:00", 6),
        ("Sat, Sun 10:00-16:00", 2),
        ("星期三 9：00-18：00", 1),
    ],
)
def test_days_are_parsed_in_english_and_chinese(line: str, open_days: int) -> None:
    assert sum(map(bool, parse_hours((line,), SHANGHAI).weekly)) == open_days


@pytest.mark.parametrize("line", ["", "Mon-Fri", "9-18", "Moonday 9-18", "Mon 25:00-26:00"])
def test_an_invalid_line_is_named_in_the_error(line: str) -> None:
    with pytest.raises(ValueError, match=r"is not a (line|span)"):
        parse_hours((line,), SHANGHAI)


def test_hours_without_an_open_day_are_rejected() -> None:
    with pytest.raises(ValueError, match="at least one open day"):
        parse_hours((), SHANGHAI)

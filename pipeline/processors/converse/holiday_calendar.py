"""Public holidays and working weekends of a country or region, from the library `holidays`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

# The library's own tables begin and end about here; days of other years follow the week.
_YEARS = range(1970, 2101)


@dataclass(frozen=True, slots=True)
class CalendarDays:
    """Days that differ from the week: `holidays` are closed, `working_days` are open.

    The working days are weekend days that make up for a holiday (调休).
    """

    holidays: frozenset[date]
    working_days: frozenset[date]


def calendar_days(name: str) -> CalendarDays:
    """Return the days of a calendar: an ISO 3166 country code, or one with its subdivision.

    Raises ValueError for a calendar that the library does not have.

    >>> days = calendar_days("CN")
    >>> date(2026, 10, 1) in days.holidays, date(2026, 10, 10) in days.working_days
    (True, True)
    >>> date(2026, 1, 6) in calendar_days("DE-BY").holidays
    True
    """
    # 60 ms of imports, which only installations with a calendar pay.
    import holidays

    country, _, subdivision = name.strip().upper().partition("-")
    try:
        calendar = holidays.country_holidays(country, subdiv=subdivision or None, years=_YEARS)
    except NotImplementedError as error:
        raise ValueError(
            f"{name!r} is no known holiday calendar: give a country such as CN, or a country and"
            " its region such as DE-BY"
        ) from error
    return CalendarDays(frozenset(calendar), frozenset(calendar.weekend_workdays))

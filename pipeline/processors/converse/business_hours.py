"""Business hours: a weekly schedule in an IANA time zone, and arithmetic in business time."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAY_MINUTES = 1440
# The first and the last year of the history (schemas.types), and one year more for what is due
# then.
_FIRST_YEAR, _LAST_YEAR = 1970, 2201

_DAY_NAMES = (
    ("mon", "monday", "一"),
    ("tue", "tuesday", "二"),
    ("wed", "wednesday", "三"),
    ("thu", "thursday", "四"),
    ("fri", "friday", "五"),
    ("sat", "saturday", "六"),
    ("sun", "sunday", "日", "天"),
)
_DAYS = {name: number for number, names in enumerate(_DAY_NAMES) for name in names}
_LINE = re.compile(r"(?P<days>\D+)(?P<spans>\d.*)$")
_SPAN = re.compile(r"(\d{1,2})(?:[:：](\d{2}))?\s*(?:-|–|~|至|到)\s*(\d{1,2})(?:[:：](\d{2}))?")

Span = tuple[int, int]
"""Minutes of a local day from opening to closing; a closing above 1440 is on the next day."""


@dataclass(frozen=True, slots=True)
class _Table:
    """Openings and closings in order, and the business time before each opening; ms since 1970."""

    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    before: list[int] = field(default_factory=list)

    def add(self, start: int, end: int) -> None:
        # A span that overlaps the one before it (a night shift, a clock set back) counts once.
        start = max(start, self.ends[-1]) if self.ends else start
        if end > start:
            self.before.append(
                self.before[-1] + self.ends[-1] - self.starts[-1] if self.ends else 0
            )
            self.starts.append(start)
            self.ends.append(end)


@dataclass(frozen=True)
class BusinessHours:
    """A weekly schedule (Monday first) in a time zone.

    `holidays` are closed; `working_days` are open although their weekday is closed (调休), with
    the hours of the first open weekday. Business time is real time: on the day that clocks
    change, an hour that is left out does not count, and one that is repeated counts twice.
    Raises ValueError if no day is open.
    """

    weekly: tuple[tuple[Span, ...], ...]
    zone: ZoneInfo
    holidays: frozenset[date] = frozenset()
    working_days: frozenset[date] = frozenset()
    _table: _Table = field(default_factory=_Table, init=False, repr=False, compare=False)
    _years: list[int] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.weekly) != len(_DAY_NAMES) or not any(self.weekly):
            raise ValueError(
                "business hours need at least one open day; add a line such as Mon-Fri 09:00-18:00"
            )

    def spans(self, day: date) -> tuple[Span, ...]:
        """Return the opening hours of a local day; none if it is closed."""
        if day in self.holidays:
            return ()
        if day in self.working_days and not self.weekly[day.weekday()]:
            return next(spans for spans in self.weekly if spans)
        return self.weekly[day.weekday()]

    def is_open_on(self, day: date) -> bool:
        """Return whether a local day has any business hours."""
        return bool(self.spans(day))

    def working_day_after(self, day: date, count: int) -> date:
        """Return the local day that is `count` working days after a day.

        With 0 it is the day itself, or the next open day.
        """
        while not self.is_open_on(day):
            day += timedelta(days=1)
            count = max(count - 1, 0)
        for _ in range(count):
            day += timedelta(days=1)
            while not self.is_open_on(day):
                day += timedelta(days=1)
        return day

    def closing(self, day: date) -> datetime:
        """Return the closing time of a local day, UTC.

        A closed day has the closing time of the first open weekday.
        """
        spans = self.spans(day) or next(spans for spans in self.weekly if spans)
        return self._instant(day, max(end for _, end in spans))

    def at(self, day: date, minute: int) -> datetime:
        """Return the instant of a minute of a local day, UTC."""
        return self._instant(day, minute)

    def clock_ms(self, at_ms: int) -> int:
        """Return the business ms from 1970-01-01 to an instant (ms since 1970, UTC)."""
        table = self._until(at_ms)
        index = bisect_right(table.starts, at_ms) - 1
        if index < 0:
            return 0
        return table.before[index] + min(at_ms, table.ends[index]) - table.starts[index]

    def due_ms(self, at_ms: int, business_ms: int) -> int:
        """Return the first instant so many business ms after an instant.

        With 0 it is the instant itself. Raises OverflowError beyond the history's last year.
        """
        if business_ms <= 0:
            return at_ms
        wanted = self.clock_ms(at_ms) + business_ms
        table = self._table
        while not table.ends or table.before[-1] + table.ends[-1] - table.starts[-1] < wanted:
            self._grow()
        # The last opening before which less than the wanted time had passed.
        index = bisect_right(table.before, wanted - 1) - 1
        return table.starts[index] + wanted - table.before[index]

    def elapsed(self, start: datetime, end: datetime) -> float:
        """Return the business seconds between two aware instants; negative if `end` is first."""
        return (self.clock_ms(to_ms(end)) - self.clock_ms(to_ms(start))) / 1000

    def after(self, start: datetime, seconds: float) -> datetime:
        """Return the first instant, UTC, so many business seconds after an aware instant."""
        return from_ms(self.due_ms(to_ms(start), round(seconds * 1000)))

    def _until(self, at_ms: int) -> _Table:
        table = self._table
        while (not table.ends or table.ends[-1] <= at_ms) and (self._years or [0])[-1] < _LAST_YEAR:
            self._grow()
        return table

    def _grow(self) -> None:
        year = self._years[-1] + 1 if self._years else _FIRST_YEAR
        if year > _LAST_YEAR:
            raise OverflowError(f"business time is not defined beyond the year {_LAST_YEAR}")
        for start, end in sorted(self._opened(year)):
            self._table.add(start, end)
        self._years.append(year)

    def _opened(self, year: int) -> Iterator[tuple[int, int]]:
        day = date(year, 1, 1)
        while day.year == year:
            for start, end in self.spans(day):
                yield to_ms(self._instant(day, start)), to_ms(self._instant(day, end))
            day += timedelta(days=1)

    def _instant(self, day: date, minute: int) -> datetime:
        days, minutes = divmod(minute, DAY_MINUTES)
        local = datetime.combine(
            day + timedelta(days=days), time(minutes // 60, minutes % 60), self.zone
        )
        return local.astimezone(UTC)


def to_ms(moment: datetime) -> int:
    """Return an aware instant as whole milliseconds since 1970, UTC, rounded down.

    >>> to_ms(datetime(1970, 1, 1, 0, 0, 1, 500, tzinfo=UTC))
    1000
    """
    return (moment - _EPOCH) // _MS


def from_ms(at_ms: int) -> datetime:
    """Return milliseconds since 1970 as an instant, UTC.

    >>> print(from_ms(1500))
    1970-01-01 00:00:01.500000+00:00
    """
    seconds, rest = divmod(at_ms, 1000)
    return _EPOCH + timedelta(0, seconds, rest * 1000)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def parse_hours(
    lines: Sequence[str],
    zone: ZoneInfo,
    holidays: Iterable[date] = (),
    working_days: Iterable[date] = (),
) -> BusinessHours:
    """Parse lines such as `Mon-Fri 09:00-12:00, 13:30-18:00` or `周一至周五 9:00-18:00`.

    A closing that is not after its opening is on the next day. Raises ValueError with the line
    that cannot be parsed.

    >>> parse_hours(["Mon-Tue 9-18"], ZoneInfo("UTC")).weekly[:3]
    (((540, 1080),), ((540, 1080),), ())
    """
    week: list[list[Span]] = [[] for _ in _DAY_NAMES]
    for line in lines:
        match = _LINE.match(line)
        days = _days(match["days"].strip()) if match else []
        spans = list(_spans(match["spans"])) if match else []
        if not days or not spans:
            raise ValueError(
                f"{line!r} is not a line of business hours; write it like Mon-Fri 09:00-12:00,"
                " 13:30-18:00"
            )
        for day in days:
            week[day].extend(spans)
    return BusinessHours(
        tuple(tuple(sorted(spans)) for spans in week),
        zone,
        frozenset(holidays),
        frozenset(working_days),
    )


def default_hours(zone: ZoneInfo) -> BusinessHours:
    """Return Monday to Friday, 9 to 18, for texts that name working days if no hours are set."""
    return parse_hours(("Mon-Fri 09:00-18:00",), zone)


def _days(text: str) -> list[int]:
    days: list[int] = []
    for part in re.split(r"[,，、/]|(?<!\s)\s++and\s+", text.casefold()):
        ends = [
            _DAYS.get(re.sub(r"周|週|星期|礼拜|禮拜|[\s.]", "", end))
            for end in re.split(r"-|–|~|至|到|\sto\s", part)
        ]
        if None in ends or len(ends) > 2:
            return []
        first, last = ends[0], ends[-1]
        assert first is not None
        assert last is not None
        days.extend((first + step) % 7 for step in range((last - first) % 7 + 1))
    return days


def _spans(text: str) -> Iterator[Span]:
    for match in _SPAN.finditer(text):
        start = int(match[1]) * 60 + int(match[2] or 0)
        end = int(match[3]) * 60 + int(match[4] or 0)
        if start >= DAY_MINUTES or end > DAY_MINUTES:
            raise ValueError(
                f"{match[0]!r} is not a span of a day; write times from 00:00 to 24:00"
            )
        yield (start, end if end > start else end + DAY_MINUTES)

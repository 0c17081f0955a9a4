"""Tells in which order an export writes day, month and year, from its stamps alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from pipeline.ingest.chat.whatsapp.timestamps import Shape, Stamp
from pipeline.ingest.local_times import DateOrder
from pipeline.ingest.port import OptionError

# An export is in order of time but for its first line (the encryption notice bears the day it was
# shown) and clocks that were set. Read in the wrong order it jumps back at every turn of a month:
# this many times more often is no accident.
_FEWER_JUMPS = 4
# Days taken for years stretch a month of chat over decades.
_LONGER = 10
# So many dates more that are impossible are not text that somebody pasted.
_SURE = 10
# WhatsApp was founded in 2009.
_FIRST_YEAR = 2009


@dataclass(slots=True)
class _Reading:
    """How one order fares: stamps that are no date in it, and how often time runs backwards in
    it.
    """

    order: DateOrder
    invalid: int = 0
    jumps: int = 0
    _previous: date | None = None
    _earliest: date = date.max
    _latest: date = date.min

    @property
    def days(self) -> int:
        """Days between the earliest and the latest date."""
        return max(0, (self._latest - self._earliest).days)

    def add(self, stamp: Stamp, first: bool) -> date | None:
        day = stamp.date(self.order)
        if day is None or day.year < _FIRST_YEAR:
            self.invalid += 1
            return day
        self._earliest, self._latest = min(self._earliest, day), max(self._latest, day)
        if first:
            return day
        if self._previous is not None and day < self._previous:
            self.jumps += 1
        self._previous = day
        return day


@dataclass(slots=True)
class ShapeCount:
    """Stamps of one shape: how many, and how each order of dates fares with them."""

    count: int = 0
    dates_differ: bool = False
    readings: dict[DateOrder, _Reading] = field(default_factory=dict)

    def add(self, stamp: Stamp) -> None:
        """Count one more stamp."""
        self.count += 1
        for order in _possible(stamp.shape):
            self.readings.setdefault(order, _Reading(order))
        days = {
            order: reading.add(stamp, first=self.count == 1)
            for order, reading in self.readings.items()
        }
        self.dates_differ = self.dates_differ or days.get(DateOrder.DMY) != days.get(DateOrder.MDY)

    @property
    def settled(self) -> bool:
        """Whether the order of dates is beyond doubt, so that the rest of a long file need not be
        asked.
        """
        if list(self.readings) == [DateOrder.YMD]:
            return True
        fewest = _least(self.readings.values())
        return len(fewest) == 1 and all(
            reading.invalid >= fewest[0].invalid + _SURE
            for reading in self.readings.values()
            if reading is not fewest[0]
        )


def _possible(shape: Shape) -> tuple[DateOrder, ...]:
    if shape.long_year == "first":
        return (DateOrder.YMD,)
    # No locale of CLDR writes the month first with dots.
    month_first = () if shape.separator == "." else (DateOrder.MDY,)
    year_first = (DateOrder.YMD,) if shape.long_year == "none" else ()
    return (DateOrder.DMY, *month_first, *year_first)


def prevailing(counts: dict[Shape, ShapeCount]) -> Shape | None:
    """Return the shape that most stamps of a file have, the earliest of equals; None where there
    are no stamps.
    """
    return max(counts, key=lambda shape: counts[shape].count, default=None)


def infer(count: ShapeCount, where: str) -> DateOrder:
    """Return the order of dates: the one in which fewest stamps are impossible, else the one in
    which time runs forward.

    Two digits are taken for a year in front only where days read as years would be impossible or
    decades apart. Raises OptionError where two orders fit equally and mean different days.
    """
    if list(count.readings) == [DateOrder.YMD]:
        return DateOrder.YMD
    rivals = [
        count.readings[order] for order in (DateOrder.DMY, DateOrder.MDY) if order in count.readings
    ]
    year_first = count.readings.get(DateOrder.YMD)
    fewest = _least(rivals)
    if year_first and all(_beats(year_first, rival) for rival in fewest):
        return DateOrder.YMD
    if len(fewest) == 1 or not count.dates_differ:
        return fewest[0].order
    first, second = fewest
    for one, other in ((first, second), (second, first)):
        if _runs_forward(one, other):
            return one.order
    raise OptionError(
        f"{where}: its dates can be day-month-year as well as month-day-year, nothing in it tells"
        " which; say it with --option date_order=dmy or --option date_order=mdy"
    )


def _least(readings: Iterable[_Reading]) -> list[_Reading]:
    known = list(readings)
    invalid = min(reading.invalid for reading in known)
    return [reading for reading in known if reading.invalid == invalid]


def _beats(year_first: _Reading, rival: _Reading) -> bool:
    return year_first.invalid < rival.invalid or (
        year_first.invalid == rival.invalid and year_first.days * _LONGER < rival.days
    )


def _runs_forward(one: _Reading, other: _Reading) -> bool:
    return one.jumps < other.jumps and one.jumps * _FEWER_JUMPS <= other.jumps

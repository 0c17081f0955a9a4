"""Infers the order of day, month and year in an export from its timestamps alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from pipeline.ingest.chat.whatsapp.timestamps import Timestamp, TimestampFormat
from pipeline.ingest.local_times import DateOrder
from pipeline.ingest.port import OptionError

# An export is in order of time, except for its first line (the encryption notice has the day on
# which it was shown) and for clocks that were adjusted. Read in the wrong order, time jumps back at
# the end of every month. This many times as many jumps are not a coincidence.
_JUMP_RATIO = 4
# Days taken for years stretch a month of chat over decades.
_DAYS_RATIO = 10
# Pasted text contains impossible dates too, but not this many more in one order than in another.
_DECISIVE_INVALID = 10
# WhatsApp was founded in 2009.
_FIRST_YEAR = 2009


@dataclass(slots=True)
class _OrderScore:
    """How well one date order fits: impossible dates, and how often time jumps back."""

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

    def add(self, timestamp: Timestamp, first: bool) -> date | None:
        day = timestamp.date(self.order)
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
class DateOrderStats:
    """The number of timestamps of one format, and how well each date order fits them."""

    count: int = 0
    dates_differ: bool = False
    scores: dict[DateOrder, _OrderScore] = field(default_factory=dict)

    def add(self, timestamp: Timestamp) -> None:
        """Count a timestamp."""
        self.count += 1
        for order in _possible(timestamp.format):
            self.scores.setdefault(order, _OrderScore(order))
        days = {
            order: reading.add(timestamp, first=self.count == 1)
            for order, reading in self.scores.items()
        }
        self.dates_differ = self.dates_differ or days.get(DateOrder.DMY) != days.get(DateOrder.MDY)

    @property
    def decided(self) -> bool:
        """Whether the date order is certain; the rest of a long file need not be surveyed then."""
        if list(self.scores) == [DateOrder.YMD]:
            return True
        fewest = _fewest_invalid(self.scores.values())
        return len(fewest) == 1 and all(
            reading.invalid >= fewest[0].invalid + _DECISIVE_INVALID
            for reading in self.scores.values()
            if reading is not fewest[0]
        )


def _possible(format_: TimestampFormat) -> tuple[DateOrder, ...]:
    if format_.long_year == "first":
        return (DateOrder.YMD,)
    # No locale of CLDR writes the month first with dots.
    month_first = () if format_.separator == "." else (DateOrder.MDY,)
    year_first = (DateOrder.YMD,) if format_.long_year == "none" else ()
    return (DateOrder.DMY, *month_first, *year_first)


def most_common_format(counts: dict[TimestampFormat, DateOrderStats]) -> TimestampFormat | None:
    """Return the format of most timestamps, the earliest of equals; None without timestamps."""
    return max(counts, key=lambda format_: counts[format_].count, default=None)


def infer_date_order(count: DateOrderStats, where: str) -> DateOrder:
    """Return the order in which the fewest dates are impossible, else in which time runs forward.

    Two digits in front are taken for a year only if days read as years would be impossible or
    decades apart. Raises OptionError if two orders fit equally and mean different days.
    """
    if list(count.scores) == [DateOrder.YMD]:
        return DateOrder.YMD
    rivals = [
        count.scores[order] for order in (DateOrder.DMY, DateOrder.MDY) if order in count.scores
    ]
    year_first = count.scores.get(DateOrder.YMD)
    fewest = _fewest_invalid(rivals)
    if year_first and all(_beats(year_first, rival) for rival in fewest):
        return DateOrder.YMD
    if len(fewest) == 1 or not count.dates_differ:
        return fewest[0].order
    first, second = fewest
    for score, other in ((first, second), (second, first)):
        if _has_far_fewer_jumps(score, other):
            return score.order
    raise OptionError(
        f"{where}: its dates can be day-month-year or month-day-year; name their order with"
        " --option date_order=dmy or --option date_order=mdy"
    )


def _fewest_invalid(scores: Iterable[_OrderScore]) -> list[_OrderScore]:
    known = list(scores)
    invalid = min(score.invalid for score in known)
    return [score for score in known if score.invalid == invalid]


def _beats(year_first: _OrderScore, rival: _OrderScore) -> bool:
    return year_first.invalid < rival.invalid or (
        year_first.invalid == rival.invalid and year_first.days * _DAYS_RATIO < rival.days
    )


def _has_far_fewer_jumps(score: _OrderScore, other: _OrderScore) -> bool:
    return score.jumps < other.jumps and score.jumps * _JUMP_RATIO <= other.jumps

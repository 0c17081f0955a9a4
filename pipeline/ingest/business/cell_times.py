"""Times in cells: with offset or local, in several orders, epochs, Chinese and compact forms."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from pipeline.ingest.business.cell_values import CellError, CellFormat
from pipeline.ingest.local_times import (
    DateOrder,
    parse_date,
    parse_day_half,
    plain_text,
    to_24_hours,
    to_utc,
)
from pipeline.text.nfkc import nfkc
from schemas.dead_letters import RejectCode
from schemas.types import in_range

_OFFSET = re.compile(r"(?<=[\d:]) ?(Z|UTC|GMT|[+-]\d{2}:?\d{2})(?: [A-Z]{2,5})?$", re.IGNORECASE)
_LOCAL = re.compile(
    r"(\d{1,4})([-/.年])(\d{1,2})([-/.月])(\d{1,4})日?"
    r"(?:(?:T|[ ,]*) ?(?P<before>[^\W\d]{1,4})?"
    r" ?(?P<hour>\d{1,2})[:时時点點](?P<minute>\d{1,2})(?:[:分](?P<second>\d{1,2}))?"
    r"(?:[.,]\d{1,9})?[秒分]?(?: ?(?P<after>[^\W\d][^\d]{0,9}))?)?"
)
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})(?:[T ]?(\d{2})(\d{2})(\d{2})?)?")
_EPOCH = re.compile(r"\d{10}|\d{13}")
_CLOCK_ONLY = re.compile(r"(?:[^\W\d]{1,4} ?)?\d{1,2}[:时時点]\d{1,2}.*")
_TIME_EXAMPLE = "write it as 2026-11-01 09:30:00 or 2026-11-01T09:30:00+08:00"


def is_clock(text: str) -> bool:
    """Return whether a cell holds only a time of day, to be joined with a date in another column.

    >>> is_clock("9:30"), is_clock("2026-11-01")
    (True, False)
    """
    return bool(_CLOCK_ONLY.fullmatch(plain_text(nfkc(text)).strip()))


def read_time(text: str, cell_format: CellFormat) -> datetime:
    """Return the UTC instant in a cell; without an offset it is local to the zone of the format.

    Raises CellError.

    >>> read_time("2026-11-01 09:30:00 +08:00", CellFormat())
    datetime.datetime(2026, 11, 1, 1, 30, tzinfo=datetime.timezone.utc)
    """
    words = plain_text(nfkc(text)).strip()
    if _EPOCH.fullmatch(words):
        seconds = int(words) / (1000 if len(words) == 13 else 1)
        return _in_supported_range(datetime.fromtimestamp(seconds, UTC))
    zone, offset = cell_format.zone, _OFFSET.search(words)
    if offset and re.search(r"[:时時点點]\d", words[: offset.start() + 1]):
        zone, words = _offset_zone(offset[1]), words[: offset.start()].strip()
    local = _local_time(words, cell_format.date_order)
    if zone is None:
        what = (
            "it has no time zone: name the zone of the file with --timezone, such as Asia/Shanghai"
        )
        raise CellError(RejectCode.TIME_INVALID, what)
    return _in_supported_range(to_utc(local, zone))


def _in_supported_range(moment: datetime | None) -> datetime:
    if moment is None or not in_range(moment):
        raise CellError(RejectCode.TIME_INVALID, "it is outside the years 1970 to 2199")
    return moment


def _offset_zone(text: str) -> tzinfo:
    if text[0] not in "+-":
        return UTC
    digits = text[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    if offset >= timedelta(hours=24):
        raise CellError(RejectCode.TIME_INVALID, f"{text} is not an offset from UTC")
    return timezone(-offset if text[0] == "-" else offset)


def _local_time(words: str, order: DateOrder | None) -> datetime:
    if compact := _COMPACT.fullmatch(words):
        parts: tuple[str, str, str] = (compact[1], compact[2], compact[3])
        return _moment(
            parts, DateOrder.YMD, int(compact[4] or 0), int(compact[5] or 0), int(compact[6] or 0)
        )
    match = _LOCAL.fullmatch(words)
    if not match:
        raise CellError(RejectCode.TIME_INVALID, f"it is not a date and time; {_TIME_EXAMPLE}")
    parts = (match[1], match[3], match[5])
    if len(match[1]) == 4:
        order = DateOrder.YMD
    elif order is None:
        what = (
            "the order of day and month is not known: use --option date_order=dmy (or mdy, ymd),"
            f" or {_TIME_EXAMPLE}"
        )
        raise CellError(RejectCode.TIME_INVALID, what)
    half_word = match["before"] or match["after"]
    half = parse_day_half(half_word) if half_word else None
    hour = to_24_hours(int(match["hour"] or 0), half)
    if hour is None or (half_word and half is None):
        raise CellError(RejectCode.TIME_INVALID, f"there is no such hour; {_TIME_EXAMPLE}")
    return _moment(parts, order, hour, int(match["minute"] or 0), int(match["second"] or 0))


def _moment(
    parts: tuple[str, str, str], order: DateOrder, hour: int, minute: int, second: int
) -> datetime:
    day = parse_date(parts, order)
    try:
        if day is not None:
            return datetime(day.year, day.month, day.day, hour, minute, second)
    except ValueError:
        pass
    raise CellError(RejectCode.TIME_INVALID, f"there is no such day or time; {_TIME_EXAMPLE}")

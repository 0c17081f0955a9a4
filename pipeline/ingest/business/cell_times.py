"""Times in cells: with offset or local, in several orders, epochs, Chinese and compact forms."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from pipeline.ingest.business.cell_values import CellError, CellFormat
from pipeline.ingest.business.cell_zones import split_zone
from pipeline.ingest.business.month_names import month_number
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

_CLOCK = (
    r"(?:(?:T|[ ,]*) ?(?P<before>[^\W\d]{1,4}\.?)?"
    r" ?(?P<hour>\d{1,2})[:时時点點시](?P<minute>\d{1,2})(?:[:分분](?P<second>\d{1,2}))?"
    r"(?:[.,]\d{1,9})?[秒分초]?(?: ?(?P<after>[^\W\d][^\d]{0,9}))?)?"
)
_LOCAL = re.compile(
    r"(\d{1,4})(?:[-/年]|년 ?|\. ?)(\d{1,2})(?:[-/月]|월 ?|\. ?)(\d{1,4})[日일.]?" + _CLOCK
)
# 14 Aug 2026, 14. August 2026, 14 de agosto de 2026, 14-Aug-2026; Aug 14, 2026; 2026-Aug-14.
_NAMED_MONTH = (
    re.compile(
        r"(?P<day>\d{1,2})(?:st|nd|rd|th|er|º|\.)?[ -](?:de )?(?P<month>[^\W\d]{3,12})\.?"
        r"[ ,-]{1,2}(?:de |del )?(?P<year>\d{4}|\d\d)(?: г\.)?,?(?: at| à| um)?" + _CLOCK
    ),
    re.compile(
        r"(?P<month>[^\W\d]{3,12})\.? (?P<day>\d{1,2})(?:st|nd|rd|th)?,? (?P<year>\d{4}),?(?: at)?"
        + _CLOCK
    ),
    re.compile(r"(?P<year>\d{4})[ -](?P<month>[^\W\d]{3,12})\.?[ -](?P<day>\d{1,2})" + _CLOCK),
    # Date.toString of JavaScript, and ctime: Aug 14 15:20:00 2026.
    re.compile(
        r"(?P<month>[A-Z][a-z]{2}) {1,2}(?P<day>\d{1,2}) (?P<hour>\d\d):(?P<minute>\d\d)"
        r":(?P<second>\d\d) (?P<year>\d{4})(?P<before>)(?P<after>)"
    ),
)
_WEEKDAY = re.compile(
    r"\A(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?[.,]{0,2} "
    r"|\(?(?:星期|週|周|礼拜)[一二三四五六日天]\)?|\([月火水木金土日월화수목금토일]\)",
    re.IGNORECASE,
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
    words = " ".join(_WEEKDAY.sub(" ", words.replace("\u2212", "-")).split())
    words, written = split_zone(words)
    zone = written or cell_format.zone
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


def _local_time(words: str, order: DateOrder | None) -> datetime:
    parts: tuple[str, str, str]
    if compact := _COMPACT.fullmatch(words):
        parts = (compact[1], compact[2], compact[3])
        return _moment(
            parts, DateOrder.YMD, int(compact[4] or 0), int(compact[5] or 0), int(compact[6] or 0)
        )
    for pattern in _NAMED_MONTH:
        if (named := pattern.fullmatch(words)) and (month := month_number(named["month"])):
            if len(named["year"]) == 2 and order is not DateOrder.DMY:
                what = (
                    "which number is the year is not known: use --option date_order=dmy, or"
                    f" {_TIME_EXAMPLE}"
                )
                raise CellError(RejectCode.TIME_INVALID, what)
            parts = (named["day"], str(month), named["year"])
            return _on_clock(parts, DateOrder.DMY, named)
    match = _LOCAL.fullmatch(words)
    if not match:
        raise CellError(RejectCode.TIME_INVALID, f"it is not a date and time; {_TIME_EXAMPLE}")
    parts = (match[1], match[2], match[3])
    if len(match[1]) == 4:
        order = DateOrder.YMD
    elif order is None:
        what = (
            "the order of day and month is not known: use --option date_order=dmy (or mdy, ymd),"
            f" or {_TIME_EXAMPLE}"
        )
        raise CellError(RejectCode.TIME_INVALID, what)
    return _on_clock(parts, order, match)


def _on_clock(parts: tuple[str, str, str], order: DateOrder, match: re.Match[str]) -> datetime:
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

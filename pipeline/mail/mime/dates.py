"""Parse dates of mail headers: RFC 5322 and the formats that mailers use instead."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_tz

from pipeline.mail.mime.date_words import month_of_word
from pipeline.mail.mime.written_dates import read_written_date
from pipeline.text.zone_names import ZONE_MINUTES

# Longer than any date with its comment; the parser of the standard library is slow on more.
_LONGEST_DATE = 120

# Zones range from -12:00 to +14:00. An offset beyond that is noise.
_MAX_OFFSET_MIN = 14 * 60

_USUAL = re.compile(
    r"\s*(?:[A-Za-z]{3},?\s+)?(\d{1,2})\s+([A-Za-z]{3})\s+(\d{4})\s+(\d{1,2}):(\d{2})(?::(\d{2}))?\s+([+-])(\d{2}):?(\d{2})\b"
)
_ISO = re.compile(
    r"\s*(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[T\s]+|\s+[A-Za-z]{3},?\s+)(\d{1,2}):(\d{2})(?::(\d{2}))?(?:[.,]\d+)?"
    r"\s*(?:([A-Z]{1,5})\b|([+-])(\d{2}):?(\d{2}))?"
)
_MONTHS = {
    m: i
    for i, m in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1
    )
}
_ENDS_WITH_TIME = re.compile(r"\d{1,2}:\d{2}(?::\d{2})?(?:\s+\d{4})?\s{0,9}$")
_SPACED_COLON = re.compile(r"\s*:\s*")
_COMMENT = re.compile(r"\([^()]*\)")
# What stands behind the time: the first word, if it is no year.
_ZONE_WORD = re.compile(r"\d:\d{2}(?::\d{2})?(?:[.,]\d{1,9})?\s{0,9}([A-Za-z][A-Za-z/_]{0,39})")


@dataclass(frozen=True, slots=True)
class MailDate:
    """An instant in UTC and the offset it was written in, in minutes east of UTC.

    `offset_min` is None where the header names no zone; the time is then read as UTC. Where
    `zone_unknown`, it names one that is unknown, and `at` is not an instant.
    """

    at: datetime
    offset_min: int | None
    zone_unknown: bool = False


def parse_mail_date(text: str) -> MailDate | None:
    """Parse the date of a mail header; None if it names no instant in the years 1 to 9999.

    >>> date = parse_mail_date("Mon, 2 Nov 2026 09:00:01 +0800")
    >>> date.at.isoformat(), date.offset_min
    ('2026-11-02T01:00:01+00:00', 480)
    """
    text = text[:_LONGEST_DATE]
    usual = _USUAL.match(text)
    if usual is not None and usual[2].lower() in _MONTHS:
        day, month, year, hour, minute, second, sign, zone_h, zone_m = usual.groups()
        offset = (int(zone_h) * 60 + int(zone_m)) * (-1 if sign == "-" else 1)
        known = None if sign == "-" and offset == 0 else offset
        return _mail_date(
            int(year),
            _MONTHS[month.lower()],
            int(day),
            int(hour),
            int(minute),
            int(second or 0),
            known,
        )
    iso = _ISO.match(text)
    if iso is not None:
        *numbers, zone, sign, zone_h, zone_m = iso.groups()
        year_, month_, day_, hour_, minute_, second_ = (int(number or 0) for number in numbers)
        named = ZONE_MINUTES.get(zone or "")
        offset_ = (int(zone_h) * 60 + int(zone_m)) * (-1 if sign == "-" else 1) if sign else named
        date = _mail_date(year_, month_, day_, hour_, minute_, second_, offset_)
        return replace(date, zone_unknown=True) if date and zone and named is None else date
    written = read_written_date(text)
    if written is not None:
        date = _mail_date(*written[:7])
        if date is not None:
            return replace(date, zone_unknown=written.zone_unknown)
    return _parse_with_stdlib(text)


def _parse_with_stdlib(text: str) -> MailDate | None:
    for candidate in (text, _SPACED_COLON.sub(":", _COMMENT.sub(" ", text))):
        try:
            parsed = parsedate_tz(candidate)
        except (ValueError, IndexError, TypeError, OverflowError):
            # The parser of the standard library raises on some broken dates; try the next form.
            continue
        if parsed is None:
            continue
        year, month, day, hour, minute, second, *_, zone = parsed
        # The standard library reports a missing zone as UTC.
        has_zone = zone is not None and _ENDS_WITH_TIME.search(candidate) is None
        date = _mail_date(
            year,
            month,
            day,
            hour,
            minute,
            second,
            zone // 60 if zone is not None and has_zone else None,
        )
        if date is not None:
            return replace(date, zone_unknown=True) if _names_unknown_zone(candidate) else date
    return None


def _names_unknown_zone(text: str) -> bool:
    match = _ZONE_WORD.search(text)
    if match is None or month_of_word(match[1]) is not None:
        return False
    return match[1].upper() not in ZONE_MINUTES


def _mail_date(
    year: int, month: int, day: int, hour: int, minute: int, second: int, offset: int | None
) -> MailDate | None:
    if offset is not None and abs(offset) > _MAX_OFFSET_MIN:
        offset = None
    try:
        # A leap second, and the 60 that some clocks write, becomes second 59.
        local = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
        return MailDate(local - timedelta(minutes=offset or 0), offset)
    except (ValueError, OverflowError):
        return None


def parse_received_date(value: str) -> MailDate | None:
    """Parse the date of a Received header: the text after its last semicolon."""
    _, semicolon, date = value.rpartition(";")
    parsed = parse_mail_date(date) if semicolon else None
    return None if parsed and parsed.zone_unknown else parsed

"""Time zones written behind a time: offsets, names of the IANA database, certain abbreviations."""

from __future__ import annotations

import re
from datetime import UTC, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pipeline.ingest.business.cell_values import CellError
from pipeline.ingest.local_times import parse_day_half
from pipeline.text.zone_names import ZONE_MINUTES
from schemas.dead_letters import RejectCode

_OFFSET = re.compile(
    r"(?:(?P<utc>UTC|GMT) ?)?(?P<sign>[+-])(?P<hours>\d{1,2})(?::?(?P<minutes>\d{2}))?"
    r"|(?P<zero>Z|UTC|GMT)",
    re.IGNORECASE,
)
# At the end of a time: at most the words of one zone, so that no cell takes long.
_AT_END = re.compile(
    r"(?:(?:UTC|GMT) ?)?[+-]\d{1,2}(?::?\d{2})?\Z|(?:(?<=[\d.])|(?<= ))(?:Z|UTC|GMT)\Z",
    re.IGNORECASE,
)
# `(China Standard Time)` and `CST` behind an offset say the same again.
_REMARK = re.compile(
    r"(?<=\d) ?\([^()]{1,60}\)\Z|(?:(?<=[+-]\d{4})|(?<=[+-]\d\d:\d\d)) [A-Z]{2,5}\Z"
)
_NAME = re.compile(r" ?\[?(?P<name>[A-Z][A-Za-z_]{1,20}(?:/[A-Za-z0-9_+-]{1,30}){1,2})\]?\Z")
_ABBREVIATION = re.compile(r"(?<=[\d.]) ?(?P<name>[A-Z]{2,5})\Z|(?<= )(?P<after_half>[A-Z]{3,5})\Z")
_CLOCK = re.compile(r"[:时時点點]\d|T\d{4}")
# Abbreviations with one meaning; CST, IST and BST have several. RFC 5322, section 4.3, has those
# of America.
_CERTAIN = frozenset(
    [
        "EST",
        "EDT",
        "PST",
        "PDT",
        "MDT",
        "CET",
        "CEST",
        "EET",
        "EEST",
        "WEST",
        "MSK",
        "JST",
        "KST",
        "HKT",
        "SGT",
        "AEST",
        "AEDT",
        "NZST",
        "NZDT",
    ]
)
_CHINESE_NAMES = {
    "北京时间": 8.0,
    "中国标准时间": 8.0,
    "北京時間": 8.0,
    "香港时间": 8.0,
    "台北時間": 8.0,
}


def split_zone(words: str) -> tuple[str, tzinfo | None]:
    """Return a time without its zone, and the zone; None where none is written.

    Raises CellError for a zone that is written and not certain: it is never taken for UTC.

    >>> split_zone("3:20 PM GMT+8")
    ('3:20 PM', datetime.timezone(datetime.timedelta(seconds=28800)))
    >>> split_zone("3:20 PM")
    ('3:20 PM', None)
    """
    if not _CLOCK.search(words):
        return words, None
    for name, hours in _CHINESE_NAMES.items():
        if words.endswith(name):
            return words.removesuffix(name).rstrip(" ("), _fixed(hours)
    words = _REMARK.sub("", words)
    if match := _AT_END.search(words):
        rest = words[: match.start()].rstrip()
        # In `2026-08-14` the end is no offset.
        if _CLOCK.search(rest):
            return rest, _offset(match[0])
    if match := _NAME.search(words):
        try:
            return words[: match.start()].rstrip(), ZoneInfo(match["name"])
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise _unknown(match["name"]) from None
    if match := _ABBREVIATION.search(words):
        name = match["name"] or match["after_half"]
        if parse_day_half(name) is None:
            if name not in _CERTAIN:
                raise _unknown(name)
            return words[: match.start()].rstrip(), _fixed(ZONE_MINUTES[name] / 60)
    return words, None


def _offset(text: str) -> tzinfo:
    match = _OFFSET.fullmatch(text.strip())
    assert match is not None
    if match["zero"]:
        return UTC
    hours, minutes = int(match["hours"]), int(match["minutes"] or 0)
    # The largest offset in use is that of Kiribati, 14 hours.
    if hours > 14 or minutes > 59:
        raise CellError(RejectCode.TIME_INVALID, f"{text} is not an offset from UTC")
    return _fixed((hours + minutes / 60) * (-1 if match["sign"] == "-" else 1))


def _fixed(hours: float) -> tzinfo:
    return timezone(timedelta(hours=hours))


def _unknown(name: str) -> CellError:
    return CellError(
        RejectCode.TIME_INVALID,
        f"its time zone {name[:40]!r} is unknown, or has several meanings; write the offset, such"
        " as +08:00, or a name such as Asia/Shanghai",
    )

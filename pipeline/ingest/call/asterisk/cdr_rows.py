"""Rows of Asterisk's Master.csv, one line per leg: of cdr_csv, or of cdr_custom.

The columns are those of cdr/cdr_csv.c of Asterisk 1.8 to 22: sixteen, then uniqueid (loguniqueid),
userfield (loguserfield), and peeraccount, linkedid, sequence (newcdrcolumns), each if configured.
cdr_custom writes any columns; those of its sample configuration, which begin with clid, are
recognised by their times and dispositions. Others are named by a header or by an option.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from pipeline.ingest.local_times import to_utc
from schemas.dead_letters import RejectCode

_TEXTS = (
    "accountcode",
    "src",
    "dst",
    "dcontext",
    "clid",
    "channel",
    "dstchannel",
    "lastapp",
    "lastdata",
)
_COLUMNS = (*_TEXTS, "start", "answer", "end", "duration", "billsec", "disposition", "amaflags")
_NEW_COLUMNS = ("peeraccount", "linkedid", "sequence")
# Sixteen, with uniqueid or userfield or both, and with or without the three new columns.
COLUMN_COUNTS = (16, 17, 18, 19, 20, 21)
# configs/samples/cdr_custom.conf.sample; later columns are recognised by their form.
_CUSTOM = (
    *("clid", "src", "dst", "dcontext", "channel", "dstchannel", "lastapp", "lastdata"),
    *("start", "answer", "end", "duration", "billsec", "disposition", "amaflags", "accountcode"),
    *("uniqueid", "userfield"),
)
_CUSTOM_START, _CUSTOM_DISPOSITION = _CUSTOM.index("start"), _CUSTOM.index("disposition")
_DISPOSITIONS = frozenset({"ANSWERED", "NO ANSWER", "BUSY", "FAILED", "CONGESTION"})
# All names of CDR(…), and those that databases of call records give the same columns.
_ALIASES = {"calldate": "start", "source": "src", "destination": "dst", "callerid": "clid"}
KNOWN_COLUMNS = frozenset({*_COLUMNS, *_NEW_COLUMNS, "uniqueid", "userfield"})
# Without these a row is no call.
_NEEDED = frozenset({"src", "dst", "start", "disposition"})
# `systemname-epoch.counter`; the system's name is optional.
_UNIQUEID = re.compile(r"(?:.*-)?(\d{9,10})\.\d+")
_TIME = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})[ T](\d{1,2}):(\d{2})(?::(\d{2}))?(?:\.\d+)?")
# Length of 2026-11-01 09:30:00, the format of cdr_csv, which `fromisoformat` parses several times
# faster.
_ISO_LENGTH = 19
_SECONDS = re.compile(r"\d{1,9}(?:\.\d+)?")


class CdrRowError(ValueError):
    """A line is not a row; the message says what is wrong."""

    def __init__(self, code: RejectCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class CdrRow:
    """One leg of a call; times are UTC, `line` counts from 1.

    `answer` is None if nobody answered, `end` if the file does not contain it.
    """

    line: int
    raw: bytes
    accountcode: str
    src: str
    dst: str
    dcontext: str
    clid: str
    channel: str
    dstchannel: str
    lastapp: str
    lastdata: str
    start: datetime
    answer: datetime | None
    end: datetime | None
    billsec: float | None
    disposition: str
    uniqueid: str
    userfield: str
    peeraccount: str
    linkedid: str
    sequence: str

    @property
    def call(self) -> str:
        """The call that the leg belongs to: linkedid, else uniqueid, else empty."""
        return self.linkedid or self.uniqueid

    @property
    def answered(self) -> bool:
        """Whether somebody or something answered, by the exchange's account."""
        return self.disposition == "ANSWERED"


def is_header(text: str) -> bool:
    """Return whether a line contains the names of the columns, as in exports made by hand.

    >>> is_header("accountcode,src,dst,dcontext")
    True
    """
    names = {re.sub(r"[\s\"\ufeff]", "", name).casefold() for name in text.split(",")}
    return {"src", "dst"} <= {_ALIASES.get(name, name) for name in names}


def column_names(text: str) -> tuple[str, ...] | None:
    """Return the columns that a header, or the option `columns`, names; None for any other text.

    Columns that are no CDR variables are passed over. Needed are src, dst, start and disposition.

    >>> column_names('"calldate","clid","src","dst","disposition","cost"')
    ('start', 'clid', 'src', 'dst', 'disposition', 'cost')
    >>> column_names("13800000021,800") is None
    True
    """
    names = [re.sub(r"[\s\"\ufeff]", "", name).casefold() for name in text.split(",")]
    known = tuple(_ALIASES.get(name, name) for name in names)
    return known if set(known) >= _NEEDED and len(set(known)) == len(known) else None


def channel_created_at(uniqueid: str) -> datetime | None:
    """Return the instant at which the channel was created, which Asterisk writes into uniqueid.

    >>> channel_created_at("1793583072.17")
    datetime.datetime(2026, 11, 2, 1, 31, 12, tzinfo=datetime.timezone.utc)
    """
    match = _UNIQUEID.fullmatch(uniqueid)
    return datetime.fromtimestamp(int(match[1]), UTC) if match else None


def parse_cdr_row(
    raw: bytes, line: int, zone: tzinfo, columns: tuple[str, ...] | None = None
) -> CdrRow:
    """Return the row of one line, whose times are local to the zone. Raises CdrRowError.

    `columns` are the names of the columns, if a header or an option says them.
    Bytes that are not UTF-8 become U+FFFD; exchanges do write names that are cut inside a
    character. In the hour that a clock change repeats, the second in uniqueid decides; answer and
    end follow the start.
    """
    text = raw.decode("utf-8", "replace").lstrip("\ufeff").rstrip("\r\n")
    try:
        values = next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise CdrRowError(RejectCode.UNPARSABLE, f"it is not valid CSV: {error}") from error
    if columns is not None and len(values) != len(columns):
        raise CdrRowError(
            RejectCode.UNPARSABLE,
            f"it has {len(values)} columns; {len(columns)} are named, from {columns[0]} to"
            f" {columns[-1]}",
        )
    if columns is None and len(values) not in COLUMN_COUNTS:
        raise CdrRowError(
            RejectCode.UNPARSABLE,
            f"it has {len(values)} columns; cdr_csv writes {', '.join(map(str, COLUMN_COUNTS))} of"
            " them, depending on loguniqueid, loguserfield, newcdrcolumns; name those of"
            " cdr_custom with --option columns=clid,src,dst,…",
        )
    named = dict.fromkeys(KNOWN_COLUMNS, "")
    named |= dict(zip(columns, values, strict=True)) if columns else _named(values)
    cell = {name: value.strip() for name, value in named.items()}
    created = channel_created_at(cell.get("uniqueid", ""))
    start = _time(cell, "start", zone, near=created)
    if start is None:
        raise CdrRowError(RejectCode.TIME_INVALID, "start is empty")
    return CdrRow(
        line=line,
        raw=raw,
        start=start,
        answer=_time(cell, "answer", zone, not_before=start),
        end=_time(cell, "end", zone, not_before=start),
        billsec=_seconds(cell),
        disposition=cell["disposition"].upper(),
        uniqueid=cell.get("uniqueid", ""),
        userfield=cell.get("userfield", ""),
        peeraccount=cell.get("peeraccount", ""),
        linkedid=cell.get("linkedid", ""),
        sequence=cell.get("sequence", ""),
        **{name: cell[name] for name in _TEXTS},
    )


def _named(values: list[str]) -> dict[str, str]:
    if (
        _TIME.fullmatch(values[_CUSTOM_START].strip())
        and values[_CUSTOM_DISPOSITION].strip().upper() in _DISPOSITIONS
    ):
        return _named_custom(values)
    named = dict(zip(_COLUMNS, values, strict=False))
    rest = values[len(_COLUMNS) :]
    if len(rest) >= len(_NEW_COLUMNS):
        named.update(zip(_NEW_COLUMNS, rest[-3:], strict=True))
        rest = rest[:-3]
    if len(rest) == 2:
        named["uniqueid"], named["userfield"] = rest
    elif rest:
        named["uniqueid" if _UNIQUEID.fullmatch(rest[0].strip()) else "userfield"] = rest[0]
    return named


def _named_custom(values: list[str]) -> dict[str, str]:
    named = dict(zip(_CUSTOM, values, strict=False))
    for value in values[len(_CUSTOM) :]:
        text = value.strip()
        linked = _UNIQUEID.fullmatch(text)
        named["linkedid" if linked else "sequence" if text.isdecimal() else "peeraccount"] = text
    return named


def _time(
    cell: dict[str, str],
    column: str,
    zone: tzinfo,
    not_before: datetime | None = None,
    near: datetime | None = None,
) -> datetime | None:
    text = cell[column]
    # An unanswered leg has no time; exports of databases write year zero.
    if not text or text.startswith("0000-00-00"):
        return None
    local = _local(text)
    moment = to_utc(local, zone, not_before, near) if local else None
    if moment is None:
        raise CdrRowError(
            RejectCode.TIME_INVALID,
            f"{column} is not a time such as 2026-11-01 09:30:00: {text[:40]!r}; if the columns"
            " have another order, name them with --option columns=clid,src,dst,…",
        )
    return moment


def _local(text: str) -> datetime | None:
    match = _TIME.fullmatch(text)
    if not match:
        return None
    try:
        if len(text) == _ISO_LENGTH and text[4] == "-":
            return datetime.fromisoformat(text)
        year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
        return datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None


def _seconds(cell: dict[str, str]) -> float | None:
    text = cell["billsec"]
    if not text:
        return None
    if not _SECONDS.fullmatch(text):
        raise CdrRowError(
            RejectCode.SCHEMA_TYPE, f"billsec is not a number of seconds: {text[:40]!r}"
        )
    return float(text)

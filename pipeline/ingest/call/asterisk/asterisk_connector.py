"""Reads Asterisk's call detail records (cdr_csv, Master.csv): one event per call, whatever the
number of its legs.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.ingest.call.asterisk.call_legs import call_data
from pipeline.ingest.call.asterisk.cdr_rows import Row, RowError, is_header, parse_row
from pipeline.ingest.input_units import Line, UnreadableUnitError, read_lines, refuse_unreadable
from pipeline.ingest.port import Found, IngestOptions, Item, Unit
from pipeline.ingest.text_files import (
    at_line,
    check_known,
    file_pattern,
    is_blank,
    matching,
    oversize,
    refusal,
    source_of,
    zone_missing,
)
from schemas.envelope import Event

# cdr_csv builds a line in a buffer of 1,024 bytes; whatever is longer than this was not written by
# it.
_MAX_LINE = 64 * 1024
# A leg is written when it ends, so the legs of a call may have those of others between them: as
# many as end while it lasts. An exchange with 500 calls at a time writes 2,000 rows in some ten
# minutes; a longer one is joined by its linkedid (`conversation`).
_WINDOW_ROWS = 2_000
# Ring groups and queues reach dozens of legs. A call without end (a dialler that reuses a channel)
# must not grow in memory.
_MAX_LEGS = 1_000
# Calls that are closed are remembered, 8 bytes each, to tell rows that come late.
_REMEMBERED = 131_072
# Asterisk's own ids have up to 150 characters; an event's may have 512, and a late row's hash must
# fit behind.
_MAX_ID = 200


class AsteriskCdr:
    """Connector for Asterisk's Master.csv."""

    def __init__(self) -> None:
        self.name = "asterisk-cdr"
        self.version = "1"
        self.keeps_items = False
        self.summary = (
            "Asterisk call detail records (cdr_csv: Master.csv): one event per call, its legs"
            " grouped by linkedid"
        )
        self.options = {
            "timezone": (
                "zone of the file's times, such as Asia/Shanghai; UTC where cdr.conf says"
                " usegmtime=yes (required)"
            ),
            "own": (
                "own numbers and extensions, for the direction; without them up to six digits are"
                " an extension"
            ),
            "source": "name of the exchange in the events, asterisk unless given",
        }

    def units(self, paths: Sequence[Path]) -> Iterator[Unit]:
        """Yield the CSV files under the paths; a file named itself is read whatever its name."""
        return matching(paths, file_pattern("csv"))

    def read(self, unit: Unit, options: IngestOptions) -> Iterator[Item]:
        """Yield one event per call, and a refusal for each line that is no row.

        A call is given out once 2,000 rows without one of it have passed, and at the end of the
        file; items come in that order. Raises OptionError without a zone.
        """
        if options.zone is None:
            raise zone_missing("Asterisk's records")
        check_known(options.extra, {}, self.name)
        return refuse_unreadable(
            unit, _Reader(unit, options, f"{self.name}/{self.version}").items()
        )


@dataclass(slots=True)
class _OpenCall:
    rows: list[Row] = field(default_factory=list)
    last_seen: int = 0


class _Reader:
    def __init__(self, unit: Unit, options: IngestOptions, connector: str) -> None:
        assert options.zone is not None
        self._unit, self._options, self._zone, self._connector = (
            unit,
            options,
            options.zone,
            connector,
        )
        self._open: OrderedDict[str, _OpenCall] = OrderedDict()
        self._closed: OrderedDict[int, None] = OrderedDict()
        self._seen = 0

    def items(self) -> Iterator[Item]:
        broken: UnreadableUnitError | None = None
        try:
            with self._unit.open() as stream:
                for line in read_lines(stream, _MAX_LINE):
                    yield from self._line(line)
        except UnreadableUnitError as error:
            broken = error
        while self._open:
            yield self._close_oldest()
        if broken:
            raise broken

    def _line(self, line: Line) -> Iterator[Item]:
        if line.oversize:
            yield oversize(self._unit, line.number, line.data, line.size, _MAX_LINE)
            return
        if is_blank(line.data):
            return
        if line.number == 1 and is_header(line.data.decode("utf-8", "replace").lstrip("\ufeff")):
            return
        try:
            row = parse_row(line.data, line.number, self._zone)
        except RowError as error:
            yield refusal(self._unit, line.number, line.data, error.code, str(error))
            return
        self._seen += 1
        yield from self._row(row)

    def _row(self, row: Row) -> Iterator[Item]:
        if not row.call:
            yield self._found([row], _row_id(row))
        elif _key(row.call) in self._closed:
            # Its call is given out already. The row is kept as an event of its own, in the call's
            # conversation.
            yield self._found([row], f"{_call_id(row.call)}/late/{_row_id(row)}")
        else:
            call = self._open.setdefault(row.call, _OpenCall())
            call.rows.append(row)
            call.last_seen = self._seen
            self._open.move_to_end(row.call, last=len(call.rows) < _MAX_LEGS)
        while self._open and self._is_over(next(iter(self._open.values()))):
            yield self._close_oldest()

    def _is_over(self, call: _OpenCall) -> bool:
        return call.last_seen + _WINDOW_ROWS <= self._seen or len(call.rows) >= _MAX_LEGS

    def _close_oldest(self) -> Found:
        name, call = self._open.popitem(last=False)
        self._closed[_key(name)] = None
        if len(self._closed) > _REMEMBERED:
            self._closed.popitem(last=False)
        return self._found(call.rows, _call_id(name))

    def _found(self, rows: list[Row], event_id: str) -> Found:
        event_type, data = call_data(rows, self._options.own)
        event = Event(
            id=event_id,
            source=source_of(self._options, "asterisk"),
            type=event_type,
            time=min(row.start for row in rows),
            tenant=self._options.tenant,
            locator=at_line(self._unit, rows[0].line),
            connector=self._connector,
            data=data,
        )
        return Found(event, b"".join(row.raw for row in rows))


def _key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8], "big")


def _call_id(name: str) -> str:
    """Return the call's id, or a hash where a broken file has one that no envelope takes."""
    return (
        name
        if len(name) <= _MAX_ID
        else hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    )


def _row_id(row: Row) -> str:
    return hashlib.sha256(row.raw.strip()).hexdigest()

"""The `asterisk-cdr` connector: Asterisk's call detail records (cdr_csv, Master.csv).

It yields one event per call, however many legs the call has.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.ingest.byte_streams import (
    Line,
    UnreadableUnitError,
    read_lines,
    reject_unreadable,
)
from pipeline.ingest.call.asterisk.call_legs import call_data
from pipeline.ingest.call.asterisk.cdr_rows import (
    KNOWN_COLUMNS,
    CdrRow,
    CdrRowError,
    column_names,
    is_header,
    parse_cdr_row,
)
from pipeline.ingest.port import (
    ConnectorItem,
    IngestOptions,
    InputUnit,
    OptionError,
    ReadEvent,
)
from pipeline.ingest.text_files import (
    check_option_names,
    file_pattern,
    is_blank,
    line_locator,
    matching_units,
    missing_zone_error,
    reject_line,
    reject_oversize,
    source_name,
)
from schemas.envelope import Event

_EXTRA = {
    "columns": (
        "names of the columns in their order, such as clid,src,dst,start,billsec,disposition, if"
        " cdr_custom.conf writes others than its sample and the file has no header"
    )
}
# cdr_csv builds a line in a buffer of 1,024 bytes, so it did not write a line longer than this.
_MAX_LINE = 64 * 1024
# A leg is written when it ends, so the legs of a call are mixed with those of other calls that end
# while it lasts. An exchange with 500 simultaneous calls writes 2,000 rows in some ten minutes. The
# legs of a longer call become several events with the same linkedid (`conversation`).
_WINDOW_ROWS = 2_000
# Ring groups and queues have dozens of legs. The limit bounds the memory of a call that never ends,
# such as that of a dialler that reuses a channel.
_MAX_LEGS = 1_000
# So many finished calls are remembered, 8 bytes each, to recognise late rows.
_CLOSED_CALLS = 131_072
# Asterisk's ids have up to 150 characters. An event's id may have 512, and the hash of a late row
# is appended.
_MAX_ID = 200


class AsteriskConnector:
    """Connector for Asterisk's Master.csv."""

    def __init__(self) -> None:
        self.name = "asterisk-cdr"
        self.version = "1"
        self.append_only = False
        self.summary = (
            "Asterisk call detail records (cdr_csv: Master.csv): one event per call, its legs"
            " grouped by linkedid"
        )
        self.options = {
            "timezone": (
                "time zone of the file, such as Asia/Shanghai; UTC if cdr.conf has usegmtime=yes"
                " (required)"
            ),
            "own": (
                "the company's numbers and extensions, for the direction; without them up to six"
                " digits are an extension"
            ),
            "source": "name of the exchange in the events; default: asterisk",
            **_EXTRA,
        }

    def units(self, paths: Sequence[Path]) -> Iterator[InputUnit]:
        """Yield the CSV files under the paths; a file named itself is read whatever its name."""
        return matching_units(paths, file_pattern("csv"))

    def read(self, unit: InputUnit, options: IngestOptions) -> Iterator[ConnectorItem]:
        """Yield one event per call, and a rejection for each line that is not a row.

        A call is yielded after 2,000 rows without a leg of it, or at the end of the file. Raises
        OptionError without a time zone, and for columns without a call's own.
        """
        if options.zone is None:
            raise missing_zone_error("Asterisk's records")
        check_option_names(options.extra, _EXTRA, self.name)
        columns = _columns_option(options)
        return reject_unreadable(
            unit, _CdrReader(unit, options, f"{self.name}/{self.version}", columns).items()
        )


def _columns_option(options: IngestOptions) -> tuple[str, ...] | None:
    text = options.extra.get("columns")
    if text is None:
        return None
    columns = column_names(text)
    if columns is None:
        raise OptionError(
            f"columns is {text[:200]!r}; it needs src, dst, start and disposition, each name once,"
            f" of: {', '.join(sorted(KNOWN_COLUMNS))}; columns with other names are passed over"
        )
    return columns


@dataclass(slots=True)
class _OpenCall:
    rows: list[CdrRow] = field(default_factory=list)
    last_row: int = 0


class _CdrReader:
    def __init__(
        self,
        unit: InputUnit,
        options: IngestOptions,
        connector: str,
        columns: tuple[str, ...] | None = None,
    ) -> None:
        assert options.zone is not None
        self._columns = columns
        self._unit, self._options, self._zone, self._connector = (
            unit,
            options,
            options.zone,
            connector,
        )
        self._open: OrderedDict[str, _OpenCall] = OrderedDict()
        self._closed: OrderedDict[int, None] = OrderedDict()
        self._row_count = 0

    def items(self) -> Iterator[ConnectorItem]:
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

    def _line(self, line: Line) -> Iterator[ConnectorItem]:
        if line.oversize:
            yield reject_oversize(self._unit, line.number, line.data, line.size, _MAX_LINE)
            return
        if is_blank(line.data):
            return
        if line.number == 1 and is_header(text := line.data.decode("utf-8", "replace")):
            self._columns = self._columns or column_names(text)
            return
        try:
            row = parse_cdr_row(line.data, line.number, self._zone, self._columns)
        except CdrRowError as error:
            yield reject_line(self._unit, line.number, line.data, error.code, str(error))
            return
        self._row_count += 1
        yield from self._row(row)

    def _row(self, row: CdrRow) -> Iterator[ConnectorItem]:
        if not row.call:
            yield self._event([row], _row_id(row))
        elif _key(row.call) in self._closed:
            # Its call was yielded already. The row becomes an event of its own in the conversation
            # of the call.
            yield self._event([row], f"{_call_id(row.call)}/late/{_row_id(row)}")
        else:
            call = self._open.setdefault(row.call, _OpenCall())
            call.rows.append(row)
            call.last_row = self._row_count
            self._open.move_to_end(row.call, last=len(call.rows) < _MAX_LEGS)
        while self._open and self._is_over(next(iter(self._open.values()))):
            yield self._close_oldest()

    def _is_over(self, call: _OpenCall) -> bool:
        return call.last_row + _WINDOW_ROWS <= self._row_count or len(call.rows) >= _MAX_LEGS

    def _close_oldest(self) -> ReadEvent:
        name, call = self._open.popitem(last=False)
        self._closed[_key(name)] = None
        if len(self._closed) > _CLOSED_CALLS:
            self._closed.popitem(last=False)
        return self._event(call.rows, _call_id(name))

    def _event(self, rows: list[CdrRow], event_id: str) -> ReadEvent:
        event_type, data = call_data(rows, self._options.own)
        event = Event(
            id=event_id,
            source=source_name(self._options, "asterisk"),
            type=event_type,
            time=min(row.start for row in rows),
            tenant=self._options.tenant,
            locator=line_locator(self._unit, rows[0].line),
            connector=self._connector,
            data=data,
        )
        return ReadEvent(event, b"".join(row.raw for row in rows))


def _key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8], "big")


def _call_id(name: str) -> str:
    """Return the call's id, or a hash of an id that is too long for an event."""
    return (
        name
        if len(name) <= _MAX_ID
        else hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    )


def _row_id(row: CdrRow) -> str:
    return hashlib.sha256(row.raw.strip()).hexdigest()

"""Connectors for CSV files of shops: orders, feedback, complaints, customers.

All are read in the same way; the tables in `column_names.py` describe each kind.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.ingest.business.cell_times import is_clock
from pipeline.ingest.business.cell_values import (
    CellError,
    CellFormat,
    clean_cell,
    normalise_word,
    read_currency,
)
from pipeline.ingest.business.column_names import ACTION, TABLES, TIME, Column, CsvTable, RowValues
from pipeline.ingest.business.csv_rows import (
    CsvFileError,
    CsvRow,
    Dialect,
    check_encoding,
    read_dialect,
    read_rows,
)
from pipeline.ingest.byte_streams import read_lines, reject_unreadable
from pipeline.ingest.local_times import DateOrder, rfc3339
from pipeline.ingest.port import (
    MAX_ITEM_BYTES,
    ConnectorItem,
    IngestOptions,
    InputUnit,
    OptionError,
    ReadEvent,
    Rejection,
)
from pipeline.ingest.text_files import (
    LineBlock,
    check_option_names,
    file_pattern,
    line_locator,
    matching_units,
    reject_line,
    source_name,
)
from schemas.business import BusinessData
from schemas.dead_letters import RejectCode
from schemas.envelope import Event, stable_id
from schemas.registry import explain

_EXTRA = {
    "currency": "ISO 4217 code of amounts without a currency, such as CNY",
    "date_order": "dmy, mdy or ymd, if dates do not start with the year",
    "encoding": (
        "encoding of the file, if it is neither UTF-8 nor GB18030, such as big5 or cp1252"
    ),
}
# A row with the id of an earlier event and other content is rejected; the ids of so many earlier
# events are kept. The rows of one order are usually next to each other.
_IDS_TO_COMPARE = 10_000
# The field that takes the second column of a kind, in tables that have it.
_OVERFLOW_FIELDS = {"customer.phone": "phones", "customer.email": "emails"}
_SUMMARIES = {
    "orders": "orders, payments, refunds and cancellations as CSV (订单、付款、退款)",
    "feedback": "ratings, suggestions and praise as CSV (评价、建议)",
    "complaints": "complaints, their handling and result as CSV (投诉)",
    "customers": "customer profiles as CSV (客户资料)",
}


class CsvConnector:
    """Connector for one kind of CSV file."""

    def __init__(self, name: str) -> None:
        self._table = TABLES[name]
        self.name = name
        self.version = "1"
        self.append_only = True
        self.summary = _SUMMARIES[name]
        self.options = {
            "timezone": "time zone of times without one, such as Asia/Shanghai",
            "source": f"name of the system the file comes from; default: {name}",
            **_EXTRA,
        }

    def units(self, paths: Sequence[Path]) -> Iterator[InputUnit]:
        """Yield the CSV files under the paths; a file named itself is read whatever its name."""
        return matching_units(paths, file_pattern("csv", "tsv"))

    def read(self, unit: InputUnit, options: IngestOptions) -> Iterator[ConnectorItem]:
        """Yield one event per row, validated against its contract; a bad row is rejected alone.

        A file whose header lacks a required column is rejected as a whole. Raises OptionError for a
        wrong option.
        """
        check_option_names(options.extra, _EXTRA, self.name)
        reader = _CsvReader(
            self._table, unit, options, _cell_format(options), self.name, self.version
        )
        return reject_unreadable(unit, reader.items())


def _cell_format(options: IngestOptions) -> CellFormat:
    extra = options.extra
    if encoding := extra.get("encoding"):
        check_encoding(encoding)
    try:
        order = DateOrder(extra["date_order"].strip().casefold()) if "date_order" in extra else None
    except ValueError:
        raise OptionError(
            f"date_order is {extra['date_order']!r}; it can be dmy, mdy or ymd"
        ) from None
    try:
        currency = (
            read_currency(extra["currency"].strip(), CellFormat()) if "currency" in extra else None
        )
    except CellError as error:
        raise OptionError(f"currency is {extra['currency']!r}: {error}") from None
    return CellFormat(options.zone, order, currency)


@dataclass(frozen=True, slots=True)
class _FileColumn:
    """A column of the file: its cell index, its header, and its field if it is known."""

    index: int
    header: str
    target: Column | None


@dataclass
class _CsvReader:
    table: CsvTable
    unit: InputUnit
    options: IngestOptions
    cell_format: CellFormat
    name: str
    version: str
    _digests: OrderedDict[str, bytes] = field(default_factory=OrderedDict)

    def items(self) -> Iterator[ConnectorItem]:
        with self.unit.open() as stream:
            try:
                opening = read_dialect(stream, self.options.extra.get("encoding"), self._known)
                if opening is None:
                    return
                dialect, lines = opening
                columns = self._file_columns(dialect)
            except CsvFileError as fault:
                yield self._reject_file(fault)
                return
            for row in read_rows(lines, dialect):
                # With the header, a rejected row is a file of its own that can be replayed.
                yield self._item(row, dialect.head + row.raw, columns)

    # ---- the header

    @cached_property
    def _columns(self) -> dict[str, Column]:
        """The columns by every name they may have; the first column that lists a name wins."""
        by_name: dict[str, Column] = {}
        for column in self.table.columns:
            for name in column.names:
                by_name.setdefault(normalise_word(name), column)
        return by_name

    def _field(self, header: str) -> Column | None:
        return self._columns.get(normalise_word(header))

    def _known(self, header: Sequence[str]) -> int:
        return sum(self._field(cell) is not None for cell in header)

    def _file_columns(self, dialect: Dialect) -> list[_FileColumn]:
        columns = [
            _FileColumn(index, header, self._field(header))
            for index, header in enumerate(dialect.header)
        ]
        fields = {column.target.field for column in columns if column.target}
        for group in self.table.needs:
            if not fields.intersection(group):
                accepted = ", ".join(name for field_ in group for name in self._named(field_).names)
                raise CsvFileError(
                    RejectCode.SCHEMA_MISSING_FIELD,
                    f"the header has no column for {' or '.join(group)}; accepted names are"
                    f" {accepted}. The header is: {', '.join(dialect.header)[:400]}",
                )
        return columns

    def _has(self, field_name: str) -> bool:
        return any(column.field == field_name for column in self.table.columns)

    def _named(self, field_name: str) -> Column:
        return next(column for column in self.table.columns if column.field == field_name)

    def _reject_file(self, fault: CsvFileError) -> Rejection:
        block = LineBlock(MAX_ITEM_BYTES)
        with self.unit.open() as stream:
            for line in read_lines(stream, MAX_ITEM_BYTES):
                block.add(line)
        message = f"{fault}; no line of the file ({block.lines} lines) was read"
        return reject_line(self.unit, 1, block.raw, fault.code, message)

    # ---- a row

    def _item(self, row: CsvRow, raw: bytes, columns: Sequence[_FileColumn]) -> ConnectorItem:
        if row.fault:
            return reject_line(self.unit, row.line, raw, *row.fault)
        cells = [clean_cell(cell) for cell in row.cells]
        try:
            event, data = self._event(row, cells, columns)
        except CellError as error:
            return reject_line(self.unit, row.line, raw, error.code, str(error))
        digest = hashlib.sha256("\0".join(cells).encode("utf-8", "surrogatepass")).digest()
        before = self._digests.setdefault(event.id, digest)
        if len(self._digests) > _IDS_TO_COMPARE:
            self._digests.popitem(last=False)
        if before != digest:
            what = (
                f"an earlier row has the same {', '.join(self.table.identity)} and other content,"
                " but identifies the same event; put all items of an order into one row, and write"
                " the time of events of the same day"
            )
            return reject_line(self.unit, row.line, raw, RejectCode.SCHEMA_VALUE, what)
        return ReadEvent(event, raw, data)

    def _event(
        self, row: CsvRow, cells: Sequence[str], columns: Sequence[_FileColumn]
    ) -> tuple[Event, BusinessData]:
        row_values, others = self._read_cells(cells, columns)
        for group in self.table.needs:
            if not any(name in row_values.values for name in group):
                headers = [
                    repr(column.header)
                    for column in columns
                    if column.target and column.target.field in group
                ]
                what = (
                    f"column {headers[0]} is empty"
                    if len(headers) == 1
                    else f"columns {', '.join(headers)} are all empty"
                )
                raise CellError(RejectCode.SCHEMA_MISSING_FIELD, what)
        try:
            action = self.table.finish(row_values, self.cell_format)
        except CellError as error:
            raise self._named_error(error, row_values, columns) from error
        moment: datetime | None = row_values.values.pop(TIME, None)
        row_values.values.pop(ACTION, None)
        data = _nested(row_values.values)
        # A column may be named like a field of the contract that no known column fills.
        names = _FreeNames({*data, *self.table.contract.model_fields})
        for header, cell in others.items():
            data[names.take(header)] = cell
        validated = self._validated(data, row_values, columns)
        event = Event(
            id=self._id(row_values, action, moment, cells, columns),
            source=source_name(self.options, self.name),
            type=f"{self.table.kind}.{action}",
            time=moment,
            tenant=self.options.tenant,
            locator=line_locator(self.unit, row.line),
            connector=f"{self.name}/{self.version}",
            data=data,
        )
        return event, validated

    def _read_cells(
        self, cells: Sequence[str], columns: Sequence[_FileColumn]
    ) -> tuple[RowValues, dict[str, str]]:
        """Return a row's values by field, and the cells of unknown columns by header."""
        row_values = RowValues()
        others: dict[str, str] = {}
        names = _FreeNames(set())
        by_field: dict[str, list[_FileColumn]] = {}
        for column in columns:
            if not cells[column.index]:
                continue
            if column.target:
                by_field.setdefault(column.target.field, []).append(column)
            else:
                name = names.take(column.header or f"column {column.index + 1}")
                others[name] = cells[column.index]
        # Lists first, because further numbers and addresses are appended to them.
        for name, same_field in sorted(
            by_field.items(), key=lambda entry: entry[0] not in _OVERFLOW_FIELDS.values()
        ):
            first, *more = same_field
            text = cells[first.index]
            if name == TIME and more and (is_clock(text) or is_clock(cells[more[0].index])):
                # The date is in one column and the time of day in another, in either order.
                text = " ".join(sorted((text, cells[more.pop(0).index]), key=is_clock))
            assert first.target is not None
            row_values.written[name] = text
            try:
                row_values.values[name] = first.target.read(text, self.cell_format)
            except CellError as error:
                raise CellError(
                    error.code, f"column {first.header!r} has {text[:80]!r}: {error}"
                ) from error
            for column in more:
                further = _OVERFLOW_FIELDS.get(name, "")
                if self._has(further):
                    row_values.values.setdefault(further, []).append(cells[column.index])
                else:
                    others[names.take(column.header)] = cells[column.index]
        return row_values, others

    def _named_error(
        self, error: CellError, row_values: RowValues, columns: Sequence[_FileColumn]
    ) -> CellError:
        header = next(
            (
                column.header
                for column in columns
                if column.target and column.target.field == error.field
            ),
            "",
        )
        written = row_values.written.get(error.field, "")
        return CellError(
            error.code,
            (
                f"column {header!r} has {written[:80]!r}: {error}"
                if header and written
                else str(error)
            ),
        )

    def _validated(
        self, data: dict[str, Any], row_values: RowValues, columns: Sequence[_FileColumn]
    ) -> BusinessData:
        try:
            return self.table.contract.model_validate(data)
        except ValidationError as fault:
            code, message = explain(fault, "row")
            path = ".".join(map(str, fault.errors()[0]["loc"]))
            raise self._named_error(CellError(code, message, path), row_values, columns) from fault

    def _id(
        self,
        row_values: RowValues,
        action: str,
        moment: datetime | None,
        cells: Sequence[str],
        columns: Sequence[_FileColumn],
    ) -> str:
        values = {**row_values.values, ACTION: action, TIME: rfc3339(moment) if moment else ""}
        if self.table.identity and all(values.get(name) for name in self.table.identity):
            parts = [str(values[name]) for name in self.table.identity]
        else:
            parts = [
                f"{column.header}={cells[column.index]}"
                for column in columns
                if cells[column.index]
            ]
        return str(stable_id(self.table.kind, *parts))


class _FreeNames:
    """Names that are all different: a number is appended to one that is in use."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = taken
        # The last number of each name, so that a thousand columns of one name are not counted anew
        # for each of them.
        self._numbers: dict[str, int] = {}

    def take(self, name: str) -> str:
        """Return the name, or the name with the next free number; it is in use from now on."""
        free = name
        while free in self._taken:
            number = self._numbers[name] = self._numbers.get(name, 1) + 1
            free = f"{name} {number}"
        self._taken.add(free)
        return free


def _nested(values: dict[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = {"customer": {}}
    for name, value in values.items():
        written = rfc3339(value) if isinstance(value, datetime) else value
        if name.startswith("customer."):
            data["customer"][name.removeprefix("customer.")] = written
        elif written is not None:
            data[name] = written
    return data

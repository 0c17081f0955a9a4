"""Connectors for the CSV files of shops: orders, feedback, complaints, customers; all read in one
way, each by its table.
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
from pipeline.ingest.business.cell_values import CellError, Reading, clean, read_currency, word_key
from pipeline.ingest.business.column_names import ACTION, TABLES, TIME, Column, Record, Table
from pipeline.ingest.business.csv_rows import (
    CsvRow,
    Dialect,
    FileFault,
    check_encoding,
    read_dialect,
    read_rows,
)
from pipeline.ingest.byte_streams import read_lines, refuse_unreadable
from pipeline.ingest.local_times import DateOrder, rfc3339
from pipeline.ingest.port import (
    MAX_ITEM_BYTES,
    Found,
    IngestOptions,
    Item,
    OptionError,
    Refused,
    Unit,
)
from pipeline.ingest.text_files import (
    Block,
    at_line,
    check_known,
    file_pattern,
    matching,
    refusal,
    source_of,
)
from schemas.dead_letters import RejectCode
from schemas.envelope import Event, stable_id
from schemas.registry import explain

_EXTRA = {
    "currency": "ISO 4217 code of sums whose row names none, such as CNY",
    "date_order": "dmy, mdy or ymd, where dates do not begin with the year",
    "encoding": (
        "the file's encoding, where it is neither UTF-8 nor GB18030, such as big5 or cp1252"
    ),
}
# Rows of one order stand together; so many events back, a second row with the same key and other
# content is noticed.
_REMEMBERED = 10_000
# Where a second column of the same kind goes, in tables that have a place for it.
_FURTHER = {"customer.phone": "phones", "customer.email": "emails"}
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
        self.keeps_items = True
        self.summary = _SUMMARIES[name]
        self.options = {
            "timezone": "zone of times that name none, such as Asia/Shanghai",
            "source": f"name of the system the file comes from, {name} unless given",
            **_EXTRA,
        }

    def units(self, paths: Sequence[Path]) -> Iterator[Unit]:
        """Yield the CSV files under the paths; a file named itself is read whatever its name."""
        return matching(paths, file_pattern("csv", "tsv"))

    def read(self, unit: Unit, options: IngestOptions) -> Iterator[Item]:
        """Yield one event per row in order, checked against its contract; a row that does not fit
        is refused, and no other.

        A file whose header lacks a column that is needed is refused as a whole. Raises OptionError
        for an option that is wrong.
        """
        check_known(options.extra, _EXTRA, self.name)
        reader = _Reader(self._table, unit, options, _reading(options), self.name, self.version)
        return refuse_unreadable(unit, reader.items())


def _reading(options: IngestOptions) -> Reading:
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
            read_currency(extra["currency"].strip(), Reading()) if "currency" in extra else None
        )
    except CellError as error:
        raise OptionError(f"currency is {extra['currency']!r}: {error}") from None
    return Reading(options.zone, order, currency)


@dataclass(frozen=True, slots=True)
class _Placed:
    """A column of the file: which cell, what its header says, and the field it is, if it is one."""

    index: int
    header: str
    column: Column | None


@dataclass
class _Reader:
    table: Table
    unit: Unit
    options: IngestOptions
    reading: Reading
    name: str
    version: str
    _seen: OrderedDict[str, bytes] = field(default_factory=OrderedDict)

    def items(self) -> Iterator[Item]:
        try:
            dialect = read_dialect(self.unit, self.options.extra.get("encoding"), self._known)
            if dialect is None:
                return
            placed = self._placed(dialect)
        except FileFault as fault:
            yield self._refuse_file(fault)
            return
        for row in read_rows(self.unit, dialect):
            # The header goes along: a row that is refused is then a file of its own, and can be
            # sent again.
            yield self._item(row, dialect.head + row.raw, placed)

    # ---- the header
    # ---------------------------------------------------------------------------------------------------------

    @cached_property
    def _columns(self) -> dict[str, Column]:
        """The columns by every name they may have; the first that claims a name has it."""
        by_name: dict[str, Column] = {}
        for column in self.table.columns:
            for name in column.names:
                by_name.setdefault(word_key(name), column)
        return by_name

    def _field(self, header: str) -> Column | None:
        return self._columns.get(word_key(header))

    def _known(self, header: Sequence[str]) -> int:
        return sum(self._field(cell) is not None for cell in header)

    def _placed(self, dialect: Dialect) -> list[_Placed]:
        placed = [
            _Placed(index, header, self._field(header))
            for index, header in enumerate(dialect.header)
        ]
        fields = {place.column.field for place in placed if place.column}
        for group in self.table.needs:
            if not fields.intersection(group):
                accepted = ", ".join(name for one in group for name in self._named(one).names)
                raise FileFault(
                    RejectCode.SCHEMA_MISSING_FIELD,
                    f"the header has no column for {' or '.join(group)}; it may be called"
                    f" {accepted}. The header is: {', '.join(dialect.header)[:400]}",
                )
        return placed

    def _has(self, field_name: str) -> bool:
        return any(column.field == field_name for column in self.table.columns)

    def _named(self, field_name: str) -> Column:
        return next(column for column in self.table.columns if column.field == field_name)

    def _refuse_file(self, fault: FileFault) -> Refused:
        block = Block(MAX_ITEM_BYTES)
        with self.unit.open() as stream:
            for line in read_lines(stream, MAX_ITEM_BYTES):
                block.add(line)
        message = f"{fault}; nothing of the file ({block.lines} lines) was read"
        return refusal(self.unit, 1, block.raw, fault.code, message)

    # ---- a row
    # --------------------------------------------------------------------------------------------------------------

    def _item(self, row: CsvRow, raw: bytes, placed: Sequence[_Placed]) -> Item:
        if row.fault:
            return refusal(self.unit, row.line, raw, *row.fault)
        cells = [clean(cell) for cell in row.cells]
        try:
            event = self._event(row, cells, placed)
        except CellError as error:
            return refusal(self.unit, row.line, raw, error.code, str(error))
        digest = hashlib.sha256("\0".join(cells).encode("utf-8", "surrogatepass")).digest()
        before = self._seen.setdefault(event.id, digest)
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        if before != digest:
            what = (
                f"an earlier row has the same {', '.join(self.table.identity)} and other content:"
                " one event cannot be both; put the articles of an order into one row, and give"
                " events of one day their time"
            )
            return refusal(self.unit, row.line, raw, RejectCode.SCHEMA_VALUE, what)
        return Found(event, raw)

    def _event(self, row: CsvRow, cells: Sequence[str], placed: Sequence[_Placed]) -> Event:
        record, others = self._read_cells(cells, placed)
        for group in self.table.needs:
            if not any(name in record.values for name in group):
                headers = [
                    repr(place.header)
                    for place in placed
                    if place.column and place.column.field in group
                ]
                what = (
                    f"column {headers[0]} is empty"
                    if len(headers) == 1
                    else f"columns {', '.join(headers)} are all empty"
                )
                raise CellError(RejectCode.SCHEMA_MISSING_FIELD, what)
        try:
            action = self.table.finish(record, self.reading)
        except CellError as error:
            raise self._named_error(error, record, placed) from error
        moment: datetime | None = record.values.pop(TIME, None)
        record.values.pop(ACTION, None)
        data = _nested(record.values)
        self._check(data, record, placed)
        for header, cell in others.items():
            # A column may be called like a field that no column of this table fills.
            data[_free_name(header, {*data, *self.table.contract.model_fields})] = cell
        return Event(
            id=self._id(record, action, moment, cells, placed),
            source=source_of(self.options, self.name),
            type=f"{self.table.kind}.{action}",
            time=moment,
            tenant=self.options.tenant,
            locator=at_line(self.unit, row.line),
            connector=f"{self.name}/{self.version}",
            data=data,
        )

    def _read_cells(
        self, cells: Sequence[str], placed: Sequence[_Placed]
    ) -> tuple[Record, dict[str, str]]:
        """Return a row's values by field, and the cells that are no field's, by their header."""
        record = Record()
        others: dict[str, str] = {}
        found: dict[str, list[_Placed]] = {}
        for place in placed:
            if not cells[place.index]:
                continue
            if place.column:
                found.setdefault(place.column.field, []).append(place)
            else:
                others[_free_name(place.header or f"column {place.index + 1}", others)] = cells[
                    place.index
                ]
        # Lists first: further numbers and addresses are added to them.
        for name, places in sorted(
            found.items(), key=lambda entry: entry[0] not in _FURTHER.values()
        ):
            first, *more = places
            text = cells[first.index]
            if name == TIME and more and (is_clock(text) or is_clock(cells[more[0].index])):
                # The date in one column, the time of day in another, in either order.
                text = " ".join(sorted((text, cells[more.pop(0).index]), key=is_clock))
            assert first.column is not None
            record.written[name] = text
            try:
                record.values[name] = first.column.read(text, self.reading)
            except CellError as error:
                raise CellError(
                    error.code, f"column {first.header!r} has {text[:80]!r}: {error}"
                ) from error
            for place in more:
                further = _FURTHER.get(name, "")
                if self._has(further):
                    record.values[further] = [*record.values.get(further, []), cells[place.index]]
                else:
                    others[_free_name(place.header, others)] = cells[place.index]
        return record, others

    def _named_error(
        self, error: CellError, record: Record, placed: Sequence[_Placed]
    ) -> CellError:
        header = next(
            (
                place.header
                for place in placed
                if place.column and place.column.field == error.field
            ),
            "",
        )
        written = record.written.get(error.field, "")
        return CellError(
            error.code,
            (
                f"column {header!r} has {written[:80]!r}: {error}"
                if header and written
                else str(error)
            ),
        )

    def _check(self, data: dict[str, Any], record: Record, placed: Sequence[_Placed]) -> None:
        try:
            self.table.contract.model_validate(data)
        except ValidationError as fault:
            code, message = explain(fault, "row")
            path = ".".join(map(str, fault.errors()[0]["loc"]))
            raise self._named_error(CellError(code, message, path), record, placed) from fault

    def _id(
        self,
        record: Record,
        action: str,
        moment: datetime | None,
        cells: Sequence[str],
        placed: Sequence[_Placed],
    ) -> str:
        told = {**record.values, ACTION: action, TIME: rfc3339(moment) if moment else ""}
        if self.table.identity and all(told.get(name) for name in self.table.identity):
            parts = [str(told[name]) for name in self.table.identity]
        else:
            parts = [
                f"{place.header}={cells[place.index]}" for place in placed if cells[place.index]
            ]
        return str(stable_id(self.table.kind, *parts))


def _free_name(name: str, taken: dict[str, Any] | set[str]) -> str:
    """Return the name, numbered if it is taken."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} {number}"
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

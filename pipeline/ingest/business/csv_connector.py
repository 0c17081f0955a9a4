"""Connectors for CSV files of shops: orders, feedback, complaints, customers.

All are read in the same way; the tables in `column_names.py` describe each kind.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from pipeline.ingest.business.amounts import MarkEvidence
from pipeline.ingest.business.cell_values import (
    CellError,
    CellFormat,
    DecimalMark,
    clean_cell,
    read_rating,
)
from pipeline.ingest.business.column_names import TABLES
from pipeline.ingest.business.csv_encoding import CsvFileError, as_utf8, check_encoding, is_wide
from pipeline.ingest.business.csv_header import FileColumn, HeaderReader
from pipeline.ingest.business.csv_rows import MAX_ROW, CsvRow, Dialect, read_dialect, read_rows
from pipeline.ingest.business.csv_tables import CsvTable
from pipeline.ingest.business.currencies import read_currency
from pipeline.ingest.business.order_columns import row_amounts
from pipeline.ingest.business.rating_scales import parse_scale
from pipeline.ingest.business.row_events import ITEM, RowReader
from pipeline.ingest.byte_streams import Line, UnreadableUnitError, read_lines, reject_unreadable
from pipeline.ingest.local_times import DateOrder
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
from schemas.dead_letters import RejectCode
from schemas.envelope import Event

_EXTRA = {
    "currency": "ISO 4217 code of amounts without a currency, such as CNY",
    "date_order": "dmy, mdy or ymd, if dates do not start with the year",
    "decimal": "comma or point, if an amount such as 1.299 may be a thousand or a fraction",
    "encoding": (
        "encoding of the file, if it is neither UTF-8 nor GB18030, such as big5, cp949 or utf-16"
    ),
    "scale": "scale of ratings, such as 0-10, if the header does not name it",
}
# A row with the id of an earlier event and other content is rejected; the ids of so many earlier
# events are kept. The rows of one order are usually next to each other.
_IDS_TO_COMPARE = 10_000
CURRENCY, ORDER_ID, RATING, SCALE = "currency", "order_id", "rating", ("scale_min", "scale_max")
# The contract's default for ratings without a scale (`schemas/business.py: FeedbackData`).
DEFAULT_SCALE = (1, 5)
_SUMMARIES = {
    "orders": (
        "orders, payments, refunds and cancellations as CSV (订单、付款、退款), also with the"
        " headers of Shopify, WooCommerce, Taobao and Tmall (淘宝、天猫), JD (京东)"
    ),
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
        # A later amount or rating may say how the earlier ones are to be read.
        self.append_only = name not in ("orders", "feedback")
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
    region = options.own.region
    try:
        currency = (
            read_currency(extra["currency"].strip(), CellFormat(region=region))
            if "currency" in extra
            else None
        )
    except CellError as error:
        raise OptionError(f"currency is {extra['currency']!r}: {error}") from None
    try:
        mark = DecimalMark(extra["decimal"].strip().casefold()) if "decimal" in extra else None
    except ValueError:
        raise OptionError(
            f"decimal is {extra['decimal']!r}; it can be comma (12,50) or point (12.50)"
        ) from None
    scale = parse_scale(extra["scale"]) if "scale" in extra else None
    if "scale" in extra and scale is None:
        raise OptionError(f"scale is {extra['scale']!r}; write it as 0-10 or 1-5")
    return CellFormat(options.zone, order, currency, mark, scale, region)


@dataclass
class _CsvReader:
    table: CsvTable
    unit: InputUnit
    options: IngestOptions
    cell_format: CellFormat
    name: str
    version: str
    _digests: OrderedDict[str, bytes] = field(default_factory=OrderedDict)
    _evidence: MarkEvidence | None = None

    def items(self) -> Iterator[ConnectorItem]:
        with self._open() as stream:
            header_reader = HeaderReader(self.table, self.cell_format)
            try:
                opening = self._dialect(stream, header_reader)
                if opening is None:
                    return
                dialect, lines = opening
                columns = header_reader.checked_columns(dialect.header)
            except CsvFileError as fault:
                yield self._reject_file(fault)
                return
            reader = RowReader(self.table, self.cell_format, columns, self._read_evidence)
            if self.cell_format.scale is None:
                reader.off_scale = self._off_scale(reader)
            for rows in _grouped(read_rows(lines, dialect), columns):
                # With the header, a rejected row is a file of its own that can be replayed.
                raw = dialect.head + b"".join(row.raw for row in rows)
                yield self._item(rows, self._as_written(raw), reader)

    def _open(self) -> BinaryIO:
        stream = self.unit.open()
        codec = self._option_codec
        return as_utf8(stream, codec) if codec and is_wide(codec) else stream

    @property
    def _option_codec(self) -> str | None:
        name = self.options.extra.get("encoding")
        return check_encoding(name) if name else None

    def _as_written(self, raw: bytes) -> bytes:
        """Return the bytes of rows in the encoding of the file."""
        codec = self._option_codec
        if not codec or not is_wide(codec):
            return raw
        # `surrogatepass` keeps half a character, which is why the row was refused.
        return raw.decode("utf-8", "surrogatepass").encode(codec, "surrogatepass")

    def _dialect(
        self, stream: BinaryIO, header_reader: HeaderReader
    ) -> tuple[Dialect, Iterator[Line]] | None:
        codec = self._option_codec
        return read_dialect(
            stream,
            "utf-8" if codec and is_wide(codec) else codec,
            header_reader.count_known,
            header_reader.is_complete,
        )

    def _reject_file(self, fault: CsvFileError) -> Rejection:
        block = LineBlock(MAX_ITEM_BYTES)
        with self.unit.open() as stream:
            for line in read_lines(stream, MAX_ITEM_BYTES):
                block.add(line)
        message = f"{fault}; no line of the file ({block.lines} lines) was read"
        return reject_line(self.unit, 1, block.raw, fault.code, message)

    # ---- what the other rows say

    def _all_rows(self) -> Iterator[CsvRow]:
        """Yield the rows of the file, read anew, up to a damaged end."""
        with self._open() as stream:
            opening = self._dialect(stream, HeaderReader(self.table, self.cell_format))
            if opening is None:
                return
            dialect, lines = opening
            with suppress(UnreadableUnitError):
                yield from (row for row in read_rows(lines, dialect) if not row.fault)

    def _read_evidence(self) -> MarkEvidence:
        """Return the decimal marks that all amounts of the file prove.

        The file is read a second time for it, once, and only if an amount has two readings.
        """
        if self._evidence is None:
            self._evidence = MarkEvidence()
            reader: RowReader | None = None
            with self._open() as stream:
                header_reader = HeaderReader(self.table, self.cell_format)
                opening = self._dialect(stream, header_reader)
                assert opening is not None
                columns = [
                    column
                    for column in header_reader.columns(opening[0].header)
                    if column.target and (column.target.is_money or column.target.field == CURRENCY)
                ]
                reader = RowReader(self.table, self.cell_format, columns)
            for row in self._all_rows():
                with suppress(CellError):
                    values, _ = reader.values([clean_cell(cell) for cell in row.cells])
                    for number, currency in row_amounts(values, self.cell_format):
                        self._evidence.add(number, currency, row.line)
        return self._evidence

    def _off_scale(self, reader: RowReader) -> str:
        """Return the question of a file with ratings outside 1 to 5 whose header names no scale."""
        columns = [
            column
            for column in reader.columns
            if column.target and column.target.field in (RATING, *SCALE)
        ]
        ratings = [column for column in columns if column.target and column.target.field == RATING]
        if len(ratings) != len(columns) or not ratings or ratings[0].scale:
            return ""
        column = ratings[0]
        for row in self._all_rows():
            with suppress(CellError):
                rating, best = read_rating(clean_cell(row.cells[column.index]), self.cell_format)
                if best is None and not DEFAULT_SCALE[0] <= rating <= DEFAULT_SCALE[1]:
                    return (
                        f"its scale is not known: rating {rating:g} in line {row.line} is outside"
                        f" its scale {DEFAULT_SCALE[0]} to {DEFAULT_SCALE[1]}; say which it is with"
                        " --option scale=0-10 (or 1-5, 1-7 …), or in the header: NPS, stars, 0-10"
                    )
        return ""

    # ---- a row

    def _item(self, rows: Sequence[CsvRow], raw: bytes, reader: RowReader) -> ConnectorItem:
        first = rows[0]
        if first.fault:
            return reject_line(self.unit, first.line, raw, *first.fault)
        cells, *further = [[clean_cell(cell) for cell in row.cells] for row in rows]
        try:
            parsed = reader.event(cells, further)
        except CellError as error:
            what = str(error)
            if error.code is RejectCode.SCHEMA_MISSING_FIELD and first.written < len(cells):
                what += f"; the row has {first.written} cells, the header {len(cells)}"
            return reject_line(self.unit, first.line, raw, error.code, what)
        text = "\0".join(cell for row in (cells, *further) for cell in row)
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        before = self._digests.setdefault(parsed.id, digest)
        if len(self._digests) > _IDS_TO_COMPARE:
            self._digests.popitem(last=False)
        if before != digest:
            what = (
                f"an earlier row has the same {', '.join(self.table.identity)} and other content,"
                " but identifies the same event; put the items of an order into rows that follow"
                " each other and differ in columns of the item only, and write the time of events"
                " of the same day"
            )
            return reject_line(self.unit, first.line, raw, RejectCode.SCHEMA_VALUE, what)
        event = Event(
            id=parsed.id,
            source=source_name(self.options, self.name),
            type=parsed.type,
            time=parsed.time,
            tenant=self.options.tenant,
            locator=line_locator(self.unit, first.line),
            connector=f"{self.name}/{self.version}",
            data=parsed.data,
        )
        return ReadEvent(event, raw, parsed.validated)


def _grouped(rows: Iterator[CsvRow], columns: Sequence[FileColumn]) -> Iterator[tuple[CsvRow, ...]]:
    """Yield the rows of one order together: rows that follow each other, one for each item.

    A further row repeats the cells of the first one, or leaves all but the order's number empty.
    """
    fields = {column.index: column.target.field for column in columns if column.target}
    items = [index for index, name in fields.items() if name.startswith(ITEM)]
    numbers = [index for index, name in fields.items() if name == ORDER_ID]
    group: list[CsvRow] = []
    shared: list[str] = []
    size = 0
    try:
        for row in rows:
            if not items or not numbers or row.fault:
                if group:
                    yield tuple(group)
                    group = []
                yield (row,)
                continue
            # Copied, because the cells of items are taken out.
            cells = [cell.strip() for cell in row.cells]
            for index in items:
                cells[index] = ""
            size += len(row.raw)
            number = cells[numbers[0]]
            same = number and group and number == shared[numbers[0]]
            alone = sum(map(bool, cells)) == 1
            if same and (alone or cells == shared) and size <= MAX_ROW:
                group.append(row)
                continue
            if group:
                yield tuple(group)
            group, shared, size = [row], cells, len(row.raw)
    except UnreadableUnitError:
        if group:
            yield tuple(group)
        raise
    if group:
        yield tuple(group)

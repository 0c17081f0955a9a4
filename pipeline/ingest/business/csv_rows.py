"""Rows of a CSV file with a header: encodings, delimiters, quoted line breaks.

A broken row does not affect the others.
"""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

from pipeline.ingest.business.csv_encoding import (
    CsvFileError,
    check_encoding,
    guess_codec,
    is_gb18030,
)
from pipeline.ingest.byte_streams import (
    CHUNK,
    Line,
    UnreadableUnitError,
    raise_when_read,
    read_lines,
)
from pipeline.ingest.text_files import is_blank
from schemas.dead_letters import RejectCode

DELIMITERS = (",", ";", "\t")
# A row of a shop's export has a few hundred bytes, one with a long complaint some thousand. A quote
# that is never closed would turn the rest of the file into one row; this limit stops it.
MAX_ROW = 1024 * 1024
# The header goes with every rejected row, so that the row can be replayed as a file of its own. The
# widest exports have a thousand columns with names of thirty bytes.
_MAX_HEADER = 64 * 1024
# The lines after a quote that is not closed are read again as rows of their own: in all so many
# times the bytes of the file, and one row of the largest size. Beyond that a broken row is rejected
# together with its lines: a file of open quotes would otherwise be read once for each of its lines.
_MOST_READ_AGAIN = 8
# The csv module limits a field to 128 KiB, less than MAX_ROW. Its limit is global to the process.
csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW))

_BOM = b"\xef\xbb\xbf"
_BLANK = " \t\r\n\ufeff\u00a0"
# Excel writes `sep=;` above the header if the delimiter is not the default of the system.
_SEP_LINE = re.compile(r"\ufeff?\"?sep=(.)\"?\s*", re.IGNORECASE)
# Titles, dates and blank lines above a header are a few lines; further down a line that looks like
# a header is a row.
_MAX_TITLE_LINES = 20
# A header whose names have line breaks: a few lines a column at most.
_MAX_HEADER_LINES = 200
# A doubled quote is a quote inside the text.
_TO_CLOSING_QUOTE = re.compile(rb'(?:[^"]|"")*+"')
# MySQL, PHP and pandas may write a quote inside the text with a backslash.
_TO_CLOSING_QUOTE_ESCAPED = re.compile(rb'(?:[^"\\]|\\.|"")*+"', re.DOTALL)
_ESCAPED_QUOTE = b'\\"'


@dataclass(frozen=True, slots=True)
class CsvRow:
    """One row that starts in line `line`: its cells, or its error.

    `written` is the number of cells in the file; empty last cells may be left out there.
    """

    line: int
    raw: bytes
    cells: tuple[str, ...] = ()
    fault: tuple[RejectCode, str] | None = None
    written: int = 0


@dataclass(frozen=True, slots=True)
class Dialect:
    """How to parse a file.

    `head` are the lines up to and including the header, `skip` is their number.
    """

    encoding: str
    delimiter: str
    header: tuple[str, ...]
    head: bytes
    skip: int


# ---- encoding and header


def read_dialect(
    stream: BinaryIO,
    encoding: str | None,
    known: Callable[[Sequence[str]], int],
    is_complete: Callable[[Sequence[str]], bool],
) -> tuple[Dialect, Iterator[Line]] | None:
    """Return how to parse a file, and its lines from the header on; None if it is empty.

    `encoding` None means UTF-8, or GB18030 if the bytes prove it. The delimiter is the one that
    gives the most `known` column names. The header is the first line with all names that
    `is_complete` asks for; lines above it are a title. Raises CsvFileError, and OptionError for an
    encoding that does not exist or is not a superset of ASCII.
    """
    opening, rest = _opening(read_lines(stream, MAX_ROW))
    if not opening:
        return None
    sample = b"".join(line.data for line in opening)
    codec = (
        check_encoding(encoding)
        if encoding
        else guess_codec(sample, lambda text: _has_known_names(text, known))
    )
    delimiters: tuple[str, ...] = DELIMITERS
    first = _decoded(opening[0], codec)
    if named := _SEP_LINE.fullmatch(first):
        delimiters = (named[1],)
    lines = [line for line in opening if not is_blank(line.data)][1 if named else 0 :]
    found = _find_header(lines or opening[:1], codec, delimiters, known, is_complete)
    size = sum(line.size for line in found.lines)
    if size > _MAX_HEADER:
        raise CsvFileError(
            RejectCode.OVERSIZE,
            f"the header has {size} bytes, more than the limit of {_MAX_HEADER}",
        )
    head = (opening[0].data if named else b"") + b"".join(line.data for line in found.lines)
    header = tuple(" ".join(cell.replace("\0", "").split()) for cell in found.cells)
    dialect = Dialect(codec, found.delimiter, header, head, found.lines[-1].number)
    return dialect, chain(opening, rest)


def _opening(lines: Iterator[Line]) -> tuple[list[Line], Iterator[Line]]:
    """Return the lines of the first 64 KiB from the first one that is not blank, and the rest."""
    opening: list[Line] = []
    size = 0
    try:
        for line in lines:
            if opening or not is_blank(line.data):
                opening.append(line)
                size += len(line.data)
            if size >= CHUNK:
                break
    except UnreadableUnitError as error:
        if not opening:
            raise
        # The rows before the damage are read first.
        return opening, raise_when_read(error)
    return opening, lines


def _has_known_names(text: str, known: Callable[[Sequence[str]], int]) -> bool:
    """Return whether the first lines have column names beyond ASCII."""
    names = re.split(r"[,;\t\r\n\"]", text[:_MAX_HEADER])
    return known([name for name in names if not name.isascii()]) > 0


def _decoded(line: Line, codec: str) -> str:
    try:
        return line.data.decode(codec)
    except UnicodeDecodeError as error:
        raise CsvFileError(
            RejectCode.CHARSET,
            f"the header is not {codec}: {error.reason} at byte {error.start + 1}",
        ) from error


@dataclass(frozen=True, slots=True)
class _Header:
    known: int
    delimiter: str
    lines: Sequence[Line]
    cells: Sequence[str]


def _find_header(
    lines: Sequence[Line],
    codec: str,
    delimiters: Sequence[str],
    known: Callable[[Sequence[str]], int],
    is_complete: Callable[[Sequence[str]], bool],
) -> _Header:
    """Return the first header that is complete, else what the first line is as a header."""
    for start in range(min(len(lines), _MAX_TITLE_LINES)):
        try:
            header = _header_at(lines[start : start + _MAX_HEADER_LINES], codec, delimiters, known)
        except CsvFileError:
            # A row with a bad byte, or one in another encoding, is no header.
            continue
        if header and is_complete(header.cells):
            return header
    if header := _header_at(lines[:1], codec, delimiters, known):
        return header
    text = _decoded(lines[0], codec).strip(_BLANK)[:80]
    raise CsvFileError(RejectCode.UNPARSABLE, f"the first line is not a header: {text!r}")


def _header_at(
    lines: Sequence[Line],
    codec: str,
    delimiters: Sequence[str],
    known: Callable[[Sequence[str]], int],
) -> _Header | None:
    readings = []
    for delimiter in delimiters:
        block, in_quotes = 0, False
        while block < len(lines) and (in_quotes or not block):
            in_quotes = _ends_in_quotes(
                lines[block].data.removeprefix(_BOM), in_quotes, delimiter.encode()
            )
            block += 1
        if in_quotes:
            continue
        text = "".join(_decoded(line, codec) for line in lines[:block]).lstrip("\ufeff")
        try:
            cells = _cells(text, delimiter)
        except csv.Error:
            continue
        readings.append(_Header(known(cells), delimiter, lines[:block], cells))
    # The first delimiter wins a tie: a comma, as in most files.
    return max(readings, key=lambda reading: (reading.known, len(reading.cells)), default=None)


# ---- rows


def read_rows(lines: Iterator[Line], dialect: Dialect) -> Iterator[CsvRow]:
    """Yield the rows below the header in order, without blank rows.

    A row ends at a line end outside quotes. Empty last cells may be left out. In a row that is not
    valid otherwise, a backslash before a quote makes the quote a part of the text. If a quote is
    never closed, if something follows a closing quote, or if the row has more cells than the
    header, only the first line is rejected, and reading continues with the next line. In a file
    with very many such rows, all lines of the row are rejected together.
    """
    return _Rows(dialect, lines).rows()


class _Rows:
    def __init__(self, dialect: Dialect, lines: Iterator[Line]) -> None:
        self._dialect, self._lines = dialect, lines
        self._again: deque[Line] = deque()
        self._bytes_read = self._bytes_read_again = 0
        self._delimiter = dialect.delimiter.encode("ascii")

    def rows(self) -> Iterator[CsvRow]:
        while line := self._next():
            if line.number <= self._dialect.skip:
                continue
            if line.oversize:
                fault = f"it has {line.size} bytes, more than the limit of {MAX_ROW}"
                yield CsvRow(line.number, line.data, fault=(RejectCode.OVERSIZE, fault))
            elif line.data.strip(b" \t\r\n\0,;"):
                yield from self._row(line)

    def _next(self) -> Line | None:
        if self._again:
            return self._again.popleft()
        line = next(self._lines, None)
        self._bytes_read += line.size if line else 0
        return line

    def _row(self, first: Line) -> Iterator[CsvRow]:
        width = len(self._dialect.header)
        block, row = self._parsed(first, escaped=False)
        if _ESCAPED_QUOTE in first.data and len(row.cells) != width:
            again = sum(line.size for line in block[1:])
            if self._may_read_again(again):
                self._bytes_read_again += again
                self._again.extendleft(reversed(block[1:]))
                escaped_block, escaped = self._parsed(first, escaped=True)
                if not escaped.fault and (row.fault or len(escaped.cells) == width):
                    block, row = escaped_block, escaped
                else:
                    self._again.extendleft(reversed(escaped_block[1:]))
                    block, row = self._parsed(first, escaped=False)
        if row.fault:
            yield self._give_up(block, *row.fault)
        elif any(cell.strip(_BLANK) for cell in row.cells[width:]):
            what = (
                f"it has {len(row.cells)} cells, the header {width}: a cell with the delimiter or a"
                " quotation mark in it has to be in quotes"
            )
            yield self._give_up(block, RejectCode.UNPARSABLE, what)
        elif len(row.cells) < width and not any(cell.strip(_BLANK) for cell in row.cells):
            what = f"it has {len(row.cells)} cells, the header {width}, and nothing in them"
            yield self._give_up(block, RejectCode.UNPARSABLE, what)
        elif any(cell.strip(_BLANK) for cell in row.cells):
            missing = ("",) * (width - len(row.cells))
            yield CsvRow(
                row.line, row.raw, row.cells[:width] + missing, written=min(len(row.cells), width)
            )

    def _parsed(self, first: Line, escaped: bool) -> tuple[list[Line], CsvRow]:
        """Return the lines of a row, and all of its cells or its fault."""
        block = [first]
        try:
            closed = self._read_to_closing_quote(block, escaped)
        except UnreadableUnitError as error:
            error.rest = b"".join(line.data for line in block) + error.rest
            raise
        raw = b"".join(line.data for line in block)
        code, what = RejectCode.UNPARSABLE, "a quotation mark is not closed"
        if closed:
            try:
                cells = _cells(self._decode(raw), self._dialect.delimiter, escaped)
                return block, CsvRow(first.number, raw, tuple(cells))
            except UnicodeDecodeError as error:
                code = RejectCode.CHARSET
                what = (
                    f"it is not {self._dialect.encoding}: {error.reason} at byte"
                    f" {error.start + 1}; save the file as CSV UTF-8"
                )
            except csv.Error as error:
                what = (
                    f"it is not valid CSV: {error}; a quotation mark inside a quoted cell is"
                    ' written twice: "12"" tube"'
                )
        return block, CsvRow(first.number, raw, fault=(code, what))

    def _read_to_closing_quote(self, block: list[Line], escaped: bool) -> bool:
        """Add lines to the block until no quote is open; return False if none closes it in time."""
        size = block[0].size
        in_quotes = _ends_in_quotes(block[0].data, False, self._delimiter, escaped)
        while in_quotes:
            line = self._next()
            if line is None:
                return False
            block.append(line)
            size += line.size
            if size > MAX_ROW:
                return False
            in_quotes = _ends_in_quotes(line.data, True, self._delimiter, escaped)
        return True

    def _may_read_again(self, size: int) -> bool:
        limit = MAX_ROW + _MOST_READ_AGAIN * self._bytes_read
        return self._bytes_read_again + size <= limit

    def _give_up(self, block: list[Line], code: RejectCode, what: str) -> CsvRow:
        """Return the first line as a broken row; the others will be parsed as rows of their own.

        All lines are the broken row if too much of the file was read again.
        """
        again = sum(line.size for line in block[1:])
        if self._may_read_again(again):
            self._bytes_read_again += again
            self._again.extendleft(reversed(block[1:]))
            return CsvRow(block[0].number, block[0].data, fault=(code, what))
        together = (
            f"{what}; too many rows are broken, so its {len(block)} lines are rejected with it"
        )
        raw = b"".join(line.data for line in block)
        return CsvRow(block[0].number, raw, fault=(code, together))

    def _decode(self, raw: bytes) -> str:
        try:
            return raw.decode(self._dialect.encoding)
        except UnicodeDecodeError:
            # The first Chinese character may come after the head by which the encoding was
            # recognised.
            if self._dialect.encoding == "utf-8" and is_gb18030(raw):
                return raw.decode("gb18030")
            raise


def _ends_in_quotes(line: bytes, in_quotes: bool, delimiter: bytes, escaped: bool = False) -> bool:
    """Return whether a quoted cell is open at the end of a line.

    Quotes inside an unquoted cell are ordinary characters.
    """
    to_closing_quote = _TO_CLOSING_QUOTE_ESCAPED if escaped else _TO_CLOSING_QUOTE
    at = 0
    while True:
        if not in_quotes and line[at : at + 1] == b'"':
            in_quotes, at = True, at + 1
        if in_quotes:
            closing = to_closing_quote.match(line, at)
            if not closing:
                return True
            in_quotes, at = False, closing.end()
        at = line.find(delimiter, at) + 1
        if at == 0:
            return False


def _cells(text: str, delimiter: str, escaped: bool = False) -> list[str]:
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        escapechar="\\" if escaped else None,
        strict=True,
    )
    rows = list(reader)
    if len(rows) != 1:
        raise csv.Error(f"{len(rows)} rows instead of one")
    return rows[0]

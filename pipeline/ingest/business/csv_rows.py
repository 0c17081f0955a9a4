"""Rows of a CSV file with a header: encodings, delimiters, quoted line breaks.

A broken row does not affect the others.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

from pipeline.ingest.byte_streams import (
    CHUNK,
    Line,
    UnreadableUnitError,
    raise_when_read,
    read_lines,
)
from pipeline.ingest.port import OptionError
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

_BLANK = " \t\r\n\ufeff\u00a0"
# Excel writes `sep=;` above the header if the delimiter is not the default of the system.
_SEP_LINE = re.compile(r"\ufeff?\"?sep=(.)\"?\s*", re.IGNORECASE)
# In GB2312 both bytes of a character are A1 or higher, and 99 of 100 characters of Chinese text are
# in GB2312. Other text that happens to decode as GB18030 (an accented letter before an ASCII one,
# Big5) seldom has this form.
_HIGH_PAIR = re.compile(rb"[\xa1-\xfe][\xa1-\xfe]")
_HIGH = re.compile(rb"[\x80-\xff]")
_GB_SHARE = 0.9
# A doubled quote is a quote inside the text.
_TO_CLOSING_QUOTE = re.compile(rb'(?:[^"]|"")*+"')


class CsvFileError(ValueError):
    """The file cannot be read at all because of its encoding or its header."""

    def __init__(self, code: RejectCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class CsvRow:
    """One row that starts in line `line`: its cells, or its error."""

    line: int
    raw: bytes
    cells: tuple[str, ...] = ()
    fault: tuple[RejectCode, str] | None = None


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
    stream: BinaryIO, encoding: str | None, known: Callable[[Sequence[str]], int]
) -> tuple[Dialect, Iterator[Line]] | None:
    """Return how to parse a file, and its lines from the header on; None if it is empty.

    `encoding` None means UTF-8, or GB18030 if the bytes look like it. The delimiter is the one that
    gives the most `known` column names. Raises CsvFileError, and OptionError for an encoding that
    does not exist or is not a superset of ASCII.
    """
    opening, rest = _opening(read_lines(stream, MAX_ROW))
    if not opening:
        return None
    sample = b"".join(line.data for line in opening)
    codec = check_encoding(encoding) if encoding else _guessed_codec(sample)
    delimiters: tuple[str, ...] = DELIMITERS
    named = _SEP_LINE.fullmatch(_decoded(opening[0], codec))
    if named:
        delimiters = (named[1],)
    used = [line for line in opening if not is_blank(line.data)][: 2 if named else 1]
    delimiter, header = _split_header(_decoded(used[-1], codec), delimiters, known)
    if used[-1].size > _MAX_HEADER:
        raise CsvFileError(
            RejectCode.OVERSIZE,
            f"the header has {used[-1].size} bytes, more than the limit of {_MAX_HEADER}",
        )
    head = b"".join(line.data for line in used)
    return Dialect(codec, delimiter, header, head, used[-1].number), chain(opening, rest)


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


def _decoded(line: Line, codec: str) -> str:
    try:
        return line.data.decode(codec)
    except UnicodeDecodeError as error:
        raise CsvFileError(
            RejectCode.CHARSET,
            f"the header is not {codec}: {error.reason} at byte {error.start + 1}",
        ) from error


def check_encoding(name: str) -> str:
    """Return the codec of an encoding.

    Raises OptionError for one that does not exist, or that is not a superset of ASCII.

    >>> check_encoding("GBK")
    'gbk'
    """
    try:
        codec = codecs.lookup(name)
        plain = b'",;\t\r\nAz09'
        is_superset = plain.decode(codec.name) == plain.decode("ascii")
    except (LookupError, UnicodeError):
        raise OptionError(
            f"encoding {name!r} is unknown; use one such as utf-8, gb18030, big5, cp1252"
        ) from None
    if not is_superset:
        raise OptionError(f"encoding {name!r} cannot be read line by line; save the file as UTF-8")
    return "utf-8" if codec.name == "utf-8-sig" else codec.name


def _guessed_codec(head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise CsvFileError(
            RejectCode.CHARSET,
            "the file is UTF-16 (Excel's Unicode text); save it as CSV UTF-8",
        )
    if _decodes(head, "utf-8"):
        return "utf-8"
    if _looks_like_gb18030(head):
        return "gb18030"
    raise CsvFileError(
        RejectCode.CHARSET,
        "the file is neither UTF-8 nor GB18030; save it as CSV UTF-8, or name its encoding:"
        " --option encoding=cp1252, big5 …",
    )


def _looks_like_gb18030(head: bytes) -> bool:
    paired = 2 * len(_HIGH_PAIR.findall(head))
    return _decodes(head, "gb18030") and paired >= _GB_SHARE * len(_HIGH.findall(head))


def _decodes(head: bytes, codec: str) -> bool:
    try:
        # Incremental, because the head may end inside a character.
        codecs.getincrementaldecoder(codec)().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _split_header(
    text: str, delimiters: Sequence[str], known: Callable[[Sequence[str]], int]
) -> tuple[str, tuple[str, ...]]:
    readings = []
    for delimiter in delimiters:
        try:
            cells = _cells(text.lstrip("\ufeff"), delimiter)
        except csv.Error:
            continue
        readings.append((known(cells), len(cells), delimiter, cells))
    if not readings:
        raise CsvFileError(
            RejectCode.UNPARSABLE, f"the first line is not a header: {text.strip(_BLANK)[:80]!r}"
        )
    # The first delimiter wins a tie: a comma, as in most files.
    _, _, delimiter, cells = max(readings, key=lambda reading: reading[:2])
    return delimiter, tuple(cell.strip(_BLANK) for cell in cells)


# ---- rows


def read_rows(lines: Iterator[Line], dialect: Dialect) -> Iterator[CsvRow]:
    """Yield the rows below the header in order, without blank rows.

    A row ends at a line end outside quotes. If a quote is never closed, if something follows a
    closing quote, or if the number of cells differs from the header's, only the first line is
    rejected, and reading continues with the next line. In a file with very many such rows, all
    lines of the row are rejected together.
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
        block = [first]
        try:
            closed = self._read_to_closing_quote(block)
        except UnreadableUnitError as error:
            error.rest = b"".join(line.data for line in block) + error.rest
            raise
        if not closed:
            yield self._give_up(block, RejectCode.UNPARSABLE, "a quotation mark is not closed")
            return
        raw = b"".join(line.data for line in block)
        try:
            cells = _cells(self._decode(raw), self._dialect.delimiter)
        except UnicodeDecodeError as error:
            what = f"it is not {self._dialect.encoding}: {error.reason} at byte {error.start + 1}"
            yield self._give_up(block, RejectCode.CHARSET, what)
            return
        except csv.Error as error:
            yield self._give_up(block, RejectCode.UNPARSABLE, f"it is not valid CSV: {error}")
            return
        width = len(self._dialect.header)
        if len(cells) < width or any(cell.strip(_BLANK) for cell in cells[width:]):
            what = f"it has {len(cells)} cells, the header {width}"
            yield self._give_up(block, RejectCode.UNPARSABLE, what)
        elif any(cell.strip(_BLANK) for cell in cells):
            yield CsvRow(first.number, raw, tuple(cells[:width]))

    def _read_to_closing_quote(self, block: list[Line]) -> bool:
        """Add lines to the block until no quote is open; return False if none closes it in time."""
        size, in_quotes = block[0].size, self._ends_in_quotes(block[0].data, False)
        while in_quotes:
            line = self._next()
            if line is None:
                return False
            block.append(line)
            size += line.size
            if size > MAX_ROW:
                return False
            in_quotes = self._ends_in_quotes(line.data, True)
        return True

    def _ends_in_quotes(self, line: bytes, in_quotes: bool) -> bool:
        """Return whether a quoted cell is open at the end of a line.

        Quotes inside an unquoted cell are ordinary characters.
        """
        at = 0
        while True:
            if not in_quotes and line[at : at + 1] == b'"':
                in_quotes, at = True, at + 1
            if in_quotes:
                closing = _TO_CLOSING_QUOTE.match(line, at)
                if not closing:
                    return True
                in_quotes, at = False, closing.end()
            at = line.find(self._delimiter, at) + 1
            if at == 0:
                return False

    def _give_up(self, block: list[Line], code: RejectCode, what: str) -> CsvRow:
        """Return the first line as a broken row; the others will be parsed as rows of their own.

        All lines are the broken row if too much of the file was read again.
        """
        read_again = self._bytes_read_again + sum(line.size for line in block[1:])
        if read_again <= MAX_ROW + _MOST_READ_AGAIN * self._bytes_read:
            self._bytes_read_again = read_again
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
            if self._dialect.encoding == "utf-8" and _looks_like_gb18030(raw):
                return raw.decode("gb18030")
            raise


def _cells(text: str, delimiter: str) -> list[str]:
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    if len(rows) != 1:
        raise csv.Error(f"{len(rows)} rows instead of one")
    return rows[0]

"""Rows of a CSV file with a header: encodings, delimiters, quoted line breaks; one broken row harms
no other.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.ingest.byte_streams import CHUNK, Line, UnreadableUnitError, read_lines
from pipeline.ingest.port import OptionError, Unit
from pipeline.ingest.text_files import is_blank
from schemas.dead_letters import RejectCode

DELIMITERS = (",", ";", "\t")
# A row of a shop's export has a few hundred bytes, one with a long complaint some thousand. A
# quotation mark that is never closed would take everything after it into one row; it is given up
# after this much.
MAX_ROW = 1024 * 1024
# The csv module stops at 128 KiB for one field, less than a row may have; its limit is one for the
# whole process.
csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW))

_BLANK = " \t\r\n\ufeff\u00a0"
# Excel writes `sep=;` above the header where the delimiter is not the system's own.
_SEP_LINE = re.compile(r"\ufeff?\"?sep=(.)\"?\s*", re.IGNORECASE)
# GB2312's characters have both bytes from A1 on, and 99 of 100 characters of Chinese text are among
# them. What else is read as GB18030 by accident (one accented letter before an ASCII one, Big5)
# seldom has that form.
_HIGH_PAIR = re.compile(rb"[\xa1-\xfe][\xa1-\xfe]")
_HIGH = re.compile(rb"[\x80-\xff]")
_GB_SHARE = 0.9
# A doubled mark is one that belongs to the text.
_TO_CLOSING_QUOTE = re.compile(rb'(?:[^"]|"")*+"')


class FileFault(ValueError):
    """Nothing of the file can be read: its encoding or its header; the message says what to do."""

    def __init__(self, code: RejectCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class CsvRow:
    """One row, beginning in line `line`: its cells, or what is wrong with it."""

    line: int
    raw: bytes
    cells: tuple[str, ...] = ()
    fault: tuple[RejectCode, str] | None = None


@dataclass(frozen=True, slots=True)
class Dialect:
    """How to read a file's rows; `head` are the lines of the header and what stands above it,
    `skip` how many they are.
    """

    encoding: str
    delimiter: str
    header: tuple[str, ...]
    head: bytes
    skip: int


# ---- encoding and header
# ----------------------------------------------------------------------------------------------------


def read_dialect(
    unit: Unit, encoding: str | None, known: Callable[[Sequence[str]], int]
) -> Dialect | None:
    """Return how a unit is to be read, or None where it is empty.

    `encoding` None: UTF-8, else GB18030 where the bytes look like it. The delimiter is the one in
    which most header names are `known`. Raises FileFault, and OptionError for an encoding that does
    not exist or is not written in bytes of ASCII and more.
    """
    lines, sample = _opening(unit)
    if not lines:
        return None
    codec = check_encoding(encoding) if encoding else _guessed_codec(sample)
    delimiters: tuple[str, ...] = DELIMITERS
    named = _SEP_LINE.fullmatch(_decoded(lines[0], codec))
    if named:
        delimiters = (named[1],)
    used = lines[:2] if named else lines[:1]
    delimiter, header = _split_header(_decoded(used[-1], codec), delimiters, known)
    return Dialect(codec, delimiter, header, b"".join(line.data for line in used), used[-1].number)


def _opening(unit: Unit) -> tuple[list[Line], bytes]:
    """Return the first two lines that hold anything, and as many bytes as tell the encoding."""
    lines: list[Line] = []
    sample = bytearray()
    try:
        with unit.open() as stream:
            for line in read_lines(stream, MAX_ROW):
                if len(lines) < 2 and not is_blank(line.data):
                    lines.append(line)
                if lines:
                    sample += line.data
                if len(sample) >= CHUNK:
                    break
    except UnreadableUnitError:
        # The reading meets the same fault, and reports it after what comes before.
        pass
    return lines, bytes(sample)


def _decoded(line: Line, codec: str) -> str:
    try:
        return line.data.decode(codec)
    except UnicodeDecodeError as error:
        raise FileFault(
            RejectCode.CHARSET,
            f"the header is not {codec}: {error.reason} at byte {error.start + 1}",
        ) from error


def check_encoding(name: str) -> str:
    """Return the codec of an encoding's name. Raises OptionError for one that does not exist or
    cannot be read line by line.
    """
    try:
        codec = codecs.lookup(name)
        plain = b'",;\t\r\nAz09'
        is_superset = plain.decode(codec.name) == plain.decode("ascii")
    except (LookupError, UnicodeError):
        raise OptionError(
            f"encoding {name!r} is none that is known; give one such as utf-8, gb18030, big5,"
            " cp1252"
        ) from None
    if not is_superset:
        raise OptionError(f"encoding {name!r} cannot be read line by line; save the file as UTF-8")
    return "utf-8" if codec.name == "utf-8-sig" else codec.name


def _guessed_codec(head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise FileFault(
            RejectCode.CHARSET, "it is UTF-16 (Excel's Unicode text); save it as CSV UTF-8"
        )
    if _decodes(head, "utf-8"):
        return "utf-8"
    if _looks_like_gb18030(head):
        return "gb18030"
    raise FileFault(
        RejectCode.CHARSET,
        "it is neither UTF-8 nor GB18030; save it as CSV UTF-8, or name its encoding: --option"
        " encoding=cp1252, big5 …",
    )


def _looks_like_gb18030(head: bytes) -> bool:
    paired = 2 * len(_HIGH_PAIR.findall(head))
    return _decodes(head, "gb18030") and paired >= _GB_SHARE * len(_HIGH.findall(head))


def _decodes(head: bytes, codec: str) -> bool:
    try:
        # Not final: the head may end inside a character.
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
        raise FileFault(
            RejectCode.UNPARSABLE, f"its first line is no header: {text.strip(_BLANK)[:80]!r}"
        )
    # The first delimiter wins a tie: a comma, as in most files.
    _, _, delimiter, cells = max(readings, key=lambda reading: reading[:2])
    return delimiter, tuple(cell.strip(_BLANK) for cell in cells)


# ---- rows
# -------------------------------------------------------------------------------------------------------------------


def read_rows(unit: Unit, dialect: Dialect) -> Iterator[CsvRow]:
    """Yield the rows below the header in order; rows without any content are left out.

    A row ends at the end of a line outside quotation marks. Where that fails (a mark that is never
    closed, something after a closing one, a number of cells other than the header's), the first
    line alone is at fault and reading goes on with the next one.
    """
    with unit.open() as stream:
        yield from _Rows(dialect, read_lines(stream, MAX_ROW)).rows()


class _Rows:
    def __init__(self, dialect: Dialect, lines: Iterator[Line]) -> None:
        self._dialect, self._lines = dialect, lines
        self._again: deque[Line] = deque()
        self._delimiter = dialect.delimiter.encode("ascii")

    def rows(self) -> Iterator[CsvRow]:
        while line := self._next():
            if line.number <= self._dialect.skip:
                continue
            if line.oversize:
                fault = f"it has {line.size} bytes, more than a row may have ({MAX_ROW})"
                yield CsvRow(line.number, line.data, fault=(RejectCode.OVERSIZE, fault))
            elif line.data.strip(b" \t\r\n\0,;"):
                yield from self._row(line)

    def _next(self) -> Line | None:
        return self._again.popleft() if self._again else next(self._lines, None)

    def _row(self, first: Line) -> Iterator[CsvRow]:
        block = [first]
        try:
            closed = self._read_to_closing_quote(block)
        except UnreadableUnitError as error:
            error.rest = b"".join(line.data for line in block) + error.rest
            raise
        if not closed:
            yield self._give_up(
                block, RejectCode.UNPARSABLE, "a quotation mark is opened and not closed"
            )
            return
        raw = b"".join(line.data for line in block)
        try:
            cells = _cells(self._decode(raw), self._dialect.delimiter)
        except UnicodeDecodeError as error:
            what = f"it is not {self._dialect.encoding}: {error.reason} at byte {error.start + 1}"
            yield self._give_up(block, RejectCode.CHARSET, what)
            return
        except csv.Error as error:
            yield self._give_up(block, RejectCode.UNPARSABLE, f"it is not CSV: {error}")
            return
        width = len(self._dialect.header)
        if len(cells) < width or any(cell.strip(_BLANK) for cell in cells[width:]):
            what = f"it has {len(cells)} cells, the header {width}"
            yield self._give_up(block, RejectCode.UNPARSABLE, what)
        elif any(cell.strip(_BLANK) for cell in cells):
            yield CsvRow(first.number, raw, tuple(cells[:width]))

    def _read_to_closing_quote(self, block: list[Line]) -> bool:
        """Add lines to the block until no quotation mark is open; False where none closes it within
        what a row may have.
        """
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
        """Return whether a quoted cell is open at the end of a line; marks inside an unquoted cell
        are ordinary characters.
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
        """Return the first line as faulty, and read the others again as rows of their own."""
        self._again.extendleft(reversed(block[1:]))
        return CsvRow(block[0].number, block[0].data, fault=(code, what))

    def _decode(self, raw: bytes) -> str:
        try:
            return raw.decode(self._dialect.encoding)
        except UnicodeDecodeError:
            # The first Chinese character may stand far below the head from which the encoding was
            # told.
            if self._dialect.encoding == "utf-8" and _looks_like_gb18030(raw):
                return raw.decode("gb18030")
            raise


def _cells(text: str, delimiter: str) -> list[str]:
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    if len(rows) != 1:
        raise csv.Error(f"{len(rows)} rows instead of one")
    return rows[0]

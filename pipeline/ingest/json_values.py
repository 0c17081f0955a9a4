"""Splits a stream of JSON into its values, one at a time.

The stream holds arrays of any size, or values one after another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipeline.ingest.byte_streams import BoundedBytes, UnreadableUnitError

# What matters between values; what can be skipped inside a value (strings and everything but
# brackets); what can be skipped inside a string.
_BETWEEN = re.compile(rb'["{}\[\],\n]')
_WITHIN = re.compile(rb'(?:[^"{}\[\]]|"(?:[^"\\]|\\.)*+")*+', re.DOTALL)
_IN_TEXT = re.compile(rb'(?:[^"\\]|\\.)*+', re.DOTALL)
_BLANK = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class JsonValue:
    """The bytes of one value, or the first `limit` of them; they may be invalid JSON.

    `line` is the line in which the value starts, counted from 1; `size` is its full size.
    """

    raw: bytes
    line: int
    size: int


def split_json_values(pieces: Iterable[bytes], limit: int) -> Iterator[JsonValue]:
    """Yield the members of arrays, and the objects outside of arrays, in order.

    At most `limit` bytes of a value are kept in memory. Brackets are counted, nothing is parsed:
    invalid JSON is yielded as it is, and where brackets do not match the value extends to the end
    of the stream. For an array that is not closed, its bracket is yielded last. Blanks and commas
    between values are left out. UnreadableUnitError is passed on with the broken value as its
    `rest`.
    """
    splitter = _JsonSplitter(limit)
    try:
        for piece in pieces:
            yield from splitter.feed(piece)
    except UnreadableUnitError as error:
        error.rest = splitter.pending()
        raise
    yield from splitter.end()


class _JsonSplitter:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._value = BoundedBytes(limit)
        self._line = self._value_line = 1
        self._depth = 0
        self._in_array = self._in_text = self._escaped = False
        # Whether anything but blanks was collected.
        self._started = False

    def feed(self, piece: bytes) -> Iterator[JsonValue]:
        """Add bytes; yield the values that end in them."""
        begin = at = 0
        while at < len(piece):
            if self._in_text:
                at = self._to_end_of_text(piece, at)
            elif self._depth:
                at = self._to_bracket(piece, at)
                if self._depth == 0 and not self._in_array:
                    self._add(piece[begin:at])
                    begin = at
                    yield from self.flush()
            elif match := _BETWEEN.search(piece, at):
                self._add(piece[begin : match.start()])
                at = match.end()
                begin = at if self._is_separator(match[0]) else match.start()
                if begin == at:
                    self._line += match[0] == b"\n"
                    yield from self.flush()
                    self._after(match[0])
                else:
                    self._open(match[0])
            else:
                break
        self._add(piece[begin:])

    def pending(self) -> bytes:
        """Return the collected bytes of the value that is being read."""
        return self._value.retained()

    def flush(self) -> Iterator[JsonValue]:
        """Yield the collected value unless it is blank, and start the next one."""
        if self._started:
            raw = self._value.retained()
            blank = len(raw) - len(raw.removeprefix(_BOM).lstrip(_BLANK))
            yield JsonValue(raw, self._value_line + raw.count(b"\n", 0, blank), self._value.size)
        if self._value.size:
            self._value = BoundedBytes(self._limit)
        self._value_line, self._depth, self._started = self._line, 0, False

    def end(self) -> Iterator[JsonValue]:
        """Yield what is left at the end of the stream.

        That is a value that does not end, or the bracket of an array that was cut between two
        values.
        """
        whole = not self._started
        yield from self.flush()
        if self._in_array and whole:
            yield JsonValue(b"[", self._line, 1)

    def _to_end_of_text(self, piece: bytes, at: int) -> int:
        """Go to the end of the open string, or of the piece; return the position."""
        if self._escaped:
            self._escaped, at = False, at + 1
        match = _IN_TEXT.match(piece, at)
        at = match.end() if match else at
        if at == len(piece):
            return at
        # A backslash that is the last byte of a piece escapes the first byte of the next one.
        self._in_text = self._escaped = piece[at : at + 1] == b"\\"
        return at + 1

    def _to_bracket(self, piece: bytes, at: int) -> int:
        """Go behind the next bracket of the value; return the position.

        Stops at a string that continues in the next piece.
        """
        match = _WITHIN.match(piece, at)
        at = match.end() if match else at
        if at == len(piece):
            return at
        self._open(piece[at : at + 1])
        return at + 1

    def _open(self, token: bytes) -> None:
        if token == b'"':
            self._in_text = True
        elif token in b"{[":
            self._depth += 1
        elif token in b"}]" and self._depth:
            self._depth -= 1

    def _is_separator(self, token: bytes) -> bool:
        """Return whether a byte outside of every value separates two values.

        Inside invalid JSON it is part of the value.
        """
        if token == b",":
            return self._in_array or not self._started
        if token == b"[":
            return not self._in_array and not self._started
        return (token == b"]" and self._in_array) or (token == b"\n" and not self._in_array)

    def _after(self, token: bytes) -> None:
        if token in b"[]":
            self._in_array = token == b"["

    def _add(self, data: bytes) -> None:
        self._value.add(data)
        self._line += data.count(b"\n")
        self._started = self._started or bool(data.removeprefix(_BOM).strip(_BLANK))

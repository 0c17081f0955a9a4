"""Splits a stream of JSON into its values, one at a time, without reading the whole: arrays of any
size, or values in a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipeline.ingest.byte_streams import BoundedBytes, UnreadableUnitError

# What matters outside of every value; what does not within one (texts and whatever is no bracket);
# what ends a text.
_BETWEEN = re.compile(rb'["{}\[\],\n]')
_WITHIN = re.compile(rb'(?:[^"{}\[\]]|"(?:[^"\\]|\\.)*+")*+', re.DOTALL)
_IN_TEXT = re.compile(rb'(?:[^"\\]|\\.)*+', re.DOTALL)
_BLANK = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class JsonValue:
    """The bytes of one value, or the first `limit` of them; `line` is where it begins, counted from
    1; it may be no JSON at all.
    """

    raw: bytes
    line: int
    size: int


def split_values(pieces: Iterable[bytes], limit: int) -> Iterator[JsonValue]:
    """Yield the members of the arrays, and the objects outside of arrays, in order; at most `limit`
    bytes of one are held.

    Brackets are counted, nothing is parsed: a value that is no JSON comes out as it stands, and
    where brackets do not match it runs on to the end; of an array without an end its bracket comes
    last. Blanks and commas between values are left out. UnreadableUnitError is passed on with the
    broken value.
    """
    splitter = _Splitter(limit)
    try:
        for piece in pieces:
            yield from splitter.feed(piece)
    except UnreadableUnitError as error:
        error.rest = splitter.held()
        raise
    yield from splitter.end()


class _Splitter:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._value = BoundedBytes(limit)
        self._line = self._value_line = 1
        self._depth = 0
        self._in_array = self._in_text = self._escaped = False
        # Whether anything but blanks has been collected.
        self._begun = False

    def feed(self, piece: bytes) -> Iterator[JsonValue]:
        """Take more bytes; yield the values that end in them."""
        begin = at = 0
        while at < len(piece):
            if self._in_text:
                at = self._to_end_of_text(piece, at)
            elif self._depth:
                at = self._to_bracket(piece, at)
                if self._depth == 0 and not self._in_array:
                    self._add(piece[begin:at])
                    begin = at
                    yield from self.take()
            elif match := _BETWEEN.search(piece, at):
                self._add(piece[begin : match.start()])
                at = match.end()
                begin = at if self._is_separator(match[0]) else match.start()
                if begin == at:
                    self._line += match[0] == b"\n"
                    yield from self.take()
                    self._after(match[0])
                else:
                    self._open(match[0])
            else:
                break
        self._add(piece[begin:])

    def held(self) -> bytes:
        """Return what has been collected of the value that is being read."""
        return self._value.held()

    def take(self) -> Iterator[JsonValue]:
        """Yield the value that has been collected, unless it is blank, and begin the next."""
        if self._begun:
            raw = self._value.held()
            blank = len(raw) - len(raw.removeprefix(_BOM).lstrip(_BLANK))
            yield JsonValue(raw, self._value_line + raw.count(b"\n", 0, blank), self._value.size)
        if self._value.size:
            self._value = BoundedBytes(self._limit)
        self._value_line, self._depth, self._begun = self._line, 0, False

    def end(self) -> Iterator[JsonValue]:
        """Yield what is left at the end of the stream: a value without an end, or the bracket of an
        array that was cut between two.
        """
        whole = not self._begun
        yield from self.take()
        if self._in_array and whole:
            yield JsonValue(b"[", self._line, 1)

    def _to_end_of_text(self, piece: bytes, at: int) -> int:
        """Go to the end of the text that is open, or of the piece; return where."""
        if self._escaped:
            self._escaped, at = False, at + 1
        match = _IN_TEXT.match(piece, at)
        at = match.end() if match else at
        if at == len(piece):
            return at
        # A backslash that is the last byte escapes the first one of the next piece.
        self._in_text = self._escaped = piece[at : at + 1] == b"\\"
        return at + 1

    def _to_bracket(self, piece: bytes, at: int) -> int:
        """Go behind the next bracket of the value, or to a text that is cut by the end of the
        piece; return where.
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
        """Return whether a byte outside of every value parts two of them; inside what is no JSON it
        is part of it.
        """
        if token == b",":
            return self._in_array or not self._begun
        if token == b"[":
            return not self._in_array and not self._begun
        return (token == b"]" and self._in_array) or (token == b"\n" and not self._in_array)

    def _after(self, token: bytes) -> None:
        if token in b"[]":
            self._in_array = token == b"["

    def _add(self, data: bytes) -> None:
        self._value.add(data)
        self._line += data.count(b"\n")
        self._begun = self._begun or bool(data.removeprefix(_BOM).strip(_BLANK))

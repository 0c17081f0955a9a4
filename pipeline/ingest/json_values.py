"""Splits a stream of JSON into its values, one at a time, without reading the whole: arrays of any size, or values in a row."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipeline.ingest.streams import BoundedBytes, UnreadableUnitError

# What changes the state outside a string, and inside one.
_OUTSIDE = re.compile(rb'["{}\[\],\n]')
_INSIDE = re.compile(rb'["\\]')
_BLANK = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class JsonValue:
    """The bytes of one value, or the first `limit` of them; `line` is where it begins, counted from 1; it may be no JSON at all."""

    raw: bytes
    line: int
    size: int


def split_values(pieces: Iterable[bytes], limit: int) -> Iterator[JsonValue]:
    """Yield the members of the arrays, and the objects outside of arrays, in order; at most `limit` bytes of one are held.

    Brackets are counted, nothing is parsed: a value that is no JSON comes out as it stands, and where brackets do not match it
    runs on to the end. Blanks and commas between values are left out. UnreadableUnitError is passed on with the broken value.
    """
    splitter = _Splitter(limit)
    try:
        for piece in pieces:
            yield from splitter.feed(piece)
    except UnreadableUnitError as error:
        error.rest = splitter.held()
        raise
    yield from splitter.take()


class _Splitter:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._value = BoundedBytes(limit)
        self._line = self._value_line = 1
        self._depth = 0
        self._in_array = self._in_string = self._escaped = False
        # Whether anything but blanks has been collected.
        self._begun = False

    def feed(self, piece: bytes) -> Iterator[JsonValue]:
        at = 0
        while at < len(piece):
            if self._in_string:
                at = self._string(piece, at)
            elif match := _OUTSIDE.search(piece, at):
                self._add(piece[at : match.start()])
                at = match.end()
                yield from self._token(match[0])
            else:
                self._add(piece[at:])
                return

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

    def _string(self, piece: bytes, at: int) -> int:
        """Go to the end of the string, or of the piece; return where."""
        begin = at
        if self._escaped:
            self._escaped, at = False, at + 1
        while match := _INSIDE.search(piece, at):
            at = match.end()
            if match[0] == b'"':
                self._in_string = False
                break
            if at == len(piece):
                self._escaped = True
                break
            at += 1
        else:
            at = len(piece)
        self._add(piece[begin:at])
        return at

    def _token(self, token: bytes) -> Iterator[JsonValue]:
        outermost = self._depth == 0
        if outermost and token == b"," and (self._in_array or not self._begun):
            yield from self.take()
        elif outermost and token == b"[" and not self._in_array and not self._begun:
            self._in_array = True
            yield from self.take()
        elif outermost and token == b"]" and self._in_array:
            yield from self.take()
            self._in_array = False
        elif token == b"\n":
            self._add(token)
            if outermost and not self._in_array:
                yield from self.take()
        else:
            self._add(token)
            self._in_string = token == b'"'
            if token in b"{[":
                self._depth += 1
            elif token in b"}]" and not outermost:
                self._depth -= 1
                if self._depth == 0 and not self._in_array:
                    yield from self.take()

    def _add(self, data: bytes) -> None:
        self._value.add(data)
        self._line += data.count(b"\n")
        self._begun = self._begun or bool(data.removeprefix(_BOM).strip(_BLANK))

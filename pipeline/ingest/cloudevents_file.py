"""Reads files of CloudEvents: one JSON object per line, a JSON array of them (the batch format), or
objects one after another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from pipeline.ingest.byte_streams import (
    CHUNK,
    UnreadableUnitError,
    chunks,
    collect,
    read_lines,
    refuse_unreadable,
)
from pipeline.ingest.json_values import split_values
from pipeline.ingest.port import MAX_ITEM_BYTES, Found, IngestOptions, Item, Unit
from pipeline.ingest.text_files import (
    at_line,
    check_known,
    file_pattern,
    is_blank,
    matching,
    oversize,
    refusal,
)
from schemas.dead_letters import RejectCode
from schemas.envelope import Event
from schemas.registry import EVENT_TYPES, explain

_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n"
# orjson reads 1,024 levels and writes 254: what cannot be written again must not come in. No event
# nests a tenth of this.
_MAX_DEPTH = 100
# JSON has no largest number, but orjson turns those beyond 64 bits into floats, which changes an
# order number without a word.
_LONG_NUMBER = re.compile(rb"(?<![0-9.eE+\-])-?[0-9]{19,}(?![0-9.eE])")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_INT_RANGE = range(-(2**63), 2**64)


class EventsFile:
    """Connector for files of events as the contracts have them."""

    def __init__(self) -> None:
        self.name = "events"
        self.version = "1"
        self.keeps_items = True
        self.summary = (
            "CloudEvents as JSON lines (.jsonl, .ndjson) or a JSON array: any comm.* and crm.* type"
        )
        self.options = {"source": "source of events that name none"}

    def units(self, paths: Sequence[Path]) -> Iterator[Unit]:
        """Yield the JSON files under the paths; a file named itself is read whatever its name."""
        return matching(paths, file_pattern("jsonl", "ndjson", "json"))

    def read(self, unit: Unit, options: IngestOptions) -> Iterator[Item]:
        """Yield one event per object; its envelope and type are checked here, `data` by whoever
        publishes it.
        """
        check_known(options.extra, {}, self.name)
        return refuse_unreadable(unit, self._items(unit, options))

    def _items(self, unit: Unit, options: IngestOptions) -> Iterator[Item]:
        if _is_one_line_each(unit):
            yield from self._lines(unit, options)
            return
        with unit.open() as stream:
            for value in split_values(chunks(stream), MAX_ITEM_BYTES):
                if value.size > MAX_ITEM_BYTES:
                    yield oversize(unit, value.line, value.raw, value.size, MAX_ITEM_BYTES)
                else:
                    yield self._item(unit, value.line, value.raw, options)

    def _lines(self, unit: Unit, options: IngestOptions) -> Iterator[Item]:
        with unit.open() as stream:
            for line in read_lines(stream, MAX_ITEM_BYTES):
                if line.oversize:
                    yield oversize(unit, line.number, line.data, line.size, MAX_ITEM_BYTES)
                elif not is_blank(line.data):
                    yield self._item(unit, line.number, line.data, options)

    def _item(self, unit: Unit, number: int, raw: bytes, options: IngestOptions) -> Item:
        try:
            fields = _parse(raw.removeprefix(_BOM).strip(_BLANK))
        except _JsonError as error:
            return refusal(unit, number, raw, error.code, str(error))
        fields.setdefault("tenant", options.tenant)
        if options.source:
            fields.setdefault("source", options.source)
        fields = {
            "locator": at_line(unit, number),
            "connector": f"{self.name}/{self.version}",
        } | fields
        try:
            event = Event.model_validate(fields)
        except ValidationError as error:
            code, message = explain(error)
            return refusal(unit, number, raw, code, message)
        if event.type not in EVENT_TYPES:
            what = f"type: no contract has {event.type[:80]!r}; there are {', '.join(EVENT_TYPES)}"
            return refusal(unit, number, raw, RejectCode.UNKNOWN_TYPE, what)
        return Found(event, raw)


def _is_one_line_each(unit: Unit) -> bool:
    """Return whether the file holds an event in each line, and neither an array nor objects over
    several lines.
    """
    try:
        with unit.open() as stream:
            head = collect(chunks(stream), limit=CHUNK, until=CHUNK).held()
    except UnreadableUnitError as error:
        # The reading meets the same fault, and reports it after what comes before.
        head = error.rest
    head = head.removeprefix(_BOM).lstrip(_BLANK)
    first = head.partition(b"\n")[0].strip(_BLANK)
    return not (first.startswith(b"[") or first == b"{")


# ---- JSON
# -------------------------------------------------------------------------------------------------------------------


class _JsonError(ValueError):
    def __init__(self, code: RejectCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def _parse(text: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _explained(text, error) from error
    if not isinstance(value, dict):
        raise _JsonError(
            RejectCode.UNPARSABLE,
            f"it is {_KINDS.get(type(value), 'no object')}, not an object with an event's fields",
        )
    if _depth(value) > _MAX_DEPTH:
        raise _JsonError(RejectCode.SCHEMA_VALUE, f"it nests deeper than {_MAX_DEPTH} levels")
    if number := _number_too_long(text):
        what = (
            f"the number {number} does not fit 64 bits and would be rounded: write it as a string"
        )
        raise _JsonError(RejectCode.SCHEMA_VALUE, what)
    return value


_KINDS = {
    list: "a list",
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def _explained(text: bytes, error: orjson.JSONDecodeError) -> _JsonError:
    where = (
        f"column {error.colno}"
        if error.lineno == 1
        else f"line {error.lineno} of it, column {error.colno}"
    )
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as fault:
        what = f"it is not UTF-8: {fault.reason} at byte {fault.start + 1}; save the file as UTF-8"
        return _JsonError(RejectCode.CHARSET, what)
    if "surrogate" in error.msg:
        return _JsonError(
            RejectCode.CHARSET,
            f"half a character (a lone surrogate \\ud800 to \\udfff) in the text at {where}",
        )
    return _JsonError(RejectCode.UNPARSABLE, f"it is not JSON: {error.msg} at {where}")


def _depth(value: Any) -> int:
    """Return how many levels of lists and objects there are, as far as is needed to tell that they
    are too many.
    """
    level, layer = 0, [value]
    while layer and level <= _MAX_DEPTH:
        level += 1
        layer = [
            inner
            for outer in layer
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
    return level


def _number_too_long(text: bytes) -> str | None:
    if not _LONG_NUMBER.search(text):
        return None
    for match in _LONG_NUMBER.finditer(_STRING.sub(b'""', text)):
        # Python refuses to convert thousands of digits; anything beyond twenty is too long anyway.
        if len(match[0]) > 20 or int(match[0]) not in _INT_RANGE:
            return match[0][:40].decode("ascii")
    return None

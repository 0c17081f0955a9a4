"""The `events` connector: files of CloudEvents in JSON.

One object per line, an array of objects (the JSON batch format), or objects one after another.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from pipeline.ingest.business.event_words import recognise_words
from pipeline.ingest.byte_streams import (
    CHUNK,
    look_ahead,
    read_chunks,
    reject_unreadable,
    split_lines,
)
from pipeline.ingest.json_values import split_json_values
from pipeline.ingest.port import MAX_ITEM_BYTES, ConnectorItem, IngestOptions, InputUnit, ReadEvent
from pipeline.ingest.text_files import (
    check_option_names,
    file_pattern,
    is_blank,
    line_locator,
    matching_units,
    reject_line,
    reject_oversize,
)
from schemas.dead_letters import RejectCode
from schemas.envelope import Event
from schemas.registry import EVENT_TYPES, explain

_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n"
# orjson reads 1,024 levels and writes 254; what could not be written again is rejected. Real events
# have a few levels.
_MAX_DEPTH = 100
# JSON has no largest number, but orjson turns numbers beyond 64 bits into floats, which would
# silently change an order number.
_LONG_NUMBER = re.compile(rb"(?<![0-9.eE+\-])-?[0-9]{19,}(?![0-9.eE])")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_INT_RANGE = range(-(2**63), 2**64)


class EventsConnector:
    """Connector for files of CloudEvents."""

    def __init__(self) -> None:
        self.name = "events"
        self.version = "1"
        self.append_only = True
        self.summary = (
            "CloudEvents as JSON lines (.jsonl, .ndjson) or a JSON array: any comm.* and crm.* type"
        )
        self.options = {"source": "source of events that do not name one"}

    def units(self, paths: Sequence[Path]) -> Iterator[InputUnit]:
        """Yield the JSON files under the paths; a file named itself is read whatever its name."""
        return matching_units(paths, file_pattern("jsonl", "ndjson", "json"))

    def read(self, unit: InputUnit, options: IngestOptions) -> Iterator[ConnectorItem]:
        """Yield one event per object; the envelope and the type are checked here, not `data`."""
        check_option_names(options.extra, {}, self.name)
        return reject_unreadable(unit, self._items(unit, options))

    def _items(self, unit: InputUnit, options: IngestOptions) -> Iterator[ConnectorItem]:
        with unit.open() as stream:
            head, chunks = look_ahead(read_chunks(stream), CHUNK)
            if _is_json_lines(head):
                yield from self._lines(unit, chunks, options)
                return
            for value in split_json_values(chunks, MAX_ITEM_BYTES):
                if value.size > MAX_ITEM_BYTES:
                    yield reject_oversize(unit, value.line, value.raw, value.size, MAX_ITEM_BYTES)
                else:
                    yield self._item(unit, value.line, value.raw, options)

    def _lines(
        self, unit: InputUnit, chunks: Iterator[bytes], options: IngestOptions
    ) -> Iterator[ConnectorItem]:
        for line in split_lines(chunks, MAX_ITEM_BYTES):
            if line.oversize:
                yield reject_oversize(unit, line.number, line.data, line.size, MAX_ITEM_BYTES)
            elif not is_blank(line.data):
                yield self._item(unit, line.number, line.data, options)

    def _item(
        self, unit: InputUnit, number: int, raw: bytes, options: IngestOptions
    ) -> ConnectorItem:
        try:
            fields = _with_data(_parse(raw.removeprefix(_BOM).strip(_BLANK)))
        except _JsonError as error:
            return reject_line(unit, number, raw, error.code, str(error))
        fields.setdefault("tenant", options.tenant)
        if options.source:
            fields.setdefault("source", options.source)
        fields = {
            "locator": line_locator(unit, number),
            "connector": f"{self.name}/{self.version}",
        } | fields
        try:
            event = Event.model_validate(fields)
        except ValidationError as error:
            code, message = explain(error)
            return reject_line(unit, number, raw, code, message)
        if event.type not in EVENT_TYPES:
            what = (
                f"type: unknown event type {event.type[:80]!r}; use one of {', '.join(EVENT_TYPES)}"
            )
            return reject_line(unit, number, raw, RejectCode.UNKNOWN_TYPE, what)
        data = recognise_words(event.type, event.data)
        if data is not event.data:
            event = event.model_copy(update={"data": data})
        return ReadEvent(event, raw)


def _is_json_lines(head: bytes) -> bool:
    """Return whether a file has one event per line, not an array or multi-line objects."""
    head = head.removeprefix(_BOM).lstrip(_BLANK)
    first = head.partition(b"\n")[0].strip(_BLANK)
    return not (first.startswith(b"[") or first == b"{")


# ---- JSON


class _JsonError(ValueError):
    def __init__(self, code: RejectCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def _parse(text: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _json_error(text, error) from error
    if not isinstance(value, dict):
        raise _JsonError(
            RejectCode.UNPARSABLE,
            f"it is {_KINDS.get(type(value), 'no object')}, not an object with an event's fields",
        )
    if _depth(value) > _MAX_DEPTH:
        raise _JsonError(RejectCode.SCHEMA_VALUE, f"it is nested deeper than {_MAX_DEPTH} levels")
    if number := _number_too_long(text):
        what = (
            f"the number {number} does not fit 64 bits and would be rounded: write it as a string"
        )
        raise _JsonError(RejectCode.SCHEMA_VALUE, what)
    return value


def _with_data(fields: dict[str, Any]) -> dict[str, Any]:
    """Return an event's fields with `data` in place of a `data_base64` that is JSON.

    CloudEvents' JSON format has binary data so; SDKs that hand over bytes write JSON in it, too.
    """
    encoded = fields.get("data_base64")
    if encoded is None:
        return fields
    if fields.get("data") is not None:
        what = "data_base64: the event has data, too; write one of them"
        raise _JsonError(RejectCode.SCHEMA_VALUE, what)
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except (ValueError, TypeError):
        what = "data_base64: it is not Base64 (RFC 4648); write the body as the object `data`"
        raise _JsonError(RejectCode.SCHEMA_VALUE, what) from None
    try:
        data = _parse(decoded.removeprefix(_BOM).strip(_BLANK))
    except _JsonError as error:
        what = f"data_base64: {error}; only JSON is read"
        raise _JsonError(error.code, what) from error
    return {name: value for name, value in fields.items() if name != "data_base64"} | {"data": data}


_KINDS = {
    list: "a list",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def _json_error(text: bytes, error: orjson.JSONDecodeError) -> _JsonError:
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
            f"a lone surrogate (\\ud800 to \\udfff), half a character, in the string at {where}",
        )
    return _JsonError(RejectCode.UNPARSABLE, f"it is not JSON: {error.msg} at {where}")


def _depth(value: Any) -> int:
    """Return the number of levels of lists and objects, counted up to one above the limit."""
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
        # Python refuses to convert thousands of digits; more than twenty are too long in any case.
        if len(match[0]) > 20 or int(match[0]) not in _INT_RANGE:
            return match[0][:40].decode("ascii")
    return None

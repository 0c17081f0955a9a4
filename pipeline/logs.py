"""Logging: text lines, or JSON lines with the fields that identify a record."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Literal

import orjson

from pipeline.log.port import LogRecord

# The attributes of every Python log record; all others were passed as `extra` and become fields of
# the JSON line.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def configure(form: Literal["text", "json"], verbose: bool) -> None:
    """Log to standard error: warnings and errors, with `verbose` also information."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter()
        if form == "json"
        else logging.Formatter("%(levelname)s %(name)s: %(message)s")
    )
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, handlers=[handler], force=True
    )


class JsonFormatter(logging.Formatter):
    """Formats a log record as one line of JSON.

    Its fields are `at` (RFC 3339, UTC), `level`, `logger`, `message`, `process`, `error` (a
    traceback), and those of `extra`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a log record."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.casefold(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return orjson.dumps(
            {name: _printable(value) for name, value in line.items()}, default=str
        ).decode()


def _printable(value: object) -> object:
    """Return a value that JSON can represent: texts of customers may have lone surrogates."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def record_fields(record: LogRecord) -> dict[str, str | int]:
    """Return the log fields that identify a record: its event and its position.

    >>> fields = record_fields(LogRecord("raw.chat.v1", 2, 17, 0, b"", b"", [("ce_id", b"m-1")]))
    >>> fields["event_id"], fields["topic"], fields["partition"], fields["offset"]
    ('m-1', 'raw.chat.v1', 2, 17)
    """
    origin = {
        name: record.header(f"ce_{name.removeprefix('event_')}")
        for name in ("event_id", "source", "locator")
    }
    return {
        **{name: value for name, value in origin.items() if value},
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
    }

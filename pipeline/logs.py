"""How the program logs: lines for people, or one JSON object a line for machines, with the places
that say which record is meant.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Literal

import orjson

from pipeline.log.port import LogRecord

# What every record of Python's logging has; whatever else one has was given as `extra`, and is told
# as a field of its own.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def configure(form: Literal["text", "json"], verbose: bool) -> None:
    """Send the program's log to standard error, warnings and worse, with `verbose` all that is
    said.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonLines() if form == "json" else logging.Formatter("%(levelname)s %(name)s: %(message)s")
    )
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, handlers=[handler], force=True
    )


class JsonLines(logging.Formatter):
    """One object a line: `at` (RFC 3339, UTC), `level`, `logger`, `message`, `process`, `error` (a
    traceback), and what is `extra`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return a record's line."""
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
    """Return a value that JSON can hold: text of customers may have lone surrogates."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def places(record: LogRecord) -> dict[str, str | int]:
    """Return the fields by which a log line names a record of the log: its event from the connector
    on, and where it stands.
    """
    named = {
        name: record.header(f"ce_{name.removeprefix('event_')}")
        for name in ("event_id", "source", "locator")
    }
    return {
        **{name: value for name, value in named.items() if value},
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
    }

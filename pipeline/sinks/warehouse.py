"""The warehouse port: ClickHouse's engine, wherever it runs, and what may go wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import orjson

from pipeline.errors import UserError

Row = Mapping[str, Any]


class WarehouseError(UserError):
    """The warehouse refuses for good: the rows or the SQL are wrong. `code` is ClickHouse's error number, 0 where it gave none."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class WarehouseBusyError(WarehouseError):
    """The warehouse cannot now and may later: no memory, too many parts, a time-out, no connection."""


# ClickHouse's error numbers that pass by themselves: the list of clickhouse-kafka-connect (Utils.handleException) less READONLY
# (164), which here says that somebody tried to write through the readers' session. Their names are in ClickHouse's own
# src/Common/ErrorCodes.cpp.
RETRIABLE_CODES = frozenset({3, 107, 159, 202, 203, 209, 210, 236, 241, 242, 243, 252, 285, 319, 394, 425, 439, 999})


def error_of(code: int, message: str) -> WarehouseError:
    """Return the error of a ClickHouse error number: WarehouseBusyError where trying again helps."""
    kind = WarehouseBusyError if code in RETRIABLE_CODES else WarehouseError
    return kind(message, code)


class Warehouse(Protocol):
    """Where the history lives. Inserts are durable when they return; a row inserted again replaces itself."""

    def insert(self, table: str, rows: Sequence[Row]) -> None:
        """Insert rows of one table, all or none; raises WarehouseError or WarehouseBusyError."""
        ...

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None, fmt: str = "JSONEachRow") -> bytes:
        """Answer a query that only reads, in a ClickHouse output format; `{name:Type}` in it takes a parameter."""
        ...

    def execute(self, sql: str) -> None:
        """Carry out a statement that changes tables."""
        ...

    def close(self) -> None: ...


def rows(warehouse: Warehouse, sql: str, **parameters: Any) -> list[dict[str, Any]]:
    """Return the rows of a reading query as dictionaries."""
    return [orjson.loads(line) for line in warehouse.query(sql, parameters).splitlines()]

"""The warehouse port: ClickHouse's engine, wherever it runs, and what may go wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import orjson

from pipeline.errors import UserError

# The database of a store, and of a server whose address names none.
DATABASE = "switchboard"

Columns = Mapping[str, Sequence[Any]]
"""Columns of a block by name, all of one length: text as str, bytes as bytes, instants as ms since 1970 UTC, UUIDs as their 36 signs,
decimals as Decimal, arrays as lists, maps as dicts, tuples as tuples, null as None."""


class WarehouseError(UserError):
    """The warehouse refuses for good: the rows or the SQL are wrong. `code` is ClickHouse's error
    number, 0 where it gave none.
    """

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class StoreInUseError(WarehouseError):
    """Another process holds the embedded store and keeps it, or does not answer; the message names
    its process id.
    """


class WarehouseBusyError(WarehouseError):
    """The warehouse cannot now and may later: no memory, too many parts, a time-out, no
    connection.
    """


class WarehouseSetupError(WarehouseError):
    """No row would be taken until somebody mends something: a password, a right, a table that is
    not there, a certificate.
    """


# ClickHouse's error numbers that pass by themselves: the list of clickhouse-kafka-connect
# (Utils.handleException) less READONLY (164), which here says that somebody tried to write through
# the readers' session, and with those of GlassFlow's classification that name a replica, Keeper or
# a table that is not ready. Names are in ClickHouse's own src/Common/ErrorCodes.cpp.
RETRIABLE_CODES = frozenset(
    {
        3,  # UNEXPECTED_END_OF_FILE
        107,  # FILE_DOESNT_EXIST
        159,  # TIMEOUT_EXCEEDED
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        203,  # NO_FREE_CONNECTION
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        225,  # NO_ZOOKEEPER
        236,  # ABORTED
        241,  # MEMORY_LIMIT_EXCEEDED
        242,  # TABLE_IS_READ_ONLY
        243,  # NOT_ENOUGH_SPACE
        244,  # UNEXPECTED_ZOOKEEPER_ERROR
        252,  # TOO_MANY_PARTS
        279,  # ALL_CONNECTION_TRIES_FAILED
        285,  # TOO_FEW_LIVE_REPLICAS
        319,  # UNKNOWN_STATUS_OF_INSERT
        394,  # QUERY_WAS_CANCELLED
        425,  # SYSTEM_ERROR
        439,  # CANNOT_SCHEDULE_TASK
        473,  # DEADLOCK_AVOIDED
        999,  # KEEPER_EXCEPTION
    }
)
# Whatever the rows: the installation is wrong, and every batch would be refused alike.
SETUP_CODES = frozenset(
    {
        16,  # NO_SUCH_COLUMN_IN_TABLE
        60,  # UNKNOWN_TABLE
        81,  # UNKNOWN_DATABASE
        164,  # READONLY
        192,  # UNKNOWN_USER
        193,  # WRONG_PASSWORD
        194,  # REQUIRED_PASSWORD
        291,  # DATABASE_ACCESS_DENIED
        452,  # SETTING_CONSTRAINT_VIOLATION
        497,  # ACCESS_DENIED
        516,  # AUTHENTICATION_FAILED
    }
)
# ClickHouse's number for a value that does not fit its column; encoders use it for what they find
# before the server does.
TYPE_MISMATCH = 53


def error_for_code(code: int, message: str) -> WarehouseError:
    """Return the error of a ClickHouse error number: whether trying again helps, or mending the
    set-up, or neither.
    """
    if code in RETRIABLE_CODES:
        return WarehouseBusyError(message, code)
    kind = WarehouseSetupError if code in SETUP_CODES else WarehouseError
    return kind(message, code)


class Warehouse(Protocol):
    """Where the history lives. Inserts are durable when they return; a row inserted again replaces
    itself. Safe from several threads.
    """

    def insert(self, table: str, columns: Columns) -> None:
        """Insert rows of one table, all or none; columns absent take their defaults.

        Raises WarehouseError naming the column where a value does not fit, WarehouseBusyError,
        WarehouseSetupError.
        """
        ...

    def insert_all(self, blocks: Iterable[Mapping[str, Columns]]) -> None:
        """Insert blocks of several tables, taken one by one as they are made; all blocks of a table
        have the same columns.

        Every row is durable when it returns. Where it raises, what `insert` raises or what the
        blocks' maker raises, any of the rows may be there.
        """
        ...

    def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None, fmt: str = "JSONEachRow"
    ) -> bytes:
        """Answer a query that only reads, in a ClickHouse output format; `{name:Type}` in it takes
        a parameter.
        """
        ...

    def execute(self, sql: str) -> None:
        """Carry out a statement that changes tables."""
        ...

    def create_database(self) -> None:
        """Create the warehouse's database where it is absent."""
        ...

    def close(self) -> None: ...


def rows(warehouse: Warehouse, sql: str, **parameters: Any) -> list[dict[str, Any]]:
    """Return the rows of a reading query as dictionaries."""
    return [orjson.loads(line) for line in warehouse.query(sql, parameters).splitlines()]

"""The warehouse interface: ClickHouse as a server or embedded, and its errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from pipeline.errors import InstallationError, UserError

if TYPE_CHECKING:
    from pipeline.sinks.query_guard.limits import QuestionLimits
    from pipeline.sinks.table_check import DamagedPart

# The database of the embedded store, and of a server if its address has no database.
DATABASE = "switchboard"

Columns = Mapping[str, Sequence[Any]]
"""Columns of a block by name, all of one length.

Text is str, bytes are bytes, timestamps are ms since 1970 UTC, UUIDs are text of 36 characters,
decimals are Decimal, arrays lists, maps dicts, tuples tuples, null is None."""


class WarehouseError(UserError):
    """The rows or the SQL are wrong, so that a retry would fail again.

    `code` is ClickHouse's error number, or 0 if it gave none.
    """

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class StoreInUseError(WarehouseError, InstallationError):
    """Another process has the embedded store open; the message has its process id."""


class WarehouseBusyError(WarehouseError, InstallationError):
    """A temporary failure: no memory, too many parts, a timeout, no connection."""


class WarehouseSetupError(WarehouseError, InstallationError):
    """The installation is wrong: a password, a privilege, a missing table, a certificate."""


# ClickHouse's error numbers for temporary failures: the list of clickhouse-kafka-connect
# (Utils.handleException), and from GlassFlow's list those about replicas, Keeper and tables that
# are not ready. READONLY (164) is left out: here it means a write through the readers' session.
# The names are in ClickHouse's src/Common/ErrorCodes.cpp.
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
# Errors of the installation: every batch would be rejected, whatever its rows are.
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
# ClickHouse's error number for a value that does not fit its column. Our encoders use it too.
TYPE_MISMATCH = 53


def error_for_code(code: int, message: str) -> WarehouseError:
    """Return the exception for a ClickHouse error number.

    >>> error_for_code(252, "too many parts")
    WarehouseBusyError('too many parts')
    >>> error_for_code(60, "no such table")
    WarehouseSetupError('no such table')
    """
    if code in RETRIABLE_CODES:
        return WarehouseBusyError(message, code)
    kind = WarehouseSetupError if code in SETUP_CODES else WarehouseError
    return kind(message, code)


class Warehouse(Protocol):
    """The database with the history.

    Inserts are durable when they return. A row that is inserted again replaces itself. Methods may
    be called from several threads.
    """

    def insert(self, table: str, columns: Columns) -> None:
        """Insert rows into one table, all or none; missing columns get their defaults.

        Raises WarehouseError with the column's name if a value does not fit, WarehouseBusyError,
        WarehouseSetupError.
        """
        ...

    def insert_all(self, blocks: Iterable[Mapping[str, Columns]]) -> None:
        """Insert blocks into several tables; all blocks of a table have the same columns.

        `blocks` is consumed lazily. All rows are durable when it returns. It raises what `insert`
        and `blocks` raise; any of the rows may have been inserted then.
        """
        ...

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        fmt: str = "JSONEachRow",
        limits: QuestionLimits | None = None,
    ) -> bytes:
        """Return the result of a read-only query in a ClickHouse output format.

        `{name:Type}` in the SQL is replaced by the parameter of that name. Raises
        QuestionLimitError if the query goes over its limits.
        """
        ...

    def execute(self, sql: str) -> None:
        """Execute a statement that changes tables."""
        ...

    def create_database(self) -> None:
        """Create the database if it does not exist."""
        ...

    def check_tables(self) -> list[DamagedPart]:
        """Read every byte of every table and return the damaged parts."""
        ...

    def close(self) -> None: ...


def rows(warehouse: Warehouse, sql: str, **parameters: Any) -> list[dict[str, Any]]:
    """Return the rows of a read-only query as dictionaries."""
    return [orjson.loads(line) for line in warehouse.query(sql, parameters).splitlines()]

"""The embedded warehouse: ClickHouse's engine in this process (chdb).

Its store is a folder that one process has open at a time.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson
import pyarrow as pa

from pipeline.sinks.backups import TableChecksums, back_up, file_destination, restore
from pipeline.sinks.clickhouse_text import error_from_text, escaped_parameter
from pipeline.sinks.engine_wall import allow_folders, engine_thread, import_engine
from pipeline.sinks.query_guard.guard import QueryGuard
from pipeline.sinks.query_guard.limits import QuestionLimits
from pipeline.sinks.table_check import DamagedPart, damaged_parts
from pipeline.sinks.warehouse import (
    DATABASE,
    TYPE_MISMATCH,
    Columns,
    WarehouseError,
    WarehouseSetupError,
)

if TYPE_CHECKING:
    from chdb.session import Session

# The setting readonly of a session, and the limits of its questions.
_ReaderKey: TypeAlias = tuple[int, QuestionLimits | None]
# Beside the store's folder.
BACKUPS = "backup"
_ARROW_TYPES: dict[str, pa.DataType] = {
    "Bool": pa.bool_(),
    "Date": pa.date32(),
    "DateTime64(3, 'UTC')": pa.timestamp("ms", "UTC"),
    "Decimal(18, 4)": pa.decimal128(18, 4),
    "Float32": pa.float32(),
    "Float64": pa.float64(),
    "Int32": pa.int32(),
    "Int64": pa.int64(),
    "UInt32": pa.uint32(),
    "UInt64": pa.uint64(),
    "UUID": pa.string(),
}
# Columns of type String with arbitrary bytes; all others are UTF-8.
_BINARY_COLUMNS = frozenset({"payload", "key"})


def arrow_type(name: str, clickhouse_type: str) -> pa.DataType:
    """Return the Arrow type for a column of a ClickHouse type; raises WarehouseError if unknown.

    >>> arrow_type("contacts", "Array(String)")
    ListType(list<item: string>)
    """
    inner = re.sub(r"^(?:LowCardinality|Nullable)\((.*)\)$", r"\1", clickhouse_type)
    if match := re.fullmatch(r"SimpleAggregateFunction\(\w+, (.*)\)", inner):
        return arrow_type(name, match[1])
    if inner == "String":
        return pa.binary() if name in _BINARY_COLUMNS else pa.string()
    if match := re.fullmatch(r"Map\(String, (.*)\)", inner):
        return pa.map_(pa.string(), arrow_type("", match[1]))
    if match := re.fullmatch(r"Array\((.*)\)", inner):
        return pa.list_(arrow_type(name, match[1]))
    if inner == "Tuple(DateTime64(3, 'UTC'), String)":
        return pa.struct([("1", pa.timestamp("ms", "UTC")), ("2", pa.string())])
    if inner not in _ARROW_TYPES:
        raise WarehouseError(
            f"column {name} has type {clickhouse_type}, which the embedded warehouse cannot insert"
        )
    return _ARROW_TYPES[inner]


def _array(table: str, schema: pa.Schema, name: str, values: Any) -> pa.Array:
    try:
        return pa.array(values, schema.field(name).type)
    except KeyError:
        raise WarehouseSetupError(
            f"the table {table} has no column {name}: run the migrations"
        ) from None
    except (ValueError, TypeError, OverflowError, pa.ArrowException) as error:
        raise WarehouseError(f"column {name} of {table}: {error}", TYPE_MISMATCH) from error


class ChdbWarehouse:
    """A warehouse in this process; queries may run in other threads while one thread inserts.

    Several sessions share the store: one for changes, and for queries one of each set of limits,
    with readonly=1, or 2 for a question that changes settings it may change. They run in two
    threads behind the wall of `engine_wall`. readonly still reads files and addresses, and
    `QueryGuard` refuses such statements.
    """

    def __init__(self, path: Path) -> None:
        # The engine reads a relative path of a backup from its own folder.
        path = path.absolute()
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Backups can only be written beside the store; the caller moves them elsewhere.
        self._backups = path.parent / BACKUPS
        self._backups.mkdir(exist_ok=True, mode=0o700)
        allow_folders([path, self._backups])
        self._store_address = f"{path}?backups.allowed_path={self._backups}"
        self._writing, self._reading = engine_thread("store-write"), engine_thread("store-read")
        self._writing.submit(import_engine, path / "tmp").result()
        self._writer = self._writing.submit(self._session).result()
        self.create_database()
        self._readers: dict[_ReaderKey, Session] = {}
        self._schemas: dict[str, pa.Schema] = {}
        self._guard = QueryGuard(self._read)
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()

    def _session(self) -> Session:
        """Open a session, in a thread behind the wall."""
        from chdb.session import Session

        return Session(self._store_address)

    def insert(self, table: str, columns: Columns) -> None:
        """Insert rows into one table as one block; see `Warehouse.insert`."""
        self.insert_all([{table: columns}])

    def insert_all(self, blocks: Iterable[Mapping[str, Columns]]) -> None:
        """Insert blocks into several tables, as one block per table; see `Warehouse.insert_all`."""
        # The engine imports it at the first insert, and behind the wall it could not be read.
        import pyarrow.dataset  # noqa: F401

        with self._write_lock:
            arrow: dict[str, list[pa.Table]] = {}
            for tables in blocks:
                for table, columns in tables.items():
                    if any(columns.values()):
                        arrow.setdefault(table, []).append(self._arrow(table, columns))
            for table, parts in arrow.items():
                # chdb finds the table by its variable's name in this frame.
                block = pa.concat_tables(parts).combine_chunks()
                names = ", ".join(f"`{name}`" for name in block.column_names)
                self._write(
                    f"INSERT INTO {table} ({names}) SELECT {names} FROM Python(block)", block=block
                )

    def _arrow(self, table: str, columns: Columns) -> pa.Table:
        schema = self._schema(table)
        return pa.table(
            {name: _array(table, schema, name, values) for name, values in columns.items()}
        )

    def _schema(self, table: str) -> pa.Schema:
        if table not in self._schemas:
            listing = self._write(
                "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table"
                " = {table:String}",
                {"table": table},
                "TabSeparatedRaw",
            ).decode()
            fields = [line.split("\t") for line in listing.splitlines()]
            if not fields:
                raise WarehouseSetupError(f"there is no table {table}: run the migrations")
            self._schemas[table] = pa.schema(
                [(name, arrow_type(name, kind)) for name, kind in fields]
            )
        return self._schemas[table]

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        fmt: str = "JSONEachRow",
        limits: QuestionLimits | None = None,
    ) -> bytes:
        """Return the result of a read-only query in an output format; see `Warehouse.query`."""
        with self._read_lock:
            question = self._guard.check(sql, fmt)
            readonly = 2 if question.has_settings else 1
            try:
                return self._read(question.sql, parameters, fmt, (readonly, limits))
            except WarehouseError as error:
                raise (limits.explained(error) if limits else error) from error

    def _read(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None,
        fmt: str = "JSONEachRow",
        key: _ReaderKey = (1, None),
    ) -> bytes:
        return self._reading.submit(self._read_in_thread, sql, parameters, fmt, key).result()

    def _read_in_thread(
        self, sql: str, parameters: Mapping[str, Any] | None, fmt: str, key: _ReaderKey
    ) -> bytes:
        if key not in self._readers:
            readonly, limits = key
            session = self._readers[key] = self._session()
            self._run(session, f"USE {DATABASE}")
            for name, value in (limits.settings() if limits else {}).items():
                self._run(session, f"SET {name}={value}")
            self._run(session, f"SET readonly={readonly}")
        try:
            return self._run(self._readers[key], sql, parameters, fmt)
        except WarehouseError:
            # What a failed query has written comes before the next result of the same session.
            self._readers.pop(key).close()
            raise

    def _write(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        fmt: str = "CSV",
        block: pa.Table | None = None,
    ) -> bytes:
        return self._writing.submit(self._run, self._writer, sql, parameters, fmt, block).result()

    def execute(self, sql: str) -> None:
        """Execute a statement that changes tables; see `Warehouse.execute`."""
        with self._write_lock:
            self._write(sql)
            self._schemas.clear()

    def create_database(self) -> None:
        """Create the database if it does not exist, as after a restore dropped it."""
        self._write(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
        self._write(f"USE {DATABASE}")

    def check_tables(self) -> list[DamagedPart]:
        """Return the damaged parts; see `Warehouse.check_tables`."""
        return damaged_parts(
            lambda sql: [
                orjson.loads(line) for line in self._write(sql, None, "JSONEachRow").splitlines()
            ]
        )

    def back_up(self, name: str, witnesses: Sequence[Sequence[str]]) -> TableChecksums:
        """Write a backup beside the store; see `pipeline.sinks.backups`. Inserts wait for it."""
        return back_up(self, file_destination(str(self._backups / name)), witnesses)

    def restore(
        self, name: str, wanted: Mapping[str, Sequence[str]], witnesses: Sequence[Sequence[str]]
    ) -> None:
        """Restore a backup from beside the store, which must be empty."""
        restore(self, file_destination(str(self._backups / name)), DATABASE, wanted, witnesses)

    def close(self) -> None:
        """Close the store, so that another process can open it."""
        with self._read_lock:
            for session in self._readers.values():
                self._reading.submit(session.close).result()
            self._readers.clear()
        self._writing.submit(self._writer.close).result()
        self._reading.shutdown()
        self._writing.shutdown()

    @staticmethod
    def _run(
        session: Session,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        fmt: str = "CSV",
        block: pa.Table | None = None,  # noqa: ARG004  # chdb reads it from this frame by its name
    ) -> bytes:
        try:
            literals = (
                {name: escaped_parameter(value) for name, value in parameters.items()}
                if parameters
                else None
            )
            result = session.query(sql, fmt, params=literals)
        except (RuntimeError, ValueError) as error:
            raise error_from_text(str(error)) from error
        return bytes(result.bytes()) if result is not None else b""

"""The warehouse on a ClickHouse server, over its native protocol (clickhouse-driver)."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from clickhouse_driver import Client, errors
from clickhouse_driver.block import BlockInfo
from clickhouse_driver.protocol import ClientPacketTypes, ServerPacketTypes
from clickhouse_driver.result import QueryResult
from clickhouse_driver.varint import write_varint
from clickhouse_driver.writer import write_binary_str, write_binary_uint8

from pipeline.sinks.backups import TableChecksums, back_up
from pipeline.sinks.clickhouse_http import query_over_http
from pipeline.sinks.clickhouse_query import Header, UnsupportedTypeError, json_rows
from pipeline.sinks.clickhouse_url import Address, parse_address
from pipeline.sinks.native_encoder import encode_column
from pipeline.sinks.query_guard.guard import QueryGuard
from pipeline.sinks.query_guard.limits import QuestionLimits
from pipeline.sinks.table_check import DamagedPart, damaged_parts
from pipeline.sinks.warehouse import (
    Columns,
    WarehouseBusyError,
    WarehouseError,
    WarehouseSetupError,
    error_for_code,
)

# A failed connection raises an exception; the driver would log a traceback too, at every attempt.
logging.getLogger("clickhouse_driver.connection").setLevel(logging.ERROR)

# Rows must be durable and visible when the insert returns, so the server must not combine it with
# other inserts (its default since 26.3).
_INSERT_SETTINGS = {"async_insert": 0}
_CLIENT_NAME = "switchboard"
# TCP keep-alive: idle seconds before the first probe, seconds between probes, number of probes.
_KEEPALIVE = (20, 5, 4)


class ClickHouseWarehouse:
    """A warehouse on a ClickHouse server, with a pool of connections for concurrent threads.

    Results in other formats than JSONEachRow come over HTTP. Queries pass `QueryGuard` and run with
    readonly=1, or 2 if they change settings that a question may change. A connection is closed
    after an error; the next call opens another.
    """

    def __init__(self, url: str | Address) -> None:
        self.address = parse_address(url) if isinstance(url, str) else url
        self._writers = _Pool(self.address, {})
        self._readers = _Pool(self.address, {"strings_as_bytes": True, "server_side_params": True})
        self._guard = QueryGuard(lambda sql, parameters: self._rows(sql, parameters, {}))

    def __repr__(self) -> str:
        return f"ClickHouseWarehouse({self.address})"

    def insert(self, table: str, columns: Columns) -> None:
        """Insert rows into one table as one block; see `Warehouse.insert`."""
        self.insert_all([{table: columns}])

    def insert_all(self, blocks: Iterable[Mapping[str, Columns]]) -> None:
        """Insert blocks into several tables by one INSERT per table; see `Warehouse.insert_all`.

        Each block is sent as soon as it is computed, and the server receives it while the next one
        is computed. The server combines the blocks of an INSERT into one part, and writes all
        tables at the same time at the end.
        """
        with ExitStack() as open_inserts:
            inserts: dict[str, _Insert] = {}
            for tables in blocks:
                for table, columns in tables.items():
                    rows = _rows_of(table, columns)
                    if rows and table not in inserts:
                        client = open_inserts.enter_context(self._writers.client())
                        inserts[table] = _Insert(client, table, list(columns))
                    if rows:
                        inserts[table].send(columns, rows)
            for insert in inserts.values():
                insert.end()
            for insert in inserts.values():
                insert.wait()

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        fmt: str = "JSONEachRow",
        limits: QuestionLimits | None = None,
    ) -> bytes:
        """Return the result of a read-only query in an output format; see `Warehouse.query`."""
        question = self._guard.check(sql, fmt)
        # With 1 a session can neither write nor change settings, including this one.
        settings = {"readonly": 2 if question.has_settings else 1}
        settings |= limits.settings() if limits else {}
        try:
            if fmt == "JSONEachRow":
                with suppress(UnsupportedTypeError):
                    return self._rows(question.sql, parameters or {}, settings)
            return query_over_http(self.address, question.sql, parameters or {}, fmt, settings)
        except WarehouseError as error:
            raise (limits.explained(error) if limits else error) from error

    def _rows(self, sql: str, parameters: Mapping[str, Any], settings: Mapping[str, int]) -> bytes:
        columns, header = self._answer(sql, parameters, {"readonly": 1, **settings})
        return json_rows(header, columns)

    def _answer(
        self, sql: str, parameters: Mapping[str, Any], settings: Mapping[str, int]
    ) -> tuple[Sequence[Sequence[Any]], Header]:
        with self._readers.client() as client:
            columns, header = client.execute(
                sql,
                dict(parameters),
                with_column_types=True,
                columnar=True,
                settings=dict(settings),
            )
        return columns, header

    def execute(self, sql: str) -> None:
        """Execute a statement that changes tables; see `Warehouse.execute`."""
        with self._writers.client() as client:
            client.execute(sql)

    def create_database(self) -> None:
        """Create the database if it does not exist; see `Warehouse.create_database`."""
        with _translate_errors(self.address), _connected(self.address, {}, database="") as client:
            client.execute(f"CREATE DATABASE IF NOT EXISTS {_quote_name(self.address.database)}")

    def check_tables(self) -> list[DamagedPart]:
        """Let the server read every byte and return the damaged parts."""
        return damaged_parts(self._ask)

    def _ask(self, sql: str) -> list[dict[str, Any]]:
        with self._writers.client() as client:
            found, header = client.execute(sql, with_column_types=True)
        return [dict(zip((name for name, _ in header), row, strict=True)) for row in found]

    def back_up(self, destination: str, witnesses: Sequence[Sequence[str]]) -> TableChecksums:
        """Let the server write a backup to one of its disks; see `pipeline.sinks.backups`."""
        return back_up(self, destination, witnesses)

    def close(self) -> None:
        """Close all connections."""
        self._writers.close()
        self._readers.close()


def _quote_name(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


class _DataOnly(QueryResult):  # type: ignore[misc]  # the driver has no types
    """Keeps the rows of a result, without those of WITH TOTALS and extremes."""

    def store(self, packet: Any) -> None:
        """Store the block of a packet if it has rows of the result."""
        if packet.type == ServerPacketTypes.DATA:
            super().store(packet)


def _client(address: Address, settings: Mapping[str, Any], database: str | None = None) -> Client:
    client = Client(
        **address.client_options(database),
        settings=dict(settings),
        client_name=_CLIENT_NAME,
        tcp_keepalive=_KEEPALIVE,
    )
    client.query_result_cls = _DataOnly
    return client


@contextmanager
def _connected(
    address: Address, settings: Mapping[str, Any], database: str | None
) -> Iterator[Client]:
    client = _client(address, settings, database)
    try:
        yield client
    finally:
        client.disconnect()


class _Pool:
    """Idle connections: a thread takes one or opens another, and returns it after success."""

    def __init__(self, address: Address, settings: Mapping[str, Any]) -> None:
        self._address = address
        self._settings = settings
        self._idle: list[Client] = []
        self._lock = threading.Lock()

    @contextmanager
    def client(self) -> Iterator[Client]:
        with self._lock:
            client = self._idle.pop() if self._idle else _client(self._address, self._settings)
        try:
            with _translate_errors(self._address):
                yield client
        except BaseException:
            client.disconnect()
            raise
        with self._lock:
            self._idle.append(client)

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for client in idle:
            client.disconnect()


def _rows_of(table: str, columns: Columns) -> int:
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise WarehouseError(f"columns of {table} differ in length: {sorted(lengths)}")
    return lengths.pop() if lengths else 0


class _Insert:
    """An open INSERT: does what clickhouse-driver's Client.execute does, with our encoders.

    The server's responses to blocks are read at the end, so that sending never waits for them.
    After an error the connection is in the middle of an INSERT, and the caller closes it.
    """

    def __init__(self, client: Client, table: str, names: Sequence[str]) -> None:
        self._client, self._table = client, table
        sql = f"INSERT INTO {_quote_name(table)} ({', '.join(map(_quote_name, names))}) VALUES"
        client.establish_connection(_INSERT_SETTINGS)
        client.connection.send_query(sql)
        client.connection.send_external_tables(None)
        self._columns: list[tuple[str, str]] = client.receive_sample_block().columns_with_types

    def send(self, columns: Columns, rows: int) -> None:
        """Send a block; raises WarehouseError with the column's name if a value does not fit."""
        self._write(self._columns, columns, rows)

    def end(self) -> None:
        """Send the end of the data, so that the server makes the rows durable."""
        self._write((), {}, 0)

    def wait(self) -> None:
        """Wait until the rows are durable."""
        self._client.receive_end_of_insert_query()

    def _write(self, kinds: Sequence[tuple[str, str]], columns: Columns, rows: int) -> None:
        connection = self._client.connection
        try:
            write_varint(ClientPacketTypes.DATA, connection.fout)
            write_binary_str("", connection.fout)
            self._write_block(connection.block_out, kinds, columns, rows)
        except OSError:
            # If the server rejected the insert and closed the connection, it has sent the reason.
            self.wait()
            raise

    def _write_block(
        self, stream: Any, kinds: Sequence[tuple[str, str]], columns: Columns, rows: int
    ) -> None:
        """Write a block as the driver's BlockOutputStream.write does, for servers since 2022."""
        BlockInfo().write(stream.fout)
        write_varint(len(kinds), stream.fout)
        write_varint(rows, stream.fout)
        for name, kind in kinds:
            write_binary_str(name, stream.fout)
            write_binary_str(kind, stream.fout)
            # Default serialisation, not sparse.
            write_binary_uint8(0, stream.fout)
            encode_column(f"{self._table}.{name}", kind, columns[name], stream.fout)
        stream.finalize()


# The server appends a stack trace of its own code to the message.
_STACK = re.compile(r"\s*Stack trace:.*", re.DOTALL)
_PREFIX = re.compile(r"^(?:DB::Exception: )+")
_CERTIFICATE = "CERTIFICATE_VERIFY_FAILED"


@contextmanager
def _translate_errors(address: Address) -> Iterator[None]:
    """Convert the driver's exceptions: the server's by error number, the network's to busy."""
    try:
        yield
    except errors.ServerException as error:
        raise error_for_code(
            error.code or 0, _PREFIX.sub("", _STACK.sub("", error.message or "")).strip()
        ) from error
    except errors.TypeMismatchError as error:
        raise WarehouseError(str(error.message), error.code) from error
    except errors.UnknownTypeError as error:
        raise WarehouseError(
            f"{error.message}: clickhouse-driver cannot read it: cast it, such as by toString()",
            error.code,
        ) from error
    except errors.Error as error:
        if _CERTIFICATE in str(error):
            raise WarehouseSetupError(
                f"{address}: its certificate is not trusted: add its authority by ?ca_certs=FILE"
                f" ({error.message})",
                error.code,
            ) from error
        raise WarehouseBusyError(f"{address}: {error}", error.code) from error
    except (EOFError, OSError) as error:
        raise WarehouseBusyError(
            f"{address}: the connection broke: {type(error).__name__} {error}".rstrip(),
            errors.ErrorCodes.NETWORK_ERROR,
        ) from error

"""The warehouse on a ClickHouse server, spoken to in its native protocol by clickhouse-driver."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from clickhouse_driver import Client, errors
from clickhouse_driver.block import BlockInfo
from clickhouse_driver.protocol import ClientPacketTypes, ServerPacketTypes
from clickhouse_driver.result import QueryResult
from clickhouse_driver.varint import write_varint
from clickhouse_driver.writer import write_binary_str, write_binary_uint8

from pipeline.sinks.backups import TableChecksums, back_up
from pipeline.sinks.clickhouse_query import Header, format_answer
from pipeline.sinks.clickhouse_url import Address, parse_address
from pipeline.sinks.native_encoder import encode_column
from pipeline.sinks.readonly_guard import NORMALIZE_SQL, ReadOnlyGuard
from pipeline.sinks.warehouse import (
    Columns,
    WarehouseBusyError,
    WarehouseError,
    WarehouseSetupError,
    error_for_code,
)

# A connection that fails is told by the exception; the driver would print its traceback beside it,
# at every try.
logging.getLogger("clickhouse_driver.connection").setLevel(logging.ERROR)

# Durable and seen when the insert returns: the server must not gather it with others (its own
# default since 26.3).
_INSERT_SETTINGS = {"async_insert": 0}
# Under 1 a session neither writes nor changes settings, this one included; 2 would let it change
# those.
_READ_SETTINGS = {"readonly": 1}
_CLIENT_NAME = "switchboard"
# Seconds of silence after which the kernel asks the other side, seconds between questions, and
# their number.
_KEEPALIVE = (20, 5, 4)


class ClickHouseWarehouse:
    """A ClickHouse server behind the warehouse port; every thread that asks at the same time has a
    connection of its own.

    What analysts write passes `ReadingGuard` and runs under readonly=1. A connection on which
    anything went wrong is dropped, and made anew at the next call.
    """

    def __init__(self, url: str | Address) -> None:
        self.address = parse_address(url) if isinstance(url, str) else url
        self._writers = _Pool(self.address, {})
        self._readers = _Pool(self.address, {"strings_as_bytes": True, "server_side_params": True})
        self._guard = ReadOnlyGuard(self._normalized)

    def __repr__(self) -> str:
        return f"ClickHouseWarehouse({self.address})"

    def insert(self, table: str, columns: Columns) -> None:
        """Insert rows of one table as one block; see `Warehouse.insert`. Sent again after a
        WarehouseBusyError, they replace themselves.
        """
        self.insert_all([{table: columns}])

    def insert_all(self, blocks: Iterable[Mapping[str, Columns]]) -> None:
        """Insert blocks of several tables, each sent when it is made, one INSERT a table; see
        `Warehouse.insert_all`.

        The server gathers the blocks of an INSERT into one part; it takes them in while the next
        are made, and writes all tables at the same time in the end.
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
        self, sql: str, parameters: Mapping[str, Any] | None = None, fmt: str = "JSONEachRow"
    ) -> bytes:
        """Answer a reading query in a ClickHouse output format; see `Warehouse.query`."""
        self._guard.check(sql)
        columns, header = self._answer(sql, parameters or {})
        return format_answer(header, columns, fmt)

    def _normalized(self, sql: str) -> str:
        ((normalized,),), _ = self._answer(NORMALIZE_SQL, {"sql": sql})
        return str(normalized, "utf-8", "replace")

    def _answer(
        self, sql: str, parameters: Mapping[str, Any]
    ) -> tuple[Sequence[Sequence[Any]], Header]:
        with self._readers.client() as client:
            columns, header = client.execute(
                sql,
                dict(parameters),
                with_column_types=True,
                columnar=True,
                settings=_READ_SETTINGS,
            )
        return columns, header

    def execute(self, sql: str) -> None:
        """Carry out a statement that changes tables; see `Warehouse.execute`."""
        with self._writers.client() as client:
            client.execute(sql)

    def create_database(self) -> None:
        """Create the database where it is absent; see `Warehouse.create_database`."""
        with _translate_errors(self.address), _connected(self.address, {}, database="") as client:
            client.execute(f"CREATE DATABASE IF NOT EXISTS {_quote_name(self.address.database)}")

    def back_up(self, place: str, witnesses: Sequence[Sequence[str]]) -> TableChecksums:
        """Let the server write a backup to a place of its own; see `pipeline.sinks.backups`."""
        return back_up(self, place, witnesses)

    def close(self) -> None:
        """Close all connections."""
        self._writers.close()
        self._readers.close()


def _quote_name(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


class _DataOnly(QueryResult):  # type: ignore[misc]  # the driver has no types
    """The rows of an answer, without those of WITH TOTALS and extremes, which are no rows of it."""

    def store(self, packet: Any) -> None:
        """Keep a packet's block where it is of the answer itself."""
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
    """Connections that are open and idle; a thread takes one, or opens one more, and gives it back
    where all went well.
    """

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
    """An INSERT that is open: what clickhouse-driver's Client.execute does for one, block by block,
    of columns that we encode.

    The server's answers to single blocks are read in the end, so that none is waited for while
    there is more to send. Any error leaves the connection in the middle of an INSERT: whoever holds
    it drops it.
    """

    def __init__(self, client: Client, table: str, names: Sequence[str]) -> None:
        self._client, self._table = client, table
        sql = f"INSERT INTO {_quote_name(table)} ({', '.join(map(_quote_name, names))}) VALUES"
        client.establish_connection(_INSERT_SETTINGS)
        client.connection.send_query(sql)
        client.connection.send_external_tables(None)
        self._columns: list[tuple[str, str]] = client.receive_sample_block().columns_with_types

    def send(self, columns: Columns, rows: int) -> None:
        """Send a block; raises WarehouseError naming the column where a value does not fit."""
        self._write(self._columns, columns, rows)

    def end(self) -> None:
        """Say that there is no more: the server makes the rows durable."""
        self._write((), {}, 0)

    def wait(self) -> None:
        """Return when the rows are durable."""
        self._client.receive_end_of_insert_query()

    def _write(self, kinds: Sequence[tuple[str, str]], columns: Columns, rows: int) -> None:
        connection = self._client.connection
        try:
            write_varint(ClientPacketTypes.DATA, connection.fout)
            write_binary_str("", connection.fout)
            self._write_block(connection.block_out, kinds, columns, rows)
        except OSError:
            # Where the server has refused and hung up, it has said why.
            self.wait()
            raise

    def _write_block(
        self, stream: Any, kinds: Sequence[tuple[str, str]], columns: Columns, rows: int
    ) -> None:
        """Write a block as the driver's BlockOutputStream.write does, for the protocol of any
        server since 2022.
        """
        BlockInfo().write(stream.fout)
        write_varint(len(kinds), stream.fout)
        write_varint(rows, stream.fout)
        for name, kind in kinds:
            write_binary_str(name, stream.fout)
            write_binary_str(kind, stream.fout)
            # Serialised as usual, not sparse.
            write_binary_uint8(0, stream.fout)
            encode_column(f"{self._table}.{name}", kind, columns[name], stream.fout)
        stream.finalize()


# Behind the message the server appends where in its own code it happened.
_STACK = re.compile(r"\s*Stack trace:.*", re.DOTALL)
_PREFIX = re.compile(r"^(?:DB::Exception: )+")
_CERTIFICATE = "CERTIFICATE_VERIFY_FAILED"


@contextmanager
def _translate_errors(address: Address) -> Iterator[None]:
    """Turn what the driver raises into the port's errors: the server's by their number, all of the
    network's into WarehouseBusyError.
    """
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
            f"{error.message}: clickhouse-driver cannot read it; cast it, such as by toString()",
            error.code,
        ) from error
    except errors.Error as error:
        if _CERTIFICATE in str(error):
            raise WarehouseSetupError(
                f"{address}: its certificate is not trusted: name its authority by ?ca_certs=FILE"
                f" ({error.message})",
                error.code,
            ) from error
        raise WarehouseBusyError(f"{address}: {error}", error.code) from error
    except (EOFError, OSError) as error:
        raise WarehouseBusyError(
            f"{address}: the connection broke: {type(error).__name__} {error}".rstrip(),
            errors.ErrorCodes.NETWORK_ERROR,
        ) from error

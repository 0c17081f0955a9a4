"""Shares the embedded store: one process has it open and answers the others over a local socket."""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

import orjson
from filelock import FileLock, Timeout

from pipeline.log.retries import poll_until
from pipeline.log.sqlite_file import FileDamagedError
from pipeline.sinks.backups import BackupError, TableChecksums
from pipeline.sinks.chdb import ChdbWarehouse
from pipeline.sinks.clickhouse_text import error_from_text, system_error_from_text
from pipeline.sinks.migrations import migrate
from pipeline.sinks.part_ledger import PartLedger, VersionRange, verify_folder, verify_parts
from pipeline.sinks.query_guard.limits import QuestionLimits
from pipeline.sinks.table_check import DamagedPart
from pipeline.sinks.warehouse import (
    Columns,
    StoreInUseError,
    WarehouseBusyError,
    WarehouseError,
    error_for_code,
)

logger = logging.getLogger(__name__)

# A Unix socket's address holds 108 bytes on Linux and 104 on macOS; a data folder may lie deeper.
_MAX_SOCKET_PATH = 100
# Commands that open the store without serving it (a query, a report) take seconds; after a minute
# something hangs.
_MAX_WAIT_S, _POLL_S = 60.0, 0.05
_OK, _ERROR = b"+", b"-"


def open_for_reading(data_dir: Path, *, verify: bool = True) -> _LockedWarehouse | RemoteWarehouse:
    """Return the warehouse of a data folder: the store itself, or a client of its server process.

    Raises StoreInUseError if the other process does not answer, and with `verify` FileDamagedError
    if the store lacks known parts.
    """

    def open_once() -> _LockedWarehouse | RemoteWarehouse | None:
        lock = _Lock.take(data_dir)
        if lock is not None:
            return _LockedWarehouse(data_dir, lock, verify=verify)
        # A process that is still opening the store has not announced its socket yet.
        if "socket" in (holder := _Lock.holder(data_dir)):
            with suppress(OSError, EOFError, ValueError):
                return RemoteWarehouse(holder["socket"], holder["pid"])
        return None

    warehouse: _LockedWarehouse | RemoteWarehouse | None = poll_until(
        open_once, limit_s=_MAX_WAIT_S, wait_s=_POLL_S
    )
    if warehouse is None:
        raise StoreInUseError(
            f"process {_Lock.holder_pid(data_dir)} has {data_dir} open and does not answer: end"
            " it, or wait"
        )
    return warehouse


def open_for_running(data_dir: Path) -> ServedWarehouse:
    """Return the store and answer readers; raises StoreInUseError if a run has it open."""
    return ServedWarehouse(data_dir, _lock_for_running(data_dir))


def open_for_checking(data_dir: Path) -> _LockedWarehouse | RemoteWarehouse:
    """Return the store as it is, damaged or not, or a client of its server process."""
    return open_for_reading(data_dir, verify=False)


def open_for_repair(data_dir: Path) -> _LockedWarehouse:
    """Return the store as it is, damaged or not; raises StoreInUseError if a run has it open."""
    return _LockedWarehouse(data_dir, _lock_for_running(data_dir), verify=False)


@contextmanager
def open_for_restoring(data_dir: Path) -> Iterator[ChdbWarehouse]:
    """Open an empty store, without tables, to restore a backup into it."""
    with exclusive_store_access(data_dir):
        store = ChdbWarehouse(data_dir / "store")
        try:
            yield store
        finally:
            store.close()


@contextmanager
def exclusive_store_access(data_dir: Path) -> Iterator[None]:
    """Prevent all processes from opening a store while inside the `with` block.

    Raises StoreInUseError if a run has it open.
    """
    lock = _lock_for_running(data_dir)
    try:
        yield
    finally:
        lock.release()


def _lock_for_running(data_dir: Path) -> _Lock:
    def lock_once() -> _Lock | StoreInUseError | None:
        lock = _Lock.take(data_dir)
        if lock is not None:
            return lock
        # A process with a socket serves the store for as long as it runs: do not wait for it.
        return in_use() if "socket" in _Lock.holder(data_dir) else None

    def in_use() -> StoreInUseError:
        return StoreInUseError(
            f"process {_Lock.holder_pid(data_dir)} already runs on {data_dir}: end it, or use"
            " another --data-dir"
        )

    result: _Lock | StoreInUseError | None = poll_until(
        lock_once, limit_s=_MAX_WAIT_S, wait_s=_POLL_S
    )
    if isinstance(result, _Lock):
        return result
    raise result or in_use()


class _Lock:
    """A file lock, which the kernel releases when its process ends.

    The file has the process id and, if it serves readers, the address of its socket.
    """

    def __init__(self, path: Path, lock: FileLock) -> None:
        self._path = path
        self._lock = lock

    @classmethod
    def take(cls, data_dir: Path) -> _Lock | None:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = data_dir / "store.lock"
        # Any thread may release it. Without flock it fails instead of writing a marker file, which
        # would outlive a killed process.
        file_lock = FileLock(path, timeout=0, thread_local=False, fallback_to_soft=False)
        try:
            file_lock.acquire()
        except Timeout:
            return None
        lock = cls(path, file_lock)
        lock.announce({})
        return lock

    def announce(self, facts: Mapping[str, str]) -> None:
        self._path.write_bytes(orjson.dumps({"pid": os.getpid(), **facts}))

    def release(self) -> None:
        self._lock.release()

    @staticmethod
    def holder(data_dir: Path) -> dict[str, Any]:
        try:
            facts = orjson.loads((data_dir / "store.lock").read_bytes())
        except (OSError, ValueError):
            return {}
        return facts if isinstance(facts, dict) else {}

    @classmethod
    def holder_pid(cls, data_dir: Path) -> str:
        return str(cls.holder(data_dir).get("pid", "unknown"))


class _LockedWarehouse(ChdbWarehouse):
    """The store, locked by this process until it is closed; its parts are in the ledger.

    Raises FileDamagedError if the store cannot be opened or, with `verify`, lacks known parts.
    """

    def __init__(self, data_dir: Path, lock: _Lock, *, verify: bool = True) -> None:
        self._lock, self._root = lock, data_dir
        self._ledger: PartLedger | None = None
        self._ledger_lock = threading.Lock()
        try:
            if verify:
                verify_folder(data_dir)
            try:
                super().__init__(data_dir / "store")
            except RuntimeError as error:
                if (problem := system_error_from_text(str(error))) is not None:
                    raise problem from error
                raise FileDamagedError(
                    data_dir / "store", str(error_from_text(str(error)))
                ) from error
            if verify:
                self._open_ledger()
        except BaseException:
            lock.release()
            raise

    def _open_ledger(self) -> None:
        try:
            verify_parts(self, self._root)
            migrate(self)
            ledger = PartLedger.read(self._root) or PartLedger()
            if ledger.record(self):
                ledger.write(self._root)
            self._ledger = ledger
        except BaseException:
            super().close()
            raise

    def insert_all(self, blocks: Iterable[Mapping[str, Columns]]) -> None:
        """Insert blocks into several tables; see `Warehouse.insert_all`."""
        versions = VersionRange()
        super().insert_all(versions.note(blocks))
        self._record(versions)

    def execute(self, sql: str) -> None:
        """Execute a statement that changes tables; see `Warehouse.execute`."""
        super().execute(sql)
        self._record(None)

    def _record(self, versions: VersionRange | None) -> None:
        with self._ledger_lock:
            if self._ledger is not None and self._ledger.record(self, versions):
                try:
                    self._ledger.write(self._root)
                except OSError as error:
                    # The rows are no reason: the batch is tried again, then the run stops.
                    raise WarehouseBusyError(f"the list of parts: {error}") from error

    def close(self) -> None:
        """Close the store and release the lock."""
        super().close()
        self._lock.release()


class ServedWarehouse(_LockedWarehouse):
    """The store, locked by this process, which answers the queries of other processes."""

    def __init__(self, data_dir: Path, lock: _Lock) -> None:
        super().__init__(data_dir, lock)
        self._address, self._folder = _address(data_dir)
        with suppress(FileNotFoundError):
            os.unlink(self._address)
        # Other users must not be able to connect, not even between creation and a chmod.
        mask = os.umask(0o177)
        try:
            self._listener = Listener(self._address, "AF_UNIX", backlog=16)
        finally:
            os.umask(mask)
        self._closing = False
        threading.Thread(target=self._accept, name="store-server", daemon=True).start()
        lock.announce({"socket": self._address})

    def _accept(self) -> None:
        while not self._closing:
            try:
                connection = self._listener.accept()
            except OSError as error:
                if not self._closing:
                    logger.warning("A reader could not connect: %s", error)
                continue
            threading.Thread(
                target=self._answer, args=(connection,), name="store-reader", daemon=True
            ).start()

    def _answer(self, connection: Connection) -> None:
        with connection, suppress(EOFError, ConnectionError):
            while True:
                asked = orjson.loads(connection.recv_bytes())
                try:
                    reply = _OK + self._reply(asked)
                except (WarehouseError, BackupError) as error:
                    reply = _ERROR + orjson.dumps(
                        {"code": getattr(error, "code", 0), "message": str(error)}
                    )
                connection.send_bytes(reply)

    def _reply(self, asked: dict[str, Any]) -> bytes:
        if "check_tables" in asked:
            return orjson.dumps(self.check_tables())
        if "backup" in asked:
            return orjson.dumps(self.back_up(asked["backup"], asked["witnesses"]))
        limits = QuestionLimits(**asked["limits"]) if asked.get("limits") else None
        return self.query(asked["sql"], asked["parameters"], asked["fmt"], limits)

    def close(self) -> None:
        """Close the socket, then the store."""
        self._closing = True
        self._listener.close()
        with suppress(FileNotFoundError):
            os.unlink(self._address)
        if self._folder is not None:
            self._folder.cleanup()
        super().close()


def _address(data_dir: Path) -> tuple[str, tempfile.TemporaryDirectory[str] | None]:
    near = str((data_dir / "store.sock").absolute())
    if len(os.fsencode(near)) <= _MAX_SOCKET_PATH:
        return near, None
    folder = tempfile.TemporaryDirectory(prefix="switchboard-")
    return str(Path(folder.name) / "store.sock"), folder


class RemoteWarehouse:
    """The store of another process of this machine, `pid`, for read-only queries."""

    def __init__(self, address: str, pid: int) -> None:
        self._connection = Client(address, "AF_UNIX")
        self.pid = pid

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        fmt: str = "JSONEachRow",
        limits: QuestionLimits | None = None,
    ) -> bytes:
        """Return the result of a read-only query; see `Warehouse.query`."""
        return self._ask({"sql": sql, "parameters": parameters, "fmt": fmt, "limits": limits})

    def back_up(self, name: str, witnesses: Sequence[Sequence[str]]) -> TableChecksums:
        """Let the other process write a backup; see `ChdbWarehouse.back_up`."""
        sums: TableChecksums = orjson.loads(self._ask({"backup": name, "witnesses": witnesses}))
        return sums

    def check_tables(self) -> list[DamagedPart]:
        """Let the other process read every byte; see `Warehouse.check_tables`."""
        return [DamagedPart(**part) for part in orjson.loads(self._ask({"check_tables": True}))]

    def _ask(self, question: dict[str, Any]) -> bytes:
        try:
            self._connection.send_bytes(orjson.dumps(question))
            reply = self._connection.recv_bytes()
        except (EOFError, OSError) as error:
            raise WarehouseError(
                "the process that had the store open has ended: ask again"
            ) from error
        if reply[:1] == _OK:
            return reply[1:]
        problem = orjson.loads(reply[1:])
        raise error_for_code(problem["code"], problem["message"])

    def insert(self, table: str, columns: Columns) -> None:
        """Raise WarehouseError: only the process that has the store open writes."""
        raise WarehouseError(f"only the process that has the store open can write {table}")

    def insert_all(self, blocks: Iterable[Mapping[str, Columns]]) -> None:
        """Raise WarehouseError: only the process that has the store open writes."""
        raise WarehouseError("only the process that has the store open can write to it")

    def execute(self, sql: str) -> None:
        """Raise WarehouseError: only the process that has the store open changes tables."""
        raise WarehouseError(f"only the process that has the store open can execute: {sql[:80]}")

    def create_database(self) -> None:
        """Do nothing: the process that has the store open has created it."""

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

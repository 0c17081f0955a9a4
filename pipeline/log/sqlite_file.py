"""A durable SQLite file with checkpoints: commits survive kill -9 and power loss."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.errors import InstallationError, describe_machine_error, is_machine_error

# Another process may keep the write lock for as long as one batch takes, which is far below a
# minute.
_BUSY_S = 60
# SQLite before 3.32 accepts 999 variables in a statement.
_MAX_VARIABLES = 900
CHECKPOINTS = (
    "CREATE TABLE IF NOT EXISTS checkpoints (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT"
    " ROWID"
)
# Result codes of a file whose bytes are wrong, by their lowest byte, and the extended code of a
# page that the file's end cuts: https://www.sqlite.org/rescode.html
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
_DAMAGED_EXTENDED = frozenset({sqlite3.SQLITE_IOERR_SHORT_READ})


class FileDamagedError(InstallationError):
    """A file of this installation is damaged, missing or replaced; `problem` says how."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"{path} is damaged ({problem}); nothing was changed: `switchboard check` names the"
            " repair"
        )
        self.path, self.problem = path, problem


class _Connection(sqlite3.Connection):
    """A connection that raises FileDamagedError where SQLite finds its file damaged."""

    path: Path

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Raise FileDamagedError instead of SQLite's errors about damage."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            self.check_damage(error)
            raise

    def check_damage(self, error: sqlite3.DatabaseError) -> None:
        """Raise FileDamagedError for damage, and InstallationError for trouble of the machine."""
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and (code & 0xFF in _DAMAGED or code in _DAMAGED_EXTENDED):
            raise FileDamagedError(self.path, str(error)) from error
        if is_machine_error(error):
            raise InstallationError(describe_machine_error(error, str(self.path))) from error

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        return self.cursor(_Cursor).execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        return self.cursor(_Cursor).executemany(sql, parameters)


class _Cursor(sqlite3.Cursor):
    """A cursor whose every read reports damage: SQLite reads rows when they are fetched."""

    connection: _Connection

    def execute(self, sql: str, parameters: Any = (), /) -> _Cursor:
        with self.connection.translate_errors():
            return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> _Cursor:
        with self.connection.translate_errors():
            return super().executemany(sql, parameters)

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except sqlite3.DatabaseError as error:
            self.connection.check_damage(error)
            raise

    def fetchone(self) -> Any:
        with self.connection.translate_errors():
            return super().fetchone()

    def fetchall(self) -> list[Any]:
        with self.connection.translate_errors():
            return super().fetchall()


class SqliteFile:
    """A SQLite file that only its owner can read and whose every commit is durable.

    It runs in WAL mode with synchronous=FULL: one fsync a transaction. Subclasses create the
    tables, `CHECKPOINTS` among them. Every method raises FileDamagedError if the file's bytes are
    wrong.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = path
        self._db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, factory=_Connection)
        self._db.path = path
        path.chmod(0o600)
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            self._db.execute(f"PRAGMA {pragma}")

    @contextmanager
    def _write_transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            # SQLite ends a transaction itself if it finds the file damaged.
            with suppress(sqlite3.OperationalError):
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def checkpoint(self, name: str) -> bytes | None:
        """Return the last value of a checkpoint, or None if it was never set."""
        row = self._db.execute("SELECT value FROM checkpoints WHERE name = ?", (name,)).fetchone()
        return None if row is None else _as_bytes(row[0])

    def checkpoints(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        """Yield name and value of every checkpoint whose name starts with a prefix, by name."""
        rows = self._db.execute(
            "SELECT name, value FROM checkpoints WHERE name >= ? AND substr(name, 1, ?) = ? ORDER"
            " BY name",
            (prefix, len(prefix), prefix),
        )
        yield from ((name, _as_bytes(value)) for name, value in rows)

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _as_bytes(value: Any) -> bytes:
    """Return a value of a checkpoint; a damaged byte may have changed its type."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


def read_values(
    db: sqlite3.Connection,
    keys: Sequence[bytes],
    where: str = "true",
    parameters: tuple[object, ...] = (),
) -> dict[bytes, bytes]:
    """Return the values of those keys that table `states` has among the rows of a condition."""
    values: dict[bytes, bytes] = {}
    for start in range(0, len(keys), _MAX_VARIABLES):
        part = keys[start : start + _MAX_VARIABLES]
        placeholders = ",".join("?" * len(part))
        values.update(
            db.execute(
                f"SELECT key, value FROM states WHERE {where} AND key IN ({placeholders})",
                (*parameters, *part),
            )
        )
    return values

"""A durable SQLite file with checkpoints: commits survive kill -9 and power loss."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

# Another process may keep the write lock for as long as one batch takes, which is far below a
# minute.
_BUSY_S = 60
# SQLite before 3.32 accepts 999 variables in a statement.
_MAX_VARIABLES = 900
CHECKPOINTS = (
    "CREATE TABLE IF NOT EXISTS checkpoints (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT"
    " ROWID"
)


class SqliteFile:
    """A SQLite file that only its owner can read and whose every commit is durable.

    It runs in WAL mode with synchronous=FULL: one fsync a transaction. Subclasses create the
    tables, `CHECKPOINTS` among them.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = path
        self._db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
        path.chmod(0o600)
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            self._db.execute(f"PRAGMA {pragma}")

    @contextmanager
    def _write_transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def checkpoint(self, name: str) -> bytes | None:
        """Return the last value of a checkpoint, or None if it was never set."""
        row = self._db.execute("SELECT value FROM checkpoints WHERE name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def checkpoints(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        """Yield name and value of every checkpoint whose name starts with a prefix, by name."""
        rows = self._db.execute(
            "SELECT name, value FROM checkpoints WHERE name >= ? AND substr(name, 1, ?) = ? ORDER"
            " BY name",
            (prefix, len(prefix), prefix),
        )
        yield from ((name, bytes(value)) for name, value in rows)

    def close(self) -> None:
        """Close the file."""
        self._db.close()


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

"""What the files share that must survive kill -9 and power loss: one SQLite file with checkpoints
in it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

# Another process may hold the write lock for the length of one batch; a minute is far beyond any.
_BUSY_S = 60
# SQLite before 3.32 takes 999 variables a statement.
_MAX_VARIABLES = 900
CHECKPOINTS = (
    "CREATE TABLE IF NOT EXISTS checkpoints (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT"
    " ROWID"
)


class SqliteFile:
    """A file readable by its owner alone, whose every commit is durable (WAL, synchronous=FULL: one
    fsync a transaction).

    Whoever builds on it makes its tables, `CHECKPOINTS` among them.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = path
        self._db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
        path.chmod(0o600)
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            self._db.execute(f"PRAGMA {pragma}")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def checkpoint(self, name: str) -> bytes | None:
        """Return what was last set under a checkpoint's name, or None."""
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
        """Close the file; it keeps everything."""
        self._db.close()


def values_of(
    db: sqlite3.Connection,
    keys: Sequence[bytes],
    where: str = "true",
    given: tuple[object, ...] = (),
) -> dict[bytes, bytes]:
    """Return the values that a table `states` holds under those keys that it has, of the rows that
    a condition names.
    """
    found: dict[bytes, bytes] = {}
    for start in range(0, len(keys), _MAX_VARIABLES):
        part = keys[start : start + _MAX_VARIABLES]
        marks = ",".join("?" * len(part))
        found.update(
            db.execute(
                f"SELECT key, value FROM states WHERE {where} AND key IN ({marks})", (*given, *part)
            )
        )
    return found

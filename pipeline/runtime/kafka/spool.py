"""The spool: what could not be sent waits in a local SQLite file, together with the checkpoints of what was read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.runtime.log import LogError, Message
from pipeline.runtime.sqlite_log import dump_headers, load_headers

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS messages (place INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, key BLOB,"
    " value BLOB NOT NULL, headers BLOB NOT NULL, partition INTEGER)",
    "CREATE TABLE IF NOT EXISTS checkpoints (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
)
# Another command may hold the file for the length of one batch; a minute is far beyond any.
_BUSY_S = 60


class SpoolFull(LogError):
    """The broker is away and the spool holds as much as it may: nothing more is taken, nothing is lost."""


class Spool:
    """Messages that wait, in their order, and checkpoints; every change is durable (WAL, synchronous=FULL) or did not happen."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = path
        self._max_bytes = max_bytes
        self._db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
        path.chmod(0o600)
        for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", *_SCHEMA):
            self._db.execute(statement)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def keep(self, messages: Sequence[Message], checkpoints: Mapping[str, bytes]) -> None:
        """Add messages and set checkpoints together; raises SpoolFull and does neither where there is no room."""
        with self._writing():
            held = self.waiting()[1]
            if messages and held + sum(len(message.value) for message in messages) > self._max_bytes:
                raise SpoolFull(
                    f"Kafka is not to be reached and {self._path} holds {held >> 20} MiB of at most {self._max_bytes >> 20}:"
                    " mend the connection and run the command again, or raise the setting spool_bytes"
                )
            self._db.executemany(
                "INSERT INTO messages (topic, key, value, headers, partition) VALUES (?, ?, ?, ?, ?)",
                [(m.topic, m.key, m.value, dump_headers(m.headers), m.partition) for m in messages],
            )
            self._db.executemany("INSERT OR REPLACE INTO checkpoints VALUES (?, ?)", list(checkpoints.items()))

    def first(self, limit: int) -> tuple[list[Message], int]:
        """Return the messages that wait longest, and the place of the last of them, for `sent`."""
        rows = self._db.execute(
            "SELECT place, topic, key, value, headers, partition FROM messages ORDER BY place LIMIT ?", (limit,)
        ).fetchall()
        messages = [Message(topic, key, value, load_headers(raw), at) for _, topic, key, value, raw, at in rows]
        return messages, rows[-1][0] if rows else 0

    def sent(self, place: int) -> None:
        """Forget the messages up to a place: the broker has them."""
        with self._writing():
            self._db.execute("DELETE FROM messages WHERE place <= ?", (place,))

    def waiting(self) -> tuple[int, int]:
        """Return how many messages wait, and their bytes."""
        count, size = self._db.execute("SELECT count(*), coalesce(sum(length(value)), 0) FROM messages").fetchone()
        return int(count), int(size)

    def checkpoint(self, name: str) -> bytes | None:
        """Return what was last set under a checkpoint's name, or None."""
        row = self._db.execute("SELECT value FROM checkpoints WHERE name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def checkpoints(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        """Yield name and value of every checkpoint whose name starts with a prefix, by name."""
        rows = self._db.execute(
            "SELECT name, value FROM checkpoints WHERE name >= ? AND substr(name, 1, ?) = ? ORDER BY name",
            (prefix, len(prefix), prefix),
        )
        yield from ((name, bytes(value)) for name, value in rows)

    def close(self) -> None:
        """Close the file; what waits stays."""
        self._db.close()

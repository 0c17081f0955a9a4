"""The spool: a local SQLite file that keeps unsent messages and ingest checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.log.port import LogError, Message
from pipeline.log.sqlite_file import CHECKPOINTS, SqliteFile
from pipeline.log.sqlite_log import dump_headers, load_headers

_SCHEMA = (
    (
        "CREATE TABLE IF NOT EXISTS messages (place INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT"
        " NOT NULL, key BLOB, value BLOB NOT NULL, headers BLOB NOT NULL, partition INTEGER)"
    ),
    CHECKPOINTS,
)


class SpoolFullError(LogError):
    """The broker is unreachable and the spool is full: messages are refused, none are lost."""


class Spool(SqliteFile):
    """Unsent messages, in order, and checkpoints; every change is one durable transaction."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        super().__init__(path)
        self._max_bytes = max_bytes
        for statement in _SCHEMA:
            self._db.execute(statement)

    def add(self, messages: Sequence[Message], checkpoints: Mapping[str, bytes]) -> None:
        """Add messages and set checkpoints in one transaction; raises SpoolFullError if full."""
        with self._write_transaction():
            used = self.size()[1]
            if (
                messages
                and used + sum(len(message.value) for message in messages) > self._max_bytes
            ):
                raise SpoolFullError(
                    f"Kafka cannot be reached and the spool {self._path} is full ({used >> 20} of"
                    f" {self._max_bytes >> 20} MiB): fix the connection and run the command again,"
                    " or raise the setting spool_bytes"
                )
            self._db.executemany(
                "INSERT INTO messages (topic, key, value, headers, partition) VALUES (?, ?, ?,"
                " ?, ?)",
                [(m.topic, m.key, m.value, dump_headers(m.headers), m.partition) for m in messages],
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO checkpoints VALUES (?, ?)", list(checkpoints.items())
            )

    def oldest(self, limit: int) -> tuple[list[Message], int]:
        """Return the oldest messages, and the row id of the last, for `delete_through`."""
        rows = self._db.execute(
            "SELECT place, topic, key, value, headers, partition FROM messages ORDER BY place"
            " LIMIT ?",
            (limit,),
        ).fetchall()
        messages = [
            Message(topic, key, value, load_headers(raw), at)
            for _, topic, key, value, raw, at in rows
        ]
        return messages, rows[-1][0] if rows else 0

    def delete_through(self, row_id: int) -> None:
        """Delete the messages up to a row id: the broker has them."""
        with self._write_transaction():
            self._db.execute("DELETE FROM messages WHERE place <= ?", (row_id,))

    def size(self) -> tuple[int, int]:
        """Return the number of messages and their bytes."""
        count, size = self._db.execute(
            "SELECT count(*), coalesce(sum(length(value)), 0) FROM messages"
        ).fetchone()
        return int(count), int(size)

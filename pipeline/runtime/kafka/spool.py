"""The spool: what could not be sent waits in a local SQLite file, together with the checkpoints of
what was read.
"""

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


class SpoolFull(LogError):
    """The broker is away and the spool holds as much as it may: nothing more is taken, nothing is
    lost.
    """


class Spool(SqliteFile):
    """Messages that wait, in their order, and checkpoints; every change is durable or did not
    happen.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        super().__init__(path)
        self._max_bytes = max_bytes
        for statement in _SCHEMA:
            self._db.execute(statement)

    def keep(self, messages: Sequence[Message], checkpoints: Mapping[str, bytes]) -> None:
        """Add messages and set checkpoints together; raises SpoolFull and does neither where there
        is no room.
        """
        with self._writing():
            held = self.waiting()[1]
            if (
                messages
                and held + sum(len(message.value) for message in messages) > self._max_bytes
            ):
                raise SpoolFull(
                    f"Kafka is not to be reached and {self._path} holds {held >> 20} MiB of at most"
                    f" {self._max_bytes >> 20}: mend the connection and run the command again, or"
                    " raise the setting spool_bytes"
                )
            self._db.executemany(
                "INSERT INTO messages (topic, key, value, headers, partition) VALUES (?, ?, ?,"
                " ?, ?)",
                [(m.topic, m.key, m.value, dump_headers(m.headers), m.partition) for m in messages],
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO checkpoints VALUES (?, ?)", list(checkpoints.items())
            )

    def first(self, limit: int) -> tuple[list[Message], int]:
        """Return the messages that wait longest, and the place of the last of them, for `sent`."""
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

    def sent(self, place: int) -> None:
        """Forget the messages up to a place: the broker has them."""
        with self._writing():
            self._db.execute("DELETE FROM messages WHERE place <= ?", (place,))

    def waiting(self) -> tuple[int, int]:
        """Return how many messages wait, and their bytes."""
        count, size = self._db.execute(
            "SELECT count(*), coalesce(sum(length(value)), 0) FROM messages"
        ).fetchone()
        return int(count), int(size)

"""The states of a fold on Kafka: a compacted topic is the truth, a local SQLite file its cache.

States are written in the transaction of their outputs and offsets, and to the cache after the commit: the cache may lack the last
commits of a process that died, never hold what was not committed. On assignment it is caught up from the topic.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from pipeline.runtime.kafka.broker import REQUEST_TIMEOUT_S, Broker, BrokerAway, patiently, reason
from pipeline.runtime.log import Message, TopicPartition
from pipeline.runtime.sqlite_file import values_of

# States are a few KiB; this many are a few MiB.
_CATCH_UP = 2_000
# A full batch comes at once; the end of the topic is told within this long.
_POLL_S = 0.05
# As long as a worker may take before it counts as stuck, less what the rest of a batch needs.
_CATCH_UP_S = 240.0


class StateCache:
    """The states of the partitions that one worker holds; a file each, in a folder that no other living worker uses.

    `topics` names the state topic of every topic that has one.
    """

    def __init__(self, broker: Broker, topics: Mapping[str, str], folder: Path) -> None:
        self._broker = broker
        self._topics = topics
        self._folder = folder
        self._files: dict[TopicPartition, sqlite3.Connection] = {}

    def take(self, topic: str, partition: int) -> None:
        """Take over a partition of a topic: its states are caught up; raises BrokerError where they can't be read."""
        if topic not in self._topics:
            return
        place = self._topics[topic], partition
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = sqlite3.connect(self._folder / f"{place[0]}-{partition}.sqlite", isolation_level=None)
        # A cache needs no fsync: what a power cut takes is read again from the topic, and a torn file is refused by SQLite.
        for statement in (
            "PRAGMA journal_mode=WAL",
            "PRAGMA synchronous=OFF",
            "CREATE TABLE IF NOT EXISTS states (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
            "CREATE TABLE IF NOT EXISTS place (cluster TEXT NOT NULL, next_offset INTEGER NOT NULL)",
        ):
            file.execute(statement)
        self._files[place] = file
        self._catch_up(place, file)

    def leave(self, topic: str, partition: int) -> None:
        """Give a partition up; the cache of its states stays on disk for the next time."""
        file = self._files.pop((self._topics.get(topic, ""), partition), None)
        if file is not None:
            file.close()

    def states(self, topic: str, partition: int, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the states of those keys that have one; see `States`."""
        return values_of(self._files[topic, partition], keys)

    def committed(self, topic: str, partition: int, messages: Sequence[Message], last_offset: int) -> None:
        """Take in what a committed transaction wrote to a partition of a state topic, up to and including `last_offset`."""
        self._apply(self._files[topic, partition], [(m.key or b"", m.value) for m in messages], last_offset + 1)

    def _apply(self, file: sqlite3.Connection, pairs: Sequence[tuple[bytes, bytes]], next_offset: int) -> None:
        file.execute("BEGIN")
        file.executemany("INSERT OR REPLACE INTO states VALUES (?, ?)", [pair for pair in pairs if pair[1]])
        file.executemany("DELETE FROM states WHERE key = ?", [(key,) for key, value in pairs if not value])
        file.execute("UPDATE place SET next_offset = ?", (next_offset,))
        file.execute("COMMIT")

    def _catch_up(self, place: TopicPartition, file: sqlite3.Connection) -> None:
        deadline = time.monotonic() + _CATCH_UP_S
        consumer = self._broker.consumer(eof=True)
        try:
            consumer.assign([KafkaPartition(*place, self._start(consumer, place, file))])
            while not self._caught_up(consumer, file):
                if time.monotonic() > deadline:
                    raise BrokerAway(f"{place[0]}/{place[1]} could not be read to its end within {_CATCH_UP_S:.0f} s")
        except KafkaException as error:
            raise BrokerAway(f"{place[0]}/{place[1]} cannot be read: {reason(error)}") from error
        finally:
            consumer.close()

    def _start(self, consumer: Consumer, place: TopicPartition, file: sqlite3.Connection) -> int:
        """Return where to read on; a cache of another cluster, or of a topic that was made anew, is emptied."""
        cluster = consumer.list_topics(place[0], timeout=REQUEST_TIMEOUT_S).cluster_id or ""
        low, high = patiently(
            f"{place[0]}/{place[1]} cannot be read",
            lambda: consumer.get_watermark_offsets(KafkaPartition(*place), timeout=REQUEST_TIMEOUT_S),
        )
        row = file.execute("SELECT cluster, next_offset FROM place").fetchone()
        if row is not None and row[0] == cluster and low <= row[1] <= high:
            return int(row[1])
        file.execute("BEGIN")
        for statement in ("DELETE FROM states", "DELETE FROM place"):
            file.execute(statement)
        file.execute("INSERT INTO place VALUES (?, ?)", (cluster, low))
        file.execute("COMMIT")
        return low

    def _caught_up(self, consumer: Consumer, file: sqlite3.Connection) -> bool:
        pairs: list[tuple[bytes, bytes]] = []
        next_offset, ended = -1, False
        for message in consumer.consume(_CATCH_UP, _POLL_S):
            error = message.error()
            if error is None:
                pairs.append((message.key() or b"", message.value() or b""))
                next_offset = (message.offset() or 0) + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                ended = True
                # The end lies behind the marks of transactions, which are no messages.
                next_offset = message.offset() or next_offset
            else:
                raise KafkaException(error)
        if next_offset >= 0:
            self._apply(file, pairs, next_offset)
        return ended

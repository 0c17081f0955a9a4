"""The states of a fold on Kafka: a compacted topic is the truth, a local SQLite file its cache.

States are written in the transaction of their outputs and offsets, and to the cache after the
commit: the cache may lack the last commits of a process that died, never hold what was not
committed. On assignment it is caught up from the topic.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from pipeline.log.port import Message, TopicPartition
from pipeline.log.sqlite_file import values_of
from pipeline.runtime.kafka.broker import (
    REQUEST_TIMEOUT_S,
    Broker,
    BrokerAway,
    BrokerError,
    patiently,
    reason,
)
from pipeline.runtime.kafka.partitioner import home_of

# States are a few KiB; this many are a few MiB.
_CATCH_UP = 2_000
# A full batch comes at once; the end of the topic is told within this long.
_POLL_S = 0.05
# As long as a worker may take before it counts as stuck, less what the rest of a batch needs.
_CATCH_UP_S = 240.0
# Where partitions were added past us, all but (1 - share of keys that moved)^100 of such partitions
# show it by as many states.
_SAMPLE = 100
_CURE = (
    "partitions were added and the states did not follow: end converse's workers and run"
    " `switchboard topics apply --grow`"
)


class StateCache:
    """The states of the partitions that one worker holds; a file each, in a folder that no other
    living worker uses.

    `topics` names the state topic of every topic that has one.
    """

    def __init__(self, broker: Broker, topics: Mapping[str, str], folder: Path) -> None:
        self._broker = broker
        self._topics = topics
        self._folder = folder
        self._files: dict[TopicPartition, sqlite3.Connection] = {}
        self._partitions: dict[str, int] = {}

    def take(self, topic: str, partition: int) -> None:
        """Take over a partition of a topic: its states are caught up.

        Raises BrokerError where they can't be read, or do not lie where their keys are since
        partitions were added.
        """
        if topic not in self._topics:
            return
        place = self._topics[topic], partition
        self._partitions[place[0]] = _same_partitions(self._broker, topic, place[0])
        file = open_states(self._broker, place, self._folder)
        self._files[place] = file
        keys = [key for (key,) in file.execute("SELECT key FROM states LIMIT ?", (_SAMPLE,))]
        if any(self.home(place[0], key) != partition for key in keys):
            raise BrokerError(
                f"{place[0]}/{partition} holds states of keys that lie elsewhere: {_CURE}"
            )

    def leave(self, topic: str, partition: int) -> None:
        """Give a partition up; the cache of its states stays on disk for the next time."""
        file = self._files.pop((self._topics.get(topic, ""), partition), None)
        if file is not None:
            file.close()

    def home(self, topic: str, key: bytes) -> int:
        """Return the partition on which a key's state lies; see `States`."""
        return home_of(key, self._partitions[topic])

    def states(self, topic: str, partition: int, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the states of those keys that have one; see `States`."""
        return values_of(self._files[topic, partition], keys)

    def committed(
        self, topic: str, partition: int, messages: Sequence[Message], last_offset: int
    ) -> None:
        """Take in what a committed transaction wrote to a partition of a state topic, up to and
        including `last_offset`.
        """
        _apply(
            self._files[topic, partition],
            [(m.key or b"", m.value) for m in messages],
            last_offset + 1,
        )


def open_states(broker: Broker, place: TopicPartition, folder: Path) -> sqlite3.Connection:
    """Return the cache of a state topic's partition, made where there is none, caught up; raises
    BrokerError.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = sqlite3.connect(folder / f"{place[0]}-{place[1]}.sqlite", isolation_level=None)
    # A cache needs no fsync: what a power cut takes is read again from the topic, and a torn file
    # is refused by SQLite.
    for statement in (
        "PRAGMA journal_mode=WAL",
        "PRAGMA synchronous=OFF",
        (
            "CREATE TABLE IF NOT EXISTS states (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT"
            " ROWID"
        ),
        "CREATE TABLE IF NOT EXISTS place (cluster TEXT NOT NULL, next_offset INTEGER NOT NULL)",
    ):
        file.execute(statement)
    _catch_up(broker, place, file)
    return file


def _same_partitions(broker: Broker, topic: str, state_topic: str) -> int:
    """Return the number of partitions that a topic and its states have; raises BrokerError where it
    is not one number.
    """
    known = patiently(
        "topics cannot be had", lambda: broker.admin.list_topics(timeout=REQUEST_TIMEOUT_S).topics
    )
    records, states = len(known[topic].partitions), len(known[state_topic].partitions)
    if records != states:
        raise BrokerError(f"{topic} has {records} partitions and {state_topic} {states}: {_CURE}")
    return states


def _apply(
    file: sqlite3.Connection, pairs: Sequence[tuple[bytes, bytes]], next_offset: int
) -> None:
    file.execute("BEGIN")
    file.executemany(
        "INSERT OR REPLACE INTO states VALUES (?, ?)", [pair for pair in pairs if pair[1]]
    )
    file.executemany(
        "DELETE FROM states WHERE key = ?", [(key,) for key, value in pairs if not value]
    )
    file.execute("UPDATE place SET next_offset = ?", (next_offset,))
    file.execute("COMMIT")


def _catch_up(broker: Broker, place: TopicPartition, file: sqlite3.Connection) -> None:
    deadline = time.monotonic() + _CATCH_UP_S
    consumer = broker.consumer(eof=True)
    try:
        consumer.assign([KafkaPartition(*place, _start(consumer, place, file))])
        while not _caught_up(consumer, file):
            if time.monotonic() > deadline:
                raise BrokerAway(
                    f"{place[0]}/{place[1]} could not be read to its end within {_CATCH_UP_S:.0f} s"
                )
    except KafkaException as error:
        raise BrokerAway(f"{place[0]}/{place[1]} cannot be read: {reason(error)}") from error
    finally:
        consumer.close()


def _start(consumer: Consumer, place: TopicPartition, file: sqlite3.Connection) -> int:
    """Return where to read on; a cache of another cluster, of a topic that was made anew or has
    grown, is emptied.

    A state that has moved away leaves a tombstone that Kafka deletes after a day: a cache that
    slept longer would keep it.
    """
    topics = consumer.list_topics(place[0], timeout=REQUEST_TIMEOUT_S)
    cluster = f"{topics.cluster_id or ''}/{len(topics.topics[place[0]].partitions)}"
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


def _caught_up(consumer: Consumer, file: sqlite3.Connection) -> bool:
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
        _apply(file, pairs, next_offset)
    return ended

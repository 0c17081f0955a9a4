"""The states of a fold on Kafka: a compacted topic, cached in a local SQLite file.

The topic is authoritative: states are written to it in the transaction of their outputs and
offsets, and to the cache after the commit. The cache of a process that died may lack its last
commits, but has nothing that was not committed. On assignment the rest is read from the topic.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from pipeline.log.port import Message, TopicPartition
from pipeline.log.retries import poll_until
from pipeline.log.sqlite_file import read_values
from pipeline.runtime.kafka.broker import (
    REQUEST_TIMEOUT_S,
    Broker,
    BrokerError,
    BrokerUnavailableError,
    error_text,
    retry_request,
)
from pipeline.runtime.kafka.partitioner import key_partition

# States have a few KiB; this many have a few MiB.
_CATCH_UP = 2_000
# A full batch comes at once; the end of the topic is reported within this time.
_POLL_S = 0.05
# A worker that takes longer counts as stuck (max.poll.interval.ms less the rest of a batch).
_CATCH_UP_S = 240.0
# If partitions were added without `topics apply --grow`, at least half of the keys belong to other
# partitions. A quarter of this many states shows it almost surely, while some that somebody else
# wrote there do not stop the worker (docs/adr/0030).
_SAMPLE, _MOVED_SHARE = 100, 0.25
# Of a topic that somebody else filled with other things, so many are looked at to find a sample.
_MAX_LOOK = 10_000
_HOW_TO_FIX = (
    "partitions were added without moving the states: stop the workers of converse and run"
    " `switchboard topics apply --grow`"
)


class StateCache:
    """The states of one worker's partitions: a file each, in a folder of this worker alone.

    `topics` maps a topic to its state topic; `is_state` says whether bytes are a state.
    """

    def __init__(
        self,
        broker: Broker,
        topics: Mapping[str, str],
        folder: Path,
        is_state: Callable[[bytes], bool] = bool,
    ) -> None:
        self._broker = broker
        self._topics = topics
        self._folder = folder
        self._is_state = is_state
        self._files: dict[TopicPartition, sqlite3.Connection] = {}
        self._partitions: dict[str, int] = {}

    def open_partition(self, topic: str, partition: int) -> None:
        """Open the cache of a newly assigned partition and bring it up to date.

        Raises BrokerError if the states cannot be read, or belong to other partitions because
        partitions were added.
        """
        if topic not in self._topics:
            return
        state_partition = self._topics[topic], partition
        self._partitions[state_partition[0]] = _partition_count(
            self._broker, topic, state_partition[0]
        )
        file = open_state_file(self._broker, state_partition, self._folder)
        self._files[state_partition] = file
        stored = file.execute("SELECT key, value FROM states LIMIT ?", (_MAX_LOOK,))
        keys = list(islice((key for key, value in stored if self._is_state(value)), _SAMPLE))
        stored.close()
        moved = sum(self.state_partition(state_partition[0], key) != partition for key in keys)
        if moved > len(keys) * _MOVED_SHARE:
            raise BrokerError(
                f"{state_partition[0]}/{partition} has states of keys of other partitions:"
                f" {_HOW_TO_FIX}"
            )

    def close_partition(self, topic: str, partition: int) -> None:
        """Close the cache of a revoked partition; the file stays for the next time."""
        file = self._files.pop((self._topics.get(topic, ""), partition), None)
        if file is not None:
            file.close()

    def state_partition(self, topic: str, key: bytes) -> int:
        """Return the partition that has a key's state; see `StateStore`."""
        return key_partition(key, self._partitions[topic])

    def read_states(self, topic: str, partition: int, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the states of the keys that have one; see `StateStore`."""
        return read_values(self._files[topic, partition], keys)

    def apply_committed(
        self, topic: str, partition: int, messages: Sequence[Message], last_offset: int
    ) -> None:
        """Add what a committed transaction wrote to a state partition, up to `last_offset`."""
        _apply(
            self._files[topic, partition],
            [(m.key or b"", m.value) for m in messages],
            last_offset + 1,
        )


def open_state_file(broker: Broker, partition: TopicPartition, folder: Path) -> sqlite3.Connection:
    """Open, or create, the cache of a state partition and bring it up to date.

    Raises BrokerError.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = sqlite3.connect(folder / f"{partition[0]}-{partition[1]}.sqlite", isolation_level=None)
    # A cache needs no fsync: what a power cut destroys is read again from the topic, and SQLite
    # rejects a torn file.
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
    _catch_up(broker, partition, file)
    return file


def _partition_count(broker: Broker, topic: str, state_topic: str) -> int:
    """Return the partition count of a topic; raises BrokerError if its state topic differs."""
    known = retry_request(
        "topics cannot be read", lambda: broker.admin.list_topics(timeout=REQUEST_TIMEOUT_S).topics
    )
    records, states = len(known[topic].partitions), len(known[state_topic].partitions)
    if records != states:
        raise BrokerError(
            f"{topic} has {records} partitions and {state_topic} {states}: {_HOW_TO_FIX}"
        )
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


def _catch_up(broker: Broker, partition: TopicPartition, file: sqlite3.Connection) -> None:
    consumer = broker.consumer(eof=True)
    try:
        consumer.assign([KafkaPartition(*partition, _start(consumer, partition, file))])
        if not poll_until(lambda: _read_some(consumer, file) or None, limit_s=_CATCH_UP_S):
            raise BrokerUnavailableError(
                f"{partition[0]}/{partition[1]} was not read to its end within"
                f" {_CATCH_UP_S:.0f} s: check that the brokers of its leader run"
            )
    except KafkaException as error:
        raise BrokerUnavailableError(
            f"{partition[0]}/{partition[1]} cannot be read: {error_text(error)}"
        ) from error
    finally:
        consumer.close()


def _start(consumer: Consumer, partition: TopicPartition, file: sqlite3.Connection) -> int:
    """Return the offset from which to update a cache, after emptying one that is not valid.

    Not valid are caches of another cluster, and of a topic that was recreated or has got more
    partitions: a moved state leaves a tombstone, which Kafka deletes after a day, so a cache that
    was closed for longer would keep the state.
    """
    topics = consumer.list_topics(partition[0], timeout=REQUEST_TIMEOUT_S)
    cluster = f"{topics.cluster_id or ''}/{len(topics.topics[partition[0]].partitions)}"
    low, high = retry_request(
        f"{partition[0]}/{partition[1]} cannot be read",
        lambda: consumer.get_watermark_offsets(
            KafkaPartition(*partition), timeout=REQUEST_TIMEOUT_S
        ),
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


def _read_some(consumer: Consumer, file: sqlite3.Connection) -> bool:
    pairs: list[tuple[bytes, bytes]] = []
    next_offset, ended = -1, False
    for message in consumer.consume(_CATCH_UP, _POLL_S):
        error = message.error()
        if error is None:
            pairs.append((message.key() or b"", message.value() or b""))
            next_offset = (message.offset() or 0) + 1
        elif error.code() == KafkaError._PARTITION_EOF:
            ended = True
            # The end lies behind transaction markers, which are no messages.
            next_offset = message.offset() or next_offset
        else:
            raise KafkaException(error)
    if next_offset >= 0:
        _apply(file, pairs, next_offset)
    return ended

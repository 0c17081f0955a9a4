"""The log port: topics of ordered, keyed records, read by consumer groups with offsets.

Two logs implement it: one SQLite file (`sqlite_log.py`) and Kafka (`runtime/kafka/kafka_log.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from pipeline.errors import InstallationError

# librdkafka returns a list: copying it for every record would cost more than reading it. Other
# clients may write a null value.
Headers = Sequence[tuple[str, bytes | None]]
TopicPartition = tuple[str, int]


# Not frozen, unlike the other dataclasses here: creating a frozen one takes three times as long,
# and each record needs two.
@dataclass(slots=True)
class Message:
    """A message to produce. The key decides the partition unless one is set.

    Headers are CloudEvents' `ce_*` and our own `sb_*`. On a compacted topic the value replaces the
    earlier value of the key, and an empty value removes the key.
    """

    topic: str
    key: bytes | None
    value: bytes
    headers: Headers = ()
    partition: int | None = None


@dataclass(slots=True)
class LogRecord:
    """A message as read from the log, with its position and append time (ms since the epoch)."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes
    headers: Headers = ()

    def header(self, name: str) -> str:
        """Return a header as text, or "" if it is absent."""
        for key, value in self.headers:
            if key == name:
                return (value or b"").decode("utf-8", "replace")
        return ""


def offset_ranges(records: Sequence[LogRecord]) -> dict[TopicPartition, tuple[int, int]]:
    """Return the first and the last offset of each partition in a batch.

    The records must be in order within each partition.

    >>> offset_ranges([LogRecord("t", 0, offset, 0, None, b"") for offset in (3, 4, 7)])
    {('t', 0): (3, 7)}
    """
    firsts: dict[TopicPartition, int] = {}
    lasts: dict[TopicPartition, int] = {}
    topic, number, partition = "", -1, ("", -1)
    # Records of a partition come in runs: a lookup is needed only at the start of a run.
    for record in records:
        if record.partition != number or record.topic != topic:
            topic, number = record.topic, record.partition
            partition = topic, number
            firsts.setdefault(partition, record.offset)
        lasts[partition] = record.offset
    return {partition: (first, lasts[partition]) for partition, first in firsts.items()}


# Offsets take 20 bits of a row version: a version repeats only if a partition appends 1,048,576
# records within one millisecond.
_OFFSET_BITS = 20
# The year 2527. The broker sets the time of a record, unless a topic was created in another way.
_MAX_TIMESTAMP_MS = (1 << 64 - _OFFSET_BITS) - 1


# A republished record carries its first version in this header, so that its row never replaces a
# newer one.
_VERSION = "sb_version"


def row_version(record: LogRecord) -> int:
    """Return the version of a record's row: the later the record lies in its log, the larger.

    docs/adr/0003 says why rows are versioned so. The version is between 0 and 2^64 - 1.

    >>> row_version(LogRecord("t", 0, 5, 1, None, b"")) == (1 << 20) + 5
    True
    """
    # `republish_message` appends the header last, so only the last one has to be looked at.
    if record.headers and record.headers[-1][0] == _VERSION:
        version = record.headers[-1][1] or b""
        # Another value is not ours: columns of versions have 64 bits, which is twenty digits.
        if version.isdigit() and len(version) <= 20 and int(version) < 1 << 64:
            return int(version)
    timestamp_ms = min(max(record.timestamp_ms, 0), _MAX_TIMESTAMP_MS)
    return (timestamp_ms << _OFFSET_BITS) | (record.offset & ((1 << _OFFSET_BITS) - 1))


def republish_message(record: LogRecord) -> Message:
    """Return the message that republishes a record on its topic with its first row version.

    Its key decides the partition anew, which matters after partitions were added.
    """
    version = (_VERSION, str(row_version(record)).encode())
    headers = [header for header in record.headers if header[0] != _VERSION]
    return Message(record.topic, record.key, record.value, (*headers, version))


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a group is behind on one topic, in records and in seconds.

    The seconds are the age of the oldest unread record.
    """

    topic: str
    group: str
    records: int
    seconds: float


@dataclass(frozen=True, slots=True)
class TopicSize:
    """The partitions of a topic, and how many records were ever appended, expired ones included."""

    partitions: int
    records: int


@dataclass(frozen=True, slots=True)
class GroupPosition:
    """The committed offset of a group on a partition, and the partition's bounds.

    The partition has the offsets from `first` up to but excluding `end`; `committed` is None if the
    group never committed there.
    """

    topic: str
    partition: int
    first: int
    committed: int | None
    end: int


class Transaction(Protocol):
    """Messages, and the checkpoints of how far reading has come, made durable together."""

    def produce(self, messages: Sequence[Message]) -> None: ...

    def checkpoint(self, name: str, value: bytes) -> None: ...


class TopicReader(Protocol):
    """Reads a topic independently of all consumer groups."""

    def scan(self, topic: str, partition: int, start: int, limit: int) -> list[LogRecord]:
        """Return records from an offset on, in order; an empty list means the end is reached."""
        ...


class Log(TopicReader, Protocol):
    """A durable log as publishers and tools see it.

    Several processes may use the same log; an instance belongs to one thread.
    """

    def transaction(self) -> AbstractContextManager[Transaction]: ...

    def checkpoint(self, name: str) -> bytes | None: ...

    def checkpoints(self, prefix: str) -> Iterator[tuple[str, bytes]]: ...

    def lag(self, group: str, topics: Sequence[str], now_ms: int) -> list[Lag]: ...

    def unread(self, group: str, topics: Sequence[str]) -> Iterator[LogRecord]:
        """Yield the records that a group has not committed, partition by partition.

        A partition is read up to its end as of the moment when reading it begins.
        """
        ...

    def sizes(self) -> dict[str, TopicSize]:
        """Return the size of each topic by name."""
        ...

    def spooled(self) -> tuple[int, int]:
        """Return the number and the bytes of messages in the spool: the log was unreachable."""
        ...

    def truncate(self, topic: str, partition: int, before: int) -> None:
        """Delete the records before an offset permanently, whether or not groups have read them.

        Readers continue at the offset.
        """
        ...

    def positions(self, group: str, topics: Sequence[str]) -> list[GroupPosition]:
        """Return the position of a group on every partition of topics, in their order."""
        ...

    def offsets_since(self, topics: Sequence[str], since_ms: int) -> dict[TopicPartition, int]:
        """Return each partition's first offset appended at or after an instant, or its end."""
        ...

    def reset_offsets(self, group: str, positions: Mapping[TopicPartition, int]) -> None:
        """Set a group's offsets to any position, for a manual replay; no worker may run meanwhile.

        Raises GroupRunningError if the log knows that a worker of the group runs.
        """
        ...

    def close(self) -> None: ...


class StateStore(Protocol):
    """The states of a fold: the last value of each key of a compacted topic's partition."""

    def state_partition(self, topic: str, key: bytes) -> int:
        """Return the partition of a state topic that has a key's state."""
        ...

    def read_states(self, topic: str, partition: int, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the states of the keys that have one."""
        ...


class LogError(InstallationError):
    """The log rejects an operation, such as an unknown topic; the message says why."""


class GroupRunningError(LogError):
    """A group's offsets cannot be reset while its workers run: their next commit would undo it."""


class OffsetRegressionError(LogError):
    """A commit would move an offset back: two workers of a group own the same partition."""

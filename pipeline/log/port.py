"""The log port: topics of ordered, keyed records, read by groups with offsets. SQLite embeds it,
Kafka distributes it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from pipeline.errors import UserError

# A list where librdkafka made it: copying it for every record costs more than reading it. Other
# clients may write a null.
Headers = Sequence[tuple[str, bytes | None]]
TopicPartition = tuple[str, int]


# Not frozen, as all else here is: a frozen dataclass takes three times as long to make, and there
# are two for every record.
@dataclass(slots=True)
class Message:
    """What is produced: key decides the partition unless one is named, headers are CloudEvents'
    `ce_*` and our own.

    On a compacted topic the value replaces what stood under the key, and an empty value removes it.
    """

    topic: str
    key: bytes | None
    value: bytes
    headers: Headers = ()
    partition: int | None = None


@dataclass(slots=True)
class LogRecord:
    """What is read back: a message, where it stands, and when the log took it (ms since the epoch,
    UTC).
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes
    headers: Headers = ()

    def header(self, name: str) -> str:
        """Return a header as text, or "" where it is absent."""
        for key, value in self.headers:
            if key == name:
                return (value or b"").decode("utf-8", "replace")
        return ""


def spans_of(records: Sequence[LogRecord]) -> dict[TopicPartition, tuple[int, int]]:
    """Return the first and the last offset of each partition among records that are in order within
    each.
    """
    firsts: dict[TopicPartition, int] = {}
    lasts: dict[TopicPartition, int] = {}
    topic, partition, place = "", -1, ("", -1)
    # Records of a partition come in runs: only where a new run begins does anything need to be
    # looked up.
    for record in records:
        if record.partition != partition or record.topic != topic:
            topic, partition = record.topic, record.partition
            place = topic, partition
            firsts.setdefault(place, record.offset)
        lasts[place] = record.offset
    return {place: (first, lasts[place]) for place, first in firsts.items()}


def now_ms() -> int:
    """Return the present instant in ms since the epoch."""
    return time.time_ns() // 1_000_000


# Offsets in a version take 20 bits: a partition would have to take 1,048,576 records within one
# millisecond to repeat one.
_OFFSET_BITS = 20


# A record that is put on its log once more, as it is, carries its first version: nothing newer may
# be replaced by it.
_VERSION = "sb_version"


def version_of(record: LogRecord) -> int:
    """Return the version of the row a record becomes: the later in its log, the larger (DESIGN
    §5).
    """
    # Whoever puts a record on its log again adds this last, so that nobody else has to look for it.
    if record.headers and record.headers[-1][0] == _VERSION:
        return int(record.headers[-1][1] or 0)
    return (record.timestamp_ms << _OFFSET_BITS) | (record.offset & ((1 << _OFFSET_BITS) - 1))


def again(record: LogRecord) -> Message:
    """Return the message that puts a record on its topic once more, where its key lies now, as old
    as it is.
    """
    version = (_VERSION, str(version_of(record)).encode())
    headers = [header for header in record.headers if header[0] != _VERSION]
    return Message(record.topic, record.key, record.value, (*headers, version))


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a group is behind on one topic: in records, and in seconds since the oldest unread
    one was written.
    """

    topic: str
    group: str
    records: int
    seconds: float


@dataclass(frozen=True, slots=True)
class TopicSize:
    """A topic as it is: its partitions, and how many records it ever took, expired ones
    included.
    """

    partitions: int
    records: int


@dataclass(frozen=True, slots=True)
class Position:
    """Where a group stands on a partition that holds the offsets from `first` to before `end`;
    `committed` None: it never began.
    """

    topic: str
    partition: int
    first: int
    committed: int | None
    end: int


class Transaction(Protocol):
    """What a publisher makes durable together: messages, and checkpoints that say how far its
    reading has come.
    """

    def produce(self, messages: Sequence[Message]) -> None: ...

    def checkpoint(self, name: str, value: bytes) -> None: ...


class Scan(Protocol):
    """Reading a topic beside all groups."""

    def scan(self, topic: str, partition: int, start: int, limit: int) -> list[LogRecord]:
        """Return records from an offset on, in order; none: the end is reached."""
        ...


class Log(Scan, Protocol):
    """A durable log as publishers and tools see it. Safe from several processes; an instance
    belongs to one thread.
    """

    def transaction(self) -> AbstractContextManager[Transaction]: ...

    def checkpoint(self, name: str) -> bytes | None: ...

    def checkpoints(self, prefix: str) -> Iterator[tuple[str, bytes]]: ...

    def lag(self, group: str, topics: Sequence[str], now_ms: int) -> list[Lag]: ...

    def unread(self, group: str, topics: Sequence[str]) -> Iterator[LogRecord]:
        """Yield the records that a group has not committed, partition by partition, up to the end
        as it is when each is begun.
        """
        ...

    def sizes(self) -> dict[str, TopicSize]:
        """Return what each topic holds, by name."""
        ...

    def waiting(self) -> tuple[int, int]:
        """Return how many messages wait in the data folder because the log was not to be reached,
        and their bytes.
        """
        ...

    def truncate(self, topic: str, partition: int, before: int) -> None:
        """Delete the records before an offset, for good: what nobody may keep. No group is asked;
        readers go on at the offset.
        """
        ...

    def positions(self, group: str, topics: Sequence[str]) -> list[Position]:
        """Return where a group stands on every partition of topics, in their order."""
        ...

    def offsets_since(self, topics: Sequence[str], since_ms: int) -> dict[TopicPartition, int]:
        """Return of every partition the first offset that the log took at or after an instant; its
        end where there is none.
        """
        ...

    def rewind(self, group: str, positions: Mapping[TopicPartition, int]) -> None:
        """Set a group's offsets back (or anywhere): for replays by hand, never by a stage; nobody
        of the group may run.

        Raises GroupRunning where the log knows that somebody does.
        """
        ...

    def close(self) -> None: ...


class States(Protocol):
    """The states of a fold: what last stood under each key of a compacted topic's partition."""

    def home(self, topic: str, key: bytes) -> int:
        """Return the partition of a state topic on which a key's state lies."""
        ...

    def states(self, topic: str, partition: int, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the states of those keys that have one."""
        ...


class LogError(UserError):
    """The log refuses: an unknown topic, a value of the wrong kind; the message says which."""


class GroupRunning(LogError):
    """A group's offsets cannot be set by hand while its workers run: they would go on from where
    they are and commit over it.
    """


class OffsetRegression(LogError):
    """Somebody committed an offset behind the committed one: two workers hold one partition of a
    group.
    """

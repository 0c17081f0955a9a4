"""Kafka as publishers and tools see it: every message confirmed by the broker, or kept in the spool
until it is.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from confluent_kafka import KafkaError, Producer
from confluent_kafka import Message as KafkaMessage
from confluent_kafka import TopicPartition as KafkaPartition

from pipeline.log.port import Lag, LogRecord, Message, Position, TopicPartition, TopicSize
from pipeline.runtime.kafka.broker import (
    REQUEST_TIMEOUT_S,
    Broker,
    BrokerAway,
    BrokerError,
    patiently,
    produce,
)
from pipeline.runtime.kafka.spool import Spool
from pipeline.runtime.kafka.topic_scan import KafkaScan, first_records, first_since, log_ends
from schemas.topics import TOPICS

logger = logging.getLogger(__name__)

# How long the broker may take to confirm a message before it is spooled: a leader election passes,
# an outage does not hold ingestion up.
_CONFIRM_MS = 10_000
# After an outage was seen the broker is left alone this long: each batch would wait in vain for
# `_CONFIRM_MS` otherwise.
_LEAVE_ALONE_S = 10.0
# Spooled messages are sent again in parts of this many.
_DRAIN = 5_000
# Read at once by whoever looks through a topic: some MiB.
_SCAN_RECORDS = 1_000
# What no later try mends: the message itself, the topic, or the right to write to it.
_FOR_GOOD = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_MSG,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.RECORD_LIST_TOO_LARGE,
    }
)


class _Outgoing:
    """The transaction of a `KafkaLog`; valid inside its `with` block only."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.checkpoints: dict[str, bytes] = {}

    def produce(self, messages: Sequence[Message]) -> None:
        self.messages.extend(messages)

    def checkpoint(self, name: str, value: bytes) -> None:
        self.checkpoints[name] = value


class KafkaLog:
    """Fulfils `Log`. What a transaction produced is on the broker, or in the spool, when it ends;
    checkpoints only then.

    A batch may reach the broker twice (a confirmation lost on its way): ids are deterministic, so
    it is the same records again.
    """

    def __init__(self, broker: Broker, folder: Path, spool_bytes: int) -> None:
        self._broker = broker
        self._spool = Spool(folder / "spool.sqlite", spool_bytes)
        self._producer: Producer | None = None
        self._scan = KafkaScan(broker)
        self._away_until = 0.0

    @contextmanager
    def transaction(self) -> Iterator[_Outgoing]:
        """Open a transaction: all of it is safe when the block ends, none of it is kept if it
        raises.
        """
        outgoing = _Outgoing()
        yield outgoing
        unsent = outgoing.messages
        if self.drain():
            unsent = self._send(outgoing.messages)
        self._spool.keep(unsent, outgoing.checkpoints)

    def drain(self) -> bool:
        """Send what is spooled, the oldest first; return whether nothing waits any more."""
        while True:
            messages, place = self._spool.first(_DRAIN)
            if not messages:
                return True
            if self._send(messages):
                return False
            self._spool.sent(place)

    def waiting(self) -> tuple[int, int]:
        """Return how many messages wait in the spool, and their bytes."""
        return self._spool.waiting()

    def _send(self, messages: Sequence[Message]) -> list[Message]:
        """Produce and wait for every confirmation; return the messages that have none. Raises
        BrokerError for what none can have.
        """
        if not messages:
            return []
        if time.monotonic() < self._away_until:
            return list(messages)
        if self._producer is None:
            self._producer = self._broker.producer(confirm_ms=_CONFIRM_MS)
        refused: list[tuple[str, KafkaError]] = []
        unconfirmed: set[tuple[str | None, bytes | None, bytes | None]] = set()

        def failed(error: KafkaError, message: KafkaMessage) -> None:
            if error.code() in _FOR_GOOD:
                refused.append((message.topic() or "", error))
            else:
                unconfirmed.add((message.topic(), message.key(), message.value()))

        produce(self._producer, messages, failed)
        # Every message is confirmed or has failed by itself within its own time-out.
        self._producer.flush()
        if refused:
            topic, error = refused[0]
            raise BrokerError(
                f"Kafka at {self._broker.servers} refuses {len(refused)} messages for good, the"
                f" first for {topic}: {error.str()}; see `switchboard topics apply`"
            )
        # A report carries no headers, so the message is looked up by what it does carry.
        unsent = [
            message
            for message in messages
            if (message.topic, message.key, message.value) in unconfirmed
        ]
        if unsent:
            # A topic that does not exist looks like a broker that is slow; only the latter passes.
            self._known({message.topic for message in unsent})
            self._away_until = time.monotonic() + _LEAVE_ALONE_S
            logger.warning(
                "Kafka at %s confirms nothing: %d messages wait", self._broker.servers, len(unsent)
            )
        return unsent

    def _known(self, topics: set[str]) -> None:
        """Raise BrokerError where a broker that answers lacks one of the topics."""
        with suppress(BrokerAway):
            self._broker.check_topics(sorted(topics))

    def scan(self, topic: str, partition: int, start: int, limit: int) -> list[LogRecord]:
        """Return committed records from an offset on; see `Scan`."""
        return self._scan.scan(topic, partition, start, limit)

    def checkpoint(self, name: str) -> bytes | None:
        """Return what was last set under a checkpoint's name, or None."""
        return self._spool.checkpoint(name)

    def checkpoints(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        """Yield name and value of every checkpoint whose name starts with a prefix, by name."""
        return self._spool.checkpoints(prefix)

    def lag(self, group: str, topics: Sequence[str], now_ms: int) -> list[Lag]:
        """Return how far a group is behind on each topic; a group that never committed is behind
        from the first record on.
        """
        self._broker.check_topics(topics)
        return patiently(
            f"the lag of {group} cannot be had", lambda: self._lag(group, topics, now_ms)
        )

    def _lag(self, group: str, topics: Sequence[str], now_ms: int) -> list[Lag]:
        places = self._open(group, topics)
        # Between two records lie marks of transactions, so offsets only bound the number: reading
        # tells whether there is one.
        oldest = first_records(self._broker, {place: start for place, (start, _) in places.items()})
        records: dict[str, int] = defaultdict(int)
        seconds: dict[str, float] = defaultdict(float)
        for record in oldest:
            records[record.topic] += places[record.topic, record.partition][1] - record.offset
            seconds[record.topic] = max(
                seconds[record.topic], (now_ms - record.timestamp_ms) / 1000
            )
        return [Lag(topic, group, records[topic], seconds[topic]) for topic in topics]

    def unread(self, group: str, topics: Sequence[str]) -> Iterator[LogRecord]:
        """Yield the records that a group has not committed; see `Log.unread`."""
        self._broker.check_topics(topics)
        places = patiently(
            f"the offsets of {group} cannot be had", lambda: self._open(group, topics)
        )
        for place, (start, end) in places.items():
            at = start
            while at < end and (records := self._scan.scan(*place, at, _SCAN_RECORDS)):
                yield from (record for record in records if record.offset < end)
                at = records[-1].offset + 1

    def _open(self, group: str, topics: Sequence[str]) -> dict[TopicPartition, tuple[int, int]]:
        """Return from where to where each partition is not committed; raises KafkaException."""
        ends = log_ends(self._broker.admin, topics)
        committed = self._broker.committed(group, list(ends))
        starts = {place: max(committed.get(place, low), low) for place, (low, _) in ends.items()}
        return {
            place: (start, ends[place][1])
            for place, start in starts.items()
            if start < ends[place][1]
        }

    def positions(self, group: str, topics: Sequence[str]) -> list[Position]:
        """Return where a group stands on every partition of topics; see `Log.positions`."""
        self._broker.check_topics(topics)

        def asked() -> list[Position]:
            ends = log_ends(self._broker.admin, topics)
            committed = self._broker.committed(group, list(ends))
            return [
                Position(*place, low, committed.get(place), high)
                for place, (low, high) in ends.items()
            ]

        return patiently(f"the offsets of {group} cannot be had", asked)

    def offsets_since(self, topics: Sequence[str], since_ms: int) -> dict[TopicPartition, int]:
        """Return of every partition the first offset taken at or after an instant; see
        `Log.offsets_since`.
        """
        self._broker.check_topics(topics)
        return patiently(
            "offsets cannot be had", lambda: first_since(self._broker.admin, topics, since_ms)
        )

    def rewind(self, group: str, positions: Mapping[TopicPartition, int]) -> None:
        """Set a group's offsets; see `Log.rewind`. Kafka takes them only while the group has no
        member.
        """
        self._broker.set_offsets(group, positions)

    def sizes(self) -> dict[str, TopicSize]:
        """Return the partitions of each topic, and how many offsets it ever gave out: one a record,
        and one a transaction and partition.
        """
        topics = list(TOPICS)
        self._broker.check_topics(topics)
        ends = patiently(
            "the ends of topics cannot be had", lambda: log_ends(self._broker.admin, topics)
        )
        highs: dict[str, list[int]] = defaultdict(list)
        for (topic, _), (_, high) in ends.items():
            highs[topic].append(high)
        return {topic: TopicSize(len(found), sum(found)) for topic, found in highs.items()}

    def truncate(self, topic: str, partition: int, before: int) -> None:
        """Delete the records before an offset; see `Log.truncate`. Brokers delete the files when a
        whole segment is past it.
        """
        place = KafkaPartition(topic, partition, before)

        def asked() -> None:
            for future in self._broker.admin.delete_records(
                [place], request_timeout=REQUEST_TIMEOUT_S
            ).values():
                future.result()

        patiently(f"{topic}/{partition} cannot be shortened", asked)

    def close(self) -> None:
        """Hang up; what is spooled waits for the next time."""
        self._scan.close()
        self._spool.close()

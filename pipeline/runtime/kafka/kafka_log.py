"""Kafka as the log of publishers and tools; unconfirmed messages are kept in the spool."""

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

from pipeline.log.port import GroupPosition, Lag, LogRecord, Message, TopicPartition, TopicSize
from pipeline.runtime.kafka.broker import (
    REQUEST_TIMEOUT_S,
    Broker,
    BrokerError,
    BrokerUnavailableError,
    produce,
    retry_request,
)
from pipeline.runtime.kafka.spool import Spool
from pipeline.runtime.kafka.topic_scan import (
    KafkaScan,
    first_offsets_since,
    first_records,
    offset_bounds,
)
from schemas.topics import TOPICS

logger = logging.getLogger(__name__)

# How long the broker may take to confirm a message before it is spooled: longer than a leader
# election, but an outage must not stop ingestion.
_CONFIRM_MS = 10_000
# After an outage nothing is sent for this long: otherwise each batch would wait `_CONFIRM_MS` in
# vain.
_PAUSE_S = 10.0
# The number of spooled messages that are sent together.
_DRAIN = 5_000
# Records read at once when a topic is scanned: some MiB.
_SCAN_RECORDS = 1_000
# Errors that no retry fixes: the message itself, the topic, or the right to write to it.
_PERMANENT = frozenset(
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


class _KafkaTransaction:
    """The transaction of a `KafkaLog`; valid inside its `with` block only."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.checkpoints: dict[str, bytes] = {}

    def produce(self, messages: Sequence[Message]) -> None:
        self.messages.extend(messages)

    def checkpoint(self, name: str, value: bytes) -> None:
        self.checkpoints[name] = value


class KafkaLog:
    """Implements `Log` on Kafka.

    When a transaction ends, its messages are on the broker or in the spool; only then its
    checkpoints are set. A batch may reach the broker twice if a confirmation was lost: ids are
    deterministic, so this is a redelivery of the same records.
    """

    def __init__(self, broker: Broker, folder: Path, spool_bytes: int) -> None:
        self._broker = broker
        self._spool = Spool(folder / "spool.sqlite", spool_bytes)
        self._producer: Producer | None = None
        self._scan = KafkaScan(broker)
        self._paused_until = 0.0

    @contextmanager
    def transaction(self) -> Iterator[_KafkaTransaction]:
        """Open a transaction, durable when the block ends and dropped if the block raises."""
        outgoing = _KafkaTransaction()
        yield outgoing
        unsent = outgoing.messages
        if self.send_spooled():
            unsent = self._send(outgoing.messages)
        self._spool.add(unsent, outgoing.checkpoints)

    def send_spooled(self) -> bool:
        """Send the spooled messages, the oldest first; return whether the spool is empty."""
        while True:
            messages, last = self._spool.oldest(_DRAIN)
            if not messages:
                return True
            if self._send(messages):
                return False
            self._spool.delete_through(last)

    def spooled(self) -> tuple[int, int]:
        """Return the number of spooled messages and their bytes."""
        return self._spool.size()

    def _send(self, messages: Sequence[Message]) -> list[Message]:
        """Produce messages and wait for confirmations; return the unconfirmed ones.

        Raises BrokerError for messages that Kafka rejects permanently.
        """
        if not messages:
            return []
        if time.monotonic() < self._paused_until:
            return list(messages)
        if self._producer is None:
            self._producer = self._broker.producer(confirm_ms=_CONFIRM_MS)
        refused: list[tuple[str, KafkaError]] = []
        unconfirmed: set[tuple[str | None, bytes | None, bytes | None]] = set()

        def failed(error: KafkaError, message: KafkaMessage) -> None:
            if error.code() in _PERMANENT:
                refused.append((message.topic() or "", error))
            else:
                unconfirmed.add((message.topic(), message.key(), message.value()))

        produce(self._producer, messages, failed)
        # Every message is confirmed, or fails, within its own time limit.
        self._producer.flush()
        if refused:
            topic, error = refused[0]
            raise BrokerError(
                f"Kafka at {self._broker.servers} rejects {len(refused)} messages permanently, the"
                f" first for {topic}: {error.str()}; run `switchboard topics apply`, or check the"
                " access rights"
            )
        # A delivery report has no headers, so messages are matched by topic, key and value.
        unsent = [
            message
            for message in messages
            if (message.topic, message.key, message.value) in unconfirmed
        ]
        if unsent:
            # A missing topic looks like a slow broker, but is permanent.
            self._check_topics({message.topic for message in unsent})
            self._paused_until = time.monotonic() + _PAUSE_S
            logger.warning(
                "Kafka at %s does not confirm messages: %d messages go to the spool and are sent"
                " again later",
                self._broker.servers,
                len(unsent),
            )
        return unsent

    def _check_topics(self, topics: set[str]) -> None:
        """Raise BrokerError if the broker answers and lacks one of the topics."""
        with suppress(BrokerUnavailableError):
            self._broker.check_topics(sorted(topics))

    def scan(self, topic: str, partition: int, start: int, limit: int) -> list[LogRecord]:
        """Return committed records from an offset on; see `TopicReader`."""
        return self._scan.scan(topic, partition, start, limit)

    def checkpoint(self, name: str) -> bytes | None:
        """Return the last value of a checkpoint, or None if it was never set."""
        return self._spool.checkpoint(name)

    def checkpoints(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        """Yield name and value of every checkpoint whose name starts with a prefix, by name."""
        return self._spool.checkpoints(prefix)

    def lag(self, group: str, topics: Sequence[str], now_ms: int) -> list[Lag]:
        """Return the lag of a group on each topic, counted from the first record if it never
        committed.
        """
        self._broker.check_topics(topics)
        return retry_request(
            f"the lag of {group} cannot be read", lambda: self._lag(group, topics, now_ms)
        )

    def _lag(self, group: str, topics: Sequence[str], now_ms: int) -> list[Lag]:
        ranges = self._unread_ranges(group, topics)
        # Transaction markers have offsets, too, so offsets are only an upper bound: reading shows
        # whether there is a record at all.
        oldest = first_records(
            self._broker, {partition: start for partition, (start, _) in ranges.items()}
        )
        records: dict[str, int] = defaultdict(int)
        seconds: dict[str, float] = defaultdict(float)
        for record in oldest:
            records[record.topic] += ranges[record.topic, record.partition][1] - record.offset
            seconds[record.topic] = max(
                seconds[record.topic], (now_ms - record.timestamp_ms) / 1000
            )
        return [Lag(topic, group, records[topic], seconds[topic]) for topic in topics]

    def unread(self, group: str, topics: Sequence[str]) -> Iterator[LogRecord]:
        """Yield the records that a group has not committed; see `Log.unread`."""
        self._broker.check_topics(topics)
        ranges = retry_request(
            f"the offsets of {group} cannot be read", lambda: self._unread_ranges(group, topics)
        )
        for partition, (start, end) in ranges.items():
            at = start
            while at < end and (records := self._scan.scan(*partition, at, _SCAN_RECORDS)):
                yield from (record for record in records if record.offset < end)
                at = records[-1].offset + 1

    def _unread_ranges(
        self, group: str, topics: Sequence[str]
    ) -> dict[TopicPartition, tuple[int, int]]:
        """Return the unread offset range of each partition; raises KafkaException."""
        ends = offset_bounds(self._broker.admin, topics)
        committed = self._broker.committed_offsets(group, list(ends))
        starts = {
            partition: max(committed.get(partition, low), low)
            for partition, (low, _) in ends.items()
        }
        return {
            partition: (start, ends[partition][1])
            for partition, start in starts.items()
            if start < ends[partition][1]
        }

    def positions(self, group: str, topics: Sequence[str]) -> list[GroupPosition]:
        """Return the position of a group on every partition of topics; see `Log.positions`."""
        self._broker.check_topics(topics)

        def ask() -> list[GroupPosition]:
            ends = offset_bounds(self._broker.admin, topics)
            committed = self._broker.committed_offsets(group, list(ends))
            return [
                GroupPosition(*partition, low, committed.get(partition), high)
                for partition, (low, high) in ends.items()
            ]

        return retry_request(f"the offsets of {group} cannot be read", ask)

    def offsets_since(self, topics: Sequence[str], since_ms: int) -> dict[TopicPartition, int]:
        """Return each partition's first offset at or after an instant; see `Log.offsets_since`."""
        self._broker.check_topics(topics)
        return retry_request(
            "the offsets of topics cannot be read",
            lambda: first_offsets_since(self._broker.admin, topics, since_ms),
        )

    def reset_offsets(self, group: str, positions: Mapping[TopicPartition, int]) -> None:
        """Set a group's offsets; see `Log.reset_offsets`.

        Kafka accepts them only while the group has no member.
        """
        self._broker.set_offsets(group, positions)

    def sizes(self) -> dict[str, TopicSize]:
        """Return the size of each topic; its records include a marker per transaction."""
        topics = list(TOPICS)
        self._broker.check_topics(topics)
        ends = retry_request(
            "the ends of topics cannot be read", lambda: offset_bounds(self._broker.admin, topics)
        )
        highs: dict[str, list[int]] = defaultdict(list)
        for (topic, _), (_, high) in ends.items():
            highs[topic].append(high)
        return {topic: TopicSize(len(found), sum(found)) for topic, found in highs.items()}

    def truncate(self, topic: str, partition: int, before: int) -> None:
        """Delete the records before an offset; see `Log.truncate`.

        Brokers delete a file when its whole segment lies before the offset.
        """
        end = KafkaPartition(topic, partition, before)

        def ask() -> None:
            for future in self._broker.admin.delete_records(
                [end], request_timeout=REQUEST_TIMEOUT_S
            ).values():
                future.result()

        retry_request(f"{topic}/{partition} cannot be truncated", ask)

    def close(self) -> None:
        """Close the clients; spooled messages are sent the next time."""
        self._scan.close()
        self._spool.close()

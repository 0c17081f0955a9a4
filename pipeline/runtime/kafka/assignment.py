"""The partitions assigned to a worker: from which offset it reads, and what a rebalance does."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaException, Message
from confluent_kafka import TopicPartition as KafkaPartition

from pipeline.log.port import LogRecord, TopicPartition
from pipeline.runtime.crash_quarantine import CrashMarkers
from pipeline.runtime.kafka.broker import REQUEST_TIMEOUT_S, retry_request
from pipeline.runtime.kafka.state_cache import StateCache

logger = logging.getLogger(__name__)

# One time limit for taking partitions over. The offsets of a worker that died inside a transaction
# are not readable until the transaction times out (10 s), so the limit is several times that, and
# well below max.poll.interval.ms.
_TAKE_OVER_S = 60.0


class Assignment:
    """The partitions of one consumer, each with the next offset to commit.

    Records before that offset are not handled again.
    """

    def __init__(
        self, consumer: Consumer, markers: CrashMarkers, states: StateCache | None
    ) -> None:
        self._consumer = consumer
        self._markers = markers
        self._states = states
        self._next: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._paused = False
        self._changed = False
        self._failure: Exception | None = None

    def subscribe(self, topics: Sequence[str]) -> None:
        """Join the group."""
        self._consumer.subscribe(
            list(topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )

    def close(self) -> None:
        """Close the consumer; other workers take its partitions over when its session has ended."""
        self._consumer.close()
        for partition in list(self._next):
            self._forget(partition)

    def raise_failure(self) -> None:
        """Raise the exception of a rebalance callback: librdkafka would not pass it on."""
        if self._failure is not None:
            raise self._failure

    def drop_stale(self, records: list[LogRecord]) -> list[LogRecord]:
        """Return the records of this worker's partitions that were not handled yet.

        A rebalance during a fetch may leave records of other workers in it.
        """
        if not self._changed:
            return records
        self._changed = False
        return [
            record
            for record in records
            if record.offset >= self._next.get((record.topic, record.partition), record.offset + 1)
        ]

    def note_end(self, end: Message) -> None:
        """Note the end of a partition, which transaction markers move past its last record."""
        self._ends[end.topic() or "", end.partition() or 0] = end.offset() or 0

    def lag(self) -> dict[TopicPartition, int]:
        """Return the lag of each partition in offsets, as of the last fetch."""
        lag: dict[TopicPartition, int] = {}
        for partition, offset in self._next.items():
            _, high = self._consumer.get_watermark_offsets(KafkaPartition(*partition), cached=True)
            if high >= 0:
                lag[partition] = max(high - max(offset, self._ends.get(partition, 0)), 0)
        return lag

    def mark_committed(self, positions: Mapping[TopicPartition, int]) -> None:
        """Note the offsets that were committed."""
        self._next.update(positions)

    def seek_to_committed(self) -> None:
        """Read again from the committed offsets."""
        self._changed = True
        self._ends.clear()
        for (topic, partition), offset in self._next.items():
            start = KafkaPartition(topic, partition, offset)
            try:
                self._consumer.seek(start)
            except KafkaException:
                # A partition that was just assigned cannot seek yet; assigned anew it starts at the
                # offset.
                self._consumer.incremental_unassign([start])
                self._consumer.incremental_assign([start])

    def pause(self) -> None:
        """Fetch nothing until `resume`."""
        self._paused = True
        self._consumer.pause(self._partitions())

    def resume(self) -> None:
        """Fetch again, from the committed offsets."""
        self._paused = False
        self.seek_to_committed()
        self._consumer.resume(self._partitions())

    def _partitions(self) -> list[KafkaPartition]:
        return [KafkaPartition(topic, partition) for topic, partition in self._next]

    def _assigned(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        self._changed = True
        try:
            starts = self._starts(partitions)
            for start in starts:
                partition = start.topic, start.partition
                self._markers.take_over(partition)
                if self._states is not None:
                    self._states.open_partition(*partition)
                self._next[partition] = start.offset
            consumer.incremental_assign(starts)
            if self._paused:
                consumer.pause(starts)
            logger.info(
                "Assigned partitions: %s",
                ", ".join(f"{start.topic}/{start.partition}@{start.offset}" for start in starts),
            )
        except Exception as error:
            self._failure = error

    def _revoked(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        self._changed = True
        for partition in partitions:
            self._forget((partition.topic, partition.partition))
        consumer.incremental_unassign(partitions)
        logger.info(
            "Revoked partitions: %s",
            ", ".join(f"{partition.topic}/{partition.partition}" for partition in partitions),
        )

    def _forget(self, partition: TopicPartition) -> None:
        self._next.pop(partition, None)
        self._ends.pop(partition, None)
        self._markers.give_up(partition)
        if self._states is not None:
            self._states.close_partition(*partition)

    def _starts(self, partitions: list[KafkaPartition]) -> list[KafkaPartition]:
        """Return the offsets to start from: the group's, or the first of the log.

        The group's offsets are readable once no transaction over them is pending.
        """

        def ask() -> list[KafkaPartition]:
            committed = self._consumer.committed(partitions, timeout=REQUEST_TIMEOUT_S)
            return [self._start(partition) for partition in committed]

        return retry_request("the offsets of the group cannot be read", ask, _TAKE_OVER_S)

    def _start(self, committed: KafkaPartition) -> KafkaPartition:
        if committed.error is not None:
            raise KafkaException(committed.error)
        partition = KafkaPartition(committed.topic, committed.partition)
        low, _ = self._consumer.get_watermark_offsets(partition, timeout=REQUEST_TIMEOUT_S)
        if committed.offset == OFFSET_INVALID:
            return KafkaPartition(committed.topic, committed.partition, low)
        if committed.offset < low:
            logger.error(
                "Partition %s/%d lost unread records: offsets %d to %d are past their retention;"
                " reading goes on at offset %d. Raise the topic's retention or add workers",
                committed.topic,
                committed.partition,
                committed.offset,
                low - 1,
                low,
            )
        return KafkaPartition(committed.topic, committed.partition, max(committed.offset, low))

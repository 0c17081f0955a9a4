"""Which partitions a worker holds, from which offset on, and what has to happen when they come and
go.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaException, Message
from confluent_kafka import TopicPartition as KafkaPartition

from pipeline.log.port import LogRecord, TopicPartition
from pipeline.runtime.kafka.broker import REQUEST_TIMEOUT_S, patiently
from pipeline.runtime.kafka.crash_quarantine import InFlight
from pipeline.runtime.kafka.state_cache import StateCache

logger = logging.getLogger(__name__)

# One deadline for all that taking partitions over needs. A worker that died inside a transaction
# holds its offsets back until the transaction times out (10 s), so it is several times that, and
# well below max.poll.interval.ms.
_TAKE_OVER_S = 60.0


class Assignment:
    """The partitions of one consumer. Each has the next offset that is not committed: records
    before it are not handled again.
    """

    def __init__(self, consumer: Consumer, in_flight: InFlight, states: StateCache | None) -> None:
        self._consumer = consumer
        self._in_flight = in_flight
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
        """Leave the group, so that others take the partitions over at once."""
        self._consumer.close()
        for place in list(self._next):
            self._leave(place)

    def raise_failure(self) -> None:
        """Raise what went wrong in a callback, where an exception cannot be raised for all clients
        alike.
        """
        if self._failure is not None:
            raise self._failure

    def expected(self, records: list[LogRecord]) -> list[LogRecord]:
        """Return those records that are ours and not handled yet: a rebalance in the midst of a
        fetch may leave others behind.
        """
        if not self._changed:
            return records
        self._changed = False
        return [
            record
            for record in records
            if record.offset >= self._next.get((record.topic, record.partition), record.offset + 1)
        ]

    def ended(self, end: Message) -> None:
        """Note the end of a partition, which lies behind its last record where marks of
        transactions follow that.
        """
        self._ends[end.topic() or "", end.partition() or 0] = end.offset() or 0

    def lag(self) -> dict[TopicPartition, int]:
        """Return how many offsets are left of each partition, as far as the last fetch has shown
        its end.
        """
        left: dict[TopicPartition, int] = {}
        for place, offset in self._next.items():
            _, high = self._consumer.get_watermark_offsets(KafkaPartition(*place), cached=True)
            if high >= 0:
                left[place] = max(high - max(offset, self._ends.get(place, 0)), 0)
        return left

    def advance(self, positions: Mapping[TopicPartition, int]) -> None:
        """Remember what was committed."""
        self._next.update(positions)

    def rewind(self) -> None:
        """Read again from what is committed."""
        self._changed = True
        self._ends.clear()
        for (topic, partition), offset in self._next.items():
            place = KafkaPartition(topic, partition, offset)
            try:
                self._consumer.seek(place)
            except KafkaException:
                # A partition that was assigned a moment ago cannot seek yet; assigned anew it
                # starts where it should.
                self._consumer.incremental_unassign([place])
                self._consumer.incremental_assign([place])

    def pause(self) -> None:
        """Fetch nothing until `resume`."""
        self._paused = True
        self._consumer.pause(self._partitions())

    def resume(self) -> None:
        """Fetch again, from what is committed."""
        self._paused = False
        self.rewind()
        self._consumer.resume(self._partitions())

    def _partitions(self) -> list[KafkaPartition]:
        return [KafkaPartition(topic, partition) for topic, partition in self._next]

    def _assigned(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        self._changed = True
        try:
            starts = self._starts(partitions)
            for start in starts:
                place = start.topic, start.partition
                self._in_flight.take(place)
                if self._states is not None:
                    self._states.take(*place)
                self._next[place] = start.offset
            consumer.incremental_assign(starts)
            if self._paused:
                consumer.pause(starts)
            logger.info(
                "took over %s",
                ", ".join(f"{start.topic}/{start.partition}@{start.offset}" for start in starts),
            )
        except Exception as error:
            self._failure = error

    def _revoked(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        self._changed = True
        for partition in partitions:
            self._leave((partition.topic, partition.partition))
        consumer.incremental_unassign(partitions)
        logger.info(
            "gave up %s",
            ", ".join(f"{partition.topic}/{partition.partition}" for partition in partitions),
        )

    def _leave(self, place: TopicPartition) -> None:
        self._next.pop(place, None)
        self._ends.pop(place, None)
        self._in_flight.leave(place)
        if self._states is not None:
            self._states.leave(*place)

    def _starts(self, partitions: list[KafkaPartition]) -> list[KafkaPartition]:
        """Return where to start: at the group's offsets, once no transaction over them is pending,
        else at the first record.
        """

        def asked() -> list[KafkaPartition]:
            committed = self._consumer.committed(partitions, timeout=REQUEST_TIMEOUT_S)
            return [self._start(partition) for partition in committed]

        return patiently("the group's offsets cannot be had", asked, _TAKE_OVER_S)

    def _start(self, committed: KafkaPartition) -> KafkaPartition:
        if committed.error is not None:
            raise KafkaException(committed.error)
        place = KafkaPartition(committed.topic, committed.partition)
        low, _ = self._consumer.get_watermark_offsets(place, timeout=REQUEST_TIMEOUT_S)
        if committed.offset == OFFSET_INVALID:
            return KafkaPartition(committed.topic, committed.partition, low)
        if committed.offset < low:
            logger.error(
                "%s/%d: the records from %d to %d are past their retention and were never read;"
                " reading on at %d",
                committed.topic,
                committed.partition,
                committed.offset,
                low - 1,
                low,
            )
        return KafkaPartition(committed.topic, committed.partition, max(committed.offset, low))

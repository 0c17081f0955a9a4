"""Reading a Kafka topic beside all groups: what folds and tools do."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from pipeline.log.port import LogRecord
from pipeline.log.port import TopicPartition as Place
from pipeline.runtime.kafka.broker import (
    REQUEST_TIMEOUT_S,
    Broker,
    BrokerAway,
    log_record,
    patiently,
    reason,
)

# How long the first record or the end of a topic may take to come after a new position was taken.
_PATIENCE_S = 60.0
_POLL_S = 0.05


class KafkaScan:
    """Fulfils `Scan`. Once at the end of a partition, asking for the next records costs no request:
    librdkafka fetches ahead.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._consumer: Consumer | None = None
        self._place: tuple[str, int] | None = None
        self._next = 0
        self._at_end = False

    def scan(self, topic: str, partition: int, start: int, limit: int) -> list[LogRecord]:
        """Return committed records from an offset on; none: the end is reached. Raises BrokerError
        where it can't be read.
        """
        try:
            if self._place != (topic, partition) or self._next > start:
                self._assign(topic, partition, start)
            return self._read(start, limit)
        except KafkaException as error:
            raise BrokerAway(f"{topic}/{partition} cannot be read: {reason(error)}") from error

    def _assign(self, topic: str, partition: int, start: int) -> None:
        if self._consumer is None:
            self._consumer = self._broker.consumer(eof=True)
        place, consumer = TopicPartition(topic, partition), self._consumer
        low, high = patiently(
            f"{topic}/{partition} cannot be read",
            lambda: consumer.get_watermark_offsets(place, timeout=REQUEST_TIMEOUT_S),
        )
        self._next = min(max(start, low), high)
        self._consumer.assign([TopicPartition(topic, partition, self._next)])
        self._place, self._at_end = (topic, partition), False

    def _read(self, start: int, limit: int) -> list[LogRecord]:
        assert self._consumer is not None
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            records = []
            for message in self._consumer.consume(limit, 0 if self._at_end else _POLL_S):
                error = message.error()
                if error is None:
                    records.append(log_record(message))
                elif error.code() == KafkaError._PARTITION_EOF:
                    self._at_end = True
                elif not error.retriable():
                    raise KafkaException(error)
            if records:
                self._next = records[-1].offset + 1
                if wanted := [record for record in records if record.offset >= start]:
                    return wanted
            elif self._at_end:
                return []
            elif time.monotonic() > deadline:
                raise BrokerAway(
                    f"{self._place} gave neither a record nor its end within {_PATIENCE_S:.0f} s"
                )

    def close(self) -> None:
        """Hang up."""
        if self._consumer is not None:
            self._consumer.close()


def log_ends(admin: AdminClient, topics: Sequence[str]) -> dict[Place, tuple[int, int]]:
    """Return the first offset and the one after the last of every partition of topics; raises
    KafkaException.
    """
    places = _places(admin, topics)
    lows, highs = (
        _offsets(admin, places, OffsetSpec.earliest()),
        _offsets(admin, places, OffsetSpec.latest()),
    )
    return {place: (low, highs[place]) for place, low in lows.items()}


def first_since(admin: AdminClient, topics: Sequence[str], since_ms: int) -> dict[Place, int]:
    """Return of every partition the first offset taken at or after an instant, or its end; raises
    KafkaException.
    """
    places = _places(admin, topics)
    found = _offsets(admin, places, OffsetSpec.for_timestamp(since_ms))
    ends = _offsets(admin, places, OffsetSpec.latest())
    # A broker answers -1 where all that it holds is older.
    return {place: offset if offset >= 0 else ends[place] for place, offset in found.items()}


def _places(admin: AdminClient, topics: Sequence[str]) -> list[TopicPartition]:
    known = admin.list_topics(timeout=REQUEST_TIMEOUT_S).topics
    return [
        TopicPartition(topic, partition)
        for topic in topics
        for partition in sorted(known[topic].partitions)
    ]


def _offsets(
    admin: AdminClient, places: Sequence[TopicPartition], spec: OffsetSpec
) -> dict[Place, int]:
    futures = admin.list_offsets(dict.fromkeys(places, spec), request_timeout=REQUEST_TIMEOUT_S)
    return {
        (place.topic, place.partition): future.result().offset for place, future in futures.items()
    }


def first_records(broker: Broker, starts: Mapping[Place, int]) -> list[LogRecord]:
    """Return the first committed record of each partition from an offset on, where there is one;
    raises KafkaException.
    """
    if not starts:
        return []
    consumer, found, open_places = broker.consumer(eof=True), list[LogRecord](), set(starts)
    deadline = time.monotonic() + _PATIENCE_S
    try:
        consumer.assign([TopicPartition(*place, start) for place, start in starts.items()])
        while open_places:
            for message in consumer.consume(len(starts), _POLL_S):
                place, error = (message.topic() or "", message.partition() or 0), message.error()
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                if error is None and place in open_places:
                    found.append(log_record(message))
                    consumer.pause([TopicPartition(*place)])
                open_places.discard(place)
            if time.monotonic() > deadline:
                raise BrokerAway(
                    f"{sorted(open_places)} gave neither a record nor their end within"
                    f" {_PATIENCE_S:.0f} s"
                )
    finally:
        consumer.close()
    return found

"""Reads a Kafka topic independently of all consumer groups, for folds and tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from pipeline.log.port import LogRecord, TopicPartition
from pipeline.log.retries import poll_until
from pipeline.runtime.kafka.broker import (
    REQUEST_TIMEOUT_S,
    Broker,
    BrokerUnavailableError,
    error_text,
    log_record,
    retry_request,
)

# The longest wait for the first record, or the end, after a seek.
_PATIENCE_S = 60.0
_POLL_S = 0.05


class KafkaScan:
    """Implements `TopicReader` on Kafka.

    At the end of a partition, reading the next records costs no request: librdkafka fetches ahead.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._consumer: Consumer | None = None
        self._partition: TopicPartition | None = None
        self._next = 0
        self._at_end = False

    def scan(self, topic: str, partition: int, start: int, limit: int) -> list[LogRecord]:
        """Return committed records from an offset on; an empty list means the end is reached.

        Raises BrokerUnavailableError if the partition cannot be read.
        """
        try:
            if self._partition != (topic, partition) or self._next > start:
                self._assign(topic, partition, start)
            return self._read(start, limit)
        except KafkaException as error:
            raise BrokerUnavailableError(
                f"{topic}/{partition} cannot be read: {error_text(error)}"
            ) from error

    def _assign(self, topic: str, partition: int, start: int) -> None:
        if self._consumer is None:
            self._consumer = self._broker.consumer(eof=True)
        assigned, consumer = KafkaPartition(topic, partition), self._consumer
        low, high = retry_request(
            f"{topic}/{partition} cannot be read",
            lambda: consumer.get_watermark_offsets(assigned, timeout=REQUEST_TIMEOUT_S),
        )
        self._next = min(max(start, low), high)
        self._consumer.assign([KafkaPartition(topic, partition, self._next)])
        self._partition, self._at_end = (topic, partition), False

    def _read(self, start: int, limit: int) -> list[LogRecord]:
        while True:
            records = poll_until(lambda: self._consume(limit), limit_s=_PATIENCE_S)
            if records is None:
                raise BrokerUnavailableError(
                    f"{self._partition} returned neither a record nor its end within"
                    f" {_PATIENCE_S:.0f} s: check that the brokers of its leader run"
                )
            if not records:
                return []
            self._next = records[-1].offset + 1
            if wanted := [record for record in records if record.offset >= start]:
                return wanted

    def _consume(self, limit: int) -> list[LogRecord] | None:
        """Return the next records, an empty list at the end, or None if there is no answer yet."""
        assert self._consumer is not None
        records = []
        for message in self._consumer.consume(limit, 0 if self._at_end else _POLL_S):
            error = message.error()
            if error is None:
                records.append(log_record(message))
            elif error.code() == KafkaError._PARTITION_EOF:
                self._at_end = True
            elif not error.retriable():
                raise KafkaException(error)
        return records if records or self._at_end else None

    def close(self) -> None:
        """Close the consumer."""
        if self._consumer is not None:
            self._consumer.close()


def offset_bounds(
    admin: AdminClient, topics: Sequence[str]
) -> dict[TopicPartition, tuple[int, int]]:
    """Return the first offset and the end of every partition of topics; raises KafkaException."""
    partitions = _partitions(admin, topics)
    lows, highs = (
        _offsets(admin, partitions, OffsetSpec.earliest()),
        _offsets(admin, partitions, OffsetSpec.latest()),
    )
    return {partition: (low, highs[partition]) for partition, low in lows.items()}


def first_offsets_since(
    admin: AdminClient, topics: Sequence[str], since_ms: int
) -> dict[TopicPartition, int]:
    """Return each partition's first offset appended at or after an instant, or its end.

    Raises KafkaException.
    """
    partitions = _partitions(admin, topics)
    firsts = _offsets(admin, partitions, OffsetSpec.for_timestamp(since_ms))
    ends = _offsets(admin, partitions, OffsetSpec.latest())
    # A broker answers -1 if all its records are older.
    return {
        partition: offset if offset >= 0 else ends[partition]
        for partition, offset in firsts.items()
    }


def _partitions(admin: AdminClient, topics: Sequence[str]) -> list[KafkaPartition]:
    known = admin.list_topics(timeout=REQUEST_TIMEOUT_S).topics
    return [
        KafkaPartition(topic, partition)
        for topic in topics
        for partition in sorted(known[topic].partitions)
    ]


def _offsets(
    admin: AdminClient, partitions: Sequence[KafkaPartition], spec: OffsetSpec
) -> dict[TopicPartition, int]:
    futures = admin.list_offsets(dict.fromkeys(partitions, spec), request_timeout=REQUEST_TIMEOUT_S)
    return {
        (partition.topic, partition.partition): future.result().offset
        for partition, future in futures.items()
    }


def first_records(broker: Broker, starts: Mapping[TopicPartition, int]) -> list[LogRecord]:
    """Return the first committed record of each partition from an offset on, if there is one.

    Raises KafkaException.
    """
    if not starts:
        return []
    consumer, firsts, waiting = broker.consumer(eof=True), list[LogRecord](), set(starts)

    def all_answered() -> bool | None:
        for message in consumer.consume(len(starts), _POLL_S):
            partition = message.topic() or "", message.partition() or 0
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            if error is None and partition in waiting:
                firsts.append(log_record(message))
                consumer.pause([KafkaPartition(*partition)])
            waiting.discard(partition)
        return not waiting or None

    try:
        consumer.assign([KafkaPartition(*partition, start) for partition, start in starts.items()])
        if not poll_until(all_answered, limit_s=_PATIENCE_S):
            raise BrokerUnavailableError(
                f"{sorted(waiting)} returned neither a record nor their end within"
                f" {_PATIENCE_S:.0f} s: check that the brokers of their leaders run"
            )
    finally:
        consumer.close()
    return firsts

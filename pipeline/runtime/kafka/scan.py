"""Reading a Kafka topic beside all groups: what folds and tools do."""

from __future__ import annotations

import time

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from pipeline.runtime.kafka.broker import REQUEST_TIMEOUT_S, Broker, BrokerAway, log_record, patiently, reason
from pipeline.runtime.log import LogRecord

# How long the first record or the end of a topic may take to come after a new position was taken.
_PATIENCE_S = 60.0
_POLL_S = 0.05


class KafkaScan:
    """Fulfils `Scan`. Once at the end of a partition, asking for the next records costs no request: librdkafka fetches ahead."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._consumer: Consumer | None = None
        self._place: tuple[str, int] | None = None
        self._next = 0
        self._at_end = False

    def scan(self, topic: str, partition: int, start: int, limit: int) -> list[LogRecord]:
        """Return committed records from an offset on; none: the end is reached. Raises BrokerError where it can't be read."""
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
                raise BrokerAway(f"{self._place} gave neither a record nor its end within {_PATIENCE_S:.0f} s")

    def close(self) -> None:
        """Hang up."""
        if self._consumer is not None:
            self._consumer.close()

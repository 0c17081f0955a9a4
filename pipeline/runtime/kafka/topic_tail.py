"""Tails a topic: reads all partitions from the beginning and goes on with what is appended."""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from pipeline.log.port import TopicPartition
from pipeline.runtime.kafka.broker import (
    REQUEST_TIMEOUT_S,
    Broker,
    BrokerUnavailableError,
    error_text,
    retry_request,
)

# The most messages of one poll; the rest comes with the next one.
_TAKE = 5_000


class KafkaTail:
    """Reads a topic's committed records from the first on; only one thread at a time may use it."""

    def __init__(self, broker: Broker, topic: str) -> None:
        """Start reading the topic.

        Raises BrokerUnavailableError if the broker does not answer and BrokerError if there is no
        such topic.
        """
        broker.check_topics([topic])
        self._topic = topic
        self._consumer: Consumer = broker.consumer(eof=True)
        known = retry_request(
            f"{topic} cannot be read",
            lambda: self._consumer.list_topics(topic, timeout=REQUEST_TIMEOUT_S),
        )
        numbers = list(known.topics[topic].partitions)
        self._behind: set[TopicPartition] = {(topic, number) for number in numbers}
        starts = {number: self._first(number) for number in numbers}
        self._read = dict(starts)
        self._consumer.assign(
            [KafkaPartition(topic, number, start) for number, start in starts.items()]
        )

    def _first(self, partition: int) -> int:
        first = KafkaPartition(self._topic, partition)
        low, _ = retry_request(
            f"{self._topic} cannot be read",
            lambda: self._consumer.get_watermark_offsets(first, timeout=REQUEST_TIMEOUT_S),
        )
        return int(low)

    @property
    def at_end(self) -> bool:
        """Whether the end of every partition was reached at least once."""
        return not self._behind

    def positions(self) -> dict[int, int]:
        """Return the next offset of each partition: after its last record, or its end."""
        return dict(self._read)

    def poll(self, timeout: float) -> list[tuple[bytes, bytes]]:
        """Return new keys and values, waiting up to `timeout` seconds for the first.

        Raises BrokerUnavailableError.
        """
        pairs: list[tuple[bytes, bytes]] = []
        try:
            for message in self._consumer.consume(_TAKE, timeout):
                error, number, offset = (
                    message.error(),
                    message.partition() or 0,
                    message.offset() or 0,
                )
                if error is None:
                    pairs.append((message.key() or b"", message.value() or b""))
                    self._read[number] = offset + 1
                elif error.code() == KafkaError._PARTITION_EOF:
                    self._behind.discard((self._topic, number))
                    # Transaction markers at the end are no records.
                    self._read[number] = max(offset, self._read[number])
                elif not error.retriable():
                    raise KafkaException(error)
        except KafkaException as error:
            raise BrokerUnavailableError(
                f"{self._topic} cannot be read: {error_text(error)}"
            ) from error
        return pairs

    def close(self) -> None:
        """Close the consumer."""
        self._consumer.close()

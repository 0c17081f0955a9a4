"""Following a topic from its beginning, all partitions at once: how what others fold is seen while
they fold it.
"""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from pipeline.log.port import TopicPartition as Place
from pipeline.runtime.kafka.broker import REQUEST_TIMEOUT_S, Broker, BrokerAway, patiently, reason

# As many as come at once; the rest comes with the next poll.
_TAKE = 5_000


class KafkaTail:
    """Follows a topic's committed records; an instance belongs to one thread at a time."""

    def __init__(self, broker: Broker, topic: str) -> None:
        """Begin to follow; raises BrokerAway where the broker does not answer, LogError where there
        is no such topic.
        """
        broker.check_topics([topic])
        self._topic = topic
        self._consumer: Consumer = broker.consumer(eof=True)
        known = patiently(
            f"{topic} cannot be read",
            lambda: self._consumer.list_topics(topic, timeout=REQUEST_TIMEOUT_S),
        )
        numbers = list(known.topics[topic].partitions)
        self._behind: set[Place] = {(topic, number) for number in numbers}
        starts = {number: self._first(number) for number in numbers}
        self._read = dict(starts)
        self._consumer.assign(
            [TopicPartition(topic, number, start) for number, start in starts.items()]
        )

    def _first(self, partition: int) -> int:
        place = TopicPartition(self._topic, partition)
        low, _ = patiently(
            f"{self._topic} cannot be read",
            lambda: self._consumer.get_watermark_offsets(place, timeout=REQUEST_TIMEOUT_S),
        )
        return int(low)

    @property
    def caught_up(self) -> bool:
        """Whether the end of every partition has been seen, as it was then."""
        return not self._behind

    def read(self) -> dict[int, int]:
        """Return how far each partition has been read: the offset after the last record, or the end
        where that was seen.
        """
        return dict(self._read)

    def poll(self, timeout: float) -> list[tuple[bytes, bytes]]:
        """Return keys and values that have come, waiting so many seconds for the first; raises
        BrokerAway.
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
                    # Marks of transactions at the end are no records.
                    self._read[number] = max(offset, self._read[number])
                elif not error.retriable():
                    raise KafkaException(error)
        except KafkaException as error:
            raise BrokerAway(f"{self._topic} cannot be read: {reason(error)}") from error
        return pairs

    def close(self) -> None:
        """Hang up."""
        self._consumer.close()

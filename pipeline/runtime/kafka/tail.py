"""Following a topic from its beginning, all partitions at once: how what others fold is seen while they fold it."""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from pipeline.runtime.kafka.broker import REQUEST_TIMEOUT_S, Broker, BrokerAway, patiently, reason
from pipeline.runtime.log import TopicPartition as Place

# As many as come at once; the rest comes with the next poll.
_TAKE = 5_000


class KafkaTail:
    """Follows a topic's committed records; an instance belongs to one thread at a time."""

    def __init__(self, broker: Broker, topic: str) -> None:
        """Begin to follow; raises BrokerAway where the broker does not answer, LogError where there is no such topic."""
        broker.check_topics([topic])
        self._topic = topic
        self._consumer: Consumer = broker.consumer(eof=True)
        known = patiently(
            f"{topic} cannot be read", lambda: self._consumer.list_topics(topic, timeout=REQUEST_TIMEOUT_S)
        )
        numbers = list(known.topics[topic].partitions)
        self._behind: set[Place] = {(topic, number) for number in numbers}
        starts = {number: self._first(number) for number in numbers}
        self._consumer.assign([TopicPartition(topic, number, start) for number, start in starts.items()])

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

    def poll(self, timeout: float) -> list[tuple[bytes, bytes]]:
        """Return keys and values that have come, waiting so many seconds for the first; raises BrokerAway."""
        pairs: list[tuple[bytes, bytes]] = []
        try:
            for message in self._consumer.consume(_TAKE, timeout):
                error = message.error()
                if error is None:
                    pairs.append((message.key() or b"", message.value() or b""))
                elif error.code() == KafkaError._PARTITION_EOF:
                    self._behind.discard((self._topic, message.partition() or 0))
                elif not error.retriable():
                    raise KafkaException(error)
        except KafkaException as error:
            raise BrokerAway(f"{self._topic} cannot be read: {reason(error)}") from error
        return pairs

    def close(self) -> None:
        """Hang up."""
        self._consumer.close()

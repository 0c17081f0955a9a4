"""The topics of the benchmark: creates, fills and checks them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from bench.peers.common import CONSUMER, PRODUCER, enrich_stage
from bench.peers.records import chats, plain, stored

PARTITIONS = 6
# A syslog level: librdkafka logs critical errors, not that the bench stopped the broker.
_QUIET = 2
# Identifies an output: its event id and its contract ("" for the no-op step).
OutputId = tuple[str, str]


@dataclass(frozen=True)
class Loaded:
    """A loaded topic: its records and the expected outputs."""

    topic: str
    records: int
    expected: Counter[OutputId]


@dataclass(frozen=True)
class Written:
    """The checked outputs of a topic; `last_at` is when the last one was appended."""

    records: int
    missing: int
    duplicates: int
    foreign: int
    damaged: int
    last_at: float


class Topics:
    """Creates, fills and reads topics of a broker."""

    def __init__(self, broker: str, compression: str) -> None:
        self._broker = broker
        self._compression = compression
        self._admin = AdminClient({"bootstrap.servers": broker, "log_level": _QUIET})

    def make(self, topic: str) -> None:
        """Create a topic with six partitions and the broker's timestamps."""
        config = {"message.timestamp.type": "LogAppendTime"}
        for future in self._admin.create_topics(
            [NewTopic(topic, PARTITIONS, 1, config=config)]
        ).values():
            future.result(30)

    def drop(self, topic: str) -> None:
        """Delete a topic."""
        for future in self._admin.delete_topics([topic]).values():
            future.result(30)

    def load(self, topic: str, step: str, count: int) -> Loaded:
        """Create and fill an input topic, and compute the expected outputs."""
        self.make(topic)
        expected: Counter[OutputId] = Counter()
        messages = chats(count) if step == "enrich" else map(plain, range(count))
        stage = enrich_stage() if step == "enrich" else None
        settings = {
            **PRODUCER,
            "bootstrap.servers": self._broker,
            "compression.type": self._compression,
            "log_level": _QUIET,
        }
        producer = Producer({**settings, "enable.idempotence": True})
        sent = 0
        while part := list(islice(messages, 5_000)):
            for message in part:
                producer.produce(topic, message.value, message.key, headers=list(message.headers))
            producer.flush()
            outputs = part if stage is None else stage([stored(message) for message in part])
            expected.update(_output_id(dict(out.headers)) for out in outputs)
            sent += len(part)
        if sent != count:
            raise ValueError(f"{sent} records were generated instead of {count}")
        return Loaded(topic, sent, expected)

    def ends(self, topic: str) -> int:
        """Return the sum of end offsets, transaction markers and aborted records included."""
        latest: Any = OffsetSpec
        wanted = {
            TopicPartition(topic, partition): latest.latest() for partition in range(PARTITIONS)
        }
        return sum(
            int(future.result(10).offset) for future in self._admin.list_offsets(wanted).values()
        )

    def check(self, topic: str, loaded: Loaded, step: str) -> Written:
        """Read the committed records of an output topic and compare them with the expected ones."""
        outputs: Counter[OutputId] = Counter()
        damaged, last_at = 0, 0
        for message in self._all(topic):
            headers = dict(message.headers() or ())
            outputs[_output_id(headers)] += 1
            last_at = max(last_at, message.timestamp()[1])
            damaged += step == "noop" and not _intact(message, headers)
        return Written(
            records=outputs.total(),
            missing=(loaded.expected - outputs).total(),
            duplicates=sum(
                n - loaded.expected[key]
                for key, n in outputs.items()
                if n > loaded.expected[key] > 0
            ),
            foreign=sum(n for key, n in outputs.items() if not loaded.expected[key]),
            damaged=damaged,
            last_at=last_at / 1000,
        )

    def _all(self, topic: str) -> Iterator[Any]:
        consumer = Consumer(
            {
                **CONSUMER,
                "bootstrap.servers": self._broker,
                "log_level": _QUIET,
                "group.id": "bench-check",
                "enable.partition.eof": True,
                "enable.auto.commit": False,
            }
        )
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
        ended = 0
        try:
            while ended < PARTITIONS:
                for message in consumer.consume(5_000, 1.0):
                    error = message.error()
                    if error is None:
                        yield message
                    elif error.code() == KafkaError._PARTITION_EOF:
                        ended += 1
                    else:
                        raise RuntimeError(str(error))
        finally:
            consumer.close()


def _output_id(headers: dict[str, bytes]) -> OutputId:
    return headers.get("ce_id", b"").decode(), headers.get("sb_contract", b"").decode()


def _intact(message: Any, headers: dict[str, bytes]) -> bool:
    expected = plain(int(headers["ce_id"][1:]))
    there = (message.key(), message.value(), tuple(message.headers() or ()))
    return there == (expected.key, expected.value, expected.headers)

"""The topics of the benchmark: what lies in them, how it gets there, and whether all of it came out
again.
"""

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
# Of syslog: librdkafka is to say what is critical, and not that the broker went away when the bench
# ended it.
_QUIET = 2
# What makes an output the same one: its event, and which contract it is ("" where the step is the
# no-op).
Identity = tuple[str, str]


@dataclass(frozen=True)
class Loaded:
    """A topic as it was loaded: how many records, and every output that has to come of them."""

    topic: str
    records: int
    expected: Counter[Identity]


@dataclass(frozen=True)
class Written:
    """What lies in an output topic: how many records, what is missing, what is there too often, and
    when the log took the last.
    """

    records: int
    missing: int
    duplicates: int
    foreign: int
    damaged: int
    last_at: float


class Topics:
    """Makes, fills and reads topics of one broker."""

    def __init__(self, broker: str, compression: str) -> None:
        self._broker = broker
        self._compression = compression
        self._admin = AdminClient({"bootstrap.servers": broker, "log_level": _QUIET})

    def make(self, topic: str) -> None:
        """Make a topic of six partitions whose records bear the broker's own time."""
        config = {"message.timestamp.type": "LogAppendTime"}
        for future in self._admin.create_topics(
            [NewTopic(topic, PARTITIONS, 1, config=config)]
        ).values():
            future.result(30)

    def drop(self, topic: str) -> None:
        """Remove a topic."""
        for future in self._admin.delete_topics([topic]).values():
            future.result(30)

    def load(self, topic: str, step: str, count: int) -> Loaded:
        """Make and fill an input topic, and work out what must come of it."""
        self.make(topic)
        expected: Counter[Identity] = Counter()
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
            expected.update(_identity(dict(out.headers)) for out in outputs)
            sent += len(part)
        if sent != count:
            raise ValueError(f"{sent} records were made, not {count}")
        return Loaded(topic, sent, expected)

    def ends(self, topic: str) -> int:
        """Return how many offsets of a topic are taken, marks of transactions and aborted records
        counted too.
        """
        latest: Any = OffsetSpec
        wanted = {
            TopicPartition(topic, partition): latest.latest() for partition in range(PARTITIONS)
        }
        return sum(
            int(future.result(10).offset) for future in self._admin.list_offsets(wanted).values()
        )

    def check(self, topic: str, loaded: Loaded, step: str) -> Written:
        """Read an output topic, committed records only, and compare it with what had to come of the
        input.
        """
        found: Counter[Identity] = Counter()
        damaged, last_at = 0, 0
        for message in self._all(topic):
            headers = dict(message.headers() or ())
            found[_identity(headers)] += 1
            last_at = max(last_at, message.timestamp()[1])
            damaged += step == "noop" and not _intact(message, headers)
        return Written(
            records=found.total(),
            missing=(loaded.expected - found).total(),
            duplicates=sum(
                n - loaded.expected[one] for one, n in found.items() if n > loaded.expected[one] > 0
            ),
            foreign=sum(n for one, n in found.items() if not loaded.expected[one]),
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


def _identity(headers: dict[str, bytes]) -> Identity:
    return headers.get("ce_id", b"").decode(), headers.get("sb_contract", b"").decode()


def _intact(message: Any, headers: dict[str, bytes]) -> bool:
    expected = plain(int(headers["ce_id"][1:]))
    there = (message.key(), message.value(), tuple(message.headers() or ()))
    return there == (expected.key, expected.value, expected.headers)

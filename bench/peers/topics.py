"""The topics of the benchmark: what lies in them, how it gets there, and whether all of it came out again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from bench.peers.common import CONSUMER, PRODUCER, enrich_stage
from pipeline.envelope import checked, to_message
from pipeline.outcomes import Reject
from pipeline.runtime.log import LogRecord, Message
from schemas.envelope import Event
from tests.support.events import make_events

PARTITIONS = 6
# What the value of a no-op record is filled up to (DESIGN §10).
_VALUE_BYTES = 600
# An odd number without pattern: keys of consecutive records differ in every byte.
_SPREAD = 0x9E3779B97F4A7C15F39CC0605CEDC835
# What makes an output the same one: its event, and which contract it is ("" where the step is the no-op).
Identity = tuple[str, str]


@dataclass(frozen=True)
class Loaded:
    """A topic as it was loaded: how many records, and every output that has to come of them."""

    topic: str
    records: int
    expected: Counter[Identity]


@dataclass(frozen=True)
class Written:
    """What lies in an output topic: how many records, what is missing, what is there too often, and when the log took the last."""

    records: int
    missing: int
    duplicates: int
    foreign: int
    damaged: int
    last_at: float


def chats(count: int) -> Iterator[Message]:
    """Yield the messages of so many chat events, of different texts in Chinese and English."""
    found = 0
    # Half of what is made is chats, social messages and texts.
    for raw in make_events(count * 4):
        if found == count:
            return
        if raw["type"] != "comm.message.received" or raw["data"]["channel"] == "email":
            continue
        event = Event.model_validate(raw | {"locator": f"bench.jsonl:{found}", "connector": "events/1"})
        data = checked(event)
        if isinstance(data, Reject):
            raise ValueError(f"event {event.id} is refused: {data.detail}")
        found += 1
        yield to_message(event, data)


def plain(number: int) -> Message:
    """Return the no-op's record of a number: JSON of 600 B, a key of 16 B, seven ce_* headers."""
    person = number % 10_000
    body: dict[str, Any] = {
        "channel": "chat",
        "conversation": f"c{person}",
        "from": {"name": f"顾客{person}", "phone": f"+86138{person:08d}"},
        "number": number,
        "amount": number / 7,
        "tags": ["kettle", "price", "travel"],
        "text": "",
    }
    body["text"] = "x" * (_VALUE_BYTES - len(orjson.dumps(body)))
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", b"e%d" % number),
        ("ce_source", b"test/shop"),
        ("ce_type", b"comm.message.received"),
        ("ce_time", b"2026-08-01T00:00:00+00:00"),
        ("ce_tenant", b"default"),
        ("ce_connector", b"events/1"),
    )
    return Message("", (number * _SPREAD % 2**128).to_bytes(16, "big"), orjson.dumps(body), headers)


class Topics:
    """Makes, fills and reads topics of one broker."""

    def __init__(self, broker: str, compression: str) -> None:
        self._broker = broker
        self._compression = compression
        self._admin = AdminClient({"bootstrap.servers": broker})

    def make(self, topic: str) -> None:
        """Make a topic of six partitions whose records bear the broker's own time."""
        config = {"message.timestamp.type": "LogAppendTime"}
        for future in self._admin.create_topics([NewTopic(topic, PARTITIONS, 1, config=config)]).values():
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
        settings = {**PRODUCER, "bootstrap.servers": self._broker, "compression.type": self._compression}
        producer = Producer({**settings, "enable.idempotence": True})
        sent = 0
        while part := list(islice(messages, 5_000)):
            for message in part:
                producer.produce(topic, message.value, message.key, headers=list(message.headers))
            producer.flush()
            outputs = part if stage is None else stage([_stored(topic, message) for message in part])
            expected.update(_identity(dict(out.headers)) for out in outputs)
            sent += len(part)
        if sent != count:
            raise ValueError(f"{sent} records were made, not {count}")
        return Loaded(topic, sent, expected)

    def ends(self, topic: str) -> int:
        """Return how many offsets of a topic are taken, marks of transactions and aborted records counted too."""
        wanted = {TopicPartition(topic, partition): OffsetSpec.latest() for partition in range(PARTITIONS)}
        return sum(int(future.result(10).offset) for future in self._admin.list_offsets(wanted).values())

    def check(self, topic: str, loaded: Loaded, step: str) -> Written:
        """Read an output topic, committed records only, and compare it with what had to come of the input."""
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
            duplicates=sum(n - loaded.expected[one] for one, n in found.items() if n > loaded.expected[one] > 0),
            foreign=sum(n for one, n in found.items() if not loaded.expected[one]),
            damaged=damaged,
            last_at=last_at / 1000,
        )

    def _all(self, topic: str) -> Iterator[Any]:
        consumer = Consumer(
            {
                **CONSUMER,
                "bootstrap.servers": self._broker,
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


def _stored(topic: str, message: Message) -> LogRecord:
    return LogRecord(topic, 0, 0, 0, message.key, message.value, message.headers)


def _identity(headers: dict[str, bytes]) -> Identity:
    return headers.get("ce_id", b"").decode(), headers.get("sb_contract", b"").decode()


def _intact(message: Any, headers: dict[str, bytes]) -> bool:
    expected = plain(int(headers["ce_id"][1:]))
    there = (message.key(), message.value(), tuple(message.headers() or ()))
    return there == (expected.key, expected.value, expected.headers)

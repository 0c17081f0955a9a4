"""The records of the benchmark, the same in every run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from pipeline.envelope import encode_event, validate_data
from pipeline.log.port import LogRecord, Message
from pipeline.outcomes import Reject
from schemas.envelope import Event
from tests.support.events import make_events

# The size of the value of a no-op record (docs/adr/0011).
_VALUE_BYTES = 600
# An odd number without a pattern: keys of consecutive records differ in every byte.
_SPREAD = 0x9E3779B97F4A7C15F39CC0605CEDC835


def chats(count: int) -> Iterator[Message]:
    """Yield the messages of `count` chat events with different texts in Chinese and English."""
    yielded = 0
    # Half of the generated events are chats, social messages and SMS.
    for raw in make_events(count * 4):
        if yielded == count:
            return
        if raw["type"] != "comm.message.received" or raw["data"]["channel"] == "email":
            continue
        event = Event.model_validate(
            raw | {"locator": f"bench.jsonl:{yielded}", "connector": "events/1"}
        )
        data = validate_data(event)
        if isinstance(data, Reject):
            raise ValueError(f"event {event.id} is rejected: {data.detail}")
        yielded += 1
        yield encode_event(event, data)


def plain(number: int) -> Message:
    """Return a no-op record: JSON of 600 B, a key of 16 B, seven ce_* headers."""
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


def stored(message: Message) -> LogRecord:
    """Return a message as a record of the log."""
    return LogRecord(message.topic, 0, 0, 0, message.key, message.value, message.headers)

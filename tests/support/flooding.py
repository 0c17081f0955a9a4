"""Sends broken messages through an installation and keeps account of what becomes of them."""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.log.port import LogRecord, Message
from pipeline.runtime.runner import Handler
from schemas.dead_letters import RejectCode
from schemas.envelope import record_id_of
from schemas.topics import TOPICS
from tests.support.broken_messages import Samples
from tests.support.events import make_events
from tests.support.installations import Embedded, Installation, as_lines, publish

_SAMPLES = 60


@dataclass
class Account:
    """Counts what a stage got and what it made of it, over all runs of its host."""

    read: int = 0
    letters: int = 0
    counts: list[Counter[str]] = field(default_factory=list)


@dataclass
class Accounts:
    """Wraps every handler of a host and keeps an account of each stage."""

    stages: dict[str, Account] = field(default_factory=dict)

    def wrap(self, handler: Handler) -> Handler:
        """Return the handler with an account."""
        account = self.stages.setdefault(handler.name, Account())
        account.counts.append(handler.counts)  # type: ignore[attr-defined]
        return _Accounted(handler, account)

    def check(self) -> None:
        """Every record that a stage got was emitted, loaded, dropped or rejected."""
        for stage, account in self.stages.items():
            outcomes = sum(account.counts, Counter())
            # The host counts what it did not hand to its stage in the same way, or by itself.
            outcomes.pop(f"rejected:{RejectCode.BODY_MISSING}", None)
            assert outcomes.total() == account.read, (stage, outcomes)
            rejected = sum(n for name, n in outcomes.items() if name.startswith("rejected:"))
            assert rejected == account.letters, (stage, outcomes)


@dataclass
class _Accounted:
    inner: Handler
    account: Account

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def topics(self) -> tuple[str, ...]:
        return self.inner.topics

    def handle(self, records: Sequence[LogRecord]) -> list[Message]:
        messages = self.inner.handle(records)
        self.account.read += len(records)
        stage = self.inner.name.encode()
        self.account.letters += sum(
            message.topic == "dead-letters.v1" and b'"stage":"%s"' % stage in message.value
            for message in messages
        )
        return messages


def produce(installation: Installation, messages: Sequence[Message]) -> None:
    """Put messages straight on their topics."""
    # On Kafka the partition of a message without one follows from its key. Many states on other
    # partitions than their keys' mean that partitions were added, and stop the worker.
    if installation.workspace.settings.distributed:
        messages = [
            replace(message, partition=None if message.value[:3] == b"[1," else message.partition)
            for message in messages
        ]
    with installation.workspace.open_log() as log, log.transaction() as transaction:
        transaction.produce(messages)


def valid_messages(folder: Path) -> Samples:
    """Return valid messages of every topic, of customers that the good events do not have."""
    folder.mkdir(parents=True, exist_ok=True)
    installation = Embedded(folder)
    text = as_lines(make_events(_SAMPLES, seed=99)).replace("+86138", "+86139")
    text = re.sub(r"customer(\d)", r"sample\1", text).replace("test/shop", "test/samples")
    events = [json.loads(line) for line in text.replace('"C-', '"S-').splitlines()]
    labels = [
        {
            "specversion": "1.0",
            "id": f"label-{number}",
            "source": "test/samples",
            "type": "comm.label.given",
            "time": "2026-11-02T08:00:00Z",
            "data": {
                "record_id": str(record_id_of("default", "test/samples", event["id"])),
                "head": "sentiment",
                "value": "negative",
            },
        }
        for number, event in enumerate(events)
        if event["type"] == "comm.message.received"
    ]
    path = folder / "samples.jsonl"
    path.write_text(as_lines(events), "utf-8")
    publish(installation, path)
    installation.run()
    path.write_text(as_lines(labels), "utf-8")
    publish(installation, path)
    installation.run()
    samples: dict[str, list[Message]] = {}
    with closing(installation.workspace.open_sqlite_log()) as log:
        for topic in TOPICS.values():
            if topic.compacted:
                entries = log.compacted_entries(topic.name)
                found = [Message(topic.name, key, value, partition=0) for key, value in entries]
            else:
                found = [
                    Message(topic.name, record.key, record.value, record.headers)
                    for at in log.positions("", [topic.name])
                    for record in log.scan(topic.name, at.partition, 0, 3)
                ]
            if found:
                samples[topic.name] = found[:12]
    return samples


def dump_samples(samples: Samples) -> bytes:
    """Return valid messages as bytes, for another process."""

    def text(value: bytes | None) -> str | None:
        return None if value is None else b64encode(value).decode()

    return json.dumps(
        [
            [
                message.topic,
                text(message.key),
                text(message.value),
                [(name, text(value)) for name, value in message.headers],
                message.partition,
            ]
            for messages in samples.values()
            for message in messages
        ]
    ).encode()


def load_samples(raw: bytes) -> Samples:
    """Return the messages of `dump_samples`."""

    def decoded(value: str | None) -> Any:
        return None if value is None else b64decode(value)

    samples: dict[str, list[Message]] = {}
    for topic, key, value, headers, partition in json.loads(raw):
        pairs = tuple((name, decoded(item)) for name, item in headers)
        message = Message(topic, decoded(key), decoded(value), pairs, partition)
        samples.setdefault(topic, []).append(message)
    return samples

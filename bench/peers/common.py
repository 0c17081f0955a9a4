"""What the workers of all peers share: the job, the two steps, client settings, start times."""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from pipeline.log.port import Headers, LogRecord, Message

# The same for every librdkafka client, and as near as other clients allow: the sizes of fetch and
# produce requests. These are librdkafka's defaults, set explicitly because some peers change them.
CONSUMER: dict[str, Any] = {
    "fetch.message.max.bytes": 1_048_576,
    "queued.min.messages": 100_000,
    "queued.max.messages.kbytes": 65_536,
    # By default librdkafka stops fetching for a second when its queue is full, which would leave
    # every reader idle at times.
    "fetch.queue.backoff.ms": 10,
    "isolation.level": "read_committed",
}
# Java's partitioner is used everywhere (docs/adr/0011). A linger of 20 ms fills batches without a
# cost in throughput; the local queue has room for more than the largest batch.
PRODUCER: dict[str, Any] = {
    "linger.ms": 20,
    "batch.num.messages": 10_000,
    "batch.size": 1_000_000,
    "queue.buffering.max.messages": 500_000,
    "partitioner": "murmur2_random",
    "acks": "all",
}
# The batch size of peers that read in batches (docs/adr/0011).
BATCH = 5_000
# Records in one transaction of our host and the bare loop: a commit is a round trip of some 50 ms
# in which a loop waits, a tenth of the time that this many records take.
TRANSACTION = 20_000
# How often all peers commit their offsets: Arroyo's ONCE_PER_SECOND.
COMMIT_SECONDS = 1.0
# Enough chats to load everything that is loaded on first use: languages, telephone numbers,
# compiled loops.
_WARM_UP = 200
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Job:
    """The job of one worker: read `source`, run `step`, write `target`.

    `started_file` is where it notes its start. `settings` is "tuned" (the settings above) or
    "default" (those of the peer).
    """

    broker: str
    source: str
    target: str
    step: str
    group: str
    compression: str
    settings: str
    started_file: Path
    folder: Path

    @property
    def tuned(self) -> bool:
        """Whether the clients get the settings above."""
        return self.settings == "tuned"

    def reading(self) -> dict[str, Any]:
        """Return the tuned settings of a librdkafka consumer."""
        return {**CONSUMER} if self.tuned else {}

    def writing(self) -> dict[str, Any]:
        """Return the tuned settings of a librdkafka producer."""
        return {**PRODUCER, "compression.type": self.compression} if self.tuned else {}


def job() -> Job:
    """Return the job of the command line."""
    parser = argparse.ArgumentParser()
    for name in (
        "broker",
        "source",
        "target",
        "step",
        "group",
        "compression",
        "settings",
        "started_file",
        "folder",
    ):
        parser.add_argument(f"--{name}", required=True)
    options = vars(parser.parse_args())
    # No worker outlives the bench that started it (Linux).
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    paths = {name: Path(options[name]) for name in ("started_file", "folder")}
    return Job(**{**options, **paths})


class StartNote:
    """Notes the time and the CPU spent when the first record is received: the end of start-up."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.noted = False

    def note(self) -> None:
        """Write the file atomically on the first call."""
        if self.noted:
            return
        self.noted = True
        part = self._path.with_suffix(".part")
        part.write_text(
            json.dumps({"at": time.time(), "cpu": time.process_time(), "pid": os.getpid()})
        )
        part.replace(self._path)


Batch = Callable[[Sequence[LogRecord]], list[Message]]


def recode(value: bytes) -> bytes:
    """The no-op step: decode JSON, encode JSON."""
    return orjson.dumps(orjson.loads(value))


def step_of(job_: Job) -> Batch:
    """Return a job's step over log records, warmed up; all outputs go to the job's target."""
    return _enrich(job_.target) if job_.step == "enrich" else _noop(job_.target)


def _noop(target: str) -> Batch:
    def handle(records: Sequence[LogRecord]) -> list[Message]:
        return [
            Message(target, record.key, recode(record.value), record.headers) for record in records
        ]

    return handle


def _enrich(target: str) -> Batch:
    enrich = enrich_stage()

    def handle(records: Sequence[LogRecord]) -> list[Message]:
        return [Message(target, out.key, out.value, out.headers) for out in enrich(records)]

    return handle


def enrich_stage() -> Batch:
    """Return the stage `enrich` as our hosts run it, after a warm-up."""
    from bench.peers.records import chats, stored
    from pipeline.identity.contacts import OwnSide
    from pipeline.models.replica import Replica
    from pipeline.processors.identify import Identity
    from pipeline.runtime.stages import enrich_handler

    models = Replica().classifier()
    handle = enrich_handler(
        Identity(b"bench", OwnSide(("shop.example.com",))), lambda: models
    ).handle
    handle([stored(message) for message in chats(_WARM_UP)])
    return handle


def log_record(message: Any) -> LogRecord:
    """Return a librdkafka message as the log's record."""
    return LogRecord(
        message.topic(),
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        headers_of(message.headers()),
    )


def headers_of(headers: Any) -> Headers:
    """Return a client's headers as the log's."""
    return tuple(headers or ())

"""What the workers of every peer share: the job they are given, the two steps, the client settings,
the moment they began.
"""

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

# The same for every client made of librdkafka, and as near as the others allow: what one fetch and
# one produce request may hold. Sizes are librdkafka's own defaults, written out so that a peer that
# changes them is changed back.
CONSUMER: dict[str, Any] = {
    "fetch.message.max.bytes": 1_048_576,
    "queued.min.messages": 100_000,
    "queued.max.messages.kbytes": 65_536,
    # librdkafka's default stops fetching for a second where its queue is full, and would leave
    # every reader idle in turn.
    "fetch.queue.backoff.ms": 10,
    "isolation.level": "read_committed",
}
# Java's partitioner is what the house uses everywhere (DESIGN §4). A linger of 20 ms fills batches
# without costing throughput, the local queue holds more than one batch of the largest reader.
PRODUCER: dict[str, Any] = {
    "linger.ms": 20,
    "batch.num.messages": 10_000,
    "batch.size": 1_000_000,
    "queue.buffering.max.messages": 500_000,
    "partitioner": "murmur2_random",
    "acks": "all",
}
# Records that a peer which reads in batches takes at once (DESIGN §10).
BATCH = 5_000
# Records that we and the bare loop put into one transaction: a commit is a round trip of some 50 ms
# in which a loop stands still, a tenth of the time that this many take.
TRANSACTION = 20_000
# How often the peers commit what they have read: Arroyo's ONCE_PER_SECOND, for all of them.
COMMIT_SECONDS = 1.0
# Loads what is loaded at first use (languages, telephone numbers, compiled loops) of every kind of
# chat.
_WARM_UP = 200
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Job:
    """What one worker does: read `source`, run `step`, write `target`; `begun` is the file that
    says when it began.

    `settings` is "tuned" (ours, below, for every client) or "default" (what a peer does when it is
    told nothing).
    """

    broker: str
    source: str
    target: str
    step: str
    group: str
    compression: str
    settings: str
    begun: Path
    folder: Path

    @property
    def tuned(self) -> bool:
        """Whether the clients get the settings below."""
        return self.settings == "tuned"

    def reading(self) -> dict[str, Any]:
        """Return what a peer's librdkafka consumer is told beside where and as whom to read."""
        return {**CONSUMER} if self.tuned else {}

    def writing(self) -> dict[str, Any]:
        """Return what a peer's librdkafka producer is told beside where to write."""
        return {**PRODUCER, "compression.type": self.compression} if self.tuned else {}


def job() -> Job:
    """Return the job that the command line gives."""
    parser = argparse.ArgumentParser()
    for name in (
        "broker",
        "source",
        "target",
        "step",
        "group",
        "compression",
        "settings",
        "begun",
        "folder",
    ):
        parser.add_argument(f"--{name}", required=True)
    given = vars(parser.parse_args())
    # No worker outlives the bench that started it (Linux).
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    return Job(**{**given, "begun": Path(given["begun"]), "folder": Path(given["folder"])})


class Beginning:
    """Notes the clock and the CPU spent when the first record is in hand: what came before is
    start-up, not throughput.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.noted = False

    def note(self) -> None:
        """Write it down, the first time; the file appears whole or not at all."""
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
    """Return a job's step over records of the log, warmed up; every output goes to the job's one
    target.
    """
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
    """Return the stage `enrich` as our hosts run it, run over some records before: the start of a
    process is not measured.
    """
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

"""Faust on uvloop: an agent takes batches and acknowledges them after every delivery.

It follows Faust's advice for speed (a large stream buffer, large fetches, a linger) and
docs/adr/0012 for correctness: an agent that uses `take` acknowledges whatever happens, and one that
does not await its sends loses them. It is at least once as far as Faust is.
"""

# Its library is in an environment of its own, where no type checker looks.
# mypy: disable-error-code="import-not-found,misc,untyped-decorator"

from __future__ import annotations

import asyncio
import sys
from typing import Any

import faust
import mode.loop

from bench.peers.common import (
    BATCH,
    COMMIT_SECONDS,
    CONSUMER,
    PRODUCER,
    Batch,
    Job,
    StartNote,
    headers_of,
    job,
    recode,
    step_of,
)
from pipeline.log.port import LogRecord, Message

# Smaller than the batches of other peers: all records of a batch are futures of the event loop.
_TAKE, _TAKE_SECONDS = 1_000, 0.1
# Faust's own advice for throughput (its settings' documentation).
_STREAM_BUFFER = 131_072


def application(job_: Job) -> faust.App:
    """Return the application: Kafka, the step, Kafka."""
    app = faust.App(
        job_.group,
        broker=f"kafka://{job_.broker}",
        datadir=str(job_.folder / "faust"),
        key_serializer="raw",
        value_serializer="raw",
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        consumer_auto_offset_reset="earliest",
        producer_acks=-1,
        **(_tuned(job_) if job_.tuned else {}),
    )
    source = app.topic(job_.source, key_type=bytes, value_type=bytes)
    target = app.topic(job_.target, key_type=bytes, value_type=bytes)
    step, start = (
        _noop if job_.step == "noop" else _through(step_of(job_)),
        StartNote(job_.started_file),
    )

    @app.agent(source, concurrency=1)
    async def work(stream: Any) -> None:
        async for events in stream.noack_take(_TAKE, within=_TAKE_SECONDS):
            start.note()
            sent = [
                await target.send(
                    key=out.key, value=out.value, headers=list(out.headers), force=True
                )
                for out in step(events)
            ]
            await asyncio.gather(*sent)
            for event in events:
                await stream.ack(event)

    return app


def _tuned(job_: Job) -> dict[str, Any]:
    return {
        "consumer_max_fetch_size": CONSUMER["fetch.message.max.bytes"],
        "broker_max_poll_records": BATCH,
        "broker_commit_interval": COMMIT_SECONDS,
        "stream_buffer_maxsize": _STREAM_BUFFER,
        "stream_wait_empty": False,
        "producer_linger": PRODUCER["linger.ms"] / 1000,
        "producer_max_batch_size": PRODUCER["batch.size"],
        "producer_compression_type": None if job_.compression == "none" else job_.compression,
    }


def _noop(events: list[Any]) -> list[Message]:
    return [
        Message(
            "", event.message.key, recode(event.message.value), headers_of(event.message.headers)
        )
        for event in events
    ]


def _through(step: Batch) -> Any:
    return lambda events: step([_record(event.message) for event in events])


def _record(message: Any) -> LogRecord:
    return LogRecord(
        message.topic,
        message.partition,
        message.offset,
        int(message.timestamp * 1000),
        message.key,
        message.value,
        headers_of(message.headers),
    )


if __name__ == "__main__":
    options = job()
    mode.loop.use("uvloop")
    # Faust's command line parses these arguments.
    sys.argv[1:] = ["worker", "--without-web", "--loglevel=warn"]
    application(options).main()

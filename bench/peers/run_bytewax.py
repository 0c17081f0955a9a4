"""Bytewax, at least once: its Kafka source and sink in batches of 5,000, a snapshot a second.

With default settings it handles records one by one, as in its Kafka guide.
"""

# Its library is in an environment of its own, where no type checker looks.
# mypy: disable-error-code="import-not-found,misc,untyped-decorator"

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TypeAlias

import bytewax.operators as op
from bytewax._bytewax import cli_main, init_db_dir
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig

from bench.peers.common import (
    BATCH,
    COMMIT_SECONDS,
    Job,
    StartNote,
    headers_of,
    job,
    recode,
    step_of,
)
from pipeline.log.port import LogRecord

Source: TypeAlias = "KafkaSourceMessage[bytes | None, bytes | None]"
Sink: TypeAlias = "KafkaSinkMessage[bytes | None, bytes | None]"


def flow_of(job_: Job) -> Dataflow:
    """Return the flow: Kafka, the step over a batch, Kafka."""
    handle = step_of(job_)
    start = StartNote(job_.started_file)

    def noop(batch: list[Source]) -> Iterable[Sink]:
        start.note()
        return [
            KafkaSinkMessage(message.key, recode(message.value or b""), headers=message.headers)
            for message in batch
        ]

    def enrich(batch: list[Source]) -> Iterable[Sink]:
        start.note()
        outs = handle([_record(message) for message in batch])
        return [KafkaSinkMessage(out.key, out.value, headers=list(out.headers)) for out in outs]

    flow = Dataflow("bench")
    size = {"batch_size": BATCH} if job_.tuned else {}
    read = op.input(
        "read", flow, KafkaSource([job_.broker], [job_.source], add_config=job_.reading(), **size)
    )
    batches = noop if job_.step == "noop" else enrich
    done = (
        op.flat_map_batch("step", read, batches)
        if job_.tuned
        else op.flat_map("step", read, lambda message: batches([message]))
    )
    op.output("write", done, KafkaSink([job_.broker], job_.target, add_config=job_.writing()))
    return flow


def _record(message: Source) -> LogRecord:
    return LogRecord(
        message.topic or "",
        message.partition or 0,
        message.offset or 0,
        (message.timestamp or (0, 0))[1],
        message.key,
        message.value or b"",
        headers_of(message.headers),
    )


def run(job_: Job) -> None:
    """Run the flow until the process is killed."""
    store = job_.folder / "recovery"
    store.mkdir()
    init_db_dir(store, 1)
    every = timedelta(seconds=COMMIT_SECONDS)
    cli_main(
        flow_of(job_),
        epoch_interval=every,
        recovery_config=RecoveryConfig(str(store), timedelta(0)),
    )


if __name__ == "__main__":
    run(job())

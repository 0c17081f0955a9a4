"""Arroyo, at least once: batches of 5,000 or a fifth of a second, flushed before each commit.

Its `Produce` strategy keeps a future per record and is slower; its authors also write to ClickHouse
with one task per batch.
"""

# Its library is in an environment of its own, where no type checker looks.
# mypy: disable-error-code="import-not-found,misc,untyped-decorator"

from __future__ import annotations

from collections.abc import Mapping

from arroyo.backends.kafka import KafkaConsumer, KafkaPayload
from arroyo.backends.kafka.configuration import build_kafka_consumer_configuration
from arroyo.backends.kafka.consumer import ConfluentProducer
from arroyo.commit import ONCE_PER_SECOND
from arroyo.processing import StreamProcessor
from arroyo.processing.strategies import (
    CommitOffsets,
    ProcessingStrategy,
    ProcessingStrategyFactory,
    RunTask,
)
from arroyo.processing.strategies.batching import BatchStep, ValuesBatch
from arroyo.types import BrokerValue, Commit, Message, Partition, Topic

from bench.peers.common import BATCH, Job, StartNote, headers_of, job, recode, step_of
from pipeline.log.port import LogRecord

# Only the last batch waits this long; the others are full before.
_BATCH_SECONDS = 0.2


class Factory(ProcessingStrategyFactory[KafkaPayload]):
    """Builds the chain: batch, run and produce, commit."""

    def __init__(self, job_: Job) -> None:
        self._job = job_
        self._handle = step_of(job_)
        self._start = StartNote(job_.started_file)
        self._producer = ConfluentProducer({**job_.writing(), "bootstrap.servers": job_.broker})

    def create_with_partitions(
        self, commit: Commit, partitions: Mapping[Partition, int]
    ) -> ProcessingStrategy[KafkaPayload]:
        """See Arroyo."""
        return BatchStep(BATCH, _BATCH_SECONDS, RunTask(self._run, CommitOffsets(commit)))

    def _run(self, message: Message[ValuesBatch[KafkaPayload]]) -> int:
        self._start.note()
        produce, target = self._producer.produce, self._job.target
        if self._job.step == "noop":
            for value in message.payload:
                payload = value.payload
                produce(target, recode(payload.value), payload.key, headers=payload.headers)
        else:
            for out in self._handle([_record(value) for value in message.payload]):
                produce(target, out.value, out.key, headers=list(out.headers))
        left = self._producer.flush()
        if left:
            raise RuntimeError(f"{left} records were not delivered")
        return len(message.payload)


def _record(value: BrokerValue[KafkaPayload]) -> LogRecord:
    payload = value.payload
    return LogRecord(
        value.partition.topic.name,
        value.partition.index,
        value.offset,
        int(value.timestamp.timestamp() * 1000),
        payload.key,
        payload.value,
        headers_of(payload.headers),
    )


def run(job_: Job) -> None:
    """Run the processor until the process is killed."""
    tuned = job_.reading()
    settings = build_kafka_consumer_configuration(
        {},
        group_id=job_.group,
        auto_offset_reset="earliest",
        bootstrap_servers=[job_.broker],
        queued_min_messages=tuned.get("queued.min.messages"),
        queued_max_messages_kbytes=tuned.get("queued.max.messages.kbytes"),
        override_params=tuned,
    )
    StreamProcessor(
        KafkaConsumer(settings), Topic(job_.source), Factory(job_), ONCE_PER_SECOND
    ).run()


if __name__ == "__main__":
    run(job())

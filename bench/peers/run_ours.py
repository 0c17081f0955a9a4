"""Our Kafka host, exactly once: a bench stage, batches of 20,000, one transaction a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.peers.common import TRANSACTION, Batch, Job, StartNote, job, step_of
from pipeline.log.claim_check import FolderBodyStore
from pipeline.log.port import LogRecord, Message
from pipeline.runtime.crash_quarantine import CrashMarkers
from pipeline.runtime.kafka.broker import Broker
from pipeline.runtime.kafka.kafka_host import BatchLimits, KafkaHost

# The settings of the enrich worker: a limit of bytes, and a fifth of a second to fill a batch.
_MAX_BYTES, _LINGER_S = 32 * 1024 * 1024, 0.2


@dataclass(frozen=True)
class Stage:
    """A handler that runs the bench step and notes when the first batch is received."""

    topics: tuple[str, ...]
    step: Batch
    start: StartNote
    name: str = "bench"

    def handle(self, records: Sequence[LogRecord]) -> list[Message]:
        """See `pipeline.runtime.runner.Handler`."""
        self.start.note()
        return self.step(records)


def run(job_: Job) -> None:
    """Run the host until the process is killed."""
    KafkaHost(
        broker=Broker(job_.broker),
        handler=Stage((job_.source,), step_of(job_), StartNote(job_.started_file)),
        group=job_.group,
        transactional_id=f"{job_.group}-ours",
        bodies=FolderBodyStore(job_.folder / "bodies"),
        limits=BatchLimits(TRANSACTION, _MAX_BYTES, _LINGER_S),
        markers=CrashMarkers(job_.folder / "in-flight"),
    ).run(lambda: False)


if __name__ == "__main__":
    run(job())

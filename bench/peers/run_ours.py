"""Our kafka host with a stage made for the bench, batches of 20,000, lz4, one transaction a batch.
Exactly once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.peers.common import TRANSACTION, Batch, Beginning, Job, job, step_of
from pipeline.log.claim_check import FolderBodyStore
from pipeline.log.port import LogRecord, Message
from pipeline.runtime.kafka.broker import Broker
from pipeline.runtime.kafka.crash_quarantine import CrashMarkers
from pipeline.runtime.kafka.kafka_host import BatchLimits, KafkaHost

# As the settings of the enrich worker: a batch's bytes are bounded, a first record waits a fifth of
# a second for more.
_MAX_BYTES, _LINGER_S = 32 * 1024 * 1024, 0.2


@dataclass(frozen=True)
class Stage:
    """A handler around the bench's step, which notes when the first batch is in hand."""

    topics: tuple[str, ...]
    step: Batch
    beginning: Beginning
    name: str = "bench"

    def handle(self, records: Sequence[LogRecord]) -> list[Message]:
        """See `pipeline.runtime.runner.Handler`."""
        self.beginning.note()
        return self.step(records)


def run(job_: Job) -> None:
    """Run the host until the process is ended."""
    KafkaHost(
        broker=Broker(job_.broker),
        handler=Stage((job_.source,), step_of(job_), Beginning(job_.begun)),
        group=job_.group,
        transactional_id=f"{job_.group}-ours",
        bodies=FolderBodyStore(job_.folder / "bodies"),
        limits=BatchLimits(TRANSACTION, _MAX_BYTES, _LINGER_S),
        markers=CrashMarkers(job_.folder / "in-flight"),
    ).run(lambda: False)


if __name__ == "__main__":
    run(job())

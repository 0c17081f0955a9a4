"""`spool`: send the messages that were spooled while Kafka was unreachable."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.workspace import Workspace


@dataclass(frozen=True, slots=True)
class SpoolResult:
    """How many messages were sent, how many remain, and whether nothing remains to be done."""

    sent: int
    remaining: int
    complete: bool


def send_spool(workspace: Workspace) -> SpoolResult:
    """Send all spooled messages to Kafka, in order; stop if Kafka becomes unreachable."""
    from pipeline.runtime.kafka.kafka_log import KafkaLog

    log = KafkaLog(workspace.broker(), workspace.root, workspace.settings.spool_bytes)
    try:
        before, _ = log.spooled()
        complete = log.send_spooled()
        remaining, _ = log.spooled()
    finally:
        log.close()
    return SpoolResult(before - remaining, remaining, complete)

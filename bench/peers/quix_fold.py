"""The stateful job on Quix Streams, exactly once: RocksDB, a changelog, a checkpoint a second.

Its settings favour recovery: the transactional id stays the same over restarts (by default it is
new each time, and readers wait until the open transaction times out), and its session and
transaction time-outs are ours.
"""

# Its library is in an environment of its own, where no type checker looks.
# mypy: disable-error-code="import-not-found,misc,untyped-decorator"

from __future__ import annotations

from typing import Any

from quixstreams import Application

from bench.peers.common import COMMIT_SECONDS, CONSUMER, PRODUCER
from bench.peers.folding import SESSION_MS, TRANSACTION_MS, FoldJob, fold_job


def application(job: FoldJob) -> Application:
    """Return the application: Kafka, the fold, Kafka."""
    app = Application(
        job.broker,
        consumer_group=job.group,
        auto_offset_reset="earliest",
        commit_interval=COMMIT_SECONDS,
        processing_guarantee="exactly-once",
        consumer_extra_config={
            **CONSUMER,
            "session.timeout.ms": SESSION_MS,
            "heartbeat.interval.ms": SESSION_MS // 4,
        },
        producer_extra_config={
            **PRODUCER,
            "compression.type": "lz4",
            "transactional.id": f"{job.group}-{job.slot}",
            "transaction.timeout.ms": TRANSACTION_MS,
        },
        state_dir=job.folder / "state",
        loglevel="INFO",
    )
    source = app.topic(job.source, key_deserializer="str", value_deserializer="json")
    target = app.topic(job.target, key_serializer="str", value_serializer="json")

    def fold(value: dict[str, Any], state: Any) -> dict[str, Any]:
        before = state.get("fold") or {"count": 0, "items": []}
        after = {"count": before["count"] + 1, "items": [*before["items"], value["number"]]}
        state.set("fold", after)
        return after

    app.dataframe(source).apply(fold, stateful=True).to_topic(target)
    return app


if __name__ == "__main__":
    application(fold_job()).run()

"""The embedded host: runs every stage in one process over the SQLite log."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.log.claim_check import BodyStore, BodyStoreUnavailableError, store_large_bodies
from pipeline.log.port import Message
from pipeline.log.retries import backoff_s, retry_call
from pipeline.log.sqlite_log import SqliteLog
from pipeline.metrics import BatchMeter, Meter
from pipeline.runtime.check_out import check_out_and_handle
from pipeline.runtime.crash_quarantine import CrashMarkers, SubBatch, quarantine
from pipeline.runtime.model_worker import ModelWorker
from pipeline.runtime.runner import Handler
from pipeline.runtime.stages import BATCH_BYTES
from pipeline.sinks.warehouse import WarehouseBusyError

logger = logging.getLogger(__name__)

# Eight tries with back-off take some 13 s: the embedded warehouse is busy for seconds, while it
# merges. Then the command fails, and the user can run it again.
_ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class EmbeddedStage:
    """A stage with its largest number of records per batch, and its crash markers.

    `outcomes` counts what became of records; the host adds those it quarantined.
    """

    handler: Handler
    batch_records: int
    markers: CrashMarkers
    outcomes: Counter[str]


class EmbeddedHost:
    """Runs stages in turn; `committed` counts the records of each, and `on_commit` gets it.

    Outputs and offsets of a batch commit in one transaction of the log, after `load` has made its
    rows durable. So a crash repeats at most one batch, whose rows are upserted. What `resolve`
    learns, `enrich` uses in the next round.
    """

    def __init__(
        self,
        log: SqliteLog,
        bodies: BodyStore,
        learner: ModelWorker,
        stages: Sequence[EmbeddedStage],
        meter: Meter,
    ) -> None:
        self._log = log
        self._bodies = bodies
        self._learner = learner
        self._stages = stages
        self._meter = meter
        self.committed: Counter[str] = Counter()
        self.on_commit: Callable[[Counter[str]], object] = lambda _: None

    def run_once(self) -> Counter[str]:
        """Run one batch of every stage; return the records that each handled, none if caught up."""
        done: Counter[str] = Counter()
        for stage in self._stages:
            handled = self._batch(stage)
            if handled:
                done[stage.handler.name] += handled
        if folded := self._learner.take_folded_count():
            done["learn"] += folded
            self.committed["learn"] += folded
            self.on_commit(self.committed)
        return +done

    def _batch(self, stage: EmbeddedStage) -> int:
        handler = stage.handler
        batch = BatchMeter(self._meter, handler.name)
        records = self._log.read(handler.name, handler.topics, stage.batch_records, BATCH_BYTES)
        batch.received(records)
        if not records:
            batch.empty()
            return 0
        markers = stage.markers
        for sub_batch in markers.split(records):
            markers.begin(sub_batch)
            try:
                outputs = self._outputs(stage, sub_batch, batch)
            except BaseException as error:
                markers.fail(error)
                raise
            # From here on the process does not end because of its records.
            markers.clear_busy()
            messages = store_large_bodies(outputs, self._bodies)
            batch.handled()
            with self._log.transaction() as transaction:
                transaction.produce(messages)
                transaction.commit(handler.name, sub_batch.commit_offsets)
            markers.finish(sub_batch)
            batch.committed(len(sub_batch.records))
            self.committed[handler.name] += len(sub_batch.records)
            self.on_commit(self.committed)
        return len(records)

    def _outputs(
        self, stage: EmbeddedStage, sub_batch: SubBatch, batch: BatchMeter
    ) -> list[Message]:
        if sub_batch.rejection is not None:
            record = sub_batch.records[0]
            return quarantine(stage.handler.name, record, sub_batch.rejection, stage.outcomes)

        def on_retry(error: BaseException, wait_s: float) -> None:
            batch.retried("busy")
            logger.warning(
                "A store is busy; %s retries the batch in %.1f s: %s",
                stage.handler.name,
                wait_s,
                error,
            )

        return retry_call(
            lambda: check_out_and_handle(
                stage.handler, sub_batch.records, self._bodies, stage.outcomes
            ),
            retry_if=lambda error: isinstance(
                error, (WarehouseBusyError, BodyStoreUnavailableError)
            ),
            on_retry=on_retry,
            wait_s=backoff_s,
            attempts=_ATTEMPTS,
        )

    def close(self) -> None:
        """Save the models if they learnt something since the last snapshot."""
        self._learner.save()

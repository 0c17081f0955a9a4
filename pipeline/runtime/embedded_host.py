"""The embedded host: runs every stage in one process over the SQLite log."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from pipeline.log.claim_check import BodyStore, restore_large_bodies, store_large_bodies
from pipeline.log.port import LogRecord, Message, offset_ranges
from pipeline.log.retries import backoff_s, retry_call
from pipeline.log.sqlite_log import SqliteLog
from pipeline.metrics import BatchMeter, Meter
from pipeline.runtime.model_worker import ModelWorker
from pipeline.runtime.runner import Handler
from pipeline.runtime.stages import BATCH_BYTES
from pipeline.sinks.warehouse import WarehouseBusyError

logger = logging.getLogger(__name__)

# Eight tries with back-off take some 13 s: the embedded warehouse is busy for seconds, while it
# merges. Then the command fails, and the user can run it again.
_ATTEMPTS = 8


class EmbeddedHost:
    """Runs stages in turn, each with its largest number of records per batch.

    Outputs and offsets of a batch commit in one transaction of the log, after `load` has made its
    rows durable. So a crash repeats at most one batch, whose rows are upserted. What `resolve`
    learns, `enrich` uses in the next round.
    """

    def __init__(
        self,
        log: SqliteLog,
        bodies: BodyStore,
        learner: ModelWorker,
        handlers: Sequence[tuple[Handler, int]],
        meter: Meter,
    ) -> None:
        self._log = log
        self._bodies = bodies
        self._learner = learner
        self._handlers = handlers
        self._meter = meter

    def run_once(self) -> Counter[str]:
        """Run one batch of every stage; return the records that each handled, none if caught up."""
        done: Counter[str] = Counter()
        for handler, limit in self._handlers:
            handled = self._batch(handler, limit)
            if handled:
                done[handler.name] += handled
        done["learn"] += self._learner.take_folded_count()
        return +done

    def _batch(self, handler: Handler, limit: int) -> int:
        batch = BatchMeter(self._meter, handler.name)
        records = self._log.read(handler.name, handler.topics, limit, BATCH_BYTES)
        batch.received(records)
        if not records:
            batch.empty()
            return 0
        inputs = restore_large_bodies(records, self._bodies)
        messages = store_large_bodies(self._handle(handler, inputs, batch), self._bodies)
        batch.handled()
        with self._log.transaction() as transaction:
            transaction.produce(messages)
            transaction.commit(
                handler.name,
                {partition: last + 1 for partition, (_, last) in offset_ranges(records).items()},
            )
        batch.committed(len(records))
        return len(records)

    def _handle(
        self, handler: Handler, records: Sequence[LogRecord], batch: BatchMeter
    ) -> list[Message]:
        def on_retry(error: BaseException, wait_s: float) -> None:
            batch.retried("busy")
            logger.warning(
                "The warehouse is busy; %s retries the batch in %.1f s: %s",
                handler.name,
                wait_s,
                error,
            )

        return retry_call(
            lambda: handler.handle(records),
            retry_if=lambda error: isinstance(error, WarehouseBusyError),
            on_retry=on_retry,
            wait_s=backoff_s,
            attempts=_ATTEMPTS,
        )

    def close(self) -> None:
        """Save the models if they learnt something since the last snapshot."""
        self._learner.save()

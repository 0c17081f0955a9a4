"""The embedded host: runs every stage in one process over the SQLite log."""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Sequence

from pipeline.log.claim_check import BodyStore, restore_large_bodies, store_large_bodies
from pipeline.log.port import LogRecord, Message, offset_ranges
from pipeline.log.sqlite_log import SqliteLog
from pipeline.metrics import Meter, Stopwatch
from pipeline.runtime.model_worker import ModelWorker
from pipeline.runtime.runner import Handler
from pipeline.runtime.stages import BATCH_BYTES
from pipeline.sinks.warehouse import WarehouseBusyError

logger = logging.getLogger(__name__)

# The back-off doubles from a tenth of a second: a warehouse that is short of memory for a moment is
# retried at once, one that is down rarely. After eight tries, some 20 s, the command fails.
_FIRST_WAIT_S, _MAX_WAIT_S, _MAX_TRIES = 0.1, 10.0, 8


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
        self._meter.heartbeat(handler.name)
        clock = Stopwatch()
        records = self._log.read(handler.name, handler.topics, limit, BATCH_BYTES)
        clock.lap("take")
        if not records:
            self._meter.poll_empty(handler.name, {})
            return 0
        self._meter.batch_started(handler.name, min(record.timestamp_ms for record in records))
        inputs = restore_large_bodies(records, self._bodies)
        messages = store_large_bodies(self._handle(handler, inputs), self._bodies)
        clock.lap("handle")
        with self._log.transaction() as transaction:
            transaction.produce(messages)
            transaction.commit(
                handler.name,
                {partition: last + 1 for partition, (_, last) in offset_ranges(records).items()},
            )
        clock.lap("commit")
        self._meter.batch_committed(handler.name, len(records), clock.take_laps(), {})
        return len(records)

    def _handle(self, handler: Handler, records: Sequence[LogRecord]) -> list[Message]:
        wait = _FIRST_WAIT_S
        for _ in range(_MAX_TRIES - 1):
            try:
                return handler.handle(records)
            except WarehouseBusyError as error:
                self._meter.batch_retried(handler.name, "busy")
                logger.warning(
                    "The warehouse is busy; %s retries the batch in %.1f s: %s",
                    handler.name,
                    wait,
                    error,
                )
                time.sleep(wait * random.uniform(0.5, 1.5))
                wait = min(wait * 2, _MAX_WAIT_S)
        return handler.handle(records)

    def close(self) -> None:
        """Save the models if they learnt something since the last snapshot."""
        self._learner.save()

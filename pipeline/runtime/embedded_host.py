"""The embedded host: every stage in one process over the SQLite log, outputs and offsets in one
transaction.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Sequence

from pipeline.log.claim_check import Blobs, check_in, check_out
from pipeline.log.port import LogRecord, Message, spans_of
from pipeline.log.sqlite_log import SqliteLog
from pipeline.metrics import Meter, Stopwatch
from pipeline.runtime.model_worker import Learner
from pipeline.runtime.runner import Handler
from pipeline.runtime.stages import BATCH_BYTES
from pipeline.sinks.warehouse import WarehouseBusyError

logger = logging.getLogger(__name__)

# Doubling from a tenth of a second: a warehouse that is short of memory for a moment is asked again
# at once, one that is down rarely.
_FIRST_WAIT_S, _MAX_WAIT_S, _MAX_TRIES = 0.1, 10.0, 8


class EmbeddedHost:
    """Runs stages in turn, each with the most records it takes at once; what `resolve` learns,
    `enrich` answers with in the next round.

    A batch's outputs and offsets commit in one transaction of the log, after `load` has made its
    rows durable: a crash anywhere repeats at most one batch, whose rows replace themselves.
    """

    def __init__(
        self,
        log: SqliteLog,
        blobs: Blobs,
        learner: Learner,
        handlers: Sequence[tuple[Handler, int]],
        meter: Meter,
    ) -> None:
        self._log = log
        self._blobs = blobs
        self._learner = learner
        self._handlers = handlers
        self._meter = meter

    def turn(self) -> Counter[str]:
        """Give every stage one batch; return how many records each handled (none: everything is
        caught up).
        """
        done: Counter[str] = Counter()
        for handler, limit in self._handlers:
            handled = self._batch(handler, limit)
            if handled:
                done[handler.name] += handled
        done["learn"] += self._learner.folded()
        return +done

    def _batch(self, handler: Handler, limit: int) -> int:
        self._meter.turned(handler.name)
        clock = Stopwatch()
        records = self._log.read(handler.name, handler.topics, limit, BATCH_BYTES)
        clock.lap("take")
        if not records:
            self._meter.idle(handler.name, {})
            return 0
        self._meter.held(handler.name, min(record.timestamp_ms for record in records))
        messages = check_in(self._patiently(handler, check_out(records, self._blobs)), self._blobs)
        clock.lap("handle")
        with self._log.transaction() as transaction:
            transaction.produce(messages)
            transaction.commit(
                handler.name, {place: last + 1 for place, (_, last) in spans_of(records).items()}
            )
        clock.lap("commit")
        self._meter.batch(handler.name, len(records), clock.taken(), {})
        return len(records)

    def _patiently(self, handler: Handler, records: Sequence[LogRecord]) -> list[Message]:
        wait = _FIRST_WAIT_S
        for _ in range(_MAX_TRIES - 1):
            try:
                return handler.handle(records)
            except WarehouseBusyError as error:
                self._meter.retried(handler.name, "busy")
                logger.warning("%s waits %.1f s: %s", handler.name, wait, error)
                time.sleep(wait * random.uniform(0.5, 1.5))
                wait = min(wait * 2, _MAX_WAIT_S)
        return handler.handle(records)

    def close(self) -> None:
        """Keep what the models learnt since the last snapshot."""
        self._learner.save()

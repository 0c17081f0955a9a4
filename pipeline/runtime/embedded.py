"""The embedded host: every stage in one process over the SQLite log, outputs and offsets in one transaction."""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import orjson

from pipeline.models.packing import StateError
from pipeline.models.replica import Refused, Replica
from pipeline.models.snapshot import dump, load
from pipeline.outcomes import Models
from pipeline.processors.identify import Identity
from pipeline.runtime.claims import BlobFolder, check_in, check_out
from pipeline.runtime.log import Log, LogRecord, Message, TopicPartition
from pipeline.runtime.runner import Clock, Handler, utc_now
from pipeline.runtime.stages import enrich_handler, load_handler, resolve_handler
from pipeline.sinks.warehouse import Warehouse, WarehouseBusyError
from schemas.topics import EXAMPLES

logger = logging.getLogger(__name__)

# A batch of large mails must fit memory several times over: as bytes, decoded, and as rows.
BATCH_BYTES = 32 * 1024 * 1024
# ClickHouse wants 10,000 to 100,000 rows an insert (DESIGN §5): load takes five times as many records as the others.
LOAD_FACTOR = 5
# Examples are short and folded one by one; this many are a few MiB.
_SCAN_RECORDS = 1_000
# Examples between two snapshots: refolding ten thousand takes a few seconds, which is what a restart may cost.
_SNAPSHOT_EVERY = 10_000
# Doubling from a tenth of a second: a warehouse that is short of memory for a moment is asked again at once, one that is down rarely.
_FIRST_WAIT_S, _MAX_WAIT_S, _MAX_TRIES = 0.1, 10.0, 8


class Learner:
    """Holds the replica of the models: a snapshot, then the examples topic to its end, and what is new before each batch."""

    def __init__(self, log: Log, snapshot_path: Path) -> None:
        self._log = log
        self._path = snapshot_path
        self.replica = self._started()
        self._saved = self.replica.offset
        self.catch_up()

    def _started(self) -> Replica:
        if not self._path.exists():
            return Replica()
        try:
            return load(self._path.read_bytes())
        except StateError as error:
            logger.warning("%s is not used, the examples are folded from the first: %s", self._path, error)
            return Replica()

    def catch_up(self) -> int:
        """Fold what is new on the examples topic; return how many examples."""
        folded = 0
        while records := self._log.scan(EXAMPLES.name, 0, self.replica.offset + 1, _SCAN_RECORDS):
            for record in records:
                applied = self.replica.apply(orjson.loads(record.value), record.offset)
                if isinstance(applied, Refused):
                    logger.warning("the example at offset %d is passed over: %s", record.offset, applied.detail)
            folded += len(records)
        if self.replica.offset - self._saved >= _SNAPSHOT_EVERY:
            self.save()
        return folded

    def models(self) -> Models:
        """Return the models as they stand, for one batch."""
        return self.replica.snapshot()

    def save(self) -> None:
        """Write the snapshot, whole or not at all, where anything was learnt since the last."""
        if self.replica.offset == self._saved:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        part = self._path.with_suffix(".part")
        part.write_bytes(dump(self.replica))
        part.replace(self._path)
        self._saved = self.replica.offset


class EmbeddedHost:
    """Runs enrich, load and resolve in turn; between two batches the models take in what is new.

    A batch's outputs and offsets commit in one transaction of the log, after `load` has made its rows durable: a crash anywhere
    repeats at most one batch, whose rows replace themselves.
    """

    def __init__(
        self,
        log: Log,
        blobs: BlobFolder,
        warehouse: Warehouse,
        identity: Identity,
        snapshot_path: Path,
        batch_records: int,
        clock: Clock = utc_now,
    ) -> None:
        self._log = log
        self._blobs = blobs
        self.learner = Learner(log, snapshot_path)
        self.handlers: tuple[tuple[Handler, int], ...] = (
            (enrich_handler(identity, self.learner.models, clock), batch_records),
            (load_handler(warehouse, clock), batch_records * LOAD_FACTOR),
            (resolve_handler(warehouse, self.learner.models, clock), batch_records),
        )

    def turn(self) -> Counter[str]:
        """Give every stage one batch; return how many records each handled (none: everything is caught up)."""
        done: Counter[str] = Counter()
        for handler, limit in self.handlers:
            handled = self._batch(handler, limit)
            if handled:
                done[handler.name] += handled
        done["learn"] += self.learner.catch_up()
        return +done

    def _batch(self, handler: Handler, limit: int) -> int:
        records = self._log.read(handler.name, handler.topics, limit, BATCH_BYTES)
        if not records:
            return 0
        messages = check_in(self._patiently(handler, check_out(records, self._blobs)), self._blobs)
        with self._log.transaction() as transaction:
            transaction.produce(messages)
            transaction.commit(handler.name, next_offsets(records))
        return len(records)

    @staticmethod
    def _patiently(handler: Handler, records: Sequence[LogRecord]) -> list[Message]:
        wait = _FIRST_WAIT_S
        for _ in range(_MAX_TRIES - 1):
            try:
                return handler.handle(records)
            except WarehouseBusyError as error:
                logger.warning("%s waits %.1f s: %s", handler.name, wait, error)
                time.sleep(wait * random.uniform(0.5, 1.5))
                wait = min(wait * 2, _MAX_WAIT_S)
        return handler.handle(records)

    def close(self) -> None:
        """Keep what the models learnt since the last snapshot."""
        self.learner.save()


def next_offsets(records: Sequence[LogRecord]) -> dict[TopicPartition, int]:
    """Return the offsets to commit after a batch: one past the last of each partition."""
    return {(record.topic, record.partition): record.offset + 1 for record in records}

"""The models of a worker: a replica that folds the examples topic, and its snapshot on disk."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import orjson

from pipeline.models.heads import HEADS, Head
from pipeline.models.packing import StateError
from pipeline.models.replica import Refused, Replica
from pipeline.models.snapshot import dump, load
from pipeline.outcomes import Models
from pipeline.runtime.log import Scan
from schemas.topics import EXAMPLES

logger = logging.getLogger(__name__)

# Examples are short and folded one by one; this many are a few MiB.
_SCAN_RECORDS = 1_000
# Examples between two snapshots: refolding ten thousand takes a few seconds, which is what a restart may cost.
_SNAPSHOT_EVERY = 10_000


class Learner:
    """Holds the replica of the models: a snapshot, then the examples topic to its end, and what is new before each batch."""

    def __init__(self, log: Scan, snapshot_path: Path, heads: tuple[Head, ...] = HEADS) -> None:
        self._log = log
        self._heads = heads
        self._path = snapshot_path
        self.replica = self._started()
        self._saved = self.replica.offset
        self.catch_up()

    def _started(self) -> Replica:
        if not self._path.exists():
            return Replica(heads=self._heads)
        try:
            return load(self._path.read_bytes(), self._heads)
        except StateError as error:
            logger.warning("%s is not used, the examples are folded from the first: %s", self._path, error)
            return Replica(heads=self._heads)

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
        part = self._path.with_suffix(f".{os.getpid()}")
        part.write_bytes(dump(self.replica))
        part.replace(self._path)
        self._saved = self.replica.offset

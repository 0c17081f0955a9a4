"""The models of a worker: the fold over the examples topic, caught up before each batch, and its
snapshot on disk.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

import orjson

from pipeline.log.port import LogRecord, Scan
from pipeline.models.classifier import Prediction
from pipeline.models.examples_fold import ExamplesFold, Outcome, Path
from pipeline.models.heads import HEADS, Head
from pipeline.models.replica import EXAMPLE_KINDS, Refused, Replica
from pipeline.models.snapshot import dump_fold, load_fold
from pipeline.models.state_format import StateError
from pipeline.outcomes import Models
from schemas.topics import EXAMPLES

logger = logging.getLogger(__name__)

# Examples are short and folded one by one; this many are a few MiB.
_SCAN_RECORDS = 1_000
# Examples between two snapshots: refolding ten thousand takes a few seconds, which is what a
# restart may cost.
_SNAPSHOT_EVERY = 10_000
# What a batch of records waits for at most: a thousand examples take a fifth of a second. An import
# of a hundred thousand is taken in over many batches, while the records between them go on.
_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Tested:
    """An event of the topic as it was folded, and what would have been answered just before, where
    it is an example.
    """

    record: LogRecord
    event: dict[str, Any]
    outcome: Outcome
    answer: Prediction | None
    generation: int


class Learner:
    """Holds the fold: a snapshot, then the examples topic to its end (or before `until`), and what
    is new before each batch.
    """

    def __init__(
        self,
        log: Scan,
        snapshot_path: FilePath,
        heads: tuple[Head, ...] = HEADS,
        until: int | None = None,
    ) -> None:
        self._log = log
        self._path = snapshot_path
        self._heads = heads
        self._folded = 0
        self.fold = self._started()
        self._saved = self.fold.position
        self._saved_generation = self.fold.live.generation
        while self._fold_on(_SCAN_RECORDS, until):
            pass
        self._folded = 0

    def _started(self) -> ExamplesFold:
        if not self._path.exists():
            return ExamplesFold.of(self._heads)
        try:
            return load_fold(self._path.read_bytes(), self._heads)
        except StateError as error:
            logger.warning(
                "%s is not used, the examples are folded from the first: %s", self._path, error
            )
            return ExamplesFold.of(self._heads)

    def catch_up(self) -> int:
        """Fold what is new on the examples topic, at most a thousand events; return how many."""
        folded = self._fold_on(_AT_ONCE)
        self._keep_snapshots()
        return folded

    def test(self, records: Sequence[LogRecord]) -> list[Tested]:
        """Fold records of the topic that follow each other, and return what was answered before
        each (test, then train).

        What lies before the first of them is folded too; where that is further back than the fold,
        which happens after a transaction was taken back, the fold is made anew.
        """
        self._keep_snapshots()
        first = records[0].offset
        if self.fold.position >= first:
            self.fold = self._made_anew(first)
        while self._fold_on(_SCAN_RECORDS, first):
            pass
        return [self._tested(record) for record in records]

    def _tested(self, record: LogRecord) -> Tested:
        event = _event(record)
        answer = None
        if event.get("kind") == "example" and not event.get("copied"):
            answer = self._answer(event)
        outcome = self.fold.apply(event, record.offset, self.past)
        self.fold.settle(self.past)
        self._folded += 1
        return Tested(record, event, outcome, answer, self.fold.live.generation)

    def _answer(self, event: dict[str, Any]) -> Prediction | None:
        text, direction = event.get("text"), event.get("direction") or ""
        if not isinstance(text, str) or not isinstance(direction, str):
            return None
        return self.fold.classifier().classify([text], [direction])[0].get(str(event.get("head")))

    def _made_anew(self, before: int) -> ExamplesFold:
        fold = self._started()
        return fold if fold.position < before else ExamplesFold.of(self._heads)

    def _fold_on(self, limit: int, until: int | None = None) -> int:
        """Fold the next events, those before `until` only; return how many."""
        if until is not None and self.fold.position >= until - 1:
            return 0
        folded = 0
        for record in self._log.scan(EXAMPLES.name, 0, self.fold.position + 1, limit):
            if until is not None and record.offset >= until:
                break
            outcome = self.fold.apply(_event(record), record.offset, self.past)
            if isinstance(outcome, Refused):
                logger.warning(
                    "the example at offset %d is passed over: %s", record.offset, outcome.detail
                )
            folded += 1
        self.fold.settle(self.past)
        self._folded += folded
        return folded

    def past(self, path: Path) -> Replica:
        """Return the replica of a path, folded from the topic."""
        return fold_path(self._log, path, self._heads)

    def models(self) -> Models:
        """Return the models that answer, for one batch."""
        return self.fold.classifier()

    def folded(self) -> int:
        """Return how many events were folded since the last call."""
        folded, self._folded = self._folded, 0
        return folded

    def _keep_snapshots(self) -> None:
        # What a generation has forgotten must not lie in a file.
        if (
            self.fold.live.generation != self._saved_generation
            or self.fold.position - self._saved >= _SNAPSHOT_EVERY
        ):
            self.save()

    def save(self) -> None:
        """Write the snapshot, whole or not at all, where anything was folded since the last."""
        if self.fold.position == self._saved:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        part = self._path.with_suffix(f".{os.getpid()}")
        part.write_bytes(dump_fold(self.fold))
        part.replace(self._path)
        self._saved, self._saved_generation = self.fold.position, self.fold.live.generation


def fold_path(log: Scan, path: Path, heads: tuple[Head, ...] = HEADS) -> Replica:
    """Return the replica of a path, folded from the topic; what is reproduced is the same bit by
    bit, on one build.
    """
    replica = Replica(path.generation, heads, path.spans[0].after)
    for span in path.spans:
        for record in scanned(log, span.after + 1, span.last):
            replica.apply(_event(record), record.offset)
    replica.offset = path.spans[-1].last
    return replica


def scanned(log: Scan, start: int = 0, last: int | None = None) -> Iterator[LogRecord]:
    """Yield the events of the examples topic from an offset on, up to and including another (None:
    to the end).
    """
    while last is None or start <= last:
        records = log.scan(EXAMPLES.name, 0, start, _SCAN_RECORDS)
        if not records:
            return
        for record in records:
            if last is not None and record.offset > last:
                return
            yield record
        start = records[-1].offset + 1


def _event(record: LogRecord) -> dict[str, Any]:
    """Return an event's fields; none where it is no JSON object, which the fold then refuses by its
    kind.
    """
    try:
        event = orjson.loads(record.value)
    except orjson.JSONDecodeError:
        return {}
    return event if isinstance(event, dict) else {}


def outline(log: Scan, heads: tuple[Head, ...] = HEADS) -> ExamplesFold:
    """Return the fold of the topic with nothing learnt: its marks, its pin and the version that
    goes on.
    """
    fold = ExamplesFold.of(heads)

    def unlearnt(path: Path) -> Replica:
        return Replica(path.generation, heads, path.spans[-1].last)

    for record in scanned(log):
        event = _event(record)
        if event.get("kind") in EXAMPLE_KINDS:
            fold.position = fold.live.offset = record.offset
        else:
            fold.apply(event, record.offset, unlearnt)
    return fold

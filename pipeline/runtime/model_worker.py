"""The models of a worker: the fold over the examples topic, and its snapshot on disk."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path as FilePath
from typing import Any

import orjson

from pipeline.cpu_limit import limit_each, paused
from pipeline.log.port import LogRecord, TopicReader
from pipeline.models.classifier import HeadPrediction
from pipeline.models.examples_fold import ExamplesFold, FoldOutcome, ReplayPlan
from pipeline.models.heads import HEADS, Head
from pipeline.models.replica import EXAMPLE_KINDS, RefusedEvent, Replica
from pipeline.models.snapshot import dump_fold, load_fold
from pipeline.models.state_format import StateError
from pipeline.outcomes import Models
from pipeline.runtime.record_guard import attempt
from schemas.topics import EXAMPLES

logger = logging.getLogger(__name__)

# Examples are short and folded one by one; this many are a few MiB.
_SCAN_RECORDS = 1_000
# Examples between two snapshots: folding ten thousand takes a few seconds, which a restart may
# cost.
_SNAPSHOT_EVERY = 10_000
# The most examples that are folded before a batch of records: a thousand take a fifth of a second.
# An import of a hundred thousand examples is folded over many batches, while records go on.
_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class TestedExample:
    """A folded event of the examples topic, and the models' answer just before it was learnt.

    The answer is None if the event is not an example.
    """

    record: LogRecord
    event: dict[str, Any]
    outcome: FoldOutcome
    answer: HeadPrediction | None
    generation: int


class ModelWorker:
    """Keeps the models up to date: loads a snapshot and folds the rest of the examples topic.

    With `until` it folds the topic up to but excluding that offset.
    """

    def __init__(
        self,
        log: TopicReader,
        snapshot_path: FilePath,
        heads: tuple[Head, ...] = HEADS,
        until: int | None = None,
    ) -> None:
        self._log = log
        self._path = snapshot_path
        self._heads = heads
        self._folded = 0
        self.fold = self._load_or_create()
        self._saved = self.fold.position
        self._saved_generation = self.fold.live.generation
        while self._fold_next(_SCAN_RECORDS, until):
            pass
        self._folded = 0

    def _load_or_create(self) -> ExamplesFold:
        if not self._path.exists():
            return ExamplesFold.for_heads(self._heads)
        try:
            return load_fold(self._path.read_bytes(), self._heads)
        except StateError as error:
            logger.warning(
                "Snapshot %s is unusable; the models are rebuilt from all examples: %s",
                self._path,
                error,
            )
            return ExamplesFold.for_heads(self._heads)

    def catch_up(self) -> int:
        """Fold new events of the examples topic, at most a thousand; return how many."""
        folded = self._fold_next(_AT_ONCE)
        self._save_if_due()
        return folded

    def test_then_train(self, records: Sequence[LogRecord]) -> list[TestedExample]:
        """Fold consecutive records of the topic and return the answer before each of them.

        Everything before the first record is folded, too. If the fold is already past the first
        record, which happens after an aborted transaction, it is rebuilt.
        """
        first = records[0].offset
        # Other examples than these may take minutes.
        with paused():
            self._save_if_due()
            if self.fold.position >= first:
                self.fold = self._rebuild(first)
            while self._fold_next(_SCAN_RECORDS, first):
                pass
        return [self._test(record) for record in limit_each(records)]

    def _test(self, record: LogRecord) -> TestedExample:
        event = _event(record)
        answer = None
        if event.get("kind") == "example" and not event.get("copied"):
            answered = attempt(partial(self._answer, event))
            # The fold then refuses the event, and says why.
            answer = None if isinstance(answered, Exception) else answered
        outcome = self.fold.apply(event, record.offset, self.replica_at)
        self.fold.build_pinned(self.replica_at)
        self._folded += 1
        return TestedExample(record, event, outcome, answer, self.fold.live.generation)

    def _answer(self, event: dict[str, Any]) -> HeadPrediction | None:
        text, direction = event.get("text"), event.get("direction") or ""
        if not isinstance(text, str) or not isinstance(direction, str):
            return None
        return self.fold.classifier().classify([text], [direction])[0].get(str(event.get("head")))

    def _rebuild(self, before: int) -> ExamplesFold:
        fold = self._load_or_create()
        return fold if fold.position < before else ExamplesFold.for_heads(self._heads)

    def _fold_next(self, limit: int, until: int | None = None) -> int:
        """Fold the next events, up to but excluding offset `until`; return how many."""
        if until is not None and self.fold.position >= until - 1:
            return 0
        folded = 0
        for record in self._log.scan(EXAMPLES.name, 0, self.fold.position + 1, limit):
            if until is not None and record.offset >= until:
                break
            outcome = self.fold.apply(_event(record), record.offset, self.replica_at)
            if isinstance(outcome, RefusedEvent):
                logger.warning(
                    "Invalid example at offset %d skipped: %s", record.offset, outcome.detail
                )
            folded += 1
        self.fold.build_pinned(self.replica_at)
        self._folded += folded
        return folded

    def replica_at(self, path: ReplayPlan) -> Replica:
        """Return the replica of a path, folded from the examples topic."""
        # A marker or a pin asks for it, and it may take minutes.
        with paused():
            return fold_path(self._log, path, self._heads)

    def models(self) -> Models:
        """Return the snapshot of the models for one batch."""
        return self.fold.classifier()

    def take_folded_count(self) -> int:
        """Return how many events were folded since the last call."""
        folded, self._folded = self._folded, 0
        return folded

    def _save_if_due(self) -> None:
        # A new generation has forgotten examples, which must not stay in a file.
        if (
            self.fold.live.generation != self._saved_generation
            or self.fold.position - self._saved >= _SNAPSHOT_EVERY
        ):
            self.save()

    def save(self) -> None:
        """Write a snapshot atomically if anything was folded since the last one."""
        if self.fold.position == self._saved:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        part = self._path.with_suffix(f".{os.getpid()}")
        part.write_bytes(dump_fold(self.fold))
        part.replace(self._path)
        self._saved, self._saved_generation = self.fold.position, self.fold.live.generation


def fold_path(log: TopicReader, path: ReplayPlan, heads: tuple[Head, ...] = HEADS) -> Replica:
    """Return the replica of a path, folded from the topic, bit for bit the same on one build."""
    replica = Replica(path.generation, heads, path.ranges[0].after)
    for span in path.ranges:
        for record in scan_examples(log, span.after + 1, span.last):
            replica.apply(_event(record), record.offset)
    replica.offset = path.ranges[-1].last
    return replica


def scan_examples(log: TopicReader, start: int = 0, last: int | None = None) -> Iterator[LogRecord]:
    """Yield the events of the examples topic from offset `start` to `last`, or to the end."""
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
    """Return the fields of an event, none if it is not a JSON object; the fold then rejects it."""
    try:
        event = orjson.loads(record.value)
    except orjson.JSONDecodeError:
        return {}
    return event if isinstance(event, dict) else {}


def fold_markers_only(log: TopicReader, heads: tuple[Head, ...] = HEADS) -> ExamplesFold:
    """Return the fold of the topic's markers and pin, with no example learnt."""
    fold = ExamplesFold.for_heads(heads)

    def empty_replica(path: ReplayPlan) -> Replica:
        return Replica(path.generation, heads, path.ranges[-1].last)

    for record in scan_examples(log):
        event = _event(record)
        if event.get("kind") in EXAMPLE_KINDS:
            fold.position = fold.live.offset = record.offset
        else:
            fold.apply(event, record.offset, empty_replica)
    return fold

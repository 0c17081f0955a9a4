"""The effective examples of the log: a new generation copies them, and `evaluate` tests on them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from uuid import UUID

import orjson

from pipeline.log.port import LogRecord, TopicReader
from pipeline.models.label_resolution import LabelKey, LabelResolution, label_key, label_precedence
from pipeline.models.replica import EXAMPLE_KINDS
from pipeline.runtime.model_worker import fold_markers_only, scan_examples


def current_records(log: TopicReader, last: int | None = None) -> Iterator[LogRecord]:
    """Yield the events of the newest version up to an offset (None: all), without rollbacks."""
    fold = fold_markers_only(log)
    for span in fold.replay_plan(fold.live.offset).ranges:
        yield from scan_examples(
            log, span.after + 1, span.last if last is None else min(span.last, last)
        )


def effective_offsets(
    records: Iterable[LogRecord], forgotten_records: Collection[UUID] = ()
) -> set[int]:
    """Return the offsets of the effective labels and retractions (`models.label_resolution`).

    Those of `forgotten_records` are left out. An example without a record id and a label id cannot
    be superseded, so it is always included.
    """
    resolution, offsets, unnamed = LabelResolution(), dict[LabelKey, int](), set[int]()
    forgotten = {record.bytes for record in forgotten_records}
    for record in records:
        event = orjson.loads(record.value)
        if event.get("kind") not in EXAMPLE_KINDS:
            continue
        if event.get("record_id") is None and event.get("label_id") is None:
            unnamed.add(record.offset)
            continue
        key, precedence = label_key(event), label_precedence(event)
        if isinstance(key, str) or isinstance(precedence, str) or key.record in forgotten:
            continue
        result = resolution.add(
            key, precedence, str(event.get("value") or ""), float(event.get("weight") or 0.0)
        )
        if result.effect not in ("outdated", "repeated"):
            offsets[key] = record.offset
    return {*offsets.values(), *unnamed}

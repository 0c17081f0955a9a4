"""Which examples of the log hold: one definition for what a new generation copies and for what
models are judged by.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from uuid import UUID

import orjson

from pipeline.log.port import LogRecord, Scan
from pipeline.models.label_resolution import LabelKey, LabelResolution, key_of, standing_of
from pipeline.models.replica import EXAMPLE_KINDS
from pipeline.runtime.model_worker import outline, scanned


def live_records(log: Scan, last: int | None = None) -> Iterator[LogRecord]:
    """Yield the events of the version that goes on, up to an offset (None: all): what was rolled
    back is not among them.
    """
    fold = outline(log)
    for span in fold.path(fold.live.offset).spans:
        yield from scanned(log, span.after + 1, span.last if last is None else min(span.last, last))


def holding(records: Iterable[LogRecord], gone: Collection[UUID] = ()) -> set[int]:
    """Return the offsets of the labels and retractions that hold (`pipeline.models.label_resolution`), those
    about `gone` records not among them; an example that names neither record nor label is held by
    nobody, and always one more."""
    held, places, unnamed = LabelResolution(), dict[LabelKey, int](), set[int]()
    forgotten = {record.bytes for record in gone}
    for record in records:
        event = orjson.loads(record.value)
        if event.get("kind") not in EXAMPLE_KINDS:
            continue
        if event.get("record_id") is None and event.get("label_id") is None:
            unnamed.add(record.offset)
            continue
        key, standing = key_of(event), standing_of(event)
        if isinstance(key, str) or isinstance(standing, str) or key.record in forgotten:
            continue
        ruling = held.take(
            key, standing, str(event.get("value") or ""), float(event.get("weight") or 0.0)
        )
        if ruling.effect not in ("outdated", "repeated"):
            places[key] = record.offset
    return {*places.values(), *unnamed}

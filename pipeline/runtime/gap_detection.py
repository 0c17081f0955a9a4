"""Detects records that a client skipped, repeated or delivered too early.

Gaps between offsets do not prove a skipped record, because transaction markers and records of
aborted transactions have offsets, too. So each record carries the offset of the record that was
fetched before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pipeline.log.port import TopicPartition


class FetchedRecord(NamedTuple):
    """A record, and the offset after which it is the next one.

    The offset is None if it is not known where the client began to read.
    """

    record: Any
    previous_offset: int | None


class FetchTracker:
    """Tracks the last fetched offset of each partition; every seek must be reported to it."""

    def __init__(self) -> None:
        self._last: dict[TopicPartition, int] = {}

    def clear(self) -> None:
        """Forget all offsets: the client moved to unknown positions."""
        self._last.clear()

    def note_seek(self, partition: TopicPartition, offset: int) -> None:
        """Note that the next record is the first one at or after an offset."""
        self._last[partition] = offset - 1

    def note_fetch(self, partition: TopicPartition, records: Sequence[Any]) -> list[FetchedRecord]:
        """Return the records of one fetch, in order, each with the offset of its predecessor."""
        chained: list[FetchedRecord] = []
        last = self._last.get(partition)
        for record in records:
            chained.append(FetchedRecord(record, last))
            last = record.offset
        if last is not None:
            self._last[partition] = last
        return chained


class InOrder(NamedTuple):
    """The indices of records that continue a partition without a gap.

    `gap`: the last record does not continue it, because a record before it was skipped.
    """

    taken: list[int]
    gap: bool


def take_in_order(expected: int, fetched: Sequence[tuple[int, int | None]]) -> InOrder:
    """Return which records of a partition continue it from offset `expected` on.

    Records are pairs of their offset and that of their predecessor.

    >>> take_in_order(5, [(5, 4), (9, 7)])
    InOrder(taken=[0], gap=True)
    """
    taken: list[int] = []
    broken = False
    for index, (offset, after) in enumerate(fetched):
        broken = offset >= expected and (after is None or after >= expected)
        if offset >= expected and not broken:
            taken.append(index)
            expected = offset + 1
    return InOrder(taken, broken)

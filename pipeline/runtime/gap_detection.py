"""Records of a partition in their order and with nothing left out, whatever a client clears, gives
twice or gives too early.

Offsets alone do not tell whether one was left out: marks of transactions and records of aborted
ones have offsets too. So each record is told with the one that was fetched before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pipeline.log.port import TopicPartition


class Fetched(NamedTuple):
    """A record of a client, and the offset that none is left out after; None: nobody knows where
    the client began to read.
    """

    record: Any
    after: int | None


class Chain:
    """What was fetched last of each partition; to be told of every change of position."""

    def __init__(self) -> None:
        self._last: dict[TopicPartition, int] = {}

    def clear(self) -> None:
        """Forget everything: positions changed to what nobody knows."""
        self._last.clear()

    def sought(self, place: TopicPartition, offset: int) -> None:
        """Note that the next record is the first one at or after an offset."""
        self._last[place] = offset - 1

    def fetched(self, place: TopicPartition, records: Sequence[Any]) -> list[Fetched]:
        """Return records that were fetched at once, in order, each with what it follows."""
        found: list[Fetched] = []
        last = self._last.get(place)
        for record in records:
            found.append(Fetched(record, last))
            last = record.offset
        if last is not None:
            self._last[place] = last
        return found


class Continued(NamedTuple):
    """Which of the records given are next, by index; `broken`: the last of them is not, for one
    before it was left out.
    """

    taken: list[int]
    broken: bool


def continued(expected: int, given: Sequence[tuple[int, int | None]]) -> Continued:
    """Return which of a partition's records, offsets and what they follow, go on from the first
    offset that is not counted.
    """
    taken: list[int] = []
    broken = False
    for index, (offset, after) in enumerate(given):
        broken = offset >= expected and (after is None or after >= expected)
        if offset >= expected and not broken:
            taken.append(index)
            expected = offset + 1
    return Continued(taken, broken)

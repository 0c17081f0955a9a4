"""Records are taken in order and without gaps, whatever a client skips, repeats or seeks."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from pipeline.runtime.gap_detection import FetchedRecord, FetchTracker, take_in_order

_PARTITION = ("records.v1", 0)


@dataclass
class _Record:
    offset: int


@st.composite
def _logs(draw: st.DrawFn) -> list[int]:
    """Offsets of records, with gaps as transaction markers and aborted records leave them."""
    steps = draw(st.lists(st.integers(1, 4), min_size=1, max_size=40))
    return [sum(steps[:count]) - 1 for count in range(1, len(steps) + 1)]


@given(_logs(), st.data())
def test_taken_records_are_always_a_prefix_of_the_log(log: list[int], data: st.DataObject) -> None:
    tracker, taken, expected, position = FetchTracker(), list[int](), 0, 0
    for _ in range(data.draw(st.integers(1, 30))):
        match data.draw(st.sampled_from(["fetch", "fetch", "fetch", "lose", "seek", "jump"])):
            case "seek":
                # The position that the caller seeks to, and one that Faust may seek to.
                position = data.draw(st.sampled_from([expected, 0, log[-1] // 2]))
                tracker.note_seek(_PARTITION, position)
            case "jump":
                # After a rebalance the client may be anywhere.
                position = data.draw(st.integers(0, log[-1] + 1))
                tracker.clear()
            case kind:
                count = data.draw(st.integers(1, 6))
                records = [_Record(offset) for offset in log if offset >= position][:count]
                fetched = tracker.note_fetch(_PARTITION, records)
                position = records[-1].offset + 1 if records else position
                lost = data.draw(st.sets(st.integers(0, count))) if kind == "lose" else set[int]()
                received = [item for index, item in enumerate(fetched) if index not in lost]
                order = take_in_order(expected, _offsets(received))
                new = [received[index].record.offset for index in order.taken]
                taken += new
                expected = taken[-1] + 1 if taken else 0
                assert order.gap == bool(received and received[-1].record.offset >= expected)
    assert taken == log[: len(taken)]


@given(_logs())
def test_after_a_seek_all_records_are_taken(log: list[int]) -> None:
    tracker = FetchTracker()
    tracker.note_fetch(_PARTITION, [_Record(offset) for offset in log[len(log) // 2 :]])
    tracker.note_seek(_PARTITION, 0)
    order = take_in_order(
        0, _offsets(tracker.note_fetch(_PARTITION, [_Record(offset) for offset in log]))
    )
    assert order.taken == list(range(len(log)))
    assert not order.gap


def test_early_records_wait_for_their_predecessors() -> None:
    order = take_in_order(5, [(9, None), (10, 9), (5, 4), (7, 5), (9, 7), (12, 10)])
    assert order.taken == [2, 3, 4]
    assert order.gap


def test_repeated_records_are_no_gap() -> None:
    assert take_in_order(8, [(5, 4), (7, 5)]) == ([], False)


def _offsets(fetched: list[FetchedRecord]) -> list[tuple[int, int | None]]:
    return [(item.record.offset, item.previous_offset) for item in fetched]

"""Nothing is counted out of order or after a record that is missing, whatever is cleared, given
twice or fetched from elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from pipeline.runtime.gap_detection import Chain, Fetched, continued

_PLACE = ("records.v1", 0)


@dataclass
class _Record:
    offset: int


@st.composite
def _logs(draw: st.DrawFn) -> list[int]:
    """Offsets of records, with gaps as marks of transactions and aborted records leave them."""
    steps = draw(st.lists(st.integers(1, 4), min_size=1, max_size=40))
    return [sum(steps[:count]) - 1 for count in range(1, len(steps) + 1)]


@given(_logs(), st.data())
def test_what_is_taken_is_always_the_log_from_its_first_to_some_record(
    log: list[int], data: st.DataObject
) -> None:
    chain, taken, expected, position = Chain(), list[int](), 0, 0
    for _ in range(data.draw(st.integers(1, 30))):
        match data.draw(st.sampled_from(["fetch", "fetch", "fetch", "lose", "seek", "jump"])):
            case "seek":
                # Where the caller seeks, and somewhere that Faust may seek to.
                position = data.draw(st.sampled_from([expected, 0, log[-1] // 2]))
                chain.sought(_PLACE, position)
            case "jump":
                # Partitions moved: the client goes where it likes.
                position = data.draw(st.integers(0, log[-1] + 1))
                chain.clear()
            case kind:
                count = data.draw(st.integers(1, 6))
                records = [_Record(offset) for offset in log if offset >= position][:count]
                fetched = chain.fetched(_PLACE, records)
                position = records[-1].offset + 1 if records else position
                lost = data.draw(st.sets(st.integers(0, count))) if kind == "lose" else set[int]()
                given_ = [one for index, one in enumerate(fetched) if index not in lost]
                found = continued(expected, _places(given_))
                new = [given_[index].record.offset for index in found.taken]
                taken += new
                expected = taken[-1] + 1 if taken else 0
                assert found.broken == bool(given_ and given_[-1].record.offset >= expected)
    assert taken == log[: len(taken)]


@given(_logs())
def test_after_a_seek_to_what_is_expected_everything_comes(log: list[int]) -> None:
    chain = Chain()
    chain.fetched(_PLACE, [_Record(offset) for offset in log[len(log) // 2 :]])
    chain.sought(_PLACE, 0)
    found = continued(0, _places(chain.fetched(_PLACE, [_Record(offset) for offset in log])))
    assert found.taken == list(range(len(log)))
    assert not found.broken


def test_a_record_that_came_too_early_is_left_until_those_before_it_came() -> None:
    found = continued(5, [(9, None), (10, 9), (5, 4), (7, 5), (9, 7), (12, 10)])
    assert found.taken == [2, 3, 4]
    assert found.broken


def test_records_given_again_break_nothing() -> None:
    assert continued(8, [(5, 4), (7, 5)]) == ([], False)


def _places(fetched: list[Fetched]) -> list[tuple[int, int | None]]:
    return [(one.record.offset, one.after) for one in fetched]

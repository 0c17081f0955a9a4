"""A record that kills its process is found by the deaths it causes, and nothing else is set
aside.
"""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.log.port import LogRecord
from pipeline.runtime.kafka import crash_quarantine
from pipeline.runtime.kafka.crash_quarantine import InFlight, Mark, Portion

PLACE = ("raw.chat.v1", 0)


def _records(start: int, end: int, place: tuple[str, int] = PLACE) -> list[LogRecord]:
    return [LogRecord(*place, offset, 0, None, b"x") for offset in range(start, end)]


@pytest.fixture(autouse=True)
def _every_process_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    # One test process plays many workers, each of which has died when the next one comes.
    monkeypatch.setattr(crash_quarantine, "_alive", lambda _mark: False)


class Died(Exception):
    """The process of a test's worker is gone."""


def _work(
    folder: Path, end: int, committed: int, killers: set[int], batch: int
) -> tuple[int, list[int]]:
    """Be one worker until it dies or has done all; return what is committed then, and which records
    it set aside.
    """
    marks, aside = InFlight(folder), list[int]()
    marks.take(PLACE)
    try:
        while committed < end:
            for portion in marks.portions(_records(committed, min(committed + batch, end))):
                marks.begin(portion)
                if not portion.killer and killers & {record.offset for record in portion.records}:
                    raise Died
                aside += [record.offset for record in portion.records if portion.killer]
                committed = portion.positions[PLACE]
                marks.done(portion)
    except Died:
        pass
    return committed, aside


@settings(deadline=None, max_examples=60)
@given(
    end=st.integers(1, 60),
    killers=st.sets(st.integers(0, 59), max_size=3),
    batches=st.lists(st.integers(1, 25), min_size=1, max_size=5),
)
def test_killers_and_only_killers_are_set_aside(
    tmp_path_factory: pytest.TempPathFactory, end: int, killers: set[int], batches: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("marks")
    killers = {offset for offset in killers if offset < end}
    committed, aside, lives = 0, list[int](), 0
    while committed < end:
        committed, more = _work(folder, end, committed, killers, batches[lives % len(batches)])
        aside += more
        lives += 1
        assert lives <= 1 + len(killers) * 8, "a killer is found after a bounded number of deaths"
    assert sorted(aside) == sorted(killers)


def test_three_deaths_over_a_range_and_two_over_a_record(tmp_path: Path) -> None:
    lives, committed, aside = 0, 0, list[int]()
    while committed < 10:
        committed, aside = _work(tmp_path, 10, committed, {4}, 10)
        lives += 1
    assert (lives, aside) == (6, [4])


def test_a_worker_that_leaves_by_itself_is_no_death(tmp_path: Path) -> None:
    for _ in range(10):
        marks = InFlight(tmp_path)
        marks.take(PLACE)
        (portion,) = marks.portions(_records(0, 5))
        assert not portion.alone
        marks.begin(portion)
        marks.release()
        marks.leave(PLACE)


def test_an_innocent_death_is_forgotten_with_the_next_commit(tmp_path: Path) -> None:
    for _ in range(8):
        dying = InFlight(tmp_path)
        dying.take(PLACE)
        (portion,) = dying.portions(_records(0, 5))
        dying.begin(portion)
        following = InFlight(tmp_path)
        following.take(PLACE)
        (portion,) = following.portions(_records(0, 5))
        following.begin(portion)
        following.done(portion)
    assert not portion.alone


def test_partitions_do_not_share_their_deaths(tmp_path: Path) -> None:
    other = ("raw.email.v1", 3)
    for _ in range(3):
        marks = InFlight(tmp_path)
        marks.take(PLACE)
        marks.begin(Portion.of(_records(0, 5)))
    marks = InFlight(tmp_path)
    marks.take(PLACE)
    marks.take(other)
    portions = marks.portions([*_records(0, 2), *_records(7, 9, other)])
    assert [
        [(record.topic, record.offset) for record in portion.records] for portion in portions
    ] == [
        [("raw.email.v1", 7), ("raw.email.v1", 8)],
        [("raw.chat.v1", 0)],
        [("raw.chat.v1", 1)],
    ]


def test_a_torn_mark_is_no_mark(tmp_path: Path) -> None:
    (tmp_path / "raw.chat.v1-0").write_bytes(b'{"start": 1, "en')
    marks = InFlight(tmp_path)
    marks.take(PLACE)
    assert [portion.alone for portion in marks.portions(_records(0, 3))] == [False]


def test_a_living_process_that_lost_its_partition_has_not_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    parent = os.getppid()
    assert crash_quarantine._alive(Mark(pid=parent, born=crash_quarantine._born(parent)))
    assert not crash_quarantine._alive(Mark(pid=parent, born="1"))
    assert not crash_quarantine._alive(
        Mark(pid=os.getpid(), born=crash_quarantine._born(os.getpid()))
    )

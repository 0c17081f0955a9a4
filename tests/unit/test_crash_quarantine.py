"""Records that crash their process are identified and quarantined, and no others."""

import errno
import os
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InstallationError
from pipeline.log.port import LogRecord
from pipeline.outcomes import StepContractError
from pipeline.runtime import crash_quarantine
from pipeline.runtime.crash_quarantine import CrashMarker, CrashMarkers, SubBatch
from pipeline.sinks.warehouse import WarehouseBusyError
from schemas.dead_letters import RejectCode

PARTITION = ("raw.chat.v1", 0)


def _records(start: int, end: int, partition: tuple[str, int] = PARTITION) -> list[LogRecord]:
    return [LogRecord(*partition, offset, 0, None, b"x") for offset in range(start, end)]


@pytest.fixture(autouse=True)
def _no_process_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    # The test process plays many workers; each has crashed when the next one starts.
    monkeypatch.setattr(crash_quarantine, "_alive", lambda _mark: False)


class CrashedError(Exception):
    """The process of a test's worker crashed."""


def _work(
    folder: Path, end: int, committed: int, bad: set[int], batch: int
) -> tuple[int, list[int]]:
    """Run one worker until it crashes or has no more records.

    Return the committed offset and the quarantined records.
    """
    markers, quarantined = CrashMarkers(folder), list[int]()
    markers.take_over(PARTITION)
    try:
        while committed < end:
            for sub_batch in markers.split(_records(committed, min(committed + batch, end))):
                markers.begin(sub_batch)
                if sub_batch.rejection is None and bad & {
                    record.offset for record in sub_batch.records
                }:
                    raise CrashedError
                quarantined += [
                    record.offset for record in sub_batch.records if sub_batch.rejection is not None
                ]
                committed = sub_batch.commit_offsets[PARTITION]
                markers.finish(sub_batch)
    except CrashedError:
        pass
    finally:
        markers.give_up_all()
    return committed, quarantined


@settings(deadline=None, max_examples=60)
@given(
    end=st.integers(1, 60),
    bad=st.sets(st.integers(0, 59), max_size=3),
    batches=st.lists(st.integers(1, 25), min_size=1, max_size=5),
)
def test_exactly_the_bad_records_are_quarantined(
    tmp_path_factory: pytest.TempPathFactory, end: int, bad: set[int], batches: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("markers")
    bad = {offset for offset in bad if offset < end}
    committed, quarantined, crashes = 0, list[int](), 0
    while committed < end:
        committed, more = _work(folder, end, committed, bad, batches[crashes % len(batches)])
        quarantined += more
        crashes += 1
        assert crashes <= 1 + len(bad) * 8, (
            "a bad record is found after a bounded number of crashes"
        )
    assert sorted(quarantined) == sorted(bad)


def test_three_crashes_over_a_range_and_two_over_a_record(tmp_path: Path) -> None:
    crashes, committed, quarantined = 0, 0, list[int]()
    while committed < 10:
        committed, quarantined = _work(tmp_path, 10, committed, {4}, 10)
        crashes += 1
    assert (crashes, quarantined) == (6, [4])


def test_a_clean_exit_is_no_crash(tmp_path: Path) -> None:
    for _ in range(10):
        markers = CrashMarkers(tmp_path)
        markers.take_over(PARTITION)
        (sub_batch,) = markers.split(_records(0, 5))
        assert not sub_batch.isolated
        markers.begin(sub_batch)
        markers.clear_busy()
        markers.give_up(PARTITION)


def test_a_commit_clears_an_unrelated_crash(tmp_path: Path) -> None:
    for _ in range(8):
        dying = CrashMarkers(tmp_path)
        dying.take_over(PARTITION)
        (sub_batch,) = dying.split(_records(0, 5))
        dying.begin(sub_batch)
        successor = CrashMarkers(tmp_path)
        successor.take_over(PARTITION)
        (sub_batch,) = successor.split(_records(0, 5))
        successor.begin(sub_batch)
        successor.finish(sub_batch)
    assert not sub_batch.isolated


def test_crashes_count_by_partition(tmp_path: Path) -> None:
    other = ("raw.email.v1", 3)
    for _ in range(3):
        markers = CrashMarkers(tmp_path)
        markers.take_over(PARTITION)
        markers.begin(SubBatch.of(_records(0, 5)))
    markers = CrashMarkers(tmp_path)
    markers.take_over(PARTITION)
    markers.take_over(other)
    sub_batches = markers.split([*_records(0, 2), *_records(7, 9, other)])
    assert [
        [(record.topic, record.offset) for record in sub_batch.records] for sub_batch in sub_batches
    ] == [
        [("raw.email.v1", 7), ("raw.email.v1", 8)],
        [("raw.chat.v1", 0)],
        [("raw.chat.v1", 1)],
    ]


def test_a_torn_marker_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "raw.chat.v1-0").write_bytes(b'{"start": 1, "en')
    markers = CrashMarkers(tmp_path)
    markers.take_over(PARTITION)
    assert [sub_batch.isolated for sub_batch in markers.split(_records(0, 3))] == [False]


def test_a_live_process_that_lost_its_partition_did_not_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    parent = os.getppid()
    assert crash_quarantine._alive(CrashMarker(pid=parent, born=crash_quarantine._born(parent)))
    assert not crash_quarantine._alive(CrashMarker(pid=parent, born="1"))
    assert not crash_quarantine._alive(
        CrashMarker(pid=os.getpid(), born=crash_quarantine._born(os.getpid()))
    )


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (MemoryError(), True),
        (RuntimeError("a fault of the program"), True),
        (StepContractError("two outcomes for three inputs"), True),
        (SystemExit(3), True),
        (WarehouseBusyError("too many parts"), False),
        (InstallationError("no right to write"), False),
        (OSError(errno.ENOSPC, "no space left on device"), False),
        (sqlite3.OperationalError("database is locked"), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_what_ends_the_process_counts_unless_it_is_the_installation(
    tmp_path: Path, error: BaseException, counts: bool
) -> None:
    for _ in range(3):
        markers = CrashMarkers(tmp_path)
        (sub_batch,) = markers.split(_records(0, 5))
        markers.begin(sub_batch)
        markers.fail(error)
    parts = CrashMarkers(tmp_path).split(_records(0, 5))
    assert [part.isolated for part in parts] == ([True] * 5 if counts else [False])


def test_a_process_that_the_limit_ended_is_enough_for_its_range(tmp_path: Path) -> None:
    traces = tmp_path / "slow"
    traces.mkdir()
    offset, rejections, deaths = 0, [], 0
    # The worker of a test is this process; the one that the limit ended had another number.
    dead = 1 << 30
    (traces / str(dead)).write_text(
        'Current thread 0x1 (most recent call first):\n  File "/x/pipeline/reply.py", line 9 in f\n'
    )
    while offset < 2_000:
        markers = CrashMarkers(tmp_path / "stage", traces)
        sub_batches = markers.split(_records(offset, 2_000))
        markers._pid = dead
        for sub_batch in sub_batches:
            markers.begin(sub_batch)
            handled = [record.offset for record in sub_batch.records]
            if sub_batch.rejection is None and 1_234 in handled:
                deaths += 1
                break
            if sub_batch.rejection is not None:
                rejections.append((handled, sub_batch.rejection))
            markers.finish(sub_batch)
            offset = handled[-1] + 1
    ((handled, rejection),) = rejections
    assert (handled, rejection.code, deaths) == ([1_234], RejectCode.SLOW, 5)
    assert "reply.py:9 in f" in rejection.detail

"""The conformance suite of hosts: the same events and faults yield the same rows on every host."""

from __future__ import annotations

import errno
import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from pipeline.commands.host_factory import HandlerWrapper, unwrapped
from pipeline.log.port import LogRecord
from pipeline.runtime.record_guard import TooManyErrorsError
from tests.support.events import make_events
from tests.support.faults import (
    POISON,
    Stopped,
    around,
    busy_after,
    busy_before,
    poisoned,
    stops_after,
)
from tests.support.installations import (
    Embedded,
    Installation,
    Make,
    Rows,
    as_lines,
    publish,
    rows_in,
)

_EVENTS = 300
# Small batches: every stage has several, so that faults happen between them.
_BATCH = 40


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of events with redeliveries, a broken line, an unknown type and a bad text."""
    valid = list(make_events(_EVENTS, seed=7))
    poison = next(event for event in valid if event["data"].get("channel") == "chat")
    poison = json.loads(json.dumps(poison)) | {"id": "poison"}
    poison["data"]["text"] = f"{POISON} 我想退货"
    path = tmp_path_factory.mktemp("events") / "events.jsonl"
    path.write_text(
        as_lines([*valid, poison, *valid[5:9]])
        + "{broken\n"
        + as_lines([valid[0] | {"type": "comm.fax"}]),
        "utf-8",
    )
    return path


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory, events: Path) -> Rows:
    """Return the rows of an embedded run without faults."""
    return _rows_after(Embedded(tmp_path_factory.mktemp("baseline"), batch_records=_BATCH), events)


def _rows_after(
    installation: Installation, events: Path, wrap: HandlerWrapper = unwrapped, *, restarts: int = 0
) -> Rows:
    publish(installation, events)
    for _ in range(restarts):
        with pytest.raises(Stopped):
            installation.run(wrap)
    installation.run(wrap)
    return rows_in(installation)


def _assert_same(actual: Rows, expected: Rows) -> None:
    assert {view: len(rows) for view, rows in actual.items()} == {
        view: len(rows) for view, rows in expected.items()
    }
    for view, rows in expected.items():
        assert actual[view] == rows, view


def test_run_without_faults(make: Make, events: Path, baseline: Rows) -> None:
    _assert_same(_rows_after(make(batch_records=_BATCH), events), baseline)
    codes = Counter(json.loads(row)["reason_code"] for row in baseline["dead_letters"])
    assert codes == {"unparsable": 1, "unknown_type": 1}
    assert len(baseline["communications"]) > _EVENTS // 2
    assert baseline["conversations"]
    assert baseline["conversation_facts"]


def test_the_batch_size_does_not_matter(make: Make, events: Path, baseline: Rows) -> None:
    _assert_same(_rows_after(make(batch_records=10_000), events), baseline)


@pytest.mark.parametrize("stage", ["enrich", "converse", "load"])
def test_a_crash_before_a_commit(make: Make, events: Path, baseline: Rows, stage: str) -> None:
    wrap, countdown = stops_after(stage, 0, 2)
    _assert_same(_rows_after(make(batch_records=_BATCH), events, wrap, restarts=2), baseline)
    assert countdown.calls > 3


@pytest.mark.parametrize("busy", [busy_before, busy_after])
def test_a_busy_warehouse_is_retried(
    make: Make, events: Path, baseline: Rows, busy: Callable[..., tuple[HandlerWrapper, object]]
) -> None:
    wrap, _ = busy("load", 0, 1, 3)
    _assert_same(_rows_after(make(batch_records=_BATCH), events, wrap), baseline)


@pytest.mark.parametrize("stage", ["enrich", "converse"])
def test_only_the_bad_record_becomes_a_dead_letter(
    make: Make, events: Path, baseline: Rows, stage: str
) -> None:
    rows = _rows_after(make(batch_records=_BATCH), events, poisoned(stage))
    extra = [row for row in rows["dead_letters"] if row not in set(baseline["dead_letters"])]
    assert [(json.loads(row)["stage"], json.loads(row)["reason_code"]) for row in extra] == [
        (stage, "step_error")
    ]
    assert POISON in json.loads(extra[0])["payload"]
    gone = [row for row in baseline["communications"] if row not in set(rows["communications"])]
    assert len(gone) == (stage == "enrich")


def test_a_faulty_stage_stops_and_commits_nothing(make: Make, events: Path, baseline: Rows) -> None:
    installation = make(batch_records=_BATCH)
    publish(installation, events)

    def broken(records: object) -> None:
        raise TooManyErrorsError("planted: the step's own fault")

    with pytest.raises(TooManyErrorsError):
        installation.run(around("enrich", before=partial(broken)))
    installation.run()
    _assert_same(rows_in(installation), baseline)


def test_a_second_ingest_changes_nothing(
    make: Make, events: Path, baseline: Rows, tmp_path: Path
) -> None:
    installation = make(batch_records=_BATCH)
    publish(installation, events)
    installation.run()
    again = tmp_path / "again" / "events.jsonl"
    again.parent.mkdir()
    shutil.copy(events, again)
    publish(installation, again)
    installation.run()
    rows = rows_in(installation)
    for view in (
        "conversations",
        "conversation_facts",
        "followups",
        "record_flags",
        "links",
        "customers",
    ):
        assert rows[view] == baseline[view], view


def _ends_over(installation: Installation, error: BaseException, times: int) -> int:
    """Run until it ends well, with an error whenever enrich has the bad text; return the errors.

    After `times` of them the fault is repaired.
    """
    failed = 0

    def fail(records: Sequence[LogRecord]) -> None:
        if failed < times and any(POISON.encode() in record.value for record in records):
            raise error

    while True:
        try:
            installation.run(around("enrich", before=fail))
            return failed
        except type(error):
            failed += 1


def test_a_record_over_which_the_host_ends_is_quarantined(
    make: Make, events: Path, baseline: Rows
) -> None:
    installation = make(batch_records=_BATCH)
    publish(installation, events)
    # Not an error that bisection handles; a process that the kernel ends counts in the same way.
    failed = _ends_over(installation, MemoryError("planted"), 100)
    assert failed < 10, "three times over the batch, then over ever smaller parts of it"
    rows = rows_in(installation)
    extra = [json.loads(row) for row in set(rows["dead_letters"]) - set(baseline["dead_letters"])]
    assert [(row["stage"], row["reason_code"]) for row in extra] == [("enrich", "crash")]
    assert POISON in extra[0]["payload"]
    gone = set(baseline["communications"]) - set(rows["communications"])
    assert [POISON in row for row in gone] == [True]


def test_an_error_of_the_installation_quarantines_nothing(
    make: Make, events: Path, baseline: Rows
) -> None:
    installation = make(batch_records=_BATCH)
    publish(installation, events)
    full = OSError(errno.ENOSPC, "planted: no space left on device")
    assert _ends_over(installation, full, 7) == 7
    _assert_same(rows_in(installation), baseline)

"""The conformance suite of hosts: the same events and the same faults leave the same rows, whatever
engine runs the stages.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from pipeline.commands.host_factory import HandlerWrapper, unwrapped
from pipeline.runtime.runner import TooManyErrorsError
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
# Small batches: every stage has several, so that faults fall between them.
_BATCH = 40


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of events of every kind, with repeats, a broken line, an unknown type and a
    poisonous text.
    """
    made = list(make_events(_EVENTS, seed=7))
    poison = next(event for event in made if event["data"].get("channel") == "chat")
    poison = json.loads(json.dumps(poison)) | {"id": "poison"}
    poison["data"]["text"] = f"{POISON} 我想退货"
    path = tmp_path_factory.mktemp("events") / "events.jsonl"
    path.write_text(
        as_lines([*made, poison, *made[5:9]])
        + "{broken\n"
        + as_lines([made[0] | {"type": "comm.fax"}]),
        "utf-8",
    )
    return path


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, events: Path) -> Rows:
    """Return the rows of an embedded run that nobody disturbed."""
    return _rows_after(Embedded(tmp_path_factory.mktemp("calm"), batch_records=_BATCH), events)


def _rows_after(
    installation: Installation, events: Path, wrap: HandlerWrapper = unwrapped, *, restarts: int = 0
) -> Rows:
    publish(installation, events)
    for _ in range(restarts):
        with pytest.raises(Stopped):
            installation.run(wrap)
    installation.run(wrap)
    return rows_in(installation)


def _same(found: Rows, wanted: Rows) -> None:
    assert {view: len(rows) for view, rows in found.items()} == {
        view: len(rows) for view, rows in wanted.items()
    }
    for view, rows in wanted.items():
        assert found[view] == rows, view


def test_calm_run(make: Make, events: Path, calm: Rows) -> None:
    _same(_rows_after(make(batch_records=_BATCH), events), calm)
    codes = Counter(json.loads(row)["reason_code"] for row in calm["dead_letters"])
    assert codes == {"unparsable": 1, "unknown_type": 1}
    assert len(calm["communications"]) > _EVENTS // 2
    assert calm["conversations"]
    assert calm["conversation_facts"]


def test_batches_of_one_and_of_all_give_the_same(make: Make, events: Path, calm: Rows) -> None:
    _same(_rows_after(make(batch_records=10_000), events), calm)


@pytest.mark.parametrize("stage", ["enrich", "converse", "load"])
def test_ends_before_a_commit(make: Make, events: Path, calm: Rows, stage: str) -> None:
    wrap, countdown = stops_after(stage, 0, 2)
    _same(_rows_after(make(batch_records=_BATCH), events, wrap, restarts=2), calm)
    assert countdown.calls > 3


@pytest.mark.parametrize("busy", [busy_before, busy_after])
def test_busy_warehouse_is_waited_for(
    make: Make, events: Path, calm: Rows, busy: Callable[..., tuple[HandlerWrapper, object]]
) -> None:
    wrap, _ = busy("load", 0, 1, 3)
    _same(_rows_after(make(batch_records=_BATCH), events, wrap), calm)


@pytest.mark.parametrize("stage", ["enrich", "converse"])
def test_poison_goes_alone_to_the_dead_letters(
    make: Make, events: Path, calm: Rows, stage: str
) -> None:
    found = _rows_after(make(batch_records=_BATCH), events, poisoned(stage))
    extra = [row for row in found["dead_letters"] if row not in set(calm["dead_letters"])]
    assert [(json.loads(row)["stage"], json.loads(row)["reason_code"]) for row in extra] == [
        (stage, "step_error")
    ]
    assert POISON in json.loads(extra[0])["payload"]
    gone = [row for row in calm["communications"] if row not in set(found["communications"])]
    assert len(gone) == (stage == "enrich")


def test_a_stage_that_fails_on_everything_stops_and_commits_nothing(
    make: Make, events: Path, calm: Rows
) -> None:
    installation = make(batch_records=_BATCH)
    publish(installation, events)

    def broken(records: object) -> None:
        raise TooManyErrorsError("planted: the step's own fault")

    with pytest.raises(TooManyErrorsError):
        installation.run(around("enrich", before=partial(broken)))
    installation.run()
    _same(rows_in(installation), calm)


def test_everything_again_changes_nothing(
    make: Make, events: Path, calm: Rows, tmp_path: Path
) -> None:
    installation = make(batch_records=_BATCH)
    publish(installation, events)
    installation.run()
    again = tmp_path / "again" / "events.jsonl"
    again.parent.mkdir()
    shutil.copy(events, again)
    publish(installation, again)
    installation.run()
    found = rows_in(installation)
    for view in (
        "conversations",
        "conversation_facts",
        "followups",
        "record_flags",
        "links",
        "customers",
    ):
        assert found[view] == calm[view], view

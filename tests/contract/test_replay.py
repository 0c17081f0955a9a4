"""Replays on both engines: a stage reprocesses records and upserts the same rows."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest

from pipeline.commands.host_factory import embedded_host, kafka_host
from pipeline.commands.labels import label_event
from pipeline.commands.replay import (
    BEGINNING,
    Rewind,
    apply_rewinds,
    parse_instant,
    plan_rewinds,
    resolve_stages,
)
from pipeline.errors import UserError
from pipeline.ingest.port import ReadEvent
from pipeline.log.port import GroupRunningError
from pipeline.settings import parse_zone
from pipeline.sinks.warehouse import StoreInUseError, rows
from pipeline.workspace import Workspace
from schemas.topics import RECORDS
from tests.support.events import make_events
from tests.support.installations import Installation, Make, as_lines, publish, rows_in
from tests.support.stack import wait_until

_EVENTS = 200
_BATCH = 40
_NEEDS = ("complaint", "price_inquiry", "refund_return")


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of events of every kind and a broken line."""
    path = tmp_path_factory.mktemp("events") / "events.jsonl"
    path.write_text(as_lines(make_events(_EVENTS, seed=11)) + "{broken\n", "utf-8")
    return path


def replay(workspace: Workspace, target: str, since: str = BEGINNING) -> list[Rewind]:
    """Do what `switchboard replay TARGET --from SINCE --yes` does."""
    with workspace.open_log() as log:
        rewinds = plan_rewinds(
            log,
            resolve_stages(target),
            since_ms=parse_instant(since, parse_zone("UTC")),
            offsets={},
            skip=False,
        )
        apply_rewinds(workspace, log, rewinds, f"from {since}")
    return rewinds


def asked(installation: Installation, sql: str) -> list[dict[str, object]]:
    with installation.workspace.open_warehouse() as warehouse:
        return rows(warehouse, sql)


@pytest.mark.parametrize("target", ["enrich", "load", "converse", RECORDS.name])
def test_a_replay_upserts_the_same_rows(make: Make, events: Path, target: str) -> None:
    installation = make(batch_records=_BATCH)
    publish(installation, events)
    installation.run()
    before = rows_in(installation)
    rewinds = replay(installation.workspace, target)
    assert sum(one.offsets for one in rewinds) >= _EVENTS // 2
    installation.run()
    after = rows_in(installation)
    assert {view: len(found) for view, found in after.items()} == {
        view: len(found) for view, found in before.items()
    }
    assert after == before
    audit = asked(
        installation,
        "SELECT stage, topic, partition, from_offset, to_offset, asked FROM stage_replays",
    )
    assert {(row["stage"], row["topic"], row["partition"]) for row in audit} == {
        (one.stage, one.topic, one.partition) for one in rewinds
    }
    assert {row["asked"] for row in audit} == {f"from {BEGINNING}"}


def test_new_code_replaces_rows_and_keeps_every_earlier_answer(make: Make, events: Path) -> None:
    installation = make(batch_records=_BATCH)
    publish(installation, events)
    installation.run()
    old_answers = set(rows_in(installation, ["predictions"])["predictions"])
    with_text = asked(
        installation,
        "SELECT record_id FROM communications WHERE redacted_text != '' ORDER BY record_id"
        " LIMIT 60",
    )
    record_ids = [UUID(str(row["record_id"])) for row in with_text]
    with installation.workspace.open_publisher() as publisher:
        for place, labelled in enumerate(record_ids):
            event = label_event(
                labelled, "need", _NEEDS[place % 3], by="a test", note="", tenant="default"
            )
            publisher.publish(
                ReadEvent(event, event.model_dump_json().encode()), "label/1", "default"
            )
    installation.run()
    counted = (
        "SELECT toUInt32(count()) AS n, toUInt32(uniqExact(record_id)) AS ids FROM communications"
    )
    before = asked(installation, counted)
    replay(installation.workspace, "enrich")
    installation.run()
    assert asked(installation, counted) == before
    answers = set(rows_in(installation, ["predictions"])["predictions"])
    assert old_answers < answers
    learnt = asked(
        installation,
        "SELECT DISTINCT need_version AS version FROM communications WHERE direction = 'inbound'",
    )
    rules = {json.loads(row)["model_version"] for row in old_answers}
    assert not rules & {row["version"] for row in learnt}, "records show what the models say now"


@contextmanager
def _running(installation: Installation, stage: str) -> Iterator[None]:
    """Run a worker of a stage, or the embedded host, while inside."""
    workspace = installation.workspace
    if not workspace.settings.distributed:
        with embedded_host(workspace):
            yield
        return
    stop = threading.Event()
    with kafka_host(workspace, stage) as host:
        worker = threading.Thread(target=host.run, args=(stop.is_set,))
        worker.start()
        try:
            wait_until("the worker to be a member", lambda: host.counts["idle"] > 0)
            yield
        finally:
            stop.set()
            worker.join()


def test_a_replay_fails_while_the_stage_runs(make: Make, events: Path) -> None:
    installation = make(batch_records=_BATCH)
    publish(installation, events)
    installation.run()
    before = rows_in(installation)
    with _running(installation, "load"), pytest.raises((GroupRunningError, StoreInUseError)):
        replay(installation.workspace, "load")
    # As soon as nobody runs any more it is done; on Kafka the worker's session has to end first.
    assert replay(installation.workspace, "load")
    installation.run()
    assert rows_in(installation) == before


def test_a_replay_from_an_instant_starts_there_and_skips_nothing(
    make: Make, events: Path, tmp_path: Path
) -> None:
    installation = make(batch_records=_BATCH)
    publish(installation, events)
    installation.run()
    with installation.workspace.open_log() as log:
        latest = max(
            record.timestamp_ms
            for at in log.positions("load", [RECORDS.name])
            for record in log.scan(at.topic, at.partition, at.first, 10_000)
        )
        assert (
            plan_rewinds(
                log,
                resolve_stages(RECORDS.name, "load"),
                since_ms=latest + 1,
                offsets={},
                skip=False,
            )
            == []
        )
        only = plan_rewinds(
            log, resolve_stages(RECORDS.name, "load"), since_ms=latest, offsets={}, skip=False
        )
        everything = plan_rewinds(
            log, resolve_stages(RECORDS.name, "load"), since_ms=0, offsets={}, skip=False
        )
        assert 0 < sum(one.offsets for one in only) < sum(one.offsets for one in everything)
        more = tmp_path / "more.jsonl"
        more.write_text(
            as_lines(event | {"source": "test/other"} for event in make_events(50)), "utf-8"
        )
        publish(installation, more)
        unread = {
            (at.topic, at.partition): at.end
            for at in log.positions("enrich", resolve_stages("enrich")["enrich"])
        }
        assert (
            plan_rewinds(log, resolve_stages("enrich"), since_ms=None, offsets=unread, skip=False)
            == []
        )
        assert plan_rewinds(log, resolve_stages("enrich"), since_ms=None, offsets=unread, skip=True)
        with pytest.raises(UserError, match="has no partition 99"):
            plan_rewinds(
                log,
                resolve_stages(RECORDS.name),
                since_ms=None,
                offsets={(RECORDS.name, 99): 0},
                skip=False,
            )

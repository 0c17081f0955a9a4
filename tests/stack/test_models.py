"""The models on real servers: all replicas have the same weights, bit by bit.

Workers die and join while labels flow.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.commands.generations import renew_generation
from pipeline.commands.labels import read_labels
from pipeline.commands.models import (
    list_versions,
    pin_version,
    replica_at,
    roll_back,
    summarise_version,
)
from pipeline.ingest.port import ReadEvent
from pipeline.models.snapshot import digest, load_fold
from pipeline.runtime.model_worker import scan_examples
from schemas.envelope import Event, record_id_of
from tests.e2e.conftest import Command
from tests.support.clickhouse_server import ClickHouseServer
from tests.support.installations import Distributed, as_lines, publish
from tests.support.kafka_server import KafkaServer
from tests.support.stack import wait_until
from tests.support.warm import WarmCommands, WarmProcess

pytestmark = pytest.mark.stack
_RECORDS = 120
_NEEDS = ("appointment", "cooperation")


def _events() -> list[dict[str, object]]:
    told = ("the blorf again", "a gnarp of some type")
    return [
        {
            "specversion": "1.0",
            "id": f"m{place}",
            "source": "shop/web",
            "type": "comm.message.received",
            "time": "2026-11-01T10:00:00Z",
            "data": {
                "channel": "chat",
                "text": f"{told[place % 2]} {place}",
                "from": {"phone": f"+86138{place:08}"},
            },
        }
        for place in range(_RECORDS)
    ]


def _labels(path: Path, first: int, last: int) -> Path:
    rows = [
        f"{record_id_of('default', 'shop/web', f'm{place}')},need,{_NEEDS[place % 2]}"
        for place in range(first, last)
    ]
    path.write_text("\n".join(["record_id,head,value", *rows]) + "\n", "utf-8")
    return path


@contextmanager
def _supervisor(
    warm: WarmCommands, folder: Path, servers: dict[str, str], *words: str
) -> Iterator[WarmProcess]:
    process = warm.start(
        ["--data-dir", str(folder / "data"), "worker", *words],
        folder,
        os.environ | servers,
        err=folder / "workers.log",
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(90)


def _children(pid: int) -> list[int]:
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return [int(word) for word in listed.stdout.split()]


def _count(on_servers: Command, sql: str) -> int:
    return int(on_servers("query", sql, "--format", "TSV").stdout)


def _until(on_servers: Command, wanted: int, sql: str) -> None:
    wait_until(f"{wanted} of {sql}", lambda: _count(on_servers, sql) == wanted, 240, every=0.3)


def test_replicas_are_the_same_bit_by_bit_though_workers_die_and_come_while_labels_flow(
    on_servers: Command, servers: dict[str, str], warm: WarmCommands, tmp_path: Path
) -> None:
    (tmp_path / "events.jsonl").write_text(as_lines(_events()), "utf-8")
    on_servers("ingest", "events", tmp_path / "events.jsonl")
    with (
        _supervisor(warm, tmp_path, servers, "load"),
        _supervisor(warm, tmp_path, servers, "resolve"),
        _supervisor(warm, tmp_path, servers, "enrich", "--processes", "2") as enrich,
    ):
        _until(on_servers, _RECORDS, "SELECT count() FROM communications")
        on_servers("labels", "import", _labels(tmp_path / "one.csv", 0, 40))
        os.kill(_children(enrich.pid)[0], signal.SIGKILL)
        on_servers("labels", "import", _labels(tmp_path / "two.csv", 40, 80))
        _until(on_servers, 80, "SELECT count() FROM labels")
        with _supervisor(warm, tmp_path, servers, "enrich"):
            on_servers("labels", "import", _labels(tmp_path / "three.csv", 80, _RECORDS))
            wait_until("both to live", lambda: len(_children(enrich.pid)) == 2)
            os.kill(_children(enrich.pid)[1], signal.SIGKILL)
            _until(on_servers, _RECORDS, "SELECT count() FROM assessments")
            version = json.loads(on_servers("models", "show", "--json").stdout)["version"]
            # What comes now is answered by all that was learnt, whichever worker has it.
            again = [event | {"id": f"again-{event['id']}"} for event in _events()]
            (tmp_path / "again.jsonl").write_text(as_lines(again), "utf-8")
            on_servers("ingest", "events", tmp_path / "again.jsonl")
            _until(on_servers, 2 * _RECORDS, "SELECT count() FROM communications")
            wait_until("three to live", lambda: len(_children(enrich.pid)) == 2)
    shown = json.loads(on_servers("models", "show", "--json").stdout)
    assert shown["version"] == version
    snapshots = sorted((tmp_path / "data" / "workers").glob("*/snapshot"))
    assert len([path for path in snapshots if path.parent.name.startswith("enrich")]) == 3
    digests = {path.parent.name: digest(load_fold(path.read_bytes()).live) for path in snapshots}
    assert set(digests.values()) == {shown["digest"]}, digests
    assert _count(on_servers, "SELECT count() FROM assessment_rows WHERE tested") == _RECORDS
    answered = (
        "SELECT count() FROM communications WHERE startsWith(event_id, 'again-') AND need_version"
        f" = '{version}'"
    )
    assert _count(on_servers, answered) == _RECORDS
    right = (
        "SELECT count() FROM communications WHERE startsWith(event_id, 'again-') AND need IN"
        " ('appointment', 'cooperation')"
    )
    assert _count(on_servers, right) == _RECORDS
    assert _count(on_servers, "SELECT count() FROM dead_letters") == 0
    tests = _count(
        on_servers, "SELECT sum(tests) FROM model_quality WHERE day IS NULL AND language = 'all'"
    )
    assert tests == _RECORDS


def test_a_generation_a_pin_and_a_rollback_are_obeyed_on_kafka(
    kafka: KafkaServer, clickhouse: ClickHouseServer, tmp_path: Path
) -> None:
    kafka.wipe()
    installation = Distributed(
        tmp_path, kafka.broker, clickhouse.url_for(database="generations_of_models")
    )
    workspace = installation.workspace
    (tmp_path / "events.jsonl").write_text(as_lines(_events()), "utf-8")
    publish(installation, tmp_path / "events.jsonl")
    installation.run()

    def label(first: int, last: int) -> None:
        with workspace.open_publisher() as publisher:
            for event in read_labels(_labels(tmp_path / f"{first}.csv", first, last), "default"):
                assert isinstance(event, Event)
                publisher.publish(ReadEvent(event, event.model_dump_json().encode()), "labels/1")
        installation.run()

    label(0, 60)
    with workspace.open_log() as log:
        before = summarise_version(replica_at(log))
        pin_version(log, "")
    label(60, 80)
    with workspace.open_log() as log, workspace.open_warehouse() as warehouse:
        assert summarise_version(replica_at(log, before.version)) == before
        assert list_versions(log, warehouse)[-1]["version"] == before.version
        roll_back(log, before.version)
        done = renew_generation(log, [record_id_of("default", "shop/web", "m3")])
        assert (done.number, done.copied) == (1, 59)
    installation.run()
    with workspace.open_log() as log, workspace.open_warehouse() as warehouse:
        after = summarise_version(replica_at(log))
        # The old log is gone: a worker that starts anew knows only the new generation.
        told = [row["what"] for row in list_versions(log, warehouse) if row["what"] != "answered"]
        text = b"".join(record.value for record in scan_examples(log))
    assert (after.effective_labels, after.version.split("/")[0]) == (59, "1")
    assert told == ["generation begun", "generation complete", "answers now"]
    assert b'of some type 3"' not in text
    assert b'of some type 5"' in text

"""`status` on one machine: an unreachable part is a problem, and the rest is shown."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import psutil

from pipeline.runtime.stages import STAGES
from pipeline.sinks.migrations import migrations
from schemas.topics import TOPICS
from tests.e2e.conftest import Command
from tests.support.events import make_events
from tests.support.installations import as_lines
from tests.support.stack import wait_until


def test_status_of_an_empty_installation(switchboard: Command) -> None:
    found = json.loads(switchboard("status", "--json").stdout)
    assert found["engine"]["way"] == "embedded"
    assert found["problems"] == []
    assert set(found["topics"]) == set(TOPICS)
    assert {row["group"] for row in found["stages"]} == set(STAGES)
    assert found["migrations"] == {"known": len(migrations()), "missing": []}
    assert (found["accounts"], found["dead_letters"], found["channels"], found["models"]) == (
        [],
        [],
        [],
        [],
    )
    assert found["spool"] == {"messages": 0, "bytes": 0}
    assert "Reconciliation: none" in switchboard("status").stdout


def test_status_shows_every_part(switchboard: Command, tmp_path: Path) -> None:
    events = [event for event in make_events(60) if event["type"].startswith("comm.")]
    big = {**events[0], "id": "big", "data": {**events[0]["data"], "text": "长" * 200_000}}
    (tmp_path / "events.jsonl").write_text(as_lines([*events, big]) + '{"broken\n', "utf-8")
    switchboard("ingest", "events", tmp_path / "events.jsonl")
    before = json.loads(switchboard("status", "--json", code=1).stdout)
    (problem,) = before["problems"]
    assert problem["part"] == "workers"
    assert f"enrich ({len(events) + 1})" in problem["message"]
    assert "start `switchboard run`" in problem["message"]
    waiting = {row["topic"]: row["records"] for row in before["stages"] if row["group"] == "enrich"}
    assert sum(waiting.values()) == len(events) + 1
    switchboard("run", "--until-idle")
    found = json.loads(switchboard("status", "--json").stdout)
    assert found["problems"] == []
    assert not any(row["records"] for row in found["stages"])
    assert found["topics"]["records.v1"] == {
        "partitions": TOPICS["records.v1"].partitions,
        "records": len(events) + 1,
    }
    assert found["bodies"]["bodies"] >= 1
    assert found["bodies"]["bytes"] > 600_000
    assert sum(row["rows"] for row in found["channels"]) == len(events) + 1
    last = max(row["last_event"] for row in found["channels"])
    assert last[:10] == max(event["time"] for event in events)[:10]
    assert last.endswith("Z")
    (letter,) = found["dead_letters"]
    assert (letter["stage"], letter["reason"], letter["letters"]) == ("collect", "unparsable", 1)
    tables = {row["name"]: row["rows"] for row in found["tables"]}
    assert tables["communication_rows"] == len(events) + 1
    assert {row["head"] for row in found["models"]} >= {"need", "sentiment", "spam"}
    assert all(row["version"] for row in found["models"])
    shown = switchboard("status").stdout
    for word in ("embedded", "records.v1", "unparsable", "communication_rows", "sentiment", last):
        assert word in shown


def test_status_shows_the_running_process(switchboard: Command, tmp_path: Path) -> None:
    assert json.loads(switchboard("status", "--json").stdout)["workers"] == []
    environment = os.environ | {"SWITCHBOARD_SECRET": "a secret for tests only"}
    running = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "--data-dir", str(tmp_path / "data"), "run"],
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until("the store to be served", (tmp_path / "data" / "store.sock").exists)
        (worker,) = json.loads(switchboard("status", "--json").stdout)["workers"]
        (child,) = psutil.Process(running.pid).children()
        assert (worker["stage"], worker["name"]) == ("run", f"process {child.pid}")
    finally:
        running.terminate()
        running.wait()


def test_an_unreadable_log_does_not_hide_the_store(switchboard: Command, tmp_path: Path) -> None:
    switchboard("status")
    with sqlite3.connect(tmp_path / "data" / "log.sqlite") as log:
        log.execute("PRAGMA user_version = 99")
    failed = switchboard("status", "--json", code=1)
    found = json.loads(failed.stdout)
    ((part, message),) = [(one["part"], one["message"]) for one in found["problems"]]
    assert part == "log"
    assert "log format 99" in message
    assert message in failed.stderr.replace("\n", " ")
    assert found["stages"] is None
    assert found["tables"], "the store is there"

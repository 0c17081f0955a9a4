"""Backup and restore of an embedded installation: complete, verified, and taken while it runs."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

from tests.e2e.conftest import Command
from tests.support.events import make_events
from tests.support.installations import Embedded, Rows, as_lines, rows_in
from tests.support.stack import wait_until

# Over the claim check's threshold: it lies in bodies/.
_LONG = "想了解一下运费和发货时间。" * 20_000


def write_events(path: Path, count: int, start: int = 0) -> Path:
    events = [
        event for place, event in enumerate(make_events(start + count, seed=5)) if place >= start
    ]
    large = next(event for event in events if event["data"].get("text"))
    large["data"]["text"] = _LONG
    path.write_text(as_lines(events), "utf-8")
    return path


def rows_of(data_dir: Path) -> Rows:
    return rows_in(Embedded(data_dir))


def test_a_restored_backup_has_the_same_rows(switchboard: Command, tmp_path: Path) -> None:
    switchboard("ingest", "events", write_events(tmp_path / "one.jsonl", 120))
    switchboard("run", "--until-idle")
    switchboard("ingest", "events", write_events(tmp_path / "two.jsonl", 40, 120))
    created = json.loads(switchboard("backup", tmp_path / "kept", "--json").stdout)
    assert int(created["tables"]["communication_rows"][0]) > 60
    assert created["witnesses"]
    switchboard("run", "--until-idle")
    wanted = rows_of(tmp_path / "data")
    switchboard("restore", tmp_path / "kept", data="again")
    # What had been read and not yet handled is in the log of the backup.
    switchboard("run", "--until-idle", data="again")
    assert rows_of(tmp_path / "again") == wanted
    assert "is not empty" in switchboard("backup", tmp_path / "kept", code=1).stderr
    assert (
        "contains an installation"
        in switchboard("restore", tmp_path / "kept", data="again", code=1).stderr
    )
    assert "is not a backup" in switchboard("restore", tmp_path, data="other", code=1).stderr


def test_a_backup_of_a_running_installation_plus_a_new_ingest_has_the_same_rows(
    switchboard: Command, tmp_path: Path
) -> None:
    events = write_events(tmp_path / "events.jsonl", 400)
    switchboard("ingest", "events", events)
    command = [sys.executable, "-m", "pipeline", "--data-dir", str(tmp_path / "data"), "run"]
    environment = os.environ | {
        "SWITCHBOARD_SECRET": "a secret for tests only",
        "SWITCHBOARD_BATCH_RECORDS": "10",
    }
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as run:
        try:

            def loaded() -> int:
                asked = switchboard(
                    "query", "SELECT count() FROM communications", "--format", "TSV"
                )
                return int(asked.stdout)

            wait_until("some rows", lambda: loaded() > 0, 120)
            switchboard("backup", tmp_path / "kept")
            more = write_events(tmp_path / "more.jsonl", 60, 400)
            switchboard("ingest", "events", more)
        finally:
            run.terminate()
    switchboard("run", "--until-idle")
    wanted = rows_of(tmp_path / "data")
    switchboard("restore", tmp_path / "kept", data="again")
    switchboard("ingest", "events", events, more, data="again")
    switchboard("run", "--until-idle", data="again")
    assert rows_of(tmp_path / "again") == wanted


def test_a_backup_that_differs_from_its_manifest_is_rejected(
    switchboard: Command, tmp_path: Path
) -> None:
    switchboard("ingest", "events", write_events(tmp_path / "events.jsonl", 60))
    switchboard("run", "--until-idle")
    switchboard("backup", tmp_path / "kept")

    def copy(name: str) -> Path:
        return Path(shutil.copytree(tmp_path / "kept", tmp_path / name))

    bodies = copy("bodies")
    next(path for path in (bodies / "bodies").rglob("*") if path.is_file()).unlink()
    assert "missing or altered" in switchboard("restore", bodies, data="a", code=1).stderr

    log = copy("log")
    with sqlite3.connect(log / "log.sqlite") as file:
        file.execute("DELETE FROM records")
    assert "log.sqlite" in switchboard("restore", log, data="b", code=1).stderr

    rows = copy("rows")
    manifest = json.loads((rows / "manifest.json").read_text())
    manifest["tables"]["communication_rows"][0] = "1"
    (rows / "manifest.json").write_text(json.dumps(manifest))
    assert "communication_rows differ" in switchboard("restore", rows, data="c", code=1).stderr

    older = copy("older")
    manifest = json.loads((tmp_path / "kept" / "manifest.json").read_text())
    manifest["witnesses"] = [["00000000-0000-8000-8000-000000000000"]]
    (older / "manifest.json").write_text(json.dumps(manifest))
    assert "older than the offsets" in switchboard("restore", older, data="d", code=1).stderr

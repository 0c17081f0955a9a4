"""`run`, killed at random points with SIGKILL, leaves the same rows as an undisturbed run."""

import json
import os
import random
import shutil
import sqlite3
import time
from pathlib import Path

from pipeline.sinks.store_server import open_for_reading
from tests.e2e.conftest import Command
from tests.support.events import make_events
from tests.support.warm import WarmCommands

_EVENTS = 2_000
_KILLS = 10
_SEED = 20261122
# What of a row says when it was written, not what was written.
_CLOCKS = {
    "communications": "ingested_at",
    "business_events": "ingested_at",
    "dead_letters": "failed_at",
}
_VIEWS = (
    "communications",
    "business_events",
    "predictions",
    "customers",
    "links",
    "labels",
    "repeats",
    "dead_letters",
    "history",
)


def _progress(folder: Path) -> int:
    """Return how many records all stages have committed."""
    with sqlite3.connect(folder / "log.sqlite", timeout=30) as log:
        (total,) = log.execute('SELECT coalesce(sum("offset"), 0) FROM offsets').fetchone()
    log.close()
    return int(total)


def _rows(folder: Path) -> dict[str, list[str]]:
    warehouse = open_for_reading(folder)
    found = {}
    for view in _VIEWS:
        but = f" EXCEPT ({_CLOCKS[view]})" if view in _CLOCKS else ""
        found[view] = sorted(warehouse.query(f"SELECT *{but} FROM {view}").decode().splitlines())
    warehouse.close()
    return found


def test_ten_kills_change_no_row(switchboard: Command, warm: WarmCommands, tmp_path: Path) -> None:
    lines = [json.dumps(event, ensure_ascii=False) for event in make_events(_EVENTS)]
    poison = ["{broken", json.dumps(json.loads(lines[0]) | {"type": "comm.fax"}), lines[7]]
    (tmp_path / "events.jsonl").write_text("\n".join(lines + poison) + "\n", "utf-8")
    switchboard("ingest", "events", tmp_path / "events.jsonl", data="calm")
    # The same log for both, so that both know the same arrival times.
    shutil.copytree(tmp_path / "calm", tmp_path / "killed")
    switchboard("run", "--until-idle", data="calm")
    whole = _progress(tmp_path / "calm")

    chance = random.Random(_SEED)
    marks = sorted(chance.randrange(whole) for _ in range(_KILLS))
    environment = os.environ | {
        "SWITCHBOARD_SECRET": "a secret for tests only",
        "SWITCHBOARD_BATCH_RECORDS": "100",
    }
    command = ["--data-dir", str(tmp_path / "killed"), "run", "--until-idle"]
    killed = 0
    for mark in marks:
        process = warm.start(command, tmp_path, environment)
        while process.poll() is None and _progress(tmp_path / "killed") < mark:
            time.sleep(0.001)
        # Somewhere inside the next batches, be it a step, an insert or a commit.
        time.sleep(chance.uniform(0, 0.1))
        killed += process.poll() is None
        process.kill()
        process.wait()
    assert killed >= _KILLS // 2, f"only {killed} of {_KILLS} kills hit a working process"
    switchboard("run", "--until-idle", data="killed", SWITCHBOARD_BATCH_RECORDS="100")

    calm, after = _rows(tmp_path / "calm"), _rows(tmp_path / "killed")
    assert {view: len(rows) for view, rows in after.items()} == {
        view: len(rows) for view, rows in calm.items()
    }
    for view, rows in calm.items():
        assert after[view] == rows, view
    print(
        f"{killed} kills at {marks} of {whole}: {sum(map(len, calm.values()))} rows in"
        f" {len(_VIEWS)} views are the same"
    )

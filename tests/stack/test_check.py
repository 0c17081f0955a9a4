"""`switchboard check` on real servers finds rows that are gone; a replay brings them back."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Command
from tests.support.clickhouse_server import ClickHouseServer
from tests.support.events import make_events
from tests.support.installations import as_lines

pytestmark = pytest.mark.stack
_SUMS = "SELECT count(), sum(cityHash64(record_id, body_text)) FROM communications"


def check(command: Command, code: int, *options: str) -> list[dict[str, Any]]:
    done = command("check", "--json", *options, code=code)
    damages: list[dict[str, Any]] = json.loads(done.stdout)["damages"]
    return damages


@pytest.mark.timeout(600)
def test_rows_that_a_server_lost_are_found_and_loaded_again(
    on_servers: Command, servers: dict[str, str], clickhouse: ClickHouseServer, tmp_path: Path
) -> None:
    events = [event for event in make_events(60) if event["type"].startswith("comm.")]
    (tmp_path / "events.jsonl").write_text(as_lines(events), "utf-8")
    on_servers("ingest", "events", tmp_path / "events.jsonl")
    on_servers("run", "--until-idle")
    assert check(on_servers, 0, "--deep") == []
    wanted = on_servers("query", _SUMS, "--format", "TSV").stdout
    database = servers["SWITCHBOARD_WAREHOUSE"].partition("?")[0].rpartition("/")[2]
    clickhouse.client().execute(f"TRUNCATE TABLE {database}.communication_rows")
    damages = check(on_servers, 1)
    assert damages
    assert all("communication_rows lacks rows of" in item["message"] for item in damages)
    for line in dict.fromkeys(line for item in damages for line in item["commands"]):
        program, *words = shlex.split(line)
        assert program == "switchboard"
        if words[0] == "replay":
            on_servers(*words)
    on_servers("run", "--until-idle")
    assert on_servers("query", _SUMS, "--format", "TSV").stdout == wanted
    assert check(on_servers, 0, "--deep") == []

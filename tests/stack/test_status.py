"""`switchboard status` on real servers, with workers and topics.

A server that cannot be reached hides nothing of the other.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.runtime.kafka.broker import Broker
from pipeline.runtime.stages import KAFKA_STAGES, STAGES
from pipeline.sinks.migrations import migrations
from schemas.topics import TOPICS
from tests.e2e.conftest import Command
from tests.support.clickhouse_server import ClickHouseServer
from tests.support.events import make_events
from tests.support.installations import as_lines
from tests.support.stack import wait_until
from tests.support.warm import WarmCommands

pytestmark = pytest.mark.stack
_NOBODY = "127.0.0.1:1"


def status_of(command: Command, code: int = 0, **environment: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(command("status", "--json", code=code, **environment).stdout)
    return found


def test_servers_without_topics_and_tables(
    switchboard: Command, servers: dict[str, str], clickhouse: ClickHouseServer
) -> None:
    # An empty database, not none: libchdb aborts at the next connection after it has refused one to
    # a database that is not there.
    database = servers["SWITCHBOARD_WAREHOUSE"].partition("?")[0].rpartition("/")[2]
    clickhouse.client().execute(f"CREATE DATABASE {database}")
    found = status_of(switchboard, code=1, **servers)
    problems = {one["part"]: one["message"] for one in found["problems"]}
    assert "switchboard topics apply" in problems["topics"]
    assert "switchboard migrate" in problems["migrations"]
    assert len(found["migrations"]["missing"]) == len(migrations())
    switchboard("migrate", **servers)
    found = status_of(switchboard, code=1, **servers)
    assert "migrations" not in {one["part"] for one in found["problems"]}
    assert found["tables"]


@pytest.mark.timeout(600)
def test_status_shows_every_part(
    on_servers: Command, servers: dict[str, str], warm: WarmCommands, tmp_path: Path
) -> None:
    events = [event for event in make_events(60) if event["type"].startswith("comm.")]
    (tmp_path / "events.jsonl").write_text(as_lines(events), "utf-8")
    on_servers("ingest", "events", tmp_path / "events.jsonl")
    before = status_of(on_servers, code=1)
    (problem,) = before["problems"]
    assert problem["part"] == "workers"
    assert "enrich (" in problem["message"]
    assert before["workers"] == []
    assert set(before["topics"]) == set(TOPICS)
    behind = [row for row in before["stages"] if row["group"] == "enrich"]
    assert sum(row["records"] for row in behind) >= len(events)
    assert max(row["seconds"] for row in behind) > 0
    supervisor = warm.start(
        ["--data-dir", str(tmp_path / "data"), "run"], tmp_path, os.environ | servers
    )
    try:

        def caught_up() -> bool:
            # It exits with 1 until the workers have joined their groups.
            command = ["--data-dir", str(tmp_path / "data"), "status", "--json"]
            found = json.loads(warm.run(command, tmp_path, os.environ | servers).stdout)
            at_work = {worker["stage"] for worker in found["workers"]}
            return at_work == set(STAGES) and not any(row["records"] for row in found["stages"])

        wait_until("every stage to work and to catch up", caught_up, 480, every=0.3)
        found = status_of(on_servers)
        assert all(
            worker["partitions"] for worker in found["workers"] if worker["stage"] in KAFKA_STAGES
        )
        assert sum(row["rows"] for row in found["channels"]) == len(events)
        assert {row["connector"]: row["missing"] for row in found["accounts"]} == {"events": 0}
        assert found["models"]
        shown = on_servers("status").stdout
        for word in (
            "distributed",
            "records.v1",
            "communication_rows",
            found["workers"][0]["name"],
        ):
            assert word in shown
        assert "secret" not in shown
    finally:
        supervisor.terminate()
        supervisor.wait()


def test_a_server_that_is_away_hides_nothing_of_the_other(on_servers: Command) -> None:
    away = status_of(
        on_servers, code=1, SWITCHBOARD_WAREHOUSE=f"clickhouse://somebody:hidden@{_NOBODY}/history"
    )
    assert [one["part"] for one in away["problems"]] == ["warehouse"]
    assert _NOBODY in away["problems"][0]["message"]
    assert "hidden" not in json.dumps(away)
    assert away["tables"] is None
    assert set(away["topics"]) == set(TOPICS)
    away = status_of(on_servers, code=1, SWITCHBOARD_BROKER=_NOBODY)
    assert [one["part"] for one in away["problems"]] == ["log"]
    assert "does not answer" in away["problems"][0]["message"]
    assert away["stages"] is None
    assert away["spool"] == {"messages": 0, "bytes": 0}
    assert away["tables"]
    assert away["accounts"] == []


def test_spooled_messages_are_shown(on_servers: Command, tmp_path: Path) -> None:
    events = [event for event in make_events(5) if event["type"].startswith("comm.")]
    (tmp_path / "events.jsonl").write_text(as_lines(events), "utf-8")
    on_servers("ingest", "events", tmp_path / "events.jsonl", SWITCHBOARD_BROKER=_NOBODY)
    found = status_of(on_servers, code=1)
    assert found["spool"]["messages"] == len(events)
    assert ["switchboard spool" in one["message"] for one in found["problems"]] == [True]
    on_servers("spool")
    found = status_of(on_servers, code=1)
    assert found["spool"]["messages"] == 0
    assert ["no worker runs" in one["message"] for one in found["problems"]] == [True]


def test_topics_that_were_changed_by_hand_are_shown(
    on_servers: Command, servers: dict[str, str]
) -> None:
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

    entry = ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, "records.v1", incremental_configs=[entry])
    (future,) = (
        Broker(servers["SWITCHBOARD_BROKER"]).admin.incremental_alter_configs([resource]).values()
    )
    future.result()
    found = status_of(on_servers, code=1)
    ((part, message),) = [(one["part"], one["message"]) for one in found["problems"]]
    assert part == "topics"
    assert "records.v1" in message

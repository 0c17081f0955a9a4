"""The command line on real servers, with the commands that only operators of servers need."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import Command
from tests.support.events import make_events
from tests.support.installations import as_lines
from tests.support.stack import free_ports, wait_until

pytestmark = pytest.mark.stack
_SAMPLES = Path(__file__).resolve().parents[2] / "samples"


def test_the_whole_way_by_the_same_commands(on_servers: Command, tmp_path: Path) -> None:
    assert "match their declarations" in on_servers("topics", "apply", "--check").stderr
    assert "no migration is missing" in on_servers("migrate", "--check").stderr
    config = {"SWITCHBOARD_CONFIG": str(_SAMPLES / "switchboard.toml")}
    for connector, part in (
        ("email", "mail"),
        ("events", "events/chat.jsonl"),
        ("orders", "business/orders.csv"),
    ):
        on_servers("ingest", connector, _SAMPLES / part, **config)
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"broken\n', "utf-8")
    on_servers("ingest", "events", broken, **config)
    behind = {
        row["group"]: row["records"] for row in json.loads(on_servers("lag", "--json").stdout)
    }
    assert behind["enrich"] >= 0
    on_servers("run", "--until-idle", **config)
    assert not any(row["records"] for row in json.loads(on_servers("lag", "--json").stdout))
    status = json.loads(on_servers("status", "--json").stdout)
    assert {account["connector"]: account["missing"] for account in status["accounts"]} == {
        "email": 0,
        "events": 0,
        "orders": 0,
    }

    def letters_of(name: str) -> list[dict[str, object]]:
        listed = json.loads(on_servers("dlq", "list", "--json").stdout)
        return [letter for letter in listed if name in str(letter["locator"])]

    assert [letter["reason_code"] for letter in letters_of("broken.jsonl")] == ["unparsable"]
    assert (
        int(on_servers("query", "SELECT count() FROM conversations", "--format", "TSV").stdout) > 5
    )
    on_servers("dlq", "replay", "--all", code=1)
    on_servers("run", "--until-idle", **config)
    assert [(one["replays"], one["replay_outcome"]) for one in letters_of("broken.jsonl")] == [
        (1, "refused")
    ]
    assert json.loads(on_servers("history", "lin.xiaojie@example.com", "--json", **config).stdout)[
        "events"
    ]
    assert isinstance(json.loads(on_servers("followups", "--json").stdout), list)
    on_servers("report", "--out", tmp_path / "report.html", **config)
    assert "林晓洁" in (tmp_path / "report.html").read_text("utf-8")
    again = on_servers("ingest", "email", _SAMPLES / "mail", "--json", **config)
    assert json.loads(again.stdout)["published"] == 0, "the same files were read twice"


def test_settings_that_lack_something_say_what(
    switchboard: Command, servers: dict[str, str]
) -> None:
    only_broker = {"SWITCHBOARD_BROKER": servers["SWITCHBOARD_BROKER"]}
    assert "broker is set and warehouse is not" in switchboard("lag", code=1, **only_broker).stderr
    assert "SWITCHBOARD_BROKER" in switchboard("topics", "apply", code=1).stderr
    assert "there is no stage enritch" in switchboard("worker", "enritch", code=1, **servers).stderr
    missing = switchboard("worker", "enrich", code=1, **servers).stderr
    assert "run `switchboard topics apply`" in missing
    away = servers | {"SWITCHBOARD_BROKER": "127.0.0.1:1"}
    assert "does not answer" in switchboard("lag", code=1, **away).stderr


def _children(pid: int) -> list[int]:
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return [int(word) for word in listed.stdout.split()]


def _page(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return str(answer.read(), "utf-8")


def _sum(pages: list[str], name: str) -> float:
    families = [family for page in pages for family in text_string_to_metric_families(page)]
    return sum(
        sample.value for family in families for sample in family.samples if sample.name == name
    )


def _counted(on_servers: Command, wanted: int) -> Callable[[], bool]:
    def enough() -> bool:
        counted = on_servers("query", "SELECT count() FROM communications", "--format", "TSV")
        return int(counted.stdout) == wanted

    return enough


def test_workers_that_are_killed_come_back_and_sigterm_ends_them(
    on_servers: Command, servers: dict[str, str], tmp_path: Path
) -> None:
    events = [event for event in make_events(400) if event["type"].startswith("comm.")]
    (tmp_path / "events.jsonl").write_text(as_lines(events), "utf-8")
    ports = free_ports(3)
    log = open(tmp_path / "workers.log", "wb")  # noqa: SIM115  # for as long as the workers run
    keepers = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "pipeline",
                "--data-dir",
                str(tmp_path / "data"),
                "worker",
                *words,
            ],
            env=os.environ | servers | {"SWITCHBOARD_METRICS_PORT": str(port)},
            stderr=log,
        )
        for port, words in ((ports, ("enrich", "--processes", "2")), (ports + 2, ("load",)))
    ]
    try:
        wait_until("two children", lambda: len(_children(keepers[0].pid)) == 2)
        first = _children(keepers[0].pid)
        os.kill(first[0], signal.SIGKILL)
        wait_until("another child", lambda: len(set(_children(keepers[0].pid)) - set(first)) == 1)
        on_servers("ingest", "events", tmp_path / "events.jsonl")
        wait_until("all rows", _counted(on_servers, len(events)), 120, every=1)
        pages = [_page(ports + place) for place in range(3)]
        assert ['stage="enrich"' in page for page in pages] == [True, True, False]
        assert _sum(pages, "switchboard_records_total") >= 2 * len(events)
        # A worker whose keeper is gone ends by itself.
        orphans = _children(keepers[1].pid)
        keepers[1].kill()
        keepers[1].wait()
        wait_until(
            "the orphan to end",
            lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in orphans),
        )
        keepers[0].terminate()
        assert keepers[0].wait(60) == 0
        assert (tmp_path / "workers.log").read_text().count("ended by signal 9") == 1
    finally:
        for keeper in keepers:
            keeper.kill()
        log.close()


def test_the_secret_must_be_told_where_machines_share_the_work(
    switchboard: Command, servers: dict[str, str]
) -> None:
    servers = {name: value for name, value in servers.items() if name != "SWITCHBOARD_SECRET"}
    refused = switchboard("worker", "enrich", code=1, **(servers | {"SWITCHBOARD_SECRET": ""}))
    assert "secret" in refused.stderr

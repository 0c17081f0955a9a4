"""The runbook's changes on real servers, by its own commands: nothing is lost or doubled.

These are more partitions, replays, backups and a new schema.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.workspace import Workspace
from schemas.topics import RAW_CHAT, RECORDS
from tests.support.clickhouse_server import ClickHouseServer
from tests.support.events import make_events
from tests.support.installations import Embedded, Rows, as_lines, publish, rows_in, settings_in
from tests.support.kafka_server import KafkaServer
from tests.support.next_version import next_version
from tests.support.site import Entry, Site, whole_site
from tests.support.warm import WarmCommands

pytestmark = pytest.mark.stack
_ROOT = Path(__file__).resolve().parents[2]
_PARTS, _EVENTS = 4, 120


@pytest.fixture(scope="module")
def site(
    kafka: KafkaServer,
    clickhouse: ClickHouseServer,
    warm: WarmCommands,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """Return a site whose every stage has a worker."""
    yield from whole_site(
        Site(tmp_path_factory.mktemp("site"), kafka, clickhouse, "runbook_changes", warm)
    )


class SiteRows:
    """The site's rows, as an `Installation` that other workers run."""

    def __init__(self, site: Site) -> None:
        named = {
            name: site.environment[f"SWITCHBOARD_{name.upper()}"]
            for name in ("broker", "warehouse")
        }
        self.workspace = Workspace(settings_in(site.folder / "seen", **named))

    def run(self, *_: object) -> None:
        raise AssertionError("the site's own workers run")


def rows_of(site: Site) -> Rows:
    return rows_in(SiteRows(site))


def events(source: str, count: int, seed: int = 1) -> list[dict[str, Any]]:
    """Return events of all kinds of a source of their own."""
    return [event | {"source": source} for event in make_events(count, seed=seed)]


def test_partitions_are_added_while_events_flow(site: Site, book: dict[str, Entry]) -> None:
    entry = book["Add partitions, add workers"]
    told = list(make_events(_PARTS * _EVENTS, seed=21))
    parts = [as_lines(told[start::_PARTS]) for start in range(_PARTS)]
    paths = [site.publish("grow-0.jsonl", parts[0])]
    check, again = [line for line in entry.commands if "--check" in line]
    stop, grow, start = (
        entry.command("stop"),
        entry.command("--grow"),
        entry.command("docker compose start"),
    )
    shown = site.do(check, code=1)
    assert shown is not None
    assert "stop converse, then use --grow" in shown.stdout
    site.until("states", lambda: site.metric("switchboard_records_total", stage="converse") > 0)
    refused = site.do(grow, code=1)
    assert refused is not None
    assert "workers of converse run" in refused.stderr
    paths.append(site.publish("grow-1.jsonl", parts[1]))
    site.do(stop)
    # Events come in while partitions are added and states move.
    flow = threading.Thread(target=lambda: paths.append(site.publish("grow-2.jsonl", parts[2])))
    flow.start()
    done = site.do(grow)
    assert done is not None
    assert "states of converse moved to the new partitions" in done.stderr
    flow.join()
    paths.append(site.publish("grow-3.jsonl", parts[3]))
    site.do(start)
    site.ready()
    site.until("the stages to catch up", site.caught_up)
    site.do(again)
    _sees_new_partitions(site)
    calm = Embedded(site.folder / "calm")
    for path in paths:
        publish(calm, path)
    calm.run()
    wanted, found = rows_in(calm), rows_of(site)
    assert {view: len(rows) for view, rows in found.items()} == {
        view: len(rows) for view, rows in wanted.items()
    }
    assert found == wanted


def _sees_new_partitions(site: Site) -> None:
    held = {
        (stage, topic) for stage, topic in (("enrich", RAW_CHAT.name), ("converse", RECORDS.name))
    }
    for stage, topic in held:
        told = (f'switchboard_lag_records{{partition="11",stage="{stage}",topic="{topic}"}}',)
        site.until(
            f"{stage} to hold new partitions",
            lambda told=told: any(told[0] in (page or "") for page in site.scrape().values()),
        )


def test_a_stage_is_replayed(site: Site, book: dict[str, Entry]) -> None:
    entry = book["Replay a stage"]
    site.publish("replay.jsonl", as_lines(events("test/replay", 60)))
    site.until("the stages to catch up", site.caught_up)
    before = rows_of(site)
    # Somebody has deleted.
    for table in ("communication_rows", "delivery_rows", "conversation_fact_rows"):
        site.clickhouse.client(database=site.database).execute(f"TRUNCATE TABLE {table}")
    assert rows_of(site) != before
    shown, stop, yes, start, lag, audit = entry.commands
    site.do(shown, code=1)
    refused = site.do(yes, code=1)
    assert refused is not None
    assert "workers of load run" in refused.stderr
    site.do(stop)
    site.do(yes)
    behind = json.loads(site.call("lag", "--json").stdout)
    assert sum(row["records"] for row in behind if row["group"] == "load") > 60
    site.do(start)
    site.ready()
    site.until("the stages to catch up", site.caught_up)
    site.do(lag)
    assert site.metric("switchboard_records_total", stage="load") >= 60
    assert site.metric("switchboard_lag_records", stage="load") == 0
    assert rows_of(site) == before
    told = site.do(audit)
    assert told is not None
    assert RECORDS.name in told.stdout


def test_the_history_is_reclassified(site: Site, book: dict[str, Entry]) -> None:
    entry = book["Classify the history anew"]
    before = rows_of(site)
    handled = site.metric("switchboard_records_total", stage="load")
    for line in entry.commands[:3]:
        site.do(line)
    site.ready()
    site.until(
        "enrich to have read", lambda: site.metric("switchboard_records_total", stage="enrich") > 0
    )
    site.until("the stages to catch up", site.caught_up)
    for line in entry.commands[3:]:
        site.do(line)
    assert site.metric("switchboard_records_total", stage="load") > handled
    after = rows_of(site)
    assert set(before["predictions"]) <= set(after["predictions"])
    assert after == before


def test_a_backup_is_restored(site: Site, book: dict[str, Entry]) -> None:
    entry, folder = book["Back up and restore"], site.folder / "kept"
    backup, *steps, lag, status = entry.commands
    site.do(backup, FOLDER=folder)
    site.publish("later.jsonl", as_lines(events("test/later", 60)))
    site.until("the stages to catch up", site.caught_up)
    before, calm = rows_of(site), site.scrape()
    site.clickhouse.client().execute(f"DROP DATABASE {site.database} SYNC")
    site.publish("last.jsonl", as_lines(events("test/last", 20)))
    site.until("load to give up", lambda: site.supervisor("load").poll() is not None)
    assert "SwitchboardWorkerGone" in entry.alerts
    assert site.rings("SwitchboardWorkerGone", calm)
    for line in steps:
        site.do(line, **({"FOLDER": folder} if "FOLDER" in line else {}))
    site.ready()
    site.until("the stages to catch up", site.caught_up)
    site.do(lag)
    # No worker of live runs here, and records wait for it, which status reports by its exit code.
    site.do(status, code=1)
    answer = json.loads(site.call("status", "--json", code=1).stdout)
    assert not any(one["missing"] for one in answer["accounts"])
    assert site.metric("switchboard_lag_records", stage="load") == 0
    assert not site.rings("SwitchboardWorkerGone", site.scrape())
    assert _but_of("test/last", rows_of(site)["communications"]) == before["communications"]
    refused = site.call("restore", folder, code=1)
    assert "has rows" in refused.stderr or "workers of load run" in refused.stderr


def test_a_schema_is_upgraded(site: Site, book: dict[str, Entry], tmp_path: Path) -> None:
    entry = book["Upgrade a schema"]
    new = {"PYTHONPATH": str(next_version(tmp_path))}
    check, migrate, *stages, last_check, letters = entry.commands
    before = rows_of(site)
    told = [
        event
        for event in events("test/branch", 90, seed=9)
        if event["data"].get("channel") == "chat"
    ]
    for event in told[0::2]:
        event["data"]["branch"] = "徐汇店"
    early, old, fresh = told[:6], told[6::2], told[7::2]
    # A producer that could not wait: the old program keeps the field and does not know it.
    site.publish("early.jsonl", as_lines(early))
    site.until("the stages to catch up", site.caught_up)
    _by(site, new, check, code=1)
    _by(site, new, migrate)
    site.publish("between.jsonl", as_lines(old[:3]))
    site.until("old workers to load into new tables", site.caught_up)
    for line in stages:
        (service,) = [
            word for word in line.split() if word in ("load", "resolve", "converse", "enrich")
        ]
        site.programs[service] = new
        site.do(line)
    site.ready()
    both = [
        threading.Thread(target=site.publish, args=("old.jsonl", as_lines(old[3:]))),
        threading.Thread(target=_publish_by, args=(site, new, "fresh.jsonl", as_lines(fresh))),
    ]
    for one in both:
        one.start()
    for one in both:
        one.join()
    site.until("the stages to catch up", site.caught_up)
    _by(site, new, last_check)
    assert "0 dead letters" in _by(site, new, letters)
    assert site.metric("switchboard_outcomes_total", outcome="rejected", stage="load") == 0
    found = {row["event_id"]: row for row in _branches(site, new)}
    assert found.keys() == {event["id"] for event in told}
    for event in [*old, *fresh]:
        by_new = event in fresh or event in old[3:]
        assert found[event["id"]]["branch"] == (event["data"].get("branch", "") if by_new else "")
    assert any("徐汇店" in str(found[event["id"]]["attributes"]) for event in early)
    # What the old program took in is filled in by a replay.
    site.stop("enrich")
    _by(site, new, "switchboard replay enrich --from beginning --yes")
    site.start("enrich")
    site.ready()
    site.until("the stages to catch up", site.caught_up)
    found = {row["event_id"]: row for row in _branches(site, new)}
    assert {event["id"]: event["data"].get("branch", "") for event in told} == {
        name: row["branch"] for name, row in found.items()
    }
    assert _but_of("test/branch", rows_of_new(site, new)) == before["communications"]
    _examples_are_read(site, new)


def _but_of(source: str, rows: list[str]) -> list[str]:
    """Return the rows of all other sources."""
    kept = [row for row in rows if json.loads(row)["source"] != source]
    assert len(kept) < len(rows)
    return kept


def _by(site: Site, program: dict[str, str], line: str, code: int = 0) -> str:
    """Carry out a line of the runbook by another version of the program."""
    return site.call(*line.split()[1:], code=code, **program).stdout


def _publish_by(site: Site, program: dict[str, str], name: str, text: str) -> None:
    path = site.folder / name
    path.write_text(text, "utf-8")
    site.call("ingest", "events", path, **program)


def _branches(site: Site, program: dict[str, str]) -> list[dict[str, Any]]:
    sql = "SELECT event_id, branch, attributes FROM branches WHERE source = 'test/branch'"
    listed = site.call("query", sql, "--format", "JSONEachRow", **program).stdout
    return [json.loads(line) for line in listed.splitlines()]


def rows_of_new(site: Site, program: dict[str, str]) -> list[str]:
    """Return the communications as `rows_in` does, asked by another version of the program."""
    sql = "SELECT * EXCEPT (ingested_at, received_at) FROM communications"
    return sorted(site.call("query", sql, "--format", "JSONEachRow", **program).stdout.splitlines())


def _examples_are_read(site: Site, program: dict[str, str]) -> None:
    """Check that the new contracts read all examples of old versions."""
    script = (
        "import json, sys; from pathlib import Path; from pipeline.envelope import validate_data;"
        " from pipeline.outcomes import Reject\nfrom schemas.envelope import Event; from"
        " schemas.communications import MessageData\nassert 'branch' in"
        " MessageData.model_fields\npaths = sorted(Path(sys.argv[1]).glob('*.json')); assert"
        " len(paths) > 10\nfor path in paths:\n    data ="
        " validate_data(Event.model_validate(json.loads(path.read_text('utf-8'))))\n    assert not"
        " isinstance(data, Reject), (path, data)\n"
    )
    command = [sys.executable, "-c", script, str(_ROOT / "schemas/examples/valid")]
    done = subprocess.run(
        command, env=program, capture_output=True, text=True, check=False, cwd=site.folder
    )
    assert done.returncode == 0, done.stderr

"""The runbook's faults on real servers: the alert of each fires, its commands remedy it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from pipeline.envelope import encode_event, validate_data
from pipeline.log.clock import now_ms
from pipeline.outcomes import Reject
from schemas.envelope import Event, record_id_of
from schemas.topics import RAW_CHAT
from tests.support.clickhouse_server import ClickHouseServer
from tests.support.events import make_events
from tests.support.installations import as_lines
from tests.support.kafka_server import KafkaServer
from tests.support.site import Entry, Site, services, whole_site
from tests.support.stack import wait_until
from tests.support.warm import WarmCommands

pytestmark = pytest.mark.stack
_ROOT = Path(__file__).resolve().parents[2]
_KILLER = "KILLS-THE-PROCESS"
_OLD_MS = 600_000


@pytest.fixture(scope="module")
def site(
    kafka: KafkaServer,
    clickhouse: ClickHouseServer,
    warm: WarmCommands,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """Return a site whose every stage has a worker."""
    yield from whole_site(
        Site(tmp_path_factory.mktemp("site"), kafka, clickhouse, "runbook_faults", warm)
    )


def chats(source: str, count: int) -> list[dict[str, Any]]:
    """Return messages of a source of their own."""
    made = (event | {"source": source} for event in make_events(count * 3, seed=3))
    return [event for event in made if event["data"].get("channel") in ("chat", "sms", "social")][
        :count
    ]


def counted(site: Site, source: str) -> int:
    (row,) = site.rows(
        f"SELECT toUInt32(count()) AS n FROM communications WHERE source = '{source}'"
    )
    return int(row["n"])


def test_every_service_and_entry_that_the_page_names_is_there(book: dict[str, Entry]) -> None:
    lines = [line for entry in book.values() for line in entry.commands]
    named = {
        word
        for line in lines
        if "docker compose" in line
        for word in line.split()[3:]
        if not word.startswith("-")
    }
    assert named
    assert named <= services()
    assert all(entry.commands and (entry.alerts or entry.metrics) for entry in book.values())


def restarted(site: Site, service: str, fault: str = "") -> None:
    """Restart a service, with a fault of tests/support in its program, or without one."""
    site.stop(service)
    site.programs[service] = (
        {"PYTHONPATH": f"{_ROOT / 'tests/support' / fault}:{_ROOT}"} if fault else {}
    )
    site.start(service)
    site.ready()


def test_lag_grows(site: Site, book: dict[str, Entry]) -> None:
    restarted(site, "enrich", "slow")
    entry, before = book["Lag grows"], site.scrape()
    _put_old(site, chats("test/lag", 1_500))
    seen = site.until_rings("SwitchboardBehind", before)
    assert "SwitchboardBehind" in entry.alerts
    assert any("switchboard_lag_records{" in (page or "") for page in seen.values())
    for line in entry.commands:
        site.do(line)
    site.until("the stages to catch up", site.caught_up)
    site.until("the metric", lambda: site.metric("switchboard_behind_seconds") == 0)
    assert not site.rings("SwitchboardBehind", before)
    assert counted(site, "test/lag") == 1_500
    site.stop("another enrich")
    restarted(site, "enrich")


def _put_old(site: Site, events: list[dict[str, Any]]) -> None:
    """Put events on their topic as if Kafka had received them ten minutes ago."""
    from pipeline.runtime.kafka.broker import Broker

    admin = Broker(site.kafka.broker).admin

    def stamped_by(clock: str) -> None:
        entry = ConfigEntry(
            "message.timestamp.type", clock, incremental_operation=AlterConfigOpType.SET
        )
        resource = ConfigResource(ResourceType.TOPIC, RAW_CHAT.name, incremental_configs=[entry])
        for future in admin.incremental_alter_configs([resource]).values():
            future.result()

        def known() -> bool:
            (told,) = admin.describe_configs(
                [ConfigResource(ResourceType.TOPIC, RAW_CHAT.name)]
            ).values()
            return bool(told.result()["message.timestamp.type"].value == clock)

        wait_until("the broker to know", known)

    stamped_by("CreateTime")
    failed: list[object] = []
    producer = Producer({"bootstrap.servers": site.kafka.broker, "partitioner": "murmur2_random"})
    for told in events:
        event = Event.model_validate(told)
        data = validate_data(event)
        assert not isinstance(data, Reject)
        message = encode_event(event, data)
        headers = list(message.headers)
        producer.produce(
            message.topic,
            message.value,
            message.key,
            timestamp=now_ms() - _OLD_MS,
            headers=headers,
            on_delivery=lambda error, _: failed.append(error) if error else None,
        )
        producer.poll(0)
    producer.flush()
    assert not failed
    stamped_by("LogAppendTime")


def test_dead_letters_grow(site: Site, book: dict[str, Entry]) -> None:
    entry = book["Dead letters grow"]
    told = chats("test/letters", 150)
    rows = [
        {
            "record_id": str(record_id_of("default", "test/letters", event["id"])),
            "head": "need",
            "value": "complaint",
        }
        for event in told
    ]

    def label(name: str, some: list[dict[str, str]]) -> None:
        path = site.folder / name
        path.write_text("".join(json.dumps(row) + "\n" for row in some), "utf-8")
        site.call("labels", "import", path)

    # Of labels for records that nobody has sent yet; a series that Prometheus has not seen before
    # does not grow.
    label("first.jsonl", rows[:5])
    site.until(
        "the first refusals",
        lambda: site.metric("switchboard_outcomes_total", reason="unknown_record") >= 5,
    )
    before = site.scrape()
    label("rest.jsonl", rows[5:])
    site.until_rings("SwitchboardRejects", before)
    assert "SwitchboardRejects" in entry.alerts
    site.until("the letters in ClickHouse", lambda: len(_open(site)) == len(rows))
    listed, again = [line for line in entry.commands if "dlq list" in line]
    shown = site.do(listed, STAGE="resolve")
    assert shown is not None
    assert "unknown_record" in shown.stdout
    site.do(entry.command("dlq show"), LETTER=str(_open(site)[0]["dead_letter_id"]))
    # What is missing is let in.
    site.publish("letters.jsonl", as_lines(told))
    site.until("the records", lambda: counted(site, "test/letters") == len(told))
    site.do(entry.command("dlq replay"), STAGE="resolve", CODE="unknown_record")
    site.until("the letters to be accepted", lambda: not _open(site))
    shown = site.do(again, STAGE="resolve")
    assert shown is not None
    assert "0 dead letters" in shown.stdout
    cured = site.scrape()
    site.until("the labels", lambda: len(site.rows("SELECT label_id FROM labels")) >= len(rows))
    assert not site.rings("SwitchboardRejects", cured)


def _open(site: Site, code: str = "unknown_record") -> list[dict[str, Any]]:
    listed = site.call("dlq", "list", "--open", "--code", code, "--limit", "1000", "--json").stdout
    found: list[dict[str, Any]] = json.loads(listed)
    return found


def test_clickhouse_is_down(site: Site, book: dict[str, Entry]) -> None:
    entry = book["ClickHouse is down"]
    site.publish("before.jsonl", as_lines(chats("test/down/before", 20)))
    site.until("rows", lambda: counted(site, "test/down/before") == 20)
    site.clickhouse.kill()
    site.publish("down.jsonl", as_lines(chats("test/down", 100)))
    site.until("a retry", lambda: site.metric("switchboard_retries_total", reason="busy") > 0)
    before = site.scrape()
    site.until_rings("SwitchboardWarehouseAway", before)
    assert "SwitchboardWarehouseAway" in entry.alerts
    for line in entry.commands:
        site.do(line)
    site.until("the stages to catch up", site.caught_up)
    assert not site.rings("SwitchboardWarehouseAway", site.scrape())
    assert counted(site, "test/down") == 100


def test_a_broker_is_lost(site: Site, book: dict[str, Entry]) -> None:
    entry, before = book["A broker is lost"], site.scrape()
    assert not site.rings("SwitchboardBrokerAway", before)
    site.kafka.kill()
    path = site.publish("lost.jsonl", as_lines(chats("test/lost", 100)))
    site.until_rings("SwitchboardBrokerAway", before)
    assert "SwitchboardBrokerAway" in entry.alerts
    assert "100 remain" in site.call("spool", code=1).stderr
    for line in [line for line in entry.commands if "lag" not in line]:
        site.do(line)
    site.do(entry.command("lag"))
    site.until("the rows", lambda: counted(site, "test/lost") == 100, every=2)
    site.until("the stages to catch up", site.caught_up)
    site.until(
        "every worker to be answered", lambda: not site.rings("SwitchboardBrokerAway", before)
    )
    assert json.loads(site.call("ingest", "events", path, "--json").stdout)["published"] == 0


def test_a_worker_dies_again_and_again(site: Site, book: dict[str, Entry]) -> None:
    entry = book["A worker dies again and again"]
    restarted(site, "enrich", "crashing")
    told = chats("test/dies", 30)
    told[7]["data"]["text"] = f"我要退货 {_KILLER}"
    scrapes = {_started(site): site.scrape()}
    site.publish("dies.jsonl", as_lines(told))

    def again() -> bool:
        # One scrape of each process that answered: they live for seconds, Prometheus' minutes are
        # of no use here.
        scrapes.setdefault(_started(site), site.scrape())
        return site.metric("switchboard_outcomes_total", reason="crash") > 0

    site.until("the killer to be set aside", again, every=0.3)
    lives = [scrape for started, scrape in sorted(scrapes.items()) if started]
    assert site.rings("SwitchboardWorkerDies", *lives)
    assert site.rings("SwitchboardRecordKills", *lives)
    assert {"SwitchboardWorkerDies", "SwitchboardRecordKills"} <= set(entry.alerts)
    site.until("all others", lambda: counted(site, "test/dies") == len(told) - 1)
    site.until("the letter in ClickHouse", lambda: len(_open(site, "crash")) == 1)
    listed, last = [line for line in entry.commands if "dlq list" in line]
    assert listed == last
    (letter,) = _open(site, "crash")
    shown = site.do(entry.command("dlq show"), LETTER=str(letter["dead_letter_id"]))
    assert shown is not None
    assert _KILLER in shown.stdout
    # The mended program is the one without the fault.
    site.programs["enrich"] = {}
    site.do(entry.command("docker compose"))
    site.ready()
    site.do(entry.command("dlq replay"))
    site.until("the record", lambda: counted(site, "test/dies") == len(told))
    site.until("the letter to be accepted", lambda: not _open(site, "crash"))
    for alert in ("SwitchboardWorkerDies", "SwitchboardRecordKills"):
        assert not site.rings(alert, site.scrape())


def _started(site: Site) -> float:
    """Return when the worker of enrich that answers now was started, 0 where none does."""
    return site.metric("switchboard_started_timestamp_seconds", stage="enrich")

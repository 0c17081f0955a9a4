"""What a worker tells of itself: every metric declared, told by the hosts, served on its port."""

from __future__ import annotations

import re
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.commands.health_server import watched
from pipeline.commands.host_factory import embedded_host
from pipeline.errors import UserError
from pipeline.log.port import Message
from pipeline.metrics import METRICS, Meter
from schemas.topics import RAW_CHAT
from tests.support.events import make_events
from tests.support.installations import Embedded, as_lines, publish

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(page: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@contextmanager
def free_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def told(meter: Meter) -> None:
    """Tell a meter everything that a host may tell."""
    meter.turned("enrich")
    meter.held("enrich", 1_000)
    meter.batch("enrich", 3, {"take": 0.1, "handle": 0.2, "commit": 0.3}, {("raw.chat.v1", 0): 4})
    meter.retried("enrich", "busy")
    meter.inserted("load", 0.5)
    meter.watch_models("enrich", lambda: 7)


def test_every_metric_is_told_and_every_told_one_is_declared() -> None:
    meter = Meter()
    told(meter)
    families = {family.name for family in text_string_to_metric_families(meter.page().decode())}
    declared = {metric.name.removesuffix("_total") for metric in METRICS}
    assert families == declared
    for metric in METRICS:
        assert re.fullmatch(r"switchboard_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter")


def test_partitions_that_moved_away_are_told_no_more() -> None:
    meter = Meter()
    meter.batch("enrich", 1, {}, {("t", 0): 4, ("t", 1): 0})
    meter.idle("enrich", {("t", 1): 2})
    found = samples(meter.page().decode())
    assert value(found, "switchboard_lag_records", stage="enrich", topic="t", partition="1") == 2
    assert (
        "switchboard_lag_records",
        frozenset({"stage": "enrich", "topic": "t", "partition": "0"}.items()),
    ) not in found


def test_a_stage_is_behind_from_the_moment_it_holds_a_record_until_nothing_is_left() -> None:
    meter = Meter()

    def behind() -> float:
        return value(samples(meter.page().decode()), "switchboard_behind_seconds", stage="enrich")

    meter.held("enrich", 0)
    seen = behind()
    assert seen > 1_000_000
    # Whoever waits for a server commits nothing, and falls further behind all the same.
    assert behind() > seen
    meter.batch("enrich", 1, {}, {("t", 0): 2})
    # Nothing came, but something is left: that is not being caught up.
    meter.idle("enrich", {("t", 0): 2})
    assert behind() > seen
    meter.batch("enrich", 2, {}, {("t", 0): 0})
    assert behind() == 0
    meter.held("enrich", 0)
    meter.idle("enrich", {})
    assert behind() == 0


def test_the_embedded_host_tells_what_became_of_records(tmp_path: Path) -> None:
    with free_port() as port:
        pass
    installation = Embedded(tmp_path / "data", metrics_port=port)
    events = [event for event in make_events(60) if event["type"].startswith("comm.")]
    (tmp_path / "events.jsonl").write_text(as_lines(events), "utf-8")
    publish(installation, tmp_path / "events.jsonl")
    with installation.workspace.log() as log, log.transaction() as transaction:
        transaction.produce([Message(RAW_CHAT.name, b"k", b"{broken")])
    with embedded_host(installation.workspace) as host:
        while host.turn():
            pass
        status, page = get(port, "/metrics")
    assert status == 200
    found = samples(page)
    assert value(found, "switchboard_records_total", stage="enrich") == len(events) + 1
    assert value(
        found, "switchboard_outcomes_total", stage="enrich", outcome="emitted", reason=""
    ) == len(events)
    assert (
        value(
            found,
            "switchboard_outcomes_total",
            stage="enrich",
            outcome="rejected",
            reason="unparsable",
        )
        == 1
    )
    assert value(found, "switchboard_batch_records_sum", stage="load") >= len(events)
    assert value(found, "switchboard_insert_seconds_count", stage="load") >= 1
    assert value(found, "switchboard_behind_seconds", stage="enrich") == 0


def test_health_says_whether_a_worker_turns() -> None:
    meter = Meter()
    with watched(meter, "127.0.0.1", 0) as port:
        assert (get(port, "/healthz")[0], get(port, "/readyz")[0]) == (200, 503)
        meter.turned("enrich")
        assert (get(port, "/healthz")[0], get(port, "/readyz")[0]) == (200, 200)
        assert meter.turned_at is not None
        meter.turned_at -= 301
        assert get(port, "/healthz")[0] == 503
        assert get(port, "/secrets")[0] == 404


def test_a_taken_port_is_an_error_that_says_what_to_do() -> None:
    with (
        watched(Meter(), "127.0.0.1", 0) as port,
        pytest.raises(UserError, match="SWITCHBOARD_METRICS_PORT"),
        watched(Meter(), "127.0.0.1", port),
    ):
        pass

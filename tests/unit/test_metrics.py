"""Metrics: every one is declared, updated by the hosts, and served on the metrics port."""

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

from pipeline.commands.health_server import serve_health
from pipeline.commands.host_factory import embedded_host
from pipeline.errors import UserError
from pipeline.log.port import LogRecord, Message
from pipeline.metrics import METRICS, BatchMeter, Meter
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


def value(values: Samples, name: str, **labels: str) -> float:
    return values[name, frozenset(labels.items())]


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


def fill(meter: Meter) -> None:
    """Call every method by which a host updates a meter."""
    meter.heartbeat("enrich")
    meter.batch_started("enrich", 1_000)
    meter.batch_committed(
        "enrich", 3, {"take": 0.1, "handle": 0.2, "commit": 0.3}, {("raw.chat.v1", 0): 4}
    )
    meter.batch_retried("enrich", "busy")
    meter.insert_finished("load", 0.5)
    meter.register_model_offset("enrich", lambda: 7)


def test_exported_metrics_are_exactly_the_declared_ones() -> None:
    meter = Meter()
    fill(meter)
    families = {family.name for family in text_string_to_metric_families(meter.render().decode())}
    declared = {metric.name.removesuffix("_total") for metric in METRICS}
    assert families == declared
    for metric in METRICS:
        assert re.fullmatch(r"switchboard_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter")


def test_a_batch_meter_measures_every_part_of_a_batch() -> None:
    meter = Meter()
    batch = BatchMeter(meter, "enrich")
    batch.received([LogRecord("t", 0, 0, 0, None, b"")])
    in_flight = samples(meter.render().decode())
    assert value(in_flight, "switchboard_behind_seconds", stage="enrich") > 1_000_000
    for records in (2, 1):
        batch.handled()
        batch.committed(records)
    batch.retried("aborted")
    values = samples(meter.render().decode())
    assert value(values, "switchboard_records_total", stage="enrich") == 3
    assert value(values, "switchboard_retries_total", stage="enrich", reason="aborted") == 1
    assert value(values, "switchboard_behind_seconds", stage="enrich") == 0
    counts = {
        part: value(values, "switchboard_batch_seconds_count", stage="enrich", part=part)
        for part in ("take", "handle", "commit")
    }
    assert counts == {"take": 1, "handle": 2, "commit": 2}


def test_lag_of_revoked_partitions_is_removed() -> None:
    meter = Meter()
    meter.batch_committed("enrich", 1, {}, {("t", 0): 4, ("t", 1): 0})
    meter.poll_empty("enrich", {("t", 1): 2})
    values = samples(meter.render().decode())
    assert value(values, "switchboard_lag_records", stage="enrich", topic="t", partition="1") == 2
    assert (
        "switchboard_lag_records",
        frozenset({"stage": "enrich", "topic": "t", "partition": "0"}.items()),
    ) not in values


def test_a_stage_is_behind_from_its_first_record_until_no_lag_is_left() -> None:
    meter = Meter()

    def behind() -> float:
        return value(samples(meter.render().decode()), "switchboard_behind_seconds", stage="enrich")

    meter.batch_started("enrich", 0)
    first = behind()
    assert first > 1_000_000
    # A stage that waits for a server commits nothing, and its age grows.
    assert behind() > first
    meter.batch_committed("enrich", 1, {}, {("t", 0): 2})
    # An empty poll with remaining lag is not being caught up.
    meter.poll_empty("enrich", {("t", 0): 2})
    assert behind() > first
    meter.batch_committed("enrich", 2, {}, {("t", 0): 0})
    assert behind() == 0
    meter.batch_started("enrich", 0)
    meter.poll_empty("enrich", {})
    assert behind() == 0


def test_the_embedded_host_exports_outcomes(tmp_path: Path) -> None:
    with free_port() as port:
        pass
    installation = Embedded(tmp_path / "data", metrics_port=port)
    events = [event for event in make_events(60) if event["type"].startswith("comm.")]
    (tmp_path / "events.jsonl").write_text(as_lines(events), "utf-8")
    publish(installation, tmp_path / "events.jsonl")
    with installation.workspace.open_log() as log, log.transaction() as transaction:
        transaction.produce([Message(RAW_CHAT.name, b"k", b"{broken")])
    with embedded_host(installation.workspace) as host:
        while host.run_once():
            pass
        status, page = get(port, "/metrics")
    assert status == 200
    values = samples(page)
    assert value(values, "switchboard_records_total", stage="enrich") == len(events) + 1
    assert value(
        values, "switchboard_outcomes_total", stage="enrich", outcome="emitted", reason=""
    ) == len(events)
    assert (
        value(
            values,
            "switchboard_outcomes_total",
            stage="enrich",
            outcome="rejected",
            reason="unparsable",
        )
        == 1
    )
    assert value(values, "switchboard_batch_records_sum", stage="load") >= len(events)
    assert value(values, "switchboard_insert_seconds_count", stage="load") >= 1
    assert value(values, "switchboard_behind_seconds", stage="enrich") == 0


def test_health_depends_on_the_heartbeat() -> None:
    meter = Meter()
    with serve_health(meter, "127.0.0.1", 0) as port:
        assert (get(port, "/healthz")[0], get(port, "/readyz")[0]) == (200, 503)
        meter.heartbeat("enrich")
        assert (get(port, "/healthz")[0], get(port, "/readyz")[0]) == (200, 200)
        assert meter.last_heartbeat is not None
        meter.last_heartbeat -= 301
        assert get(port, "/healthz")[0] == 503
        assert get(port, "/secrets")[0] == 404


def test_a_port_in_use_is_an_error_that_names_the_setting() -> None:
    with (
        serve_health(Meter(), "127.0.0.1", 0) as port,
        pytest.raises(UserError, match="SWITCHBOARD_METRICS_PORT"),
        serve_health(Meter(), "127.0.0.1", port),
    ):
        pass

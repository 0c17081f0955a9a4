"""Every metric of a worker, declared once, and the meter that hosts update.

Prometheus scrapes the meter on the worker's metrics port.

Names and units follow https://prometheus.io/docs/practices/naming/: base units, `_total` on what
only grows.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client import Counter as Total
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from pipeline.log.port import LogRecord, TopicPartition

# The creation time of a series is of no use here, and would be an undeclared metric for each
# declared one.
disable_created_metrics()  # type: ignore[no-untyped-call]


Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """The name, kind, meaning and labels of a metric; a histogram has upper bounds in its unit."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()


METRICS: list[MetricDefinition] = []
"""All metrics in the order of their declaration: a declaration is all that a new metric needs."""


def _declare(
    name: str,
    kind: Kind,
    meaning: str,
    labels: tuple[str, ...],
    buckets: tuple[float, ...] = (),
) -> MetricDefinition:
    METRICS.append(MetricDefinition(name, kind, meaning, labels, buckets))
    return METRICS[-1]


# From a batch that takes no noticeable time to one near the limit of the watchdog (240 s).
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
_RECORDS = (1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0)

RECORDS = _declare(
    "switchboard_records_total",
    "counter",
    "Records that a stage has handled and committed.",
    ("stage",),
)
OUTCOMES = _declare(
    "switchboard_outcomes_total",
    "counter",
    "Outcomes of records: emitted, loaded, dropped or rejected, with the reason; a record that is"
    " handled twice counts twice.",
    ("stage", "outcome", "reason"),
)
RETRIES = _declare(
    "switchboard_retries_total",
    "counter",
    "Batches that were read again: `busy`: the warehouse was unreachable or overloaded; `aborted`:"
    " their transaction was aborted.",
    ("stage", "reason"),
)
BATCH_RECORDS = _declare(
    "switchboard_batch_records", "histogram", "Records in a batch.", ("stage",), _RECORDS
)
BATCH_SECONDS = _declare(
    "switchboard_batch_seconds",
    "histogram",
    "Seconds of a batch by part: `take`: waiting for its records; `handle`: the stage; `commit`:"
    " outputs and offsets.",
    ("stage", "part"),
    _SECONDS,
)
INSERT_SECONDS = _declare(
    "switchboard_insert_seconds",
    "histogram",
    "Seconds until the rows of a batch were durable in ClickHouse, including the time to build"
    " them.",
    ("stage",),
    _SECONDS,
)
BEHIND_SECONDS = _declare(
    "switchboard_behind_seconds",
    "gauge",
    "Age of the oldest record in flight, by the log's clock; 0 if the stage has caught up.",
    ("stage",),
)
LAG_RECORDS = _declare(
    "switchboard_lag_records",
    "gauge",
    "Unhandled records of a partition that this worker owns, as of its last fetch.",
    ("stage", "topic", "partition"),
)
MODEL_OFFSET = _declare(
    "switchboard_model_offset",
    "gauge",
    "Offset of the last example that the models of the worker have learnt.",
    ("stage",),
)
LAST_HEARTBEAT = _declare(
    "switchboard_last_turn_timestamp_seconds",
    "gauge",
    "When the worker last polled for records or finished a batch, in seconds since 1970.",
    ("stage",),
)
BROKER_UP = _declare(
    "switchboard_broker_up",
    "gauge",
    "1 if Kafka answered the worker's last request, 0 if it did not; an idle worker asks every ten"
    " seconds.",
    ("stage",),
)
STARTED = _declare(
    "switchboard_started_timestamp_seconds",
    "gauge",
    "When the worker's process started to run the stage, in seconds since 1970.",
    ("stage",),
)


class Stopwatch:
    """Measures the seconds of the parts of a batch."""

    def __init__(self) -> None:
        self._at = time.perf_counter()
        self._taken: dict[str, float] = {}

    def lap(self, part: str) -> None:
        """Add the seconds since the last call to a part."""
        now = time.perf_counter()
        self._taken[part] = self._taken.get(part, 0.0) + now - self._at
        self._at = now

    def take_laps(self) -> dict[str, float]:
        """Return the seconds of each part, and start again from zero."""
        taken, self._taken = self._taken, {}
        return taken


class Meter:
    """The metrics of one process: hosts update them, threads of the metrics server render them."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._counters: dict[str, Total] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        for metric in METRICS:
            self._create(metric)
        self._lagging: dict[str, set[TopicPartition]] = {}
        self._outcomes = _Outcomes()
        self._registry.register(self._outcomes)
        self.last_heartbeat: float | None = None

    def _create(self, metric: MetricDefinition) -> None:
        described = metric.name, metric.meaning, metric.labels
        if metric is OUTCOMES:
            return
        if metric.kind == "counter":
            self._counters[metric.name] = Total(*described, registry=self._registry)
        elif metric.kind == "gauge":
            self._gauges[metric.name] = Gauge(*described, registry=self._registry)
        else:
            self._histograms[metric.name] = Histogram(
                *described, buckets=metric.buckets, registry=self._registry
            )

    def _count(self, metric: MetricDefinition, *labels: str, by: int = 1) -> None:
        self._counters[metric.name].labels(*labels).inc(by)

    def _gauge(self, metric: MetricDefinition, *labels: str) -> Gauge:
        return self._gauges[metric.name].labels(*labels)

    def _observe(self, metric: MetricDefinition, value: float, *labels: str) -> None:
        self._histograms[metric.name].labels(*labels).observe(value)

    def start_stage(self, stage: str, counts: Counter[str]) -> None:
        """Note that this process runs a stage from now on, and export the counts of its handler.

        The counts are `emitted`, `loaded`, `dropped:REASON` and `rejected:CODE`.
        """
        self._outcomes.counts[stage] = counts
        self._gauge(STARTED, stage).set_to_current_time()

    def register_model_offset(self, stage: str, offset: Callable[[], float]) -> None:
        """Export the offset of the last example that a stage's models have learnt."""
        self._gauge(MODEL_OFFSET, stage).set_function(offset)

    def broker_answered(self, stage: str, *, up: bool) -> None:
        """Note whether Kafka answered the last request."""
        self._gauge(BROKER_UP, stage).set(up)

    def heartbeat(self, stage: str) -> None:
        """Note that the host of a stage is alive."""
        self.last_heartbeat = time.monotonic()
        self._gauge(LAST_HEARTBEAT, stage).set_to_current_time()

    def batch_started(self, stage: str, oldest_ms: int) -> None:
        """Note that a batch is in flight, with the append time of its oldest record (ms).

        Its age is computed when the metric is read, so it grows until the batch is committed.
        """
        self._gauge(BEHIND_SECONDS, stage).set_function(
            lambda: max(time.time() - oldest_ms / 1000, 0.0)
        )

    def batch_committed(
        self,
        stage: str,
        records: int,
        seconds: Mapping[str, float],
        left: Mapping[TopicPartition, int],
    ) -> None:
        """Note a committed batch: its records, the seconds of its parts, and the remaining lag."""
        self._count(RECORDS, stage, by=records)
        self._observe(BATCH_RECORDS, records, stage)
        for part, taken in seconds.items():
            self._observe(BATCH_SECONDS, taken, stage, part)
        self._left(stage, left)

    def poll_empty(self, stage: str, left: Mapping[TopicPartition, int]) -> None:
        """Note a poll without records; the lag may still be positive if the broker is away."""
        self._left(stage, left)

    def _left(self, stage: str, records: Mapping[TopicPartition, int]) -> None:
        """Set the lag of the partitions that the worker owns, and remove that of all others.

        Without any lag the stage has caught up.
        """
        if not any(records.values()):
            self._gauge(BEHIND_SECONDS, stage).set_function(lambda: 0.0)
        for topic, partition in self._lagging.get(stage, set()) - records.keys():
            self._gauges[LAG_RECORDS.name].remove(stage, topic, str(partition))
        for (topic, partition), left in records.items():
            self._gauge(LAG_RECORDS, stage, topic, str(partition)).set(left)
        self._lagging[stage] = set(records)

    def batch_retried(self, stage: str, reason: Literal["busy", "aborted"]) -> None:
        """Count a batch that is read again."""
        self._count(RETRIES, stage, reason)

    def insert_finished(self, stage: str, seconds: float) -> None:
        """Note the seconds of an insert."""
        self._observe(INSERT_SECONDS, seconds, stage)

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class BatchMeter:
    """Measures one poll of a stage and its batch, in the same way on every host.

    A host creates it before it polls, and calls `received` or `empty`, `handled`, then `committed`
    or `retried`. Of a batch that is committed in parts, each part is `handled` and `committed`.
    """

    def __init__(self, meter: Meter, stage: str) -> None:
        self._meter = meter
        self._stage = stage
        self._clock = Stopwatch()
        meter.heartbeat(stage)

    def received(self, records: Sequence[LogRecord]) -> None:
        """Note the records of the batch, which is in flight from now on."""
        self._clock.lap("take")
        if records:
            oldest_ms = min(record.timestamp_ms for record in records)
            self._meter.batch_started(self._stage, oldest_ms)

    def empty(self, lag: Mapping[TopicPartition, int] | None = None) -> None:
        """Note that there were no records."""
        self._meter.poll_empty(self._stage, lag or {})

    def handled(self) -> None:
        """Note that the stage handled the batch."""
        self._clock.lap("handle")

    def retried(self, reason: Literal["busy", "aborted"]) -> None:
        """Note that the batch has to be handled again."""
        self._meter.batch_retried(self._stage, reason)

    def committed(self, records: int, lag: Mapping[TopicPartition, int] | None = None) -> None:
        """Note that the batch, or a part with so many records, was committed."""
        self._clock.lap("commit")
        self._meter.heartbeat(self._stage)
        self._meter.batch_committed(self._stage, records, self._clock.take_laps(), lag or {})


class _Outcomes(Collector):
    """Reads the counters of handlers when it is scraped, so counting costs handlers nothing."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {}

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(OUTCOMES.name, OUTCOMES.meaning, labels=OUTCOMES.labels)
        for stage, counts in self.counts.items():
            for what, count in list(counts.items()):
                outcome, _, reason = what.partition(":")
                family.add_metric((stage, outcome, reason), count)
        yield family

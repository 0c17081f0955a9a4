"""Every metric of a worker, declared once, and the meter that hosts update.

Prometheus scrapes the meter on the worker's metrics port.

Names and units follow https://prometheus.io/docs/practices/naming/: base units, `_total` on what
only grows.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
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

from pipeline.log.port import TopicPartition

# The creation time of a series is of no use here, and would be an undeclared metric for each
# declared one.
disable_created_metrics()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """The name, kind, meaning and labels of a metric; a histogram has upper bounds in its unit."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()


# From a batch that takes no noticeable time to one near the limit of the watchdog (240 s).
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
_RECORDS = (1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0)

RECORDS = MetricDefinition(
    "switchboard_records_total",
    "counter",
    "Records that a stage has handled and committed.",
    ("stage",),
)
OUTCOMES = MetricDefinition(
    "switchboard_outcomes_total",
    "counter",
    "Outcomes of records: emitted, loaded, dropped or rejected, with the reason; a record that is"
    " handled twice counts twice.",
    ("stage", "outcome", "reason"),
)
RETRIES = MetricDefinition(
    "switchboard_retries_total",
    "counter",
    "Batches that were read again: `busy`: the warehouse was unreachable or overloaded; `aborted`:"
    " their transaction was aborted.",
    ("stage", "reason"),
)
BATCH_RECORDS = MetricDefinition(
    "switchboard_batch_records", "histogram", "Records in a batch.", ("stage",), _RECORDS
)
BATCH_SECONDS = MetricDefinition(
    "switchboard_batch_seconds",
    "histogram",
    "Seconds of a batch by part: `take`: waiting for its records; `handle`: the stage; `commit`:"
    " outputs and offsets.",
    ("stage", "part"),
    _SECONDS,
)
INSERT_SECONDS = MetricDefinition(
    "switchboard_insert_seconds",
    "histogram",
    "Seconds until the rows of a batch were durable in ClickHouse, including the time to build"
    " them.",
    ("stage",),
    _SECONDS,
)
BEHIND_SECONDS = MetricDefinition(
    "switchboard_behind_seconds",
    "gauge",
    "Age of the oldest record in flight, by the log's clock; 0 if the stage has caught up.",
    ("stage",),
)
LAG_RECORDS = MetricDefinition(
    "switchboard_lag_records",
    "gauge",
    "Unhandled records of a partition that this worker owns, as of its last fetch.",
    ("stage", "topic", "partition"),
)
MODEL_OFFSET = MetricDefinition(
    "switchboard_model_offset",
    "gauge",
    "Offset of the last example that the models of the worker have learnt.",
    ("stage",),
)
LAST_HEARTBEAT = MetricDefinition(
    "switchboard_last_turn_timestamp_seconds",
    "gauge",
    "When the worker last polled for records or finished a batch, in seconds since 1970.",
    ("stage",),
)
BROKER_UP = MetricDefinition(
    "switchboard_broker_up",
    "gauge",
    "1 if Kafka answered the worker's last request, 0 if it did not; an idle worker asks every ten"
    " seconds.",
    ("stage",),
)
STARTED = MetricDefinition(
    "switchboard_started_timestamp_seconds",
    "gauge",
    "When the worker's process started to run the stage, in seconds since 1970.",
    ("stage",),
)

METRICS = (
    RECORDS,
    OUTCOMES,
    RETRIES,
    BATCH_RECORDS,
    BATCH_SECONDS,
    INSERT_SECONDS,
    BEHIND_SECONDS,
    LAG_RECORDS,
    MODEL_OFFSET,
    LAST_HEARTBEAT,
    BROKER_UP,
    STARTED,
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
        self._records = self._total(RECORDS)
        self._retries = self._total(RETRIES)
        self._batch_records = self._histogram(BATCH_RECORDS)
        self._batch_seconds = self._histogram(BATCH_SECONDS)
        self._insert_seconds = self._histogram(INSERT_SECONDS)
        self._behind = self._gauge(BEHIND_SECONDS)
        self._lag = self._gauge(LAG_RECORDS)
        self._model = self._gauge(MODEL_OFFSET)
        self._turn = self._gauge(LAST_HEARTBEAT)
        self._broker = self._gauge(BROKER_UP)
        self._started = self._gauge(STARTED)
        self._lagging: dict[str, set[TopicPartition]] = {}
        self._outcomes = _Outcomes()
        self._registry.register(self._outcomes)
        self.last_heartbeat: float | None = None

    def _total(self, definition: MetricDefinition) -> Total:
        return Total(
            definition.name, definition.meaning, definition.labels, registry=self._registry
        )

    def _gauge(self, definition: MetricDefinition) -> Gauge:
        return Gauge(
            definition.name, definition.meaning, definition.labels, registry=self._registry
        )

    def _histogram(self, definition: MetricDefinition) -> Histogram:
        return Histogram(
            definition.name,
            definition.meaning,
            definition.labels,
            buckets=definition.buckets,
            registry=self._registry,
        )

    def register_outcomes(self, stage: str, counts: Counter[str]) -> None:
        """Export a handler's counts: `emitted`, `loaded`, `dropped:REASON`, `rejected:CODE`."""
        self._outcomes.counts[stage] = counts

    def register_model_offset(self, stage: str, offset: Callable[[], float]) -> None:
        """Export the offset of the last example that a stage's models have learnt."""
        self._model.labels(stage).set_function(offset)

    def stage_started(self, stage: str) -> None:
        """Note that this process starts to run a stage."""
        self._started.labels(stage).set_to_current_time()

    def broker_answered(self, stage: str, *, up: bool) -> None:
        """Note whether Kafka answered the last request."""
        self._broker.labels(stage).set(up)

    def heartbeat(self, stage: str) -> None:
        """Note that the host of a stage is alive."""
        self.last_heartbeat = time.monotonic()
        self._turn.labels(stage).set_to_current_time()

    def batch_started(self, stage: str, oldest_ms: int) -> None:
        """Note that a batch is in flight, with the append time of its oldest record (ms).

        Its age is computed when the metric is read, so it grows until the batch is committed.
        """
        self._behind.labels(stage).set_function(lambda: max(time.time() - oldest_ms / 1000, 0.0))

    def batch_committed(
        self,
        stage: str,
        records: int,
        seconds: Mapping[str, float],
        left: Mapping[TopicPartition, int],
    ) -> None:
        """Note a committed batch: its records, the seconds of its parts, and the remaining lag."""
        self._records.labels(stage).inc(records)
        self._batch_records.labels(stage).observe(records)
        for part, taken in seconds.items():
            self._batch_seconds.labels(stage, part).observe(taken)
        self._left(stage, left)

    def poll_empty(self, stage: str, left: Mapping[TopicPartition, int]) -> None:
        """Note a poll without records; the lag may still be positive if the broker is away."""
        self._left(stage, left)

    def _left(self, stage: str, records: Mapping[TopicPartition, int]) -> None:
        """Set the lag of the partitions that the worker owns, and remove that of all others.

        Without any lag the stage has caught up.
        """
        if not any(records.values()):
            self._behind.labels(stage).set_function(lambda: 0.0)
        for topic, partition in self._lagging.get(stage, set()) - records.keys():
            self._lag.remove(stage, topic, str(partition))
        for (topic, partition), left in records.items():
            self._lag.labels(stage, topic, str(partition)).set(left)
        self._lagging[stage] = set(records)

    def batch_retried(self, stage: str, reason: Literal["busy", "aborted"]) -> None:
        """Count a batch that is read again."""
        self._retries.labels(stage, reason).inc()

    def insert_finished(self, stage: str, seconds: float) -> None:
        """Note the seconds of an insert."""
        self._insert_seconds.labels(stage).observe(seconds)

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)


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

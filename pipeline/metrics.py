"""Every metric of a worker, declared once: name, labels, meaning. Hosts tell a `Meter`, Prometheus
reads it on the worker's port.

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

# When a series was first told is of use to nobody here, and would be one undeclared series for each
# declared one.
disable_created_metrics()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Declared:
    """A metric: its name, what it tells, its labels; `buckets` are a histogram's upper bounds, in
    its unit.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()


# From a batch that nobody notices to one that is near the watchdog's end (240 s).
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
_RECORDS = (1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0)

RECORDS = Declared(
    "switchboard_records_total",
    "counter",
    "Records that a stage has handled and committed.",
    ("stage",),
)
OUTCOMES = Declared(
    "switchboard_outcomes_total",
    "counter",
    "What became of records: emitted, loaded, dropped or rejected, and why; a record handled twice"
    " counts twice.",
    ("stage", "outcome", "reason"),
)
RETRIES = Declared(
    "switchboard_retries_total",
    "counter",
    "Batches taken back to be handled again: `busy`: the warehouse was away or overloaded;"
    " `aborted`: their transaction was.",
    ("stage", "reason"),
)
BATCH_RECORDS = Declared(
    "switchboard_batch_records", "histogram", "Records in a batch.", ("stage",), _RECORDS
)
BATCH_SECONDS = Declared(
    "switchboard_batch_seconds",
    "histogram",
    "Seconds that a batch took: `take`: waiting for its records; `handle`: the stage; `commit`:"
    " outputs and offsets.",
    ("stage", "part"),
    _SECONDS,
)
INSERT_SECONDS = Declared(
    "switchboard_insert_seconds",
    "histogram",
    "Seconds until a batch's rows were durable in ClickHouse, making the rows included.",
    ("stage",),
    _SECONDS,
)
BEHIND_SECONDS = Declared(
    "switchboard_behind_seconds",
    "gauge",
    "Age of the oldest record that a stage holds and has not committed, by the log's clock; 0 where"
    " it has caught up.",
    ("stage",),
)
LAG_RECORDS = Declared(
    "switchboard_lag_records",
    "gauge",
    "Records of a partition that this worker holds and has not handled, as of its last fetch.",
    ("stage", "topic", "partition"),
)
MODEL_OFFSET = Declared(
    "switchboard_model_offset",
    "gauge",
    "Offset of the last example that the worker's models have learnt.",
    ("stage",),
)
LAST_TURN = Declared(
    "switchboard_last_turn_timestamp_seconds",
    "gauge",
    "When the worker last asked for records or finished a batch, in seconds since 1970.",
    ("stage",),
)
BROKER_UP = Declared(
    "switchboard_broker_up",
    "gauge",
    "1 where Kafka answered the worker's last request, 0 where it did not; a worker that gets"
    " nothing asks every ten seconds.",
    ("stage",),
)
STARTED = Declared(
    "switchboard_started_timestamp_seconds",
    "gauge",
    "When the worker's process began to serve the stage, in seconds since 1970.",
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
    LAST_TURN,
    BROKER_UP,
    STARTED,
)


class Stopwatch:
    """Seconds of the parts of a batch."""

    def __init__(self) -> None:
        self._at = time.perf_counter()
        self._taken: dict[str, float] = {}

    def lap(self, part: str) -> None:
        """End a part."""
        now = time.perf_counter()
        self._taken[part] = self._taken.get(part, 0.0) + now - self._at
        self._at = now

    def taken(self) -> dict[str, float]:
        """Return the seconds of each part since the last call."""
        taken, self._taken = self._taken, {}
        return taken


class Meter:
    """What one process has to tell of its stages. Hosts write it, the port's threads read it."""

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
        self._turn = self._gauge(LAST_TURN)
        self._broker = self._gauge(BROKER_UP)
        self._started = self._gauge(STARTED)
        self._lagging: dict[str, set[TopicPartition]] = {}
        self._outcomes = _Outcomes()
        self._registry.register(self._outcomes)
        self.turned_at: float | None = None

    def _total(self, one: Declared) -> Total:
        return Total(one.name, one.meaning, one.labels, registry=self._registry)

    def _gauge(self, one: Declared) -> Gauge:
        return Gauge(one.name, one.meaning, one.labels, registry=self._registry)

    def _histogram(self, one: Declared) -> Histogram:
        return Histogram(
            one.name, one.meaning, one.labels, buckets=one.buckets, registry=self._registry
        )

    def watch_outcomes(self, stage: str, counts: Counter[str]) -> None:
        """Tell what a stage's handler counts: `emitted`, `loaded`, `dropped:REASON`,
        `rejected:CODE`.
        """
        self._outcomes.counts[stage] = counts

    def watch_models(self, stage: str, offset: Callable[[], float]) -> None:
        """Tell how far a stage's models have learnt."""
        self._model.labels(stage).set_function(offset)

    def started(self, stage: str) -> None:
        """Say that this process serves a stage from now on."""
        self._started.labels(stage).set_to_current_time()

    def broker(self, stage: str, *, up: bool) -> None:
        """Say whether Kafka has answered."""
        self._broker.labels(stage).set(up)

    def turned(self, stage: str) -> None:
        """Say that a host is alive."""
        self.turned_at = time.monotonic()
        self._turn.labels(stage).set_to_current_time()

    def held(self, stage: str, oldest_ms: int) -> None:
        """Say that a batch is in hand, and when the log took its oldest record (ms since 1970); its
        age is told as it grows.
        """
        self._behind.labels(stage).set_function(lambda: max(time.time() - oldest_ms / 1000, 0.0))

    def batch(
        self,
        stage: str,
        records: int,
        seconds: Mapping[str, float],
        left: Mapping[TopicPartition, int],
    ) -> None:
        """Tell of a batch that is committed: its records, the seconds of its parts, and what is
        left of each partition.
        """
        self._records.labels(stage).inc(records)
        self._batch_records.labels(stage).observe(records)
        for part, taken in seconds.items():
            self._batch_seconds.labels(stage, part).observe(taken)
        self._left(stage, left)

    def idle(self, stage: str, left: Mapping[TopicPartition, int]) -> None:
        """Say that nothing came, though something may be left: where the broker is away, nothing
        comes either.
        """
        self._left(stage, left)

    def _left(self, stage: str, records: Mapping[TopicPartition, int]) -> None:
        """Tell what is left of each partition that the worker holds; those that it held before are
        told no more.

        Where nothing is left of any, the stage has caught up.
        """
        if not any(records.values()):
            self._behind.labels(stage).set_function(lambda: 0.0)
        for topic, partition in self._lagging.get(stage, set()) - records.keys():
            self._lag.remove(stage, topic, str(partition))
        for (topic, partition), left in records.items():
            self._lag.labels(stage, topic, str(partition)).set(left)
        self._lagging[stage] = set(records)

    def retried(self, stage: str, reason: Literal["busy", "aborted"]) -> None:
        """Tell of a batch that goes back."""
        self._retries.labels(stage, reason).inc()

    def inserted(self, stage: str, seconds: float) -> None:
        """Tell how long an insert took."""
        self._insert_seconds.labels(stage).observe(seconds)

    def page(self) -> bytes:
        """Return all of it in Prometheus' text format."""
        return generate_latest(self._registry)


class _Outcomes(Collector):
    """Reads what handlers count when it is asked, so that counting costs them nothing more."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {}

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(OUTCOMES.name, OUTCOMES.meaning, labels=OUTCOMES.labels)
        for stage, counts in self.counts.items():
            for what, count in list(counts.items()):
                outcome, _, reason = what.partition(":")
                family.add_metric((stage, outcome, reason), count)
        yield family

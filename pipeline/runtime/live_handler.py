"""Hosts the live fold: decodes its topics, and returns states and alerts as messages."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from pipeline.log.clock import Clock, utc_now
from pipeline.log.contract_messages import encode_contract
from pipeline.log.dead_letters import record_dead_letter
from pipeline.log.port import LogRecord, Message, StateStore, TopicPartition, TopicReader
from pipeline.outcomes import Reject
from pipeline.processors.live.alerts import AlertMonitor
from pipeline.processors.live.live_fold import fold
from pipeline.processors.live.observations import (
    Observation,
    WaitingUpdate,
    observe_business,
    observe_conversation,
    observe_record,
)
from pipeline.processors.live.view import LiveView
from pipeline.runtime.runner import step_error_rejection
from pipeline.runtime.stages import LIVE_TOPICS, decode_contract
from schemas.conversations import Conversation
from schemas.live import Alert
from schemas.topics import ALERTS, BUSINESS, LIVE_STATE, RECORDS

# Alerts of the last two days may still be open: the largest window has a day.
_RECENT_MS = 2 * 86_400_000
# Alerts are short; this many are below a MiB.
_SCAN_RECORDS = 1_000

# What a record shows, with its offset.
OffsetItem = tuple[int, Observation | WaitingUpdate]


@dataclass
class LiveBatch:
    """The observations of a batch by topic and partition, in order, and its dead letters."""

    by_partition: dict[TopicPartition, list[OffsetItem]]
    dead_letters: list[Message]
    counts: Counter[str]


def read_observations(records: Iterable[LogRecord], clock: Clock = utc_now) -> LiveBatch:
    """Return the observations of a batch; a partition without any has an empty list."""
    batch = LiveBatch(defaultdict(list), [], Counter())
    for record in records:
        observations = batch.by_partition[record.topic, record.partition]
        try:
            observation = _observe(record)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            rejection = _rejection(record, error)
            batch.dead_letters.append(record_dead_letter("live", record, rejection, clock()))
            batch.counts[f"rejected:{rejection.code}"] += 1
            continue
        batch.counts["emitted" if observation else "dropped:nothing to count"] += 1
        if observation is not None:
            observations.append((record.offset, observation))
    return batch


def _observe(record: LogRecord) -> Observation | WaitingUpdate | None:
    if record.topic == RECORDS.name:
        return observe_record(orjson.loads(record.value))
    if record.topic == BUSINESS.name:
        return observe_business(orjson.loads(record.value))
    # Of the outputs of converse only conversations say who waits for an answer.
    return (
        observe_conversation(orjson.loads(record.value))
        if record.header("sb_contract") == Conversation.__name__
        else None
    )


def _rejection(record: LogRecord, error: Exception) -> Reject:
    """Return the rejection of a record that cannot be read, by its contract if that is broken."""
    contract = decode_contract(record)
    return contract if isinstance(contract, Reject) else step_error_rejection(error)


def alert_message(alert: Alert) -> Message:
    """Return the message of an alert."""
    return encode_contract(ALERTS.name, str(alert.alert_id), alert)


def recent_alerts(reader: TopicReader, now_ms: int) -> list[Alert]:
    """Return the last version of the alerts that may be open; raises as `TopicReader.scan` does."""
    alerts: dict[Any, Alert] = {}
    start = 0
    while records := reader.scan(ALERTS.name, 0, start, _SCAN_RECORDS):
        start = records[-1].offset + 1
        for record in records:
            if record.timestamp_ms > now_ms - _RECENT_MS:
                alert = Alert.model_validate_json(record.value)
                alerts[alert.alert_id] = alert
    return list(alerts.values())


@dataclass
class LiveHandler:
    """The stage `live` on the embedded host: states and alerts commit with the batch.

    A batch without records of the last day, as in an import of old records, costs little more than
    reading it.
    """

    states: StateStore
    view: LiveView
    alerts: AlertMonitor
    clock: Clock = utc_now
    name: str = "live"
    topics: tuple[str, ...] = LIVE_TOPICS
    counts: Counter[str] = field(default_factory=Counter)

    def handle(self, records: Sequence[LogRecord]) -> list[Message]:
        """Return the changed state, alerts and dead letters; see `Handler.handle`."""
        now_ms = int(self.clock().timestamp() * 1000)
        batch = read_observations(records, self.clock)
        self.counts.update(batch.counts)
        messages, counted = batch.dead_letters, False
        for (topic, partition), observations in batch.by_partition.items():
            changed = fold(partition, topic, observations, self._reader(partition), now_ms)
            self.view.apply(changed.items())
            messages += [
                Message(LIVE_STATE.name, key, value, partition=partition)
                for key, value in changed.items()
            ]
            counted = counted or any(changed.values())
        if counted:
            past = self.view.evict(now_ms)
            messages += [
                Message(LIVE_STATE.name, key.dump(), b"", partition=key.partition) for key in past
            ]
            messages += map(alert_message, self.alerts.check(self.view, now_ms))
        return messages

    def _reader(self, partition: int) -> Callable[[Sequence[bytes]], dict[bytes, bytes]]:
        return lambda keys: self.states.read_states(LIVE_STATE.name, partition, keys)

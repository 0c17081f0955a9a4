"""The handler of the live fold, and the stage `live` of the embedded host with view and alerts."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pipeline.cpu_limit import paused
from pipeline.log.clock import Clock, utc_now
from pipeline.log.contract_messages import encode_contract
from pipeline.log.port import LogRecord, Message, StateStore, TopicReader
from pipeline.outcomes import Context, Drop, Reject
from pipeline.processors.live.alerts import AlertMonitor
from pipeline.processors.live.live_fold import LiveFold, LiveUpdate, LiveValue, state_updates
from pipeline.processors.live.observations import (
    Observation,
    WaitingUpdate,
    observe_business,
    observe_conversation,
    observe_record,
)
from pipeline.processors.live.view import LiveView
from pipeline.runtime.fold_handler import FoldHandler
from pipeline.runtime.record_guard import attempt, error_rejection
from pipeline.runtime.stages import LIVE_TOPICS, decode_contract, samples_of
from schemas.conversations import Conversation
from schemas.live import Alert
from schemas.topics import ALERTS, BUSINESS, LIVE_STATE, RECORDS

logger = logging.getLogger(__name__)

# Alerts of the last two days may still be open: the largest window has a day.
_RECENT_MS = 2 * 86_400_000
# Alerts are short; this many are below a MiB.
_SCAN_RECORDS = 1_000

LiveItem = Observation | WaitingUpdate
"""What a record shows: an observation to count, or who waits for an answer."""


def live_fold_handler(
    states: StateStore, clock: Clock = utc_now, counts: Counter[str] | None = None
) -> FoldHandler[LiveValue, LiveItem, LiveUpdate]:
    """Return the handler of the live fold, which every host of live runs."""
    return FoldHandler(
        "live",
        LIVE_TOPICS,
        _decode,
        LiveFold(),
        dict.fromkeys(LIVE_TOPICS, LIVE_STATE.name),
        states,
        clock=clock,
        counts=Counter() if counts is None else counts,
        route=_route,
        samples=lambda: samples_of(LIVE_TOPICS),
    )


def _route(record: LogRecord, item: LiveItem, ctx: Context) -> Iterator[tuple[bytes, LiveUpdate]]:
    now_ms = int(ctx.now.timestamp() * 1000)
    for key, update in state_updates(record.partition, record.topic, record.offset, item, now_ms):
        yield key.dump(), update


def _decode(record: LogRecord) -> LiveItem | Drop | Reject:
    try:
        item = _observe(record)
    except ValueError as error:
        contract = decode_contract(record)
        return contract if isinstance(contract, Reject) else error_rejection(error)
    return Drop("nothing to count") if item is None else item


def _observe(record: LogRecord) -> LiveItem | None:
    if record.topic == RECORDS.name:
        return observe_record(record.value)
    if record.topic == BUSINESS.name:
        return observe_business(record.value)
    # Of the outputs of converse only conversations say who waits for an answer.
    return (
        observe_conversation(record.value)
        if record.header("sb_contract") == Conversation.__name__
        else None
    )


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
            if record.timestamp_ms <= now_ms - _RECENT_MS:
                continue
            alert = attempt(partial(Alert.model_validate_json, record.value))
            if isinstance(alert, Exception):
                # `load` makes a dead letter of it.
                logger.warning("Invalid alert at offset %d skipped: %s", record.offset, alert)
            else:
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

    def __post_init__(self) -> None:
        self._fold = live_fold_handler(self.states, self.clock, self.counts)

    def handle(self, records: Sequence[LogRecord]) -> list[Message]:
        """Return the changed states, alerts and dead letters; see `Handler.handle`."""
        messages = self._fold.handle(records)
        changed = [
            (message.key or b"", message.value)
            for message in messages
            if message.topic == LIVE_STATE.name
        ]
        self.view.apply(changed)
        if any(value for _, value in changed):
            now_ms = int(self.clock().timestamp() * 1000)
            messages += [
                Message(LIVE_STATE.name, key.dump(), b"", partition=key.partition)
                for key in self.view.evict(now_ms)
            ]
            # This belongs to no record, and the first check imports a library.
            with paused():
                messages += map(alert_message, self.alerts.check(self.view, now_ms))
        return messages

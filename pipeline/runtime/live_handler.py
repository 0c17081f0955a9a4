"""How live is hosted: decoding what it reads, its state as messages of a compacted topic, its
alerts; embedded, this is a stage.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from pipeline.envelope import contract_message
from pipeline.log.port import LogRecord, Message, Scan, States
from pipeline.outcomes import Reject
from pipeline.processors.live.alerts import Watch
from pipeline.processors.live.live_fold import fold
from pipeline.processors.live.observations import (
    Part,
    Sighting,
    business_seen,
    part_seen,
    record_seen,
)
from pipeline.processors.live.view import View
from pipeline.runtime.runner import Clock, dead_letter_message, step_error, utc_now
from pipeline.runtime.stages import LIVE_TOPICS, decode_contract
from schemas.conversations import Conversation
from schemas.live import Alert
from schemas.topics import ALERTS, BUSINESS, LIVE_STATE, RECORDS

# Alerts of a day and a bit: those that may still be open.
_RECALLED_MS = 2 * 86_400_000
_SCANNED = 1_000

Lane = tuple[str, int]
Seen = tuple[int, Sighting | Part]


@dataclass
class Sightings:
    """What a batch of the log shows, by topic and partition, in order, and the dead letters of what
    could not be read.
    """

    lanes: dict[Lane, list[Seen]]
    refused: list[Message]
    counts: Counter[str]


def sightings(records: Iterable[LogRecord], clock: Clock = utc_now) -> Sightings:
    """Read a batch; every topic and partition that it has is a lane, even where it shows
    nothing.
    """
    found = Sightings(defaultdict(list), [], Counter())
    for record in records:
        lane = found.lanes[record.topic, record.partition]
        try:
            seen = _seen(record)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            refusal = _refusal(record, error)
            found.refused.append(dead_letter_message("live", record, refusal, clock()))
            found.counts[f"rejected:{refusal.code}"] += 1
            continue
        found.counts["emitted" if seen else "dropped:nothing to count"] += 1
        if seen is not None:
            lane.append((record.offset, seen))
    return found


def _seen(record: LogRecord) -> Sighting | Part | None:
    if record.topic == RECORDS.name:
        return record_seen(orjson.loads(record.value))
    if record.topic == BUSINESS.name:
        return business_seen(orjson.loads(record.value))
    # Of what converse tells, conversations say who waits; facts, follow-ups and flags say nothing
    # more of it.
    return (
        part_seen(orjson.loads(record.value))
        if record.header("sb_contract") == Conversation.__name__
        else None
    )


def _refusal(record: LogRecord, error: Exception) -> Reject:
    """Return what the contract says is wrong with a record that cannot be read."""
    said = decode_contract(record)
    return said if isinstance(said, Reject) else step_error(error)


def alert_message(alert: Alert) -> Message:
    """Return the message that tells an alert."""
    return contract_message(ALERTS.name, str(alert.alert_id), alert)


def recent_alerts(scan: Scan, now_ms: int) -> list[Alert]:
    """Return the alerts that may still be open, as last told; raises as `Scan.scan` does."""
    told: dict[Any, Alert] = {}
    start = 0
    while records := scan.scan(ALERTS.name, 0, start, _SCANNED):
        start = records[-1].offset + 1
        for record in records:
            if record.timestamp_ms > now_ms - _RECALLED_MS:
                alert = Alert.model_validate_json(record.value)
                told[alert.alert_id] = alert
    return list(told.values())


@dataclass
class LiveHandler:
    """The stage `live` of the embedded host: its state and its alerts are messages of the batch's
    own transaction.

    A batch without anything of the last day, as in an import of old records, costs little more than
    reading it.
    """

    states: States
    view: View
    watch: Watch
    clock: Clock = utc_now
    name: str = "live"
    topics: tuple[str, ...] = LIVE_TOPICS
    counts: Counter[str] = field(default_factory=Counter)

    def handle(self, records: Sequence[LogRecord]) -> list[Message]:
        """Return the changed state, alerts and dead letters; see `Handler.handle`."""
        now_ms = int(self.clock().timestamp() * 1000)
        found = sightings(records, self.clock)
        self.counts.update(found.counts)
        messages, counted = found.refused, False
        for (topic, partition), seen in found.lanes.items():
            changed = fold(partition, topic, seen, self._reader(partition), now_ms)
            self.view.apply(changed.items())
            messages += [
                Message(LIVE_STATE.name, key, value, partition=partition)
                for key, value in changed.items()
            ]
            counted = counted or any(changed.values())
        if counted:
            past = self.view.forget(now_ms)
            messages += [
                Message(LIVE_STATE.name, key.dump(), b"", partition=key.partition) for key in past
            ]
            messages += map(alert_message, self.watch.look(self.view, now_ms))
        return messages

    def _reader(self, partition: int) -> Callable[[Sequence[bytes]], dict[bytes, bytes]]:
        return lambda keys: self.states.states(LIVE_STATE.name, partition, keys)

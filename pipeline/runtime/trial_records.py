"""Records of every kind that a sound release handles; a stage that fails on them is at fault.

They are used once in a while, when most records of a batch fail (record_guard.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import orjson

from pipeline.envelope import IncomingEvent, decode_event
from pipeline.identity.contacts import OwnSide
from pipeline.log.port import LogRecord
from pipeline.outcomes import Context, NoModels, Reject, run_checked
from pipeline.processors.identify import Identity
from pipeline.runtime.record_guard import output_messages
from pipeline.runtime.sample_events import sample_events

_AT = datetime(2026, 12, 1, 10, tzinfo=UTC)
_CUSTOMER = {"phone": "+14155550100", "name": "Anna"}
# A mail and a chat are in `sample_events`; these are the other contracts of raw topics.
_DATA = {
    "comm.call.completed": {
        "channel": "call",
        "from": _CUSTOMER,
        "answered_at": "2026-12-01T09:58:00Z",
        "ended_at": "2026-12-01T10:00:00Z",
        "transcript": "Where is my parcel?",
    },
    "crm.order.created": {
        "order_id": "A-1",
        "customer": _CUSTOMER,
        "amount": "12.50",
        "currency": "EUR",
    },
    "crm.feedback.given": {"customer": _CUSTOMER, "rating": 4, "scale_max": 5, "text": "很满意"},
    "crm.complaint.opened": {
        "complaint_id": "C-1",
        "customer": _CUSTOMER,
        "reason": "delivery",
        "text": "It is late.",
    },
    "crm.customer.updated": {"customer": _CUSTOMER, "city": "上海"},
    "comm.label.given": {
        "record_id": "8c4dd2da-6c13-8adb-b97b-e8d1692daec3",
        "head": "need",
        "value": "price_inquiry",
    },
}


def trial_events() -> list[IncomingEvent]:
    """Return an event of every kind; raises ValueError if decoding rejects one."""
    events = sample_events()
    for kind, data in _DATA.items():
        event = {
            "specversion": "1.0",
            "id": kind,
            "source": "switchboard",
            "type": kind,
            "time": _AT.isoformat(),
            "data": data,
        }
        record = LogRecord(
            "",
            0,
            len(events),
            int(_AT.timestamp() * 1000),
            b"k",
            orjson.dumps(event),
            [("content-type", b"application/cloudevents+json")],
        )
        decoded = decode_event(record)
        if isinstance(decoded, Reject):
            raise ValueError(f"the sample {kind} was rejected: {decoded.detail}")
        events.append(decoded)
    return events


def trial_records(topics: Sequence[str]) -> list[LogRecord]:
    """Return what enrich makes of the events, as records of some derived topics.

    >>> [record.topic for record in trial_records(["labels.v1"])]
    ['labels.v1']
    """
    from pipeline.processors.enrich import enrich_step

    step = enrich_step(Identity(b"sample", OwnSide()))
    outcomes = run_checked(step, trial_events(), Context(_AT, NoModels()))
    source = LogRecord("", 0, 0, int(_AT.timestamp() * 1000), None, b"")
    return [
        LogRecord(
            message.topic, 0, offset, source.timestamp_ms, message.key, message.value,
            message.headers,
        )
        for outcome in outcomes
        for offset, message in enumerate(output_messages(source, outcome))
        if message.topic in topics
    ]  # fmt: skip

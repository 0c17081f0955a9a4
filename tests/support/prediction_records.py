"""Records and example messages for tests of predictions in the history."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pipeline.log.port import Message
from schemas.records import Delivery, Record
from schemas.topics import EXAMPLES
from schemas.types import Channel, Direction

_NOW = datetime(2026, 11, 20, tzinfo=UTC)


def record_of(number: int, text: str, **fields: Any) -> Record:
    """Return the record of a customer's chat message with this text."""
    defaults = {
        "occurred_at": _NOW,
        "direction": Direction.INBOUND,
        "language": "en",
        "predictions": {},
    } | fields
    return Record(
        record_id=UUID(int=number << 64 | number),
        source="test",
        event_id=str(number),
        event_type="comm.message.received",
        received_at=_NOW,
        channel=Channel.CHAT,
        kind="message",
        conversation_id=UUID(int=1),
        body_text=text,
        reply_text=text,
        redacted_text=text,
        delivery=Delivery(sha256="0" * 64),
        **defaults,
    )


def example_message(head: str, value: str, text: str, number: int) -> Message:
    """Return the message of an example."""
    body = {
        "kind": "example",
        "label_id": str(UUID(int=number)),
        "record_id": str(UUID(int=number)),
        "head": head,
        "value": value,
        "source": "person",
        "weight": 1.0,
        "text": text,
        "labelled_at": "2026-11-20T00:00:00Z",
    }
    return Message(EXAMPLES.name, None, json.dumps(body).encode(), (("sb_contract", b"Example"),))

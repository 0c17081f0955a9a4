"""Encodes and decodes events on the log: CloudEvents in Kafka's binary mode.

Structured mode is decoded too.
https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/kafka-protocol-binding.md
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from pydantic import ValidationError

from pipeline.log.port import LogRecord, Message
from pipeline.outcomes import Reject
from schemas.dead_letters import RejectCode
from schemas.envelope import Event, record_id_of
from schemas.registry import EVENT_TYPES, contract_of, explain, raw_topic_of
from schemas.types import Contract

_PREFIX = "ce_"
_STRUCTURED = "application/cloudevents+json"
_JSON = (("content-type", b"application/json"),)


@dataclass(frozen=True, slots=True)
class IncomingEvent:
    """A validated event read from the log, with the time of its append and the hash of its body."""

    event: Event
    data: Contract
    record_id: UUID
    appended_at: datetime
    body_sha256: str


def validate_data(event: Event) -> Contract | Reject:
    """Return an event's data as its contract, or the rejection that names the wrong fields."""
    contract = contract_of(event.type, event.data)
    if contract is None:
        known = ", ".join(EVENT_TYPES)
        return Reject(
            RejectCode.UNKNOWN_TYPE, f"type: unknown event type {event.type!r}; use one of {known}"
        )
    try:
        return contract.model_validate(event.data)
    except ValidationError as error:
        return Reject(*explain(error, "data"))


def encode_event(event: Event, data: Contract) -> Message:
    """Return the message of a validated event for its raw topic, keyed by its record id."""
    headers: dict[str, Any] = event.model_dump(mode="json", exclude={"data"}, exclude_none=True)
    return Message(
        topic=raw_topic_of(type(data)).name,
        key=record_id_of(event.tenant, event.source, event.id).bytes,
        value=orjson.dumps(event.data),
        headers=tuple(
            (_PREFIX + name, str(value).encode()) for name, value in headers.items() if value != ""
        )
        + _JSON,
    )


def decode_event(record: LogRecord) -> IncomingEvent | Reject:
    """Return the event in a record of a raw topic, or the rejection.

    It rejects broken JSON, missing attributes, and data that violate their contract.
    """
    try:
        event = _event(record)
    except orjson.JSONDecodeError as error:
        return Reject(RejectCode.UNPARSABLE, f"value: not JSON in UTF-8: {error}")
    except ValidationError as error:
        return Reject(*explain(error))
    data = validate_data(event)
    if isinstance(data, Reject):
        return data
    return IncomingEvent(
        event=event,
        data=data,
        record_id=record_id_of(event.tenant, event.source, event.id),
        appended_at=datetime.fromtimestamp(record.timestamp_ms / 1000, UTC),
        body_sha256=hashlib.sha256(record.value).hexdigest(),
    )


def _event(record: LogRecord) -> Event:
    body = orjson.loads(record.value)
    if record.header("content-type").casefold().startswith(_STRUCTURED):
        return Event.model_validate(body)
    attributes = {
        name.removeprefix(_PREFIX): (value or b"").decode("utf-8", "replace")
        for name, value in record.headers
        if name.startswith(_PREFIX)
    }
    return Event.model_validate({**attributes, "data": body})

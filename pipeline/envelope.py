"""Events on the log and off it: CloudEvents in Kafka's binary mode, structured mode read too.

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
    """An event that kept its contract, with what the log adds: when it took the event, and the hash
    of the event's body.
    """

    event: Event
    data: Contract
    record_id: UUID
    appended_at: datetime
    body_sha256: str


def validate_data(event: Event) -> Contract | Reject:
    """Return an event's data under its contract, or why not, naming the field."""
    contract = contract_of(event.type, event.data)
    if contract is None:
        known = ", ".join(EVENT_TYPES)
        return Reject(RejectCode.UNKNOWN_TYPE, f"type: {event.type!r} is none of {known}")
    try:
        return contract.model_validate(event.data)
    except ValidationError as error:
        return Reject(*explain(error, "data"))


def encode_event(event: Event, data: Contract) -> Message:
    """Return the message that carries a checked event on its raw topic, keyed by the record it will
    be.
    """
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
    """Return the event of a raw topic's record, or why it is none: broken JSON, a missing
    attribute, a broken contract.
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

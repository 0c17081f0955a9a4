"""Encodes and decodes events on the log: CloudEvents in Kafka's binary mode.

The attributes are `ce_` headers, the value is the event's data: JSON, or for a mail its own bytes,
with the other fields of the data as JSON in the header `sb_data`. Structured mode, and a mail in
JSON (`mime` in base64), are decoded too.

https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/kafka-protocol-binding.md
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import orjson
from pydantic import ValidationError

from pipeline.log.port import Headers, LogRecord, Message
from pipeline.outcomes import Reject
from schemas.communications import EmailData, email_from_bytes
from schemas.dead_letters import RejectCode
from schemas.envelope import Event, record_id_of
from schemas.registry import EVENT_TYPES, contract_of, explain, raw_topic_of
from schemas.types import Contract

_PREFIX = "ce_"
_STRUCTURED = "application/cloudevents+json"
_MAIL = "message/rfc822"
_JSON_TYPE = ("content-type", b"application/json")
_MAIL_TYPE = ("content-type", _MAIL.encode())
_ATTRIBUTES = tuple(name for name in Event.model_fields if name != "data")
# The fields of a mail's data beside its bytes. Headers are meant to be small: Kafka tools and
# clients show and copy them whole, so larger fields travel with the mail as JSON.
_FIELDS_HEADER = "sb_data"
_MAX_FIELDS_BYTES = 4 * 1024


@dataclass(frozen=True, slots=True)
class IncomingEvent:
    """A validated event read from the log, with the time of its append and the hash of its body.

    The bytes of a mail are in `data` only, not in `event.data`.
    """

    event: Event
    data: Contract
    record_id: UUID
    appended_at: datetime
    body_sha256: str


def validate_data(event: Event) -> Contract | Reject:
    """Return an event's data as its contract, or the rejection that names the wrong fields."""
    return _validated(event, None)


def _validated(event: Event, mail: bytes | None) -> Contract | Reject:
    contract = contract_of(event.type, event.data)
    if contract is None:
        known = ", ".join(EVENT_TYPES)
        return Reject(
            RejectCode.UNKNOWN_TYPE, f"type: unknown event type {event.type!r}; use one of {known}"
        )
    try:
        if mail is not None and contract is EmailData:
            return email_from_bytes(event.data, mail)
        return contract.model_validate(event.data)
    except ValidationError as error:
        return Reject(*explain(error, "data"))


def encode_event(event: Event, data: Contract) -> Message:
    """Return the message of a validated event for its raw topic, keyed by its record id."""
    value, headers = _body(event, data)
    return Message(
        topic=raw_topic_of(type(data)).name,
        key=record_id_of(event.tenant, event.source, event.id).bytes,
        value=value,
        headers=(*_attributes(event), *headers),
    )


def _body(event: Event, data: Contract) -> tuple[bytes, Headers]:
    if isinstance(data, EmailData) and data.mime:
        fields = {name: value for name, value in event.data.items() if name != "mime"}
        encoded = orjson.dumps(fields)
        if len(encoded) <= _MAX_FIELDS_BYTES:
            return data.mime, ((_FIELDS_HEADER, encoded), _MAIL_TYPE)
    return orjson.dumps(event.data), (_JSON_TYPE,)


def _attributes(event: Event) -> Iterator[tuple[str, bytes]]:
    for name in _ATTRIBUTES:
        value = getattr(event, name)
        if isinstance(value, datetime):
            value = value.isoformat().replace("+00:00", "Z")
        if value is not None and value != "":
            yield _PREFIX + name, str(value).encode()
    for name, value in (event.model_extra or {}).items():
        if value is not None and value != "":
            yield _PREFIX + name, str(value).encode()


def decode_event(record: LogRecord) -> IncomingEvent | Reject:
    """Return the event in a record of a raw topic, or the rejection.

    It rejects broken JSON, missing attributes, and data that violate their contract.
    """
    try:
        event, mail = _decode(record)
    except orjson.JSONDecodeError as error:
        return Reject(RejectCode.UNPARSABLE, f"value: not JSON in UTF-8: {error}")
    except ValidationError as error:
        return Reject(*explain(error))
    data = _validated(event, mail)
    if isinstance(data, Reject):
        return data
    try:
        appended_at = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return Reject(
            RejectCode.TIME_INVALID,
            f"timestamp: {record.timestamp_ms} ms since 1970 is no time; let the broker set it"
            " (message.timestamp.type=LogAppendTime)",
        )
    return IncomingEvent(
        event=event,
        data=data,
        record_id=record_id_of(event.tenant, event.source, event.id),
        appended_at=appended_at,
        body_sha256=hashlib.sha256(record.value).hexdigest(),
    )


def _decode(record: LogRecord) -> tuple[Event, bytes | None]:
    """Return the event, and the bytes of a mail if they are the value."""
    content_type = record.header("content-type").casefold()
    if content_type.startswith(_STRUCTURED):
        return Event.model_validate(orjson.loads(record.value)), None
    attributes = {
        name.removeprefix(_PREFIX): (value or b"").decode("utf-8", "replace")
        for name, value in record.headers
        if name.startswith(_PREFIX)
    }
    if content_type.startswith(_MAIL):
        fields = record.header(_FIELDS_HEADER) or '{"channel":"email"}'
        return Event.model_validate({**attributes, "data": orjson.loads(fields)}), record.value
    return Event.model_validate({**attributes, "data": orjson.loads(record.value)}), None

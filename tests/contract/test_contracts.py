"""Contracts: examples that must stay readable for ever, invalid ones with their error messages,
generated documents.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

import schemas.generate
from pipeline.envelope import IncomingEvent, decode_event, encode_event, validate_data
from pipeline.log.contract_messages import encode_contract
from pipeline.log.dead_letters import record_dead_letter
from pipeline.log.port import LogRecord, Message
from pipeline.outcomes import Reject
from schemas.communications import EmailData
from schemas.dead_letters import DeadLetter, RejectCode
from schemas.envelope import Event, record_id_of, stable_id
from schemas.registry import EVENT_TYPES, contract_of, explain, raw_topic_of
from schemas.topics import TOPICS

EXAMPLES = Path(schemas.generate.__file__).parent / "examples"


def examples(kind: str) -> list[Any]:
    paths = sorted((EXAMPLES / kind).glob("*.json"))
    return [pytest.param(json.loads(path.read_text("utf-8")), id=path.stem) for path in paths]


def as_record(message: Message) -> LogRecord:
    return LogRecord(
        message.topic, 0, 0, 1_790_000_000_000, message.key, message.value, message.headers
    )


def with_body(incoming: IncomingEvent) -> Event:
    """The event with the bytes of its mail, which travel outside of the JSON, in base64."""
    if not isinstance(incoming.data, EmailData) or incoming.data.mime is None:
        return incoming.event
    body = {"mime": base64.b64encode(incoming.data.mime).decode("ascii")}
    return incoming.event.model_copy(update={"data": incoming.event.data | body})


@pytest.mark.parametrize("example", examples("valid"))
def test_a_valid_example_is_accepted_and_survives_the_log(
    example: dict[str, Any],
) -> None:
    event = Event.model_validate(example)
    data = validate_data(event)
    assert not isinstance(data, Reject), data
    incoming = decode_event(as_record(encode_event(event, data)))
    assert not isinstance(incoming, Reject), incoming
    assert with_body(incoming) == event
    assert incoming.data == data
    assert incoming.record_id == record_id_of(event.tenant, event.source, event.id)


@pytest.mark.parametrize("example", examples("valid"))
def test_a_valid_example_fits_the_published_json_schemas(example: dict[str, Any]) -> None:
    contract = contract_of(example["type"], example["data"])
    assert contract is not None
    jsonschema.Draft202012Validator(schemas.generate.json_schema(Event)).validate(example)
    jsonschema.Draft202012Validator(schemas.generate.json_schema(contract)).validate(
        example["data"]
    )


@pytest.mark.parametrize("example", examples("valid"))
def test_structured_mode_is_read_like_binary_mode(example: dict[str, Any]) -> None:
    event = Event.model_validate(example)
    data = validate_data(event)
    assert not isinstance(data, Reject)
    topic = raw_topic_of(type(data)).name
    structured = Message(
        topic,
        None,
        json.dumps(example).encode(),
        (("content-type", b"application/cloudevents+json; charset=utf-8"),),
    )
    incoming = decode_event(as_record(structured))
    assert not isinstance(incoming, Reject), incoming
    assert (incoming.event, incoming.data) == (event, data)


@pytest.mark.parametrize("example", examples("invalid"))
def test_an_invalid_example_is_rejected_with_code_and_field(
    example: dict[str, Any],
) -> None:
    try:
        refusal = validate_data(Event.model_validate(example["event"]))
    except ValidationError as error:
        refusal = Reject(*explain(error))
    assert isinstance(refusal, Reject)
    assert refusal.code == RejectCode(example["code"])
    assert example["names"] in refusal.detail


def mail_event(**fields: Any) -> tuple[Event, EmailData]:
    mime = base64.b64encode("Subject: 你好\r\n\r\n".encode() + bytes(range(256))).decode("ascii")
    event = Event(
        id="1",
        source="mail",
        type="comm.message.received",
        data={"channel": "email", "mime": mime, **fields},
    )
    data = validate_data(event)
    assert isinstance(data, EmailData), data
    return event, data


def test_the_bytes_of_a_mail_are_not_encoded_on_the_log() -> None:
    event, data = mail_event(direction="inbound", loyalty={"tier": 2})
    message = encode_event(event, data)
    assert message.value == data.mime
    assert dict(message.headers)["content-type"] == b"message/rfc822"
    incoming = decode_event(as_record(message))
    assert not isinstance(incoming, Reject), incoming
    assert (with_body(incoming), incoming.data) == (event, data)


def test_a_dead_letter_of_a_mail_has_its_bytes_and_can_be_replayed() -> None:
    record = as_record(encode_event(*mail_event(direction="inbound")))
    rejection = Reject(RejectCode.UNPARSABLE, "no header")
    message = record_dead_letter("enrich", record, rejection, datetime.now(UTC))
    letter = DeadLetter.model_validate_json(message.value)
    assert letter.payload == record.value
    headers = tuple((name, value.encode()) for name, value in letter.headers.items())
    again = replace(record, value=letter.payload, headers=headers)
    assert decode_event(again) == decode_event(record)


def test_large_fields_beside_a_mail_travel_in_the_body() -> None:
    event, data = mail_event(remarks="很长" * 4_000)
    message = encode_event(event, data)
    assert dict(message.headers)["content-type"] == b"application/json"
    incoming = decode_event(as_record(message))
    assert not isinstance(incoming, Reject), incoming
    assert incoming.data == data


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        (b'{"channel":"email"', RejectCode.UNPARSABLE),
        (b'["email"]', RejectCode.SCHEMA_TYPE),
        (b'{"channel":"email","direction":"up"}', RejectCode.SCHEMA_ENUM),
    ],
)
def test_invalid_fields_beside_a_mail_are_rejected(fields: bytes, code: RejectCode) -> None:
    message = encode_event(*mail_event())
    headers = tuple(
        (name, fields if name == "sb_data" else value) for name, value in message.headers
    )
    rejection = decode_event(as_record(replace(message, headers=headers)))
    assert isinstance(rejection, Reject), rejection
    assert rejection.code == code


def logged_examples() -> list[Any]:
    """Messages of raw topics as the released versions wrote them."""
    lines = (EXAMPLES / "log" / "raw_messages.jsonl").read_text("utf-8").splitlines()
    return [pytest.param(example, id=example["name"]) for example in map(json.loads, lines)]


@pytest.mark.parametrize("example", logged_examples())
def test_messages_of_earlier_versions_stay_readable(example: dict[str, Any]) -> None:
    headers = tuple((name, value.encode()) for name, value in example["headers"].items())
    value = base64.b64decode(example["value_base64"])
    record = LogRecord(example["topic"], 0, 0, 1_790_000_000_000, None, value, headers)
    incoming = decode_event(record)
    assert not isinstance(incoming, Reject), incoming
    assert str(incoming.record_id) == example["record_id"]
    data = incoming.data.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert data == example["data"]


def test_every_event_type_has_an_example_a_contract_and_a_topic() -> None:
    covered = {
        json.loads(path.read_text("utf-8"))["type"] for path in (EXAMPLES / "valid").glob("*.json")
    }
    without = {
        "crm.order.cancelled",
        "crm.complaint.handled",
        "crm.order.other",
        "crm.complaint.other",
    }  # shaped as order.refunded and complaint.closed
    assert covered | without == set(EVENT_TYPES)
    for event_type in EVENT_TYPES:
        contract = contract_of(event_type, {"channel": "chat"})
        assert contract is not None
        assert raw_topic_of(contract).name in TOPICS


def test_the_generated_documents_are_up_to_date() -> None:
    root = Path(schemas.generate.__file__).parent
    assert schemas.generate.write_or_check(root, schemas.generate.documents(), check=True) == 0


def test_every_reference_of_the_asyncapi_document_resolves() -> None:
    document = schemas.generate.asyncapi()
    files = schemas.generate.documents()

    def walk(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if "$ref" in node:
                yield node["$ref"]
            for child in node.values():
                yield from walk(child)

    references = set(walk(document))
    assert references
    for reference in references:
        if not reference.startswith("#"):
            assert reference in files
            continue
        target = document
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]


def test_an_unknown_field_is_kept() -> None:
    data = validate_data(
        Event(
            id="1",
            source="s",
            type="comm.message.received",
            data={"channel": "chat", "loyalty": {"tier": 2}},
        )
    )
    assert not isinstance(data, Reject)
    assert data.model_extra == {"loyalty": {"tier": 2}}


def test_an_id_depends_on_the_borders_of_its_parts() -> None:
    assert stable_id("a", "bc") != stable_id("ab", "c")
    assert stable_id("a") == stable_id("a")
    assert stable_id("a").version == 8


def test_an_own_contract_survives_its_topic() -> None:
    from pipeline.runtime.stages import decode_contract
    from schemas.dead_letters import Replay

    replay = Replay(
        dead_letter_id=stable_id("x"),
        replayed_at="2026-11-01T10:00:00Z",
        outcome="refused",
        message="价格",
    )
    assert decode_contract(as_record(encode_contract("dead-letters.v1", "k", replay))) == replay

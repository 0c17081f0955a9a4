"""The direction of a mail is the same whether it comes as a file or as an event."""

import io
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.envelope import IncomingEvent, decode_event, encode_event, validate_data
from pipeline.identity.contacts import OwnSide
from pipeline.ingest.port import IngestOptions, InputUnit, ReadEvent
from pipeline.ingest.registry import CONNECTORS
from pipeline.log.port import LogRecord
from pipeline.mail.mime import parse_mail
from pipeline.models.replica import Replica
from pipeline.outcomes import Context, Emit, Reject, run_checked
from pipeline.processors.enrich import enrich_step
from pipeline.processors.identify import Identity
from schemas.envelope import Event
from schemas.records import Record

OWN = OwnSide(("shop.example.net", "me@example.org"))
ENRICH = enrich_step(Identity(b"a secret of these tests", OWN))
NOW = datetime(2026, 11, 20, tzinfo=UTC)


def read_file(mail: bytes, own: OwnSide) -> Event:
    unit = InputUnit("/mails/1.eml", lambda: io.BytesIO(mail))
    (item,) = CONNECTORS["email"].read(unit, IngestOptions(own=own))
    assert isinstance(item, ReadEvent)
    return item.event


def write_event(mail: bytes) -> Event:
    """The event that an integrator writes who parses mails, and leaves the direction out."""
    parsed = parse_mail(mail)

    def parties(name: str) -> list[dict[str, Any]]:
        return [{"name": address.name, "email": address.email} for address in getattr(parsed, name)]

    sender = next(iter(parties("from_")), {})
    fields = {name: parties(name) for name in ("to", "cc", "reply_to")}
    return Event(
        id="1",
        source="email",
        type="comm.message.received",
        data={"channel": "email", "text": "hello", "from": sender, **fields},
    )


def enrich(event: Event) -> Record:
    data = validate_data(event)
    assert not isinstance(data, Reject), data
    message = encode_event(event, data)
    incoming = decode_event(
        LogRecord(
            message.topic, 0, 0, 1_790_000_000_000, message.key, message.value, message.headers
        )
    )
    assert isinstance(incoming, IncomingEvent), incoming
    context = Context(NOW, Replica().classifier())
    (outcome,) = run_checked(ENRICH, [incoming], context)
    assert isinstance(outcome, Emit), outcome
    (record,) = (output.value for output in outcome.outputs if isinstance(output.value, Record))
    return record


@pytest.mark.parametrize(
    ("head", "direction", "customer"),
    [
        (
            "From: An <an@example.com>\nTo: help@shop.example.net",
            "inbound",
            "email:an@example.com",
        ),
        (
            "From: help@shop.example.net\nTo: an@example.com\nCc: boss@shop.example.net",
            "outbound",
            "email:an@example.com",
        ),
        (
            "From: me@example.org\nTo: help@shop.example.net\nReply-To: me@example.org",
            "internal",
            "",
        ),
        (
            "From: Form <web@shop.example.net>\nTo: web@shop.example.net\nReply-To: an@example.com",
            "inbound",
            "email:an@example.com",
        ),
        # The form sends the writer a copy.
        (
            "From: web@shop.example.net\nTo: help@shop.example.net\nCc: an@example.com\n"
            "Reply-To: An <an@example.com>",
            "inbound",
            "email:an@example.com",
        ),
        # Answers go to a ticket system, but the mail goes to the customer.
        (
            "From: help@shop.example.net\nTo: an@example.com\nReply-To: t1@tickets.example.com",
            "outbound",
            "email:an@example.com",
        ),
        ("From: help@shop.example.net\nSubject: only blind copies", "outbound", ""),
        (
            "From: help@shop.example.net\nReply-To: a@example.com\nSubject: only blind copies",
            "outbound",
            "",
        ),
        ("Subject: from nobody\nTo: help@shop.example.net", "inbound", ""),
    ],
)
def test_a_mail_has_the_same_direction_and_customer_as_file_and_as_event(
    head: str, direction: str, customer: str
) -> None:
    mail = f"{head}\nMessage-ID: <1@example.com>\n\nhello\n".encode()
    ways = {
        "file": read_file(mail, OWN),
        "file, own side known to the installation only": read_file(mail, OwnSide()),
        "event": write_event(mail),
    }
    results = {way: enrich(event) for way, event in ways.items()}
    assert {
        way: (record.direction.value, record.contact) for way, record in results.items()
    } == dict.fromkeys(ways, (direction, customer))

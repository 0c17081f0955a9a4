"""What comes out of enrich: the record of a communication, the record of a business event, the link
between contact points.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal
from uuid import UUID

from pydantic import Field

from schemas.business import OrderItem
from schemas.communications import AutoKind, Disposition
from schemas.envelope import DEFAULT_TENANT
from schemas.types import Attachment, Channel, Contract, Direction, UtcTime

ContactKind = Literal["id", "email", "phone", "handle"]

# What one record shows by itself. The word is what analysts filter by; the sentence is the
# reference page and the column's meaning.
QUALITY_FLAGS: dict[str, str] = {
    "attachment_only": "there is an attachment and no text",
    "bottom_reply": "the author wrote below the quoted lines",
    "boundary_missing": (
        "a multipart mail without its boundary; the boundary was guessed, or the whole read as one"
        " text"
    ),
    "call_times_disorder": (
        "the call's start, answer and end are not in that order; its durations are null"
    ),
    "charset_repaired": (
        "a text was not in the character set it declared, or had been decoded wrongly before; put"
        " right"
    ),
    "charset_replaced": "bytes that no character set could read became U+FFFD",
    "charset_unknown": "a text declares a character set that nobody knows",
    "clock_skew": "the sender's clock and ours differ by more than a day; occurred_at is ours",
    "contact_invalid": (
        "an address or number of the customer could not be normalised; it is kept as written"
    ),
    "date_invalid": "a Date that names no instant",
    "date_missing": "no Date",
    "date_zone_missing": "a Date without a zone, read as UTC",
    "depth_limited": "parts nested deeper than the limit were kept as one part",
    "empty_reply": "everything was quote or signature; the whole text is kept as body_text",
    "encoding_invalid": "content that is not in the transfer encoding it declares",
    "forwarded": "what is quoted is a forwarded message",
    "from_missing": "no From with an address",
    "header_limited": "headers beyond the limits were left out or cut",
    "header_malformed": "lines among the headers are no headers, or addresses are no addresses",
    "inline_reply": (
        "the author wrote between or below quoted lines; the author's lines are the reply"
    ),
    "message_id_missing": "no Message-ID",
    "mime_truncated": "the last part has no end: the mail was cut",
    "missing_contact": "nothing tells who the customer is",
    "missing_text": "there is no text at all",
    "missing_time": "the event names no time; occurred_at is when we received it",
    "part_limited": "parts beyond the limit were kept as one part",
    "size_limited": "bytes or text beyond the limits were cut",
    "text_rescued": (
        "the text was found where none should be: in an attachment, an attached mail, around the"
        " parts"
    ),
    "text_truncated": "the text is longer than is kept; the rest is in the raw event only",
}


class Delivery(Contract):
    """One arrival of an event: the same event found in two places arrives twice and is one record
    with a flagged repeat.
    """

    locator: str = Field(
        "", description="Where it was found: file and item; empty where the channel has no places."
    )
    sha256: str = Field(description="SHA-256 of the event's body as it arrived, hexadecimal.")


class Prediction(Contract):
    """One head's answer about one record."""

    label: str = Field(
        description=(
            "The answer; empty where the head does not apply or nothing speaks for any label."
        )
    )
    p: float = Field(ge=0, le=1, description="Probability of the label.")
    abstained: bool = Field(
        description="The head was not sure enough; the label is its best guess."
    )
    version: str = Field(
        description="Model that answered: rules/<hash>, or generation/offset/recipe."
    )
    also: tuple[str, ...] = Field(
        (), description="Further answers, where a text asks several things."
    )


class Participant(Contract):
    """Who took part in a communication, as written and as normalised."""

    role: Literal["from", "to", "cc", "bcc", "staff"]
    name: str = ""
    contact: str = Field(
        "", description="Normalised contact point, kind:value, such as phone:+8613800000001."
    )


class CallFacts(Contract):
    """A call's times in seconds; null where the call did not get so far."""

    started_at: UtcTime
    answered_at: UtcTime | None = None
    ended_at: UtcTime | None = None
    ring_s: float | None = Field(
        None, ge=0, description="Seconds from start to answer, or to the end of an unanswered call."
    )
    talk_s: float | None = Field(
        None, ge=0, description="Seconds from answer to end; null, never 0, where nobody answered."
    )
    disposition: Disposition | None = None
    legs: int = 1
    hangup_cause: str = ""
    recording: str = ""


class Enriched(Contract):
    """What the record of a communication and that of a business event share."""

    record_id: UUID = Field(
        description="Hash of tenant, source and event id; the same event is the same record."
    )
    tenant: str = DEFAULT_TENANT
    source: str = Field(description="Source of the event.")
    event_id: str = Field(description="Id of the event within its source.")
    event_type: str
    connector: str = ""
    occurred_at: UtcTime = Field(description="When it happened.")
    received_at: UtcTime = Field(description="When our side got it.")
    customer_id: UUID | None = Field(
        None, description="Keyed hash of the customer's contact point; null where there is none."
    )
    contact: str = Field(
        "", description="The contact point that identifies the customer, kind:value."
    )
    contact_name: str = Field("", description="The customer's name as shown.")
    contacts: tuple[str, ...] = Field(
        (), description="All contact points of the customer in this event, best first."
    )
    staff: str = ""
    quality_flags: tuple[str, ...] = ()
    attributes: dict[str, str] = Field(
        {}, description="Fields of the event that no contract names, as JSON text."
    )
    delivery: Delivery
    schema_version: Literal[1] = 1


class Record(Enriched):
    """One communication: a message, a mail or a call, cleaned and classified."""

    channel: Channel
    kind: Literal["message", "call", "system", "note"]
    provider: str = ""
    direction: Direction
    sent_at: UtcTime | None = Field(
        None, description="Time by the sender's clock, where it has one of its own."
    )
    conversation_id: UUID
    message_id: str = ""
    in_reply_to: str = ""
    references: tuple[str, ...] = ()
    participants: tuple[Participant, ...] = ()
    subject: str = ""
    body_text: str = Field("", description="The whole text, readable.")
    reply_text: str = Field("", description="What the author wrote this time.")
    quoted_text: str = Field("", description="What was quoted.")
    signature_text: str = Field("", description="Signature, disclaimer, footer.")
    cut_rules: tuple[str, ...] = Field(
        (), description="Rules that cut reply, quote and signature apart; empty: nothing was cut."
    )
    redacted_text: str = Field(
        "",
        description=(
            "Subject and reply with personal numbers and addresses masked; what models read."
        ),
    )
    language: str = Field(
        "", description="ISO 639-1 code; empty where the text is too short to tell."
    )
    result: str = ""
    remarks: str = ""
    campaign: str = ""
    auto_kind: AutoKind | None = None
    attachments: tuple[Attachment, ...] = ()
    call: CallFacts | None = None
    predictions: dict[str, Prediction] = {}


class BusinessRecord(Enriched):
    """One business event beside the messages: an order, a feedback, a complaint or a customer's
    profile.
    """

    kind: Literal["order", "feedback", "complaint", "customer"]
    action: str = Field(
        description="created, paid, refunded, cancelled; given; opened, handled, closed; updated."
    )
    entity_id: str = Field("", description="Number of the order, feedback or complaint.")
    channel: str = ""
    conversation: str = ""
    amount: Decimal | None = Field(None, description="Sum in `currency`.")
    currency: str = ""
    items: tuple[OrderItem, ...] = ()
    payment_method: str = ""
    feedback_kind: str = ""
    rating: float | None = None
    rating_index: float | None = Field(
        None, description="Rating on 0 (worst mark) to 100 (best mark): comparable over scales."
    )
    reason: str = ""
    text: str = ""
    handling: str = ""
    result: str = ""
    order_id: str = ""
    target: str = ""
    survey_sent_at: UtcTime | None = None
    profile: dict[str, str] = Field(
        {},
        description=(
            "Profile fields of a customer event: address, city, source, gender, birth_year,"
            " segment."
        ),
    )


class Link(Contract):
    """Two contact points seen together as one customer's; applied when history is read, so it can
    be taken back.
    """

    link_id: UUID
    tenant: str = DEFAULT_TENANT
    customer_id: UUID = Field(description="The stronger contact point's customer id.")
    contact: str
    other_customer_id: UUID = Field(description="The weaker contact point's customer id.")
    other_contact: str
    record_id: UUID = Field(description="The event that showed both.")
    linked_at: UtcTime

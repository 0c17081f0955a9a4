"""Outputs of enrich: records of communications, records of business events, links."""

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

# Flags that follow from a single record. They are values that analysts filter by; the sentences
# appear in the reference and in column comments.
QUALITY_FLAGS: dict[str, str] = {
    "attachment_only": "there is an attachment and no text",
    "bottom_reply": "the author wrote below the quoted lines",
    "boundary_missing": (
        "a multipart mail without its boundary; the boundary was guessed, or the mail was read as"
        " one text"
    ),
    "call_times_disorder": (
        "the call's start, answer and end are not in this order; its durations are null"
    ),
    "charset_repaired": (
        "a text was not in its declared character set, or had been decoded wrongly before; it was"
        " repaired"
    ),
    "charset_replaced": "bytes that are invalid in every character set were replaced by U+FFFD",
    "charset_unknown": "a text declares an unknown character set",
    "clock_skew": (
        "the sender's clock differs from ours by more than a day; occurred_at is by our clock"
    ),
    "contact_invalid": (
        "an address or number of the customer could not be normalised; it is kept as written, in"
        " contacts or in attributes as contact_unread"
    ),
    "contact_masked": (
        "an address or number of the customer is masked, such as 138****0021; it identifies nobody"
        " and is kept in attributes as contact_unread"
    ),
    "contact_placeholder": (
        "a value where the customer's id, address, number or handle should be stands for nothing,"
        " such as null or 00000000000; it identifies nobody and is kept in attributes as"
        " contact_unread"
    ),
    "contact_rounded": (
        "a spreadsheet rounded a number or id of the customer, such as 1.38E+10; it identifies"
        " nobody and is kept in attributes as contact_unread: export the column as text"
    ),
    "date_invalid": (
        "the Date header is not a valid time; occurred_at is by the newest Received header, the"
        " mbox separator or the file"
    ),
    "date_missing": (
        "there is no Date header; occurred_at is by the newest Received header, the mbox separator"
        " or the file"
    ),
    "date_zone_missing": (
        "the Date header has no time zone, or none that is known; it was read as UTC"
    ),
    "date_zone_unknown": (
        "the Date header names a time zone that is unknown; occurred_at is by the newest Received"
        " header, and the Date was read as UTC only where there is none"
    ),
    "depth_limited": "parts nested deeper than the limit were kept as one part",
    "empty_reply": "everything was quote or signature; the whole text is kept as body_text",
    "encoding_invalid": "content that is not in the transfer encoding it declares",
    "forwarded": "the quoted text is a forwarded message",
    "from_missing": "there is no From header with an address",
    "header_limited": "headers beyond the limits were left out or cut",
    "header_malformed": "there are lines that are not headers, or addresses that are not valid",
    "inline_reply": (
        "the author wrote between or below quoted lines; the author's lines are the reply"
    ),
    "mails_joined": (
        "below an empty line of the body stand `From ` and header lines, as between the mails of an"
        " mbox: if the file holds several mails, begin it with such a line and ingest it again"
    ),
    "message_id_missing": "there is no Message-ID header",
    "mime_truncated": "the last part has no end: the mail was cut short",
    "missing_contact": "the customer is unknown",
    "missing_text": "there is no text at all",
    "missing_time": "the event has no time; occurred_at is when we received it",
    "part_limited": "parts beyond the limit were kept as one part, attachments left out",
    "size_limited": "bytes or text beyond the limits were cut",
    "text_rescued": (
        "the text was taken from an unusual position: an attachment, an attached mail, around the"
        " parts"
    ),
    "text_truncated": "the text is longer than the limit; the rest is only in the raw event",
}


class Delivery(Contract):
    """One delivery of an event.

    The same event at two locators is delivered twice and becomes one record with a counted
    redelivery.
    """

    locator: str = Field(
        "", description="File and item of the delivery; empty if the event came without a file."
    )
    sha256: str = Field(description="SHA-256 of the event's body as it arrived, hexadecimal.")


class Prediction(Contract):
    """One head's answer about one record."""

    label: str = Field(
        description=(
            "The label; empty: the head does not apply, or there is no evidence for any label."
        )
    )
    p: float = Field(ge=0, le=1, description="Probability of the label.")
    abstained: bool = Field(
        description="The confidence was below the threshold; the label is the most probable one."
    )
    version: str = Field(
        description="Model that answered: rules/<hash>, or generation/offset/recipe."
    )
    also: tuple[str, ...] = Field(
        (), description="Additional labels, if a text asks several things."
    )


class Participant(Contract):
    """A participant of a communication, as written and normalised."""

    role: Literal["from", "to", "cc", "bcc", "staff"]
    name: str = ""
    contact: str = Field(
        "", description="Normalised contact point, kind:value, such as phone:+8613800000001."
    )


class CallFacts(Contract):
    """Times of a call, durations in seconds; null if the call did not get so far."""

    started_at: UtcTime
    answered_at: UtcTime | None = None
    ended_at: UtcTime | None = None
    ring_s: float | None = Field(
        None, ge=0, description="Seconds from start to answer, or to the end of an unanswered call."
    )
    talk_s: float | None = Field(
        None, ge=0, description="Seconds from answer to end; null, never 0, if nobody answered."
    )
    disposition: Disposition | None = None
    legs: int = 1
    hangup_cause: str = ""
    recording: str = ""


class Enriched(Contract):
    """Fields of the records of communications and of business events."""

    record_id: UUID = Field(
        description="Hash of tenant, source and event id; the same event has the same record id."
    )
    tenant: str = DEFAULT_TENANT
    source: str = Field(description="Source of the event.")
    event_id: str = Field(description="Id of the event within its source.")
    event_type: str
    connector: str = ""
    occurred_at: UtcTime = Field(description="When it happened.")
    received_at: UtcTime = Field(description="When our side received it.")
    customer_id: UUID | None = Field(
        None, description="Keyed hash of the customer's contact point; null: unknown customer."
    )
    contact: str = Field(
        "", description="The contact point that identifies the customer, kind:value."
    )
    contact_name: str = Field("", description="Display name of the customer.")
    contacts: tuple[str, ...] = Field(
        (), description="All contact points of the customer in this event, strongest first."
    )
    staff: str = ""
    quality_flags: tuple[str, ...] = ()
    attributes: dict[str, str] = Field(
        {}, description="Fields of the event that are not in its contract, as JSON text."
    )
    delivery: Delivery
    schema_version: Literal[1] = 1


class Record(Enriched):
    """One communication, cleaned and classified: a message, a mail or a call."""

    channel: Channel
    kind: Literal["message", "call", "system", "note"]
    provider: str = ""
    direction: Direction
    sent_at: UtcTime | None = Field(
        None, description="Time by the sender's clock, if the message has one."
    )
    conversation_id: UUID
    message_id: str = ""
    in_reply_to: str = ""
    references: tuple[str, ...] = ()
    participants: tuple[Participant, ...] = ()
    subject: str = ""
    body_text: str = Field("", description="The whole text as plain text.")
    reply_text: str = Field("", description="What the author wrote, without quotes and signature.")
    quoted_text: str = Field("", description="The quoted text.")
    signature_text: str = Field("", description="Signature, disclaimer, footer.")
    cut_rules: tuple[str, ...] = Field(
        (), description="Rules that separated quote and signature; empty: nothing was cut."
    )
    redacted_text: str = Field(
        "",
        description=(
            "Subject and reply with personal numbers and addresses masked; input of the models."
        ),
    )
    language: str = Field(
        "", description="ISO 639-1 code; empty: the text is too short to recognise it."
    )
    result: str = ""
    remarks: str = ""
    campaign: str = ""
    auto_kind: AutoKind | None = None
    attachments: tuple[Attachment, ...] = ()
    call: CallFacts | None = None
    predictions: dict[str, Prediction] = {}


class BusinessRecord(Enriched):
    """One business event: an order, a feedback, a complaint or a customer's profile."""

    kind: Literal["order", "feedback", "complaint", "customer"]
    action: str = Field(
        description="created, paid, refunded, cancelled; given; opened, handled, closed; updated."
    )
    entity_id: str = Field("", description="Number of the order, feedback or complaint.")
    channel: str = ""
    conversation: str = ""
    amount: Decimal | None = Field(None, description="Amount in `currency`.")
    currency: str = ""
    items: tuple[OrderItem, ...] = ()
    payment_method: str = ""
    feedback_kind: str = ""
    rating: float | None = None
    rating_index: float | None = Field(
        None, description="Rating from 0 (worst) to 100 (best), comparable between scales."
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
    """Two contact points that one event shows to be the same customer's.

    It is applied when history is read, so it can be withdrawn.
    """

    link_id: UUID
    tenant: str = DEFAULT_TENANT
    customer_id: UUID = Field(description="The stronger contact point's customer id.")
    contact: str
    other_customer_id: UUID = Field(description="The weaker contact point's customer id.")
    other_contact: str
    record_id: UUID = Field(description="The record that has both contact points.")
    linked_at: UtcTime

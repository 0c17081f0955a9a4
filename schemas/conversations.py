"""What converse makes of one contact point's records: conversations, facts, follow-ups and flags;
versioned upserts by id.

Each is a whole row: the newest one under its id counts, and one with `retracted` no longer holds. A
conversation that several contact points take part in has a part in the state of each; views join
the parts by `conversation_id`.
"""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import Field

from schemas.envelope import DEFAULT_TENANT
from schemas.types import Channel, Contract, UtcTime

FactKind = Literal[
    "opened",
    "customer_message",
    "agent_message",
    "promise",
    "request",
    "assigned",
    "closed",
    "reopened",
    "rated",
    "complaint_opened",
    "complaint_handled",
    "complaint_closed",
]
Actor = Literal["customer", "human", "bot", "auto", "system", ""]
FlagKind = Literal["duplicate_of", "near_duplicate", "outlier", "late"]

# The word is what analysts filter by; the sentence is the reference page and the column's meaning.
RECORD_FLAGS: dict[str, str] = {
    "duplicate_of": "same contact point, direction and text as an earlier record of the day before",
    "near_duplicate": (
        "nearly the same text as an earlier record of the contact point of the day before"
    ),
    "outlier": (
        "a text or a call far longer or shorter than the contact point's last ones on that channel"
    ),
    "late": "it reached us well after a record of its conversation that happened later",
}


class ConverseOutput(Contract):
    """What all that converse tells shares: whose it is, and whether it still holds."""

    tenant: str = DEFAULT_TENANT
    customer_id: UUID | None = Field(
        None, description="The contact point's customer; null where nothing tells it."
    )
    retracted: bool = Field(False, description="It was told before and no longer holds.")
    schema_version: Literal[1] = 1


class Conversation(ConverseOutput):
    """One contact point's part in a conversation, as of its last record; what depends on now is
    left to views.
    """

    part_id: UUID = Field(description="Hash of the conversation and the contact point.")
    conversation_id: UUID = Field(description="The thread, as its records name it.")
    merged_into: UUID | None = Field(
        None,
        description="The conversation it belongs to, where mails name one another across threads.",
    )
    contact: str = Field("", description="The contact point, kind:value.")
    channel: Channel = Field(description="Channel of its first record.")
    subject: str = Field("", description="Subject of its first record.")
    state: Literal["open", "answered", "waiting", "closed"] = Field(
        description=(
            "waiting: the customer wrote last; answered: a person of ours did; open: neither;"
            " closed: an event says so."
        )
    )
    opened_at: UtcTime = Field(description="First record.")
    opened_by: Actor = Field("", description="Who began it.")
    last_at: UtcTime = Field(description="Last record.")
    last_customer_at: UtcTime | None = Field(
        None, description="Last message of the customer; null: none yet."
    )
    last_human_at: UtcTime | None = Field(
        None, description="Last message of a person of ours; null: none yet."
    )
    waiting_since: UtcTime | None = Field(
        None, description="First unanswered message of the customer."
    )
    first_response_due_at: UtcTime | None = Field(
        None,
        description=(
            "Until when the episode's first message is to be answered; null: no promise, or"
            " answered."
        ),
    )
    next_response_due_at: UtcTime | None = Field(
        None,
        description=(
            "Until when the customer's later message is to be answered; null: no promise, or"
            " answered."
        ),
    )
    closed_at: UtcTime | None = Field(
        None, description="When an event closed it; null: not closed."
    )
    episodes: int = Field(
        1, ge=1, description="Times it was opened: 1 and one more for each reopening."
    )


class ConversationFact(ConverseOutput):
    """Something that happened in a conversation; metrics are views over these."""

    fact_id: UUID = Field(description="Hash of kind and record, or of kind and conversation part.")
    kind: FactKind
    actor: Actor = Field("", description="Who: customer; human, bot or auto of ours; the platform.")
    conversation_id: UUID | None = Field(
        None, description="The thread; null where a business event names none."
    )
    record_id: UUID = Field(description="The record that shows it.")
    contact: str = ""
    channel: str = ""
    occurred_at: UtcTime
    business_s: float | None = Field(
        None,
        description=(
            "Business seconds since 1970-01-01 in the installation's zone: the difference of two"
            " facts is the business time between them; null: no business hours are set."
        ),
    )
    staff: str = Field("", description="Our person or bot, where it is told.")
    detail: str = Field(
        "",
        description=(
            "More of it: call_answered, call_missed, courtesy (a bare thanks or ok, asks for"
            " nothing); the result or words that closed it; the follow-up's way; the complaint's"
            " number."
        ),
    )
    talk_s: float | None = Field(None, ge=0, description="Seconds spoken in a call.")
    rating_index: float | None = Field(None, description="Rating on 0 to 100.")
    first_response_due_at: UtcTime | None = Field(
        None, description="Until when a first message of this instant is promised an answer."
    )
    next_response_due_at: UtcTime | None = Field(
        None, description="Until when a later message of this instant is promised an answer."
    )


class FollowUp(ConverseOutput):
    """Something to be done for a customer: we promised it, or the customer asked for it."""

    followup_id: UUID = Field(description="Hash of the record and the place of the sentence in it.")
    kind: Literal["promised", "requested"]
    way: Literal["call", "any"] = Field(
        description="call: a telephone call; any: an answer by whatever way."
    )
    conversation_id: UUID
    record_id: UUID = Field(description="The message in which it was said.")
    contact: str = ""
    channel: Channel
    staff: str = Field("", description="Who promised.")
    phrase: str = Field("", description="The sentence, shortened.")
    promised_at: UtcTime = Field(description="When it was said.")
    due_at: UtcTime = Field(description="Until when.")
    due_stated: bool = Field(
        description="The sentence names the time; else a usual one is assumed."
    )
    counts_from: UtcTime = Field(
        description="From when on a message of ours can be the fulfilment, not the same turn."
    )
    fulfilled_at: UtcTime | None = Field(
        None, description="When a person of ours got back to the contact point."
    )
    fulfilled_by: UUID | None = Field(None, description="By which record.")


class RecordFlag(ConverseOutput):
    """Something about a record that only its neighbours show."""

    flag_id: UUID = Field(description="Hash of record and flag.")
    record_id: UUID
    flag: FlagKind
    conversation_id: UUID
    other_record_id: UUID | None = Field(
        None, description="The record it repeats, or after which it came."
    )
    value: float | None = Field(
        None, description="near_duplicate: likeness 0 to 1; outlier: robust z-score; late: seconds."
    )
    occurred_at: UtcTime

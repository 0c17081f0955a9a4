"""Outputs of the stage converse: conversations, facts, follow-ups and record flags.

Each output is a versioned upsert: the newest row with its id counts, and a row with `retracted` is
withdrawn. A conversation in which several contact points take part has one part per contact point;
views join the parts by `conversation_id`.
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

# Flags are values that analysts filter by; the sentences appear in the reference and in column
# comments.
RECORD_FLAGS: dict[str, str] = {
    "duplicate_of": (
        "same contact point, direction and text as an earlier record of the preceding 24 hours"
    ),
    "near_duplicate": (
        "nearly the same text as an earlier record of the contact point of the preceding 24 hours"
    ),
    "outlier": (
        "a text or call far longer or shorter than the contact point's previous ones on the channel"
    ),
    "late": "it arrived well after a record of its conversation that happened later",
}


class ConverseOutput(Contract):
    """Fields of all outputs of converse."""

    tenant: str = DEFAULT_TENANT
    customer_id: UUID | None = Field(
        None, description="Customer of the contact point; null: unknown."
    )
    retracted: bool = Field(False, description="The row withdraws what was emitted before.")
    schema_version: Literal[1] = 1


class Conversation(ConverseOutput):
    """One contact point's part of a conversation, as of its last record.

    What depends on the current time is computed in views.
    """

    part_id: UUID = Field(description="Hash of the conversation and the contact point.")
    conversation_id: UUID = Field(description="The thread named by its records.")
    merged_into: UUID | None = Field(
        None,
        description="The conversation it was merged into because mails reference each other.",
    )
    contact: str = Field("", description="The contact point, kind:value.")
    channel: Channel = Field(description="Channel of the first record.")
    subject: str = Field("", description="Subject of the first record.")
    state: Literal["open", "answered", "waiting", "closed"] = Field(
        description=(
            "waiting: the customer wrote last; answered: a staff member wrote last; open: neither;"
            " closed: an event closed it."
        )
    )
    opened_at: UtcTime = Field(description="Time of the first record.")
    opened_by: Actor = Field("", description="Who started the conversation.")
    last_at: UtcTime = Field(description="Time of the last record.")
    last_customer_at: UtcTime | None = Field(
        None, description="Time of the customer's last message; null: none yet."
    )
    last_human_at: UtcTime | None = Field(
        None, description="Time of the last message by a staff member; null: none yet."
    )
    waiting_since: UtcTime | None = Field(
        None, description="Time of the customer's first unanswered message; null: none."
    )
    first_response_due_at: UtcTime | None = Field(
        None,
        description=(
            "Response due time of the episode's first message; null: no response target, or"
            " answered."
        ),
    )
    next_response_due_at: UtcTime | None = Field(
        None,
        description=(
            "Response due time of the customer's later message; null: no response target, or"
            " answered."
        ),
    )
    closed_at: UtcTime | None = Field(
        None, description="When an event closed it; null: not closed."
    )
    episodes: int = Field(
        1, ge=1, description="Number of episodes: 1 plus the number of reopenings."
    )


class ConversationFact(ConverseOutput):
    """Something that happened in a conversation; metrics are views over facts."""

    fact_id: UUID = Field(description="Hash of kind and record, or of kind and conversation part.")
    kind: FactKind
    actor: Actor = Field(
        "",
        description="Who did it: customer; human, bot or auto on our side; system: the platform.",
    )
    conversation_id: UUID | None = Field(
        None, description="The thread; null: the business event names no conversation."
    )
    record_id: UUID = Field(description="The record from which the fact was derived.")
    contact: str = ""
    channel: str = ""
    occurred_at: UtcTime
    business_s: float | None = Field(
        None,
        description=(
            "Business seconds since 1970-01-01 in the installation's time zone: the difference of"
            " two facts is the business time between them; null: no business hours are configured."
        ),
    )
    staff: str = Field("", description="Staff member or bot, where known.")
    detail: str = Field(
        "",
        description=(
            "Details: call_answered, call_missed, courtesy (only thanks or ok, no request); the"
            " result or words that closed the conversation; the way of a follow-up; the number of"
            " a complaint."
        ),
    )
    talk_s: float | None = Field(None, ge=0, description="Talk time of a call in seconds.")
    rating_index: float | None = Field(None, description="Rating on a scale of 0 to 100.")
    first_response_due_at: UtcTime | None = Field(
        None, description="Response due time of a message of this time that starts an episode."
    )
    next_response_due_at: UtcTime | None = Field(
        None, description="Response due time of a later message of this time."
    )


class FollowUp(ConverseOutput):
    """Something to do for a customer: staff promised it, or the customer asked for it."""

    followup_id: UUID = Field(description="Hash of the record and the sentence's position in it.")
    kind: Literal["promised", "requested"]
    way: Literal["call", "any"] = Field(
        description="call: a telephone call; any: an answer on any channel."
    )
    conversation_id: UUID
    record_id: UUID = Field(description="The message that contains the sentence.")
    contact: str = ""
    channel: Channel
    staff: str = Field("", description="Staff member who promised it.")
    phrase: str = Field("", description="The sentence, shortened.")
    promised_at: UtcTime = Field(description="Time of the message.")
    due_at: UtcTime = Field(description="Due time.")
    due_stated: bool = Field(
        description="True if the sentence states the due time, false if a default is used."
    )
    counts_from: UtcTime = Field(
        description="Earliest time of a message that fulfils it; earlier ones are the same turn."
    )
    fulfilled_at: UtcTime | None = Field(
        None, description="When a staff member got back to the contact point; null: not yet."
    )
    fulfilled_by: UUID | None = Field(None, description="The record that fulfilled it.")


class RecordFlag(ConverseOutput):
    """A quality flag of a record that only follows from other records."""

    flag_id: UUID = Field(description="Hash of record and flag.")
    record_id: UUID
    flag: FlagKind
    conversation_id: UUID
    other_record_id: UUID | None = Field(
        None, description="The record that it duplicates, or after which it arrived."
    )
    value: float | None = Field(
        None,
        description="near_duplicate: similarity 0 to 1; outlier: robust z-score; late: seconds.",
    )
    occurred_at: UtcTime

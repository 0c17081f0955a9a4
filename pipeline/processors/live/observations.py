"""What live reads from the log: messages, business events, and who waits for an answer."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from pydantic import Field

from pipeline.processors.live.panes import Waiting
from pipeline.processors.projection import Milliseconds, Projection
from schemas.conversations import Conversation
from schemas.envelope import DEFAULT_TENANT
from schemas.records import BusinessRecord, Prediction, Record
from schemas.types import Contract

# What is counted beside the heads' labels: messages by direction, and business events of all kinds.
INBOUND, BUSINESS = "inbound", "business"
# The kinds of records that people write or speak; others are lines and notes of a platform.
_SPOKEN = ("message", "call")


class Observation(NamedTuple):
    """A record or business event: when it happened (ms since 1970), and its labels to count."""

    tenant: str
    channel: str
    at_ms: int
    labels: tuple[str, ...]
    customer: str
    record_id: str


class WaitingUpdate(NamedTuple):
    """A contact point's part of a conversation; `waiting` is None if its customer does not wait."""

    part_id: str
    waiting: Waiting | None


class AnswerView(Projection):
    """The fields of a head's answer that live reads."""

    contract: ClassVar[type[Contract]] = Prediction

    label: str
    abstained: bool


class RecordToCount(Projection):
    """The fields of a record that live reads."""

    contract: ClassVar[type[Contract]] = Record

    record_id: str
    tenant: str = DEFAULT_TENANT
    customer_id: str | None = None
    occurred_at: Milliseconds
    channel: str
    kind: str
    direction: str
    predictions: dict[str, AnswerView] = Field({})


class BusinessToCount(Projection):
    """The fields of a business event that live reads."""

    contract: ClassVar[type[Contract]] = BusinessRecord

    record_id: str
    tenant: str = DEFAULT_TENANT
    customer_id: str | None = None
    occurred_at: Milliseconds
    channel: str = ""
    kind: str
    action: str


class ConversationToCount(Projection):
    """The fields of a conversation that live reads."""

    contract: ClassVar[type[Contract]] = Conversation

    part_id: str
    tenant: str = DEFAULT_TENANT
    retracted: bool = False
    conversation_id: str
    merged_into: str | None = None
    contact: str = ""
    channel: str
    state: str
    waiting_since: Milliseconds | None = None
    first_response_due_at: Milliseconds | None = None
    next_response_due_at: Milliseconds | None = None


def observe_record(raw: bytes) -> Observation | None:
    """Return the observation of a Record's JSON; None for lines and notes of a platform.

    Raises ValueError if the JSON is not a record.
    """
    record = RecordToCount.from_json(raw)
    if record.kind not in _SPOKEN:
        return None
    answers: tuple[str, ...] = ()
    if record.direction == INBOUND:
        answers = tuple(
            f"{head}:{answer.label}"
            for head, answer in record.predictions.items()
            if answer.label and not answer.abstained
        )
    return Observation(
        record.tenant,
        record.channel,
        record.occurred_at,
        (record.direction, *answers),
        record.customer_id or record.record_id,
        record.record_id,
    )


def observe_business(raw: bytes) -> Observation:
    """Return the observation of a BusinessRecord's JSON; raises ValueError if it is none."""
    record = BusinessToCount.from_json(raw)
    return Observation(
        record.tenant,
        record.channel or BUSINESS,
        record.occurred_at,
        (BUSINESS, f"{BUSINESS}:{record.kind}.{record.action}"),
        record.customer_id or record.record_id,
        record.record_id,
    )


def observe_conversation(raw: bytes) -> WaitingUpdate:
    """Return the update of a Conversation's JSON: who waits for an answer, if anybody.

    Raises ValueError if the JSON is not a conversation.
    """
    part = ConversationToCount.from_json(raw)
    if part.retracted or part.state != "waiting" or part.waiting_since is None:
        return WaitingUpdate(part.part_id, None)
    due_at = part.first_response_due_at
    waiting = Waiting(
        part.tenant,
        part.channel,
        part.contact,
        part.merged_into or part.conversation_id,
        part.waiting_since,
        part.next_response_due_at if due_at is None else due_at,
    )
    return WaitingUpdate(part.part_id, waiting)

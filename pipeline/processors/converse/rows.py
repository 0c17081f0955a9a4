"""Builds the rows that converse emits: facts, follow-ups, flags and conversations.

A row's id depends on what the row is about, so that a later row replaces it in the warehouse.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pipeline.processors.converse.business_hours import from_ms, to_ms
from pipeline.processors.converse.entries import (
    ASSIGNS,
    CALL,
    CLOSES,
    Flag,
    FollowUpEntry,
    RecordEntry,
)
from pipeline.processors.converse.record_view import RecordView
from pipeline.processors.converse.roles import assignee, closing_reason
from pipeline.processors.converse.service_rules import ServiceRules
from pipeline.processors.converse.state import Thread
from pipeline.processors.converse.summary import ConversationSummary
from schemas.conversations import Conversation, ConversationFact, FollowUp, RecordFlag
from schemas.envelope import stable_id, uuid8
from schemas.records import BusinessRecord
from schemas.types import Channel
from schemas.unchecked import construct

if TYPE_CHECKING:
    from hashlib import _Hash as HASH

# The same ids and instants go into many rows: those of a conversation, of a contact point, of the
# last message.
_CACHED = 8_192
_uuid = lru_cache(_CACHED)(UUID)
_instant = lru_cache(_CACHED)(from_ms)
_part_id = lru_cache(_CACHED)(stable_id)
_CHANNELS = {channel.value: channel for channel in Channel}


@dataclass(frozen=True, slots=True)
class ContactRef:
    """The contact point that rows are about; `key` is its key in records.v1."""

    tenant: str
    customer_id: str | None
    contact: str
    key: str

    def shared_fields(self) -> dict[str, Any]:
        """Return the fields that all rows of a contact point share."""
        return {
            "tenant": self.tenant,
            "customer_id": _uuid(self.customer_id) if self.customer_id else None,
        }


def _at(at_ms: int | None) -> datetime | None:
    return None if at_ms is None else _instant(at_ms)


def fact_id(kind: str, *names: str) -> UUID:
    """Return the id of a fact: of a kind, about a record or a conversation part."""
    return _id("fact", kind, *names)


def _id(family: str, *names: str) -> UUID:
    """Return `stable_id(family, *names)`; the hash of its first parts is cached."""
    hashed = _hashed(family, names[0]).copy()
    for name in names[1:]:
        raw = name.encode()
        hashed.update(len(raw).to_bytes(8, "big") + raw)
    return uuid8(hashed.digest())


@lru_cache
def _hashed(*names: str) -> HASH:
    framed = [(len(raw).to_bytes(8, "big"), raw) for raw in (name.encode() for name in names)]
    return sha256(b"".join(part for pair in framed for part in pair))


def fact_kinds(entry: RecordEntry) -> Iterator[tuple[str, str]]:
    """Yield the kind and ordinal of each fact of a record by itself.

    The ordinal distinguishes the record's follow-ups; it is "" for other facts.
    """
    if entry.role in ("ask", "courtesy", "talk"):
        yield "customer_message", ""
    if entry.role in ("human", "bot", "auto", "talk"):
        yield "agent_message", ""
    if entry.bits & ASSIGNS:
        yield "assigned", ""
    if entry.bits & CLOSES:
        yield "closed", ""
    for ordinal, followup in enumerate(entry.followups):
        yield ("promise" if followup.promised else "request"), str(ordinal)


def _fact_fields(
    contact_ref: ContactRef,
    rules: ServiceRules,
    conversation_id: str,
    record_id: str,
    channel: str,
    at_ms: int,
) -> dict[str, Any]:
    """Return the fields that say of whom and of what a fact is, and when it happened."""
    return contact_ref.shared_fields() | {
        "conversation_id": _uuid(conversation_id),
        "record_id": _uuid(record_id),
        "contact": contact_ref.contact,
        "channel": channel,
        "occurred_at": _instant(at_ms),
        "business_s": rules.clock_s(at_ms),
    }


def record_facts(
    record: RecordView, entry: RecordEntry, rules: ServiceRules, contact_ref: ContactRef
) -> list[ConversationFact]:
    """Return the facts of a record by itself, independent of its neighbours."""
    call = entry.bits & CALL
    shared = _fact_fields(
        contact_ref,
        rules,
        record.conversation_id,
        record.record_id,
        record.channel,
        record.occurred_at,
    )
    facts: list[ConversationFact] = []
    for kind, ordinal in fact_kinds(entry):
        own: dict[str, Any] = {
            "fact_id": fact_id(kind, record.record_id, *([ordinal] if ordinal else []))
        }
        if kind == "customer_message":
            detail = ("call_answered" if entry.role == "talk" else "call_missed") if call else ""
            own |= {
                "actor": "customer",
                "detail": "courtesy" if entry.role == "courtesy" else detail,
            }
            if entry.role != "courtesy":
                own["first_response_due_at"] = _at(
                    rules.first_due(record.occurred_at, record.channel)
                )
                own["next_response_due_at"] = _at(
                    rules.later_due(record.occurred_at, record.channel)
                )
        elif kind == "agent_message":
            own |= _answer(record, entry, rules)
        elif kind == "assigned":
            own |= {"actor": "system", "staff": assignee(record)}
        elif kind == "closed":
            own |= {
                "actor": "system" if record.kind == "system" else "human",
                "detail": closing_reason(record),
                "staff": record.staff,
            }
        else:
            followup = entry.followups[int(ordinal)]
            own |= {"actor": "human" if followup.promised else "customer", "staff": followup.staff}
            own["detail"] = "call" if followup.call else "any"
        facts.append(construct(ConversationFact, shared, own, kind=kind))
    return facts


def _answer(record: RecordView, entry: RecordEntry, rules: ServiceRules) -> dict[str, Any]:
    """Return the fields of a message of the own side; a call counts from when it is picked up."""
    own: dict[str, Any] = {
        "actor": "human" if entry.role == "talk" else entry.role,
        "staff": record.staff,
    }
    if record.call is not None:
        at = max(record.occurred_at, record.call.answered_at or 0)
        own |= {"detail": "call_answered", "talk_s": record.call.talk_s}
        own |= {"occurred_at": _instant(at), "business_s": rules.clock_s(at)}
    return own


def retracted_fact(
    entry: RecordEntry, conversation_id: str, kind: str, ordinal: str, contact_ref: ContactRef
) -> ConversationFact:
    """Return the retraction of a fact of a record's earlier form."""
    return construct(
        ConversationFact,
        contact_ref.shared_fields(),
        fact_id=fact_id(kind, entry.record_id, *([ordinal] if ordinal else [])),
        kind=kind,
        conversation_id=_uuid(conversation_id),
        record_id=_uuid(entry.record_id),
        contact=contact_ref.contact,
        channel=entry.channel,
        occurred_at=_instant(entry.at),
        retracted=True,
    )


def reopened_fact(
    entry: RecordEntry,
    conversation_id: str,
    rules: ServiceRules,
    contact_ref: ContactRef,
    retracted: bool,
) -> ConversationFact:
    """Return the fact that a record reopened its conversation, or its retraction."""
    return construct(
        ConversationFact,
        _fact_fields(contact_ref, rules, conversation_id, entry.record_id, entry.channel, entry.at),
        fact_id=fact_id("reopened", entry.record_id),
        kind="reopened",
        actor="customer",
        retracted=retracted,
    )


def opened_fact(
    thread: Thread,
    summary: ConversationSummary,
    rules: ServiceRules,
    contact_ref: ContactRef,
    retracted: bool,
) -> ConversationFact:
    """Return the fact that a contact point's part of a conversation began, or its retraction."""
    return construct(
        ConversationFact,
        _fact_fields(
            contact_ref,
            rules,
            thread.conversation_id,
            summary.opened_record,
            summary.channel,
            summary.opened_at,
        ),
        fact_id=fact_id("opened", thread.conversation_id, contact_ref.key),
        kind="opened",
        actor=summary.opened_by,
        retracted=retracted,
    )


def conversation_row(
    thread: Thread,
    summary: ConversationSummary,
    rules: ServiceRules,
    contact_ref: ContactRef,
    retracted: bool = False,
) -> Conversation:
    """Return the row of a contact point's part of a conversation."""
    waiting_at = summary.waiting_at
    due = None
    if waiting_at is not None:
        due_of = rules.later_due if summary.answered else rules.first_due
        due = _at(due_of(waiting_at, summary.waiting_channel))
    return construct(
        Conversation,
        contact_ref.shared_fields(),
        part_id=_part_id("part", thread.conversation_id, contact_ref.key),
        conversation_id=_uuid(thread.conversation_id),
        merged_into=_uuid(thread.canonical) if thread.canonical else None,
        contact=contact_ref.contact,
        channel=_CHANNELS[summary.channel],
        subject=summary.subject,
        state=summary.state,
        opened_at=_instant(summary.opened_at),
        opened_by=summary.opened_by,
        last_at=_instant(summary.last_at),
        last_customer_at=_at(summary.customer_at),
        last_human_at=_at(summary.human_at),
        waiting_since=_at(waiting_at),
        first_response_due_at=None if summary.answered else due,
        next_response_due_at=due if summary.answered else None,
        closed_at=_at(summary.closed_at),
        episodes=summary.episodes,
        retracted=retracted,
    )


def followup_row(
    entry: RecordEntry,
    ordinal: int,
    followup: FollowUpEntry,
    conversation_id: str,
    contact_ref: ContactRef,
    retracted: bool = False,
) -> FollowUp:
    """Return the row of a follow-up, open or fulfilled, or its retraction."""
    return construct(
        FollowUp,
        contact_ref.shared_fields(),
        followup_id=stable_id("followup", entry.record_id, str(ordinal)),
        kind="promised" if followup.promised else "requested",
        way="call" if followup.call else "any",
        conversation_id=_uuid(conversation_id),
        record_id=_uuid(entry.record_id),
        contact=contact_ref.contact,
        channel=_CHANNELS[entry.channel],
        staff=followup.staff,
        phrase=followup.phrase,
        promised_at=_instant(entry.at),
        due_at=_instant(followup.due_at),
        due_stated=followup.stated,
        counts_from=_instant(followup.counts_from),
        fulfilled_at=_at(followup.fulfilled_at or None),
        fulfilled_by=_uuid(followup.fulfilled_by) if followup.fulfilled_by else None,
        retracted=retracted,
    )


def flag_row(
    entry: RecordEntry,
    flag: Flag,
    conversation_id: str,
    contact_ref: ContactRef,
    retracted: bool = False,
) -> RecordFlag:
    """Return the row of a record's flag, or its retraction."""
    name, other, value = flag
    return construct(
        RecordFlag,
        contact_ref.shared_fields(),
        flag_id=_id("flag", name, entry.record_id),
        record_id=_uuid(entry.record_id),
        flag=name,
        conversation_id=_uuid(conversation_id),
        other_record_id=_uuid(other) if other else None,
        value=value,
        occurred_at=_instant(entry.at),
        retracted=retracted,
    )


def business_facts(record: BusinessRecord, rules: ServiceRules) -> list[ConversationFact]:
    """Return a business event's facts: a rating, a complaint's stage, a closed conversation."""
    at = to_ms(record.occurred_at)
    thread = (
        stable_id("conversation", record.tenant, "platform", record.source, record.conversation)
        if record.conversation
        else None
    )
    shared: dict[str, Any] = {
        "tenant": record.tenant,
        "customer_id": record.customer_id,
        "conversation_id": thread,
        "record_id": record.record_id,
        "contact": record.contact,
        "channel": record.channel,
        "occurred_at": record.occurred_at,
        "business_s": rules.clock_s(at),
        "staff": record.staff,
        "detail": record.entity_id,
    }
    facts: list[ConversationFact] = []
    record_id = str(record.record_id)
    if record.kind == "feedback" and record.rating_index is not None:
        own = {
            "fact_id": fact_id("rated", record_id),
            "actor": "customer",
            "rating_index": record.rating_index,
        }
        facts.append(ConversationFact(kind="rated", **shared | own))
    if record.kind == "complaint":
        kind = f"complaint_{record.action}"
        own = {
            "fact_id": fact_id(kind, record_id),
            "actor": "customer" if record.action == "opened" else "human",
        }
        facts.append(ConversationFact(kind=kind, **shared | own))
        if record.action == "closed" and thread is not None:
            own = {
                "fact_id": fact_id("closed", record_id),
                "actor": "human",
                "detail": f"complaint {record.result}".strip(),
            }
            facts.append(ConversationFact(kind="closed", **shared | own))
    return facts

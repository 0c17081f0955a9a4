"""From what is known to the contracts that tell it: facts, follow-ups, flags and conversations,
with ids that never change.
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
from pipeline.processors.converse.record_view import Seen
from pipeline.processors.converse.roles import assigned_to, closing_of
from pipeline.processors.converse.service_rules import Rules
from pipeline.processors.converse.state import (
    ASSIGNS,
    CALL,
    CLOSES,
    Entry,
    Flag,
    FollowUpEntry,
    Thread,
)
from pipeline.processors.converse.summary import Tally
from schemas.conversations import Conversation, ConversationFact, FollowUp, RecordFlag
from schemas.envelope import stable_id, uuid8
from schemas.records import BusinessRecord
from schemas.types import Channel
from schemas.unchecked import made

if TYPE_CHECKING:
    from hashlib import _Hash as HASH

# The same ids and instants go into many rows: a conversation's, a contact point's, the last
# message's.
_CACHED = 8_192
_uuid = lru_cache(_CACHED)(UUID)
_instant = lru_cache(_CACHED)(from_ms)
_part_id = lru_cache(_CACHED)(stable_id)
_CHANNELS = {channel.value: channel for channel in Channel}


@dataclass(frozen=True, slots=True)
class Whose:
    """The contact point that all is told of; `key` is its key in records.v1."""

    tenant: str
    customer_id: str | None
    contact: str
    key: str

    def shared(self) -> dict[str, Any]:
        """Return the fields that every contract of a contact point shares."""
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
    """Return `stable_id(family, *names)`, its first parts hashed once for all: an id is made for
    every row.
    """
    hashed = _hashed(family, names[0]).copy()
    for name in names[1:]:
        raw = name.encode()
        hashed.update(len(raw).to_bytes(8, "big") + raw)
    return uuid8(hashed.digest())


@lru_cache
def _hashed(*names: str) -> HASH:
    framed = [(len(raw).to_bytes(8, "big"), raw) for raw in (name.encode() for name in names)]
    return sha256(b"".join(part for pair in framed for part in pair))


def kinds_of(entry: Entry) -> Iterator[tuple[str, str]]:
    """Yield (kind, ordinal) of each fact that a record tells by itself; ordinals tell its
    follow-ups apart.
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


def facts_of(seen: Seen, entry: Entry, rules: Rules, whose: Whose) -> list[ConversationFact]:
    """Return the facts that a record tells by itself, whatever its neighbours."""
    call = entry.bits & CALL
    told: dict[str, Any] = whose.shared() | {
        "conversation_id": _uuid(seen.conversation_id),
        "record_id": _uuid(seen.record_id),
        "contact": whose.contact,
        "channel": seen.channel,
        "occurred_at": _instant(seen.occurred_ms),
        "business_s": rules.clock_s(seen.occurred_ms),
    }
    facts: list[ConversationFact] = []
    for kind, ordinal in kinds_of(entry):
        own: dict[str, Any] = {
            "fact_id": fact_id(kind, seen.record_id, *([ordinal] if ordinal else []))
        }
        if kind == "customer_message":
            detail = ("call_answered" if entry.role == "talk" else "call_missed") if call else ""
            own |= {
                "actor": "customer",
                "detail": "courtesy" if entry.role == "courtesy" else detail,
            }
            if entry.role != "courtesy":
                own["first_response_due_at"] = _at(rules.first_due(seen.occurred_ms, seen.channel))
                own["next_response_due_at"] = _at(rules.later_due(seen.occurred_ms, seen.channel))
        elif kind == "agent_message":
            own |= _answer(seen, entry, rules)
        elif kind == "assigned":
            own |= {"actor": "system", "staff": assigned_to(seen)}
        elif kind == "closed":
            own |= {
                "actor": "system" if seen.kind == "system" else "human",
                "detail": closing_of(seen),
                "staff": seen.staff,
            }
        else:
            followup = entry.followups[int(ordinal)]
            own |= {"actor": "human" if followup.promised else "customer", "staff": followup.staff}
            own["detail"] = "call" if followup.call else "any"
        facts.append(made(ConversationFact, told, own, kind=kind))
    return facts


def _answer(seen: Seen, entry: Entry, rules: Rules) -> dict[str, Any]:
    """Return an agent message's own fields; a call is answered when it is picked up, not when it
    rings.
    """
    own: dict[str, Any] = {
        "actor": "human" if entry.role == "talk" else entry.role,
        "staff": seen.staff,
    }
    if entry.bits & CALL:
        at = max(seen.occurred_ms, seen.answered_ms or 0)
        own |= {"detail": "call_answered", "talk_s": seen.talk_s}
        own |= {"occurred_at": _instant(at), "business_s": rules.clock_s(at)}
    return own


def untold(
    entry: Entry, conversation_id: str, kind: str, ordinal: str, whose: Whose
) -> ConversationFact:
    """Return the retraction of a fact that a record told before."""
    return made(
        ConversationFact,
        whose.shared(),
        fact_id=fact_id(kind, entry.record_id, *([ordinal] if ordinal else [])),
        kind=kind,
        conversation_id=_uuid(conversation_id),
        record_id=_uuid(entry.record_id),
        contact=whose.contact,
        channel=entry.channel,
        occurred_at=_instant(entry.at),
        retracted=True,
    )


def reopened(
    entry: Entry, conversation_id: str, rules: Rules, whose: Whose, retracted: bool
) -> ConversationFact:
    """Return that a record reopened its conversation, or that it did not after all."""
    return made(
        ConversationFact,
        whose.shared(),
        fact_id=fact_id("reopened", entry.record_id),
        kind="reopened",
        actor="customer",
        conversation_id=_uuid(conversation_id),
        record_id=_uuid(entry.record_id),
        contact=whose.contact,
        channel=entry.channel,
        occurred_at=_instant(entry.at),
        business_s=rules.clock_s(entry.at),
        retracted=retracted,
    )


def opened(
    thread: Thread, tally: Tally, rules: Rules, whose: Whose, retracted: bool
) -> ConversationFact:
    """Return when the contact point's part of a conversation began, or that it never did."""
    return made(
        ConversationFact,
        whose.shared(),
        fact_id=fact_id("opened", thread.conversation_id, whose.key),
        kind="opened",
        actor=tally.opened_by,
        conversation_id=_uuid(thread.conversation_id),
        record_id=_uuid(tally.opened_record),
        contact=whose.contact,
        channel=tally.channel,
        occurred_at=_instant(tally.opened_at),
        business_s=rules.clock_s(tally.opened_at),
        retracted=retracted,
    )


def conversation(
    thread: Thread, tally: Tally, rules: Rules, whose: Whose, retracted: bool = False
) -> Conversation:
    """Return the row of a contact point's part of a conversation."""
    waiting = tally.waiting_at
    due = None
    if waiting is not None:
        ask = rules.later_due if tally.answered else rules.first_due
        due = _at(ask(waiting, tally.waiting_channel))
    return made(
        Conversation,
        whose.shared(),
        part_id=_part_id("part", thread.conversation_id, whose.key),
        conversation_id=_uuid(thread.conversation_id),
        merged_into=_uuid(thread.canonical) if thread.canonical else None,
        contact=whose.contact,
        channel=_CHANNELS[tally.channel],
        subject=tally.subject,
        state=tally.state,
        opened_at=_instant(tally.opened_at),
        opened_by=tally.opened_by,
        last_at=_instant(tally.last_at),
        last_customer_at=_at(tally.customer_at),
        last_human_at=_at(tally.human_at),
        waiting_since=_at(waiting),
        first_response_due_at=None if tally.answered else due,
        next_response_due_at=due if tally.answered else None,
        closed_at=_at(tally.closed_at),
        episodes=tally.episodes,
        retracted=retracted,
    )


def followup(
    entry: Entry,
    ordinal: int,
    one: FollowUpEntry,
    conversation_id: str,
    whose: Whose,
    retracted: bool = False,
) -> FollowUp:
    """Return a follow-up as it stands."""
    return made(
        FollowUp,
        whose.shared(),
        followup_id=stable_id("followup", entry.record_id, str(ordinal)),
        kind="promised" if one.promised else "requested",
        way="call" if one.call else "any",
        conversation_id=_uuid(conversation_id),
        record_id=_uuid(entry.record_id),
        contact=whose.contact,
        channel=_CHANNELS[entry.channel],
        staff=one.staff,
        phrase=one.phrase,
        promised_at=_instant(entry.at),
        due_at=_instant(one.due_at),
        due_stated=one.stated,
        counts_from=_instant(one.counts_from),
        fulfilled_at=_at(one.fulfilled_at or None),
        fulfilled_by=_uuid(one.fulfilled_by) if one.fulfilled_by else None,
        retracted=retracted,
    )


def flag(
    entry: Entry, one: Flag, conversation_id: str, whose: Whose, retracted: bool = False
) -> RecordFlag:
    """Return a record's flag, or that it no longer holds."""
    name, other, value = one
    return made(
        RecordFlag,
        whose.shared(),
        flag_id=_id("flag", name, entry.record_id),
        record_id=_uuid(entry.record_id),
        flag=name,
        conversation_id=_uuid(conversation_id),
        other_record_id=_uuid(other) if other else None,
        value=value,
        occurred_at=_instant(entry.at),
        retracted=retracted,
    )


def business_facts(record: BusinessRecord, rules: Rules) -> list[ConversationFact]:
    """Return what a business event tells: a rating, a complaint's stages, the end of the
    conversation that a complaint closed.
    """
    at = to_ms(record.occurred_at)
    named = record.conversation
    thread = (
        stable_id("conversation", record.tenant, "platform", record.source, named)
        if named
        else None
    )
    told: dict[str, Any] = {
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
        facts.append(ConversationFact(kind="rated", **told | own))
    if record.kind == "complaint":
        kind = f"complaint_{record.action}"
        own = {
            "fact_id": fact_id(kind, record_id),
            "actor": "customer" if record.action == "opened" else "human",
        }
        facts.append(ConversationFact(kind=kind, **told | own))
        if record.action == "closed" and thread is not None:
            own = {
                "fact_id": fact_id("closed", record_id),
                "actor": "human",
                "detail": f"complaint {record.result}".strip(),
            }
            facts.append(ConversationFact(kind="closed", **told | own))
    return facts

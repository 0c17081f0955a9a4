"""From contracts to rows: which tables a record, a business event, a link, a label or a dead letter fills, column by column."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pipeline.models.heads import HEADS
from pipeline.sinks.conversation_rows import CONVERSATION_MAPPINGS
from schemas.dead_letters import DeadLetter, Replay
from schemas.labels import Label
from schemas.records import BusinessRecord, Delivery, Enriched, Link, Record
from schemas.types import Contract

Rows = dict[str, list[dict[str, Any]]]

_HEADS = tuple(head.name for head in HEADS)
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
# Older than anything said about a customer, so that whatever is said wins.
_UNSAID = {"1": _NEVER, "2": ""}
_PROFILE_FIELDS = ("name", "email", "phone", "handle", "address", "city", "origin", "gender", "birth_year", "segment")


def _uuid(value: UUID | None) -> str | None:
    return None if value is None else str(value)


def _predictions(record: Record) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for head in _HEADS:
        answer = record.predictions.get(head)
        columns[head] = answer.label if answer else ""
        columns[f"{head}_p"] = answer.p if answer else 0.0
        columns[f"{head}_abstained"] = answer.abstained if answer else True
        columns[f"{head}_version"] = answer.version if answer else ""
    return columns


def _shared(record: Enriched) -> dict[str, Any]:
    return {
        "record_id": str(record.record_id),
        "tenant": record.tenant,
        "occurred_at": record.occurred_at,
        "received_at": record.received_at,
        "customer_id": _uuid(record.customer_id),
        "contact": record.contact,
        "contact_name": record.contact_name,
        "contacts": list(record.contacts),
        "staff": record.staff,
        "source": record.source,
        "event_id": record.event_id,
        "event_type": record.event_type,
        "connector": record.connector,
        "quality_flags": list(record.quality_flags),
        "attributes": list(record.attributes.items()),
    }


def _communication(record: Record, version: int) -> dict[str, Any]:
    call = record.call
    return {
        **_shared(record),
        "channel": record.channel,
        "kind": record.kind,
        "direction": record.direction,
        "sent_at": record.sent_at,
        "conversation_id": str(record.conversation_id),
        "participants": [f"{who.role} {who.contact} {who.name}".strip() for who in record.participants],
        "provider": record.provider,
        "message_id": record.message_id,
        "in_reply_to": record.in_reply_to,
        "subject": record.subject,
        "body_text": record.body_text,
        "reply_text": record.reply_text,
        "quoted_text": record.quoted_text,
        "signature_text": record.signature_text,
        "cut_rules": list(record.cut_rules),
        "redacted_text": record.redacted_text,
        "language": record.language,
        "result": record.result,
        "remarks": record.remarks,
        "campaign": record.campaign,
        "auto_kind": record.auto_kind or "",
        "attachment_names": [item.name or "" for item in record.attachments],
        "attachment_count": len(record.attachments),
        "call_started_at": call.started_at if call else None,
        "call_answered_at": call.answered_at if call else None,
        "call_ended_at": call.ended_at if call else None,
        "ring_s": call.ring_s if call else None,
        "talk_s": call.talk_s if call else None,
        "disposition": (call.disposition or "") if call else "",
        **_predictions(record),
        "version": version,
    }


def _business_event(record: BusinessRecord, version: int) -> dict[str, Any]:
    return {
        **_shared(record),
        "kind": record.kind,
        "action": record.action,
        "entity_id": record.entity_id,
        "channel": record.channel,
        "conversation": record.conversation,
        "amount": record.amount,
        "currency": record.currency,
        "item_skus": [item.sku for item in record.items],
        "item_names": [item.name or "" for item in record.items],
        "item_quantities": [float(item.quantity) for item in record.items],
        "payment_method": record.payment_method,
        "feedback_kind": record.feedback_kind,
        "rating": record.rating,
        "rating_index": record.rating_index,
        "reason": record.reason,
        "text": record.text,
        "handling": record.handling,
        "result": record.result,
        "order_id": record.order_id,
        "target": record.target,
        "survey_sent_at": record.survey_sent_at,
        "profile": list(record.profile.items()),
        "version": version,
    }


def _delivery(
    record_id: UUID, delivery: Delivery, received_at: datetime, connector: str, history: str, version: int
) -> dict[str, Any]:
    return {
        "record_id": str(record_id),
        "locator": delivery.locator,
        "body_sha256": delivery.sha256,
        "received_at": received_at,
        "connector": connector,
        "history": history,
        "version": version,
    }


def _customer(record: Enriched, profile: Mapping[str, str]) -> dict[str, Any]:
    said = {kind: value for kind, _, value in (point.partition(":") for point in record.contacts)}
    facts = {"name": record.contact_name, **said, **profile}
    return {
        "customer_id": _uuid(record.customer_id),
        "tenant": record.tenant,
        "contact": {"1": record.occurred_at, "2": record.contact},
        "first_seen": record.occurred_at,
        "last_seen": record.occurred_at,
        **{
            name: {"1": record.occurred_at, "2": facts[name]} if facts.get(name) else _UNSAID
            for name in _PROFILE_FIELDS
        },
    }


def _enriched(
    record: Enriched, history: str, profile: Mapping[str, str], version: int
) -> Iterable[tuple[str, dict[str, Any]]]:
    yield (
        "delivery_rows",
        _delivery(record.record_id, record.delivery, record.received_at, record.connector, history, version),
    )
    if record.customer_id is not None:
        yield "customer_rows", _customer(record, profile)
        yield (
            "customer_index",
            {
                "customer_id": str(record.customer_id),
                "occurred_at": record.occurred_at,
                "record_id": str(record.record_id),
                "history": history,
                "version": version,
            },
        )


def _record_rows(record: Record, version: int) -> Iterable[tuple[str, dict[str, Any]]]:
    yield "communication_rows", _communication(record, version)
    for head, answer in record.predictions.items():
        yield (
            "prediction_rows",
            {
                "record_id": str(record.record_id),
                "head": head,
                "model_version": answer.version,
                "label": answer.label,
                "p": answer.p,
                "abstained": answer.abstained,
                "predicted_at": record.received_at,
                "version": version,
            },
        )
    yield from _enriched(record, "communications", {}, version)


def _business_rows(record: BusinessRecord, version: int) -> Iterable[tuple[str, dict[str, Any]]]:
    yield "business_event_rows", _business_event(record, version)
    yield from _enriched(record, "business_events", record.profile, version)


# Above every negated instant in ms, so that a version is positive; 2^20 below it breaks ties between events of one ms.
_LINK_EPOCH = 1 << 62


def _link_rows(link: Link, _version: int) -> Iterable[tuple[str, dict[str, Any]]]:
    """Give the row of a link; of many events that show the same two contact points the earliest stays, in whatever order they load."""
    row = link.model_dump(include=set(Link.model_fields))
    for name in ("link_id", "customer_id", "other_customer_id", "record_id"):
        row[name] = str(row[name])
    instant = int(link.linked_at.timestamp() * 1000)
    yield "link_rows", {**row, "version": _LINK_EPOCH - (instant << 20) - (link.record_id.int & 0xFFFFF)}


def _label_rows(label: Label, version: int) -> Iterable[tuple[str, dict[str, Any]]]:
    row = label.model_dump(include=set(Label.model_fields) - {"delivery"})
    yield "label_rows", {**row, "label_id": str(label.label_id), "record_id": str(label.record_id), "version": version}
    yield (
        "delivery_rows",
        _delivery(label.label_id, label.delivery, label.labelled_at, label.connector, "labels", version),
    )


def _dead_letter_rows(letter: DeadLetter, version: int) -> Iterable[tuple[str, dict[str, Any]]]:
    row = letter.model_dump(include=set(DeadLetter.model_fields) - {"payload", "key"})
    row |= {"dead_letter_id": str(letter.dead_letter_id), "headers": list(letter.headers.items())}
    # Read as attributes: a dump would write the bytes as base64.
    row |= {"payload": letter.payload, "key": letter.key or b""}
    yield "dead_letter_rows", {**row, "version": version}


def _replay_rows(replay: Replay, version: int) -> Iterable[tuple[str, dict[str, Any]]]:
    row = replay.model_dump(include=set(Replay.model_fields))
    yield "replay_rows", {**row, "dead_letter_id": str(replay.dead_letter_id), "version": version}


_MAPPINGS: dict[type[Contract], Callable[[Any, int], Iterable[tuple[str, dict[str, Any]]]]] = {
    Record: _record_rows,
    BusinessRecord: _business_rows,
    Link: _link_rows,
    Label: _label_rows,
    DeadLetter: _dead_letter_rows,
    Replay: _replay_rows,
    **CONVERSATION_MAPPINGS,
}


def rows_of(contract: Contract, version: int) -> Rows:
    """Return the rows that one contract becomes, by table; raises KeyError for a contract that no table keeps."""
    rows: Rows = defaultdict(list)
    for table, row in _MAPPINGS[type(contract)](contract, version):
        rows[table].append(row)
    return rows

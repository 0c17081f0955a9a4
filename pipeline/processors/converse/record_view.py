"""The fields of a record that converse reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.processors.converse.business_hours import to_ms
from schemas.envelope import DEFAULT_TENANT
from schemas.records import Record


@dataclass(frozen=True, slots=True)
class RecordView:
    """The fields of `schemas.records.Record` that converse reads.

    Instants are in ms since 1970, UTC; absent text is empty. `from_json` reads only these fields
    of a record's JSON, which is faster than decoding the whole record.
    """

    record_id: str
    tenant: str
    source: str
    customer_id: str | None
    contact: str
    conversation_id: str
    occurred_ms: int
    received_ms: int
    channel: str
    kind: str
    direction: str
    message_id: str
    in_reply_to: str
    references: tuple[str, ...]
    subject: str
    text: str
    staff: str
    result: str
    campaign: str
    auto_kind: str
    disposition: str | None
    answered_ms: int | None
    talk_s: float | None

    @property
    def key(self) -> str:
        """The contact point's key, which is the key in records.v1."""
        return self.customer_id or self.record_id

    @classmethod
    def from_record(cls, record: Record) -> RecordView:
        """Return the view of a record."""
        call = record.call
        return cls(
            str(record.record_id),
            record.tenant,
            record.source,
            None if record.customer_id is None else str(record.customer_id),
            record.contact,
            str(record.conversation_id),
            to_ms(record.occurred_at),
            to_ms(record.received_at),
            str(record.channel),
            record.kind,
            str(record.direction),
            record.message_id,
            record.in_reply_to,
            record.references,
            record.subject,
            record.reply_text,
            record.staff,
            record.result,
            record.campaign,
            str(record.auto_kind or ""),
            str(call.disposition or "") if call else None,
            to_ms(call.answered_at) if call and call.answered_at else None,
            call.talk_s if call else None,
        )

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> RecordView:
        """Return the view of a record's decoded JSON; raises KeyError if a field is missing."""
        get = record.get
        call = get("call")
        return cls(
            record["record_id"],
            get("tenant", DEFAULT_TENANT),
            record["source"],
            get("customer_id"),
            get("contact", ""),
            record["conversation_id"],
            _instant(record["occurred_at"]),
            _instant(record["received_at"]),
            record["channel"],
            record["kind"],
            record["direction"],
            get("message_id", ""),
            get("in_reply_to", ""),
            tuple(get("references", ())),
            get("subject", ""),
            get("reply_text", ""),
            get("staff", ""),
            get("result", ""),
            get("campaign", ""),
            get("auto_kind") or "",
            (call.get("disposition") or "") if call else None,
            _instant(call["answered_at"]) if call and call.get("answered_at") else None,
            call.get("talk_s") if call else None,
        )


def _instant(text: str) -> int:
    return to_ms(datetime.fromisoformat(text))

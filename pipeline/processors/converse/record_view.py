"""The fields of a record that converse reads."""

from __future__ import annotations

from typing import ClassVar, Self

from pipeline.processors.projection import IdText, Milliseconds, Projection
from schemas.envelope import DEFAULT_TENANT
from schemas.records import CallFacts, Record
from schemas.types import Contract
from schemas.unchecked import to_json


class CallView(Projection):
    """The fields of a call that converse reads."""

    contract: ClassVar[type[Contract]] = CallFacts

    answered_at: Milliseconds | None = None
    talk_s: float | None = None
    disposition: str | None = None


class RecordView(Projection):
    """The fields of a record that converse reads; `call` is None for everything but calls.

    The hash of a record's content depends on the order of the fields; see `content_hash`.
    """

    contract: ClassVar[type[Contract]] = Record

    record_id: IdText
    tenant: str = DEFAULT_TENANT
    source: str
    customer_id: IdText | None = None
    contact: str = ""
    conversation_id: IdText
    occurred_at: Milliseconds
    received_at: Milliseconds
    channel: str
    kind: str
    direction: str
    message_id: str = ""
    in_reply_to: str = ""
    references: tuple[str, ...] = ()
    subject: str = ""
    reply_text: str = ""
    staff: str = ""
    result: str = ""
    campaign: str = ""
    auto_kind: str | None = None
    call: CallView | None = None

    @property
    def key(self) -> str:
        """The contact point's key, which is the key in records.v1."""
        return self.customer_id or self.record_id

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Return the view of a record."""
        return cls.from_json(to_json(record))

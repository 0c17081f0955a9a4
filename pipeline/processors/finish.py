"""The step `finish`: turns a complete draft into the record and the links that are emitted."""

from __future__ import annotations

from pipeline.outcomes import Context, Emit, MapStep, Outcome, Output
from pipeline.processors.draft import Draft
from pipeline.processors.shared_fields import shared_fields
from schemas.communications import CallData, Communication, EmailData, MessageData
from schemas.envelope import Event, stable_id
from schemas.records import Record
from schemas.topics import LINKS, RECORDS
from schemas.types import Contract
from schemas.unchecked import construct


def finish(draft: Draft, _ctx: Context) -> Outcome[Contract]:
    """Emit the record of a draft, keyed by its customer, and the links between contact points."""
    record = build_record(draft)
    outputs: list[Output[Contract]] = [
        Output(record, RECORDS.name, str(record.customer_id or record.record_id))
    ]
    outputs.extend(
        Output(link, LINKS.name, str(link.customer_id)) for link in draft.identified.links
    )
    return Emit(tuple(outputs))


FINISH: MapStep[Draft, Contract] = MapStep("finish", finish)


def build_record(draft: Draft) -> Record:
    """Return the record of a draft that all steps before have completed."""
    incoming, cleaned, identified = draft.incoming, draft.cleaned, draft.identified
    data = cleaned.data
    mail = data if isinstance(data, EmailData) else None
    return construct(
        Record,
        shared_fields(
            incoming,
            cleaned.times,
            identified.customer,
            (*cleaned.flags, *identified.flags),
            data.staff,
        ),
        channel=data.channel,
        kind=_kind(data),
        provider=data.provider or "",
        direction=identified.direction,
        sent_at=cleaned.times.sent_at,
        conversation_id=stable_id(
            "conversation", incoming.event.tenant, *_thread(data, incoming.event)
        ),
        message_id=(mail.message_id or "") if mail else incoming.event.id,
        in_reply_to=data.in_reply_to or "",
        references=mail.references if mail else (),
        participants=identified.participants,
        subject=data.subject or "",
        body_text=cleaned.parts.body,
        reply_text=cleaned.parts.reply,
        quoted_text=cleaned.parts.quoted,
        signature_text=cleaned.parts.signature,
        cut_rules=cleaned.parts.rules,
        redacted_text=draft.redacted_text,
        language=cleaned.language,
        result=data.result or "",
        remarks=data.remarks or "",
        campaign=data.campaign or "",
        auto_kind=data.auto_kind,
        attachments=data.attachments,
        call=cleaned.call,
        predictions=draft.predictions,
    )


def _kind(data: Communication) -> str:
    if isinstance(data, CallData):
        return "call"
    return data.kind if isinstance(data, MessageData) else "message"


def _thread(data: Communication, event: Event) -> tuple[str, ...]:
    """Return the names that the id of the conversation is made of.

    For a mail it is the oldest known ancestor, whatever mailbox it was read from; for a message of
    a platform, the thread within its source.
    """
    if isinstance(data, EmailData) and data.conversation is None:
        ancestors = (*data.references, data.in_reply_to, data.message_id)
        if root := next((name for name in ancestors if name), ""):
            return "mail", root
    return "platform", event.source, data.conversation or data.in_reply_to or event.id

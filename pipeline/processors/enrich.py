"""The stage `enrich`: which steps an event of each kind goes through, and the record that comes
out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.envelope import IncomingEvent
from pipeline.models.heads import HEADS, Head
from pipeline.outcomes import Chain, Context, Emit, MapStep, Outcome, Output, Step, run_checked
from pipeline.processors.business import BusinessEvents
from pipeline.processors.classify import Classify
from pipeline.processors.clean.clean import CLEAN
from pipeline.processors.draft import Judged
from pipeline.processors.identify import Identify, Identity
from pipeline.processors.labels import accept_labels
from pipeline.processors.redact import REDACT
from pipeline.processors.shared_fields import shared_fields
from schemas.business import BusinessData
from schemas.communications import CallData, Communication, EmailData, MessageData
from schemas.envelope import Event, stable_id
from schemas.labels import LabelEventData
from schemas.records import Record
from schemas.topics import LINKS, RECORDS
from schemas.types import Contract
from schemas.unchecked import construct


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Sends each event to the steps of its kind and puts the outcomes back in the batch's order."""

    routes: tuple[tuple[type[Contract], Step[IncomingEvent, Contract]], ...]
    name: str = "enrich"

    def __call__(self, batch: Sequence[IncomingEvent], ctx: Context) -> Sequence[Outcome[Contract]]:
        lanes: dict[int, list[int]] = defaultdict(list)
        for place, incoming in enumerate(batch):
            lanes[self._route(incoming.data)].append(place)
        outcomes: dict[int, Outcome[Contract]] = {}
        for lane, places in lanes.items():
            done = run_checked(self.routes[lane][1], [batch[place] for place in places], ctx)
            outcomes.update(zip(places, done, strict=True))
        return [outcomes[place] for place in range(len(batch))]

    def _route(self, data: Contract) -> int:
        for lane, (kind, _) in enumerate(self.routes):
            if isinstance(data, kind):
                return lane
        raise TypeError(f"no step is declared for {type(data).__name__}")


def enrich_step(identity: Identity, heads: Sequence[Head] = HEADS) -> Step[IncomingEvent, Contract]:
    """Return the whole of enrich: communications are cleaned, identified, redacted, classified; the
    rest takes shorter ways.

    Labels are kept of the `heads` given, which are those of the models that the context brings.
    """
    redacted = Chain("redact", Chain("identify", CLEAN, Identify(identity)), REDACT)
    judged = Chain("classify", redacted, Classify())
    communications: Step[IncomingEvent, Contract] = Chain(
        "record", judged, MapStep("record", finish)
    )
    return Dispatch(
        (
            (Communication, communications),
            (BusinessData, BusinessEvents(identity)),
            (LabelEventData, accept_labels(heads)),
        )
    )


def finish(judged: Judged, _ctx: Context) -> Outcome[Contract]:
    """Return the record of a judged event, keyed by its customer, and the links it shows."""
    identified = judged.redacted.identified
    record = _record(judged)
    outputs: list[Output[Contract]] = [
        Output(record, RECORDS.name, str(record.customer_id or record.record_id))
    ]
    outputs.extend(Output(link, LINKS.name, str(link.customer_id)) for link in identified.links)
    return Emit(tuple(outputs))


def _record(judged: Judged) -> Record:
    identified = judged.redacted.identified
    cleaned = identified.cleaned
    incoming, data = cleaned.incoming, cleaned.data
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
        redacted_text=judged.redacted.text,
        language=cleaned.language,
        result=data.result or "",
        remarks=data.remarks or "",
        campaign=data.campaign or "",
        auto_kind=data.auto_kind,
        attachments=data.attachments,
        call=cleaned.call,
        predictions=judged.predictions,
    )


def _kind(data: Communication) -> str:
    if isinstance(data, CallData):
        return "call"
    return data.kind if isinstance(data, MessageData) else "message"


def _thread(data: Communication, event: Event) -> tuple[str, ...]:
    """Return what names the conversation: a mail's oldest known ancestor, wherever it was read; a
    platform's thread in its source.
    """
    if isinstance(data, EmailData) and data.conversation is None:
        ancestors = (*data.references, data.in_reply_to, data.message_id)
        if root := next((name for name in ancestors if name), ""):
            return "mail", root
    return "platform", event.source, data.conversation or data.in_reply_to or event.id

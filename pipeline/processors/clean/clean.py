"""The step `clean`: turn the bytes and fields of an event into text, times and quality flags."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline.envelope import IncomingEvent
from pipeline.mail.html_text import html_to_text
from pipeline.mail.mime import MailAddress, NotAMailError, ParsedMail, ParseLimits, parse_mail
from pipeline.outcomes import Context, MapStep, Outcome, Reject, emit
from pipeline.processors.clean.language import detect_language
from pipeline.processors.clean.plain_text import (
    normalise_text,
    split_mail_text,
    truncate,
    unsplit_parts,
)
from pipeline.processors.clean.timestamps import EventTimes, call_facts, choose_times
from pipeline.processors.draft import Cleaned, Draft
from schemas.communications import AutoKind, CallData, Communication, EmailData, MessageData
from schemas.dead_letters import RejectCode
from schemas.types import Attachment, Party, in_range


def clean(draft: Draft, _ctx: Context) -> Outcome[Draft]:
    """Clean one communication of any channel; reject a mail whose bytes are not a mail."""
    incoming = draft.incoming
    data = incoming.data
    if not isinstance(data, Communication):
        raise TypeError(f"clean accepts communications, not {type(data).__name__}")
    mail_flags: tuple[str, ...] = ()
    if isinstance(data, EmailData) and data.mime is not None:
        try:
            mail = parse_mail(data.mime)
        except NotAMailError as error:
            return Reject(RejectCode.UNPARSABLE, f"data.mime: {error}")
        data, mail_flags = _with_mail_fields(data, mail), mail.flags
    data, list_flags = _limit_lists(data)
    text, truncated = truncate(normalise_text(_text(data)))
    times = _choose_event_times(incoming, data)
    parts, split_flags = (
        split_mail_text(text) if isinstance(data, EmailData) else (unsplit_parts(text), ())
    )
    call, call_flags = (
        call_facts(data, times.occurred_at) if isinstance(data, CallData) else (None, ())
    )
    flags = (
        *mail_flags,
        *list_flags,
        *times.flags,
        *split_flags,
        *call_flags,
        *_missing_text_flags(data, text),
        *(("text_truncated",) if truncated else ()),
    )
    language = detect_language(parts.reply or text or data.subject or "").code
    draft.cleaned = Cleaned(data, times, parts, language, call, flags)
    return emit(draft)


CLEAN: MapStep[Draft, Draft] = MapStep("clean", clean)


def _with_mail_fields(data: EmailData, mail: ParsedMail) -> EmailData:
    """Return the event of a mail with headers and text filled in where it has none of its own."""
    parsed: dict[str, Any] = {
        "from_": next(iter(_parties(mail.from_)), Party()),
        "reply_to": _parties(mail.reply_to),
        "to": _parties(mail.to),
        "cc": _parties(mail.cc),
        "bcc": _parties(mail.bcc),
        "subject": normalise_text(mail.subject) or None,
        "message_id": mail.message_id or None,
        # A bounce answers the mail that failed, and is in the thread of that mail.
        "in_reply_to": mail.bounced_message_id or mail.in_reply_to or None,
        "references": mail.bounced_references or mail.references,
        "text": mail.body_text,
        "sent_at": mail.date if mail.date is not None and in_range(mail.date) else None,
        "received_at": mail.received_at
        if mail.received_at is not None and in_range(mail.received_at)
        else None,
        "auto_kind": AutoKind(mail.auto_kind) if mail.auto_kind else None,
        "attachments": tuple(
            Attachment(
                name=normalise_text(item.name) or None,
                mime=item.mime,
                bytes=item.bytes,
                sha256=item.sha256,
            )
            for item in mail.attachments
        ),
    }
    set_fields = data.model_fields_set
    return data.model_copy(
        update={"mime": None}
        | {name: value for name, value in parsed.items() if name not in set_fields}
    )


# An event that comes with parsed fields is bounded as a mail is, and gets the same flags.
_LIMITS = ParseLimits()
_LIST_LIMITS = {
    "to": (_LIMITS.addresses, "header_limited"),
    "cc": (_LIMITS.addresses, "header_limited"),
    "bcc": (_LIMITS.addresses, "header_limited"),
    "reply_to": (_LIMITS.addresses, "header_limited"),
    "references": (_LIMITS.references, "header_limited"),
    "attachments": (_LIMITS.parts, "part_limited"),
}


def _limit_lists(data: Communication) -> tuple[Communication, tuple[str, ...]]:
    """Return the event with its lists cut at the limits of a mail, and the flags that say so."""
    cut: dict[str, Any] = {}
    flags: list[str] = []
    for name, (limit, flag) in _LIST_LIMITS.items():
        items = getattr(data, name, ())
        if len(items) > limit:
            cut[name] = items[:limit]
            flags.append(flag)
    if not cut:
        return data, ()
    return data.model_copy(update=cut), tuple(dict.fromkeys(flags))


def _parties(addresses: tuple[MailAddress, ...]) -> tuple[Party, ...]:
    return tuple(
        Party(
            name=normalise_text(address.name) or None, email=normalise_text(address.email) or None
        )
        for address in addresses
    )


def _text(data: Communication) -> str:
    if isinstance(data, CallData):
        return data.transcript or ""
    if isinstance(data, (EmailData, MessageData)):
        return data.text or (html_to_text(data.html) if data.html else "")
    raise TypeError(f"cannot find the text of {type(data).__name__}")


def _choose_event_times(incoming: IncomingEvent, data: Communication) -> EventTimes:
    event_time = incoming.event.time
    if isinstance(data, EmailData):
        return choose_times(
            event_time or data.sent_at, data.received_at, incoming.appended_at, is_sender_clock=True
        )
    if isinstance(data, CallData):
        event_time = data.started_at or event_time
    return choose_times(event_time, data.received_at, incoming.appended_at, is_sender_clock=False)


def _missing_text_flags(data: Communication, text: str) -> Iterator[str]:
    if text or isinstance(data, CallData):
        return
    yield "attachment_only" if data.attachments else "missing_text"

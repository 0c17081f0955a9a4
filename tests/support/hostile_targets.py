"""What reads text that others wrote: each target takes a text and does one thing with it."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from pipeline.envelope import IncomingEvent
from pipeline.identity.contacts import (
    OwnSide,
    contact_points,
    normalise_email,
    normalise_handle,
    normalise_phone,
)
from pipeline.ingest.chat.whatsapp import group_events
from pipeline.ingest.email.email_connector import EmailConnector
from pipeline.ingest.email.mail_headers import RawMail, looks_like_mail
from pipeline.ingest.email.mbox import split_mbox, unwrap_message
from pipeline.ingest.port import InputUnit
from pipeline.mail.charset import decode_text
from pipeline.mail.html_text import html_to_text
from pipeline.mail.mime import NotAMailError, dates, parse_mail
from pipeline.mail.mime.addresses import parse_addresses
from pipeline.mail.mime.dates import parse_mail_date, parse_received_date
from pipeline.mail.mime.encoded_words import decode_encoded_words, parse_parameters
from pipeline.mail.mime.message_ids import read_message_ids
from pipeline.mail.mime.transfer_encoding import (
    decode_base64,
    decode_quoted_printable,
    extract_inline_files,
)
from pipeline.mail.mojibake import undo_mojibake
from pipeline.models.custom_terms import term_tokens
from pipeline.models.features import extract_features
from pipeline.models.lexicon_reading import read_texts
from pipeline.models.replica import Replica
from pipeline.outcomes import Context
from pipeline.processors.clean import language
from pipeline.processors.clean.language import detect_language
from pipeline.processors.clean.plain_text import normalise_text
from pipeline.processors.clean.reply import closings, device_lines, split_reply
from pipeline.processors.enrich import enrich_step
from pipeline.processors.identify import Identity
from pipeline.processors.redact import redact_text
from pipeline.text.chinese import to_simplified
from pipeline.text.normal_form import READ_CHARACTERS, normalise
from schemas.envelope import Event
from schemas.registry import contract_of
from schemas.types import Party
from tests.support.hostile_sources import SOURCES
from tests.support.seeds import OPTIONS

Target = Callable[[str], object]

_NOW = datetime(2026, 11, 20, tzinfo=UTC)
_OWN = OwnSide(("shop.example.com", "+8618005550100", "Shop"), "CN")
_HEADERS = "From: Ann <ann@example.com>\nMessage-ID: <1@example.com>\nSubject: x\n"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _parse(text: str) -> None:
    try:
        parse_mail(_bytes(text))
    except NotAMailError:
        return


def _header(name: str) -> Target:
    """Return a target that reads a mail with a text as the value of a header, in folded lines."""
    return lambda text: _parse(f"{_HEADERS}{name}: {_folded(text)}\n\nhello\n")


def _folded(text: str) -> str:
    return text.replace("\n", "\n ")


def _part(fields: str) -> Target:
    return lambda text: _parse(f"{_HEADERS}{fields}\n\n{text}")


def _base64(text: str) -> None:
    body = base64.encodebytes(_bytes(text)).decode("ascii")
    _parse(f"{_HEADERS}Content-Transfer-Encoding: base64\n\n{body}")


def _attachments(text: str) -> None:
    _parse(_mail_with_attachments(text))


def _mail_with_attachments(text: str) -> str:
    lines = (line.replace('"', "'")[:200] for line in text.split("\n"))
    parts = (
        f'--b\nContent-Disposition: attachment; filename="{line}"\n\n{line}\n' for line in lines
    )
    return f"{_HEADERS}Content-Type: multipart/mixed; boundary=b\n\n{''.join(parts)}--b--\n"


def _party(text: str) -> dict[str, str]:
    return {"name": text, "email": text, "phone": text, "handle": text}


def _raw_mail(text: str) -> None:
    mail = RawMail(_bytes(f"{_HEADERS}To: {_folded(text)}\n\n{text}"))
    mail.addresses(b"to")
    assert mail.event_id


def _mbox(text: str) -> None:
    data = _bytes(f"From a Mon Nov  2 09:00:05 2026\n{_HEADERS}\n{text}")
    pieces = (data[at : at + 65_536] for at in range(0, len(data), 65_536))
    for message in split_mbox(pieces, 1 << 25):
        unwrap_message(message.retained())


def _connector(text: str) -> None:
    data = _bytes(f"{_HEADERS}To: {_folded(text)}\n\n{text}")
    for _ in EmailConnector().read(InputUnit("/mail", lambda: io.BytesIO(data)), OPTIONS):
        pass


def _decode(codec: str, label: str | None) -> Target:
    return lambda text: decode_text(text.encode(codec, "replace"), label)


def _classify(text: str) -> None:
    _CLASSIFIER.classify([text], ["inbound"])


_CLASSIFIER = Replica().classifier()
_STEP = enrich_step(Identity(b"a secret for tests only", _OWN, "CN"))


def enrich(event_type: str, data: Mapping[str, Any]) -> object:
    """Return the outcome of the stage enrich for an event with this data, None if it is invalid."""
    data = {name: _without_surrogates(value) for name, value in data.items()}
    event = Event(id="1", source="test", type=event_type, time=_NOW, data=data)
    contract = contract_of(event.type, event.data)
    assert contract is not None
    try:
        valid = contract.model_validate(data)
    except ValidationError:
        return None  # rejected before the stage
    return _STEP([IncomingEvent(event, valid, UUID(int=1), _NOW, "")], Context(_NOW, _CLASSIFIER))


def _without_surrogates(value: Any) -> Any:
    """Return a value of an event as the log returns it: it has no halves of characters."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {name: _without_surrogates(item) for name, item in value.items()}
    return [_without_surrogates(item) for item in value] if isinstance(value, list) else value


def _enrich_mail(build: Callable[[str], str]) -> Target:
    return lambda text: enrich(
        "comm.message.received",
        {"channel": "email", "mime": base64.b64encode(_bytes(build(text))).decode("ascii")},
    )


TARGETS: Mapping[str, Target] = {
    "parse_addresses": parse_addresses,
    "decode_encoded_words": decode_encoded_words,
    "parse_parameters": parse_parameters,
    "parse_mail_date": parse_mail_date,
    "parse_received_date": parse_received_date,
    "read_message_ids": read_message_ids,
    "decode_base64": lambda text: decode_base64(_bytes(text)),
    "decode_quoted_printable": lambda text: decode_quoted_printable(_bytes(text)),
    "extract_inline_files": lambda text: extract_inline_files(_bytes(text)),
    "undo_mojibake": undo_mojibake,
    "decode_text utf-8": _decode("utf-8", None),
    "decode_text utf-8 as gb2312": _decode("utf-8", "gb2312"),
    "decode_text gb18030": _decode("gb18030", None),
    "decode_text gb18030 as latin-1": _decode("gb18030", "iso-8859-1"),
    "decode_text big5": _decode("big5", "utf-8"),
    "decode_text cp1252": _decode("cp1252", None),
    "decode_text utf-16": _decode("utf-16-le", None),
    "decode_text shift_jis": _decode("shift_jis", "euc-jp"),
    "html_to_text": html_to_text,
    "split_reply": split_reply,
    "normalise_text": normalise_text,
    "detect_language": detect_language,
    "redact_text": redact_text,
    "normalise": normalise,
    "to_simplified": to_simplified,
    "term_tokens": term_tokens,
    "read_texts": lambda text: read_texts([text], [normalise(text)]),
    "extract_features": lambda text: extract_features([normalise(text)]),
    "classify": _classify,
    "normalise_email": normalise_email,
    "normalise_phone": lambda text: normalise_phone(text, "CN"),
    "normalise_handle": lambda text: normalise_handle(text, "chat"),
    "contact_points": lambda text: contact_points(
        Party.model_construct(name=text, email=text, phone=text, handle=text), "chat", "CN"
    ),
    "own side": lambda text: _OWN.owns(
        Party.model_construct(name=text, email=text, phone=text, handle=text)
    ),
    "looks_like_mail": lambda text: looks_like_mail(_bytes(text)),
    "RawMail": _raw_mail,
    "split_mbox": _mbox,
    "email connector": _connector,
    "mail of this text": lambda text: _parse(_HEADERS + text),
    **{
        f"mail with {name}": _header(name)
        for name in (
            *("To", "Subject", "Date", "Received", "Message-ID", "In-Reply-To", "References"),
            *("Content-Type", "Content-Disposition", "List-Id", "Auto-Submitted", "X-Anything"),
        )
    },
    "mail with plain text": _part("Content-Type: text/plain; charset=utf-8"),
    "mail with HTML": _part("Content-Type: text/html; charset=utf-8"),
    "mail with quoted-printable": _part("Content-Transfer-Encoding: quoted-printable"),
    "mail with base64": _base64,
    "mail with uuencode": _part("Content-Transfer-Encoding: x-uuencode"),
    "mail with parts": _part("Content-Type: multipart/mixed; boundary=b"),
    "mail with alternatives": _part("Content-Type: multipart/alternative; boundary=b"),
    "mail with a mail": _part("Content-Type: message/rfc822"),
    "mail with a report": _part("Content-Type: multipart/report; boundary=b"),
    "mail with attachments": _attachments,
    "enrich mail with To": _enrich_mail(
        lambda text: f"{_HEADERS}To: {_folded(text)}\nCc: {_folded(text)}\n\nhello\n"
    ),
    "enrich mail with Subject": _enrich_mail(
        lambda text: f"From: a@b.com\nSubject: {_folded(text)}\nReferences: {_folded(text)}\n\nhi\n"
    ),
    "enrich mail with plain text": _enrich_mail(lambda text: f"{_HEADERS}\n{text}"),
    "enrich mail with HTML": _enrich_mail(
        lambda text: f"{_HEADERS}Content-Type: text/html; charset=utf-8\n\n{text}"
    ),
    "enrich mail with attachments": _enrich_mail(_mail_with_attachments),
    "enrich event of a mail": lambda text: enrich(
        "comm.message.received",
        {
            "channel": "email",
            "to": [{"name": line, "email": line} for line in text.split("\n")],
            "subject": text,
            "references": text.split(),
        },
    ),
    "enrich message": lambda text: enrich(
        "comm.message.received", {"channel": "chat", "from": _party(text), "text": text}
    ),
    "enrich call": lambda text: enrich(
        "comm.call.completed",
        {"from": _party(text), "transcript": text, "remarks": text, "result": text},
    ),
    "enrich complaint": lambda text: enrich(
        "crm.complaint.opened",
        {
            "customer": _party(text),
            "complaint_id": "1",
            "reason": "other",
            "text": text,
            "handling": text,
        },
    ),
    "enrich feedback": lambda text: enrich(
        "crm.feedback.given", {"customer": _party(text), "text": text, "target": text}
    ),
    **SOURCES,
}
"""By name. A target's argument is any `str`, lone surrogates included."""

LIMITED: Mapping[str, int] = {
    "pipeline.ingest.chat.whatsapp.group_events._EVENTS": group_events._MAX_LINE,
    "pipeline.mail.mime.dates._COMMENT": dates._LONGEST_DATE,
    "pipeline.mail.mime.dates._ENDS_WITH_TIME": dates._LONGEST_DATE,
    "pipeline.mail.mime.dates._SPACED_COLON": dates._LONGEST_DATE,
    "pipeline.models.spam_signals._LONG_NUMBER": READ_CHARACTERS,
    "pipeline.processors.clean.language._NOISE": language._MAX_CHARACTERS,
    "pipeline.processors.clean.reply.closings._BILINGUAL": closings._LONGEST,
    "pipeline.processors.clean.reply.device_lines._LINK": device_lines._MAX_LINE,
    "pipeline.processors.clean.reply.device_lines._EXCUSE": device_lines._MAX_LINE,
}
"""Patterns that only ever read so many characters, by name; the limit stands in their module."""

GUARDED: Mapping[str, str] = {
    "pipeline.mail.html_source._TAG": "split_tags drops openings of comments without an end",
    "pipeline.mail.html_source._SIMPLE_TAG": "split_tags drops openings of comments without an end",
    "pipeline.mail.html_text._HIDDEN_TEXT": "_remove_hidden reads no further than the last end",
}
"""Patterns that would be quadratic on texts that their caller keeps from them, and how it does.

The targets above read such texts.
"""


def targets(chosen: str = "") -> Iterator[tuple[str, Target]]:
    """Yield the targets whose names match a pattern."""
    return ((name, target) for name, target in TARGETS.items() if re.search(chosen, name))

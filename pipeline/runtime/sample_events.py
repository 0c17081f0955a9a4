"""Two events that need what enrich compiles and loads on first use, to warm a process up."""

from __future__ import annotations

import orjson

from pipeline.envelope import IncomingEvent, decode_event
from pipeline.log.port import LogRecord
from pipeline.outcomes import Reject
from schemas.topics import RAW_CHAT, RAW_EMAIL

_MAIL = (
    b"From: Anna <anna@example.org>\r\nTo: shop@example.com\r\nSubject: My parcel\r\n"
    b"Message-ID: <1@example.org>\r\nDate: Tue, 01 Dec 2026 10:00:00 +0000\r\n"
    b"Content-Type: text/html; charset=utf-8\r\n\r\n"
    b"<p>Where is my parcel? Call +1 415 555 0100.</p><blockquote>We sent it.</blockquote>"
)
_CHAT = {"channel": "chat", "text": "我的快递到哪里了？", "from": {"name": "李"}}
_HEADERS = [
    ("ce_specversion", b"1.0"),
    ("ce_id", b"1"),
    ("ce_source", b"switchboard"),
    ("ce_type", b"comm.message.received"),
]


def sample_events() -> list[IncomingEvent]:
    """Return a mail in English and a chat in Chinese.

    >>> [event.data.channel.value for event in sample_events()]
    ['email', 'chat']
    """
    records = [
        LogRecord(
            RAW_EMAIL.name, 0, 0, 0, None, _MAIL, [*_HEADERS, ("content-type", b"message/rfc822")]
        ),
        LogRecord(RAW_CHAT.name, 0, 0, 0, None, orjson.dumps(_CHAT), _HEADERS),
    ]
    events = [decode_event(record) for record in records]
    return [event for event in events if not isinstance(event, Reject)]

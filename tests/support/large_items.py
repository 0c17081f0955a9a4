"""Single inputs that are far larger than any real one, and what the history must hold of them.

`scale` 1 is the full size; at a small one every item still passes the limit that it is about.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

# What is kept of a mail (pipeline/mail/mime/parsed_mail.py) and of a text
# (pipeline/processors/clean/plain_text.py); more is flagged.
KEPT_ADDRESSES, KEPT_PARTS, KEPT_CHARACTERS = 2_000, 1_000, 1_000_000

_HEAD = (
    "From: Anna <anna@example.org>\r\nMessage-ID: <{name}@example.org>\r\nSubject: {name}\r\n"
    "Date: Tue, 01 Dec 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n"
)
_TO = "To: shop@example.com\r\n"


@dataclass(frozen=True, slots=True)
class LargeItem:
    """A file with one item; `expected` maps SQL over its row in `communications` to values."""

    connector: str
    file: str
    content: bytes
    event_id: str = ""
    expected: Mapping[str, object] | None = None


def _mail(name: str, rest: str, expected: Mapping[str, object]) -> LargeItem:
    content = (_HEAD.format(name=name) + rest).encode()
    return LargeItem("email", f"{name}.eml", content, name, expected)


def many_recipients(scale: float) -> LargeItem:
    """Return a mail to 100,000 recipients, whose header has more than 2 MB."""
    count = max(int(100_000 * scale), KEPT_ADDRESSES + 500)
    to = ",\r\n ".join(f"u{number}@example.com" for number in range(count))
    return _mail(
        "recipients",
        f"To: {to}\r\n\r\nHello all",
        {
            "length(participants)": KEPT_ADDRESSES + 1,
            "has(quality_flags, 'header_limited')": 1,
            "body_text": "Hello all",
        },
    )


def many_attachments(scale: float) -> LargeItem:
    """Return a mail with 20,000 attachments."""
    count = max(int(20_000 * scale), KEPT_PARTS + 200)
    files = "".join(
        f"--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment;"
        f' filename="f{number}.pdf"\r\n\r\nx\r\n'
        for number in range(count)
    )
    # Of the parts that are kept, one is the whole and one the text.
    return _mail(
        "attachments",
        f"{_TO}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain"
        f"\r\n\r\nSee below\r\n{files}--b--\r\n",
        {
            "attachment_count": KEPT_PARTS - 2,
            "length(attachment_names)": KEPT_PARTS - 2,
            "attachment_names[-1]": f"f{KEPT_PARTS - 3}.pdf",
            "has(quality_flags, 'part_limited')": 1,
            "has(quality_flags, 'mime_truncated')": 0,
            "body_text": "See below",
        },
    )


def deep_parts(scale: float) -> LargeItem:
    """Return a mail whose only text lies 20,000 parts deep."""
    depth = max(int(20_000 * scale), 200)
    opening = "".join(
        f"Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n"
        for level in range(depth)
    )
    closing = "".join(f"--b{level}--\r\n" for level in reversed(range(depth)))
    return _mail(
        "parts",
        f"{_TO}{opening}Content-Type: text/plain\r\n\r\nDeep inside\r\n{closing}",
        {
            "has(quality_flags, 'depth_limited')": 1,
            "position(body_text, 'Deep inside') > 0 OR has(quality_flags, 'text_truncated')": 1,
        },
    )


def deep_html(scale: float) -> LargeItem:
    """Return a mail whose HTML has 500,000 elements inside each other."""
    depth = max(int(500_000 * scale), 5_000)
    html = f"<p>First</p>{'<div>' * depth}Deep inside{'</div>' * depth}<p>Last</p>"
    return _mail(
        "html",
        f"{_TO}Content-Type: text/html\r\n\r\n{html}",
        {"splitByRegexp('\\n+', body_text)": ["First", "Deep inside", "Last"]},
    )


def long_text(scale: float) -> LargeItem:
    """Return a chat of 60 million characters on one line of JSON."""
    sentence = "Where is my parcel? "
    count = max(int(60_000_000 * scale), 2 * KEPT_CHARACTERS) // len(sentence)
    event = _event("text", sentence * count)
    return LargeItem(
        "events",
        "text.jsonl",
        event,
        "text",
        {
            # The cut text has no blank at its end.
            "length(body_text)": KEPT_CHARACTERS - 1,
            "has(quality_flags, 'text_truncated')": 1,
        },
    )


def oversize_line(size: int) -> LargeItem:
    """Return a line of JSON with more bytes than an event may have."""
    return LargeItem("events", "oversize.jsonl", _event("oversize", "x" * size))


def oversize_row(scale: float) -> LargeItem:
    """Return a CSV file whose second row has 60 MB; a row may have one."""
    note = "x" * max(int(60_000_000 * scale), 2 << 20)
    content = (
        "occurred_at,action,order_id,customer_email,amount,currency,reason\n"
        "2026-11-02T10:00:00Z,created,1,anna@example.org,5,EUR,\n"
        f"2026-11-02T10:00:00Z,created,2,anna@example.org,5,EUR,{note}\n"
    )
    return LargeItem("orders", "orders.csv", content.encode())


def _event(event_id: str, text: str) -> bytes:
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": "test",
        "type": "comm.message.received",
        "time": "2026-12-01T10:00:00Z",
        "data": {"channel": "chat", "from": {"email": "anna@example.org"}, "text": text},
    }
    return json.dumps(event).encode() + b"\n"


def large_items(scale: float, oversize: int) -> list[LargeItem]:
    """Return all of them; `oversize` is more than the bytes that an event may have."""
    return [
        many_recipients(scale),
        many_attachments(scale),
        deep_parts(scale),
        deep_html(scale),
        long_text(scale),
        oversize_line(oversize),
        oversize_row(scale),
    ]

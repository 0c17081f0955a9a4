"""What a parsed mail is: its fields, its limits, and the one error."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from pipeline.mail.html_text import html_to_text
from pipeline.mail.mime.html_stub import is_stub


class NotAMail(ValueError):
    """The bytes hold no header that a mail has; `detail` says what they begin with instead."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the work one mail may cause; what lies beyond is cut and flagged, never an
    error.
    """

    # Providers accept 25 to 50 MB, 35 % more in base64; anything above that is no mail to a
    # company.
    total_bytes: int = 96 << 20
    # Mails seen in the wild nest 10 deep at most (forwards of forwards).
    depth: int = 32
    # The largest digests hold a few hundred mails.
    parts: int = 1_000
    headers: int = 1_000
    header_bytes: int = 1 << 20
    # One To of 2,000 addresses is 100 kB.
    value_bytes: int = 256 << 10
    addresses: int = 2_000
    references: int = 1_000
    # Text of a body, plain and HTML each; a novel has 1 MB.
    text_bytes: int = 8 << 20


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox: display name as shown and address as written; either may be empty where a broken
    header gives one.
    """

    name: str
    email: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """What came with a mail: file name, media type, size in bytes, SHA-256 of the decoded content
    (hexadecimal), Content-ID.
    """

    name: str
    mime: str
    bytes: int
    sha256: str
    content_id: str


@dataclass(frozen=True, slots=True)
class Segment:
    """One piece of the body, in reading order: plain, HTML, or the same in both forms."""

    text: str
    html: str


@dataclass(frozen=True)
class Mail:
    """A mail read: headers decoded, instants in UTC, text as Unicode without surrogates, findings
    in `flags`.

    `headers` holds every header in order, unfolded and in Unicode, encoded words left as they are;
    ids are without angle brackets; `tz_offset_min` is the sender's zone in minutes east of UTC
    (None: not given); `received_at` is the time in the topmost Received header, which our own
    server wrote. `text` joins the plain parts, `html` the HTML parts; `body_text` is the one text
    to read: each piece plain where it is, else its HTML rendered (on first use, then kept).
    `auto_kind` is "", "ooo", "bounce", "bot", "bulk" or "ack"; `flags` are of
    `schemas.records.QUALITY_FLAGS`.
    """

    headers: tuple[tuple[str, str], ...]
    message_id: str
    in_reply_to: str
    references: tuple[str, ...]
    date: datetime | None
    date_raw: str
    tz_offset_min: int | None
    received_at: datetime | None
    subject: str
    from_: tuple[Address, ...]
    sender: tuple[Address, ...]
    reply_to: tuple[Address, ...]
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    segments: tuple[Segment, ...]
    charset_declared: str
    charset_used: str
    attachments: tuple[Attachment, ...]
    auto_kind: str
    bounced_message_id: str
    list_id: str
    spam_flagged: bool
    flags: tuple[str, ...]

    @property
    def is_auto(self) -> bool:
        """Whether a machine wrote it."""
        return self.auto_kind != ""

    @property
    def text(self) -> str:
        """The plain parts of the body, joined; empty where there is none."""
        return "\n".join(segment.text for segment in self.segments if segment.text)

    @property
    def html(self) -> str | None:
        """The HTML parts of the body, joined; None where there is none."""
        parts = [segment.html for segment in self.segments if segment.html]
        return "\n".join(parts) if parts else None

    @cached_property
    def body_text(self) -> str:
        """The text of the whole body, each piece plain where it is, else rendered from HTML."""
        return "\n".join(filter(None, map(_readable, self.segments)))


def _readable(segment: Segment) -> str:
    if segment.text and not (segment.html and is_stub(segment.text)):
        return segment.text
    return html_to_text(segment.html) or segment.text

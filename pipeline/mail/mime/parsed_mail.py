"""The result of parsing a mail: its fields, the limits of the parser, and its error."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from pipeline.mail.html_text import html_to_text
from pipeline.mail.mime.html_stub import is_html_stub


class NotAMailError(ValueError):
    """The bytes do not start with a mail header; `detail` says what they start with instead."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """Bounds on the work that one mail may cause; content beyond them is cut and flagged."""

    # Providers accept 25 to 50 MB, plus 35 % for base64; a larger file is not a mail that a company
    # received.
    total_bytes: int = 96 << 20
    # Real mails are nested at most 10 levels deep (forwards of forwards).
    depth: int = 32
    # The largest digests hold a few hundred mails.
    parts: int = 1_000
    headers: int = 1_000
    header_bytes: int = 1 << 20
    # One To of 2,000 addresses is 100 kB.
    value_bytes: int = 256 << 10
    addresses: int = 2_000
    references: int = 1_000
    # Plain text and HTML of a body, each; a novel has 1 MB.
    text_bytes: int = 8 << 20


@dataclass(frozen=True, slots=True)
class MailAddress:
    """A mailbox: display name and address; a malformed header may lack either."""

    name: str
    email: str


@dataclass(frozen=True, slots=True)
class MailAttachment:
    """An attachment: file name, media type, size, SHA-256 (hex) of the content, Content-ID."""

    name: str
    mime: str
    bytes: int
    sha256: str
    content_id: str


@dataclass(frozen=True, slots=True)
class BodySegment:
    """One segment of the body in reading order: plain text, HTML, or the same text in both."""

    text: str
    html: str


@dataclass(frozen=True)
class ParsedMail:
    """A parsed mail: decoded headers, dates in UTC, text without surrogates, quality flags.

    `headers` are all headers in order, unfolded and in Unicode; encoded words are not decoded. Ids
    have no angle brackets. `tz_offset_min` is the sender's zone in minutes east of UTC, None where
    the header names none. `received_at` is the time in the topmost Received header, which our own
    server wrote. `text` joins the plain parts, `html` the HTML parts. `body_text` is the text to
    read: of each segment the plain form if it has one, else its HTML rendered as text (computed on
    first use). `auto_kind` is "", "ooo", "bounce", "bot", "bulk" or "ack".
    `bounced_references` are what the mail that failed names before itself. `flags` are of
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
    from_: tuple[MailAddress, ...]
    sender: tuple[MailAddress, ...]
    reply_to: tuple[MailAddress, ...]
    to: tuple[MailAddress, ...]
    cc: tuple[MailAddress, ...]
    bcc: tuple[MailAddress, ...]
    segments: tuple[BodySegment, ...]
    charset_declared: str
    charset_used: str
    attachments: tuple[MailAttachment, ...]
    auto_kind: str
    bounced_message_id: str
    bounced_references: tuple[str, ...]
    list_id: str
    spam_flagged: bool
    flags: tuple[str, ...]

    @property
    def is_auto(self) -> bool:
        """Whether a program wrote the mail."""
        return self.auto_kind != ""

    @property
    def text(self) -> str:
        """The plain parts of the body, joined; empty where there are none."""
        return "\n".join(segment.text for segment in self.segments if segment.text)

    @property
    def html(self) -> str | None:
        """The HTML parts of the body, joined; None where there are none."""
        parts = [segment.html for segment in self.segments if segment.html]
        return "\n".join(parts) if parts else None

    @cached_property
    def body_text(self) -> str:
        """The text of the whole body: each segment in plain text, else rendered from its HTML."""
        return "\n".join(filter(None, map(_readable, self.segments)))


def _readable(segment: BodySegment) -> str:
    if segment.text and not (segment.html and is_html_stub(segment.text)):
        return segment.text
    return html_to_text(segment.html) or segment.text

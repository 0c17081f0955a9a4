"""Parse the bytes of a mail into a `ParsedMail`."""

from __future__ import annotations

import re

from pipeline.mail.mime.addresses import parse_addresses
from pipeline.mail.mime.auto_kind import detect_auto_kind
from pipeline.mail.mime.body import MailBody, read_body
from pipeline.mail.mime.bounced_mail import bounced_ids
from pipeline.mail.mime.dates import MailDate, parse_mail_date, parse_received_date
from pipeline.mail.mime.encoded_words import decode_encoded_words
from pipeline.mail.mime.header_block import (
    HeaderBlock,
    decode_header_bytes,
    is_known_field,
    read_header_block,
)
from pipeline.mail.mime.joined_mails import holds_joined_mails
from pipeline.mail.mime.message_ids import read_message_ids
from pipeline.mail.mime.parsed_mail import MailAddress, NotAMailError, ParsedMail, ParseLimits
from pipeline.mail.mime.part_tree import MimePart, MimeTreeBuilder
from schemas.records import QUALITY_FLAGS

_LEADING_BLANKS = re.compile(rb"(?:[ \t]*[\r\n]+)*")
_ID = re.compile(r"<([^<>\s]+)>")
_SURROUNDING_BLANKS = re.compile(r"\s+")
_PAGE_START = re.compile(rb"\s*<(?:!doctype|html|\?xml)", re.IGNORECASE)
_DEFAULT_LIMITS = ParseLimits()

# Clocks without a battery stand at 1970 or 1980; no mail of a company in use today is that old.
_FIRST_YEAR = 1985

# The words that distinguish an absence note from a receipt are at the start of the text.
_OPENING_CHARACTERS = 1_000

# A block without any of these fields is a preamble that an exporter wrote, not the mail's own
# header.
_ESSENTIAL = (b"from", b"to", b"subject", b"date", b"content-type", b"message-id", b"received")


def parse_mail(raw: bytes, limits: ParseLimits = _DEFAULT_LIMITS) -> ParsedMail:
    r"""Parse a mail as it was received (RFC 5322, MIME), including malformed ones.

    Deterministic; recursion is bounded by `limits.depth`; time and memory are linear in the size.
    Broken structure is read as far as possible and named in `ParsedMail.flags`. Content beyond a
    limit is cut and flagged. Raises NotAMailError where the bytes do not start with a mail header;
    an mbox "From " line and blank lines may come before it.

    >>> mail = parse_mail(b"From: Ann <ann@example.com>\nSubject: Hi\n\nHello")
    >>> mail.subject, mail.body_text, mail.flags
    ('Hi', 'Hello', ('date_missing', 'message_id_missing'))
    """
    flags: set[str] = set()
    data = _normalise_start(raw[: limits.total_bytes])
    if len(raw) > limits.total_bytes:
        flags.add("size_limited")
    header = _read_top_header(data, limits)
    splitter = MimeTreeBuilder(limits)
    root = splitter.build(data, header)
    body = read_body(root, limits)
    flags |= splitter.flags | body.flags
    if holds_joined_mails(data, header.body_start):
        flags.add("mails_joined")
    if header.malformed:
        flags.add("header_malformed")
    if header.limited:
        flags.add("header_limited")
    return _build_mail(header, root, body, flags, limits)


def _normalise_start(data: bytes) -> bytes:
    """Return the bytes from the first header on: UTF-8 instead of UTF-16, with line feeds."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        data = data.decode("utf_16", "replace").encode("utf_8")
    data = data.removeprefix(b"\xef\xbb\xbf")
    if b"\r" in data[:_FIRST_LINES] and b"\n" not in data:
        data = data.replace(b"\r", b"\n")
    blanks = _LEADING_BLANKS.match(data)
    return data[blanks.end() :] if blanks is not None and blanks.end() else data


# A mail without a line feed in this many bytes has none at all, or is not a mail.
_FIRST_LINES = 64 << 10


def _read_top_header(data: bytes, limits: ParseLimits) -> HeaderBlock:
    header = read_header_block(
        data, 0, len(data), limits.header_bytes, limits.headers, limits.value_bytes
    )
    if not any(is_known_field(name) for name, _ in header.fields):
        header = _header_after_preface(data, limits)
    elif not any(header.by_name.get(name) for name in _ESSENTIAL):
        next_block = read_header_block(
            data,
            header.body_start,
            len(data),
            limits.header_bytes,
            limits.headers,
            limits.value_bytes,
        )
        if any(next_block.by_name.get(name) for name in _ESSENTIAL):
            for name, value in next_block.fields:
                header.add(name, value)
            header.body_start = next_block.body_start
            header.malformed = True
    return header


def _header_after_preface(data: bytes, limits: ParseLimits) -> HeaderBlock:
    """Find the header block behind up to three lines of noise, or raise NotAMailError."""
    position = 0
    if not _PAGE_START.match(data):
        for _ in range(_MAX_PREFACE_LINES):
            end = data.find(b"\n", position)
            if end < 0 or not data[position:end].strip():
                break
            position = end + 1
            block = read_header_block(
                data, position, len(data), limits.header_bytes, limits.headers, limits.value_bytes
            )
            if any(block.by_name.get(name) for name in _ESSENTIAL):
                block.malformed = True
                return block
    begin = data[:60]
    raise NotAMailError(
        "the bytes are empty"
        if not begin.strip()
        else f"no mail header in the first lines, which begin with {begin!r}"
    )


# Noise before the headers is a line or two of a server log or of a mailbox format.
_MAX_PREFACE_LINES = 3


def _build_mail(
    header: HeaderBlock, root: MimePart, body: MailBody, flags: set[str], limits: ParseLimits
) -> ParsedMail:
    hint = body.charset_declared or body.charset_used or None
    reader = _HeaderReader(header, hint, limits)
    date_raw, date = reader.date(flags)
    from_ = reader.addresses(b"from")
    subject = reader.words(b"subject")
    sender_address = from_[0].email if from_ else ""
    text_start = body.segments[0].text[:_OPENING_CHARACTERS] if body.segments else ""
    kind = detect_auto_kind(header, root, subject, sender_address, text_start)
    bounced = bounced_ids(header, root) if kind == "bounce" else ()
    message_ids = reader.ids(b"message-id")
    in_reply_to = reader.ids(b"in-reply-to")
    if not any("@" in address.email for address in from_):
        flags.add("from_missing")
    if not message_ids:
        flags.add("message_id_missing")
    received = reader.received()
    recipients = {
        name: reader.addresses(name) for name in (b"to", b"cc", b"bcc", b"reply-to", b"sender")
    }
    header_texts = (
        subject,
        *(address.name for group in (from_, *recipients.values()) for address in group),
    )
    references = reader.references()
    if reader.limited:
        flags.add("header_limited")
    if any("\ufffd" in text for text in header_texts):
        flags.add("charset_replaced")
    return ParsedMail(
        headers=tuple(
            (name.decode("ascii"), decode_header_bytes(value, hint))
            for name, value in header.fields
        ),
        message_id=message_ids[0] if message_ids else "",
        in_reply_to=in_reply_to[0] if in_reply_to else "",
        references=references,
        date=date.at if date is not None else None,
        date_raw=date_raw,
        tz_offset_min=date.offset_min if date is not None else None,
        received_at=received.at if received is not None else None,
        subject=subject,
        from_=from_,
        sender=recipients[b"sender"],
        reply_to=recipients[b"reply-to"],
        to=recipients[b"to"],
        cc=recipients[b"cc"],
        bcc=recipients[b"bcc"],
        segments=body.segments,
        charset_declared=body.charset_declared,
        charset_used=body.charset_used,
        attachments=body.attachments,
        auto_kind=kind,
        bounced_message_id=bounced[-1] if bounced else "",
        bounced_references=bounced[:-1],
        list_id=reader.list_id(),
        spam_flagged=reader.spam_flagged(),
        flags=tuple(flag for flag in QUALITY_FLAGS if flag in flags),
    )


class _HeaderReader:
    """Reads the fields of one header block.

    `hint` is the charset of the body; headers with raw 8-bit bytes usually share it.
    """

    def __init__(self, header: HeaderBlock, hint: str | None, limits: ParseLimits) -> None:
        self._header = header
        self._hint = hint
        self._limits = limits
        self.limited = False
        """Whether a limit has cut a list."""

    def value(self, name: bytes) -> str:
        raw = self._header.first(name)
        return decode_header_bytes(raw, self._hint).strip() if raw else ""

    def words(self, name: bytes) -> str:
        return _SURROUNDING_BLANKS.sub(" ", decode_encoded_words(self.value(name))).strip()

    def addresses(self, name: bytes) -> tuple[MailAddress, ...]:
        # One more than the limit shows that there are more.
        most = self._limits.addresses + 1
        addresses: list[MailAddress] = []
        for raw in self._header.all(name):
            if raw and len(addresses) < most:
                text = decode_header_bytes(raw, self._hint)
                addresses.extend(parse_addresses(text, most - len(addresses)))
        self.limited = self.limited or len(addresses) == most
        return tuple(dict.fromkeys(addresses[: self._limits.addresses]))

    def references(self) -> tuple[str, ...]:
        """Return the newest of the different References, as many as the limits allow."""
        references = tuple(dict.fromkeys(self.ids(b"references")))
        self.limited = self.limited or len(references) > self._limits.references
        return references[-self._limits.references :]

    def ids(self, name: bytes) -> list[str]:
        """Return the ids of a header, without angle brackets."""
        value = self.value(name)
        return read_message_ids(value) if value else []

    def date(self, flags: set[str]) -> tuple[str, MailDate | None]:
        raw = self.value(b"date")
        if not raw:
            flags.add("date_missing")
            return "", None
        date = parse_mail_date(raw)
        if date is None:
            flags.add("date_invalid")
        elif date.zone_unknown:
            # Read as UTC it is wrong by hours; a server's time is better, the time of the import is
            # worse.
            flags |= {"date_zone_unknown", "date_zone_missing"}
            return raw, None if self.received() is not None else date
        elif date.offset_min is None and not raw.rstrip(")").endswith("-0000"):
            flags.add("date_zone_missing")
        return raw, date

    def received(self) -> MailDate | None:
        for raw in self._header.all(b"received"):
            date = parse_received_date(decode_header_bytes(raw))
            if date is not None and date.at.year >= _FIRST_YEAR:
                return date
        return None

    def list_id(self) -> str:
        value = self.words(b"list-id")
        match = _ID.search(value)
        return match[1] if match is not None else value

    def spam_flagged(self) -> bool:
        flag = self.value(b"x-spam-flag").lower()
        return flag.startswith("yes") or self.value(b"x-spam-status").lower().startswith("yes,")

"""The bytes of a mail to a `Mail`."""

from __future__ import annotations

import re

from pipeline.mail.mime.addresses import parse_addresses
from pipeline.mail.mime.auto_kind import auto_kind, bounced_message_id
from pipeline.mail.mime.body import Body, read_body
from pipeline.mail.mime.dates import Instant, parse_date, parse_received
from pipeline.mail.mime.encoded_words import decode_words
from pipeline.mail.mime.header_block import Head, is_known_field, split_head, unicode_value
from pipeline.mail.mime.parsed_mail import Address, Limits, Mail, NotAMail
from pipeline.mail.mime.part_tree import Part, Splitter
from schemas.records import QUALITY_FLAGS

_LEADING_BLANKS = re.compile(rb"(?:[ \t]*[\r\n]+)*")
_ID = re.compile(r"<([^<>\s]+)>")
_SURROUNDING_BLANKS = re.compile(r"\s+")
_PAGE_START = re.compile(rb"\s*<(?:!doctype|html|\?xml)", re.IGNORECASE)
_DEFAULT_LIMITS = Limits()

# The words that tell an absence note from a receipt stand at the beginning.
_OPENING_CHARACTERS = 1_000

# Fields without one of which a block is a preface of some exporter, not the mail's own headers.
_ESSENTIAL = (b"from", b"to", b"subject", b"date", b"content-type", b"message-id", b"received")


def parse_mail(raw: bytes, limits: Limits = _DEFAULT_LIMITS) -> Mail:
    """Read a mail as it was received (RFC 5322, MIME), with all that real mail does wrong.

    Deterministic, without recursion beyond `limits.depth`, in time and memory linear in the bytes.
    What is broken is read as well as it can be and named in `Mail.flags`; what exceeds the limits
    is cut and named there. Raises NotAMail where the bytes begin with no header that a mail has (an
    mbox "From " line and blank lines may precede).
    """
    flags: set[str] = set()
    data = _upright(raw[: limits.total_bytes])
    if len(raw) > limits.total_bytes:
        flags.add("size_limited")
    head = _top_head(data, limits)
    splitter = Splitter(limits)
    root = splitter.root(data, head)
    body = read_body(root, limits)
    flags |= splitter.flags | body.flags
    if head.malformed:
        flags.add("header_malformed")
    if head.limited:
        flags.add("header_limited")
    return _assembled(head, root, body, flags, limits)


def _upright(data: bytes) -> bytes:
    """Return the bytes from the first header on, in UTF-8 if the file is UTF-16, with line feeds if
    it has none.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        data = data.decode("utf_16", "replace").encode("utf_8")
    data = data.removeprefix(b"\xef\xbb\xbf")
    if b"\r" in data[:_FIRST_LINES] and b"\n" not in data:
        data = data.replace(b"\r", b"\n")
    blanks = _LEADING_BLANKS.match(data)
    return data[blanks.end() :] if blanks is not None and blanks.end() else data


# A mail without one line feed here has none at all, or is no mail.
_FIRST_LINES = 64 << 10


def _top_head(data: bytes, limits: Limits) -> Head:
    head = split_head(data, 0, len(data), limits.header_bytes, limits.headers, limits.value_bytes)
    if not any(is_known_field(name) for name, _ in head.fields):
        head = _after_preface(data, limits)
    elif not any(head.by_name.get(name) for name in _ESSENTIAL):
        following = split_head(
            data, head.body, len(data), limits.header_bytes, limits.headers, limits.value_bytes
        )
        if any(following.by_name.get(name) for name in _ESSENTIAL):
            for name, value in following.fields:
                head.add(name, value)
            head.body = following.body
            head.malformed = True
    return head


def _after_preface(data: bytes, limits: Limits) -> Head:
    """Find the headers behind lines of noise, or refuse."""
    position = 0
    if not _PAGE_START.match(data):
        for _ in range(_MAX_PREFACE_LINES):
            end = data.find(b"\n", position)
            if end < 0 or not data[position:end].strip():
                break
            position = end + 1
            later = split_head(
                data, position, len(data), limits.header_bytes, limits.headers, limits.value_bytes
            )
            if any(later.by_name.get(name) for name in _ESSENTIAL):
                later.malformed = True
                return later
    begin = data[:60]
    raise NotAMail(
        "the bytes are empty"
        if not begin.strip()
        else f"no mail header in the first lines, which begin with {begin!r}"
    )


# Noise before the headers is a line or two of a server's log or of a mailbox format.
_MAX_PREFACE_LINES = 3


def _assembled(head: Head, root: Part, body: Body, flags: set[str], limits: Limits) -> Mail:
    hint = body.charset_declared or body.charset_used or None
    reader = _Header(head, hint, limits)
    date_raw, date = reader.date(flags)
    from_ = reader.addresses(b"from")
    subject = reader.words(b"subject")
    sender_address = from_[0].email if from_ else ""
    opening = body.segments[0].text[:_OPENING_CHARACTERS] if body.segments else ""
    kind = auto_kind(head, root, subject, sender_address, opening)
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
    shown = (
        subject,
        *(address.name for group in (from_, *recipients.values()) for address in group),
    )
    if any("\ufffd" in text for text in shown):
        flags.add("charset_replaced")
    return Mail(
        headers=tuple(
            (name.decode("ascii"), unicode_value(value, hint)) for name, value in head.fields
        ),
        message_id=message_ids[0] if message_ids else "",
        in_reply_to=in_reply_to[0] if in_reply_to else "",
        references=tuple(dict.fromkeys(reader.ids(b"references")))[-limits.references :],
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
        bounced_message_id=bounced_message_id(head, root) if kind == "bounce" else "",
        list_id=reader.list_id(),
        spam_flagged=reader.spam_flagged(),
        flags=tuple(flag for flag in QUALITY_FLAGS if flag in flags),
    )


class _Header:
    """Reads the fields of one header block; `hint` is the body's character set, which raw 8-bit
    headers share.
    """

    def __init__(self, head: Head, hint: str | None, limits: Limits) -> None:
        self._head = head
        self._hint = hint
        self._limits = limits

    def value(self, name: bytes) -> str:
        raw = self._head.first(name)
        return unicode_value(raw, self._hint).strip() if raw else ""

    def words(self, name: bytes) -> str:
        return _SURROUNDING_BLANKS.sub(" ", decode_words(self.value(name))).strip()

    def addresses(self, name: bytes) -> tuple[Address, ...]:
        found: list[Address] = []
        for raw in self._head.all(name):
            if raw and len(found) < self._limits.addresses:
                found.extend(
                    parse_addresses(
                        unicode_value(raw, self._hint), self._limits.addresses - len(found)
                    )
                )
        return tuple(dict.fromkeys(found))

    def ids(self, name: bytes) -> list[str]:
        """Return the ids of a header, without brackets; an id without brackets counts if it stands
        alone or has an "@".
        """
        value = self.value(name)
        if not value:
            return []
        found: list[str] = _ID.findall(value)
        if found:
            return found
        words = value.replace("<", " ").replace(">", " ").split()
        return words if len(words) == 1 else [word for word in words if "@" in word]

    def date(self, flags: set[str]) -> tuple[str, Instant | None]:
        raw = self.value(b"date")
        if not raw:
            flags.add("date_missing")
            return "", None
        date = parse_date(raw)
        if date is None:
            flags.add("date_invalid")
        elif date.offset_min is None and not raw.rstrip(")").endswith("-0000"):
            flags.add("date_zone_missing")
        return raw, date

    def received(self) -> Instant | None:
        for raw in self._head.all(b"received"):
            found = parse_received(unicode_value(raw))
            if found is not None:
                return found
        return None

    def list_id(self) -> str:
        value = self.words(b"list-id")
        found = _ID.search(value)
        return found[1] if found is not None else value

    def spam_flagged(self) -> bool:
        flag = self.value(b"x-spam-flag").lower()
        return flag.startswith("yes") or self.value(b"x-spam-status").lower().startswith("yes,")

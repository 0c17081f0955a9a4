"""What the email connector reads of a mail without parsing it: a few headers, the event id."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from pipeline.mail.mime import NotAMailError, parse_mail
from pipeline.mail.mime.addresses import parse_addresses
from pipeline.mail.mime.dates import parse_mail_date
from pipeline.mail.mime.header_block import decode_header_bytes

# The end of the header (RFC 5322, 2.1) with any line ending; atomic, because \r\n is one ending and
# not two.
_HEADER_END = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
# What may precede the header: an editor's byte order mark, empty lines, the `From ` line of mbox
# files and old systems.
_PREAMBLE = re.compile(rb"(?:\xef\xbb\xbf)?[\r\n]*+(?:>?From (?![ \t]*:)[^\r\n]*+(?>\r\n|\n|\r))*+")
_ENDINGS = re.compile(rb"\r\n?")
# A field name is printable ASCII without a colon (RFC 5322, 3.6.8); blanks before the colon are
# obsolete but allowed (RFC 5322, 4.5).
_FIELD = re.compile(rb"[!-9;-~]+[ \t]*:")
# `parse_mail` accepts bytes as a mail if the header has one of these fields.
_MAIL_FIELDS = frozenset(
    b"from to cc bcc subject date message-id received return-path reply-to sender delivered-to"
    b" mime-version content-type content-transfer-encoding in-reply-to references resent-from"
    b" resent-date".split()
)
_FIELDS_READ = frozenset((b"message-id", b"from", b"to", b"cc", b"reply-to", b"date", b"subject"))
_INITIALS = frozenset(letter for name in _FIELDS_READ for letter in (name[:1], name[:1].upper()))
# Headers are searched in this many bytes: room for some 1,000 trace fields, and a limit for what a
# malicious header can cost.
_HEAD_BYTES = 256 * 1024

MAIL_FORMAT_HINT = (
    "a mail starts with header lines such as 'From: …', 'Date: …' and 'Subject: …' (RFC 5322); "
    "it is a file of its own or part of an mbox"
)


def strip_preamble(raw: bytes) -> bytes:
    r"""Return the message from its first header on.

    A byte order mark, leading empty lines and an mbox `From ` line are removed.

    >>> strip_preamble(b"\nFrom a@example.com Mon Nov  2 09:00:05 2026\nSubject: hi\n\n")
    b'Subject: hi\n\n'
    """
    match = _PREAMBLE.match(raw)
    return raw[match.end() :] if match and match.end() else raw


def looks_like_mail(raw: bytes) -> bool:
    r"""Return whether bytes are a mail; see `check_mail`.

    >>> looks_like_mail(b"Subject: hi\n\nhello"), looks_like_mail(b"hello")
    (True, False)
    """
    try:
        check_mail(raw)
    except NotAMailError:
        return False
    return True


def check_mail(raw: bytes) -> None:
    """Raise NotAMail for bytes in which `parse_mail` finds no mail.

    A quick look at the header decides most cases; `parse_mail` decides the others.
    """
    if not _begins_with_mail_fields(raw):
        parse_mail(raw[:_HEAD_BYTES])


def _begins_with_mail_fields(raw: bytes) -> bool:
    start = _PREAMBLE.match(raw[:_HEAD_BYTES])
    at = start.end() if start else 0
    if not _FIELD.match(raw, at):
        return False
    head = raw[at : at + _HEAD_BYTES]
    lines = _lines(head[: _end_of_header(head)[0]])
    return any(_name_and_value(line)[0] in _MAIL_FIELDS for line in lines)


def _end_of_header(raw: bytes) -> tuple[int, int]:
    """Return where the header ends and the body starts; both are the length without a body."""
    if b"\r" in raw[:_HEAD_BYTES]:
        end = _HEADER_END.search(raw)
        return end.span() if end else (len(raw), len(raw))
    at = raw.find(b"\n\n")
    return (at, at + 2) if at >= 0 else (len(raw), len(raw))


def _lines(head: bytes) -> list[bytes]:
    return (_ENDINGS.sub(b"\n", head) if b"\r" in head else head).split(b"\n")


def _name_and_value(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name.rstrip().lower(), value


@dataclass(frozen=True)
class RawMail:
    """The bytes of a message from its first header on, and headers read without decoding them."""

    mime: bytes

    @cached_property
    def _end(self) -> tuple[int, int]:
        return _end_of_header(self.mime)

    @cached_property
    def _fields(self) -> Mapping[bytes, Sequence[bytes]]:
        fields: dict[bytes, list[list[bytes]]] = {}
        value: list[bytes] | None = None
        for line in _lines(self.mime[: min(self._end[0], _HEAD_BYTES)]):
            if line.startswith((b" ", b"\t")):
                if value is not None:
                    value.append(line)
                continue
            value = None
            # Most lines are trace and extension fields; their first letter excludes them.
            if line[:1] in _INITIALS:
                name, first = _name_and_value(line)
                if name in _FIELDS_READ:
                    value = [first]
                    fields.setdefault(name, []).append(value)
        return {
            name: [b" ".join(b" ".join(value).split()) for value in values]
            for name, values in fields.items()
        }

    def header_values(self, name: bytes) -> Sequence[bytes]:
        """Return all values of a header of `_FIELDS_READ` (name in lower case).

        They are unfolded, blanks are collapsed, nothing is decoded.
        """
        return self._fields.get(name, ())

    def addresses(self, name: bytes) -> list[str]:
        """Return the mail addresses of a header, "" for an entry without one."""
        values = map(decode_header_bytes, self.header_values(name))
        return [address.email for value in values for address in parse_addresses(value)]

    def header_value(self, name: bytes) -> bytes:
        """Return the first value of a header, empty if it is absent."""
        return next(iter(self.header_values(name)), b"")

    @property
    def has_time(self) -> bool:
        """Whether Date, or a Received header, names a time that can be read."""
        date = self.header_value(b"date")
        if date and parse_mail_date(decode_header_bytes(date)) is not None:
            return True
        try:
            return parse_mail(self.mime[: min(self._end[1], _HEAD_BYTES)]).received_at is not None
        except NotAMailError:
            return False

    @cached_property
    def event_id(self) -> str:
        """The Message-ID and a hash of it, From, Date, Subject and body.

        It is the same wherever the message is stored: line endings, quoted `From ` lines, trailing
        empty lines and all other headers, which servers add on the way, are ignored. Another
        message with the same Message-ID has another id. If none of the four fields can be read
        (UTF-16, a header behind noise), all bytes are hashed.
        """
        message_id = self.header_value(b"message-id")
        identity = (
            message_id,
            self.header_value(b"from"),
            self.header_value(b"date"),
            self.header_value(b"subject"),
        )
        digest = hashlib.sha256()
        for value in identity:
            digest.update(len(value).to_bytes(8, "big"))
            digest.update(value)
        digest.update(_canonical_body(self.mime[self._end[1] :] if any(identity) else self.mime))
        return f"{_legible(message_id) or 'no-message-id'}#{digest.hexdigest()[:_DIGEST_DIGITS]}"


# 128 bits: two different mails never have the same digest by chance.
_DIGEST_DIGITS = 32
# Leaves room for the digest within the 512 characters of an event's id. RFC 5322 limits a line to
# 998 characters, real Message-IDs have less than 200.
_MAX_MESSAGE_ID = 400
_CONTROLS = re.compile(r"[^ -~]")
_QUOTED_FROM = re.compile(rb"^>+From ", re.MULTILINE)


def _canonical_body(body: bytes) -> bytes:
    if b"\r" in body:
        body = _ENDINGS.sub(b"\n", body)
    # The variants of mbox differ in which lines they quote, and how often.
    if b">From " in body:
        body = _QUOTED_FROM.sub(b"From ", body)
    return body.rstrip(b"\n")


def _legible(message_id: bytes) -> str:
    text = (
        message_id.strip().removeprefix(b"<").removesuffix(b">").decode("ascii", "backslashreplace")
    )
    return (text if text.isprintable() else _CONTROLS.sub("?", text))[:_MAX_MESSAGE_ID]

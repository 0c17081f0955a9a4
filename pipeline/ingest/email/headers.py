"""What a connector must know of a mail's bytes without parsing it: whether they are a mail, a few raw headers, its identity."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

# Where the header ends (RFC 5322, 2.1), whatever the system's line ending; atomic, for \r\n is one ending and not two.
_HEADER_END = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
# Before a header: a byte order mark that an editor left, empty lines, and the line that mbox files or old systems put first.
_PREAMBLE = re.compile(rb"(?:\xef\xbb\xbf)?[\r\n]*+(?:>?From (?![ \t]*:)[^\r\n]*+(?>\r\n|\n|\r))*+")
_ENDINGS = re.compile(rb"\r\n?")
# A field name is printable ASCII without a colon (RFC 5322, 3.6.8); blanks before the colon are obsolete but allowed (4.5).
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")
_FIELDS = re.compile(rb"^([!-9;-~]+)[ \t]*:((?:[^\n]*)(?:\n[ \t][^\n]*)*)", re.MULTILINE)
# At least one of these makes a block of "name: value" lines a mail and not a settings file, a web answer or a package's metadata.
_MAIL_FIELDS = frozenset(
    b"from to cc bcc subject date message-id received return-path reply-to sender delivered-to mime-version "
    b"content-type content-transfer-encoding in-reply-to references resent-from resent-date".split()
)
# Headers are looked for in this much and no further: some 1,000 trace fields, and a bound for what a hostile header can cost.
_HEAD_BYTES = 256 * 1024

WHAT_A_MAIL_NEEDS = (
    "a mail begins with header lines such as 'From: …', 'Date: …' and 'Subject: …' (RFC 5322); "
    "it stands in a file of its own or in an mbox"
)


def strip_preamble(raw: bytes) -> bytes:
    """Return the message from its first header on: a byte order mark, leading empty lines and an mbox `From ` line are cut."""
    match = _PREAMBLE.match(raw)
    return raw[match.end() :] if match and match.end() else raw


def looks_like_mail(raw: bytes) -> bool:
    """Return whether bytes open with a mail's header: the first line is a field, and one of the fields is a mail's own."""
    start = _PREAMBLE.match(raw[:_HEAD_BYTES])
    at = start.end() if start else 0
    if not _FIELD.match(raw, at):
        return False
    head = raw[at : at + _HEAD_BYTES]
    if end := _HEADER_END.search(head):
        head = head[: end.start()]
    return any(name.lower() in _MAIL_FIELDS for name, _ in _FIELDS.findall(_ENDINGS.sub(b"\n", head)))


@dataclass(frozen=True)
class MailBytes:
    """A message's bytes from the first header to the last line, and what can be said of them without decoding anything."""

    mime: bytes

    @cached_property
    def _end_of_header(self) -> tuple[int, int]:
        end = _HEADER_END.search(self.mime)
        return end.span() if end else (len(self.mime), len(self.mime))

    @cached_property
    def headers(self) -> Mapping[str, tuple[bytes, ...]]:
        """All header values by name in lower case, in their order, unfolded and with blanks collapsed, else as they stand."""
        head = _ENDINGS.sub(b"\n", self.mime[: min(self._end_of_header[0], _HEAD_BYTES)])
        found: dict[str, list[bytes]] = {}
        for name, value in _FIELDS.findall(head):
            found.setdefault(name.lower().decode("ascii"), []).append(b" ".join(value.split()))
        return {name: tuple(values) for name, values in found.items()}

    def first(self, name: str) -> bytes:
        """Return the first value of a header, empty where it is absent."""
        return next(iter(self.headers.get(name, ())), b"")

    @cached_property
    def event_id(self) -> str:
        """Message-ID and a hash of it, From, Date, Subject and body.

        The same wherever the message lies: line endings, quoted `From ` lines, trailing empty lines and every other header, which
        servers add on the way, do not count. Another message that bears the same Message-ID has another id.
        """
        message_id = self.first("message-id")
        digest = hashlib.sha256()
        for value in (message_id, self.first("from"), self.first("date"), self.first("subject")):
            digest.update(len(value).to_bytes(8, "big"))
            digest.update(value)
        digest.update(_canonical_body(self.mime[self._end_of_header[1] :]))
        return f"{_legible(message_id) or 'no-message-id'}#{digest.hexdigest()[:_DIGEST_DIGITS]}"


# 128 bits: no two mails of any archive meet by chance.
_DIGEST_DIGITS = 32
# Leaves room for the digest within the 512 characters of an event's id; RFC 5322 bounds a line at 998, real ones stay under 200.
_MAX_MESSAGE_ID = 400
_QUOTED_FROM = re.compile(rb"^>+From ", re.MULTILINE)


def _canonical_body(body: bytes) -> bytes:
    if b"\r" in body:
        body = _ENDINGS.sub(b"\n", body)
    # The kinds of mbox differ in which lines they quote, and how often.
    if b">From " in body:
        body = _QUOTED_FROM.sub(b"From ", body)
    return body.rstrip(b"\n")


def _legible(message_id: bytes) -> str:
    text = message_id.strip().removeprefix(b"<").removesuffix(b">").decode("ascii", "backslashreplace")
    return "".join(char if char.isprintable() else "?" for char in text)[:_MAX_MESSAGE_ID]

"""What a connector must know of a mail's bytes without parsing it: whether they are a mail, a few
raw headers, its identity.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from pipeline.mail.mime import NotAMail, parse_mail

# Where the header ends (RFC 5322, 2.1), whatever the system's line ending; atomic, for \r\n is one
# ending and not two.
_HEADER_END = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
# Before a header: a byte order mark that an editor left, empty lines, and the line that mbox files
# or old systems put first.
_PREAMBLE = re.compile(rb"(?:\xef\xbb\xbf)?[\r\n]*+(?:>?From (?![ \t]*:)[^\r\n]*+(?>\r\n|\n|\r))*+")
_ENDINGS = re.compile(rb"\r\n?")
# A field name is printable ASCII without a colon (RFC 5322, 3.6.8); blanks before the colon are
# obsolete but allowed (4.5).
_FIELD = re.compile(rb"[!-9;-~]+[ \t]*:")
# One of these in the header, and `parse_mail` takes the bytes for a mail.
_MAIL_FIELDS = frozenset(
    b"from to cc bcc subject date message-id received return-path reply-to sender delivered-to"
    b" mime-version content-type content-transfer-encoding in-reply-to references resent-from"
    b" resent-date".split()
)
_FIELDS_READ = frozenset((b"message-id", b"from", b"to", b"cc", b"date", b"subject"))
_INITIALS = frozenset(letter for name in _FIELDS_READ for letter in (name[:1], name[:1].upper()))
# Headers are looked for in this much and no further: some 1,000 trace fields, and a bound for what
# a hostile header can cost.
_HEAD_BYTES = 256 * 1024

WHAT_A_MAIL_NEEDS = (
    "a mail begins with header lines such as 'From: …', 'Date: …' and 'Subject: …' (RFC 5322); "
    "it stands in a file of its own or in an mbox"
)


def strip_preamble(raw: bytes) -> bytes:
    """Return the message from its first header on: a byte order mark, leading empty lines and an
    mbox `From ` line are cut.
    """
    match = _PREAMBLE.match(raw)
    return raw[match.end() :] if match and match.end() else raw


def looks_like_mail(raw: bytes) -> bool:
    """Return whether bytes are a mail; see `check_mail`."""
    try:
        check_mail(raw)
    except NotAMail:
        return False
    return True


def check_mail(raw: bytes) -> None:
    """Raise NotAMail for bytes in which `parse_mail` finds no mail; that is the one definition,
    reached here by a shorter way.
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
    """Return where the header ends and the body begins; both the length where there is no body."""
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
class MailBytes:
    """A message's bytes from the first header to the last line, and what can be said of them
    without decoding anything.
    """

    mime: bytes

    @cached_property
    def _end(self) -> tuple[int, int]:
        return _end_of_header(self.mime)

    @cached_property
    def _fields(self) -> Mapping[bytes, Sequence[bytes]]:
        found: dict[bytes, list[list[bytes]]] = {}
        value: list[bytes] | None = None
        for line in _lines(self.mime[: min(self._end[0], _HEAD_BYTES)]):
            if line.startswith((b" ", b"\t")):
                if value is not None:
                    value.append(line)
                continue
            value = None
            # Most lines are trace and extension fields: their first letter tells.
            if line[:1] in _INITIALS:
                name, first = _name_and_value(line)
                if name in _FIELDS_READ:
                    value = [first]
                    found.setdefault(name, []).append(value)
        return {
            name: [b" ".join(b" ".join(value).split()) for value in values]
            for name, values in found.items()
        }

    def values(self, name: bytes) -> Sequence[bytes]:
        """Return all values of Message-ID, From, To, Cc, Date or Subject (in lower case), unfolded,
        blanks collapsed, undecoded.
        """
        return self._fields.get(name, ())

    def first(self, name: bytes) -> bytes:
        """Return the first of its values, empty where it is absent."""
        return next(iter(self.values(name)), b"")

    @cached_property
    def event_id(self) -> str:
        """Message-ID and a hash of it, From, Date, Subject and body.

        The same wherever the message lies: line endings, quoted `From ` lines, trailing empty lines
        and every other header, which servers add on the way, do not count. Another message that
        bears the same Message-ID has another id. Where none of the four fields can be read (UTF-16,
        a header behind noise), all of the bytes count.
        """
        message_id = self.first(b"message-id")
        identity = (message_id, self.first(b"from"), self.first(b"date"), self.first(b"subject"))
        digest = hashlib.sha256()
        for value in identity:
            digest.update(len(value).to_bytes(8, "big"))
            digest.update(value)
        digest.update(_canonical_body(self.mime[self._end[1] :] if any(identity) else self.mime))
        return f"{_legible(message_id) or 'no-message-id'}#{digest.hexdigest()[:_DIGEST_DIGITS]}"


# 128 bits: no two mails of any archive meet by chance.
_DIGEST_DIGITS = 32
# Leaves room for the digest within the 512 characters of an event's id; RFC 5322 bounds a line at
# 998, real ones stay under 200.
_MAX_MESSAGE_ID = 400
_CONTROLS = re.compile(r"[^ -~]")
_QUOTED_FROM = re.compile(rb"^>+From ", re.MULTILINE)


def _canonical_body(body: bytes) -> bytes:
    if b"\r" in body:
        body = _ENDINGS.sub(b"\n", body)
    # The kinds of mbox differ in which lines they quote, and how often.
    if b">From " in body:
        body = _QUOTED_FROM.sub(b"From ", body)
    return body.rstrip(b"\n")


def _legible(message_id: bytes) -> str:
    text = (
        message_id.strip().removeprefix(b"<").removesuffix(b">").decode("ascii", "backslashreplace")
    )
    return (text if text.isprintable() else _CONTROLS.sub("?", text))[:_MAX_MESSAGE_ID]

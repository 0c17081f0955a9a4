"""Read the header block of a mail or a part, tolerating missing blank lines and indents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline.mail.charset import decode_text

# Header names from RFC 5322, 2045, 2369, 2919 and 3834, and names that mail servers add. Plain
# text, logs and web pages do not have them.
_KNOWN_FIELDS = frozenset(
    b"from to cc bcc subject date message-id in-reply-to references sender reply-to return-path"
    b" received delivered-to envelope-to apparently-to mime-version content-type"
    b" content-transfer-encoding content-disposition content-id content-language"
    b" content-description content-class auto-submitted precedence importance priority comments"
    b" keywords organization user-agent newsgroups path lines status errors-to"
    b" disposition-notification-to dkim-signature domainkey-signature authentication-results"
    b" received-spf thread-topic thread-index encrypted resent-from resent-to resent-date"
    b" resent-message-id resent-sender original-recipient delivery-date feedback-id"
    b" arc-seal".split()
)
_KNOWN_PREFIXES = (b"x-", b"list-", b"resent-", b"content-", b"arc-")

_BLANK_LINE = re.compile(rb"\n\r*(?=\n)")
# A run of carriage returns is searched for its line feed once, from its first one.
_LINE_END = re.compile(rb"(?<!\r)\r*+\n|\r")
_FIELD = re.compile(rb"([!-9;-~]{1,200})[ \t]*:[ \t]*(.*)", re.DOTALL)
_ENVELOPE = re.compile(rb">*From [^:\n]*")
_CONTROLS = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029]+")

# A continuation line that lost its indent, or noise, appears alone between headers. More such lines
# in a row mean that the body has begun.
_MAX_STRAY_LINES = 2


@dataclass(slots=True)
class HeaderBlock:
    """Header fields as (name, raw value) pairs in order, and the offset where the body starts.

    `malformed` says that the block broke the rules of RFC 5322, `limited` that a limit cut it.
    """

    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    body_start: int = 0
    malformed: bool = False
    limited: bool = False
    by_name: dict[bytes, list[bytes]] = field(default_factory=dict)

    def add(self, name: bytes, value: bytes) -> None:
        """Append a field."""
        self.fields.append((name, value))
        self.by_name.setdefault(name.lower(), []).append(value)

    def first(self, name: bytes) -> bytes:
        """Return the first non-blank value of a field, or b""."""
        for value in self.by_name.get(name, ()):
            if value and not value.isspace():
                return value
        return b""

    def all(self, name: bytes) -> list[bytes]:
        """Return all values of a field, in order."""
        return self.by_name.get(name, [])


def is_known_field(name: bytes) -> bool:
    """Return whether a header name is one that mails use.

    >>> is_known_field(b"Subject"), is_known_field(b"X-Mailer"), is_known_field(b"Total")
    (True, True, False)
    """
    lower = name.lower()
    return lower in _KNOWN_FIELDS or lower.startswith(_KNOWN_PREFIXES)


def read_header_block(
    data: bytes, start: int, end: int, max_bytes: int, max_fields: int, max_value: int
) -> HeaderBlock:
    r"""Read the header block at `start` of `data`, up to `end`.

    The body starts after the first blank line, or at the first line that cannot be a header. A line
    without a colon and without an indent continues the header before it if a known header follows
    within two lines; otherwise the blank line is missing and the line is the first of the body.

    >>> block = read_header_block(b"Subject: Hi\n\nText", 0, 17, 1000, 10, 1000)
    >>> block.fields, block.body_start
    ([(b'Subject', b'Hi')], 13)
    """
    header = HeaderBlock(body_start=start)
    if start >= end:
        return header
    first = data[start : start + 2]
    if first[:1] == b"\n" or first == b"\r\n":
        header.body_start = min(end, start + (1 if first[:1] == b"\n" else 2))
        return header
    blank = _BLANK_LINE.search(data, start, min(end, start + max_bytes))
    block_end = blank.end() if blank is not None else min(end, start + max_bytes)
    if blank is None and block_end < end:
        header.limited = True
        # The body is where it is, however long the fields before it are.
        blank = _BLANK_LINE.search(data, block_end - 1, end)
    header.body_start = blank.end() + 1 if blank is not None else end
    block = data[start:block_end]
    lines = (_LINE_END.sub(b"\n", block) if b"\r" in block else block).split(b"\n")
    stopped = _read_lines(lines, header, max_fields, max_value)
    if stopped is not None:
        header.malformed = header.malformed or bool(header.fields)
        header.body_start = _offset_of_line(data, start, block_end, stopped)
    return header


def _read_lines(
    lines: list[bytes], header: HeaderBlock, max_fields: int, max_value: int
) -> int | None:
    """Collect the fields; return the index of the line where the body starts, or None."""
    name, pieces, size = b"", [], 0
    body: int | None = None
    for index, line in enumerate(lines):
        if line[:1] in (b" ", b"\t"):
            if not name and line.strip():
                body = index
                break
            size += len(line)
            if size <= max_value:
                pieces.append(line.strip())
            else:
                header.limited = True
            continue
        match = _FIELD.match(line)
        if match is None:
            if not line:
                continue
            if index == 0 and _ENVELOPE.match(line):
                continue
            if not _header_follows(lines, index):
                body = index
                break
            header.malformed = header.malformed or not _ENVELOPE.match(line)
            pieces.append(line.strip())
            continue
        if name:
            header.add(name, b" ".join(pieces))
        if len(header.fields) >= max_fields:
            header.limited = True
            return body
        name, value = match.groups()
        size = len(value)
        header.limited = header.limited or size > max_value
        pieces = [value[:max_value].rstrip()]
    if name:
        header.add(name, b" ".join(pieces))
    return body


def _header_follows(lines: list[bytes], index: int) -> bool:
    for line in lines[index + 1 : index + 1 + _MAX_STRAY_LINES]:
        match = _FIELD.match(line)
        if match is not None and is_known_field(match[1]):
            return True
    return False


def _offset_of_line(data: bytes, start: int, end: int, index: int) -> int:
    ends: Iterator[re.Match[bytes]] = _LINE_END.finditer(data, start, end)
    position = start
    for _ in range(index):
        position = next(ends).end()
    return position


def decode_header_bytes(value: bytes, hint: str | None = None) -> str:
    """Decode the bytes of a header value; each run of control characters becomes one space.

    8-bit bytes are decoded by `hint`, the charset label of the body, or else by detection.

    >>> decode_header_bytes("Grüße".encode())
    'Grüße'
    """
    text = (
        value.decode("ascii")
        if value.isascii() and b"\x1b" not in value
        else decode_text(value, hint).text
    )
    return text if text.isprintable() else _CONTROLS.sub(" ", text)

"""The header block of a mail or a part: where it ends, and its fields, also where blank lines and
indents are missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline.mail.charset import decode_text

# Names of RFC 5322, 2045, 2369, 2919, 3834 and of servers that a mail begins with; a letter, a log
# or a page has none.
_KNOWN = frozenset(
    b"from to cc bcc subject date message-id in-reply-to references sender reply-to return-path"
    b" received delivered-to envelope-to apparently-to mime-version content-type"
    b" content-transfer-encoding content-disposition content-id content-language"
    b" content-description content-class auto-submitted precedence importance priority comments"
    b" keywords organization user-agent newsgroups path lines status errors-to"
    b" disposition-notification-to dkim-signature domainkey-signature authentication-results"
    b" received-spf thread-topic thread-index encrypted resent-from resent-to resent-date"
    b" resent-message-id resent-sender original-recipient delivery-date feedback-id arc-seal".split()
)
_KNOWN_PREFIXES = (b"x-", b"list-", b"resent-", b"content-", b"arc-")

_BLANK_LINE = re.compile(rb"\n\r*(?=\n)")
_LINE_END = re.compile(rb"\r*\n|\r")
_FIELD = re.compile(rb"([!-9;-~]{1,200})[ \t]*:[ \t]*(.*)", re.DOTALL)
_ENVELOPE = re.compile(rb">*From [^:\n]*")
_CONTROLS = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029]+")

# A line that lost its indent, or noise, stands alone between headers; more such lines in a row are
# the body already.
_MAX_STRAY_LINES = 2


@dataclass(slots=True)
class Head:
    """A header block: (name, raw value) pairs in order, where the body begins, and what was
    wrong.
    """

    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: int = 0
    malformed: bool = False
    limited: bool = False
    by_name: dict[bytes, list[bytes]] = field(default_factory=dict)

    def add(self, name: bytes, value: bytes) -> None:
        """Append a field."""
        self.fields.append((name, value))
        self.by_name.setdefault(name.lower(), []).append(value)

    def first(self, name: bytes) -> bytes:
        """Return the first value of a name that is not blank, or b""."""
        for value in self.by_name.get(name, ()):
            if value and not value.isspace():
                return value
        return b""

    def all(self, name: bytes) -> list[bytes]:
        """Return all values of a name, in order."""
        return self.by_name.get(name, [])


def is_known_field(name: bytes) -> bool:
    """Tell whether a name is one that mails have."""
    lower = name.lower()
    return lower in _KNOWN or lower.startswith(_KNOWN_PREFIXES)


def split_head(
    data: bytes, start: int, end: int, max_bytes: int, max_fields: int, max_value: int
) -> Head:
    """Read the header block at `start`; the body begins after the first blank line, or at the first
    line that is no header.

    A line without a colon and without an indent belongs to the header before it if headers that
    mails have follow it at once; otherwise the blank line was forgotten and the line is the body's
    first.
    """
    head = Head(body=start)
    if start >= end:
        return head
    first = data[start : start + 2]
    if first[:1] == b"\n" or first == b"\r\n":
        head.body = min(end, start + (1 if first[:1] == b"\n" else 2))
        return head
    blank = _BLANK_LINE.search(data, start, min(end, start + max_bytes))
    block_end = blank.end() if blank is not None else min(end, start + max_bytes)
    if blank is None and block_end < end:
        head.limited = True
    head.body = block_end + 1 if blank is not None else end
    block = data[start:block_end]
    lines = (_LINE_END.sub(b"\n", block) if b"\r" in block else block).split(b"\n")
    stopped = _read_lines(lines, head, max_fields, max_value)
    if stopped is not None:
        head.malformed = head.malformed or bool(head.fields)
        head.body = _offset_of_line(data, start, block_end, stopped)
    return head


def _read_lines(lines: list[bytes], head: Head, max_fields: int, max_value: int) -> int | None:
    """Collect fields; return the index of the line where the body begins if that is inside the
    block.
    """
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
                head.limited = True
            continue
        found = _FIELD.match(line)
        if found is None:
            if not line:
                continue
            if index == 0 and _ENVELOPE.match(line):
                continue
            if not _header_follows(lines, index):
                body = index
                break
            head.malformed = head.malformed or not _ENVELOPE.match(line)
            pieces.append(line.strip())
            continue
        if name:
            head.add(name, b" ".join(pieces))
        if len(head.fields) >= max_fields:
            head.limited = True
            return body
        name, value = found.groups()
        size = len(value)
        head.limited = head.limited or size > max_value
        pieces = [value[:max_value].rstrip()]
    if name:
        head.add(name, b" ".join(pieces))
    return body


def _header_follows(lines: list[bytes], index: int) -> bool:
    for line in lines[index + 1 : index + 1 + _MAX_STRAY_LINES]:
        found = _FIELD.match(line)
        if found is not None and is_known_field(found[1]):
            return True
    return False


def _offset_of_line(data: bytes, start: int, end: int, index: int) -> int:
    ends: Iterator[re.Match[bytes]] = _LINE_END.finditer(data, start, end)
    position = start
    for _ in range(index):
        position = next(ends).end()
    return position


def unicode_value(value: bytes, hint: str | None = None) -> str:
    """Decode a header's bytes (8-bit ones by `hint`, the body's label, or by evidence); controls
    become one blank.
    """
    text = (
        value.decode("ascii")
        if value.isascii() and b"\x1b" not in value
        else decode_text(value, hint).text
    )
    return text if text.isprintable() else _CONTROLS.sub(" ", text)

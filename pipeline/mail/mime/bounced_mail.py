"""Find out which mail a delivery report is about, and which thread that mail is in."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.mail.mime.body_selection import leaf_parts
from pipeline.mail.mime.header_block import HeaderBlock, decode_header_bytes, read_header_block
from pipeline.mail.mime.message_ids import read_message_ids
from pipeline.mail.mime.part_tree import MimePart

_MESSAGE_ID_FIELD = re.compile(
    rb"^[>\s]{0,4}message-id[ \t]*:\s{0,80}<([^<>\s]{1,500})>", re.IGNORECASE | re.MULTILINE
)

# A copied header has some dozens of fields; the rest of a broken one is not needed.
_MAX_FIELDS, _MAX_VALUE = 200, 64 << 10
# The copy of the failed mail starts within the notice; headers further down belong to other mails.
_COPY_WINDOW = 256 << 10


_HEADERS = "text/rfc822-headers"


def bounced_ids(header: HeaderBlock, root: MimePart) -> tuple[str, ...]:
    """Return the Message-ID of the undelivered mail, last, and before it what that mail names.

    They are in the copy of the mail or of its headers, or in the notice; empty where none is found.
    """
    for name in (b"x-original-message-id", b"original-message-id"):
        ids = _ids(header, name)
        if ids:
            return (ids[0],)
    parts = list(leaf_parts(root))
    for copied in filter(None, map(_copied_header, parts)):
        ids = _ids(copied, b"message-id")
        if ids:
            before = (*_ids(copied, b"references"), *_ids(copied, b"in-reply-to"))
            return (*(name for name in dict.fromkeys(before) if name != ids[0]), ids[0])
    for part in _notices(parts):
        field = _MESSAGE_ID_FIELD.search(
            part.data, part.start, min(part.end, part.start + _COPY_WINDOW)
        )
        if field is not None:
            return (decode_header_bytes(field[1]),)
    return tuple(_ids(header, b"in-reply-to")[:1])


def _ids(header: HeaderBlock, name: bytes) -> list[str]:
    value = header.first(name)
    return read_message_ids(decode_header_bytes(value)) if value else []


def _copied_header(part: MimePart) -> HeaderBlock | None:
    if part.is_message():
        return part.children[0].header
    if part.media_type != _HEADERS:
        return None
    start = part.start
    while start < part.end and part.data[start : start + 1] in b"\r\n":
        start += 1
    end = min(part.end, start + _COPY_WINDOW)
    return read_header_block(part.data, start, end, _COPY_WINDOW, _MAX_FIELDS, _MAX_VALUE)


def _notices(parts: list[MimePart]) -> Iterator[MimePart]:
    """Yield the parts in which a notice may name the mail, or show it as text."""
    yield from (part for part in parts if part.is_message() or part.media_type == _HEADERS)
    yield from (
        part
        for part in parts
        if part.media_type.startswith(("text/", "message/")) and not part.is_message()
    )

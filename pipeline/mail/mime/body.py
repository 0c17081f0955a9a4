"""The text of a mail's body and the description of its attachments, decoded."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256

from pipeline.mail.charset import decode_text, known_charset
from pipeline.mail.mime.body_selection import HTML_TYPES, Piece, refuges, select
from pipeline.mail.mime.parsed_mail import Attachment, Limits, Segment
from pipeline.mail.mime.part_tree import Part
from pipeline.mail.mime.transfer_encoding import (
    Content,
    decode_transfer,
    looks_like_base64,
    take_inline_files,
)

_META_CHARSET = re.compile(
    rb"<(?:meta|\?xml)\b[^>]{0,200}?(?:charset|encoding)\s{0,9}=\s{0,9}[\"']?\s{0,9}([\w.:-]{2,40})",
    re.IGNORECASE,
)
_HTML_START = re.compile(r"\s*(?:<!doctype html|<html|<head|<body)\b", re.IGNORECASE)
_MIME_NOTICE = re.compile(r"multi-?part|MIME\b", re.IGNORECASE)
_LINE_ENDS = re.compile("\r+\n?")
# NUL, the byte order mark inside text, and the mark that rendered HTML uses for quotes: none is
# ever a writer's.
_UNWANTED = re.compile("[\0\ufeff\ue000]")
_IDENTITY = frozenset({"", "7bit", "8bit", "binary"})

# A page declares its character set at its beginning.
_META_WINDOW = 2_048

# Bytes that are no known text type are read as text if nearly all of their beginning is printable.
_PROSE_WINDOW, _PROSE_SHARE = 4_096, 0.95


@dataclass(slots=True)
class Body:
    """The text and the attachments of a mail, the character set of its first text, and what was
    wrong.
    """

    segments: tuple[Segment, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    charset_declared: str = ""
    charset_used: str = ""
    flags: set[str] = field(default_factory=set)


def read_body(root: Part, limits: Limits) -> Body:
    """Decode the body of a mail; where the parts that should hold text hold none, take it from
    where it is.
    """
    reader = _Reader(limits.text_bytes)
    selection = select(root)
    segments = reader.segments(selection.pieces)
    if not segments:
        for pieces in refuges(selection):
            segments = reader.segments(pieces)
            if segments:
                break
        segments = segments or reader.around(root) or reader.prose(selection.attachments)
        if segments:
            reader.body.flags.add("text_rescued")
    reader.body.segments = tuple(segments)
    reader.body.attachments = (*map(_attachment, selection.attachments), *reader.files)
    return reader.body


def _attachment(part: Part) -> Attachment:
    content = part.content
    if not part.children and part.encoding not in _IDENTITY:
        content = decode_transfer(content, part.encoding).raw
    return Attachment(
        part.filename, part.mime, len(content), sha256(content).hexdigest(), part.content_id
    )


class _Reader:
    """Decodes texts of one mail, up to so many bytes of plain text and as many of HTML."""

    def __init__(self, text_bytes: int) -> None:
        self.body = Body()
        self.files: list[Attachment] = []
        self._left = {False: text_bytes, True: text_bytes}

    def segments(self, pieces: Iterable[Piece]) -> list[Segment]:
        found: list[Segment] = []
        for piece in pieces:
            plain = "\n".join(filter(None, map(self._text, piece.plain)))
            html = "\n".join(filter(None, map(self._text, piece.html)))
            if plain and not html and _HTML_START.match(plain):
                plain, html = "", plain
            if plain or html:
                found.append(Segment(plain, html))
        return found

    def _text(self, part: Part) -> str:
        is_html = part.mime in HTML_TYPES
        content = self._content(part)
        raw = content.raw
        if len(raw) > self._left[is_html]:
            self.body.flags.add("size_limited")
            raw = _cut(raw, self._left[is_html])
        self._left[is_html] -= len(raw)
        if not is_html:
            raw, files = take_inline_files(raw)
            self.files.extend(map(_inline_file, files))
        return self._unicode(raw, part.parameters.get("charset", ""), is_html)

    def _content(self, part: Part) -> Content:
        raw = part.content
        if part.encoding in _IDENTITY:
            if looks_like_base64(raw):
                decoded = decode_transfer(raw, "base64")
                if _is_prose(decoded.raw):
                    self.body.flags.add("encoding_invalid")
                    return decoded
            return Content(raw)
        content = decode_transfer(raw, part.encoding)
        if content.invalid:
            self.body.flags.add("encoding_invalid")
        if content.cut:
            self.body.flags.add("mime_truncated")
        return content

    def _unicode(self, raw: bytes, declared: str, is_html: bool) -> str:
        known = known_charset(declared)
        label = declared
        if is_html and (known is None or known.family == "ascii"):
            meta = _META_CHARSET.search(raw, 0, _META_WINDOW)
            label = meta[1].decode("ascii", "replace") if meta is not None else declared
        decoded = decode_text(raw, label)
        text = _UNWANTED.sub("", decoded.text) if _UNWANTED.search(decoded.text) else decoded.text
        text = (_LINE_ENDS.sub("\n", text) if "\r" in text else text).rstrip().lstrip("\n")
        if not text.strip():
            return ""
        body = self.body
        if not body.charset_used:
            body.charset_declared, body.charset_used = declared.lower(), decoded.charset_used
        if declared and known is None:
            body.flags.add("charset_unknown")
        if decoded.repaired:
            body.flags.add("charset_repaired")
        if decoded.replaced:
            body.flags.add("charset_replaced")
        return text

    # --- text where none should be

    def around(self, root: Part) -> list[Segment]:
        """Read what stands before, between and behind the parts of the mail, save the notice that
        it is MIME.
        """
        found: list[Segment] = []
        for start, end in root.around:
            text = self._unicode(root.data[start:end], "", is_html=False)
            if text and not (len(text) < _META_WINDOW and _MIME_NOTICE.search(text)):
                found.append(Segment(text, ""))
        return found

    def prose(self, attachments: Iterable[Part]) -> list[Segment]:
        """Read the first part without a file name whose bytes are text, whatever its type says."""
        for part in attachments:
            if not part.filename and not part.children and _is_prose(self._content(part).raw):
                return self.segments([Piece(plain=[part])])
        return []


def _cut(raw: bytes, size: int) -> bytes:
    """Cut at the last line end before `size`, for any other place may be inside a character."""
    end = raw.rfind(b"\n", max(0, size - _META_WINDOW), size)
    return raw[: end + 1 if end >= 0 else size]


def _inline_file(file: tuple[bytes, bytes]) -> Attachment:
    name, content = file
    label = decode_text(name, None).text
    return Attachment(
        label, "application/octet-stream", len(content), sha256(content).hexdigest(), ""
    )


def _is_prose(raw: bytes) -> bool:
    sample = raw[:_PROSE_WINDOW]
    if not sample.strip() or b"\0" in sample:
        return False
    text = decode_text(sample, None).text
    return sum(c.isprintable() or c in "\r\n\t" for c in text) >= _PROSE_SHARE * len(text)

"""Decode the text of a mail's body and describe its attachments."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256

from pipeline.mail.charset import decode_text, lookup_charset
from pipeline.mail.mime.body_selection import (
    HTML_TYPES,
    SegmentParts,
    fallback_segments,
    select_body,
)
from pipeline.mail.mime.parsed_mail import BodySegment, MailAttachment, ParseLimits
from pipeline.mail.mime.part_tree import MimePart
from pipeline.mail.mime.transfer_encoding import (
    DecodedContent,
    decode_transfer_encoding,
    extract_inline_files,
    looks_like_base64,
)

_META_CHARSET = re.compile(
    rb"<(?:meta|\?xml)\b[^>]{0,200}?(?:charset|encoding)\s{0,9}=\s{0,9}[\"']?\s{0,9}([\w.:-]{2,40})",
    re.IGNORECASE,
)
_HTML_START = re.compile(r"\s*(?:<!doctype html|<html|<head|<body)\b", re.IGNORECASE)
_MIME_NOTICE = re.compile(r"multi-?part|MIME\b", re.IGNORECASE)
_LINE_ENDS = re.compile("\r+\n?")
# NUL, the byte order mark inside text, and the private-use character of quote marks: an author
# types none of them.
_UNWANTED = re.compile("[\0\ufeff\ue000]")
_IDENTITY = frozenset({"", "7bit", "8bit", "binary"})

# HTML declares its charset within its first bytes.
_META_WINDOW = 2_048

# Content of an unknown type is read as text if nearly all of its beginning is printable.
_PROSE_WINDOW, _PROSE_SHARE = 4_096, 0.95


@dataclass(slots=True)
class MailBody:
    """The text and attachments of a mail, the charset of its first text, and quality flags."""

    segments: tuple[BodySegment, ...] = ()
    attachments: tuple[MailAttachment, ...] = ()
    charset_declared: str = ""
    charset_used: str = ""
    flags: set[str] = field(default_factory=set)


def read_body(root: MimePart, limits: ParseLimits) -> MailBody:
    """Decode the body of a mail; where its text parts are empty, look for the text elsewhere."""
    decoder = _BodyDecoder(limits.text_bytes)
    selection = select_body(root)
    segments = decoder.segments(selection.segments)
    if not segments:
        for candidates in fallback_segments(selection):
            segments = decoder.segments(candidates)
            if segments:
                break
        segments = (
            segments
            or decoder.outside_text(root)
            or decoder.mislabelled_text(selection.attachments)
        )
        if segments:
            decoder.body.flags.add("text_rescued")
    decoder.body.segments = tuple(segments)
    decoder.body.attachments = (*map(_attachment, selection.attachments), *decoder.inline_files)
    return decoder.body


def _attachment(part: MimePart) -> MailAttachment:
    content = part.content
    if not part.children and part.encoding not in _IDENTITY:
        content = decode_transfer_encoding(content, part.encoding).raw
    return MailAttachment(
        part.filename, part.media_type, len(content), sha256(content).hexdigest(), part.content_id
    )


class _BodyDecoder:
    """Decodes the texts of one mail, within a budget of bytes for plain text and one for HTML."""

    def __init__(self, text_bytes: int) -> None:
        self.body = MailBody()
        self.inline_files: list[MailAttachment] = []
        self._bytes_left = {False: text_bytes, True: text_bytes}

    def segments(self, candidates: Iterable[SegmentParts]) -> list[BodySegment]:
        segments: list[BodySegment] = []
        for candidate in candidates:
            plain = "\n".join(filter(None, map(self._part_text, candidate.plain)))
            html = "\n".join(filter(None, map(self._part_text, candidate.html)))
            if plain and not html and _HTML_START.match(plain):
                plain, html = "", plain
            if plain or html:
                segments.append(BodySegment(plain, html))
        return segments

    def _part_text(self, part: MimePart) -> str:
        is_html = part.media_type in HTML_TYPES
        content = self._decoded_content(part)
        raw = content.raw
        if len(raw) > self._bytes_left[is_html]:
            self.body.flags.add("size_limited")
            raw = _cut(raw, self._bytes_left[is_html])
        self._bytes_left[is_html] -= len(raw)
        if not is_html:
            raw, files = extract_inline_files(raw)
            self.inline_files.extend(map(_inline_file, files))
        return self._to_text(raw, part.parameters.get("charset", ""), is_html)

    def _decoded_content(self, part: MimePart) -> DecodedContent:
        raw = part.content
        if part.encoding in _IDENTITY:
            if looks_like_base64(raw):
                decoded = decode_transfer_encoding(raw, "base64")
                if _is_printable_text(decoded.raw):
                    self.body.flags.add("encoding_invalid")
                    return decoded
            return DecodedContent(raw)
        content = decode_transfer_encoding(raw, part.encoding)
        if content.invalid:
            self.body.flags.add("encoding_invalid")
        if content.truncated:
            self.body.flags.add("mime_truncated")
        return content

    def _to_text(self, raw: bytes, declared: str, is_html: bool) -> str:
        known = lookup_charset(declared)
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

    # --- text in unusual places

    def outside_text(self, root: MimePart) -> list[BodySegment]:
        """Return the text outside the parts of a multipart, without the "this is MIME" notice."""
        segments: list[BodySegment] = []
        for start, end in root.outside_spans:
            text = self._to_text(root.data[start:end], "", is_html=False)
            if text and not (len(text) < _META_WINDOW and _MIME_NOTICE.search(text)):
                segments.append(BodySegment(text, ""))
        return segments

    def mislabelled_text(self, attachments: Iterable[MimePart]) -> list[BodySegment]:
        """Return the first unnamed attachment whose bytes are text, whatever its type says."""
        for part in attachments:
            if (
                not part.filename
                and not part.children
                and _is_printable_text(self._decoded_content(part).raw)
            ):
                return self.segments([SegmentParts(plain=[part])])
        return []


def _cut(raw: bytes, size: int) -> bytes:
    """Cut at the last line end before `size`: any other position may split a character."""
    end = raw.rfind(b"\n", max(0, size - _META_WINDOW), size)
    return raw[: end + 1 if end >= 0 else size]


def _inline_file(file: tuple[bytes, bytes]) -> MailAttachment:
    name, content = file
    label = decode_text(name, None).text
    return MailAttachment(
        label, "application/octet-stream", len(content), sha256(content).hexdigest(), ""
    )


def _is_printable_text(raw: bytes) -> bool:
    sample = raw[:_PROSE_WINDOW]
    if not sample.strip() or b"\0" in sample:
        return False
    text = decode_text(sample, None).text
    return sum(c.isprintable() or c in "\r\n\t" for c in text) >= _PROSE_SHARE * len(text)

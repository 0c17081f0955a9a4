"""Decide which parts of a mail are its body, in reading order, and which are attachments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline.mail.mime.part_tree import MimePart

# Text types that are data for programs. Any other text type, known or not, is for people to read
# (RFC 2046, section 4.1.4).
_DATA_TYPES = frozenset(
    [
        "text/calendar",
        "text/vcard",
        "text/x-vcard",
        "text/directory",
        "text/csv",
        "text/css",
        "text/xml",
        "text/x-diff",
        "text/x-amp-html",
        "text/rfc822-headers",
        "text/x-patch",
        "text/javascript",
    ]
)
HTML_TYPES = frozenset({"text/html", "application/xhtml+xml", "text/enriched", "text/richtext"})
# Reports of servers and mail programs about a mail; used only where there is no other text.
_REPORT_TYPES = frozenset(
    {
        "message/delivery-status",
        "message/disposition-notification",
        "message/feedback-report",
        "text/rfc822-headers",
    }
)


@dataclass(slots=True)
class SegmentParts:
    """The parts that form one segment of the body: plain, HTML, or one text in both forms."""

    plain: list[MimePart] = field(default_factory=list)
    html: list[MimePart] = field(default_factory=list)


@dataclass(slots=True)
class BodySelection:
    """The segments of a body in reading order, and the attachments."""

    segments: list[SegmentParts] = field(default_factory=list)
    attachments: list[MimePart] = field(default_factory=list)


def select_body(root: MimePart) -> BodySelection:
    """Separate the body of a mail from its attachments.

    The parts that a mail program shows without a click are the body. The plain and the HTML form of
    a multipart/alternative are one segment. Of a report and of a signed mail the first part is the
    body. Mails in a digest are body; attached mails are attachments unless nothing surrounds them.
    """
    selector = _BodySelector()
    segments = selector.select(root, shown=True)
    return BodySelection(segments, selector.attachments)


def fallback_segments(selection: BodySelection) -> Iterator[list[SegmentParts]]:
    """Yield where the text may be in a mail whose body has none, the most likely place first."""
    yield [
        _single_part(part)
        for part in selection.attachments
        if part.media_type.startswith("text/") and not _is_report(part)
    ]
    for part in selection.attachments:
        if part.children:
            yield select_body(part.children[0]).segments
    yield [_single_part(part) for part in selection.attachments if _is_report(part)]


def leaf_parts(part: MimePart) -> Iterator[MimePart]:
    """Yield the leaves of a multipart, or the part itself; attached mails are not opened."""
    stack = [part]
    while stack:
        node = stack.pop()
        if node.children and node.media_type.startswith("multipart/"):
            stack.extend(reversed(node.children))
        else:
            yield node


def _is_report(part: MimePart) -> bool:
    return part.media_type in _REPORT_TYPES


def _single_part(part: MimePart) -> SegmentParts:
    return (
        SegmentParts(html=[part]) if part.media_type in HTML_TYPES else SegmentParts(plain=[part])
    )


class _BodySelector:
    """Walks the part tree; `ParseLimits.depth` bounds the recursion."""

    def __init__(self) -> None:
        self.attachments: list[MimePart] = []
        self._texts = 0

    def select(self, part: MimePart, shown: bool = False) -> list[SegmentParts]:
        if part.children and part.media_type.startswith("multipart/"):
            return self._multipart(part)
        if part.children and shown:
            return self.select(part.children[0], shown=True)
        if self._is_body(part, shown):
            self._texts += 1
            return [_single_part(part)]
        self.attachments.append(part)
        return []

    def _is_body(self, part: MimePart, shown: bool) -> bool:
        if part.media_type not in HTML_TYPES and (
            not part.media_type.startswith("text/") or part.media_type in _DATA_TYPES
        ):
            return False
        if shown:
            return True
        # A text part with a file name is an attachment, except the first one: some mailers name the
        # body.
        return part.disposition != "attachment" and not (part.filename and self._texts)

    def _multipart(self, part: MimePart) -> list[SegmentParts]:
        if part.media_type == "multipart/alternative":
            return self._alternative(part)
        if part.media_type in ("multipart/report", "multipart/signed"):
            return self._first_with_text(part)
        if part.media_type == "multipart/related":
            return self._related(part)
        shown = part.media_type == "multipart/digest"
        return [segment for child in part.children for segment in self.select(child, shown)]

    def _alternative(self, part: MimePart) -> list[SegmentParts]:
        """Merge the forms of one text: the first plain one and the last, richest HTML."""
        merged = SegmentParts()
        for child in part.children:
            segments = self.select(child)
            plain = [text for segment in segments for text in segment.plain]
            merged.plain = merged.plain or plain
            merged.html = [text for segment in segments for text in segment.html] or merged.html
        return [merged]

    def _first_with_text(self, part: MimePart) -> list[SegmentParts]:
        segments: list[SegmentParts] = []
        for child in part.children:
            if segments:
                self.attachments.extend(leaf_parts(child))
            else:
                segments = self.select(child)
        return segments

    def _related(self, part: MimePart) -> list[SegmentParts]:
        segments: list[SegmentParts] = []
        for child in part.children:
            if segments and child.content_id and not child.children:
                self.attachments.append(child)
            else:
                segments.extend(self.select(child))
        return segments

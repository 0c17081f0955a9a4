"""Which parts of a mail are its body, in reading order, and which are attachments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline.mail.mime.part_tree import Part

# Text that is data for programs; any other kind of text, known or not, is to be read (RFC 2046
# §4.1.4).
_DATA_TYPES = {
    *(
        "text/calendar",
        "text/vcard",
        "text/x-vcard",
        "text/directory",
        "text/csv",
        "text/css",
        "text/xml",
        "text/x-diff",
    ),
    *("text/x-amp-html", "text/rfc822-headers", "text/x-patch", "text/javascript"),
}
HTML_TYPES = frozenset({"text/html", "application/xhtml+xml", "text/enriched", "text/richtext"})
# What servers and mail programs say about a mail; read only where there is nothing else.
_REPORT_TYPES = frozenset(
    {
        "message/delivery-status",
        "message/disposition-notification",
        "message/feedback-report",
        "text/rfc822-headers",
    }
)


@dataclass(slots=True)
class Piece:
    """A piece of the body: its plain parts and its HTML parts; both where it is the same text in
    two forms.
    """

    plain: list[Part] = field(default_factory=list)
    html: list[Part] = field(default_factory=list)


@dataclass(slots=True)
class Selection:
    """The pieces of a body in reading order, and the attachments."""

    pieces: list[Piece] = field(default_factory=list)
    attachments: list[Part] = field(default_factory=list)


def select(root: Part) -> Selection:
    """Tell body from attachments: the parts a reader is shown without opening anything are the
    body.

    Of a multipart/alternative the plain and the HTML form make one piece; of a report and a signed
    mail the first part is the body; mails in a digest are body, attached mails are attachments
    unless nothing surrounds them.
    """
    selector = _Selector()
    pieces = selector.pieces(root, shown=True)
    return Selection(pieces, selector.attachments)


def refuges(selection: Selection) -> Iterator[list[Piece]]:
    """Yield where a text may hide in a mail without one, most likely place first."""
    yield [
        _piece(part)
        for part in selection.attachments
        if part.mime.startswith("text/") and not _is_report(part)
    ]
    for part in selection.attachments:
        if part.children:
            yield select(part.children[0]).pieces
    yield [_piece(part) for part in selection.attachments if _is_report(part)]


def leaves(part: Part) -> Iterator[Part]:
    """Yield a part, or what it contains if it is a multipart; attached mails are not opened."""
    stack = [part]
    while stack:
        node = stack.pop()
        if node.children and node.mime.startswith("multipart/"):
            stack.extend(reversed(node.children))
        else:
            yield node


def _is_report(part: Part) -> bool:
    return part.mime in _REPORT_TYPES


def _piece(part: Part) -> Piece:
    return Piece(html=[part]) if part.mime in HTML_TYPES else Piece(plain=[part])


class _Selector:
    """Walks the tree; the depth of its recursion is the tree's, which `Limits.depth` bounds."""

    def __init__(self) -> None:
        self.attachments: list[Part] = []
        self._texts = 0

    def pieces(self, part: Part, shown: bool = False) -> list[Piece]:
        if part.children and part.mime.startswith("multipart/"):
            return self._multipart(part)
        if part.children and shown:
            return self.pieces(part.children[0], shown=True)
        if self._is_body(part, shown):
            self._texts += 1
            return [_piece(part)]
        self.attachments.append(part)
        return []

    def _is_body(self, part: Part, shown: bool) -> bool:
        if part.mime not in HTML_TYPES and (
            not part.mime.startswith("text/") or part.mime in _DATA_TYPES
        ):
            return False
        if shown:
            return True
        # Text files shown inline have a name; a body has one only where a mailer names its first
        # text.
        return part.disposition != "attachment" and not (part.filename and self._texts)

    def _multipart(self, part: Part) -> list[Piece]:
        if part.mime == "multipart/alternative":
            return self._alternative(part)
        if part.mime in ("multipart/report", "multipart/signed"):
            return self._first_with_text(part)
        if part.mime == "multipart/related":
            return self._related(part)
        shown = part.mime == "multipart/digest"
        return [piece for child in part.children for piece in self.pieces(child, shown)]

    def _alternative(self, part: Part) -> list[Piece]:
        """Join the forms of one text: the first plain one, the last and richest HTML."""
        merged = Piece()
        for child in part.children:
            found = self.pieces(child)
            plain = [text for piece in found for text in piece.plain]
            merged.plain = merged.plain or plain
            merged.html = [text for piece in found for text in piece.html] or merged.html
        return [merged]

    def _first_with_text(self, part: Part) -> list[Piece]:
        found: list[Piece] = []
        for child in part.children:
            if found:
                self.attachments.extend(leaves(child))
            else:
                found = self.pieces(child)
        return found

    def _related(self, part: Part) -> list[Piece]:
        found: list[Piece] = []
        for child in part.children:
            if found and child.content_id and not child.children:
                self.attachments.append(child)
            else:
                found.extend(self.pieces(child))
        return found

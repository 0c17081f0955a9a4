"""A mail as a tree of parts, split by hand: linear in the bytes, bounded in depth and number,
forgiving about boundaries.

The standard library's parser recurses per level and tests every line against every open boundary
(3,000 levels raise RecursionError, 200 levels and 40,000 lines take 2.3 s); here each level is
split by searching for its own boundary.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pipeline.mail.mime.encoded_words import parse_parameters
from pipeline.mail.mime.header_block import Head, split_head, unicode_value
from pipeline.mail.mime.parsed_mail import Limits
from pipeline.mail.mime.transfer_encoding import decode_transfer

_MEDIA_TYPE = re.compile(r"([a-z0-9!#$&^_.+-]+)\s*/\s*([a-z0-9!#$&^_.+-]+)")
_BOUNDARY_TAIL = re.compile(rb"(--)?[ \t]*(?:\r*\n|\r|\Z)")
# A boundary nobody declared: a line of two hyphens and a word, and a header of a part below it.
_GUESSED = re.compile(
    rb"(?:^|\n)--([^\s-][^\r\n]{0,200}?|-[^\r\n]{3,200}?)[ \t]*\r?\n(?=Content-[A-Za-z-]{2,30}:)"
)
_MESSAGE_TYPES = frozenset({"message/rfc822", "message/global", "message/news", "message/rfc2822"})

_LONGEST_TYPE = 200

# The guess reads the beginning only; a boundary comes before the first part.
_GUESS_WINDOW = 64 << 10

# Lines that begin like the boundary but are another (a longer one, a bomb); beyond this the search
# ends.
_MAX_FALSE_BOUNDARIES = 20_000


@dataclass(slots=True)
class Part:
    """A node: its type and parameters, where its content lies in `data`, and its children if it is
    a container.
    """

    head: Head
    mime: str
    parameters: dict[str, str]
    encoding: str
    disposition: str
    filename: str
    content_id: str
    data: bytes
    start: int
    end: int
    children: list[Part] = field(default_factory=list)
    around: list[tuple[int, int]] = field(default_factory=list)

    @property
    def content(self) -> bytes:
        """The content as sent, still in its transfer encoding."""
        return self.data[self.start : self.end]

    def is_message(self) -> bool:
        """Tell an embedded mail."""
        return self.mime in _MESSAGE_TYPES and bool(self.children)


class Splitter:
    """Builds the tree of one mail within `limits`, and notes what was wrong in `flags`."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._left = limits.parts
        self.flags: set[str] = set()

    def root(self, data: bytes, head: Head) -> Part:
        """Split a mail whose header block is read already."""
        return self._part(data, head, len(data), 0, "text/plain")

    def _part(self, data: bytes, head: Head, end: int, depth: int, default: str) -> Part:
        self._left -= 1
        part = described(data, head, end, default)
        nests = part.mime.startswith("multipart/") or part.mime in _MESSAGE_TYPES
        if nests and depth >= self._limits.depth:
            self.flags.add("depth_limited")
        elif part.mime.startswith("multipart/"):
            self._split(part, depth)
        elif part.mime in _MESSAGE_TYPES:
            self._open_message(part, depth)
        return part

    def _head(self, data: bytes, start: int, end: int) -> Head:
        limits = self._limits
        head = split_head(data, start, end, limits.header_bytes, limits.headers, limits.value_bytes)
        if head.limited:
            self.flags.add("header_limited")
        return head

    def _open_message(self, part: Part, depth: int) -> None:
        if part.encoding in ("base64", "quoted-printable"):
            part.data = decode_transfer(part.content, part.encoding).raw
            part.start, part.end, part.encoding = 0, len(part.data), ""
        if not part.data[part.start : part.end].strip():
            return
        head = self._head(part.data, part.start, part.end)
        part.children.append(self._part(part.data, head, part.end, depth + 1, "text/plain"))

    def _split(self, part: Part, depth: int) -> None:
        spans = self._spans(part)
        default = "message/rfc822" if part.mime == "multipart/digest" else "text/plain"
        for start, end in spans:
            if self._left <= 0:
                self.flags.add("part_limited")
                break
            head = self._head(part.data, start, end)
            part.children.append(self._part(part.data, head, end, depth + 1, default))
        if not spans:
            part.mime = "text/plain"

    def _spans(self, part: Part) -> list[tuple[int, int]]:
        declared = part.parameters.get("boundary", "")
        candidates = [declared, declared.strip(), declared.partition(" ")[0]] if declared else []
        for boundary in dict.fromkeys(candidates):
            spans = self._between(part, boundary.encode("utf-8")) if boundary else []
            if spans:
                return spans
        self.flags.add("boundary_missing")
        guess = _GUESSED.search(part.data, part.start, min(part.end, part.start + _GUESS_WINDOW))
        return self._between(part, guess[1]) if guess is not None else []

    def _between(self, part: Part, boundary: bytes) -> list[tuple[int, int]]:
        """Return where the parts between delimiter lines lie; what precedes, follows or interrupts
        them is `around`.
        """
        data, end = part.data, part.end
        delimiter = b"--" + boundary
        spans: list[tuple[int, int]] = []
        around: list[tuple[int, int]] = []
        opened, closed = False, True
        begin = position = part.start
        false = 0
        while false < _MAX_FALSE_BOUNDARIES and len(spans) <= self._left:
            found = data.find(delimiter, position, end)
            if found < 0:
                break
            tail = _BOUNDARY_TAIL.match(data, found + len(delimiter), end)
            if tail is None or (found > part.start and data[found - 1] not in b"\r\n"):
                false += 1
                position = found + len(delimiter)
                continue
            span = (begin, _before_line_end(data, begin, found))
            if opened:
                spans.append(span)
            else:
                around.append(span)
            opened = tail[1] is None
            closed = not opened
            begin = position = tail.end()
        if opened and (begin < end or not spans):
            spans.append((begin, end))
        elif not opened:
            around.append((begin, end))
        if spans and not closed:
            self.flags.add("mime_truncated")
        part.around = around if spans else []
        return spans


def _before_line_end(data: bytes, begin: int, position: int) -> int:
    """Step back over the line end before a delimiter, which belongs to it (RFC 2046 §5.1.1)."""
    if position > begin and data[position - 1 : position] == b"\n":
        position -= 1
    if position > begin and data[position - 1 : position] == b"\r":
        position -= 1
    return position


def described(data: bytes, head: Head, end: int, default: str) -> Part:
    """Return the part that a header block describes; of several fields the first that says anything
    counts.
    """
    mime = default
    parameters: dict[str, str] = {}
    for raw in head.all(b"content-type"):
        value = unicode_value(raw)
        token, parameters = parse_parameters(value)
        media_type = _MEDIA_TYPE.match(value[:_LONGEST_TYPE].strip().lower())
        if media_type is not None or token in ("text", "html", "plain"):
            mime = (
                f"{media_type[1]}/{media_type[2]}"
                if media_type is not None
                else ("text/html" if token == "html" else "text/plain")
            )
            break
    encoding = (
        unicode_value(head.first(b"content-transfer-encoding"))
        .partition(";")[0]
        .strip(" \"'")
        .lower()
    )
    disposition = ""
    file_parameters: dict[str, str] = {}
    for raw in head.all(b"content-disposition"):
        disposition, file_parameters = parse_parameters(unicode_value(raw))
        if disposition:
            break
    return Part(
        head,
        mime,
        parameters,
        encoding,
        disposition,
        file_parameters.get("filename") or parameters.get("name", ""),
        unicode_value(head.first(b"content-id")).strip(" <>")
        if head.by_name.get(b"content-id")
        else "",
        data,
        head.body,
        end,
    )

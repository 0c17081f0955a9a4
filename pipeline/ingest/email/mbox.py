"""Splits an mbox of any size into its messages, by RFC 4155 and the variants in use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime

from pipeline.ingest.byte_streams import BoundedBytes, UnreadableUnitError
from pipeline.mail.mime.dates import parse_mail_date
from pipeline.mail.mime.joined_mails import is_plain_separator

# The separator: `From `, an address or similar, a date in the format of C's asctime. The zone may
# be before or after the year, seconds may be missing, the weekday may have a comma: Eudora,
# Thunderbird, Mailman, Gmail and elm all differ.
_MONTH = rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_DAY_AND_MONTH = rb"(?:" + _MONTH + rb" +\d{1,2}|\d{1,2} +" + _MONTH + rb")"
_STRICT = re.compile(
    rb"From (?:[^\r\n]*\s)??(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? +"
    + _DAY_AND_MONTH
    + rb",? +(?:\d{4} +)?\d{1,2}:\d{2}(?::\d{2})?(?: +[A-Za-z0-9+-]+)*"
)
# Anything with a time and a year; accepted only between an empty line and a header.
_LOOSE = re.compile(rb"(?=[^\r\n]*\d{1,2}:\d{2})(?=[^\r\n]*\b(?:19|20)\d{2}\b)From \S")
_HEADER_LINE = re.compile(rb"[!-9;-~]+[ \t]*:|>?From ")
_QUOTED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)
_FROM_LINE = re.compile(rb"[\r\n]*From [^\n]*\n?")

_MARK = b"\nFrom "
# Separator lines have 40 to 100 bytes. Of a longer line, and of the line after it, only this much
# is examined.
_LOOK_AHEAD = 4096
# Room for the end of the line before a separator, and for a mark that is cut by a chunk's border.
_LOOK_BEHIND = len(_MARK) + 4


def is_mbox(head: bytes) -> bool:
    """Return whether a file is an mbox, by its first bytes (4 KiB, or all of it).

    An mbox starts with a separator line and a header.
    """
    head = head.lstrip(b"\r\n")
    return head.startswith(b"From ") and _separates(head, 0, after_empty=True, strict_alone=True)


def split_mbox(pieces: Iterable[bytes], limit: int) -> Iterator[BoundedBytes]:
    """Yield each message of an mbox as in the file, with its separator line and closing empty line.

    At most `limit` bytes of a message and one chunk are kept in memory. A line that starts with
    `From ` is a separator if it has a date in asctime's format and follows an empty line or
    precedes a header, or if it does both (see `is_plain_separator`). Content-Length is ignored:
    programs that edit messages leave it wrong. UnreadableUnitError is passed on with the broken
    message as its `rest`.
    """
    splitter = _MboxSplitter(limit)
    try:
        for piece in pieces:
            yield from splitter.feed(piece)
    except UnreadableUnitError as error:
        error.rest = splitter.rest()
        raise
    yield from splitter.finish()


class _MboxSplitter:
    """Splits chunks into messages.

    `_window` are the bytes after the current message whose owner is not known yet.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._message = BoundedBytes(limit)
        self._is_blank = True
        self._window = b""

    def feed(self, piece: bytes) -> Iterator[BoundedBytes]:
        self._window += piece
        cuts, keep_from = _separators(self._window, final=False)
        yield from self._cut(cuts, keep_from)

    def finish(self) -> Iterator[BoundedBytes]:
        cuts, _ = _separators(self._window, final=True)
        yield from self._cut(cuts, len(self._window))
        if self._message.size:
            yield self._message

    def rest(self) -> bytes:
        """Return what was read and not yielded yet, within the limit."""
        self._message.add(self._window)
        return self._message.retained()

    def _cut(self, cuts: Iterable[int], keep_from: int) -> Iterator[BoundedBytes]:
        start = 0
        for cut in cuts:
            self._add(self._window[start:cut])
            start = cut
            # Empty lines before the first separator belong to the first message.
            if not self._is_blank:
                yield self._message
                self._message, self._is_blank = BoundedBytes(self._limit), True
        self._add(self._window[start:keep_from])
        self._window = self._window[keep_from:]

    def _add(self, piece: bytes) -> None:
        self._message.add(piece)
        self._is_blank = self._is_blank and (not piece or piece.isspace())


def _separators(window: bytes, final: bool) -> tuple[list[int], int]:
    """Return where messages start in the window, and from where on the window must be kept."""
    cuts: list[int] = []
    at = window.find(_MARK)
    while at >= 0:
        if not final and len(window) - at < _LOOK_AHEAD:
            return cuts, max(0, at - _LOOK_BEHIND, *cuts[-1:])
        if _is_separator(window, at + 1):
            cuts.append(at + 1)
        at = window.find(_MARK, at + 1)
    return cuts, max(0, len(window) - _LOOK_BEHIND, *cuts[-1:])


def _is_separator(window: bytes, at: int) -> bool:
    after_empty = window.endswith((b"\n\n", b"\n\r\n"), max(0, at - 4), at)
    return _separates(window, at, after_empty, strict_alone=after_empty)


def _separates(window: bytes, at: int, after_empty: bool, strict_alone: bool) -> bool:
    end = window.find(b"\n", at, at + _LOOK_AHEAD)
    end = end if end >= 0 else min(len(window), at + _LOOK_AHEAD)
    line = window[at:end].rstrip()
    strict = bool(_STRICT.fullmatch(line))
    if strict and strict_alone:
        return True
    likely = strict or (after_empty and bool(_LOOSE.match(line)))
    if likely and _HEADER_LINE.match(window, end + 1, end + 1 + _LOOK_AHEAD):
        return True
    return after_empty and is_plain_separator(window, at, at + _LOOK_AHEAD)


def separator_time(section: bytes) -> datetime | None:
    r"""Return the time in a message's separator line, UTC where it names no zone; None without one.

    >>> separator_time(b"From a@example.com Mon Nov  2 09:00:05 2026\nSubject: hi\n").hour
    9
    """
    line = _FROM_LINE.match(section)
    if line is None:
        return None
    words = line[0][:_LOOK_AHEAD].decode("ascii", "replace").split(None, 2)
    date = parse_mail_date(words[2]) if len(words) == 3 else None
    return date.at if date is not None else None


def unwrap_message(section: bytes) -> bytes:
    r"""Return a message as it was before it was put into the mbox.

    Separator, closing empty line and the quoting of `From ` lines are removed. One > is removed
    from lines such as `>From ` and `>>From `: that is mboxrd; mboxo quotes only the first form,
    mboxcl none.

    >>> unwrap_message(b"From a Mon Nov  2 09:00:05 2026\nSubject: hi\n\n>From here\n\n")
    b'Subject: hi\n\nFrom here\n'
    """
    start = _FROM_LINE.match(section)
    message = section[start.end() :] if start else section
    for ending in (b"\r\n\r\n", b"\n\n"):
        if message.endswith(ending):
            message = message[: -len(ending) // 2]
            break
    return _QUOTED_FROM.sub(rb"\1", message) if b">From " in message else message

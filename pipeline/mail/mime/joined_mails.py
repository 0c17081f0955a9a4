"""Find where one mail ends and the next begins in bytes that hold several, as an mbox does."""

from __future__ import annotations

import re

from pipeline.mail.mime.header_block import is_known_field

# `From : ` is the obsolete form of a header (RFC 5322, 4.5).
_FROM_LINE = re.compile(rb"From (?![ \t]*+:)([^\r\n]*+)(?>\r\n|\n|\r|\Z)")
# The separators of Thunderbird, of exporters and of old clients: nothing, a hyphen, an address.
_NO_WORDS = re.compile(rb"[-?\s]*+(?:[^\s@]++@[^\s@]*+)?[-?\s]*+")
_FIELD_LINE = re.compile(rb"([!-9;-~]{1,200}+)[ \t]*+:[^\r\n]*+(?>\r\n|\n|\r|\Z)")

# A separator line and the two lines after it are shorter than this.
_WINDOW = 4_096
# Lines of text that begin with From and look nearly like a separator; more prove nothing.
_MAX_JOINTS = 1_000


def is_plain_separator(data: bytes, at: int, end: int) -> bool:
    r"""Return whether the line at `at`, which follows an empty line, separates two mails.

    Such a line begins with `From ` and a header line follows it. If it has words beside an address,
    it may be prose; then two header lines that mails use must follow.

    >>> is_plain_separator(b"From \nSubject: hi\n", 0, 100)
    True
    >>> is_plain_separator(b"From now on\nNote: only by mail\n", 0, 100)
    False
    """
    line = _FROM_LINE.match(data, at, end)
    if line is None:
        return False
    first = _FIELD_LINE.match(data, line.end(), end)
    if first is None:
        return False
    if _NO_WORDS.fullmatch(line[1]):
        return True
    if not is_known_field(first[1]):
        return False
    second = _FIELD_LINE.match(data, first.end(), end)
    return second is not None and is_known_field(second[1])


def holds_joined_mails(data: bytes, body_start: int) -> bool:
    """Return whether the body of a mail has a line that separates mails, as in an mbox."""
    at = data.find(b"\nFrom ", max(0, body_start - 1))
    for _ in range(_MAX_JOINTS):
        if at < 0:
            return False
        after_empty = data.endswith((b"\n\n", b"\n\r\n"), max(0, at - 3), at + 1)
        if after_empty and is_plain_separator(data, at + 1, at + 1 + _WINDOW):
            return True
        at = data.find(b"\nFrom ", at + 1)
    return False

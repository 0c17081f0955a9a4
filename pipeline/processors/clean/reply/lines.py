"""A text as lines: where each line starts, and its content without invisible characters."""

from bisect import bisect_left
from itertools import accumulate

from pipeline.mail.quote_marks import parse_quote_mark

# Soft hyphen, zero-width characters, direction marks and isolates, the byte order mark. Gmail,
# Apple Mail and Outlook put them around names and times; they do not matter for where a quote
# starts.
_INVISIBLE = (
    "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d"
    "\u202e\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufeff"
)
_WITHOUT_INVISIBLE = dict.fromkeys(map(ord, _INVISIBLE))
_NO_LINES: frozenset[int] = frozenset()


class TextLines:
    """A range of a text as lines.

    ``clean`` holds each line stripped and without invisible characters, ``raw`` each line as is,
    ``starts`` the offset of each line in the whole text and, last, the end of the range.
    """

    __slots__ = ("clean", "raw", "starts", "text")

    def __init__(self, text: str, offset: int = 0) -> None:
        self.text = text
        self.raw = text.splitlines(keepends=True)
        self.starts = list(accumulate(map(len, self.raw), initial=offset))
        if text.isascii() or not any(char in text for char in _INVISIBLE):
            self.clean = [line.strip() for line in self.raw]
        else:
            self.clean = [line.translate(_WITHOUT_INVISIBLE).strip() for line in self.raw]
        if "\ue000" in text:
            # A line that is not a mark is shown without the private-use character, so it is matched
            # without it.
            self.clean = [
                line if parse_quote_mark(line) is not None else line.replace("\ue000", "")
                for line in self.clean
            ]

    def slice(self, start: int, end: int) -> "TextLines":
        """Return the lines between two offsets of the whole text."""
        first, last = bisect_left(self.starts, start), bisect_left(self.starts, end)
        offset = self.starts[0]
        text = self.text[start - offset : end - offset]
        if self.starts[first] != start or self.starts[last] != end:
            return TextLines(text, start)
        lines = TextLines.__new__(TextLines)
        lines.text, lines.raw, lines.clean = text, self.raw[first:last], self.clean[first:last]
        lines.starts = self.starts[first : last + 1]
        return lines

    def nonblank_offset(self, start: int) -> int:
        """Return the offset of the next non-blank line from an offset on, or the end."""
        return self.starts[self.next_nonblank(bisect_left(self.starts, start))]

    def is_blank_before(self, start: int) -> bool:
        """Return whether the line that ends at an offset is blank, or there is none."""
        at = bisect_left(self.starts, start) - 1
        return at < 0 or not self.clean[at]

    def __len__(self) -> int:
        return len(self.clean)

    def next_nonblank(self, at: int) -> int:
        """Return the first non-blank line from ``at`` on, or the number of lines."""
        clean = self.clean
        while at < len(clean) and not clean[at]:
            at += 1
        return at

    def code_fence_lines(self) -> frozenset[int]:
        """Return the lines in closed code fences (```), where ``>`` and dashes are code."""
        if "```" not in self.text:
            return _NO_LINES
        marks = [at for at, line in enumerate(self.clean) if line.startswith("```")]
        inside: set[int] = set()
        for opened, closed in zip(marks[::2], marks[1::2], strict=False):
            inside.update(range(opened, closed + 1))
        return frozenset(inside)

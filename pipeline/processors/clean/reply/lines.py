"""A text as lines: where each starts, and what it says without the characters that are not seen."""

from itertools import accumulate

# Soft hyphen, zero-width characters, direction marks and isolates, the byte order mark: Gmail, Apple Mail and Outlook
# put them around names and times of day; none carries meaning for where a quote starts.
_UNSEEN = "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufeff"
_UNSEEN_DROPPED = dict.fromkeys(map(ord, _UNSEEN))


class Lines:
    """The lines of a text: ``clean`` holds each one stripped, ``starts`` their offsets and the text's length."""

    __slots__ = ("clean", "raw", "starts")

    def __init__(self, text: str) -> None:
        self.raw = text.splitlines(keepends=True)
        self.starts = [0, *accumulate(map(len, self.raw))]
        if text.isascii() or not any(char in text for char in _UNSEEN):
            self.clean = [line.strip() for line in self.raw]
        else:
            self.clean = [line.translate(_UNSEEN_DROPPED).strip() for line in self.raw]

    def __len__(self) -> int:
        return len(self.clean)

    def next_filled(self, at: int) -> int:
        """Return the first line from ``at`` on that is not blank, or the number of lines."""
        clean = self.clean
        while at < len(clean) and not clean[at]:
            at += 1
        return at

    def fenced(self) -> frozenset[int]:
        """Return the lines inside closed code fences (three backticks), where ``>`` and dashes are code."""
        marks = [at for at, line in enumerate(self.clean) if line.startswith("```")]
        inside: set[int] = set()
        for opened, closed in zip(marks[::2], marks[1::2], strict=False):
            inside.update(range(opened, closed + 1))
        return frozenset(inside)

"""A text that was rewritten, aligned with its original, so that excerpts show the original."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline.text.nfkc import nfkc

# A character with the marks that combine with it.
_CLUSTER = re.compile(r".[\u0300-\u036f\u3099\u309a]*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class AlignedText:
    """A rewritten text; character i comes from `original[starts[i] : ends[i]]`.

    >>> AlignedText.nfkc("Ｈi，回電").casefold().original_of(0, 3)
    'Ｈi，'
    """

    text: str
    original: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    @classmethod
    def nfkc(cls, original: str) -> AlignedText:
        """Return the NFKC form of a text, aligned by character, or by line where that is wrong."""
        pieces: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        position = 0
        for cluster in _clusters(original):
            piece = nfkc(cluster)
            pieces.append(piece)
            starts += [position] * len(piece)
            position += len(cluster)
            ends += [position] * len(piece)
        return cls("".join(pieces), original, tuple(starts), tuple(ends))

    def casefold(self) -> AlignedText:
        """Return the case-folded text."""
        return self._rewritten(
            (character.casefold(), n, n + 1) for n, character in enumerate(self.text)
        )

    def map_text(self, replace: Callable[[str], str]) -> AlignedText:
        """Return the text after a replacement, which must keep its length (else ValueError)."""
        text = replace(self.text)
        if len(text) != len(self.text):
            raise ValueError("the replacement changes the length of the text")
        return AlignedText(text, self.original, self.starts, self.ends)

    def sub(self, pattern: re.Pattern[str], template: str) -> AlignedText:
        """Return the text of `pattern.sub(template, text)`."""
        return self._rewritten(self._substituted(pattern, template))

    def original_of(self, first: int, last: int) -> str:
        """Return the original of the characters `first` to `last` (exclusive)."""
        return self.original[self.starts[first] : self.ends[last - 1]] if first < last else ""

    def _substituted(
        self, pattern: re.Pattern[str], template: str
    ) -> Iterator[tuple[str, int, int]]:
        position = 0
        for match in pattern.finditer(self.text):
            yield from ((self.text[n], n, n + 1) for n in range(position, match.start()))
            yield match.expand(template), match.start(), match.end()
            position = match.end()
        yield from ((self.text[n], n, n + 1) for n in range(position, len(self.text)))

    def _rewritten(self, pieces: Iterator[tuple[str, int, int]]) -> AlignedText:
        """Return the text of pieces, each with the characters of this text that it comes from."""
        texts: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        for piece, first, last in pieces:
            if piece:
                texts.append(piece)
                starts += [self.starts[first]] * len(piece)
                ends += [self.ends[last - 1]] * len(piece)
        return AlignedText("".join(texts), self.original, tuple(starts), tuple(ends))


def _clusters(text: str) -> Iterator[str]:
    """Yield parts of a text whose NFKC forms, joined, are the NFKC form of the text."""
    for line in text.splitlines(keepends=True):
        clusters = _CLUSTER.findall(line)
        joined = "".join(map(nfkc, clusters))
        # Characters of few scripts, such as Hangul letters, combine beyond these clusters.
        yield from clusters if joined == nfkc(line) else [line]

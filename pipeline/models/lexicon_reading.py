"""Texts read once for all heads: what the rules, the models' hints and the clauses are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

from pipeline.models.lexicon_files import Entry, tokenise
from pipeline.models.rules import RuleAnswer, spam_of
from pipeline.models.spam_signals import look, weight_of
from pipeline.models.term_matches import Segments, whole
from pipeline.models.term_scan import scan
from pipeline.text.normal_form import READ_CHARACTERS


@dataclass(slots=True)
class Reading:
    """A text read once for all heads: as written, in normal form, and what is found in it: one of
    the segments of its batch.

    `shown` is what its characters show of spam (`signs.look`).
    """

    raw: str
    text: str
    segments: Segments
    place: int
    shown: int
    _spam: RuleAnswer | None = None
    _tokens: list[str] | None = None

    @property
    def size(self) -> int:
        """How many tokens it has."""
        return self.segments.sizes[self.place]

    @property
    def tokens(self) -> list[str]:
        """Its tokens, cut out at first use: the built-in heads need none."""
        if self._tokens is None:
            self._tokens = tokenise(self.text)
        return self._tokens

    @property
    def polarity(self) -> float:
        """The feeling of the text from -1 (bad) to 1 (good)."""
        return self.segments.polarities[self.place]

    @property
    def felt(self) -> tuple[str, ...]:
        """The terms that carry the feeling, in order of the text."""
        return self.segments.felt(self.place)

    def entries_of(self, head: str) -> list[Entry]:
        """Return the distinct entries of a head's lists that were found, in order of the text."""
        return self.segments.entries_of(self.place, head)

    @property
    def signs(self) -> float:
        """What the text shows of mass mail beside its words."""
        return weight_of(self.shown, self.text)

    @property
    def spam(self) -> RuleAnswer:
        """Ham or spam, worked out at first use."""
        if self._spam is None:
            self._spam = spam_of(self)
        return self._spam


def read_all(raws: Sequence[str], texts: Sequence[str]) -> list[Reading]:
    """Read texts as written (any `str`), together: `texts` are their normal forms
    (`characters.normalise`).
    """
    segments = whole(scan(texts))
    read = [raw[:READ_CHARACTERS] for raw in raws]
    shown = look(read, segments.scan)
    return list(map(Reading, read, texts, repeat(segments), range(len(texts)), shown))

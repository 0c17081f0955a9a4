"""Texts read once for all heads: the input of rules, of the models' hints and of clauses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

from pipeline.models.answers import RuleAnswer
from pipeline.models.lexicon_files import LexiconEntry, tokenise
from pipeline.models.spam_signals import detect_signals, signal_weight
from pipeline.models.term_matches import Segments, whole_texts
from pipeline.models.term_scan import scan_terms
from pipeline.text.normal_form import READ_CHARACTERS


@dataclass(slots=True)
class LexiconReading:
    """A text read once for all heads: as written, in normal form, and its lexicon matches.

    The matches are those of one `segment` of the batch's `segments`. `spam_signals` are the bit
    flags of `spam_signals.detect_signals`. It is a `RuleInput`.
    """

    raw: str
    text: str
    segments: Segments
    segment: int
    spam_signals: int
    spam_answer: RuleAnswer | None = None
    _tokens: list[str] | None = None

    @property
    def size(self) -> int:
        """The number of tokens."""
        return self.segments.sizes[self.segment]

    @property
    def tokens(self) -> list[str]:
        """The tokens, computed at first use because the built-in heads do not need them."""
        if self._tokens is None:
            self._tokens = tokenise(self.text)
        return self._tokens

    @property
    def polarity(self) -> float:
        """The sentiment of the text from -1 (bad) to 1 (good)."""
        return self.segments.polarities[self.segment]

    @property
    def sentiment_terms(self) -> tuple[str, ...]:
        """The terms that carry the sentiment, in order of the text."""
        return self.segments.sentiment_terms(self.segment)

    def entries_of(self, head: str) -> list[LexiconEntry]:
        """Return the distinct entries of a head's lexicon found in the text, in its order."""
        return self.segments.entries_of(self.segment, head)

    @property
    def has_spam_signals(self) -> bool:
        """Whether the characters of the text contain any signal of mass mail."""
        return self.spam_signals != 0

    @property
    def spam_signal_weight(self) -> float:
        """The weight of the signals of mass mail besides words."""
        return signal_weight(self.spam_signals, self.text)


def read_texts(raws: Sequence[str], texts: Sequence[str]) -> list[LexiconReading]:
    """Read a batch of texts: `raws` as written (any `str`), `texts` in `normalise`'s normal form.

    >>> read_texts(["I want a REFUND!"], ["i want a refund!"])[0].size
    5
    """
    segments = whole_texts(scan_terms(texts))
    raws = [raw[:READ_CHARACTERS] for raw in raws]
    signals = detect_signals(raws, segments.scan)
    return list(map(LexiconReading, raws, texts, repeat(segments), range(len(texts)), signals))

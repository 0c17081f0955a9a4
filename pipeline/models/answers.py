"""What rules answer, and what a rule may ask of a text: the types that rules and readings share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from pipeline.models.lexicon_files import LexiconEntry


class RuleAnswer(NamedTuple):
    """A rule's answer: the label, a confidence from 0 to 1, and the terms that led to it.

    `label` is "" if nothing in the text supports any label. `terms` are in the order of the text.
    """

    label: str
    confidence: float
    terms: tuple[str, ...] = ()


NO_ANSWER: Final = RuleAnswer("", 0.0)


class RuleInput(Protocol):
    """What a rule may ask of a text.

    `spam_answer` caches the answer of the spam rule, because the rule for needs asks for it too;
    None until it is computed.
    """

    spam_answer: RuleAnswer | None

    @property
    def size(self) -> int:
        """The number of tokens."""

    @property
    def tokens(self) -> Sequence[str]:
        """The tokens in order of the text."""

    @property
    def polarity(self) -> float:
        """The sentiment of the text from -1 (bad) to 1 (good)."""

    @property
    def sentiment_terms(self) -> tuple[str, ...]:
        """The terms that carry the sentiment, in order of the text."""

    @property
    def has_spam_signals(self) -> bool:
        """Whether the characters of the text contain any signal of mass mail."""

    @property
    def spam_signal_weight(self) -> float:
        """The weight of signals of mass mail besides words, such as links and prices."""

    def entries_of(self, head: str) -> Sequence[LexiconEntry]:
        """Return the distinct entries of a head's lexicon found in the text, in its order."""


Rule = Callable[[RuleInput], RuleAnswer]
"""Answers one head's question about a text before anything is learnt."""

"""A text that asks several things, asked about clause by clause."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from pipeline.models.rules import Reading, RuleAnswer
from pipeline.models.terms import Match

_ENDS: Final = frozenset(",.;!?:、…~。")
_JOINS: Final = frozenset(("and", "also", "but", "plus"))
# Chinese is read by characters: these join two clauses where no comma does.
_PAIRS: Final = frozenset(("另外", "还有", "顺便", "以及", "同时", "然后", "并且"))
# "ok", "3" or "thanks" asks nothing.
_LEAST_TOKENS: Final = 2
# A person who asks more than eight things in one message writes a letter: its first clauses tell what it is about, and each costs as
# much as a short message.
_MOST: Final = 8


# Whether a message is spam is asked of the whole: a clause by itself need not be looked at for its signs.
_NO_SPAM: Final = RuleAnswer("ham", 0.5)


class Sure(NamedTuple):
    """What one clause is about, and how surely (a probability)."""

    label: str
    probability: float


def clauses(reading: Reading) -> list[Reading]:
    """Return the clauses of a text as readings of their own, at most eight; none where it has only one."""
    spans = [(first, last) for first, last in _spans(reading.tokens) if last - first >= _LEAST_TOKENS]
    return [_part(reading, first, last) for first, last in spans[:_MOST]] if len(spans) > 1 else []


def _spans(tokens: Sequence[str]) -> Iterator[tuple[int, int]]:
    first, position, count = 0, 0, len(tokens)
    while position < count:
        token = tokens[position]
        width = 1 if token in _ENDS or token in _JOINS else 0
        if not width and position + 1 < count and token + tokens[position + 1] in _PAIRS:
            width = 2
        if width:
            yield first, position
            first = position + width
        position += width or 1
    yield first, count


def _part(reading: Reading, first: int, last: int) -> Reading:
    tokens = reading.tokens[first:last]
    matches = {
        head: [
            Match(match.start - first, match.end - first, match.group, match.value, match.term)
            for match in found
            if match.start >= first and match.end <= last
        ]
        for head, found in reading.matches.items()
    }
    # Blanks between Han characters make no other features: they part tokens that are parted already.
    text = " ".join(tokens)
    return Reading(text, text, tokens, {head: found for head, found in matches.items() if found}, _spam=_NO_SPAM)


def together(label: str, probability: float, sure: Sequence[Sure]) -> tuple[str, float, tuple[str, ...]]:
    """Return a text's label and probability, and the further labels, from its own best and what its clauses are sure of.

    A text whose clauses are sure of two things or more asks several: its own best stays first where a clause is sure of that too,
    else the surest is. A single sure clause says no more than the text does.
    """
    best: dict[str, float] = {}
    for clause in sure:
        best[clause.label] = max(best.get(clause.label, 0.0), clause.probability)
    if len(best) < 2:
        return label, probability, ()
    first = label if label in best else max(best, key=best.__getitem__)
    certainty = max(best[first], probability if first == label else 0.0)
    return first, certainty, tuple(other for other in best if other != first)

"""A text that asks several things, asked about clause by clause."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final, NamedTuple

from pipeline.models.rules import Reading, RuleAnswer
from pipeline.models.segments import cut

# Whether a message is spam is asked of the whole: a clause by itself need not be looked at for its signs.
_NO_SPAM: Final = RuleAnswer("ham", 0.5)


class Sure(NamedTuple):
    """What one clause is about, and how surely (a probability)."""

    label: str
    probability: float


def clauses(readings: Sequence[Reading]) -> list[list[Reading]]:
    """Return the clauses of each text as readings of their own, at most eight; none where it has only one.

    The texts must have been read together (`rules.read_all`), or be clauses of such; raises ValueError otherwise.
    """
    if not readings:
        return []
    whole = readings[0].segments
    if any(reading.segments is not whole for reading in readings):
        raise ValueError("clauses are asked of texts that were not read together")
    counts, parts, texts = cut(whole, [reading.place for reading in readings])
    # Blanks between Han characters make no other features: they part tokens that are parted already.
    found = (Reading(text, text, parts, place, 0, _NO_SPAM) for place, text in enumerate(texts))
    return [list(islice(found, count)) for count in counts]


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

"""A text that asks several things, asked about clause by clause."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import islice, pairwise
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.models.jit import compiled
from pipeline.models.lexicon_reading import Reading
from pipeline.models.rules import RuleAnswer
from pipeline.models.term_matches import Spans, segments_of
from pipeline.models.term_scan import SEPARATOR, vocabulary

# Numba's cache of a compiled function sees changes of the file it stands in only, so all constants
# it uses stand here.

# "ok", "3" or "thanks" asks nothing.
_LEAST_TOKENS: Final = 2
# A person who asks more than eight things in one message writes a letter: its first clauses tell
# what it is about, and each costs as much as a short message.
_MOST: Final = 8
_BLANK: Final = np.uint32(ord(" "))

# Whether a message is spam is asked of the whole: a clause by itself need not be looked at for its
# signs.
_NO_SPAM: Final = RuleAnswer("ham", 0.5)


class Sure(NamedTuple):
    """What one clause is about, and how surely (a probability)."""

    label: str
    probability: float


def clauses(readings: Sequence[Reading]) -> list[list[Reading]]:
    """Return the clauses of each text as readings of their own, at most eight; none where it has
    only one.

    The texts must have been read together (`reading.read_all`), or be clauses of such; raises
    ValueError otherwise.
    """
    if not readings:
        return []
    whole = readings[0].segments
    if any(reading.segments is not whole for reading in readings):
        raise ValueError("clauses are asked of texts that were not read together")
    scan, spans = whole.scan, whole.spans
    chosen = np.array([reading.place for reading in readings], dtype=np.int32)
    owners, firsts, lasts = _cut(
        chosen, *spans, scan.matches, scan.starts, scan.ends, scan.entries, _separating()
    )
    parts = segments_of(scan, Spans(spans.texts[chosen[owners]], firsts, lasts))
    codes, bounds = _join(scan.codes, scan.begins, scan.stops, firsts, lasts)
    joined = codes.tobytes().decode("utf-32-le", "surrogatepass")
    texts = [joined[first:last] for first, last in pairwise(bounds.tolist())]
    found = (Reading(text, text, parts, place, 0, _NO_SPAM) for place, text in enumerate(texts))
    return [
        list(islice(found, count)) for count in np.bincount(owners, minlength=len(chosen)).tolist()
    ]


def together(
    label: str, probability: float, sure: Sequence[Sure]
) -> tuple[str, float, tuple[str, ...]]:
    """Return a text's label and probability, and the further labels, from its own best and what its
    clauses are sure of.

    A text whose clauses are sure of two things or more asks several: its own best stays first where
    a clause is sure of that too, else the surest is. A single sure clause says no more than the
    text does.
    """
    best: dict[str, float] = {}
    for clause in sure:
        best[clause.label] = max(best.get(clause.label, 0.0), clause.probability)
    if len(best) < 2:
        return label, probability, ()
    first = label if label in best else max(best, key=best.__getitem__)
    certainty = max(best[first], probability if first == label else 0.0)
    return first, certainty, tuple(other for other in best if other != first)


@cache
def _separating() -> npt.NDArray[np.bool_]:
    """Return of each entry whether it parts clauses."""
    return np.array([entry.head == SEPARATOR for entry in vocabulary().entries], dtype=np.bool_)


@compiled
def _cut(
    chosen: npt.NDArray[np.int32],
    texts: npt.NDArray[np.int32],
    firsts: npt.NDArray[np.int32],
    lasts: npt.NDArray[np.int32],
    matches: npt.NDArray[np.int32],
    starts: npt.NDArray[np.int32],
    ends: npt.NDArray[np.int32],
    entries: npt.NDArray[np.int32],
    separating: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return the clauses of segments: which of the chosen each is of, and the tokens it spans."""
    room = len(chosen) * _MOST
    owners = np.empty(room, dtype=np.int32)
    begin, end = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.int32)
    size = 0
    for number in range(len(chosen)):
        segment = chosen[number]
        known, first = size, firsts[segment]
        for match in range(matches[texts[segment]], matches[texts[segment] + 1] + 1):
            behind = match == matches[texts[segment] + 1]
            if not behind and (
                not separating[entries[match]]
                or starts[match] < firsts[segment]
                or ends[match] > lasts[segment]
            ):
                continue
            last = lasts[segment] if behind else starts[match]
            if last - first >= _LEAST_TOKENS and size - known < _MOST:
                owners[size] = number
                begin[size] = first
                end[size] = last
                size += 1
            if not behind:
                first = ends[match]
        if size - known == 1:
            size = known
    return owners[:size], begin[:size], end[:size]


@compiled
def _join(
    codes: npt.NDArray[np.uint32],
    begins: npt.NDArray[np.int32],
    stops: npt.NDArray[np.int32],
    firsts: npt.NDArray[np.int32],
    lasts: npt.NDArray[np.int32],
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int32]]:
    """Return each segment's tokens with blanks between, one segment behind the other, and where
    each begins and the last ends.

    Blanks between Han characters make no other features: they part tokens that are parted already.
    """
    room = 0
    for segment in range(len(firsts)):
        for token in range(firsts[segment], lasts[segment]):
            room += stops[token] - begins[token] + 1
    joined = np.empty(room, dtype=np.uint32)
    bounds = np.zeros(len(firsts) + 1, dtype=np.int32)
    size = 0
    for segment in range(len(firsts)):
        for token in range(firsts[segment], lasts[segment]):
            if token > firsts[segment]:
                joined[size] = _BLANK
                size += 1
            for position in range(begins[token], stops[token]):
                joined[size] = codes[position]
                size += 1
        bounds[segment + 1] = size
    return joined[:size], bounds

"""Split texts that may ask several things into clauses, and merge the answers of the clauses."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import islice, pairwise
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.models.answers import RuleAnswer
from pipeline.models.jit import compiled
from pipeline.models.lexicon_reading import LexiconReading
from pipeline.models.term_matches import Spans, segments_of
from pipeline.models.term_scan import SEPARATOR, term_vocabulary

# Numba's cache of a compiled function sees changes of the file it stands in only, so all constants
# it uses stand here.

# A shorter clause such as "ok", "3" or "thanks" asks nothing.
_MINIMUM_TOKENS: Final = 2
# More clauses than this make a letter: its first clauses say what it is about, and each clause
# costs as much as a short message.
_MAX_CLAUSES: Final = 8
_BLANK: Final = np.uint32(ord(" "))

# Only a whole message is tested for spam, so a clause is not searched for spam signals.
_NO_SPAM: Final = RuleAnswer("ham", 0.5)


class ClauseAnswer(NamedTuple):
    """The label of one clause, and its probability."""

    label: str
    probability: float


def split_clauses(readings: Sequence[LexiconReading]) -> list[list[LexiconReading]]:
    """Return the clauses of each text as readings, at most eight; none for a text of one clause.

    The texts must come from one call of `read_texts`, or be clauses of such texts; raises
    ValueError otherwise.
    """
    if not readings:
        return []
    whole = readings[0].segments
    if any(reading.segments is not whole for reading in readings):
        raise ValueError("split_clauses needs readings of one batch: read the texts in one call")
    scan, spans = whole.scan, whole.spans
    chosen = np.array([reading.segment for reading in readings], dtype=np.int32)
    owners, firsts, lasts = _cut(
        chosen,
        *spans,
        scan.match_bounds,
        scan.match_starts,
        scan.match_ends,
        scan.match_entries,
        _separating(),
    )
    parts = segments_of(scan, Spans(spans.texts[chosen[owners]], firsts, lasts))
    codes, bounds = _join(scan.codes, scan.token_starts, scan.token_ends, firsts, lasts)
    joined = codes.tobytes().decode("utf-32-le", "surrogatepass")
    texts = [joined[first:last] for first, last in pairwise(bounds.tolist())]
    readings_of_clauses = (
        LexiconReading(text, text, parts, segment, 0, _NO_SPAM)
        for segment, text in enumerate(texts)
    )
    return [
        list(islice(readings_of_clauses, count))
        for count in np.bincount(owners, minlength=len(chosen)).tolist()
    ]


def merge_answers(
    label: str, probability: float, clause_answers: Sequence[ClauseAnswer]
) -> tuple[str, float, tuple[str, ...]]:
    """Return a text's label, its probability, and further labels, from its own and its clauses'.

    `clause_answers` are the confident answers of its clauses. If they have two labels or more, the
    text asks several things: its own label stays first if a clause has it too, else the most
    probable one comes first. A single label of clauses adds nothing to the text's own.

    >>> merge_answers("refund", 0.6, [ClauseAnswer("invoice", 0.8), ClauseAnswer("refund", 0.7)])
    ('refund', 0.7, ('invoice',))
    """
    best: dict[str, float] = {}
    for clause in clause_answers:
        best[clause.label] = max(best.get(clause.label, 0.0), clause.probability)
    if len(best) < 2:
        return label, probability, ()
    first = label if label in best else max(best, key=best.__getitem__)
    highest = max(best[first], probability if first == label else 0.0)
    return first, highest, tuple(other for other in best if other != first)


@cache
def _separating() -> npt.NDArray[np.bool_]:
    """Return whether each entry separates clauses, by entry number."""
    return np.array(
        [entry.head == SEPARATOR for entry in term_vocabulary().entries], dtype=np.bool_
    )


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
    """Return the clauses of segments: the index in `chosen` of each, and the tokens it spans."""
    capacity = len(chosen) * _MAX_CLAUSES
    owners = np.empty(capacity, dtype=np.int32)
    begin, end = np.empty(capacity, dtype=np.int32), np.empty(capacity, dtype=np.int32)
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
            if last - first >= _MINIMUM_TOKENS and size - known < _MAX_CLAUSES:
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
    token_starts: npt.NDArray[np.int32],
    token_ends: npt.NDArray[np.int32],
    firsts: npt.NDArray[np.int32],
    lasts: npt.NDArray[np.int32],
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int32]]:
    """Return the tokens of all segments joined by blanks as one array, and the segments' bounds.

    Blanks between Han characters do not change features, because each is a token of its own.
    """
    capacity = 0
    for segment in range(len(firsts)):
        for token in range(firsts[segment], lasts[segment]):
            capacity += token_ends[token] - token_starts[token] + 1
    joined = np.empty(capacity, dtype=np.uint32)
    bounds = np.zeros(len(firsts) + 1, dtype=np.int32)
    size = 0
    for segment in range(len(firsts)):
        for token in range(firsts[segment], lasts[segment]):
            if token > firsts[segment]:
                joined[size] = _BLANK
                size += 1
            for position in range(token_starts[token], token_ends[token]):
                joined[size] = codes[position]
                size += 1
        bounds[segment + 1] = size
    return joined[:size], bounds

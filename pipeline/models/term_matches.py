"""Lexicon matches of texts or parts of texts: the entries of each head, and the sentiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.models.jit import compiled
from pipeline.models.lexicon_files import LexiconEntry
from pipeline.models.term_scan import TermScan, term_vocabulary

# Numba's cache of a compiled function notices changes of its own file only, so every constant that
# the function uses is defined in this file.

# A negator reaches this many tokens ahead: "not a very good" in English, 不 觉 得 好 in Chinese.
_NEGATION_REACH: Final = 3
# The factor of negation: "not good" is clearly bad but less than "bad"; "not bad" is only mildly
# good. VADER uses -0.74 for both (Hutto and Gilbert 2014).
_NEGATED_GOOD: Final = -0.75
_NEGATED_BAD: Final = -0.4
# Sentiment before "but" counts less, sentiment after it more (VADER uses 0.5 and 1.5).
_BEFORE_CONTRAST: Final = 0.6
_AFTER_CONTRAST: Final = 1.3
# Praise inside a question ("any good offers?") is asked for rather than expressed.
_IN_QUESTION: Final = 0.25
# Each "!" up to three makes the sentiment stronger.
_EXCLAMATION: Final = 0.08
_MOST_EXCLAMATIONS: Final = 3
# Squashes the sum into -1..1 so that one clear word (2) gives 0.58 and two strong ones (6) give
# 0.9.
_SQUASH: Final = 8.0

# Marks that a negation does not reach across, and ends of sentences; both are tokens of one
# character.
_BREAKS: Final = tuple(np.uint32(ord(mark)) for mark in ",.;!?:、…~\n")
_SENTENCE_ENDS: Final = tuple(np.uint32(ord(mark)) for mark in ".!?。")
_EXCLAIMED: Final = np.uint32(ord("!"))

# The roles of the entries of the sentiment lexicon.
_SENTIMENT: Final = "sentiment"
_NO_ROLE: Final = -1
_PLAIN: Final = 0
_STRENGTH: Final = 1
_CONTRAST: Final = 2
_QUESTION: Final = 3
_INERT: Final = 4
_NEGATOR: Final = 5
_GRADED: Final = 6
_ROLES: Final = {
    "booster": _STRENGTH,
    "dampener": _STRENGTH,
    "contrast": _CONTRAST,
    "question": _QUESTION,
    "inert": _INERT,
    "negator": _NEGATOR,
    "graded": _GRADED,
}


class Spans(NamedTuple):
    """Where segments are: the text of a scan that each belongs to, and its tokens (all int32)."""

    texts: npt.NDArray[np.int32]
    firsts: npt.NDArray[np.int32]
    lasts: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Segments:
    """Texts, or parts of texts, with their lexicon matches, by segment number.

    `sizes` are numbers of tokens, `polarities` the sentiment from -1 to 1.
    """

    scan: TermScan
    spans: Spans
    sizes: list[int]
    polarities: list[float]
    _heads: Mapping[str, int]
    _bounds: list[int]
    _entries: list[LexiconEntry]
    _sentiment_term_bounds: list[int]
    _sentiment_terms: list[str]

    def entries_of(self, segment: int, head: str) -> list[LexiconEntry]:
        """Return a segment's distinct entries of a head in its order; none without a lexicon."""
        number = self._heads.get(head)
        if number is None:
            return []
        row = segment * len(self._heads) + number
        return self._entries[self._bounds[row] : self._bounds[row + 1]]

    def sentiment_terms(self, segment: int) -> tuple[str, ...]:
        """Return the terms that carry a segment's sentiment, in its order, with repetitions."""
        return tuple(
            self._sentiment_terms[
                self._sentiment_term_bounds[segment] : self._sentiment_term_bounds[segment + 1]
            ]
        )


def whole_texts(scan: TermScan) -> Segments:
    """Return each text of a scan as one segment."""
    count = len(scan.token_bounds) - 1
    return segments_of(
        scan, Spans(np.arange(count, dtype=np.int32), scan.token_bounds[:-1], scan.token_bounds[1:])
    )


def segments_of(scan: TermScan, spans: Spans) -> Segments:
    """Return parts of a scan's texts with their lexicon matches."""
    entries = term_vocabulary().entries
    polarities, bounds, numbers, sentiment_bounds, sentiment_numbers = _match_segments(
        *spans,
        scan.codes,
        scan.token_starts,
        scan.match_bounds,
        scan.match_starts,
        scan.match_ends,
        scan.match_entries,
        *_entry_columns(),
        len(_heads()),
    )
    return Segments(
        scan,
        spans,
        (spans.lasts - spans.firsts).tolist(),
        polarities.tolist(),
        _heads(),
        bounds.tolist(),
        list(map(entries.__getitem__, numbers.tolist())),
        sentiment_bounds.tolist(),
        [entries[number].term for number in sentiment_numbers.tolist()],
    )


@cache
def _heads() -> Mapping[str, int]:
    """Return the number of each head."""
    return {head: number for number, head in enumerate(term_vocabulary().heads)}


@cache
def _entry_columns() -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int8], npt.NDArray[np.float64]]:
    """Return each entry's head, role and value."""
    entries = term_vocabulary().entries
    roles = (
        _ROLES.get(entry.group, _PLAIN) if entry.head == _SENTIMENT else _NO_ROLE
        for entry in entries
    )
    return (
        np.array([_heads()[entry.head] for entry in entries], dtype=np.int32),
        np.array(list(roles), dtype=np.int8),
        np.array([entry.value for entry in entries], dtype=np.float64),
    )


@compiled
def _match_segments(
    texts: npt.NDArray[np.int32],
    firsts: npt.NDArray[np.int32],
    lasts: npt.NDArray[np.int32],
    codes: npt.NDArray[np.uint32],
    token_starts: npt.NDArray[np.int32],
    matches: npt.NDArray[np.int32],
    starts: npt.NDArray[np.int32],
    ends: npt.NDArray[np.int32],
    entries: npt.NDArray[np.int32],
    heads: npt.NDArray[np.int32],
    roles: npt.NDArray[np.int8],
    values: npt.NDArray[np.float64],
    head_count: int,
) -> tuple[
    npt.NDArray[np.float64],
    npt.NDArray[np.int32],
    npt.NDArray[np.int32],
    npt.NDArray[np.int32],
    npt.NDArray[np.int32],
]:
    """Return each segment's sentiment, and its entries by head and those that carry the sentiment.

    The result is polarities; bounds (by segment and head) and numbers of entries; bounds (by
    segment) and numbers of the entries that carry sentiment.
    """
    polarities = np.empty(len(texts), dtype=np.float64)
    bounds = np.zeros(len(texts) * head_count + 1, dtype=np.int32)
    sentiment_bounds = np.zeros(len(texts) + 1, dtype=np.int32)
    capacity, longest = 0, 0
    for segment in range(len(texts)):
        count = matches[texts[segment] + 1] - matches[texts[segment]]
        capacity += count
        longest = max(longest, count)
    numbers, carriers = np.empty(capacity, dtype=np.int32), np.empty(capacity, dtype=np.int32)
    inside = np.empty(longest, dtype=np.int32)
    positions, weights = np.empty(longest, dtype=np.int32), np.empty(longest, dtype=np.float64)
    question_starts = np.empty(longest, dtype=np.int32)
    size, sentiment_size = 0, 0
    for segment in range(len(texts)):
        first, last = firsts[segment], lasts[segment]
        exclamations = 0
        for token in range(first, last):
            exclamations += codes[token_starts[token]] == _EXCLAIMED
        count = 0
        for match in range(matches[texts[segment]], matches[texts[segment] + 1]):
            if starts[match] >= first and ends[match] <= last:
                inside[count] = match
                count += 1
        for head in range(head_count):
            begin = size
            for number in range(count):
                entry = entries[inside[number]]
                if heads[entry] == head:
                    known = False
                    for index in range(begin, size):
                        known = known or numbers[index] == entry
                    if not known:
                        numbers[size] = entry
                        size += 1
            bounds[segment * head_count + head + 1] = size
        polarities[segment], sentiment_size = _sentiment(
            inside[:count],
            codes,
            token_starts,
            starts,
            ends,
            entries,
            roles,
            values,
            exclamations,
            positions,
            weights,
            question_starts,
            carriers,
            sentiment_size,
        )
        sentiment_bounds[segment + 1] = sentiment_size
    return polarities, bounds, numbers[:size], sentiment_bounds, carriers[:sentiment_size]


@compiled
def _sentiment(
    inside: npt.NDArray[np.int32],
    codes: npt.NDArray[np.uint32],
    token_starts: npt.NDArray[np.int32],
    starts: npt.NDArray[np.int32],
    ends: npt.NDArray[np.int32],
    entries: npt.NDArray[np.int32],
    roles: npt.NDArray[np.int8],
    values: npt.NDArray[np.float64],
    exclamations: int,
    positions: npt.NDArray[np.int32],
    weights: npt.NDArray[np.float64],
    question_starts: npt.NDArray[np.int32],
    carriers: npt.NDArray[np.int32],
    size: int,
) -> tuple[float, int]:
    """Return the sentiment of the matches `inside`; append the entries that carry it to `carriers`.

    The second value is the new number of `carriers`.
    """
    boost, boost_end, negator_end, contrasted = 1.0, -1, -1, False
    count, questions = 0, 0
    for match in inside:
        role, value, start = roles[entries[match]], values[entries[match]], starts[match]
        if role in (_NO_ROLE, _INERT):
            continue
        boosted = boost_end == start
        if role == _STRENGTH:
            boost = value * (boost if boosted else 1.0)
            boost_end = ends[match]
            continue
        if role == _CONTRAST:
            for number in range(count):
                weights[number] *= _BEFORE_CONTRAST
            contrasted = True
            continue
        if role == _QUESTION:
            question_starts[questions] = start
            questions += 1
            continue
        if role == _NEGATOR:
            negator_end = ends[match]
            if value == 0.0:
                continue
        elif role == _GRADED and not boosted:
            continue
        else:
            value *= boost if boosted else 1.0
            if negator_end >= 0 and _negation_reaches(negator_end, start, codes, token_starts):
                value *= _NEGATED_GOOD if value > 0 else _NEGATED_BAD
        positions[count] = start
        weights[count] = value * (_AFTER_CONTRAST if contrasted else 1.0)
        count += 1
        carriers[size] = entries[match]
        size += 1
    total = 0.0
    for number in range(count):
        weight = weights[number]
        if weight > 0 and _in_question(
            positions[number], question_starts[:questions], codes, token_starts
        ):
            weight *= _IN_QUESTION
        total += weight
    total *= 1.0 + _EXCLAMATION * min(_MOST_EXCLAMATIONS, exclamations)
    return total / np.sqrt(total * total + _SQUASH), size


@compiled
def _negation_reaches(
    negator_end: int, start: int, codes: npt.NDArray[np.uint32], token_starts: npt.NDArray[np.int32]
) -> bool:
    """Return whether a negation that ends at one token reaches another token."""
    if start - negator_end > _NEGATION_REACH:
        return False
    token = negator_end
    while token < start and codes[token_starts[token]] not in _BREAKS:
        token += 1
    return token == start


@compiled
def _in_question(
    position: int,
    question_starts: npt.NDArray[np.int32],
    codes: npt.NDArray[np.uint32],
    token_starts: npt.NDArray[np.int32],
) -> bool:
    """Return whether a question word is in the same sentence as a token.

    The question words are in order, so only the nearest two need a test.
    """
    after = 0
    while after < len(question_starts) and question_starts[after] < position:
        after += 1
    return (
        after > 0 and _same_sentence(question_starts[after - 1], position, codes, token_starts)
    ) or (
        after < len(question_starts)
        and _same_sentence(position, question_starts[after], codes, token_starts)
    )


@compiled
def _same_sentence(
    first: int, last: int, codes: npt.NDArray[np.uint32], token_starts: npt.NDArray[np.int32]
) -> bool:
    token = first
    while token < last and codes[token_starts[token]] not in _SENTENCE_ENDS:
        token += 1
    return token == last

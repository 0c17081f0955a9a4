"""What the lists say of texts or of parts of them: each head's terms, and the feeling."""

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

# Numba's cache of a compiled function sees changes of the file it stands in only, so all constants
# it uses stand here.

# A negator reaches this many tokens ahead: "not a very good" in English, 不 觉 得 好 in Chinese.
_NEGATION_REACH: Final = 3
# What negation leaves: "not good" is clearly bad but less than "bad"; "not bad" is only mildly good
# (after the 0.74 of VADER: Hutto and Gilbert 2014, and weaker for negated ill).
_NEGATED_GOOD: Final = -0.75
_NEGATED_BAD: Final = -0.4
# What stands before "but" counts less, what stands after it more (VADER uses 0.5 and 1.5).
_BEFORE_CONTRAST: Final = 0.6
_AFTER_CONTRAST: Final = 1.3
# Praise inside a question ("any good offers?") is asked for, not given.
_IN_QUESTION: Final = 0.25
# Each "!" up to three makes the feeling stronger.
_EXCLAMATION: Final = 0.08
_MOST_EXCLAMATIONS: Final = 3
# Squashes the sum into -1..1 so that one clear word (2) gives 0.58 and two strong ones (6) give
# 0.9.
_SQUASH: Final = 8.0

# What a negation does not reach across, and where a sentence ends; both are tokens of one
# character.
_BREAKS: Final = tuple(np.uint32(ord(mark)) for mark in ",.;!?:、…~\n")
_SENTENCE_ENDS: Final = tuple(np.uint32(ord(mark)) for mark in ".!?。")
_EXCLAIMED: Final = np.uint32(ord("!"))

# The parts that the entries of the head of feeling play.
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
    """Segments: which text of a scan each is of, and the tokens it spans (all int32)."""

    texts: npt.NDArray[np.int32]
    firsts: npt.NDArray[np.int32]
    lasts: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Segments:
    """Texts, or parts of them, by number: how many tokens each has, its feeling (`polarities`, -1
    to 1) and the terms that carry it (`felt`), and which entries were found in it
    (`entries_of`)."""

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
        """Return the distinct entries of a head in order of the text; none for a head without
        lists.
        """
        number = self._heads.get(head)
        if number is None:
            return []
        place = segment * len(self._heads) + number
        return self._entries[self._bounds[place] : self._bounds[place + 1]]

    def sentiment_terms(self, segment: int) -> tuple[str, ...]:
        """Return the terms that carry the feeling, in order of the text, as often as they do."""
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
    """Return what the lists say of parts of a scan's texts."""
    entries = term_vocabulary().entries
    polarities, bounds, found, felt_bounds, felt = _match_segments(
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
        list(map(entries.__getitem__, found.tolist())),
        felt_bounds.tolist(),
        [entries[number].term for number in felt.tolist()],
    )


@cache
def _heads() -> Mapping[str, int]:
    """Return the number of each head."""
    return {head: number for number, head in enumerate(term_vocabulary().heads)}


@cache
def _entry_columns() -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int8], npt.NDArray[np.float64]]:
    """Return each entry's head, part and value."""
    entries = term_vocabulary().entries
    parts = (
        _ROLES.get(entry.group, _PLAIN) if entry.head == _SENTIMENT else _NO_ROLE
        for entry in entries
    )
    return (
        np.array([_heads()[entry.head] for entry in entries], dtype=np.int32),
        np.array(list(parts), dtype=np.int8),
        np.array([entry.value for entry in entries], dtype=np.float64),
    )


@compiled
def _match_segments(
    texts: npt.NDArray[np.int32],
    firsts: npt.NDArray[np.int32],
    lasts: npt.NDArray[np.int32],
    codes: npt.NDArray[np.uint32],
    begins: npt.NDArray[np.int32],
    matches: npt.NDArray[np.int32],
    starts: npt.NDArray[np.int32],
    ends: npt.NDArray[np.int32],
    entries: npt.NDArray[np.int32],
    heads: npt.NDArray[np.int32],
    parts: npt.NDArray[np.int8],
    values: npt.NDArray[np.float64],
    head_count: int,
) -> tuple[
    npt.NDArray[np.float64],
    npt.NDArray[np.int32],
    npt.NDArray[np.int32],
    npt.NDArray[np.int32],
    npt.NDArray[np.int32],
]:
    """Return each segment's feeling, where each head's entries in it begin (and the last end) and
    they, and the same of those felt.
    """
    polarities = np.empty(len(texts), dtype=np.float64)
    bounds = np.zeros(len(texts) * head_count + 1, dtype=np.int32)
    felt_bounds = np.zeros(len(texts) + 1, dtype=np.int32)
    room, longest = 0, 0
    for segment in range(len(texts)):
        count = matches[texts[segment] + 1] - matches[texts[segment]]
        room += count
        longest = max(longest, count)
    found, felt = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.int32)
    inside = np.empty(longest, dtype=np.int32)
    positions, weights = np.empty(longest, dtype=np.int32), np.empty(longest, dtype=np.float64)
    asked = np.empty(longest, dtype=np.int32)
    size, felt_size = 0, 0
    for segment in range(len(texts)):
        first, last = firsts[segment], lasts[segment]
        exclamations = 0
        for token in range(first, last):
            exclamations += codes[begins[token]] == _EXCLAIMED
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
                        known = known or found[index] == entry
                    if not known:
                        found[size] = entry
                        size += 1
            bounds[segment * head_count + head + 1] = size
        polarities[segment], felt_size = _sentiment(
            inside[:count],
            codes,
            begins,
            starts,
            ends,
            entries,
            parts,
            values,
            exclamations,
            positions,
            weights,
            asked,
            felt,
            felt_size,
        )
        felt_bounds[segment + 1] = felt_size
    return polarities, bounds, found[:size], felt_bounds, felt[:felt_size]


@compiled
def _sentiment(
    inside: npt.NDArray[np.int32],
    codes: npt.NDArray[np.uint32],
    begins: npt.NDArray[np.int32],
    starts: npt.NDArray[np.int32],
    ends: npt.NDArray[np.int32],
    entries: npt.NDArray[np.int32],
    parts: npt.NDArray[np.int8],
    values: npt.NDArray[np.float64],
    exclamations: int,
    positions: npt.NDArray[np.int32],
    weights: npt.NDArray[np.float64],
    asked: npt.NDArray[np.int32],
    felt: npt.NDArray[np.int32],
    size: int,
) -> tuple[float, int]:
    """Return the feeling of the matches `inside`, and how many entries are `felt` with those that
    carry it.
    """
    boost, boost_end, negator_end, contrasted = 1.0, -1, -1, False
    count, questions = 0, 0
    for match in inside:
        part, value, start = parts[entries[match]], values[entries[match]], starts[match]
        if part in (_NO_ROLE, _INERT):
            continue
        boosted = boost_end == start
        if part == _STRENGTH:
            boost = value * (boost if boosted else 1.0)
            boost_end = ends[match]
            continue
        if part == _CONTRAST:
            for number in range(count):
                weights[number] *= _BEFORE_CONTRAST
            contrasted = True
            continue
        if part == _QUESTION:
            asked[questions] = start
            questions += 1
            continue
        if part == _NEGATOR:
            negator_end = ends[match]
            if value == 0.0:
                continue
        elif part == _GRADED and not boosted:
            continue
        else:
            value *= boost if boosted else 1.0
            if negator_end >= 0 and _negation_reaches(negator_end, start, codes, begins):
                value *= _NEGATED_GOOD if value > 0 else _NEGATED_BAD
        positions[count] = start
        weights[count] = value * (_AFTER_CONTRAST if contrasted else 1.0)
        count += 1
        felt[size] = entries[match]
        size += 1
    total = 0.0
    for number in range(count):
        weight = weights[number]
        if weight > 0 and _in_question(positions[number], asked[:questions], codes, begins):
            weight *= _IN_QUESTION
        total += weight
    total *= 1.0 + _EXCLAMATION * min(_MOST_EXCLAMATIONS, exclamations)
    return total / np.sqrt(total * total + _SQUASH), size


@compiled
def _negation_reaches(
    negator_end: int, start: int, codes: npt.NDArray[np.uint32], begins: npt.NDArray[np.int32]
) -> bool:
    """Return whether a negation that ends at one token reaches another."""
    if start - negator_end > _NEGATION_REACH:
        return False
    token = negator_end
    while token < start and codes[begins[token]] not in _BREAKS:
        token += 1
    return token == start


@compiled
def _in_question(
    position: int,
    asked: npt.NDArray[np.int32],
    codes: npt.NDArray[np.uint32],
    begins: npt.NDArray[np.int32],
) -> bool:
    """Return whether one of the tokens that ask stands in the same sentence; they stand in order,
    so the nearest two tell.
    """
    after = 0
    while after < len(asked) and asked[after] < position:
        after += 1
    return (after > 0 and _same_sentence(asked[after - 1], position, codes, begins)) or (
        after < len(asked) and _same_sentence(position, asked[after], codes, begins)
    )


@compiled
def _same_sentence(
    first: int, last: int, codes: npt.NDArray[np.uint32], begins: npt.NDArray[np.int32]
) -> bool:
    token = first
    while token < last and codes[begins[token]] not in _SENTENCE_ENDS:
        token += 1
    return token == last

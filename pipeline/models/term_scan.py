"""Many texts cut into tokens, and the terms of all lists found in them, in one compiled pass."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.models.jit import compiled
from pipeline.models.lexicon_files import TOKEN_CHARACTER, WORD_CHARACTER, LexiconEntry, lexicon

_CODE_POINTS: Final = 0x110000
# Behind the planes of ideographs stand tags and private use only: no letters, digits or blanks.
_CLASSIFIED: Final = 0x40000

# Numba's cache of a compiled function sees changes of the file it stands in only, so all constants
# it uses stand here.

_NONE: Final = 0
_SINGLE: Final = 1
_WORD: Final = 2
_APOSTROPHE: Final = np.uint32(ord("'"))

# The head of what parts a text into clauses: marks, words that join, and pairs of characters that
# do where no comma stands. They are no list's: what they say is where to cut, not what a text
# means, and they stand in texts as they are.
SEPARATOR: Final = "separator"
_CONJUNCTIONS: Final = (
    "and",
    "also",
    "but",
    "plus",
    "另外",
    "还有",
    "顺便",
    "以及",
    "同时",
    "然后",
    "并且",
)
_SEPARATORS: Final = (*",.;!?:、…~。", *_CONJUNCTIONS)

# A step in the tree of terms: from a node (by its place in the table) by a character, which begins
# a token or goes on with one. A code point takes 21 bits, the beginning one, so a node may have 42:
# keys are the steps themselves, no hash of them.
_NODE_SHIFT: Final = np.uint64(22)
_BEGINS: Final = np.uint64(1 << 21)
_FREE: Final = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
# The golden ratio as a 64-bit fraction: an odd multiplier whose high bits mix well (Fibonacci
# hashing).
_BASE: Final = np.uint64(0x9E3779B97F4A7C15)
_BITS: Final = 64
_NO_SLOT: Final = -1


class TermTrie(NamedTuple):
    """All terms as a tree of characters, in open addressing: a node is the place of the step that
    leads to it.

    `keys` (uint64) are the steps, `first` (int32, by place, -1: none) where in `listed` (int32:
    numbers of entries, by place) the entries of a term that ends there begin, `owners` (int32) to
    which place each of `listed` belongs, with a -1 behind the last; `heads` (int32) the number of
    each entry's head.
    """

    keys: npt.NDArray[np.uint64]
    first: npt.NDArray[np.int32]
    listed: npt.NDArray[np.int32]
    owners: npt.NDArray[np.int32]
    heads: npt.NDArray[np.int32]


class TermVocabulary(NamedTuple):
    """What is looked for: all entries by number, and the heads they belong to by theirs."""

    entries: tuple[LexiconEntry, ...]
    heads: tuple[str, ...]


class TermScan(NamedTuple):
    """A batch of texts in tokens and matches.

    Text i owns the characters `bounds[i]` to `bounds[i + 1]` of `codes` (uint32: all texts, one
    behind the other), the tokens `tokens[i]` to `tokens[i + 1]` and the matches `matches[i]` to
    `matches[i + 1]`. A token spans the characters `begins` to `stops`; a match spans the tokens
    `starts` to `ends` and means the entry `entries` (all int32). Matches stand in order of their
    start; of those of one head that overlap only the leftmost stands there, then the longest.
    """

    codes: npt.NDArray[np.uint32]
    text_bounds: npt.NDArray[np.int32]
    token_bounds: npt.NDArray[np.int32]
    token_starts: npt.NDArray[np.int32]
    token_ends: npt.NDArray[np.int32]
    match_bounds: npt.NDArray[np.int32]
    match_starts: npt.NDArray[np.int32]
    match_ends: npt.NDArray[np.int32]
    match_entries: npt.NDArray[np.int32]


@cache
def term_vocabulary() -> TermVocabulary:
    """Return the entries of all lists and the separators, and their heads."""
    separators = (LexiconEntry(SEPARATOR, "", 0.0, term) for term in _SEPARATORS)
    entries = (*lexicon().entries, *separators)
    return TermVocabulary(entries, tuple(dict.fromkeys(entry.head for entry in entries)))


def code_points_of(texts: Sequence[str]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int32]]:
    """Return the code points of texts, one behind the other (uint32), and where each text begins
    and the last ends (int32).
    """
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype="<u4")
    return codes, np.array([0, *accumulate(map(len, texts))], dtype=np.int32)


def code_points_matching(pattern: str) -> npt.NDArray[np.bool_]:
    """Return which code points a pattern of one character matches, shape (1,114,112,)."""
    letters = "".join(map(chr, range(_CLASSIFIED)))
    found = np.zeros(_CODE_POINTS, dtype=np.bool_)
    for run in re.finditer(f"{pattern}+", letters):
        found[run.start() : run.end()] = True
    return found


def scan_terms(texts: Sequence[str]) -> TermScan:
    """Return the tokens of texts in normal form (`terms.tokenise`), and the matches of every head's
    terms.
    """
    codes, bounds = code_points_of(texts)
    tokens, begins, stops = _tokenise(codes, bounds, _token_kinds())
    found = _find_terms(codes, tokens, begins, stops, *_term_trie(), len(term_vocabulary().heads))
    return TermScan(codes, bounds, tokens, begins, stops, *found)


@cache
def _token_kinds() -> npt.NDArray[np.uint8]:
    """Return what each code point is to a token: none of it, one by itself, or a word's; shape
    (1,114,112,).
    """
    kinds = np.full(_CODE_POINTS, _SINGLE, dtype=np.uint8)
    kinds[:_CLASSIFIED] = _NONE
    for pattern, kind in ((TOKEN_CHARACTER, _SINGLE), (WORD_CHARACTER, _WORD)):
        kinds[code_points_matching(pattern)] = kind
    return kinds


@cache
def _term_trie() -> TermTrie:
    entries, names = term_vocabulary()
    codes, bounds = code_points_of([entry.term for entry in entries])
    tokens, begins, stops = _tokenise(codes, bounds, _token_kinds())
    # Once into a table with room for every character, to learn how many steps there are, then into
    # one that they half fill.
    roomy, _ = _build_trie(codes, tokens, begins, stops, _bits_for(len(codes)))
    steps = int(np.count_nonzero(roomy != _FREE))
    keys, leaves = _build_trie(codes, tokens, begins, stops, _bits_for(steps))
    listed = np.argsort(leaves, kind="stable").astype(np.int32)
    listed = listed[leaves[listed] != _NO_SLOT]
    owners = leaves[listed]
    first = np.full(len(keys), _NO_SLOT, dtype=np.int32)
    places, positions = np.unique(owners, return_index=True)
    first[places] = positions
    numbers = {head: number for number, head in enumerate(names)}
    heads = np.array([numbers[entry.head] for entry in entries], dtype=np.int32)
    return TermTrie(keys, first, listed, np.append(owners, np.int32(_NO_SLOT)), heads)


def _bits_for(steps: int) -> int:
    return (2 * steps).bit_length()


@compiled
def _tokenise(
    codes: npt.NDArray[np.uint32], bounds: npt.NDArray[np.int32], kinds: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return each text's first token (and the end of the last), and where in `codes` tokens begin
    and stop.
    """
    tokens = np.zeros(len(bounds), dtype=np.int32)
    begins, stops = np.empty(len(codes), dtype=np.int32), np.empty(len(codes), dtype=np.int32)
    size = 0
    for text in range(len(bounds) - 1):
        position, end = bounds[text], bounds[text + 1]
        while position < end:
            kind = kinds[codes[position]]
            if kind == _NONE:
                position += 1
                continue
            begins[size] = position
            position += 1
            if kind == _WORD:
                while position < end and (
                    kinds[codes[position]] == _WORD
                    or (
                        codes[position] == _APOSTROPHE
                        and position + 1 < end
                        and kinds[codes[position + 1]] == _WORD
                    )
                ):
                    position += 1
            stops[size] = position
            size += 1
        tokens[text + 1] = size
    return tokens, begins[:size], stops[:size]


@compiled
def _slot_of(key: np.uint64, keys: npt.NDArray[np.uint64], shift: np.uint64) -> np.int64:
    """Return where a step stands, or the free place where it would."""
    place = np.int64((key * _BASE) >> shift)
    while keys[place] != _FREE and keys[place] != key:
        place = (place + 1) & (len(keys) - 1)
    return place


@compiled
def _build_trie(
    codes: npt.NDArray[np.uint32],
    tokens: npt.NDArray[np.int32],
    begins: npt.NDArray[np.int32],
    stops: npt.NDArray[np.int32],
    bits: int,
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32]]:
    """Return a table of 2^bits places that holds every term's steps, and where each term ends (-1:
    it has no token).
    """
    keys = np.full(1 << bits, _FREE, dtype=np.uint64)
    leaves = np.full(len(tokens) - 1, _NO_SLOT, dtype=np.int32)
    to_place = np.uint64(_BITS - bits)
    for term in range(len(tokens) - 1):
        # The root is the place behind the last.
        node = np.int64(len(keys))
        for token in range(tokens[term], tokens[term + 1]):
            flag = _BEGINS
            for position in range(begins[token], stops[token]):
                key = (np.uint64(node) << _NODE_SHIFT) | flag | np.uint64(codes[position])
                node = _slot_of(key, keys, to_place)
                keys[node] = key
                flag = np.uint64(0)
            leaves[term] = node
    return keys, leaves


@compiled
def _find_terms(
    codes: npt.NDArray[np.uint32],
    tokens: npt.NDArray[np.int32],
    begins: npt.NDArray[np.int32],
    stops: npt.NDArray[np.int32],
    keys: npt.NDArray[np.uint64],
    first: npt.NDArray[np.int32],
    listed: npt.NDArray[np.int32],
    owners: npt.NDArray[np.int32],
    heads: npt.NDArray[np.int32],
    head_count: int,
) -> tuple[
    npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int32]
]:
    """Return the last four columns of a `TermScan`."""
    bits = 0
    while (1 << bits) < len(keys):
        bits += 1
    to_place = np.uint64(_BITS - bits)
    # At one token a head has one match at most.
    room = len(begins) * head_count
    starts, ends = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.int32)
    entries = np.empty(room, dtype=np.int32)
    matches = np.zeros(len(tokens), dtype=np.int32)
    # Where each head's last match ended, and the terms that begin at a token: where they end, and
    # their places.
    free = np.zeros(head_count, dtype=np.int32)
    hit_ends, hit_places = (
        np.empty(len(begins) + 1, dtype=np.int32),
        np.empty(len(begins) + 1, dtype=np.int64),
    )
    size = 0
    for text in range(len(tokens) - 1):
        for start in range(tokens[text], tokens[text + 1]):
            node = np.int64(len(keys))
            hits, end = 0, start
            while end < tokens[text + 1]:
                flag = _BEGINS
                position = begins[end]
                while position < stops[end]:
                    key = (np.uint64(node) << _NODE_SHIFT) | flag | np.uint64(codes[position])
                    node = _slot_of(key, keys, to_place)
                    if keys[node] == _FREE:
                        break
                    flag = np.uint64(0)
                    position += 1
                if position < stops[end]:
                    break
                end += 1
                if first[node] != _NO_SLOT:
                    hit_ends[hits] = end
                    hit_places[hits] = node
                    hits += 1
            for hit in range(hits - 1, -1, -1):
                place = hit_places[hit]
                index = first[place]
                while owners[index] == place:
                    entry = listed[index]
                    head = heads[entry]
                    if free[head] <= start:
                        free[head] = hit_ends[hit]
                        starts[size] = start
                        ends[size] = hit_ends[hit]
                        entries[size] = entry
                        size += 1
                    index += 1
        matches[text + 1] = size
    return matches, starts[:size], ends[:size], entries[:size]

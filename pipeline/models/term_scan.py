"""Tokenise a batch of texts and find the terms of all lexicons in them, in one compiled pass."""

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
# Beyond the planes of ideographs are only tags and private use: no letters, digits or blanks.
_CLASSIFIED: Final = 0x40000

# Numba's cache of a compiled function notices changes of its own file only, so every constant that
# the function uses is defined in this file.

_NONE: Final = 0
_SINGLE: Final = 1
_WORD: Final = 2
_APOSTROPHE: Final = np.uint32(ord("'"))

# The pseudo-head of the terms that separate clauses: punctuation marks, conjunctions, and Chinese
# conjunctions that need no comma. They belong to no lexicon, because they say where to split a text
# and nothing about its meaning.
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

# An edge of the trie leads from a node (its slot in the hash table) by a character, which begins a
# token or continues one. A code point takes 21 bits and the flag one, so 42 remain for the node:
# keys are the edges themselves, not hashes of them.
_NODE_SHIFT: Final = np.uint64(22)
_BEGINS: Final = np.uint64(1 << 21)
_FREE: Final = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
# The golden ratio as a 64-bit fraction: an odd multiplier whose high bits mix well (Fibonacci
# hashing).
_BASE: Final = np.uint64(0x9E3779B97F4A7C15)
_BITS: Final = 64
_NO_SLOT: Final = -1


class TermTrie(NamedTuple):
    """All terms as a trie of characters, in a hash table with open addressing.

    A node is the slot of the edge that leads to it. `keys` (uint64) are the edges. `listed` (int32)
    holds entry numbers sorted by slot; `first` (int32, by slot, -1: none) is where the entries of
    the term that ends in a slot begin in it. `owners` (int32) is the slot of each of `listed`, with
    a -1 after the last. `heads` (int32) is the head number of each entry.
    """

    keys: npt.NDArray[np.uint64]
    first: npt.NDArray[np.int32]
    listed: npt.NDArray[np.int32]
    owners: npt.NDArray[np.int32]
    heads: npt.NDArray[np.int32]


class TermVocabulary(NamedTuple):
    """All entries by entry number, and all heads by head number."""

    entries: tuple[LexiconEntry, ...]
    heads: tuple[str, ...]


class TermScan(NamedTuple):
    """The tokens and matches of a batch of texts.

    `codes` (uint32) are the code points of all texts. Text i owns the characters `text_bounds[i]`
    to `text_bounds[i + 1]`, the tokens `token_bounds[i]` to `token_bounds[i + 1]` and the matches
    `match_bounds[i]` to `match_bounds[i + 1]`. A token spans the characters `token_starts` to
    `token_ends`; a match of the entry `match_entries` spans the tokens `match_starts` to
    `match_ends` (all int32). Matches are in order of their start; of overlapping matches of one
    head only the leftmost is kept, and of those the longest.
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
    """Return the entries of all lexicons and the separators, and their heads."""
    separators = (LexiconEntry(SEPARATOR, "", 0.0, term) for term in _SEPARATORS)
    entries = (*lexicon().entries, *separators)
    return TermVocabulary(entries, tuple(dict.fromkeys(entry.head for entry in entries)))


def code_points_of(texts: Sequence[str]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int32]]:
    """Return the code points of all texts (uint32), and the bounds of the texts in them (int32).

    >>> code_points_of(["ab", "c"])[1].tolist()
    [0, 2, 3]
    """
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype="<u4")
    return codes, np.array([0, *accumulate(map(len, texts))], dtype=np.int32)


def code_points_matching(pattern: str) -> npt.NDArray[np.bool_]:
    """Return which code points a pattern of one character matches, shape (1,114,112,)."""
    characters = "".join(map(chr, range(_CLASSIFIED)))
    matches = np.zeros(_CODE_POINTS, dtype=np.bool_)
    for run in re.finditer(f"{pattern}+", characters):
        matches[run.start() : run.end()] = True
    return matches


def scan_terms(texts: Sequence[str]) -> TermScan:
    """Return the tokens of texts in normal form (as `tokenise`), and the matches of all terms."""
    codes, bounds = code_points_of(texts)
    tokens, token_starts, token_ends = _tokenise(codes, bounds, _token_kinds())
    matches = _find_terms(
        codes, tokens, token_starts, token_ends, *_term_trie(), len(term_vocabulary().heads)
    )
    return TermScan(codes, bounds, tokens, token_starts, token_ends, *matches)


@cache
def _token_kinds() -> npt.NDArray[np.uint8]:
    """Return whether each code point is in no token, a token itself, or in a word, (1,114,112,)."""
    kinds = np.full(_CODE_POINTS, _SINGLE, dtype=np.uint8)
    kinds[:_CLASSIFIED] = _NONE
    for pattern, kind in ((TOKEN_CHARACTER, _SINGLE), (WORD_CHARACTER, _WORD)):
        kinds[code_points_matching(pattern)] = kind
    return kinds


@cache
def _term_trie() -> TermTrie:
    entries, names = term_vocabulary()
    codes, bounds = code_points_of([entry.term for entry in entries])
    tokens, token_starts, token_ends = _tokenise(codes, bounds, _token_kinds())
    # Build a table large enough for every character to count the edges, then one that they half
    # fill.
    large, _ = _build_trie(codes, tokens, token_starts, token_ends, _bits_for(len(codes)))
    edges = int(np.count_nonzero(large != _FREE))
    keys, leaves = _build_trie(codes, tokens, token_starts, token_ends, _bits_for(edges))
    listed = np.argsort(leaves, kind="stable").astype(np.int32)
    listed = listed[leaves[listed] != _NO_SLOT]
    owners = leaves[listed]
    first = np.full(len(keys), _NO_SLOT, dtype=np.int32)
    slots, positions = np.unique(owners, return_index=True)
    first[slots] = positions
    numbers = {head: number for number, head in enumerate(names)}
    heads = np.array([numbers[entry.head] for entry in entries], dtype=np.int32)
    return TermTrie(keys, first, listed, np.append(owners, np.int32(_NO_SLOT)), heads)


def _bits_for(edges: int) -> int:
    return (2 * edges).bit_length()


@compiled
def _tokenise(
    codes: npt.NDArray[np.uint32], bounds: npt.NDArray[np.int32], kinds: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return the bounds of texts in the tokens, and the starts and ends of tokens in `codes`."""
    tokens = np.zeros(len(bounds), dtype=np.int32)
    token_starts, token_ends = (
        np.empty(len(codes), dtype=np.int32),
        np.empty(len(codes), dtype=np.int32),
    )
    size = 0
    for text in range(len(bounds) - 1):
        position, end = bounds[text], bounds[text + 1]
        while position < end:
            kind = kinds[codes[position]]
            if kind == _NONE:
                position += 1
                continue
            token_starts[size] = position
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
            token_ends[size] = position
            size += 1
        tokens[text + 1] = size
    return tokens, token_starts[:size], token_ends[:size]


@compiled
def _slot_of(key: np.uint64, keys: npt.NDArray[np.uint64], shift: np.uint64) -> np.int64:
    """Return the slot of an edge, or the free slot where it belongs."""
    slot = np.int64((key * _BASE) >> shift)
    while keys[slot] != _FREE and keys[slot] != key:
        slot = (slot + 1) & (len(keys) - 1)
    return slot


@compiled
def _build_trie(
    codes: npt.NDArray[np.uint32],
    tokens: npt.NDArray[np.int32],
    token_starts: npt.NDArray[np.int32],
    token_ends: npt.NDArray[np.int32],
    bits: int,
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32]]:
    """Return a hash table of 2^bits slots with the edges of all terms, and each term's last slot.

    The last slot of a term without tokens is -1.
    """
    keys = np.full(1 << bits, _FREE, dtype=np.uint64)
    leaves = np.full(len(tokens) - 1, _NO_SLOT, dtype=np.int32)
    shift = np.uint64(_BITS - bits)
    for term in range(len(tokens) - 1):
        # The root is the slot after the last.
        node = np.int64(len(keys))
        for token in range(tokens[term], tokens[term + 1]):
            flag = _BEGINS
            for position in range(token_starts[token], token_ends[token]):
                key = (np.uint64(node) << _NODE_SHIFT) | flag | np.uint64(codes[position])
                node = _slot_of(key, keys, shift)
                keys[node] = key
                flag = np.uint64(0)
            leaves[term] = node
    return keys, leaves


@compiled
def _find_terms(
    codes: npt.NDArray[np.uint32],
    tokens: npt.NDArray[np.int32],
    token_starts: npt.NDArray[np.int32],
    token_ends: npt.NDArray[np.int32],
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
    shift = np.uint64(_BITS - bits)
    # A head has one match at most at each token.
    capacity = len(token_starts) * head_count
    starts, ends = np.empty(capacity, dtype=np.int32), np.empty(capacity, dtype=np.int32)
    entries = np.empty(capacity, dtype=np.int32)
    matches = np.zeros(len(tokens), dtype=np.int32)
    # The end of each head's last match, and the ends and slots of the terms that begin at a token.
    free = np.zeros(head_count, dtype=np.int32)
    hit_ends, hit_slots = (
        np.empty(len(token_starts) + 1, dtype=np.int32),
        np.empty(len(token_starts) + 1, dtype=np.int64),
    )
    size = 0
    for text in range(len(tokens) - 1):
        for start in range(tokens[text], tokens[text + 1]):
            node = np.int64(len(keys))
            hits, end = 0, start
            while end < tokens[text + 1]:
                flag = _BEGINS
                position = token_starts[end]
                while position < token_ends[end]:
                    key = (np.uint64(node) << _NODE_SHIFT) | flag | np.uint64(codes[position])
                    node = _slot_of(key, keys, shift)
                    if keys[node] == _FREE:
                        break
                    flag = np.uint64(0)
                    position += 1
                if position < token_ends[end]:
                    break
                end += 1
                if first[node] != _NO_SLOT:
                    hit_ends[hits] = end
                    hit_slots[hits] = node
                    hits += 1
            for hit in range(hits - 1, -1, -1):
                slot = hit_slots[hit]
                index = first[slot]
                while owners[index] == slot:
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

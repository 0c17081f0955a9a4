"""Text embeddings: the mean of static word vectors, so that words without labels count too."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib import resources
from io import BytesIO
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.models.jit import compiled

# Latin words have 256 dimensions and Chinese ones 128 others: the two tables were not trained in
# one space.
LATIN_DIMENSIONS: Final = 256
HAN_DIMENSIONS: Final = 128
DIMENSIONS: Final = LATIN_DIMENSIONS + HAN_DIMENSIONS

_FILE: Final = "lexicon/vectors.npz"
# No piece of the Latin table is longer; the longest Chinese words have four characters.
_LONGEST_LATIN: Final = 20
_LONGEST_HAN: Final = 4
# Marks a piece that begins a word, as in SentencePiece.
_START: Final = np.uint64(0x2581)
_APOSTROPHE: Final = np.uint32(ord("'"))
_A, _Z = np.uint32(ord("a")), np.uint32(ord("z"))
_HAN_FIRST, _HAN_LAST = np.uint32(0x4E00), np.uint32(0x9FFF)
# The golden ratio as a 64-bit fraction: an odd multiplier whose high bits mix well (Fibonacci
# hashing).
_BASE: Final = np.uint64(0x9E3779B97F4A7C15)
# One hash table for both languages: fewer than 50,000 words fill less than half of 2^17 slots.
_SLOT_BITS: Final = 17
_TO_SLOT: Final = np.uint64(64 - _SLOT_BITS)
_SLOTS: Final = 1 << _SLOT_BITS
_EMPTY: Final = -1


class WordVectorTable(NamedTuple):
    """Word vectors by the hash of a word's code points, in a hash table with open addressing.

    `keys` (uint64) are the hashes, `rows` (int32, -1 if empty) the row numbers: first those of the
    Latin vectors (int8, 256 columns), then those of the Chinese ones (int8, 128 columns).
    """

    keys: npt.NDArray[np.uint64]
    rows: npt.NDArray[np.int32]
    latin: npt.NDArray[np.int8]
    han: npt.NDArray[np.int8]


@cache
def word_vectors() -> WordVectorTable:
    """Return the word vectors shipped with the package."""
    with np.load(BytesIO(_file())) as tables:
        parts = {name: tables[name] for name in tables.files}
    words = [
        parts[f"{name}_words"].tobytes().decode("utf-8").split("\n") for name in ("latin", "han")
    ]
    keys, rows = np.zeros(_SLOTS, dtype=np.uint64), np.full(_SLOTS, _EMPTY, dtype=np.int32)
    listed = [*words[0], *words[1]]
    codes = np.frombuffer("".join(listed).encode("utf-32-le"), dtype="<u4")
    ends = np.cumsum([0, *map(len, listed)], dtype=np.int64)
    _fill(codes, ends, keys, rows)
    return WordVectorTable(keys, rows, parts["latin_vectors"], parts["han_vectors"])


@cache
def word_vectors_version() -> str:
    """Return a hash of the file of word vectors."""
    return sha256(_file()).hexdigest()[:12]


def _file() -> bytes:
    return resources.files("pipeline.models").joinpath(_FILE).read_bytes()


@compiled
def _slot_of(key: np.uint64, keys: npt.NDArray[np.uint64], rows: npt.NDArray[np.int32]) -> int:
    """Return the slot of a key, or the empty slot where it belongs."""
    slot = np.int64((key * _BASE) >> _TO_SLOT)
    while rows[slot] != _EMPTY and keys[slot] != key:
        slot = (slot + 1) % _SLOTS
    return int(slot)


@compiled
def _fill(
    codes: npt.NDArray[np.uint32],
    ends: npt.NDArray[np.int64],
    keys: npt.NDArray[np.uint64],
    rows: npt.NDArray[np.int32],
) -> None:
    for word in range(len(ends) - 1):
        key = np.uint64(0)
        for position in range(ends[word], ends[word + 1]):
            key = key * _BASE + np.uint64(codes[position])
        slot = _slot_of(key, keys, rows)
        keys[slot] = key
        rows[slot] = word


@compiled
def write_embeddings(
    codes: npt.NDArray[np.uint32],
    ends: npt.NDArray[np.int64],
    keys: npt.NDArray[np.uint64],
    rows: npt.NDArray[np.int32],
    latin: npt.NDArray[np.int8],
    han: npt.NDArray[np.int8],
    embeddings: npt.NDArray[np.float32],
) -> None:
    """Fill one row of `embeddings` for each text: the sum of its word vectors, scaled to length 1.

    Rows of texts without known words are zero. The block of each language is weighted by its share
    of the text's words. A Latin word is split greedily into the longest pieces, a run of Chinese
    into the longest words.
    """
    sums = np.zeros(DIMENSIONS, dtype=np.int32)
    for text in range(len(ends) - 1):
        sums[:] = 0
        latin_words, han_words = 0, 0
        position, end = ends[text], ends[text + 1]
        while position < end:
            code = codes[position]
            if _A <= code <= _Z:
                last = position + 1
                while last < end and (
                    _A <= codes[last] <= _Z
                    or (
                        codes[last] == _APOSTROPHE
                        and last + 1 < end
                        and _A <= codes[last + 1] <= _Z
                    )
                ):
                    last += 1
                latin_words += _add_latin(codes[position:last], keys, rows, latin, sums)
                position = last
            elif _HAN_FIRST <= code <= _HAN_LAST:
                last = position + 1
                while last < end and _HAN_FIRST <= codes[last] <= _HAN_LAST:
                    last += 1
                han_words += _add_han(codes[position:last], keys, rows, len(latin), han, sums)
                position = last
            else:
                position += 1
        _scale(sums[:LATIN_DIMENSIONS], latin_words, han_words, embeddings[text, :LATIN_DIMENSIONS])
        _scale(sums[LATIN_DIMENSIONS:], han_words, latin_words, embeddings[text, LATIN_DIMENSIONS:])


@compiled
def _add_latin(
    word: npt.NDArray[np.uint32],
    keys: npt.NDArray[np.uint64],
    rows: npt.NDArray[np.int32],
    vectors: npt.NDArray[np.int8],
    sums: npt.NDArray[np.int32],
) -> int:
    """Add the vectors of a word's pieces to `sums`; return how many there are."""
    count, position = 0, 0
    while position < len(word):
        # The first piece begins with the mark of a word's beginning.
        key = np.uint64(0) if position else _START
        best, size = _EMPTY, 1
        for length in range(1, min(_LONGEST_LATIN, len(word) - position) + 1):
            key = key * _BASE + np.uint64(word[position + length - 1])
            row = rows[_slot_of(key, keys, rows)]
            if row != _EMPTY:
                best, size = row, length
        if best != _EMPTY:
            for dimension in range(LATIN_DIMENSIONS):
                sums[dimension] += vectors[best, dimension]
            count += 1
        position += size
    return count


@compiled
def _add_han(
    run: npt.NDArray[np.uint32],
    keys: npt.NDArray[np.uint64],
    rows: npt.NDArray[np.int32],
    offset: int,
    vectors: npt.NDArray[np.int8],
    sums: npt.NDArray[np.int32],
) -> int:
    """Add the vectors of the words of a run of Chinese to `sums`; return how many there are."""
    count, position = 0, 0
    while position < len(run):
        key = np.uint64(0)
        best, size = _EMPTY, 1
        for length in range(1, min(_LONGEST_HAN, len(run) - position) + 1):
            key = key * _BASE + np.uint64(run[position + length - 1])
            row = rows[_slot_of(key, keys, rows)]
            if row != _EMPTY:
                best, size = row, length
        if best != _EMPTY:
            for dimension in range(HAN_DIMENSIONS):
                sums[LATIN_DIMENSIONS + dimension] += vectors[best - offset, dimension]
            count += 1
        position += size
    return count


@compiled
def _scale(
    sums: npt.NDArray[np.int32], words: int, others: int, embedding: npt.NDArray[np.float32]
) -> None:
    square = np.int64(0)
    for dimension in range(len(sums)):
        square += np.int64(sums[dimension]) * np.int64(sums[dimension])
    if square == 0:
        embedding[:] = np.float32(0.0)
        return
    factor = np.float32(np.sqrt(words / (words + others)) / np.sqrt(np.float64(square)))
    for dimension in range(len(sums)):
        embedding[dimension] = np.float32(sums[dimension]) * factor

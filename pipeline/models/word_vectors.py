"""Meaning of a text as the mean of its words' static vectors, so that words never met in a label
still say something.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib import resources
from io import BytesIO
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.models.jit import compiled

# Latin words have 256 dimensions, Chinese ones 128 of their own: the two tables were never trained
# in one space.
LATIN_DIMENSIONS: Final = 256
HAN_DIMENSIONS: Final = 128
DIMENSIONS: Final = LATIN_DIMENSIONS + HAN_DIMENSIONS

_FILE: Final = "lexicon/vectors.npz"
# The longest piece of the Latin table is shorter; the longest word of the Chinese one has four
# characters.
_LONGEST_LATIN: Final = 20
_LONGEST_HAN: Final = 4
# Marks a piece that begins a word, as SentencePiece has it.
_START: Final = np.uint64(0x2581)
_APOSTROPHE: Final = np.uint32(ord("'"))
_A, _Z = np.uint32(ord("a")), np.uint32(ord("z"))
_HAN_FIRST, _HAN_LAST = np.uint32(0x4E00), np.uint32(0x9FFF)
# The golden ratio as a 64-bit fraction: an odd multiplier whose high bits mix well (Fibonacci
# hashing).
_BASE: Final = np.uint64(0x9E3779B97F4A7C15)
# One table for both languages: under 50,000 words fill less than half of 2^17 places.
_PLACE_BITS: Final = 17
_TO_PLACE: Final = np.uint64(64 - _PLACE_BITS)
_PLACES: Final = 1 << _PLACE_BITS
_EMPTY: Final = -1


class Vocabulary(NamedTuple):
    """Words by the hash of their code points, in open addressing: `keys` (uint64) and `rows`
    (int32, -1 where empty).

    Rows count through the Latin vectors (int8, 256 columns), then through the Chinese ones (int8,
    128 columns).
    """

    keys: npt.NDArray[np.uint64]
    rows: npt.NDArray[np.int32]
    latin: npt.NDArray[np.int8]
    han: npt.NDArray[np.int8]


@cache
def vocabulary() -> Vocabulary:
    """Return the vectors shipped with the package."""
    with np.load(BytesIO(_file())) as tables:
        parts = {name: tables[name] for name in tables.files}
    words = [
        parts[f"{name}_words"].tobytes().decode("utf-8").split("\n") for name in ("latin", "han")
    ]
    keys, rows = np.zeros(_PLACES, dtype=np.uint64), np.full(_PLACES, _EMPTY, dtype=np.int32)
    listed = [*words[0], *words[1]]
    codes = np.frombuffer("".join(listed).encode("utf-32-le"), dtype="<u4")
    ends = np.cumsum([0, *map(len, listed)], dtype=np.int64)
    _fill(codes, ends, keys, rows)
    return Vocabulary(keys, rows, parts["latin_vectors"], parts["han_vectors"])


@cache
def vocabulary_version() -> str:
    """Return a hash of the vectors' file."""
    return sha256(_file()).hexdigest()[:12]


def _file() -> bytes:
    return resources.files("pipeline.models").joinpath(_FILE).read_bytes()


@compiled
def _place_of(key: np.uint64, keys: npt.NDArray[np.uint64], rows: npt.NDArray[np.int32]) -> int:
    """Return where a key stands, or the empty place where it would."""
    place = np.int64((key * _BASE) >> _TO_PLACE)
    while rows[place] != _EMPTY and keys[place] != key:
        place = (place + 1) % _PLACES
    return int(place)


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
        place = _place_of(key, keys, rows)
        keys[place] = key
        rows[place] = word


@compiled
def write_meanings(
    codes: npt.NDArray[np.uint32],
    ends: npt.NDArray[np.int64],
    keys: npt.NDArray[np.uint64],
    rows: npt.NDArray[np.int32],
    latin: npt.NDArray[np.int8],
    han: npt.NDArray[np.int8],
    meanings: npt.NDArray[np.float32],
) -> None:
    """Fill one row of `meanings` for each text: the sum of its words' vectors, scaled to length 1;
    zero without a word.

    Each language's block has its share of the text's words. A Latin word is cut into the longest
    pieces from its beginning on, a run of Chinese into the longest words.
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
        _scale(sums[:LATIN_DIMENSIONS], latin_words, han_words, meanings[text, :LATIN_DIMENSIONS])
        _scale(sums[LATIN_DIMENSIONS:], han_words, latin_words, meanings[text, LATIN_DIMENSIONS:])


@compiled
def _add_latin(
    word: npt.NDArray[np.uint32],
    keys: npt.NDArray[np.uint64],
    rows: npt.NDArray[np.int32],
    vectors: npt.NDArray[np.int8],
    sums: npt.NDArray[np.int32],
) -> int:
    """Add the vectors of a word's pieces; return how many there were."""
    found, position = 0, 0
    while position < len(word):
        # The first piece carries the mark of a word's beginning.
        key = np.uint64(0) if position else _START
        best, size = _EMPTY, 1
        for length in range(1, min(_LONGEST_LATIN, len(word) - position) + 1):
            key = key * _BASE + np.uint64(word[position + length - 1])
            row = rows[_place_of(key, keys, rows)]
            if row != _EMPTY:
                best, size = row, length
        if best != _EMPTY:
            for dimension in range(LATIN_DIMENSIONS):
                sums[dimension] += vectors[best, dimension]
            found += 1
        position += size
    return found


@compiled
def _add_han(
    run: npt.NDArray[np.uint32],
    keys: npt.NDArray[np.uint64],
    rows: npt.NDArray[np.int32],
    offset: int,
    vectors: npt.NDArray[np.int8],
    sums: npt.NDArray[np.int32],
) -> int:
    """Add the vectors of the words of a run of Chinese characters; return how many there were."""
    found, position = 0, 0
    while position < len(run):
        key = np.uint64(0)
        best, size = _EMPTY, 1
        for length in range(1, min(_LONGEST_HAN, len(run) - position) + 1):
            key = key * _BASE + np.uint64(run[position + length - 1])
            row = rows[_place_of(key, keys, rows)]
            if row != _EMPTY:
                best, size = row, length
        if best != _EMPTY:
            for dimension in range(HAN_DIMENSIONS):
                sums[LATIN_DIMENSIONS + dimension] += vectors[best - offset, dimension]
            found += 1
        position += size
    return found


@compiled
def _scale(
    sums: npt.NDArray[np.int32], words: int, others: int, meaning: npt.NDArray[np.float32]
) -> None:
    square = np.int64(0)
    for dimension in range(len(sums)):
        square += np.int64(sums[dimension]) * np.int64(sums[dimension])
    if square == 0:
        meaning[:] = np.float32(0.0)
        return
    factor = np.float32(np.sqrt(words / (words + others)) / np.sqrt(np.float64(square)))
    for dimension in range(len(sums)):
        meaning[dimension] = np.float32(sums[dimension]) * factor

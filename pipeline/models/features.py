"""Text features for any language: hashed n-grams of tokens and characters, sizes, embeddings."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Final

import numpy as np
import numpy.typing as npt

from pipeline.models.jit import compiled
from pipeline.models.word_vectors import (
    DIMENSIONS,
    word_vectors,
    word_vectors_version,
    write_embeddings,
)
from pipeline.text.normal_form import READ_CHARACTERS, normal_form_version
from pipeline.text.scripts import UNSPACED_RANGES

# Numba's cache of a compiled function notices changes of its own file only, so every constant that
# the function uses is defined in this file.
SPACE: Final = 0
WORD: Final = 1
SINGLE: Final = 2
MARK: Final = 3

_CODE_POINTS: Final = 0x110000
# Planes above the first two contain only Han (a range above), tags and private use: nothing to
# categorise.
_CATEGORISED: Final = 0x20000

TOKENS: Final = 0
CHARACTERS: Final = 1

# Increase this whenever the code changes the features of a text; tests pin a sample of them.
RECIPE_VERSION: Final = 2

# 2^18 buckets gave no better accuracy than 2^17 (75.94 against 75.95 over five data sets) with
# twice the weights to store and update.
BUCKET_BITS: Final = 17
BUCKETS: Final = 1 << BUCKET_BITS

# Odd 64-bit constants: the golden ratio for the polynomial, and the finaliser of SplitMix64
# (Steele, Lea, Flood 2014).
_BASE: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)
_SHIFT_30, _SHIFT_27, _SHIFT_31 = np.uint64(30), np.uint64(27), np.uint64(31)
_TO_BUCKET: Final = np.uint64(64 - BUCKET_BITS)
# One salt for each kind of n-gram, a multiple of an odd constant, distinguishes the token "ab" from
# "ab" inside a word.
_SALT: Final = 0x632BE59BD9B4E019
_TOKEN_SALTS: Final = tuple(np.uint64(size * _SALT & 0xFFFF_FFFF_FFFF_FFFF) for size in (1, 2, 3))
_CHARACTER_SALTS: Final = tuple(
    np.uint64(size * _SALT & 0xFFFF_FFFF_FFFF_FFFF) for size in (13, 14, 15)
)

# The form of a number (all digits alike) and the size of a text are kinds of features of their own.
_FORM_SALT: Final = np.uint64(21 * _SALT & 0xFFFF_FFFF_FFFF_FFFF)
_SIZE_SALT: Final = np.uint64(22 * _SALT & 0xFFFF_FFFF_FFFF_FFFF)
_DIGITS_SALT: Final = np.uint64(23 * _SALT & 0xFFFF_FFFF_FFFF_FFFF)

_ZERO: Final = np.uint64(0)
_UNIT: Final = np.uint64(1)
# Code point 2 is never a word character, so it can represent the edge of a word.
_EDGE: Final = np.uint64(2)
_APOSTROPHE: Final = np.uint32(ord("'"))
_FIRST_DIGIT, _LAST_DIGIT = np.uint32(ord("0")), np.uint32(ord("9"))
# The most features that a character can yield: a Han character yields a token 1-, 2- and 3-gram; a
# word of m letters yields two token n-grams, m + (m - 1) + (m - 2) character n-grams and the form
# of its digits, or four in all when m is 1.
_FEATURES_PER_CHARACTER: Final = 4
# The size features of a text with a token: its number of characters and of digits.
_FEATURES_PER_TEXT: Final = 2


@dataclass(frozen=True, slots=True)
class Features:
    """The features of a batch of texts as compressed sparse rows.

    Text i owns the positions `starts[i]` to `starts[i + 1]` (int64) of `buckets` (int32, 0 to
    2^17 - 1, distinct within a text), `tf` (float32, 1 + ln(count)) and `families` (uint8: `TOKENS`
    or `CHARACTERS`). `embeddings` (float32, shape (texts, 384)) are means of word vectors, scaled
    to length 1, or zeros if no word is in the vocabulary.
    """

    starts: npt.NDArray[np.int64]
    buckets: npt.NDArray[np.int32]
    tf: npt.NDArray[np.float32]
    families: npt.NDArray[np.uint8]
    embeddings: npt.NDArray[np.float32]

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.starts) - 1


def extract_features(texts: Sequence[str]) -> Features:
    """Return the features of texts in the normal form of `pipeline.text.normal_form.normalise`.

    The features of a text depend on that text alone, never on the rest of the batch. Only its first
    `READ_CHARACTERS` characters are read.

    >>> features = extract_features(["late parcel", "late"])
    >>> len(features), features.embeddings.shape
    (2, (2, 384))
    """
    read = [text[:READ_CHARACTERS] for text in texts]
    codes = np.frombuffer("".join(read).encode("utf-32-le", "surrogatepass"), dtype="<u4")
    ends = np.array([0, *accumulate(map(len, read))], dtype=np.int64)
    capacity = _FEATURES_PER_CHARACTER * len(codes) + _FEATURES_PER_TEXT * len(read)
    starts = np.zeros(len(read) + 1, dtype=np.int64)
    buckets = np.empty(capacity, dtype=np.int32)
    counts = np.empty(capacity, dtype=np.int32)
    families = np.empty(capacity, dtype=np.uint8)
    scratch = np.empty(
        _FEATURES_PER_CHARACTER * READ_CHARACTERS + _FEATURES_PER_TEXT, dtype=np.int32
    )
    size = _extract_texts(
        codes,
        ends,
        character_classes(),
        _bucket_positions(),
        scratch,
        starts,
        buckets,
        counts,
        families,
    )
    tf = (1.0 + np.log(counts[:size])).astype(np.float32)
    embeddings = np.empty((len(read), DIMENSIONS), dtype=np.float32)
    write_embeddings(codes, ends, *word_vectors(), embeddings)
    return Features(starts, buckets[:size].copy(), tf, families[:size].copy(), embeddings)


def size_buckets(text: str) -> frozenset[int]:
    """Return the buckets of a text's size features, which belong to no part of the text."""
    if not text:
        return frozenset()
    codes = np.frombuffer(text[:READ_CHARACTERS].encode("utf-32-le", "surrogatepass"), dtype="<u4")
    grams = np.empty(1 + _FEATURES_PER_TEXT, dtype=np.int32)
    return frozenset(grams[1 : _write_sizes(codes, grams, 1)].tolist())


def recipe() -> dict[str, str | int]:
    """Return what features depend on besides the text.

    If it changes, weights learnt before have another meaning, so the examples must be folded again.
    """
    return {
        "version": RECIPE_VERSION,
        "bucket_bits": BUCKET_BITS,
        "normal_form": normal_form_version(),
        "unicode": unicodedata.unidata_version,
        "vectors": word_vectors_version(),
    }


@cache
def character_classes() -> npt.NDArray[np.uint8]:
    """Return the class (`SPACE`, `WORD`, `SINGLE`, `MARK`) of every code point, (1,114,112,)."""
    classes = np.zeros(_CODE_POINTS, dtype=np.uint8)
    classes[:_CATEGORISED] = [_class_of(chr(code)) for code in range(_CATEGORISED)]
    for first, last in UNSPACED_RANGES:
        span = classes[first : last + 1]
        span[span != SPACE] = SINGLE
    classes[0x20000:0x40000] = SINGLE
    classes.flags.writeable = False
    return classes


def _class_of(character: str) -> int:
    category = unicodedata.category(character)
    if category[0] in "LMN" or category == "Pc":
        return WORD
    if category == "So":  # each emoji or pictograph has a meaning of its own, unlike a run of marks
        return SINGLE
    return MARK if category[0] in "PS" else SPACE


@cache
def _bucket_positions() -> npt.NDArray[np.int32]:
    """Return the scratch table of `_extract_texts`, all zero between calls.

    Calls hold the interpreter's lock, so one table is enough.
    """
    return np.zeros(BUCKETS, dtype=np.int32)


@compiled
def _scramble(value: np.uint64) -> np.uint64:
    value = (value ^ (value >> _SHIFT_30)) * _MIX_1
    value = (value ^ (value >> _SHIFT_27)) * _MIX_2
    return value ^ (value >> _SHIFT_31)


@compiled
def _bucket(value: np.uint64, salt: np.uint64) -> np.int64:
    return np.int64(_scramble(value ^ salt) >> _TO_BUCKET)


@compiled
def _extract_texts(
    codes: npt.NDArray[np.uint32],
    ends: npt.NDArray[np.int64],
    classes: npt.NDArray[np.uint8],
    positions: npt.NDArray[np.int32],
    scratch: npt.NDArray[np.int32],
    starts: npt.NDArray[np.int64],
    buckets: npt.NDArray[np.int32],
    counts: npt.NDArray[np.int32],
    families: npt.NDArray[np.uint8],
) -> int:
    """Fill the output arrays with the features of all texts; return how many there are.

    A bucket of several families counts in the first of them, so the buckets of a text are distinct.
    """
    size = 0
    for text in range(len(ends) - 1):
        first = size
        read = codes[ends[text] : ends[text + 1]]
        kinds = _kinds_of(read, classes)
        tokens = _write_sizes(read, scratch, _write_tokens(read, kinds, scratch))
        both = _write_characters(read, kinds, scratch, tokens)
        for position in range(both):
            bucket = scratch[position]
            known = positions[bucket]
            if known:
                counts[known - 1] += 1
            else:
                buckets[size] = bucket
                counts[size] = 1
                families[size] = TOKENS if position < tokens else CHARACTERS
                size += 1
                positions[bucket] = size
        for position in range(first, size):
            positions[buckets[position]] = 0
        starts[text + 1] = size
    return size


@compiled
def _kinds_of(
    codes: npt.NDArray[np.uint32], classes: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """Return the class of each character; an apostrophe inside a word is a word character."""
    kinds = np.empty(len(codes), dtype=np.uint8)
    for position in range(len(codes)):
        kinds[position] = classes[codes[position]]
    for position in range(1, len(codes) - 1):
        if (
            codes[position] == _APOSTROPHE
            and kinds[position - 1] == WORD
            and kinds[position + 1] == WORD
        ):
            kinds[position] = WORD
    return kinds


@compiled
def _write_tokens(
    codes: npt.NDArray[np.uint32], kinds: npt.NDArray[np.uint8], grams: npt.NDArray[np.int32]
) -> int:
    """Write the buckets of token n-grams and of number forms; return how many there are.

    They are 1-grams, 2-grams, 3-grams of three characters of unspaced scripts, and the forms of
    tokens with digits: all numbers of six digits have one form.
    """
    size, singles, position, end = 0, 0, 0, len(codes)
    before, pair_before = _ZERO, _ZERO
    while position < end:
        kind = kinds[position]
        if kind == SPACE:
            position += 1
            continue
        value, form, has_digit, first = _ZERO, _ZERO, False, position
        while position == first or (kind != SINGLE and position < end and kinds[position] == kind):
            code = codes[position]
            is_digit = _FIRST_DIGIT <= code <= _LAST_DIGIT
            has_digit = has_digit or is_digit
            value = value * _BASE + np.uint64(code) + _UNIT
            form = form * _BASE + np.uint64(_FIRST_DIGIT if is_digit else code) + _UNIT
            position += 1
        token = _scramble(value)
        pair = before * _BASE + token
        grams[size] = _bucket(token, _TOKEN_SALTS[0])
        if size:
            size += 1
            grams[size] = _bucket(pair, _TOKEN_SALTS[1])
        size += 1
        if has_digit:
            grams[size] = _bucket(_scramble(form), _FORM_SALT)
            size += 1
        singles = singles + 1 if kind == SINGLE else 0
        if singles >= 3:
            grams[size] = _bucket(pair_before * _MIX_1 + token, _TOKEN_SALTS[2])
            size += 1
        before, pair_before = token, pair
    return size


@compiled
def _write_sizes(codes: npt.NDArray[np.uint32], grams: npt.NDArray[np.int32], size: int) -> int:
    """Append the buckets of the number of characters and of digits, in steps of a factor of √2."""
    if size == 0:
        return size
    digits = 0
    for code in codes:
        if _FIRST_DIGIT <= code <= _LAST_DIGIT:
            digits += 1
    grams[size] = _bucket(np.uint64(2.0 * np.log2(float(len(codes)))), _SIZE_SALT)
    grams[size + 1] = _bucket(np.uint64(2.0 * np.log2(1.0 + digits)), _DIGITS_SALT)
    return size + 2


@compiled
def _write_characters(
    codes: npt.NDArray[np.uint32],
    kinds: npt.NDArray[np.uint8],
    grams: npt.NDArray[np.int32],
    size: int,
) -> int:
    """Append the buckets of character 3-5-grams of words of spaced scripts, with marked edges."""
    position, end = 0, len(codes)
    while position < end:
        if kinds[position] != WORD:
            position += 1
            continue
        # The polynomial values of the last one, two, three and four characters of this word,
        # including its opening edge.
        one, two, three, four = _EDGE, _EDGE, _EDGE, _EDGE
        length = 1
        inside = True
        while inside:
            inside = position < end and kinds[position] == WORD
            latest = np.uint64(codes[position]) if inside else _EDGE
            five, four, three = four * _BASE + latest, three * _BASE + latest, two * _BASE + latest
            two, one = one * _BASE + latest, latest
            position += 1
            length += 1
            if length >= 3:
                grams[size] = _bucket(three, _CHARACTER_SALTS[0])
                size += 1
            if length >= 4:
                grams[size] = _bucket(four, _CHARACTER_SALTS[1])
                size += 1
            if length >= 5:
                grams[size] = _bucket(five, _CHARACTER_SALTS[2])
                size += 1
    return size

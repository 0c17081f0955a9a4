"""Texts as counts of n-grams for scikit-learn, cut by the pipeline's own tokenisation, so that
Chinese works as English does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.feature_selection import SelectorMixin
from sklearn.pipeline import make_pipeline

from pipeline.models.features import SINGLE, WORD, character_classes
from pipeline.models.lexicon_files import tokenise
from pipeline.text.normal_form import normalise

# Hashed, so that a text's counts depend on that text alone and no vocabulary is ever learnt from a
# part that is held out. 2^18 columns a family keep collisions rare; columns that no training text
# fills cost nothing.
FAMILY_COLUMNS: Final = 1 << 18
# An n-gram of one training text alone cannot be told from noise, and most n-grams are such.
_MINIMUM_DOCUMENTS: Final = 2
# Of a family, the commonest: selection works on columns × labels, 100 MB for each 100,000 columns
# of 128 labels.
_MOST_COLUMNS: Final = 100_000
# As in the online model: character n-grams repeat what tokens say, so they count half.
_CHARACTER_WEIGHT: Final = 0.5
_CHARACTER_SIZES: Final = (3, 4, 5)


def token_ngrams(text: str) -> list[str]:
    """Return a text's token 1-2-grams, and 3-grams of characters of scripts written without
    spaces.
    """
    tokens = tokenise(normalise(text))
    grams = [*tokens, *(f"{a} {b}" for a, b in pairwise(tokens))]
    single = [_class_of(token) == SINGLE for token in tokens]
    return grams + [
        "".join(tokens[place : place + 3])
        for place in range(len(tokens) - 2)
        if all(single[place : place + 3])
    ]


def character_ngrams(text: str) -> list[str]:
    """Return the character 3-5-grams inside words of spaced scripts; "_" marks a word's edge."""
    words = (f"_{token}_" for token in tokenise(normalise(text)) if _class_of(token) == WORD)
    return [
        word[first : first + size]
        for word in words
        for size in _CHARACTER_SIZES
        for first in range(len(word) - size + 1)
    ]


def _class_of(token: str) -> int:
    return int(character_classes()[ord(token[0])])


_FAMILIES: Final = (token_ngrams, character_ngrams)


def count_ngrams(texts: Sequence[str]) -> sp.csr_matrix:
    """Return counts, shape (texts, 2 × `FAMILY_COLUMNS`): tokens first, characters after; a pure
    function of each text.
    """
    parts = [
        # In single precision: half the memory, and logistic regression takes two thirds of the
        # time.
        HashingVectorizer(
            analyzer=grams,
            n_features=FAMILY_COLUMNS,
            alternate_sign=False,
            norm=None,
            dtype=np.float32,
        ).transform(texts)
        for grams in _FAMILIES
    ]
    return sp.hstack(parts, format="csr")


def ngrams_of_columns(columns: Iterable[int], texts: Sequence[str]) -> dict[int, str]:
    """Return an n-gram for each of the columns of `count_grams` that one of the texts fills: the
    first met.
    """
    wanted = set(columns)
    found: dict[int, str] = {}
    for family, grams in enumerate(_FAMILIES):
        met = list(dict.fromkeys(term for text in texts for term in grams(text)))
        if not met:
            continue
        hashed = HashingVectorizer(
            analyzer=_itself, n_features=FAMILY_COLUMNS, alternate_sign=False, norm=None
        )
        for term, place in zip(
            met, hashed.transform([[term] for term in met]).indices.tolist(), strict=True
        ):
            column = place + family * FAMILY_COLUMNS
            if column in wanted:
                found.setdefault(column, term)
    return found


def _itself(grams: list[str]) -> list[str]:
    return grams


class MinimumDocuments(SelectorMixin, BaseEstimator):  # type: ignore[misc]
    """Keeps the columns that enough training texts fill; where none does, those that any fills, at
    least one.
    """

    def __init__(self, minimum: int = _MINIMUM_DOCUMENTS) -> None:
        self.minimum = minimum

    def fit(self, X: sp.csr_matrix, y: Any = None) -> Self:  # noqa: N803
        """Count the texts in which each column is filled."""
        documents = X.getnnz(axis=0)
        self.n_features_in_ = X.shape[1]
        self.support_: npt.NDArray[np.bool_] = documents >= min(
            self.minimum, max(1, documents.max(initial=0))
        )
        if not self.support_.any():
            self.support_[0] = True
        return self

    def _get_support_mask(self) -> npt.NDArray[np.bool_]:
        return self.support_


@dataclass(frozen=True, slots=True)
class NgramColumns:
    """The n-grams that training texts allow to learn from: `columns` of `count_grams`, the first
    `tokens` of them tokens.
    """

    columns: npt.NDArray[np.int64]
    tokens: int

    @classmethod
    def of(cls, counts: sp.csr_matrix) -> Self:
        """Return the n-grams of training counts: what no part of them can learn from is left out
        before the work begins.
        """
        families = []
        for first in (0, FAMILY_COLUMNS):
            family = counts[:, first : first + FAMILY_COLUMNS]
            kept = np.flatnonzero(MinimumDocuments().fit(family).get_support())
            commonest = np.argsort(-family.getnnz(axis=0)[kept], kind="stable")[:_MOST_COLUMNS]
            families.append(np.sort(kept[commonest]).astype(np.int64) + first)
        return cls(np.concatenate(families), len(families[0]))

    def counts(self, texts: Sequence[str]) -> sp.csr_matrix:
        """Return the counts of these n-grams in texts, shape (texts, columns)."""
        return count_ngrams(texts)[:, self.columns]

    def tfidf_step(self) -> ColumnTransformer:
        """Return the step that turns counts into TF-IDF weights: each family of unit length,
        characters counting half.
        """
        families = {
            "tokens": slice(0, self.tokens),
            "characters": slice(self.tokens, len(self.columns)),
        }
        return ColumnTransformer(
            [
                (
                    name,
                    make_pipeline(MinimumDocuments(), TfidfTransformer(sublinear_tf=True)),
                    columns,
                )
                for name, columns in families.items()
            ],
            transformer_weights={"characters": _CHARACTER_WEIGHT},
            sparse_threshold=1.0,
        )

    def columns_after(self, weighing: ColumnTransformer) -> npt.NDArray[np.int64]:
        """Return, for each column that a fitted `weighing` gives out, its number among those of
        `count_grams`.
        """
        support = [
            weighing.named_transformers_[name][0].get_support() for name in ("tokens", "characters")
        ]
        kept: npt.NDArray[np.int64] = self.columns[np.concatenate(support)]
        return kept

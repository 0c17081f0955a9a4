"""N-gram counts for scikit-learn, from the pipeline's own tokens, so that Chinese works too."""

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

# N-grams are hashed, so that the counts of a text depend on that text alone and no vocabulary is
# learnt from validation rows. 2^18 columns per family keep collisions rare; columns without a
# training text cost nothing.
FAMILY_COLUMNS: Final = 1 << 18
# An n-gram of a single training text cannot be distinguished from noise, and most are such.
_MINIMUM_DOCUMENTS: Final = 2
# The most frequent columns of a family: selection needs columns × labels, 100 MB for 100,000
# columns and 128 labels.
_MOST_COLUMNS: Final = 100_000
# As in the online model character n-grams count half, because they repeat what tokens say.
_CHARACTER_WEIGHT: Final = 0.5
_CHARACTER_SIZES: Final = (3, 4, 5)


def token_ngrams(text: str) -> list[str]:
    """Return a text's token 1-grams and 2-grams, and 3-grams in scripts without spaces.

    >>> token_ngrams("late parcel")
    ['late', 'parcel', 'late parcel']
    """
    tokens = tokenise(normalise(text))
    grams = [*tokens, *(f"{a} {b}" for a, b in pairwise(tokens))]
    single = [_class_of(token) == SINGLE for token in tokens]
    return grams + [
        "".join(tokens[index : index + 3])
        for index in range(len(tokens) - 2)
        if all(single[index : index + 3])
    ]


def character_ngrams(text: str) -> list[str]:
    """Return the character 3-5-grams inside words of spaced scripts; "_" marks a word's edge.

    >>> character_ngrams("ok")
    ['_ok', 'ok_', '_ok_']
    """
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
    """Return the n-gram counts of texts, of shape (texts, 2 × `FAMILY_COLUMNS`), tokens first.

    The counts of a text depend on that text alone.
    """
    parts = [
        # Single precision halves the memory, and takes a third off the time of logistic regression.
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
    """Return the first n-gram in the texts for each of these columns of `count_ngrams`."""
    wanted = set(columns)
    ngrams: dict[int, str] = {}
    for family, grams in enumerate(_FAMILIES):
        terms = list(dict.fromkeys(term for text in texts for term in grams(text)))
        if not terms:
            continue
        hashed = HashingVectorizer(
            analyzer=_itself, n_features=FAMILY_COLUMNS, alternate_sign=False, norm=None
        )
        indices = hashed.transform([[term] for term in terms]).indices.tolist()
        for term, index in zip(terms, indices, strict=True):
            column = index + family * FAMILY_COLUMNS
            if column in wanted:
                ngrams.setdefault(column, term)
    return ngrams


def _itself(grams: list[str]) -> list[str]:
    return grams


class MinimumDocuments(SelectorMixin, BaseEstimator):  # type: ignore[misc]
    """Selects the columns that occur in enough training texts.

    If there are none, it selects those that occur in any text, and at least one column.
    """

    def __init__(self, minimum: int = _MINIMUM_DOCUMENTS) -> None:
        self.minimum = minimum

    def fit(self, X: sp.csr_matrix, y: Any = None) -> Self:  # noqa: N803
        """Count the texts in which each column occurs."""
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
    """The n-grams that models can learn from training texts.

    They are `columns` of `count_ngrams`; the first `tokens` of them are token n-grams.
    """

    columns: npt.NDArray[np.int64]
    tokens: int

    @classmethod
    def of(cls, counts: sp.csr_matrix) -> Self:
        """Return the n-grams of training counts, without those too rare to learn from."""
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
        """Return the step from counts to TF-IDF weights, families scaled and characters halved."""
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
        """Return the column of `count_ngrams` for each output column of a fitted `tfidf_step`."""
        support = [
            weighing.named_transformers_[name][0].get_support() for name in ("tokens", "characters")
        ]
        kept: npt.NDArray[np.int64] = self.columns[np.concatenate(support)]
        return kept
